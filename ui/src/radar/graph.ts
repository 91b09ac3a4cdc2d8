import type { DiffEdgesResponse, ObservedEdge, Radar } from "~/gen/cnnf/v1/admin_pb";
import type { Peer } from "~/gen/cnnf/v1/common_pb";
import type { Event } from "~/gen/cnnf/v1/event_pb";
import { port as portText } from "~/text/format";

/** How an edge stands, worst first. "would" is what a host that only observes would have prevented. */
export const STATUSES = ["prevented", "would", "alerted", "unlearned", "learning", "learned", "by_rule"] as const;
export type Status = (typeof STATUSES)[number];

/** How an edge differs from the time before. */
export const CHANGES = ["new", "gone", "more", "less"] as const;
export type Change = (typeof CHANGES)[number];

/** The worse of two. */
export function worse(a: Status | undefined, b: Status | undefined): Status | undefined {
  if (!a || !b) return a ?? b;
  return STATUSES.indexOf(a) < STATUSES.indexOf(b) ? a : b;
}

/** One port of a link: what the controller calls an edge. */
export interface Port {
  protocol: string;
  port: number;
  text: string;
  status: Status;
  /** Seen in the time range. */
  hot: boolean;
  connections: number;
  bytes: number;
  firstSeen: string;
  lastSeen: string;
  change: Change | undefined;
  /** Connections in the time before, where times are compared and it changed. */
  before: number | undefined;
}

/** All that one node does to another: a line of the picture. */
export interface Link {
  id: string;
  from: string;
  to: string;
  status: Status;
  hot: boolean;
  connections: number;
  bytes: number;
  lastSeen: string;
  change: Change | undefined;
  ports: Port[];
}

export interface Node {
  id: string;
  name: string;
  kind: "service" | "address" | "object";
  instances: number;
  hosts: string[];
  phase: string;
  mode: string;
  worst: Status | undefined;
}

/** The whole picture, by id. */
export interface Graph {
  nodes: Map<string, Node>;
  links: Map<string, Link>;
}

/** A peer's id among the nodes. */
export function peerId(peer: Peer | undefined): string {
  return peer ? peer.service || peer.object || peer.address : "";
}

const escaped = (id: string) => id.replace(/[%>]/g, (c) => (c === "%" ? "%25" : "%3E"));

/** A link's name in the address; two links never have the same. */
export function linkId(from: string, to: string): string {
  return `${escaped(from)}>${escaped(to)}`;
}

const portKey = (from: string, to: string, protocol: string, port: number) => `${linkId(from, to)} ${protocol}/${port}`;

function isStatus(word: string): word is Status {
  return (STATUSES as readonly string[]).includes(word);
}

export interface Sources {
  /** All that was ever seen. */
  all: Radar;
  /** What was seen in the time range; absent where that is everything. */
  ranged?: Radar | undefined;
  /** Open events of the range: what only would have been prevented. */
  events?: readonly Event[];
  /** Against the time before. */
  diff?: DiffEdgesResponse | undefined;
}

/** Edges that gave open events of the kinds "would_…", by the port's key. */
function wouldHave(events: readonly Event[]): Set<string> {
  const found = new Set<string>();
  for (const event of events) {
    if (!event.kind.startsWith("would_") || event.acknowledged) continue;
    const ends = [event.client, event.server].map((party) => (party ? [party.service, party.address].filter(Boolean) : []));
    for (const from of ends[0] ?? []) for (const to of ends[1] ?? []) found.add(portKey(from, to, event.protocol, event.port));
  }
  return found;
}

