import type { Shown } from "./filter";
import { CHANGES, type Change, linkId, STATUSES, type Status, worse } from "./graph";
import type { Groups } from "./group";

type Places = Record<string, readonly [number, number]>;

/** Something round at a place: a service, an address, an object, or a group that is folded into a bubble. */
export interface Spot {
  id: string;
  x: number;
  y: number;
  r: number;
  kind: "service" | "address" | "object" | "group";
  label: string;
  /** Written beside the label: "×3", or how many services. */
  note: string;
  status: Status | undefined;
  phase: string;
  mode: string;
  hub: boolean;
  degree: number;
}

/** A line between two spots, for one link or, at a bubble, for several. */
export interface Line {
  id: string;
  from: Spot;
  to: Spot;
  /** From rim to rim; the control point of its curve, where it has one. */
  ax: number;
  ay: number;
  bx: number;
  by: number;
  cx: number;
  cy: number;
  curved: boolean;
  status: Status;
  hot: boolean;
  change: Change | undefined;
  connections: number;
  text: string;
  links: string[];
}

/** The ground that a group stands on. */
export interface Hull {
  group: string;
  x: number;
  y: number;
  r: number;
  services: number;
  worst: Status | undefined;
  folded: boolean;
}

export interface Scene {
  spots: Map<string, Spot>;
  lines: Map<string, Line>;
  hulls: Hull[];
  /** Which spot stands for a node. */
  spotOf: Map<string, string>;
  bounds: { left: number; top: number; right: number; bottom: number };
}

/** Over this many services, groups start folded. */
export const MOST_UNFOLDED = 300;
export const ADDRESSES = "addresses";

export function groupId(group: string): string {
  return `group:${group}`;
}

/** Which groups are folded: all of a large picture but the opened, else the closed. */
export function foldedGroups(shown: Shown, groups: Groups, open: readonly string[], closed: readonly string[]): Set<string> {
  const names = new Set<string>();
  let services = 0;
  let addresses = 0;
  for (const node of shown.nodes.values()) {
    const group = groups.get(node.id);
    if (group !== undefined) names.add(group);
    if (node.kind === "service") services += 1;
    else addresses += 1;
  }
  const large = services > MOST_UNFOLDED;
  const folded = new Set([...names].filter((name) => (large ? !open.includes(name) : closed.includes(name))));
  if (addresses > MOST_UNFOLDED / 4 ? !open.includes(ADDRESSES) : closed.includes(ADDRESSES)) folded.add(ADDRESSES);
  return folded;
}

function radius(kind: Spot["kind"], count: number): number {
  if (kind === "group") return Math.min(64, 20 + 5.5 * Math.log2(1 + count));
  if (kind !== "service") return 8;
  return Math.min(34, 10 + 4 * Math.log2(Math.max(1, count)));
}

