import { shortName } from "~/text/safe";
import { CHANGES, type Change, type Graph, type Link, type Node, neighbours, type Port, STATUSES, type Status } from "./graph";
import { HUB_PART, LEAST_HUB } from "./group";

/** What the legend tells apart: how links stand, or how they changed. */
export type Kind = Status | "idle" | Change | "same";
export const STANDING: readonly Kind[] = [...STATUSES, "idle"];
export const CHANGED: readonly Kind[] = [...CHANGES, "same"];

export function kindOf(link: Pick<Link, "hot" | "status" | "change">, compared: boolean): Kind {
  if (compared) return link.change ?? "same";
  return link.hot ? link.status : "idle";
}

/** What is wanted of the picture. */
export interface Wanted {
  /** As typed: words that must all hold, see `parseQuery`. */
  query: string;
  /** What is not wanted of the legend; "idle" is whatever was not seen in the time range, "same" what did not change. */
  hidden: readonly Kind[];
  /** By what changed since the time before, and not by how it stands. */
  compared?: boolean;
  /** Only nodes with edges. */
  connected: boolean;
  /** Hubs whose edges are wanted all the same. */
  hubs: readonly string[];
}

const FIELDS = ["host", "port", "label", "phase", "mode", "kind"] as const;
type Field = (typeof FIELDS)[number];
export interface Term {
  field: Field | "text";
  value: string;
}

