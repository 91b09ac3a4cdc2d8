import { create } from "@bufbuild/protobuf";
import { type ObservedEdge, ObservedEdgeSchema, RadarNodeSchema, RadarSchema } from "~/gen/cnnf/v1/admin_pb";

/** A small picture for the unit tests: `edge("web", "db", "learned")` and so on. */
export function edge(from: string, to: string, status: string, more: Partial<Pick<ObservedEdge, "port" | "connections">> = {}) {
  const peer = (id: string) => (/^[\d.]+$/.test(id) ? { address: id } : { service: id });
  return create(ObservedEdgeSchema, {
    client: peer(from),
    server: peer(to),
    protocol: "tcp",
    port: 80,
    status,
    connections: 1n,
    firstSeen: "2026-11-24T08:00:00Z",
    lastSeen: "2026-11-24T09:00:00Z",
    ...more,
  });
}

export function radarOf(edges: ReturnType<typeof edge>[], lonely: string[] = [], hosts: Record<string, string[]> = {}) {
  const ids = new Set([
    ...edges.flatMap(({ client, server }) => [client, server].map((peer) => peer?.service || peer?.address || "")),
    ...lonely,
  ]);
  const nodes = [...ids].map((id) =>
    create(RadarNodeSchema, {
      id,
      name: id,
      kind: /^[\d.]+$/.test(id) ? "address" : "service",
      instances: 1,
      hosts: hosts[id] ?? [],
      phase: "active",
      mode: "enforce",
    }),
  );
  return create(RadarSchema, { nodes, edges });
}
