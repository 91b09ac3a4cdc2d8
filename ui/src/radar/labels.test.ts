import { describe, expect, it } from "vitest";
import { free, Taken } from "./labels";
import type { Spot } from "./scene";

const spot = { x: 100, y: 100, r: 10 } as Spot;
const frame = { camera: { k: 1, x: 0, y: 0 } };

describe("a name", () => {
  it("stands below its sign, else above or beside it, and nowhere on another one", () => {
    const taken = new Taken(300, 300);
    const found = [1, 2, 3, 4, 5].map(() => free(spot, 60, frame, taken, true));
    expect(found).toEqual([[70, 123], [70, 78], [119, 100], [21, 100], undefined]);
  });
  it("of one among many is left out where it does not fit below", () => {
    const taken = new Taken(300, 300);
    taken.mark(60, 110, 90, 30);
    expect(free(spot, 60, frame, taken, false)).toBeUndefined();
    expect(free(spot, 60, frame, taken, true)).toEqual([70, 78]);
  });
});