/** `web host:app1 port:tcp/80 label:env=prod phase:learning` → its terms. Quotes hold spaces together; what is no field is text. */
export function parseQuery(query: string): Term[] {
  const words = query.match(/(?:[^\s"]|"[^"]*"?)+/g) ?? [];
  return words.flatMap((word) => {
    const bare = word.replaceAll('"', "");
    const field = FIELDS.find((name) => bare.toLowerCase().startsWith(`${name}:`));
    const value = field ? bare.slice(field.length + 1) : bare;
    return value === "" ? [] : [{ field: field ?? "text", value: value.toLowerCase() }];
  });
}

export type Labels = Map<string, Record<string, string>>;

function nodeHas(node: Node | undefined, { field, value }: Term, labels: Labels): boolean {
  if (!node) return false;
  switch (field) {
    case "text":
      return node.name.toLowerCase().includes(value) || node.id.toLowerCase().includes(value);
    case "host":
      return node.hosts.some((host) => host.toLowerCase() === value);
    case "phase":
      return node.phase === value;
    case "mode":
      return node.mode === value;
    case "kind":
      return node.kind === value;
    case "label":
      return node.hosts.some((host) =>
        Object.entries(labels.get(host) ?? {}).some(([key, is]) => `${key}=${is}`.toLowerCase() === value || key.toLowerCase() === value),
      );
    case "port":
      return false;
  }
}

function portHas(port: Port, value: string): boolean {
  return port.text === value || String(port.port) === value || port.protocol === value;
}

/** The part of a graph that is wanted, which services are hubs, and what was left out for that. */
export interface Shown extends Graph {
  hubs: { id: string; peers: number; open: boolean }[];
  /** Links that only a hub's chip stands for. */
  folded: number;
}

export function filterGraph(graph: Graph, wanted: Wanted, labels: Labels): Shown {
  const terms = parseQuery(wanted.query);
  const portTerms = terms.filter((term) => term.field === "port");
  const nodeTerms = terms.filter((term) => term.field !== "port");
  const matches = new Map<string, boolean>();
  for (const node of graph.nodes.values())
    matches.set(
      node.id,
      nodeTerms.every((term) => nodeHas(node, term, labels)),
    );

  const compared = wanted.compared ?? false;
  // What is hidden of the other legend does not count.
  const kinds = compared ? CHANGED : STANDING;
  const hidden = new Set(wanted.hidden.filter((kind) => kinds.includes(kind)));
  let links = [...graph.links.values()].filter((link) => {
    if (hidden.has(kindOf(link, compared))) return false;
    // Each term at either end: "web db" shows what is between them.
    if (!nodeTerms.every((term) => nodeHas(graph.nodes.get(link.from), term, labels) || nodeHas(graph.nodes.get(link.to), term, labels)))
      return false;
    return portTerms.every((term) => link.ports.some((port) => portHas(port, term.value)));
  });

  // Who wants no connections at all wants to see the services; who wants some wants to see whose they are.
  const none = kinds.every((kind) => hidden.has(kind));
  const linked = none && wanted.connected ? new Set([...graph.links.values()].flatMap(({ from, to }) => [from, to])) : undefined;
  const services = [...graph.nodes.values()].filter((node) => node.kind === "service").length;
  const peers = new Map<string, Set<string>>();
  for (const { from, to } of links) {
    for (const [id, peer] of [
      [from, to],
      [to, from],
    ] as const) {
      if (id !== peer) peers.set(id, (peers.get(id) ?? new Set()).add(peer));
    }
  }
  const hubs = [...peers]
    .filter(
      ([id, set]) => set.size >= LEAST_HUB && set.size > services * HUB_PART && graph.nodes.get(id)?.kind === "service" && !terms.length,
    )
    .map(([id, set]) => ({ id, peers: set.size, open: wanted.hubs.includes(id) }))
    .sort((a, b) => b.peers - a.peers || (a.id < b.id ? -1 : 1));
  const closed = new Set(hubs.filter((hub) => !hub.open).map((hub) => hub.id));
  const before = links.length;
  // What is amiss is shown, hub or not.
  links = links.filter((link) => !(closed.has(link.from) || closed.has(link.to)) || isBad(link));

  const ends = new Set(links.flatMap(({ from, to }) => [from, to]));
  const nodes = new Map<string, Node>();
  for (const [id, node] of graph.nodes) {
    const lonely = matches.get(id) === true && portTerms.length === 0 && (hidden.size === 0 || none) && node.kind === "service";
    if (ends.has(id) || (lonely && linked?.has(id)) || closed.has(id) || (!wanted.connected && lonely) || (lonely && terms.length > 0))
      nodes.set(id, node);
  }
  // Whom only a hub connects is still connected.
  if (wanted.connected) for (const hub of closed) for (const id of peers.get(hub) ?? []) put(nodes, graph, id);
  return { nodes, links: new Map(links.map((link) => [link.id, link])), hubs, folded: before - links.length };
}

function put(nodes: Map<string, Node>, graph: Graph, id: string) {
  const node = graph.nodes.get(id);
  if (node) nodes.set(id, node);
}

/** Whether somebody should look at it. */
export function isBad(link: Link): boolean {
  return link.hot && (link.status === "prevented" || link.status === "would" || link.status === "alerted");
}

/** How many links there are of each kind, whatever is hidden: for the legend. */
export function tally(graph: Graph, compared: boolean): Record<Kind, number> {
  const counts = Object.fromEntries([...STANDING, ...CHANGED].map((kind) => [kind, 0])) as Record<Kind, number>;
  for (const link of graph.links.values()) counts[kindOf(link, compared)] += 1;
  return counts;
}

/** What somebody who typed this may mean: whole words to put in the place of the last one. */
export function suggest(graph: Graph, labels: Labels, query: string, most = 8): { insert: string; kind: string; name: string }[] {
  const last = /(?:[^\s"]|"[^"]*"?)*$/.exec(query)?.[0] ?? "";
  const typed = last.replaceAll('"', "").toLowerCase();
  if (typed === "") return [];
  const quoted = (text: string) => (/\s/.test(text) ? `"${text}"` : text);
  const found: { insert: string; kind: string; name: string; rank: number }[] = [];
  const offer = (kind: string, name: string, insert: string, extra = 0) => {
    const at = Math.min(...[name, insert].map((text) => text.toLowerCase().indexOf(typed)).map((i) => (i < 0 ? 1e9 : i)));
    if (at < 1e9) found.push({ insert: quoted(insert), kind, name, rank: at * 10 + extra });
  };
  for (const node of graph.nodes.values()) offer(node.kind, node.name || shortName(node.id), node.id, node.kind === "service" ? 0 : 1);
  for (const host of new Set([...graph.nodes.values()].flatMap((node) => node.hosts))) offer("host", host, `host:${host}`, 2);
  const pairs = new Set([...labels.values()].flatMap((own) => Object.entries(own).map(([key, value]) => `${key}=${value}`)));
  for (const pair of pairs) offer("label", pair, `label:${pair}`, 3);
  for (const port of new Set([...graph.links.values()].flatMap((link) => link.ports.map((port) => port.text))))
    offer("port", port, `port:${port}`, 4);
  for (const phase of ["learning", "dry_run", "active", "archived"]) offer("phase", phase, `phase:${phase}`, 5);
  for (const mode of ["observe", "enforce"]) offer("mode", mode, `mode:${mode}`, 5);
  found.sort((a, b) => a.rank - b.rank || a.name.length - b.name.length || (a.name < b.name ? -1 : 1));
  return found.slice(0, most).map(({ insert, kind, name }) => ({ insert, kind, name }));
}

/** A query with its last word replaced. */
export function complete(query: string, insert: string): string {
  return `${query.replace(/(?:[^\s"]|"[^"]*"?)*$/, "")}${insert} `;
}

/** Whom a service can reach, by the number of steps, following connections as they are opened: what is at risk if it is taken over. */
export function blastRadius(graph: Graph, from: string): { id: string; steps: number }[] {
  const next = neighbours(graph.links.values());
  const steps = new Map([[from, 0]]);
  const queue = [from];
  for (let id = queue.shift(); id !== undefined; id = queue.shift()) {
    for (const link of next.get(id) ?? []) {
      // What was prevented is no way.
      if (link.from !== id || link.status === "prevented" || steps.has(link.to)) continue;
      steps.set(link.to, (steps.get(id) ?? 0) + 1);
      if (graph.nodes.get(link.to)?.kind === "service") queue.push(link.to);
    }
  }
  steps.delete(from);
  return [...steps].map(([id, count]) => ({ id, steps: count })).sort((a, b) => a.steps - b.steps || (a.id < b.id ? -1 : 1));
}
