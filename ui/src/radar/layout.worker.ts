import type { Labels } from "./filter";
import { type Bonds, type GroupBy, type Groups, groupBy } from "./group";
import { type Layout, layout } from "./layout";

/** A layout that is asked for, and its number: only the newest answer counts. */
export interface Asked {
  number: number;
  nodes: Bonds["nodes"];
  /** Three numbers a link: its client and server in the order of `nodes`, and how many ports. As numbers 25,000 of them are sent at no cost. */
  links: Uint32Array;
  by: GroupBy;
  labels: Labels;
  kept: { groups: Groups; places: Layout["places"] } | undefined;
}

export interface Answered extends Layout {
  number: number;
  groups: Groups;
}

self.onmessage = (message: MessageEvent<Asked>) => {
  const { number, nodes, by, labels, kept } = message.data;
  const links = linksOf(message.data);
  const groups = groupBy({ nodes, links }, by, labels, by === "auto" ? kept?.groups : undefined);
  const placed = [...nodes.values()].map(({ id, kind }) => ({ id, group: kind === "service" ? groups.get(id) || "all" : "" }));
  const { places } = layout({ nodes: placed, links: [...links.values()], kept: kept?.places });
  self.postMessage({ number, groups, places } satisfies Answered);
};

function linksOf({ nodes, links }: Asked): Bonds["links"] {
  const ids = [...nodes.keys()];
  const found = new Map<string, { from: string; to: string; ports: { length: number } }>();
  for (let at = 0; at < links.length; at += 3) {
    const [from, to] = [ids[links[at] ?? 0] ?? "", ids[links[at + 1] ?? 0] ?? ""];
    found.set(`${at}`, { from, to, ports: { length: links[at + 2] ?? 0 } });
  }
  return found;
}
