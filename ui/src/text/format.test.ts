import { describe, expect, it } from "vitest";
import { ago, bytes, compact, count, number, port, ticks, time } from "./format";
import { safe, shortName } from "./safe";

describe("numbers", () => {
  it("writes counts with their plural", () => {
    expect(count(1, "edge")).toBe("1 edge");
    expect(count(0, "edge")).toBe("0 edges");
    expect(count(12345n, "entry", "entries")).toBe("12,345 entries");
    expect(number(1234567)).toBe("1,234,567");
    expect(compact(12345)).toBe("12.3K");
  });
  it("writes bytes in binary units", () => {
    expect(bytes(0)).toBe("0 B");
    expect(bytes(1536)).toBe("1.5 KiB");
    expect(bytes(200n * 1024n * 1024n)).toBe("200 MiB");
  });
});

describe("times", () => {
  it("says how long ago", () => {
    const now = Date.parse("2026-11-24T10:00:00Z");
    expect(ago("2026-11-24T09:59:59.5Z", now)).toBe("now");
    expect(ago("2026-11-24T09:59:30Z", now)).toBe("30 s");
    expect(ago("2026-11-24T08:00:00Z", now)).toBe("2 h");
    expect(ago("2026-11-20T10:00:00Z", now)).toBe("4 d");
    expect(ago("", now)).toBe("");
  });
  it("shows nothing for no time", () => expect(time("")).toBe(""));
  it("writes an axis in the reader's zone, with the day where it begins and never in another order", () => {
    const at = (...local: [number, number, number, number]) => new Date(2026, ...local).getTime() / 1000;
    expect(ticks([at(10, 23, 22, 0), at(10, 23, 23, 0), at(10, 24, 0, 0), at(10, 24, 1, 0)], 3_600)).toEqual([
      "22:00\n11-23",
      "23:00",
      "00:00\n11-24",
      "01:00",
    ]);
    expect(ticks([at(10, 9, 0, 0), at(10, 16, 0, 0)], 7 * 86_400)).toEqual(["11-09", "11-16"]);
  });
});

describe("ports", () => {
  it("names what port 0 means", () => {
    expect(port("tcp", 80)).toBe("tcp/80");
    expect(port("tcp", 0)).toBe("tcp/dynamic");
    expect(port("icmp", 0)).toBe("icmp");
  });
});

describe("names from hosts", () => {
  it("shows what would turn the text", () => expect(safe("a\u202Egnp.exe")).toBe("a⟨U+202E⟩gnp.exe"));
  it("leaves other scripts alone", () => expect(safe("שרת-база-服务")).toBe("שרת-база-服务"));
  it("cuts what is too long, between characters", () => {
    expect(safe("x".repeat(1 << 20)).length).toBeLessThan(210);
    expect(safe("😀".repeat(1000), 5)).toMatch(/^😀+…$/u);
  });
  it("drops the kind of a key", () => {
    expect(shortName("unit:nginx")).toBe("nginx");
    expect(shortName("exe:/usr/bin/curl")).toBe("curl");
    expect(shortName("10.86.0.4")).toBe("10.86.0.4");
    expect(shortName("fd86::4")).toBe("fd86::4");
    expect(shortName("fe:1::2/64")).toBe("fe:1::2/64");
    expect(shortName("kernel")).toBe("kernel");
  });
});