/** Puts what the controller says together: links of ports, what is hot, what would have been, what changed. */
export function buildGraph({ all, ranged, events = [], diff }: Sources): Graph {
  const nodes = new Map<string, Node>();
  for (const radar of ranged ? [all, ranged] : [all]) {
    for (const { id, name, kind, instances, hosts, phase, mode } of radar.nodes) {
      if (kind !== "service" && kind !== "address" && kind !== "object") continue;
      nodes.set(id, { id, name, kind, instances, hosts, phase, mode, worst: undefined });
    }
  }
  const would = wouldHave(events);
  const ports = new Map<string, [string, string, Port]>();
  const put = (edge: ObservedEdge, hot: boolean) => {
    const [from, to] = [peerId(edge.client), peerId(edge.server)];
    if (!from || !to) return;
    const key = portKey(from, to, edge.protocol, edge.port);
    let status: Status = isStatus(edge.status) ? edge.status : "learning";
    if (status === "alerted" && would.has(key)) status = "would";
    ports.set(key, [
      from,
      to,
      {
        protocol: edge.protocol,
        port: edge.port,
        text: portText(edge.protocol, edge.port),
        status,
        hot,
        connections: Number(edge.connections),
        bytes: Number(edge.bytes),
        firstSeen: edge.firstSeen,
        lastSeen: edge.lastSeen,
        change: undefined,
        before: undefined,
      },
    ]);
  };
  for (const edge of all.edges) put(edge, !ranged);
  for (const edge of ranged?.edges ?? []) put(edge, true);
  if (diff) mark(diff, ports, put);

  const links = new Map<string, Link>();
  for (const [from, to, port] of ports.values()) {
    for (const id of [from, to]) {
      if (!nodes.has(id)) nodes.set(id, { id, name: id, kind: "address", instances: 0, hosts: [], phase: "", mode: "", worst: undefined });
    }
    const id = linkId(from, to);
    const link = links.get(id);
    if (link) link.ports.push(port);
    else {
      const { status, hot, connections, bytes, lastSeen, change } = port;
      links.set(id, { id, from, to, status, hot, connections, bytes, lastSeen, change, ports: [port] });
    }
  }
  for (const link of links.values()) sum(link, nodes);
  return { nodes, links };
}

function mark(diff: DiffEdgesResponse, ports: Map<string, [string, string, Port]>, put: (edge: ObservedEdge, hot: boolean) => void) {
  const set = (edge: ObservedEdge | undefined, change: Change, before?: number) => {
    if (!edge) return;
    const key = portKey(peerId(edge.client), peerId(edge.server), edge.protocol, edge.port);
    if (!ports.has(key)) put(edge, change !== "gone");
    const port = ports.get(key)?.[2];
    if (port) Object.assign(port, { change, before });
  };
  for (const edge of diff.new) set(edge, "new");
  for (const edge of diff.gone) set(edge, "gone", Number(edge.connections));
  for (const { edge, connectionsBefore } of diff.changed) {
    set(edge, Number(edge?.connections ?? 0n) > Number(connectionsBefore) ? "more" : "less", Number(connectionsBefore));
  }
}

function sum(link: Link, nodes: Map<string, Node>) {
  link.ports.sort((a, b) => STATUSES.indexOf(a.status) - STATUSES.indexOf(b.status) || b.connections - a.connections || a.port - b.port);
  // What is hot decides the colour; what is not only where nothing is.
  const hot = link.ports.filter((port) => port.hot);
  const counted = hot.length > 0 ? hot : link.ports;
  link.hot = hot.length > 0;
  link.connections = counted.reduce((total, port) => total + port.connections, 0);
  link.bytes = counted.reduce((total, port) => total + port.bytes, 0);
  link.lastSeen = link.ports.reduce((last, port) => (port.lastSeen > last ? port.lastSeen : last), "");
  link.status = counted.reduce<Status | undefined>((status, port) => worse(status, port.status), undefined) ?? "learning";
  const changes = new Set(link.ports.map((port) => port.change));
  link.change = CHANGES.find((change) => changes.has(change));
  if (link.change === "gone" && changes.size > 1) link.change = "less";
  if (!link.hot) return;
  for (const id of [link.from, link.to]) {
    const node = nodes.get(id);
    if (node) node.worst = worse(node.worst, link.status);
  }
}

/** Links by the ids of their ends. */
export function neighbours(links: Iterable<Link>): Map<string, Link[]> {
  const found = new Map<string, Link[]>();
  for (const link of links) {
    for (const id of link.from === link.to ? [link.from] : [link.from, link.to]) {
      const known = found.get(id);
      if (known) known.push(link);
      else found.set(id, [link]);
    }
  }
  return found;
}
