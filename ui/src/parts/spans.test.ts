import { expect, it } from "vitest";
import { left, millis, since, span } from "./spans";

it("counts down, and shows no zero while there is time", () => {
  expect([300_000, 299_001, 1, 0, -5, 3_729_000].map(left)).toEqual(["5:00", "5:00", "0:01", "0:00", "0:00", "1:02:09"]);
});
it("reads spans", () => {
  expect(span("1h 30m")).toBe(5_400_000);
  expect(span("7d")).toBe(604_800_000);
  expect(span("90 s")).toBe(90_000);
  expect(span("2 weeks")).toBe(1_209_600_000);
  for (const none of ["", "h", "1", "1h x", "-1h", "soon"]) expect(span(none), none).toBeUndefined();
});
it("reads times, back from now or by date", () => {
  expect(since("1h", 3_600_000)).toBe(0);
  expect(since("2026-01-01T00:00:00Z", 0)).toBe(Date.UTC(2026, 0, 1));
  expect(since("yesterday", 0)).toBeUndefined();
  expect(millis("")).toBeUndefined();
  expect(millis("never")).toBeUndefined();
});
