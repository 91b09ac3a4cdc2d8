import Graphology from "graphology";
import louvain from "graphology-communities-louvain";
import type { Link, Node } from "./graph";
import { randomOf } from "./random";

/** What groups are made of: of a graph only who there is and how much they say to each other. */
export interface Bonds {
  nodes: ReadonlyMap<Node["id"], Pick<Node, "id" | "name" | "kind" | "hosts">>;
  links: ReadonlyMap<string, Pick<Link, "from" | "to"> & { ports: { length: number } }>;
}

/** How services are put together: "auto", "host", "label:KEY" or "none". */
export type GroupBy = string;

/** A group's id for each service; addresses and objects have none. */
export type Groups = Map<string, string>;

/** Services without a connection to another service stand together. */
export const ALONE = "on their own";
/** Services that nearly all others talk to. */
export const SHARED = "used by many";
/** Who talks to more than this part of all, and at least so many, is a hub. */
export const HUB_PART = 0.15;
export const LEAST_HUB = 14;

/**
 * Groups the services of a graph. The same graph gives the same groups. `kept` are groups from before: they stay as they are, and a new
 * service joins the group that it talks to most, so that a live update regroups nothing.
 */
export function groupBy(graph: Bonds, by: GroupBy, labels: Map<string, Record<string, string>>, kept?: Groups): Groups {
  const groups: Groups = new Map();
  const services = [...graph.nodes.values()].filter((node) => node.kind === "service");
  if (by === "none") return groups;
  if (by === "host" || by.startsWith("label:")) {
    const key = by.slice("label:".length);
    for (const node of services) {
      const values = by === "host" ? node.hosts : node.hosts.map((host) => labels.get(host)?.[key]).filter((value) => value !== undefined);
      const distinct = [...new Set(values)].sort();
      groups.set(
        node.id,
        distinct.length > 3 ? `${distinct.length} ${by === "host" ? "hosts" : `of ${key}`}` : distinct.join(" + ") || `no ${key || "host"}`,
      );
    }
    return groups;
  }
  return automatic(graph, services.map((node) => node.id).sort(), kept);
}

function automatic(graph: Bonds, services: string[], kept: Groups | undefined): Groups {
  const groups: Groups = new Map();
  const known = new Set(services);
  const between = new Map<string, Map<string, number>>();
  const add = (a: string, b: string, weight: number) => {
    const row = between.get(a) ?? new Map<string, number>();
    row.set(b, (row.get(b) ?? 0) + weight);
    between.set(a, row);
  };
  for (const { from, to, ports } of graph.links.values()) {
    if (from === to || !known.has(from) || !known.has(to)) continue;
    add(from, to, ports.length);
    add(to, from, ports.length);
  }
  if (kept && services.some((id) => kept.has(id))) {
    for (const id of services) groups.set(id, kept.get(id) ?? nearest(between.get(id), kept));
    return groups;
  }

  // Whom nearly everybody talks to binds nobody together.
  const degree = (id: string) => between.get(id)?.size ?? 0;
  const shared = new Set(services.filter((id) => degree(id) >= LEAST_HUB && degree(id) > services.length * HUB_PART));
  const communities = new Graphology({ type: "undirected" });
  const connected = services.filter((id) => between.has(id) && !shared.has(id));
  for (const id of connected) communities.addNode(id);
  for (const id of connected) {
    for (const [other, weight] of [...(between.get(id) ?? [])].sort()) {
      if (id < other && !shared.has(other)) communities.addEdge(id, other, { weight });
    }
  }
  const found = communities.size > 0 ? louvain(communities, { getEdgeWeight: "weight", rng: randomOf(1), randomWalk: false }) : {};
  const members = new Map<number, string[]>();
  for (const id of connected) {
    if (communities.degree(id) === 0) continue;
    const community = found[id] ?? -1;
    members.set(community, [...(members.get(community) ?? []), id]);
  }
  const names = new Map<string, number>();
  for (const ids of members.values()) {
    let name = nameOf(ids, graph, degree);
    const used = names.get(name) ?? 0;
    names.set(name, used + 1);
    if (used > 0) name = `${name} ${used + 1}`;
    for (const id of ids) groups.set(id, name);
  }
  for (const id of services) if (!groups.has(id)) groups.set(id, shared.has(id) ? SHARED : ALONE);
  return groups;
}

/** A group is called after how most of its members' names begin, else after the member with the most peers. */
function nameOf(ids: string[], graph: Bonds, degree: (id: string) => number): string {
  const name = (id: string) => graph.nodes.get(id)?.name ?? id;
  const beginnings = new Map<string, number>();
  for (const id of ids) {
    const [word, rest] = [name(id).split(/[-_.@/]/, 1)[0] ?? "", name(id)];
    if (word.length > 2 && word.length < rest.length) beginnings.set(word, (beginnings.get(word) ?? 0) + 1);
  }
  const [word, n] = [...beginnings].sort(([a, x], [b, y]) => y - x || (a < b ? -1 : 1))[0] ?? ["", 0];
  if (ids.length > 2 && n > ids.length * 0.6) return word;
  return name(ids.reduce((head, id) => (degree(id) > degree(head) ? id : head)));
}

function nearest(row: Map<string, number> | undefined, kept: Groups): string {
  const votes = new Map<string, number>();
  for (const [other, weight] of row ?? []) {
    const group = kept.get(other);
    if (group) votes.set(group, (votes.get(group) ?? 0) + weight);
  }
  const best = [...votes].sort(([a, x], [b, y]) => y - x || (a < b ? -1 : 1))[0];
  return best?.[0] ?? ALONE;
}
