import { useEffect, useRef, useState } from "react";
import type { Labels } from "./filter";
import type { Graph } from "./graph";
import type { GroupBy, Groups } from "./group";
import type { Layout } from "./layout";
import type { Answered, Asked } from "./layout.worker";

interface Kept {
  groups: Groups;
  places: Layout["places"];
}

const PREFIX = "cnnf.radar.places.";
/** More places than this are not kept in the browser: it would ask for too much of its storage. */
const MOST_KEPT = 6_000;

function load(by: GroupBy): Kept | undefined {
  try {
    const kept = JSON.parse(sessionStorage.getItem(PREFIX + by) ?? "null") as {
      groups: [string, string][];
      places: Layout["places"];
    } | null;
    return kept ? { groups: new Map(kept.groups), places: kept.places } : undefined;
  } catch {
    return undefined;
  }
}

function keep(by: GroupBy, { groups, places }: Kept) {
  try {
    if (Object.keys(places).length > MOST_KEPT) return;
    sessionStorage.setItem(PREFIX + by, JSON.stringify({ groups: [...groups], places }));
  } catch {
    // No room: it is computed anew next time, to the same.
  }
}

/** What places depend on: nothing of statuses, ports and times. */
function bondsOf({ nodes, links }: Graph): Pick<Asked, "nodes" | "links"> {
  const at = new Map([...nodes.keys()].map((id, n) => [id, n]));
  return {
    nodes: new Map([...nodes].map(([key, { id, name, kind, hosts }]) => [key, { id, name, kind, hosts }])),
    links: Uint32Array.from(
      [...links.values()].flatMap(({ from, to, ports }) => {
        const [client, server] = [at.get(from), at.get(to)];
        return client === undefined || server === undefined ? [] : [client, server, ports.length];
      }),
    ),
  };
}

/**
 * Places and groups of a graph's nodes, computed in a worker. Whoever has a place keeps it; `relayout` forgets them all. The answer may be of
 * the graph before the newest; what it does not know yet is not drawn.
 */
export function useLayout(graph: Graph | undefined, by: GroupBy, labels: Labels) {
  const [kept, setKept] = useState<(Kept & { by: GroupBy }) | undefined>();
  const worker = useRef<Worker>(undefined);
  const number = useRef(0);
  const asked = useRef("");
  const latest = useRef<Kept & { by: GroupBy }>(undefined);
  const [generation, setGeneration] = useState(0);

  useEffect(() => {
    const own = new Worker(new URL("./layout.worker.ts", import.meta.url), { type: "module" });
    worker.current = own;
    return () => own.terminate();
  }, []);

  useEffect(() => {
    const own = worker.current;
    if (!graph || !own || graph.nodes.size === 0) return;
    if (latest.current?.by !== by) {
      const loaded = load(by);
      latest.current = loaded ? { ...loaded, by } : undefined;
      asked.current = "";
    }
    const before = latest.current;
    // Asked anew only when somebody came or went, or is grouped by something that changed.
    const hosts = by === "auto" || by === "none" ? [] : [...graph.nodes.values()].map((node) => node.hosts.join());
    const signature = JSON.stringify([generation, by, [...graph.nodes.keys()].sort(), hosts, by.startsWith("label:") ? [...labels] : []]);
    if (signature === asked.current) return;
    asked.current = signature;
    performance.mark("radar:layout-asked");
    const mine = ++number.current;
    own.onmessage = (message: MessageEvent<Answered>) => {
      if (message.data.number !== number.current) return;
      performance.measure("radar:layout", "radar:layout-asked");
      const { groups, places } = message.data;
      const next = { groups, places: { ...before?.places, ...places }, by };
      latest.current = next;
      keep(by, next);
      setKept(next);
    };
    own.postMessage({ number: mine, ...bondsOf(graph), by, labels, kept: before } satisfies Asked);
  }, [graph, by, labels, generation]);

  return {
    places: kept?.by === by ? kept.places : undefined,
    groups: kept?.by === by ? kept.groups : undefined,
    relayout: () => {
      sessionStorage.removeItem(PREFIX + by);
      latest.current = undefined;
      setGeneration((before) => before + 1);
    },
  };
}
