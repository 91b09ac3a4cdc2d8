import { Code, ConnectError } from "@connectrpc/connect";
import { expect, it } from "vitest";
import { badRequest } from "~/api/violations.fixture";
import { atRule, expiry, inDraft, isService, wrongObject, wrongRule } from "./check";
import { NEW_RULE } from "./draft/draft";

const OBJECTS = [{ name: "office", addresses: ["10.8.0.0/16"] }];
const OTHERS = [{ key: "id:1", want: { ...NEW_RULE, name: "taken", from: "any", to: "unit:a" } }];
const wrong = (values: Partial<typeof NEW_RULE>, ports = "any", key?: string) =>
  Object.keys(wrongRule({ ...NEW_RULE, name: "r", from: "web", to: "unit:db", ...values }, ports, key, OTHERS, OBJECTS));

it("takes what the controller takes", () => {
  expect(wrong({})).toEqual([]);
  expect(wrong({ from: "any" })).toEqual([]);
  expect(wrong({ from: "office" })).toEqual([]);
  expect(wrong({ from: "10.0.0.0/8,fd86::-fd86::9" })).toEqual([]);
  expect(wrong({ to: "unit:postgresql@*", expires: "7d" }, "tcp/5432")).toEqual([]);
  expect(wrong({ name: "taken" }, "any", "id:1")).toEqual([]);
  expect(wrong({ to: "exe:/opt/x-y" })).toEqual([]);
});
it("names the field that is wrong", () => {
  expect(wrong({ name: " " })).toEqual(["name"]);
  expect(wrong({ name: "taken" })).toEqual(["name"]);
  expect(wrong({ from: "" })).toEqual(["from"]);
  expect(wrong({ from: "10.0.0.1/8" })).toEqual(["from"]);
  expect(wrong({ from: "any", to: "office" })).toEqual(["to"]);
  expect(wrong({}, "http")).toEqual(["ports"]);
  expect(wrong({ expires: "soon" })).toEqual(["expires"]);
});
it("knows a service from other ends", () => {
  expect(["web", "unit:*", "exe:/usr/bin/curl"].map((end) => isService(end, OBJECTS))).toEqual([true, true, true]);
  expect(["any", "office", "10.0.0.1", "::/0", ""].map((end) => isService(end, OBJECTS))).toEqual([false, false, false, false, false]);
});
it("sends spans as times", () => {
  expect(expiry("1h", 0)).toBe("1970-01-01T01:00:00Z");
  expect(expiry("2027-01-31", 0)).toBe("2027-01-31");
  expect(expiry("", 0)).toBe("");
  expect(expiry("2027-99-99", 0)).toBeUndefined();
});
it("checks objects", () => {
  const check = (name: string, addresses: string[]) => Object.keys(wrongObject({ name, addresses }, undefined, OBJECTS));
  expect(check("lab", ["fd00::/8"])).toEqual([]);
  expect(check("office", ["fd00::/8"])).toEqual(["name"]);
  expect(check("any", ["fd00::/8"])).toEqual(["name"]);
  expect(check("a:b", [])).toEqual(["name", "addresses"]);
  expect(check("lab", ["ten"])).toEqual(["addresses"]);
});
it("finds the rule that the controller means", () => {
  const bad = (field: string) =>
    Object.assign(new ConnectError(`${field}: is nothing`, Code.InvalidArgument), {
      details: [{ type: "google.rpc.BadRequest", value: badRequest([field, "is nothing"]) }],
    });
  const draft = { rules: [...OTHERS, { key: "new:1", want: { ...NEW_RULE, name: "mine" } }] };
  expect(atRule(bad("rules[1].from_labels"), draft, undefined)).toEqual({ at: { fromLabels: "is nothing" }, rest: undefined });
  expect(atRule(bad("rules[0].to"), draft, "id:1").at).toEqual({ to: "is nothing" });
  expect(atRule(bad("rules[0].to"), draft, "new:1").at).toEqual({});
  expect(inDraft(bad("rules[1].from"), draft)).toBe("mine: from: is nothing");
  expect(inDraft(bad("objects[1].name"), draft)).toBe("objects[1].name: is nothing");
});
