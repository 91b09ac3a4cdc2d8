import { create } from "@bufbuild/protobuf";
import { type ObservedEdge, ObservedEdgeSchema, type Radar, RadarNodeSchema, RadarSchema } from "~/gen/cnnf/v1/admin_pb";
import { randomOf } from "~/radar/random";

const TIERS = ["web", "api", "worker", "db", "cache", "queue", "search", "mail", "auth", "report", "cron", "images"];
const TEAMS = ["shop", "billing", "search", "media", "fleet", "portal", "ledger", "maps", "support", "risk", "catalog", "identity"];
const PORTS: Record<string, number> = {
  web: 443,
  api: 8080,
  worker: 9000,
  db: 5432,
  cache: 6379,
  queue: 5672,
  search: 9200,
  mail: 25,
  auth: 8443,
  report: 8081,
  cron: 0,
  images: 8082,
};

/** A picture of as many services and edges, always the same: teams with tiers that talk inside, some across, a few hubs, and addresses. */
export function synthetic(services: number, edges: number, addresses = Math.min(60, Math.ceil(services / 20))): Radar {
  const random = randomOf(services * 31 + edges);
  const pick = <T>(of: readonly T[]): T => of[Math.floor(random() * of.length)] as T;
  const nodes = [];
  const keys: string[] = [];
  const teams: number[] = [];
  const perTeam = 24;
  for (let i = 0; i < services; i++) {
    const team = Math.floor(i / perTeam);
    const tier = TIERS[i % TIERS.length] as string;
    const round = Math.floor(i / TEAMS.length / perTeam);
    const name = `${TEAMS[team % TEAMS.length]}${round || ""}-${tier}${Math.floor((i % perTeam) / TIERS.length) || ""}`;
    const hosts = 1 + Math.floor(random() ** 3 * 12);
    const phase = random() < 0.75 ? "active" : random() < 0.5 ? "dry_run" : "learning";
    keys.push(`unit:${name}`);
    teams.push(team);
    nodes.push(
      create(RadarNodeSchema, {
        id: `unit:${name}`,
        name,
        kind: "service",
        instances: hosts,
        hosts: Array.from({ length: hosts }, (_, n) => `${TEAMS[team % TEAMS.length]}${n + 1}`),
        phase,
        mode: "enforce",
      }),
    );
  }
  const hubs = ["unit:node-exporter", "unit:dnsmasq"];
  for (const id of hubs)
    nodes.push(
      create(RadarNodeSchema, {
        id,
        name: id.slice(5),
        kind: "service",
        instances: 6,
        hosts: ["infra1"],
        phase: "active",
        mode: "enforce",
      }),
    );
  const outside = Array.from({ length: addresses }, (_, n) => (n % 3 ? `198.51.${100 + (n % 90)}.0/24` : `10.9.${n}.7`));
  for (const id of outside) nodes.push(create(RadarNodeSchema, { id, name: id, kind: "address" }));

  const found = new Map<string, ObservedEdge>();
  const now = Date.parse("2026-11-24T12:00:00Z");
  const put = (client: string, server: string, port: number) => {
    const key = `${client} ${server} ${port}`;
    if (client === server || found.has(key)) return;
    const status = random() < 0.9 ? "learned" : pick(["learning", "learning", "by_rule", "unlearned", "learned", "alerted"] as const);
    const isBad = status === "alerted" && random() < 0.35;
    found.set(
      key,
      create(ObservedEdgeSchema, {
        client: client.startsWith("unit:") ? { service: client } : { address: client },
        server: server.startsWith("unit:") ? { service: server } : { address: server },
        protocol: "tcp",
        port,
        status: isBad ? "prevented" : status,
        connections: BigInt(Math.ceil(10 ** (random() * 5))),
        bytes: BigInt(Math.ceil(10 ** (random() * 9))),
        firstSeen: new Date(now - random() * 30 * 86_400e3).toISOString(),
        lastSeen: new Date(now - random() * 86_400e3).toISOString(),
      }),
    );
  };
  const tierOf = (key: string) => TIERS.find((tier) => key.includes(`-${tier}`)) ?? "api";
  for (const key of keys) {
    if (random() < 0.4) put(key, "unit:dnsmasq", 53);
    if (random() < 0.3) put("unit:node-exporter", key, 9100);
  }
  for (const id of outside) put(random() < 0.5 ? id : pick(keys), random() < 0.5 ? pick(keys) : id, 443);
  for (let tries = 0; found.size < edges && tries < edges * 20; tries++) {
    const from = Math.floor(random() * keys.length);
    const inside = random() < 0.9;
    const base = (teams[from] ?? 0) * perTeam;
    const to = inside ? Math.min(keys.length - 1, base + Math.floor(random() * perTeam)) : Math.floor(random() * keys.length);
    const server = keys[to] as string;
    const tier = tierOf(server);
    put(keys[from] as string, server, (PORTS[tier] || 8080) + (random() < 0.2 ? Math.floor(random() * 4) : 0));
  }
  return create(RadarSchema, { nodes, edges: [...found.values()] });
}
