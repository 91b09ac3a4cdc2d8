import { safe } from "~/text/safe";
import { STATUSES } from "./graph";
import { labels, Taken, widthOf } from "./labels";
import { CHANGE_ORDER, type Look, type LookKey, lookKey, lookOf, ORDER } from "./looks";
import type { Palette } from "./palette";
import { type Hull, type Line, pointAt, type Scene, type Spot } from "./scene";

/** Screen = world × k + (x, y). */
export interface Camera {
  k: number;
  x: number;
  y: number;
}

export interface Frame {
  width: number;
  height: number;
  camera: Camera;
  palette: Palette;
  /** Paint how edges differ from the time before, and not how they stand. */
  compared: boolean;
  selected: { spot?: string | undefined; line?: string | undefined };
}

/** What of a scene is lit; everything where it is absent. */
export interface Lit {
  spots: ReadonlySet<string>;
  lines: ReadonlySet<string>;
}

/** A scene's lines as a few paths, one for each look: a frame strokes each once. */
export interface Batches {
  scene: Scene;
  compared: boolean;
  paths: [LookKey, Path2D, number][];
  /** Lines with something written on them, the worst first. */
  marked: Line[];
}

const MOST_MARKS = 320;
const MOST_ARROWS = 1500;
const MOST_KEPT_OFF = 500;
/** More dots than this cost too much; then the colour and width have to do, and the table says it in words. */
const MOST_DASHED = 1500;

export function makeBatches(scene: Scene, compared: boolean, lit?: Lit): Batches {
  const paths = new Map<LookKey, { path: Path2D; lines: number }>();
  const marked: Line[] = [];
  for (const line of scene.lines.values()) {
    if (lit && !lit.lines.has(line.id)) continue;
    const key = lookKey(line, compared);
    let batch = paths.get(key);
    if (!batch) {
      batch = { path: new Path2D(), lines: 0 };
      paths.set(key, batch);
    }
    trace(batch.path, line);
    batch.lines += 1;
    if (lookOf(key).glyph) marked.push(line);
  }
  const order: readonly LookKey[] = compared ? CHANGE_ORDER : ORDER;
  marked.sort((a, b) => order.indexOf(lookKey(b, compared)) - order.indexOf(lookKey(a, compared)) || b.connections - a.connections);
  return {
    scene,
    compared,
    paths: order.flatMap((key) => {
      const batch = paths.get(key);
      return batch ? [[key, batch.path, batch.lines] as [LookKey, Path2D, number]] : [];
    }),
    marked,
  };
}

function trace(path: Path2D, line: Line) {
  path.moveTo(line.ax, line.ay);
  if (!line.curved) path.lineTo(line.bx, line.by);
  else if (line.from === line.to) {
    const { x, y, r } = line.from;
    path.bezierCurveTo(x - r * 2.4, y - r * 3.2, x + r * 2.4, y - r * 3.2, line.bx, line.by);
  } else path.quadraticCurveTo(line.cx, line.cy, line.bx, line.by);
}

/** Paints a scene. With `lit`, only that part of it, with its ports. */
export function paint(ctx: CanvasRenderingContext2D, batches: Batches, frame: Frame, ratio: number, lit?: Lit): void {
  const { scene } = batches;
  const { camera, palette, width, height } = frame;
  ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
  ctx.clearRect(0, 0, width, height);
  const seen = viewOf(frame);
  if (!lit) for (const hull of scene.hulls) paintHull(ctx, hull, frame, scene);

  ctx.setTransform(ratio * camera.k, 0, 0, ratio * camera.k, ratio * camera.x, ratio * camera.y);
  const chosen = scene.lines.get(frame.selected.line ?? "");
  if (chosen) halo(ctx, chosen, frame);
  for (const [key, path, lines] of batches.paths) {
    const look = lookOf(key);
    stroke(ctx, look, palette, camera.k, lines <= MOST_DASHED);
    // A thicket is a ground, not a foreground.
    if (look.glyph === "" && lines > 800) ctx.globalAlpha = look.alpha * Math.max(0.35, Math.min(1, 800 / lines + 0.3 * camera.k));
    ctx.stroke(path);
  }
  ctx.setLineDash([]);
  ctx.globalAlpha = 1;
  ctx.setTransform(ratio, 0, 0, ratio, 0, 0);

  arrows(ctx, batches, frame, seen, lit);
  const spots = [...scene.spots.values()].filter((spot) => (!lit || lit.spots.has(spot.id)) && inView(spot.x, spot.y, spot.r, seen));
  paintSpots(ctx, spots, frame);
  const taken = new Taken(width, height);
  // Names keep off the signs of others, where these are few enough to be told apart.
  if (spots.length <= MOST_KEPT_OFF) {
    for (const spot of spots) {
      const r = Math.max(2.6, spot.r * camera.k);
      taken.mark(spot.x * camera.k + camera.x - r, spot.y * camera.k + camera.y - r, 2 * r, 2 * r);
    }
  }
  marks(ctx, batches, frame, taken);
  if (lit || camera.k > 1.6) ports(ctx, scene, frame, seen, taken, lit);
  else if (chosen) plate(ctx, chosen, frame, taken, true);
  labels(ctx, spots, frame, taken);
}

