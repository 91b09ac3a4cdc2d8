import { hash, randomOf } from "./random";

/** What is to be placed. */
export interface LayoutInput {
  /** In any order. `group` is empty for what stands on the outer ring. */
  nodes: { id: string; group: string }[];
  links: readonly { from: string; to: string }[];
  /** Places that are to stay. */
  kept?: Record<string, readonly [number, number]> | undefined;
}

export interface Layout {
  places: Record<string, readonly [number, number]>;
}

/** The room of a node with its label. */
const WIDE = 118;
const HIGH = 84;
/** The picture is wider than high, as screens are. */
const ASPECT = 1.6;
/** Room around a group. */
const GAP = 46;
/** Larger groups are laid out in a spiral, as forces would take too long. */
const MOST_FORCED = 420;

interface Disc {
  name: string;
  x: number;
  y: number;
  r: number;
  members: { id: string; x: number; y: number }[];
}

/**
 * Places every node: groups by forces inside and packed beside each other by what they say to each other, addresses on an ellipse around
 * all. The same input gives the same places. What is in `kept` stays; what is new enters at the rim of its group.
 */
export function layout({ nodes, links, kept }: LayoutInput): Layout {
  const sorted = [...nodes].sort((a, b) => (a.id < b.id ? -1 : 1));
  const inner = sorted.filter((node) => node.group !== "");
  const outer = sorted.filter((node) => node.group === "");
  const places: Record<string, readonly [number, number]> = {};
  const stay = kept ?? {};
  if (inner.some((node) => stay[node.id])) enter(inner, stay, places);
  else arrange(inner, links, places);
  ring(outer, links, stay, places);
  return { places };
}

function arrange(inner: LayoutInput["nodes"], links: LayoutInput["links"], places: Record<string, readonly [number, number]>) {
  const groupOf = new Map(inner.map((node) => [node.id, node.group]));
  const members = new Map<string, string[]>();
  // In the order of their ids already.
  for (const { id, group } of inner) push(members, group, id);
  const inside = new Map<string, [string, string][]>();
  const between = new Map<string, number>();
  for (const { from, to } of links) {
    const [a, b] = [groupOf.get(from), groupOf.get(to)];
    if (a === undefined || b === undefined || from === to) continue;
    if (a === b) push(inside, a, [from, to]);
    else {
      const key = a < b ? `${a}\0${b}` : `${b}\0${a}`;
      between.set(key, (between.get(key) ?? 0) + 1);
    }
  }
  const discs = [...members].sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, ids]) => disc(name, ids, inside.get(name) ?? []));
  pack(discs, between);
  for (const { x, y, members } of discs) for (const member of members) places[member.id] = [x + member.x, y + member.y];
}

function push<T>(lists: Map<string, T[]>, key: string, entry: T) {
  const list = lists.get(key);
  if (list) list.push(entry);
  else lists.set(key, [entry]);
}

/** One group around its own middle. */
function disc(name: string, ids: string[], links: [string, string][]): Disc {
  const n = ids.length;
  // In a space where a node's room is a unit circle; stretched at the end.
  const xs = new Float64Array(n);
  const ys = new Float64Array(n);
  const order = ids.map((id, i) => [hash(id), i] as const).sort(([a, i], [b, j]) => a - b || i - j);
  for (const [at, [, i]] of order.entries()) {
    const radius = 0.62 * Math.sqrt(at + (n > 1 ? 0.6 : 0));
    const angle = at * 2.399963229728653;
    xs[i] = radius * Math.cos(angle) * (n > 1 ? 1 : 0);
    ys[i] = radius * Math.sin(angle) * (n > 1 ? 1 : 0);
  }
  if (n > 1 && n <= MOST_FORCED) {
    const at = new Map(ids.map((id, i) => [id, i]));
    const pairs = links.map(([a, b]) => [at.get(a) ?? 0, at.get(b) ?? 0] as const);
    relax(xs, ys, pairs, n <= 60 ? 220 : n <= 160 ? 110 : 50);
  }
  let r = 0;
  let [mx, my] = [0, 0];
  for (let i = 0; i < n; i++) {
    mx += (xs[i] ?? 0) / n;
    my += (ys[i] ?? 0) / n;
  }
  const members = ids.map((id, i) => ({ id, x: ((xs[i] ?? 0) - mx) * WIDE, y: ((ys[i] ?? 0) - my) * HIGH }));
  for (const { x, y } of members) r = Math.max(r, Math.hypot(x, y));
  return { name, x: 0, y: 0, r: r + GAP, members };
}

