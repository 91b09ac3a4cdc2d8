import { safe } from "~/text/safe";
import { STATUSES } from "./graph";
import type { Camera, Frame } from "./paint";
import type { Spot } from "./scene";

const MOST_LABELS = 180;
/** Of so few each has its name somewhere, where that can be. */
const FEW = 60;

/** Names, the worst state first, where there is room. */
export function labels(ctx: CanvasRenderingContext2D, spots: Spot[], frame: Frame, taken: Taken) {
  const { camera, palette, selected } = frame;
  const rank = (spot: Spot) => {
    if (spot.id === selected.spot) return -10;
    if (spot.kind === "group") return -2;
    if (spot.hub) return -1;
    const bad = spot.status ? STATUSES.indexOf(spot.status) : STATUSES.length;
    return bad <= 2 ? bad : 3;
  };
  const sorted = [...spots].sort((a, b) => rank(a) - rank(b) || b.degree - a.degree || b.r - a.r || (a.id < b.id ? -1 : 1));
  ctx.textBaseline = "middle";
  let painted = 0;
  let tried = 0;
  for (const spot of sorted) {
    if (painted >= MOST_LABELS || tried > 4 * MOST_LABELS) return;
    if (camera.k < 0.22 && rank(spot) === 3 && spots.length > 80) return;
    tried += 1;
    const name = safe(spot.label, 28);
    const note = spot.kind === "group" ? (spot.note.split(" · ")[1] ?? "") : spot.note;
    ctx.font = `${spot.kind === "group" || spot.id === selected.spot ? 600 : 500} 12px ${palette.font}`;
    const own = widthOf(ctx, name);
    const more = note ? widthOf(ctx, note) + 5 : 0;
    const place = free(spot, own + more, frame, taken, rank(spot) < 3 || spots.length <= FEW);
    if (!place) continue;
    const [x, y] = place;
    painted += 1;
    ctx.textAlign = "left";
    // A ground and no outline: stroking glyphs costs more than all else in a frame.
    ctx.globalAlpha = 0.72;
    ctx.fillStyle = palette.bg;
    ctx.fillRect(x - 3, y - 7, own + more + 6, 14);
    ctx.globalAlpha = 1;
    ctx.fillStyle = spot.kind === "address" || spot.kind === "object" ? palette["text-2"] : palette.text;
    ctx.fillText(name, x, y);
    if (note) {
      ctx.fillStyle = palette["text-3"];
      ctx.fillText(note, x + own + 5, y);
    }
  }
}

/** Where a name of this width has room: below its sign, else, where that matters, above or beside it. */
export function free(
  { x, y, r }: Spot,
  width: number,
  { camera }: { camera: Camera },
  taken: Taken,
  everywhere: boolean,
): [number, number] | undefined {
  const [cx, cy, rim] = [x * camera.k + camera.x, y * camera.k + camera.y, Math.max(2.6, r * camera.k)];
  const places: [number, number][] = [
    [cx - width / 2, cy + rim + 13],
    [cx - width / 2, cy - rim - 12],
    [cx + rim + 9, cy],
    [cx - rim - 9 - width, cy],
  ];
  return (everywhere ? places : places.slice(0, 1)).find(([left, middle]) => taken.take(left - 2, middle - 6, width + 4, 12));
}

const widths = new Map<string, number>();

export function widthOf(ctx: CanvasRenderingContext2D, text: string): number {
  const key = `${ctx.font}\0${text}`;
  let width = widths.get(key);
  if (width === undefined) {
    width = ctx.measureText(text).width;
    if (widths.size > 20_000) widths.clear();
    widths.set(key, width);
  }
  return width;
}

/** Which parts of the screen have something written on them: a grid of small cells. */
export class Taken {
  private static readonly CELL = 6;
  private readonly columns: number;
  private readonly rows: number;
  private readonly cells: Uint8Array;

  constructor(width: number, height: number) {
    this.columns = Math.ceil(width / Taken.CELL) + 1;
    this.rows = Math.ceil(height / Taken.CELL) + 1;
    this.cells = new Uint8Array(this.columns * this.rows);
  }

  /** Takes a part, whatever is there. */
  mark(x: number, y: number, width: number, height: number): void {
    const left = Math.max(0, Math.ceil(x / Taken.CELL));
    const right = Math.min(this.columns - 1, Math.floor((x + width) / Taken.CELL) - 1);
    const bottom = Math.min(this.rows - 1, Math.floor((y + height) / Taken.CELL) - 1);
    for (let row = Math.max(0, Math.ceil(y / Taken.CELL)); row <= bottom; row++) {
      if (right >= left) this.cells.fill(1, row * this.columns + left, row * this.columns + right + 1);
    }
  }

  /** Takes a part if all of it is free and on the screen. */
  take(x: number, y: number, width: number, height: number): boolean {
    const left = Math.max(0, Math.floor(x / Taken.CELL));
    const top = Math.max(0, Math.floor(y / Taken.CELL));
    const right = Math.min(this.columns - 1, Math.floor((x + width) / Taken.CELL));
    const bottom = Math.min(this.rows - 1, Math.floor((y + height) / Taken.CELL));
    if (right < left || bottom < top) return false;
    for (let row = top; row <= bottom; row++) {
      for (let column = left; column <= right; column++) if (this.cells[row * this.columns + column]) return false;
    }
    for (let row = top; row <= bottom; row++) this.cells.fill(1, row * this.columns + left, row * this.columns + right + 1);
    return true;
  }
}