interface View {
  left: number;
  top: number;
  right: number;
  bottom: number;
}

function viewOf({ camera, width, height }: Frame): View {
  const { k, x, y } = camera;
  return { left: -x / k, top: -y / k, right: (width - x) / k, bottom: (height - y) / k };
}

function inView(x: number, y: number, r: number, view: View): boolean {
  return x + r >= view.left && x - r <= view.right && y + r >= view.top && y - r <= view.bottom;
}

function stroke(ctx: CanvasRenderingContext2D, look: Look, palette: Palette, k: number, dashed: boolean) {
  ctx.strokeStyle = palette[look.colour];
  ctx.lineWidth = (look.width * Math.min(1, 0.55 + k * 0.5)) / k;
  ctx.setLineDash(dashed ? look.dash.map((length) => length / k) : []);
  ctx.globalAlpha = look.alpha;
}

/** What is chosen is seen among others that look the same. */
function halo(ctx: CanvasRenderingContext2D, line: Line, { camera, palette, compared }: Frame) {
  const path = new Path2D();
  trace(path, line);
  ctx.strokeStyle = palette.focus;
  ctx.lineWidth = (lookOf(lookKey(line, compared)).width + 8) / camera.k;
  ctx.globalAlpha = 0.35;
  ctx.setLineDash([]);
  ctx.stroke(path);
  ctx.globalAlpha = 1;
}

function paintHull(ctx: CanvasRenderingContext2D, hull: Hull, { camera, palette, width, height }: Frame, scene: Scene) {
  if (hull.folded || scene.hulls.length < 2) return;
  const [x, y, r] = [hull.x * camera.k + camera.x, hull.y * camera.k + camera.y, hull.r * camera.k];
  if (x + r < 0 || y + r < 0 || x - r > width || y - r > height) return;
  ctx.beginPath();
  ctx.arc(x, y, r, 0, 2 * Math.PI);
  ctx.fillStyle = palette["surface-1"];
  ctx.globalAlpha = 0.75;
  ctx.fill();
  ctx.globalAlpha = 1;
  ctx.strokeStyle = palette.border;
  ctx.lineWidth = 1;
  ctx.stroke();
  const box = hullLabel(hull, camera);
  if (r < 40 || !box) return;
  ctx.font = `600 11px ${palette.font}`;
  ctx.textAlign = "center";
  ctx.textBaseline = "middle";
  const label = safe(hull.group, 40);
  const wide = widthOf(ctx, label) + 10;
  ctx.fillStyle = palette.bg;
  ctx.fillRect(x - wide / 2, box.y + 2, wide, box.height - 4);
  ctx.fillStyle = palette["text-3"];
  ctx.fillText(label, x, box.y + box.height / 2);
}

/** Where a group's name stands on the screen: pressing it folds the group. */
export function hullLabel(hull: Hull, camera: Camera): { x: number; y: number; width: number; height: number } | undefined {
  if (hull.r * camera.k < 40) return undefined;
  const width = Math.min(40, hull.group.length) * 7 + 16;
  return { x: hull.x * camera.k + camera.x - width / 2, y: (hull.y - hull.r) * camera.k + camera.y - 10, width, height: 20 };
}