/** Springs along links, everybody keeps a distance, all are drawn to the middle; cooled. */
function relax(xs: Float64Array, ys: Float64Array, pairs: (readonly [number, number])[], rounds: number) {
  const n = xs.length;
  const dx = new Float64Array(n);
  const dy = new Float64Array(n);
  const degree = new Float64Array(n);
  for (const [a, b] of pairs) {
    degree[a] = (degree[a] ?? 0) + 1;
    degree[b] = (degree[b] ?? 0) + 1;
  }
  for (let round = 0; round < rounds; round++) {
    const heat = 0.35 * (1 - round / rounds) + 0.01;
    dx.fill(0);
    dy.fill(0);
    for (let i = 0; i < n; i++) {
      const [x, y] = [xs[i] ?? 0, ys[i] ?? 0];
      for (let j = i + 1; j < n; j++) {
        const ex = x - (xs[j] ?? 0) || 1e-6;
        const ey = y - (ys[j] ?? 0) || 1e-6;
        const square = ex * ex + ey * ey;
        // Close ones push hard, far ones hardly.
        const push = square < 1 ? 0.9 / (square + 0.05) : 0.42 / square;
        dx[i] = (dx[i] ?? 0) + ex * push;
        dy[i] = (dy[i] ?? 0) + ey * push;
        dx[j] = (dx[j] ?? 0) - ex * push;
        dy[j] = (dy[j] ?? 0) - ey * push;
      }
      dx[i] = (dx[i] ?? 0) - x * 0.34;
      dy[i] = (dy[i] ?? 0) - y * 0.34;
    }
    for (const [a, b] of pairs) {
      const ex = (xs[b] ?? 0) - (xs[a] ?? 0);
      const ey = (ys[b] ?? 0) - (ys[a] ?? 0);
      const far = Math.hypot(ex, ey) || 1e-6;
      const pull = ((far - 1.15) / far) * (1.2 / Math.sqrt(Math.min(degree[a] ?? 1, degree[b] ?? 1)));
      dx[a] = (dx[a] ?? 0) + ex * pull;
      dy[a] = (dy[a] ?? 0) + ey * pull;
      dx[b] = (dx[b] ?? 0) - ex * pull;
      dy[b] = (dy[b] ?? 0) - ey * pull;
    }
    for (let i = 0; i < n; i++) {
      const step = Math.hypot(dx[i] ?? 0, dy[i] ?? 0) || 1;
      const scale = Math.min(step, heat) / step;
      xs[i] = (xs[i] ?? 0) + (dx[i] ?? 0) * scale;
      ys[i] = (ys[i] ?? 0) + (dy[i] ?? 0) * scale;
    }
  }
}

