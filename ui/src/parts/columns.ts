import type { ReactNode } from "react";

/** A column. Columns stay the same between drawings, so that rows do not draw anew for nothing. */
export interface Column<Row> {
  id: string;
  head: string;
  /** A track of a CSS grid, such as `minmax(120px, 2fr)`. */
  width: string;
  cell(row: Row): ReactNode;
  /** What clicking the head sorts by. */
  sort?(a: Row, b: Row): number;
  /** Left out where there is no room, those with the highest number first. */
  drop?: number;
  end?: boolean;
  /** The head is for screen readers only. */
  quiet?: boolean;
}

/** How a table is sorted; by "" it is in its own order. */
export interface Sort {
  by: string;
  down: boolean;
}

/** The width of the grip that rows are dragged by, the gap between columns, and the room at both sides, as in the style. */
export const GRIP = 22;
const GAP = 12;
const SIDES = 32;

/** The columns for which there is room in `width` pixels, beside `extra`; all before the width is known. */
export function fitting<Row>(columns: readonly Column<Row>[], width: number, extra: number): readonly Column<Row>[] {
  let shown = columns;
  while (width > 0 && least(shown, extra) > width) {
    const drop = Math.max(...shown.map((column) => column.drop ?? 0));
    if (drop === 0) break;
    shown = shown.filter((column) => column.drop !== drop);
  }
  return shown;
}

function least<Row>(columns: readonly Column<Row>[], extra: number): number {
  const tracks = columns.map(({ width }) => Number(/(\d+)px/.exec(width)?.[1] ?? 0));
  if (extra > 0) tracks.push(extra);
  return tracks.reduce((sum, track) => sum + track, SIDES + GAP * (tracks.length - 1));
}

/** Rows in the order that `sort` says. */
export function sorted<Row>(rows: readonly Row[], columns: readonly Column<Row>[], sort: Sort): readonly Row[] {
  const by = columns.find(({ id }) => id === sort.by)?.sort;
  if (!by) return rows;
  return [...rows].sort(sort.down ? (a, b) => by(b, a) : by);
}