function arrows(ctx: CanvasRenderingContext2D, batches: Batches, frame: Frame, view: View, lit: Lit | undefined) {
  const { camera, palette, compared, selected } = frame;
  const near = camera.k > 0.85;
  let painted = 0;
  for (const line of batches.scene.lines.values()) {
    if (lit && !lit.lines.has(line.id)) continue;
    const key = lookKey(line, compared);
    const look = lookOf(key);
    if (!near && !lit && look.glyph === "" && line.id !== selected.line) continue;
    if (!inView(line.bx, line.by, 20, view)) continue;
    if (++painted > MOST_ARROWS) return;
    const [px, py] = line.from === line.to ? [line.bx + 6, line.by - 14] : line.curved ? [line.cx, line.cy] : [line.ax, line.ay];
    const angle = Math.atan2(line.by - py, line.bx - px);
    const size = 4.5 + look.width * 1.1;
    const [x, y] = [line.bx * camera.k + camera.x, line.by * camera.k + camera.y];
    ctx.globalAlpha = look.alpha;
    ctx.fillStyle = palette[look.colour];
    ctx.beginPath();
    ctx.moveTo(x, y);
    ctx.lineTo(x - size * Math.cos(angle - 0.42), y - size * Math.sin(angle - 0.42));
    ctx.lineTo(x - size * Math.cos(angle + 0.42), y - size * Math.sin(angle + 0.42));
    ctx.fill();
  }
  ctx.globalAlpha = 1;
}

const RINGS: Record<string, { colour: "learning" | "allow" | "border-strong"; dash: readonly number[]; width: number }> = {
  learning: { colour: "learning", dash: [2, 3], width: 2.2 },
  dry_run: { colour: "learning", dash: [7, 3], width: 2.2 },
  active: { colour: "allow", dash: [], width: 2.2 },
  archived: { colour: "border-strong", dash: [2, 4], width: 1.2 },
  "": { colour: "border-strong", dash: [], width: 1.2 },
};

function paintSpots(ctx: CanvasRenderingContext2D, spots: Spot[], frame: Frame) {
  const { camera, palette, selected } = frame;
  const at = (spot: Spot) => [spot.x * camera.k + camera.x, spot.y * camera.k + camera.y, Math.max(2.6, spot.r * camera.k)] as const;
  // All grounds at once, then all rings of a phase at once: few changes of style make a frame cheap.
  ctx.beginPath();
  for (const spot of spots) shape(ctx, spot, ...at(spot));
  ctx.fillStyle = palette["surface-2"];
  ctx.fill();
  for (const [phase, ring] of Object.entries(RINGS)) {
    ctx.beginPath();
    for (const spot of spots) if ((spot.kind === "service" ? spot.phase : "") === phase) shape(ctx, spot, ...at(spot));
    ctx.strokeStyle = palette[ring.colour];
    ctx.lineWidth = ring.width * Math.min(1, 0.4 + camera.k * 0.6);
    ctx.setLineDash(camera.k > 0.35 ? ring.dash : []);
    ctx.stroke();
  }
  ctx.setLineDash([]);
  // A filled heart enforces, an empty one only observes.
  const hearts = spots.filter((spot) => spot.kind === "service" && spot.r * camera.k > 5);
  for (const [filled, colour] of [
    [true, palette.accent],
    [false, palette["text-3"]],
  ] as const) {
    ctx.beginPath();
    for (const spot of hearts) {
      if (spot.mode === "" || (spot.mode === "enforce") !== filled) continue;
      const [x, y, r] = at(spot);
      ctx.moveTo(x + r * 0.36, y);
      ctx.arc(x, y, r * 0.36, 0, 2 * Math.PI);
    }
    ctx.fillStyle = ctx.strokeStyle = colour;
    ctx.lineWidth = 1.2;
    if (filled) ctx.fill();
    else ctx.stroke();
  }
  for (const spot of spots) {
    const [x, y, r] = at(spot);
    if (spot.kind === "group" && r > 9) {
      ctx.fillStyle = palette.text;
      ctx.font = `600 ${Math.max(10, Math.min(15, r * 0.5))}px ${palette.font}`;
      ctx.textAlign = "center";
      ctx.textBaseline = "middle";
      ctx.fillText(spot.note.split(" ")[0] ?? "", x, y + 0.5);
    }
    const bad = spot.status && STATUSES.indexOf(spot.status) <= 2 ? lookOf(spot.status) : undefined;
    if (bad && !frame.compared) {
      ctx.beginPath();
      shape(ctx, spot, x, y, r + 3.5);
      ctx.strokeStyle = palette[bad.colour];
      ctx.lineWidth = 1.6;
      ctx.globalAlpha = 0.85;
      ctx.stroke();
      ctx.globalAlpha = 1;
    }
    if (spot.id === selected.spot) {
      ctx.beginPath();
      shape(ctx, spot, x, y, r + 7);
      ctx.strokeStyle = palette.focus;
      ctx.lineWidth = 2.5;
      ctx.stroke();
    }
  }
}