/** Puts discs beside each other: those that talk are near, none overlap. */
function pack(discs: Disc[], between: Map<string, number>) {
  const at = new Map(discs.map((disc, i) => [disc.name, i]));
  const pulls = [...between]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .flatMap(([key, count]) => {
      const [a, b] = key.split("\0").map((name) => discs[at.get(name) ?? 0]);
      return a && b ? [{ a, b, weight: Math.min(1, 0.25 + Math.log2(1 + count) / 8) }] : [];
    });
  const bySize = [...discs].sort((a, b) => b.r - a.r || (a.name < b.name ? -1 : 1));
  let area = 0;
  for (const [i, disc] of bySize.entries()) {
    const radius = i === 0 ? 0 : Math.sqrt(area / Math.PI) + disc.r;
    const angle = i * 2.399963229728653;
    disc.x = radius * Math.cos(angle) * ASPECT;
    disc.y = (radius * Math.sin(angle)) / ASPECT;
    area += Math.PI * disc.r * disc.r * 1.4;
  }
  const rounds = discs.length > 300 ? 60 : 260;
  for (let round = 0; round < rounds; round++) {
    const heat = 1 - round / rounds;
    for (const { a, b, weight } of pulls) {
      const far = Math.hypot(b.x - a.x, b.y - a.y) || 1;
      const move = Math.max(0, far - a.r - b.r - GAP) * 0.06 * weight * heat;
      const [ux, uy] = [((b.x - a.x) / far) * move, ((b.y - a.y) / far) * move];
      const share = b.r / (a.r + b.r);
      a.x += ux * share;
      a.y += uy * share;
      b.x -= ux * (1 - share);
      b.y -= uy * (1 - share);
    }
    for (const disc of discs) {
      disc.x -= disc.x * 0.012 * heat;
      disc.y -= disc.y * 0.012 * heat * ASPECT * ASPECT;
    }
    apart(discs);
  }
  for (let round = 0; round < 40 && apart(discs); round++);
}

/** Moves overlapping discs apart; whether there were any. */
function apart(discs: Disc[]): boolean {
  let any = false;
  for (let i = 0; i < discs.length; i++) {
    const a = discs[i] as Disc;
    for (let j = i + 1; j < discs.length; j++) {
      const b = discs[j] as Disc;
      const least = a.r + b.r + GAP / 2;
      const [ex, ey] = [b.x - a.x || 0.01, b.y - a.y || 0.01];
      if (Math.abs(ex) >= least || Math.abs(ey) >= least) continue;
      const far = Math.hypot(ex, ey);
      if (far >= least - 0.5) continue;
      any = true;
      const [ux, uy] = [(ex / far) * (least - far), (ey / far) * (least - far)];
      const share = b.r / (a.r + b.r);
      a.x -= ux * share;
      a.y -= uy * share;
      b.x += ux * (1 - share);
      b.y += uy * (1 - share);
    }
  }
  return any;
}

/** New ones join what stands: at their group's rim, or outside of all where the group is new. */
function enter(
  inner: LayoutInput["nodes"],
  stay: Record<string, readonly [number, number]>,
  places: Record<string, readonly [number, number]>,
) {
  const fresh: LayoutInput["nodes"] = [];
  for (const node of inner) {
    const place = stay[node.id];
    if (place) places[node.id] = place;
    else fresh.push(node);
  }
  const groupOf = new Map(inner.map((node) => [node.id, node.group]));
  for (const node of fresh) {
    const mates = Object.entries(places).filter(([id]) => groupOf.get(id) === node.group);
    const around = mates.length > 0 ? mates.map(([, place]) => place) : Object.values(places);
    const [mx, my] = middle(around);
    const far = around.reduce((most, [x, y]) => Math.max(most, Math.hypot(x - mx, y - my)), 0);
    places[node.id] = free(node.id, mx, my, far + (mates.length > 0 ? HIGH : 2 * HIGH), Object.values(places));
  }
}

function middle(places: (readonly [number, number])[]): [number, number] {
  let [x, y] = [0, 0];
  for (const place of places) {
    x += place[0] / places.length;
    y += place[1] / places.length;
  }
  return [x, y];
}

/** A free place on a circle, or on a wider one; the same for the same id. */
function free(id: string, mx: number, my: number, radius: number, taken: (readonly [number, number])[]): readonly [number, number] {
  const random = randomOf(hash(id));
  for (let attempt = 0; ; attempt++) {
    const angle = random() * 2 * Math.PI;
    const r = radius + Math.floor(attempt / 24) * HIGH;
    const [x, y] = [mx + r * Math.cos(angle), my + r * Math.sin(angle)];
    const clear = taken.every(([ox, oy]) => Math.abs(ox - x) >= WIDE * 0.9 || Math.abs(oy - y) >= HIGH * 0.9);
    if (clear || attempt > 400) return [x, y];
  }
}

