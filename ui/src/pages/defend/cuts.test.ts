import { create } from "@bufbuild/protobuf";
import { expect, it } from "vitest";
import { LiveCutSchema, ShiftSchema } from "~/gen/cnnf/v1/admin_pb";
import { cutsBy } from "./cuts";

const now = Date.parse("2026-11-24T12:00:00Z");
const edge = { client: { service: "unit:a" }, server: { service: "unit:b" }, protocol: "tcp", port: 1 };
const shift = (effect: string, lastSeen: string) => create(ShiftSchema, { edge, after: { effect }, lastSeen });
const recent = shift("prevent", "2026-11-24T11:59:30Z");
const old = shift("prevent", "2026-11-24T10:00:00Z");

it("cuts are what hosts count, and where one does not say, what was used in the last minute", () => {
  const none = create(LiveCutSchema, { hosts: 2 });
  const some = create(LiveCutSchema, { hosts: 2, cuts: [{ host: "h", edge, connections: 3n }] });
  const silent = create(LiveCutSchema, { hosts: 1, silent: [{ host: "h", why: "it is not connected" }] });
  const found = [undefined, none, some, silent].map((live) => [recent, old].map(cutsBy(live, now)));
  expect(found).toEqual([
    [true, false],
    [false, false],
    [true, true],
    [true, false],
  ]);
  expect(cutsBy(some, now)(shift("alert", "2026-11-24T11:59:30Z"))).toBe(false);
});