/** What is drawn, and where: `shown` at its places, with folded groups as bubbles. Pure; made anew whenever something changes. */
export function makeScene(shown: Shown, groups: Groups, places: Places, folded: Set<string>): Scene {
  const spots = new Map<string, Spot>();
  const spotOf = new Map<string, string>();
  const hubs = new Set(shown.hubs.map((hub) => hub.id));
  const members = new Map<string, { x: number; y: number; count: number; instances: number; worst: Status | undefined; ids: string[] }>();

  for (const node of shown.nodes.values()) {
    const place = places[node.id];
    if (!place) continue; // not laid out yet
    const group = node.kind === "service" ? groups.get(node.id) : ADDRESSES;
    if (group !== undefined) {
      const sum = members.get(group) ?? { x: 0, y: 0, count: 0, instances: 0, worst: undefined, ids: [] };
      sum.x += place[0];
      sum.y += place[1];
      sum.count += 1;
      sum.instances += node.instances;
      sum.worst = worse(sum.worst, node.worst);
      sum.ids.push(node.id);
      members.set(group, sum);
    }
    const inBubble = group !== undefined && folded.has(group);
    spotOf.set(node.id, inBubble ? groupId(group) : node.id);
    if (inBubble) continue;
    spots.set(node.id, {
      id: node.id,
      x: place[0],
      y: place[1],
      r: radius(node.kind, node.instances),
      kind: node.kind,
      label: node.name,
      note: node.instances > 1 ? `×${node.instances}` : "",
      status: node.worst,
      phase: node.phase,
      mode: node.mode,
      hub: hubs.has(node.id),
      degree: 0,
    });
  }

  const hulls: Hull[] = [];
  for (const [group, { x, y, count, instances, worst, ids }] of members) {
    let [cx, cy] = [x / count, y / count];
    // Addresses stand around all; their bubble below.
    if (group === ADDRESSES) cy = Math.max(...ids.map((id) => places[id]?.[1] ?? 0));
    if (group === ADDRESSES) cx = Object.values(places).reduce((sum, [px]) => sum + px, 0) / Math.max(1, Object.keys(places).length);
    const far = ids.reduce((most, id) => Math.max(most, Math.hypot((places[id]?.[0] ?? cx) - cx, (places[id]?.[1] ?? cy) - cy)), 0);
    if (folded.has(group)) {
      spots.set(groupId(group), {
        id: groupId(group),
        x: cx,
        y: cy,
        // Seen from as far as the whole picture is, it must still be seen; it stays inside of the group's own ground.
        r:
          group === ADDRESSES ? radius("group", count) : Math.max(radius("group", count), Math.min(far * 0.55, 34 + 11 * Math.sqrt(count))),
        kind: "group",
        label: group,
        note: group === ADDRESSES ? String(count) : `${count} · ×${instances}`,
        status: worst,
        phase: "",
        mode: "",
        hub: false,
        degree: 0,
      });
    }
    if (group === ADDRESSES) continue;
    hulls.push({ group, x: cx, y: cy, r: far + 44, services: count, worst, folded: folded.has(group) });
  }
  hulls.sort((a, b) => (a.group < b.group ? -1 : 1));

  const lines = new Map<string, Line>();
  for (const link of shown.links.values()) {
    const from = spots.get(spotOf.get(link.from) ?? "");
    const to = spots.get(spotOf.get(link.to) ?? "");
    if (!from || !to) continue;
    if (from === to && from.kind === "group") continue; // inside the bubble
    const id = from.kind === "group" || to.kind === "group" ? linkId(from.id, to.id) : link.id;
    const text =
      link.ports.length > 3
        ? `${link.ports
            .slice(0, 2)
            .map((port) => port.text)
            .join(" ")} +${link.ports.length - 2}`
        : link.ports.map((port) => port.text).join(" ");
    const known = lines.get(id);
    if (known) {
      known.links.push(link.id);
      known.connections += link.connections;
      if (link.hot && (!known.hot || STATUSES.indexOf(link.status) < STATUSES.indexOf(known.status))) known.status = link.status;
      known.hot ||= link.hot;
      known.change = CHANGES.find((change) => change === known.change || change === link.change);
      known.text = `${known.links.length} links`;
      continue;
    }
    from.degree += 1;
    to.degree += 1;
    const { status, hot, change, connections } = link;
    lines.set(id, {
      id,
      from,
      to,
      ax: 0,
      ay: 0,
      bx: 0,
      by: 0,
      cx: 0,
      cy: 0,
      curved: false,
      status,
      hot,
      change,
      connections,
      text,
      links: [link.id],
    });
  }
  for (const line of lines.values()) bend(line, lines.has(linkId(line.to.id, line.from.id)));

  const bounds = { left: Infinity, top: Infinity, right: -Infinity, bottom: -Infinity };
  const reach = (x: number, y: number, r: number) => {
    bounds.left = Math.min(bounds.left, x - r);
    bounds.right = Math.max(bounds.right, x + r);
    bounds.top = Math.min(bounds.top, y - r);
    bounds.bottom = Math.max(bounds.bottom, y + r);
  };
  for (const { x, y, r } of spots.values()) reach(x, y, r + 26);
  for (const hull of hulls) if (!hull.folded) reach(hull.x, hull.y, hull.r);
  if (spots.size === 0) reach(0, 0, 100);
  return { spots, lines, hulls, spotOf, bounds };
}

/** From rim to rim; aside where there is one the other way, and around where it comes back. */
function bend(line: Line, back: boolean) {
  const { from, to } = line;
  if (from === to) {
    const r = from.r;
    Object.assign(line, {
      ax: from.x - r * 0.7,
      ay: from.y - r * 0.7,
      bx: from.x + r * 0.7,
      by: from.y - r * 0.7,
      cx: from.x,
      cy: from.y - r * 3.4,
      curved: true,
    });
    return;
  }
  const [dx, dy] = [to.x - from.x, to.y - from.y];
  const far = Math.hypot(dx, dy) || 1;
  const [ux, uy] = [dx / far, dy / far];
  const aside = back ? Math.min(26, far * 0.12) : 0;
  const turn = aside / (far / 2);
  // The curve leaves the rims a little turned.
  const leave = (spot: Spot, sign: number) => {
    const [vx, vy] = [ux * sign - uy * turn, uy * sign + ux * turn];
    const length = Math.hypot(vx, vy);
    const gap = spot.r + 3;
    return [spot.x + (vx / length) * gap, spot.y + (vy / length) * gap] as const;
  };
  const [ax, ay] = leave(from, 1);
  const [bx, by] = leave(to, -1);
  Object.assign(line, { ax, ay, bx, by, cx: (ax + bx) / 2 - uy * aside * 1.6, cy: (ay + by) / 2 + ux * aside * 1.6, curved: back });
}

/** The point of a line at `t` of its way. */
export function pointAt(line: Line, t: number): [number, number] {
  if (!line.curved) return [line.ax + (line.bx - line.ax) * t, line.ay + (line.by - line.ay) * t];
  const s = 1 - t;
  return [s * s * line.ax + 2 * s * t * line.cx + t * t * line.bx, s * s * line.ay + 2 * s * t * line.cy + t * t * line.by];
}
