import { execFileSync } from "node:child_process";
import { expect, it } from "vitest";
import { addressOf, enrollCommand } from "./command";

/** The words that a shell makes of it. */
function words(command: string): string[] {
  const script = command.replace(/^cnnf-defender/, "printf '%s\\n'");
  return execFileSync("/bin/sh", ["-c", script], { encoding: "utf8" }).trimEnd().split("\n");
}

it("is what a shell hands over, whatever is written for the address", () => {
  for (const address of ["10.86.0.250:7443", "[fd86::250]:7443", 'it\'s $(id) `id` "x" \\ ; rm', "bücher.example:7443"]) {
    expect(words(enrollCommand(address, "cnnf1.abc-_="))).toEqual(["enroll", "--controller", address, "--token", "cnnf1.abc-_="]);
  }
});

it("goes to the name that the page was opened with, if the controller has it", () => {
  const controllers = ["cnnf.example:7444", "10.86.0.250:7444", "[fd86::250]:7444"];
  expect(addressOf(controllers, "10.86.0.250")).toBe("10.86.0.250:7444");
  expect(addressOf(controllers, "[fd86::250]")).toBe("[fd86::250]:7444");
  expect(addressOf(controllers, "10.86.0.25")).toBe("cnnf.example:7444");
  expect(addressOf([], "any")).toBeUndefined();
});
