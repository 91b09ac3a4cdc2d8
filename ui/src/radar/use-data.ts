import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useMemo, useState } from "react";
import { events as eventClient, fleet, topology, watch } from "~/api/clients";
import { keys } from "~/api/keys";
import type { Event } from "~/gen/cnnf/v1/event_pb";
import type { Changes } from "~/gen/cnnf/v1/watch_pb";
import type { Labels } from "./filter";
import { buildGraph, type Graph } from "./graph";

export const RANGES = ["1h", "24h", "7d", "30d", "all", "own"] as const;
export type Range = (typeof RANGES)[number];
const LENGTH: Record<Exclude<Range, "own">, number> = { "1h": 3600e3, "24h": 86_400e3, "7d": 7 * 86_400e3, "30d": 30 * 86_400e3, all: 0 };

/** A time range: one of the usual ones up to now, or from and until as the reader said. */
export interface Span {
  range: Range;
  from: number;
  until: number;
}

/** As the controller wants it; "all" begins at the first millisecond, so that old alerts count too. */
export function spanOf({ range, from, until }: Span, now = Date.now()): { sinceMs: bigint; untilMs: bigint } {
  if (range === "own") return { sinceMs: BigInt(Math.max(1, from)), untilMs: BigInt(Math.max(0, until)) };
  return { sinceMs: range === "all" ? 1n : BigInt(now - LENGTH[range]), untilMs: 0n };
}

/** Pictures of more edges are asked for less often. */
const LARGE = 2_000;

/** How long a time range is, in seconds; 0 for all time. */
export function lengthOf({ range, from, until }: Span, now = Date.now()): number {
  return range === "own" ? Math.max(0, ((until || now) - from) / 1_000) : LENGTH[range] / 1_000;
}

/** Everything that Radar shows, kept fresh: by asking again now and then, and at once when an event comes. */
export function useRadarData(span: Span, compare: boolean, against: number) {
  const said = { range: span.range, ...(span.range === "own" ? { from: span.from, until: span.until } : {}) };
  const common = { structuralSharing: false as const, staleTime: 1_000 };
  const all = useQuery({
    queryKey: keys.radar("all"),
    queryFn: ({ signal }) => topology.getRadar({}, { signal }),
    refetchInterval: (query) => ((query.state.data?.edges.length ?? 0) > LARGE ? 20_000 : 10_000),
    ...common,
  });
  const ranged = useQuery({
    queryKey: keys.radar(said),
    queryFn: ({ signal }) => topology.getRadar({ time: spanOf(span) }, { signal }),
    refetchInterval: (query) => ((query.state.data?.edges.length ?? 0) > LARGE ? 20_000 : 10_000),
    placeholderData: (before) => before,
    ...common,
  });
  const incidents = useQuery({
    queryKey: keys.events({ radar: said }),
    queryFn: ({ signal }) => eventClient.listEvents({ time: spanOf(span), page: { size: 1_000 } }, { signal }),
    refetchInterval: 10_000,
    placeholderData: (before) => before,
    ...common,
  });
  const diff = useQuery({
    queryKey: keys.edges({ diff: said, against }),
    queryFn: ({ signal }) => {
      const time = spanOf(span);
      // So many seconds earlier; by default just before.
      return topology.diffEdges({ time, beforeMs: against === 0 ? 0n : time.sinceMs - BigInt(against) * 1_000n }, { signal });
    },
    refetchInterval: 20_000,
    enabled: compare && span.range !== "all",
    ...common,
  });
  const defenders = useQuery({
    queryKey: keys.defenders(),
    queryFn: ({ signal }) => fleet.listDefenders({ page: { size: 10_000 } }, { signal }),
    refetchInterval: 10_000,
  });

  const modes = useMemo(() => new Map((defenders.data?.defenders ?? []).map(({ host, mode }) => [host, mode])), [defenders.data]);
  const labels: Labels = useMemo(
    () => new Map((defenders.data?.defenders ?? []).map(({ host, labels }) => [host, labels])),
    [defenders.data],
  );
  const graph: Graph | undefined = useMemo(() => {
    if (!all.data || !ranged.data) return undefined;
    performance.mark("radar:data");
    const built = buildGraph({
      all: all.data,
      ranged: ranged.data,
      events: incidents.data?.events ?? [],
      diff: compare ? diff.data : undefined,
    });
    for (const node of built.nodes.values())
      if (node.kind === "service")
        node.mode = inForce(
          node.mode,
          node.hosts.map((host) => modes.get(host)),
        );
    return built;
  }, [all.data, ranged.data, incidents.data, diff.data, compare, modes]);

  return {
    graph,
    labels,
    events: incidents.data?.events ?? NO_EVENTS,
    defenders: defenders.data?.defenders,
    diff: diff.data,
    error: all.error ?? ranged.error ?? (compare ? diff.error : null),
    retry: () => {
      void all.refetch();
      void ranged.refetch();
    },
    busy: ranged.isPlaceholderData || (compare && diff.isFetching && !diff.data),
  };
}

