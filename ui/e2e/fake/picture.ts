/** What the made-up controller has seen of who talks to whom, and how far a service may reach. */

import { Code, ConnectError } from "@connectrpc/connect";
import { ago, HOSTILE, MINUTE, NODES } from "./samples";
import type { World } from "./world";

type Peer = { service?: string; address?: string; object?: string };
/** An edge as the picture has it. */
export interface Seen {
  client: Peer;
  server: Peer;
  protocol: string;
  port: number;
  status: string;
  connections: bigint;
  bytes: bigint;
  firstSeen: string;
  lastSeen: string;
}
export interface Picture {
  nodes: { id: string; name: string; kind: string; instances?: number; hosts?: string[]; phase?: string; mode?: string }[];
  edges: Seen[];
}

/** A shop: who asks whom, and how that stands. */
const TALKS: [string, string, number, string, number][] = [
  ["office", "unit:nginx", 443, "by_rule", 2],
  ["198.51.100.0/24", "unit:nginx", 443, "learned", 1],
  ["unit:nginx", "unit:shop", 8080, "learned", 1],
  ["unit:shop", "unit:postgresql@15-main", 5432, "by_rule", 1],
  ["unit:shop", "unit:redis-server", 6379, "learned", 1],
  ["unit:shop", "unit:rabbitmq", 5672, "unlearned", 3],
  ["container:registry/worker:2", "unit:rabbitmq", 5672, "learning", 2],
  ["container:registry/worker:2", "unit:postgresql@15-main", 5432, "learning", 2],
  ["unit:prometheus", "unit:node-exporter", 9100, "learned", 1],
  ["unit:prometheus", "container:registry/worker:2", 9000, "learning", 4],
  ["exe:/usr/bin/curl", "unit:shop", 8080, "alerted", 6],
  ["exe:/usr/bin/curl", "unit:postgresql@15-main", 5432, "prevented", 3],
  ["exe:/opt/shop/worker.py", "unit:redis-server", 6379, "learned", 9],
  ["svc:billing", "unit:postgresql@15-main", 5432, "prevented", 50],
  ["unit:nginx", "unit:mail", 25, "learned", 5_000],
];

