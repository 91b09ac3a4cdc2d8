import { expect, it } from "vitest";
import { type Column, fitting, sorted } from "./columns";

const column = (id: string, width: string, drop?: number): Column<number> => ({
  id,
  head: id,
  width,
  cell: () => null,
  ...(drop ? { drop } : {}),
  sort: (a, b) => a - b,
});
const COLUMNS = [column("a", "minmax(100px, 2fr)"), column("b", "80px", 2), column("c", "60px", 1), column("d", "30px")];
const ids = (width: number, extra = 0) =>
  fitting(COLUMNS, width, extra)
    .map(({ id }) => id)
    .join("");

it("leaves out what has no room, the least needed first", () => {
  expect([0, 338, 337, 246, 245, 10].map((width) => ids(width))).toEqual(["abcd", "abcd", "acd", "acd", "ad", "ad"]);
  expect(ids(338, 22)).toBe("acd");
});
it("sorts both ways, or not at all", () => {
  expect(sorted([2, 3, 1], COLUMNS, { by: "a", down: false })).toEqual([1, 2, 3]);
  expect(sorted([2, 3, 1], COLUMNS, { by: "a", down: true })).toEqual([3, 2, 1]);
  expect(sorted([2, 3, 1], COLUMNS, { by: "", down: true })).toEqual([2, 3, 1]);
});
