import { create } from "@bufbuild/protobuf";
import { expect, it } from "vitest";
import { type Event, EventSchema } from "~/gen/cnnf/v1/event_pb";
import { absorb, type Entry, fold } from "./log";

function event(
  id: number,
  second: number,
  values: { kind?: string; acknowledged?: boolean; count?: bigint; server?: string; host?: string } = {},
): Event {
  const lastSeen = new Date(second * 1_000).toISOString();
  const { server, ...rest } = values;
  const ends =
    values.host === undefined ? { client: { service: "unit:curl", host: "a" }, server: { service: server ?? "unit:web", host: "b" } } : {};
  return create(EventSchema, { id: BigInt(id), kind: "rule_alert", count: 1n, protocol: "tcp", port: 80, lastSeen, ...ends, ...rest });
}
const keys = (entries: readonly Entry[]) => entries.map(({ key }) => key).join(" ");

it("keeps the newest first, by time, then by number", () => {
  let log = absorb([], [event(1, 10), event(2, 30), event(3, 20)]);
  expect(keys(log)).toBe("2 3 1");
  log = absorb(log, [event(4, 20), event(5, 5), event(6, 40)]);
  expect(keys(log)).toBe("6 2 4 3 1 5");
});
it("replaces what is known and moves it up", () => {
  const log = absorb(absorb([], [event(1, 10), event(2, 20)]), [event(1, 30, { count: 5n }), event(1, 31, { count: 6n })]);
  expect(keys(log)).toBe("1 2");
  expect(log[0]?.event.count).toBe(6n);
});
it("is the same in whatever pieces it comes", () => {
  const all = Array.from({ length: 500 }, (_, n) => event(n + 1, (n * 7919) % 101));
  const whole = keys(absorb([], all));
  let log: readonly Entry[] = [];
  for (let at = 0; at < all.length; at += 37) log = absorb(log, all.slice(at, at + 37));
  expect(keys(log)).toBe(whole);
  expect(keys(absorb(log, all.slice(0, 99)))).toBe(whole);
});
it("lets the oldest go", () => {
  expect(keys(absorb(absorb([], [event(1, 1), event(2, 2)], 2), [event(3, 3)], 2))).toBe("3 2");
});
it("folds what says the same, and counts exactly", () => {
  const log = absorb(
    [],
    [
      event(1, 1, { count: 2n, acknowledged: true }),
      event(2, 2, { server: "unit:db" }),
      event(3, 3, { count: 40n }),
      event(4, 4, { kind: "tamper", host: "a" }),
      event(5, 5, { kind: "tamper", host: "b" }),
    ],
  );
  const rows = fold(log, true);
  expect(rows.map(({ key, all, count, open }) => [key, all.length, count, open])).toEqual([
    ["5", 1, 1n, 1],
    ["4", 1, 1n, 1],
    ["3", 2, 42n, 1],
    ["2", 1, 1n, 1],
  ]);
  expect(fold(log, false)).toHaveLength(5);
});
it("takes 50,000 events in a moment", () => {
  const all = Array.from({ length: 50_000 }, (_, n) => event(n + 1, n));
  const log = absorb([], all);
  const before = performance.now();
  const next = absorb(log, [event(50_001, 50_001), event(7, 50_002)]);
  expect(performance.now() - before).toBeLessThan(250);
  expect(keys(next.slice(0, 3))).toBe("7 50001 50000");
});
