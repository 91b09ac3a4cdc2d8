import type { Change, Status } from "./graph";
import type { Colour } from "./palette";
import type { Line } from "./scene";

/** How a line looks. Each differs from every other in more than its colour. */
export interface Look {
  colour: Colour;
  /** In pixels of the screen. */
  width: number;
  /** Dash pattern in pixels; empty for a full line. */
  dash: readonly number[];
  alpha: number;
  /** Written on the line. */
  glyph: string;
}

export const LOOKS: Record<Status | "idle", Look> = {
  prevented: { colour: "prevent", width: 3.2, dash: [], alpha: 1, glyph: "×" },
  would: { colour: "would", width: 2.4, dash: [10, 3, 2, 3], alpha: 1, glyph: "⊗" },
  alerted: { colour: "alert", width: 2.2, dash: [8, 4], alpha: 1, glyph: "!" },
  unlearned: { colour: "unlearned", width: 1.5, dash: [4, 3], alpha: 1, glyph: "" },
  learning: { colour: "learning", width: 1.4, dash: [1.5, 3.5], alpha: 0.95, glyph: "" },
  learned: { colour: "learned", width: 1.1, dash: [], alpha: 0.9, glyph: "" },
  by_rule: { colour: "allow", width: 1.2, dash: [14, 3], alpha: 0.85, glyph: "" },
  idle: { colour: "learned", width: 0.8, dash: [], alpha: 0.4, glyph: "" },
};

export const CHANGE_LOOKS: Record<Change | "same", Look> = {
  new: { colour: "allow", width: 2.8, dash: [], alpha: 1, glyph: "+" },
  gone: { colour: "alert", width: 2, dash: [3, 4], alpha: 1, glyph: "−" },
  more: { colour: "learning", width: 2.2, dash: [12, 3], alpha: 1, glyph: "↑" },
  less: { colour: "would", width: 1.8, dash: [7, 5], alpha: 1, glyph: "↓" },
  same: { colour: "learned", width: 0.9, dash: [], alpha: 0.45, glyph: "" },
};

/** Painted in this order: what matters most lies on top. */
export const ORDER = ["idle", "learned", "by_rule", "learning", "unlearned", "alerted", "would", "prevented"] as const;
export const CHANGE_ORDER = ["same", "less", "more", "gone", "new"] as const;

export type LookKey = Status | "idle" | Change | "same";

export function lookKey(line: Line, compared: boolean): LookKey {
  if (compared) return line.change ?? "same";
  return line.hot ? line.status : "idle";
}

export function lookOf(key: LookKey): Look {
  return key in LOOKS ? LOOKS[key as Status | "idle"] : CHANGE_LOOKS[key as Change | "same"];
}
