import { expect, it } from "vitest";
import { dangers } from "./dangers";

const rule = (from: string, to: string, ports: string[], effect = "prevent") => dangers({ enabled: true, effect, from, to, ports });

it("sees ssh behind every way to write it", () => {
  for (const to of ["any", "ssh", "sshd", "unit:ssh", "unit:ssh*", "unit:*", "unit:ssh@*"])
    expect(rule("10.0.0.0/8", to, ["any"]), to).toContain("ssh");
  expect(rule("unit:web", "any", ["tcp/1-1024"])).toEqual(["ssh"]);
});
it("sees the way to the controller", () => {
  expect(rule("any", "10.86.0.250", ["tcp/7000-8000"])).toEqual(["controller"]);
  expect(rule("cnnf-defender", "any", ["tcp/7443"])).toEqual(["controller"]);
  expect(rule("any", "unit:cnnf-*", ["any"])).toContain("controller");
});
it("is silent about everything else", () => {
  expect(rule("any", "unit:postgresql", ["any"])).toEqual([]);
  expect(rule("any", "unit:ssh", ["tcp/2222"])).toEqual([]);
  expect(rule("any", "unit:ssh", ["any"], "alert")).toEqual([]);
  expect(dangers({ enabled: false, effect: "prevent", from: "any", to: "unit:ssh", ports: ["any"] })).toEqual([]);
});