export function somePicture(hostile: boolean): Picture {
  const nodes: Picture["nodes"] = NODES.map(([id, host, , phase], n) => ({
    id,
    name: id.slice(id.indexOf(":") + 1).replace(/^.*\//, ""),
    kind: "service",
    instances: (n % 3) + 1,
    hosts: [host],
    phase,
    mode: n % 4 === 3 ? "observe" : "enforce",
  }));
  nodes.push({ id: "office", name: "office", kind: "object" }, { id: "198.51.100.0/24", name: "198.51.100.0/24", kind: "address" });
  const edges = TALKS.map(([from, to, port, status, minutes], n): Seen => {
    return {
      client: peerOf(from),
      server: peerOf(to),
      protocol: "tcp",
      port,
      status,
      connections: BigInt(7 + ((n * 4_391) % 9_000)),
      bytes: BigInt(n * 7_919_003),
      firstSeen: ago(9 * 86_400_000),
      lastSeen: ago(minutes * MINUTE),
    };
  });
  if (hostile) {
    const bad = [`exe:/tmp/${HOSTILE.bidi}`, `unit:${HOSTILE.html}`, `container:${HOSTILE.lines}`, `exe:/tmp/${HOSTILE.long}`];
    for (const id of bad) {
      nodes.push({ id, name: id.slice(id.indexOf(":") + 1), kind: "service", instances: 1, hosts: ["web1"], phase: "learning" });
      edges.push({ ...(edges[0] as Seen), client: peerOf(id), server: peerOf("unit:shop"), port: 8080, status: "alerted" });
    }
  }
  return { nodes, edges };
}

function peerOf(id: string): Peer {
  if (id === "office") return { object: id };
  return /^\d/.test(id) ? { address: id } : { service: id };
}

const STANDINGS = ["unused", "used", "cut", "refused"];

/** Targets of a service: those of the picture, and as many more as are wanted. */
function targets(world: World): Record<string, unknown>[] {
  const known = world.picture.nodes.map(({ id }) => peerOf(id));
  const more = Array.from({ length: world.options.targets ?? 0 }, (_, n) => ({ service: `unit:far-${n}` }));
  return [...known, ...more].map((peer, n) => {
    const standing = STANDINGS[n % 4] ?? "";
    const refused = standing === "cut" || standing === "refused";
    const ways = [
      { ports: ["tcp/443"], listening: ["tcp/443"], effect: refused ? "prevent" : "allow", refused, rule: n % 5 ? "" : "curl is watched" },
      { ports: ["any"], effect: "allow", refused, model: "unit:shop", partly: n % 3 === 0 },
    ];
    return { peer, standing, ways };
  });
}

type Handlers = Record<string, (request: never, signal: AbortSignal) => unknown>;

export function pictureHandlers(world: World): Handlers {
  const since = (time: { sinceMs: bigint } | undefined) => Number(time?.sinceMs ?? 0n);
  return {
    "TopologyService.getRadar": ({ time }: { time?: { sinceMs: bigint } }) => ({
      nodes: world.picture.nodes,
      edges: world.picture.edges.filter(({ lastSeen }) => Date.parse(lastSeen) >= since(time)),
    }),
    "TopologyService.getService": ({ service }: { service: string }) => {
      const node = world.picture.nodes.find(({ id }) => id === service);
      if (!node) throw new ConnectError(`there is no service ${service}`, Code.NotFound);
      const endpoints = NODES.filter(([key, , port]) => key === service && port > 0).map(([, , port]) => ({ protocol: "tcp", port }));
      const instances = (node.hosts ?? []).map((host) => ({ host, hostId: `id-${host}`, live: true, endpoints }));
      return { key: service, name: node.name, phase: node.phase, mode: node.mode, instances };
    },
    "TopologyService.getReach": ({ service, page }: { service: string; page?: { size: number; token: string } }) => {
      const all = targets(world);
      const at = Number(page?.token || 0);
      const end = Math.min(at + (page?.size || 100), at + 5_000);
      const unused = BigInt(all.filter(({ standing }) => standing === "unused").length);
      const services = { all: BigInt(all.length), may: BigInt(Math.ceil(all.length / 2)), seen: unused, unused };
      return { service, services, ports: services, targets: all.slice(at, end), nextToken: end < all.length ? String(end) : "" };
    },
    "TopologyService.getHistory": () => ({
      spans: Array.from({ length: 20 }, (_, n) => ({
        startMs: BigInt(Math.floor(Date.now() / 3_600_000 - n) * 3_600_000),
        widthMs: 3_600_000n,
        connections: BigInt((n * 37) % 90),
      })),
    }),
    "TopologyService.diffEdges": ({ time, beforeMs }: { time?: { sinceMs: bigint }; beforeMs: bigint }) => {
      const [now, from] = [Date.now(), since(time)];
      const before = Number(beforeMs) || from - (now - from);
      const [one, two, three, four] = world.picture.edges;
      return {
        new: one ? [one] : [],
        gone: two ? [{ ...two, connections: 31n }] : [],
        changed: [
          ...(three ? [{ edge: { ...three, connections: 900n }, connectionsBefore: 90n }] : []),
          ...(four ? [{ edge: { ...four, connections: 9n }, connectionsBefore: 400n }] : []),
        ],
        before: new Date(before).toISOString(),
        beforeUntil: new Date(before + now - from).toISOString(),
        since: new Date(from).toISOString(),
        until: new Date(now).toISOString(),
      };
    },
    "TopologyService.listEdges": () => ({ edges: world.picture.edges }),
    "WatchService.watchChanges": (_: never, signal: AbortSignal) => world.watchChanges(signal),
  };
}