/** Addresses on an ellipse around all, near what they talk to; on several where one is too short. */
function ring(
  outer: LayoutInput["nodes"],
  links: LayoutInput["links"],
  stay: Record<string, readonly [number, number]>,
  places: Record<string, readonly [number, number]>,
) {
  if (outer.length === 0) return;
  const inside = Object.values(places);
  const [mx, my] = inside.length > 0 ? middle(inside) : [0, 0];
  let [rx, ry] = [WIDE, HIGH];
  for (const [x, y] of inside) {
    // The ellipse must hold the point: grow both axes until it does.
    const grow = Math.hypot((x - mx) / rx, (y - my) / ry);
    if (grow > 1) {
      rx *= grow;
      ry *= grow;
    }
  }
  rx += WIDE * 1.1;
  ry += HIGH * 1.3;
  const toward = new Map<string, [number, number]>();
  for (const { from, to } of links) {
    for (const [id, peer] of [
      [from, to],
      [to, from],
    ] as const) {
      const place = places[peer];
      if (!place) continue;
      const sum = toward.get(id) ?? [0, 0];
      toward.set(id, [sum[0] + (place[0] - mx) / rx, sum[1] + (place[1] - my) / ry]);
    }
  }
  const fixed: (readonly [number, number])[] = [];
  const wanted: { id: string; angle: number }[] = [];
  for (const { id } of outer) {
    const place = stay[id];
    if (place) {
      places[id] = place;
      fixed.push(place);
      continue;
    }
    const sum = toward.get(id);
    // Those of one service would all want the same place: a little aside, each to its own.
    const aside = (hash(id) / 4294967296 - 0.5) * 0.7;
    wanted.push({
      id,
      angle: (sum && Math.hypot(...sum) > 1e-6 ? Math.atan2(sum[1], sum[0]) : (hash(id) / 4294967296) * 2 * Math.PI) + aside,
    });
  }
  wanted.sort((a, b) => a.angle - b.angle || (a.id < b.id ? -1 : 1));
  if (fixed.length > 0) {
    for (const { id, angle } of wanted) {
      const taken = Object.values(places);
      let place: readonly [number, number] = [0, 0];
      for (let attempt = 0; attempt < 200; attempt++) {
        const turn = angle + ((attempt + 1) >> 1) * (attempt % 2 ? 0.07 : -0.07);
        const wide = 1 + Math.floor(attempt / 60) * 0.12;
        place = [mx + rx * wide * Math.cos(turn), my + ry * wide * Math.sin(turn)];
        if (taken.every(([x, y]) => Math.abs(x - place[0]) >= WIDE * 0.8 || Math.abs(y - place[1]) >= HIGH * 0.5)) break;
      }
      places[id] = place;
    }
    return;
  }
  const around = 2 * Math.PI * Math.sqrt((rx * rx + ry * ry) / 2);
  const each = Math.max(1, Math.floor(around / WIDE));
  const rings = Math.ceil(wanted.length / each);
  const least = (2 * Math.PI) / Math.max(each, Math.ceil(wanted.length / rings));
  for (let at = 0; at < rings; at++) {
    const some = wanted.filter((_, i) => i % rings === at);
    spread(some, least);
    const wide = 1 + (at * HIGH * 0.9) / ry;
    for (const { id, angle } of some) places[id] = [mx + rx * wide * Math.cos(angle), my + ry * wide * Math.sin(angle)];
  }
}

/** Moves angles apart until neighbours are at least `least` away from each other, as far as that is possible. */
function spread(some: { angle: number }[], least: number) {
  const n = some.length;
  for (let round = 0; round < 120; round++) {
    let moved = false;
    for (let i = 0; i < n; i++) {
      const a = some[i];
      const b = some[(i + 1) % n];
      if (!a || !b || a === b) continue;
      const gap = b.angle - a.angle + (i === n - 1 ? 2 * Math.PI : 0);
      if (gap >= least - 1e-4) continue;
      moved = true;
      a.angle -= (least - gap) / 2;
      b.angle += (least - gap) / 2;
    }
    if (!moved) return;
  }
}
