import type { SimulatePolicyResponse } from "~/gen/cnnf/v1/admin_pb";
import { type Graph, type Link, linkId, peerId, type Status, worse } from "./graph";

/** What a draft does to an edge, as the picture shows it. */
const AFTER: Record<string, Status> = { prevent: "would", alert: "alerted", allow: "by_rule" };

/**
 * A graph as a draft would have it: edges whose fate changes are hot and look like what becomes of them, all others lie faintly beneath. Edges that
 * are not in the picture are left out; there are none unless somebody just forgot them.
 */
export function withDraft(graph: Graph, simulation: SimulatePolicyResponse): Graph {
  const nodes = new Map([...graph.nodes].map(([id, node]) => [id, { ...node, worst: undefined as Status | undefined }]));
  const links = new Map<string, Link>();
  for (const [id, link] of graph.links)
    links.set(id, { ...link, hot: false, change: undefined, ports: link.ports.map((port) => ({ ...port, hot: false })) });
  for (const { edge, after } of simulation.shifts) {
    const status = AFTER[after?.effect ?? ""];
    const link = links.get(linkId(peerId(edge?.client), peerId(edge?.server)));
    const port = link?.ports.find((one) => one.protocol === edge?.protocol && one.port === edge?.port);
    if (!status || !link || !port) continue;
    Object.assign(port, { hot: true, status });
    link.status = link.hot ? (worse(link.status, status) ?? status) : status;
    link.hot = true;
    for (const end of [link.from, link.to]) {
      const node = nodes.get(end);
      if (node) node.worst = worse(node.worst, status);
    }
  }
  return { nodes, links };
}
