import { describe, expect, it } from "vitest";
import { holdsPort, portMeant, readPorts } from "./ports";

describe("ports", () => {
  it("reads what people write and writes it as a policy file has it", () => {
    const cases: [string, string[]][] = [
      ["", ["any"]],
      ["any", ["any"]],
      ["tcp/80", ["tcp/80"]],
      ["TCP/443, 80", ["tcp/80,443"]],
      ["tcp/80,443,8000-8100 udp/53", ["tcp/80,443,8000-8100", "udp/53"]],
      ["tcp/80,udp/53", ["tcp/80", "udp/53"]],
      ["tcp/80; tcp/81\ntcp/443", ["tcp/80-81,443"]],
      ["tcp/1-5,3-9", ["tcp/1-9"]],
      ["icmp", ["icmp"]],
      ["ip47 sctp/3868", ["ip47", "sctp/3868"]],
    ];
    for (const [text, ports] of cases) expect(readPorts(text), text).toEqual({ ports });
  });
  it("says what is wrong and what to write", () => {
    const cases: [string, string][] = [
      ["80", "'80' has no protocol: write tcp/80 or udp/80"],
      ["tcp", "'tcp' has no port: write tcp/80, or any"],
      ["tcp/70000", "'70000' is not a port: a port is a number from 0 to 65535"],
      ["tcp/", "'' is not a port: a port is a number from 0 to 65535"],
      ["tcp/9-1", "'9-1' runs backwards: write 1-9"],
      ["icmp/8", "icmp has no ports: write icmp"],
      ["http/80", "unknown protocol 'http': use tcp, udp, sctp, icmp or ipN"],
      ["ip300", "unknown protocol 'ip300': use tcp, udp, sctp, icmp or ipN"],
      ["any tcp/80", "'any' stands alone: remove the other ports, or 'any'"],
    ];
    for (const [text, wrong] of cases) expect(readPorts(text), text).toEqual({ wrong });
  });
  it("reads back what it wrote", () => {
    for (const text of ["tcp/80,443,8000-8100", "udp/0-65535", "any", "icmp ip1"]) {
      const once = readPorts(text).ports ?? [];
      expect(readPorts(once.join(" ")).ports).toEqual(once);
    }
  });
  it("knows what a list holds", () => {
    expect(holdsPort(["tcp/80,8000-8100"], "tcp", 8050)).toBe(true);
    expect(holdsPort(["tcp/80,8000-8100"], "udp", 80)).toBe(false);
    expect(holdsPort(["tcp/80"], "tcp", 81)).toBe(false);
    expect(holdsPort(["any"], "icmp", 0)).toBe(true);
    expect(holdsPort(["icmp"], "icmp", 0)).toBe(true);
  });
  it("finds by what people look for", () => {
    expect(portMeant(["tcp/80,8000-8100"], "8050")).toBe(true);
    expect(portMeant(["udp/53"], "tcp/53")).toBe(false);
    expect(portMeant(["udp/53"], "53")).toBe(true);
    expect(portMeant(["any"], "443")).toBe(true);
    expect(portMeant(["icmp"], "icmp")).toBe(true);
    expect(portMeant(["tcp/80"], "web")).toBe(false);
  });
});
