import { Code, ConnectError } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { atFields, violations } from "./violations";
import { badRequest } from "./violations.fixture";

function refusal(...of: [field: string, description: string][]): ConnectError {
  const error = new ConnectError("refused", Code.InvalidArgument);
  error.details = [
    { type: "google.rpc.Help", value: Uint8Array.of(255) },
    { type: "google.rpc.BadRequest", value: badRequest(...of) },
  ];
  return error;
}

describe("violations", () => {
  it("are read from what comes with a failure", () => {
    expect(violations(refusal(["new", "is too short"], ["rules[3].to", "ü"]))).toEqual([
      { field: "new", description: "is too short" },
      { field: "rules[3].to", description: "ü" },
    ]);
    expect(violations(new ConnectError("no", Code.Aborted))).toEqual([]);
    expect(violations(new TypeError("lost"))).toEqual([]);
    expect(violations(undefined)).toEqual([]);
  });
  it("go to their fields, and the rest below", () => {
    const both = refusal(["definition.units[2]", "is no glob"], ["base_revision", "is old"]);
    expect(atFields(both, "definition.units")).toEqual({ at: { "definition.units": "is no glob" }, rest: both });
    expect(atFields(refusal(["name", "is taken"]), "name", "role")).toEqual({ at: { name: "is taken" }, rest: undefined });
    expect(atFields(refusal(["names", "x"]), "name").rest).toBeDefined();
    expect(atFields(undefined, "name")).toEqual({ at: {}, rest: undefined });
  });
});