function shape(ctx: CanvasRenderingContext2D, spot: Spot, x: number, y: number, r: number) {
  if (spot.kind === "address") {
    ctx.moveTo(x, y - r);
    ctx.lineTo(x + r, y);
    ctx.lineTo(x, y + r);
    ctx.lineTo(x - r, y);
    ctx.closePath();
  } else if (spot.kind === "object") {
    ctx.moveTo(x - r, y - r * 0.85);
    ctx.rect(x - r, y - r * 0.85, r * 2, r * 1.7);
  } else {
    ctx.moveTo(x + r, y);
    ctx.arc(x, y, r, 0, 2 * Math.PI);
    if (spot.kind === "group") {
      ctx.moveTo(x + r * 0.86, y);
      ctx.arc(x, y, r * 0.86, 0, 2 * Math.PI);
    }
  }
}

/** Signs on bad and changed lines. */
function marks(ctx: CanvasRenderingContext2D, batches: Batches, frame: Frame, taken: Taken) {
  const { camera, palette, compared } = frame;
  const near = camera.k > 0.06;
  let painted = 0;
  ctx.textAlign = "center";
  ctx.textBaseline = "middle";
  ctx.font = `700 12px ${palette.font}`;
  for (const line of batches.marked) {
    if (painted >= MOST_MARKS || !near) return;
    const [wx, wy] = pointAt(line, 0.5);
    const [x, y] = [wx * camera.k + camera.x, wy * camera.k + camera.y];
    if (!taken.take(x - 9, y - 9, 18, 18)) continue;
    painted += 1;
    const look = lookOf(lookKey(line, compared));
    ctx.beginPath();
    ctx.arc(x, y, 8, 0, 2 * Math.PI);
    ctx.fillStyle = palette.bg;
    ctx.fill();
    ctx.strokeStyle = palette[look.colour];
    ctx.lineWidth = line.id === frame.selected.line ? 2.5 : 1.5;
    ctx.stroke();
    ctx.fillStyle = palette[look.colour];
    ctx.fillText(look.glyph, x, y + 0.5);
  }
}

function ports(ctx: CanvasRenderingContext2D, scene: Scene, frame: Frame, view: View, taken: Taken, lit: Lit | undefined) {
  let painted = 0;
  const chosen = scene.lines.get(frame.selected.line ?? "");
  if (chosen && (!lit || lit.lines.has(chosen.id))) plate(ctx, chosen, frame, taken, true);
  for (const line of scene.lines.values()) {
    if (painted > 80) return;
    if (line === chosen || (lit && !lit.lines.has(line.id))) continue;
    const [x, y] = pointAt(line, 0.5);
    if (!inView(x, y, 0, view)) continue;
    plate(ctx, line, frame, taken);
    painted += 1;
  }
}

/** The ports of a line, where there is room; of the chosen one in any case. */
function plate(ctx: CanvasRenderingContext2D, line: Line, frame: Frame, taken: Taken, anyway = false) {
  const { camera, palette } = frame;
  const [wx, wy] = pointAt(line, 0.5);
  const [x, y] = [wx * camera.k + camera.x, wy * camera.k + camera.y];
  ctx.font = `500 11px ${palette.font}`;
  const text = safe(line.text, 48);
  const width = widthOf(ctx, text) + 10;
  const below = lookOf(lookKey(line, frame.compared)).glyph ? 19 : 0;
  const box = [x - width / 2, y - 8 + below, width, 16] as const;
  if (anyway) taken.mark(...box);
  else if (!taken.take(...box)) return;
  ctx.fillStyle = palette["surface-3"];
  ctx.beginPath();
  ctx.roundRect(x - width / 2, y - 8 + below, width, 16, 4);
  ctx.fill();
  ctx.fillStyle = palette.text;
  ctx.textAlign = "center";
  ctx.textBaseline = "middle";
  ctx.fillText(text, x, y + below + 0.5);
}
