import type { Labels } from "./filter";
import type { Graph } from "./graph";
import { type GroupBy, type Groups, groupBy } from "./group";
import { type Layout, layout } from "./layout";

/** A layout that is asked for, and its number: only the newest answer counts. */
export interface Asked {
  number: number;
  graph: Graph;
  by: GroupBy;
  labels: Labels;
  kept: { groups: Groups; places: Layout["places"] } | undefined;
}

export interface Answered extends Layout {
  number: number;
  groups: Groups;
}

self.onmessage = (message: MessageEvent<Asked>) => {
  const { number, graph, by, labels, kept } = message.data;
  const groups = groupBy(graph, by, labels, by === "auto" ? kept?.groups : undefined);
  const nodes = [...graph.nodes.values()].map(({ id, kind }) => ({ id, group: kind === "service" ? groups.get(id) || "all" : "" }));
  const { places } = layout({ nodes, links: [...graph.links.values()], kept: kept?.places });
  self.postMessage({ number, groups, places } satisfies Answered);
};
