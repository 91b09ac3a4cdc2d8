import { expect, it } from "vitest";
import { changedFields } from "./changed";

it("names the fields that differ, at any depth", () => {
  const before = { name: "r", ports: ["tcp/80"], to: { service: "a", labels: { env: "prod" } }, same: 1 };
  const after = { name: "r", ports: ["tcp/80", "tcp/443"], to: { service: "b", labels: {} }, same: 1, owner: "dba" };
  expect(changedFields(JSON.stringify(before), JSON.stringify(after))).toEqual([
    { path: "ports", before: "tcp/80", after: "tcp/80, tcp/443" },
    { path: "to.service", before: "a", after: "b" },
    { path: "to.labels.env", before: "prod", after: "" },
    { path: "owner", before: "", after: "dba" },
  ]);
});
it("takes what was made, what is gone, and what is no JSON", () => {
  expect(changedFields("", '{"name":"r"}')).toEqual([{ path: "name", before: "", after: "r" }]);
  expect(changedFields('{"name":"r"}', "")).toEqual([{ path: "name", before: "r", after: "" }]);
  expect(changedFields("", "")).toEqual([]);
  expect(changedFields("{broken", "1h")).toEqual([{ path: "", before: "{broken", after: "1h" }]);
  expect(changedFields('"30m"', '"1h"')).toEqual([{ path: "", before: "30m", after: "1h" }]);
  expect(changedFields("1", '{"a":1}')).toEqual([{ path: "", before: "1", after: '{"a":1}' }]);
});
it("survives what is deep or wide", () => {
  const deep = `${'{"a":'.repeat(500)}1${"}".repeat(500)}`;
  expect(changedFields("", deep)).toHaveLength(1);
  const wide = JSON.stringify(Object.fromEntries(Array.from({ length: 5_000 }, (_, n) => [`k${n}`, n])));
  expect(changedFields("", wide)).toHaveLength(500);
});
it("does not stumble over a key of every object", () => {
  expect(changedFields("", '{"__proto__":{"x":1},"constructor":"c"}').map(({ path }) => path)).toContain("constructor");
});