const NO_EVENTS: readonly Event[] = [];

/** The less strict of the service's own mode and its hosts'; "partly" where hosts differ. */
export function inForce(own: string, hosts: readonly (string | undefined)[]): string {
  if (own !== "enforce") return own;
  const enforcing = hosts.filter((mode) => mode === "enforce").length;
  return enforcing === 0 ? "observe" : enforcing === hosts.length ? "enforce" : "partly";
}

/** How soon after one change the next may be asked for; a large picture is asked for less often. */
const CALM_MS = 500;
const CALM_LARGE_MS = 5_000;
/** The controller says every 15 s that it is there; a stream that is silent for longer is dead, whatever the connection claims. */
const SILENT_MS = 40_000;

/** What is asked for anew when a topic has changed. */
const TOPICS: Record<string, readonly (readonly unknown[])[]> = {
  topology: [keys.radar(), keys.edges(), keys.services()],
  policy: [keys.radar(), keys.rules(), ["explain"]],
  events: [keys.radar(), keys.events(), keys.status()],
  models: [keys.radar(), keys.models()],
  fleet: [keys.defenders(), keys.status()],
};

/** Listens to changes as they come and has the picture asked for anew; since when it cannot, where it cannot. */
export function useLive(): Date | undefined {
  const cache = useQueryClient();
  const [lost, setLost] = useState<Date>();
  useEffect(() => {
    const stop = new AbortController();
    const waits = new Set<readonly unknown[]>();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const refresh = (topics: readonly string[]) => {
      for (const topic of topics) for (const key of TOPICS[topic] ?? []) waits.add(key);
      if (waits.size === 0) return;
      const size = cache.getQueryData<{ edges: unknown[] }>(keys.radar("all"))?.edges.length ?? 0;
      timer ??= setTimeout(
        () => {
          timer = undefined;
          for (const queryKey of waits) void cache.invalidateQueries({ queryKey });
          waits.clear();
        },
        size > LARGE ? CALM_LARGE_MS : CALM_MS,
      );
    };
    const listen = async () => {
      let seen: Pick<Changes, "epoch" | "revisions"> = { epoch: "", revisions: {} };
      for (let failures = 0; !stop.signal.aborted; failures++) {
        try {
          for await (const { epoch, revisions, changed } of follow(seen, stop.signal)) {
            failures = 0;
            setLost(undefined);
            seen = { epoch, revisions };
            refresh(changed);
          }
        } catch {
          if (stop.signal.aborted) return;
        }
        setLost((before) => before ?? new Date());
        await new Promise((wake) => setTimeout(wake, Math.min(500 * 2 ** failures, 8_000) * (0.6 + Math.random() * 0.4)));
      }
    };
    void listen();
    return () => {
      stop.abort();
      clearTimeout(timer);
    };
  }, [cache]);
  return lost;
}

/** Changes since what was seen, as they come; ends by an error when nothing comes any more. */
async function* follow(seen: Pick<Changes, "epoch" | "revisions">, stop: AbortSignal): AsyncGenerator<Changes> {
  const dead = new AbortController();
  let watchdog = setTimeout(() => dead.abort(), SILENT_MS);
  try {
    for await (const changes of watch.watchChanges(seen, { signal: AbortSignal.any([stop, dead.signal]), timeoutMs: 0 })) {
      clearTimeout(watchdog);
      watchdog = setTimeout(() => dead.abort(), SILENT_MS);
      yield changes;
    }
  } finally {
    clearTimeout(watchdog);
  }
}
