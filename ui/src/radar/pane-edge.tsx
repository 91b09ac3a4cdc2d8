import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { ArrowRight, BellOff, BrainCircuit, Eraser, ShieldPlus } from "lucide-react";
import { lazy, Suspense, useMemo } from "react";
import { Link as To, useLocation } from "wouter";
import { events as eventClient, models, policy, topology } from "~/api/clients";
import { keys } from "~/api/keys";
import type { Event } from "~/gen/cnnf/v1/event_pb";
import { EffectChip, ModeChip } from "~/parts/chips";
import { writeTerm } from "~/parts/filter";
import { useMay } from "~/parts/may";
import { Facts, Pane, Section } from "~/parts/pane";
import { done, failed } from "~/parts/toasts";
import { Ago } from "~/parts/when";
import { links } from "~/shell/links";
import { text } from "~/text";
import { bytes, number } from "~/text/format";
import { safe, shortName } from "~/text/safe";
import type { Graph, Link, Node, Port } from "./graph";
import { Events, isOf, Status } from "./pane-parts";
import styles from "./panes.module.css";
import type { Span } from "./use-data";

const Chart = lazy(() => import("./chart"));

/** All about a connection: its ports, what decides about it, when it was used, and what can be done. */
export function EdgePane(props: {
  graph: Graph;
  id: string;
  events: readonly Event[];
  span: Span;
  compared: boolean;
  onClose(): void;
  onNode(id: string): void;
}) {
  const { graph, id } = props;
  const link = graph.links.get(id);
  const t = text.radar.edge;
  const [from, to] = [graph.nodes.get(link?.from ?? ""), graph.nodes.get(link?.to ?? "")];
  const own = useMemo(() => (link ? props.events.filter((event) => isOf(event, link.from, link.to)) : []), [props.events, link]);
  if (!link || !from || !to) {
    return (
      <Pane title={safe(id, 80)} label={safe(id, 80)} onClose={props.onClose}>
        <p className={styles.none}>{text.radar.service.unknown}</p>
      </Pane>
    );
  }
  return (
    <Pane
      label={`${safe(from.name, 60)} → ${safe(to.name, 60)}`}
      title={
        <span className={styles.ends}>
          <End node={from} onNode={props.onNode} />
          <ArrowRight size={15} aria-hidden />
          <End node={to} onNode={props.onNode} />
        </span>
      }
      kicker={<Status of={link} compared={props.compared} />}
      onClose={props.onClose}
      actions={<Actions link={link} from={from} to={to} events={own} />}
    >
      <Section title={`${t.ports} (${link.ports.length})`}>
        <table className={styles.ports}>
          <thead>
            <tr>
              <th>{t.port}</th>
              <th>{t.status}</th>
              <th className="num">{t.connections}</th>
              <th className="num">{t.lastSeen}</th>
            </tr>
          </thead>
          <tbody>
            {link.ports.slice(0, 60).map((port) => (
              <tr key={port.text}>
                <td className="mono">{safe(port.text, 24)}</td>
                <td>
                  <Status of={port} compared={props.compared} />
                </td>
                <td className="num" title={port.bytes > 0 ? bytes(port.bytes) : undefined}>
                  {number(port.connections)}
                  {port.before !== undefined && (
                    <div className={styles.faint}>
                      {t.before} {number(port.before)}
                    </div>
                  )}
                </td>
                <td className="num">
                  <Ago at={port.lastSeen} />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </Section>
      <Section title={t.hosts}>
        <Facts
          of={[
            [text.radar.table.from, safe(from.hosts.join(", ") || from.id, 200)],
            [text.radar.table.to, safe(to.hosts.join(", ") || to.id, 200)],
            [
              t.firstSeen,
              <Ago key="first" at={link.ports.reduce((first, port) => (first && first < port.firstSeen ? first : port.firstSeen), "")} />,
            ],
            [t.bytes, link.bytes > 0 ? bytes(link.bytes) : "–"],
          ]}
        />
      </Section>
      {link.ports[0] && <Decision link={link} port={link.ports[0]} />}
      <OverTime link={link} from={from} to={to} span={props.span} />
      <Section title={t.events}>
        <Events events={own} service={link.to} all={links.events({ q: between(from, to) })} none={t.noEvents} />
      </Section>
    </Pane>
  );
}

function End(props: { node: Node; onNode(id: string): void }) {
  return (
    <button type="button" className={styles.end} onClick={() => props.onNode(props.node.id)}>
      <bdi>{safe(props.node.name, 60)}</bdi>
    </button>
  );
}

/** Monitor's filter for the events of an edge. An object's addresses have no name there. */
function between(from: Node, to: Node): string {
  return (
    [
      ["from", from],
      ["to", to],
    ] as const
  )
    .flatMap(([key, { id, kind }]) => (kind === "object" ? [] : [writeTerm({ key, value: id, not: false })]))
    .join(" ");
}

/** A node as an end of an edge. */
function peerOf({ kind, id }: Node) {
  return kind === "service" ? { service: id } : kind === "object" ? { object: id } : { address: id };
}

/** What a model calls a node. */
function peerName(node: Node): string {
  return node.kind === "object" ? `object:${node.id}` : node.id;
}

function Actions(props: { link: Link; from: Node; to: Node; events: readonly Event[] }) {
  const { link, from, to } = props;
  const t = text.radar.edge;
  const may = useMay();
  const cache = useQueryClient();
  const [, go] = useLocation();
  const open = props.events.filter((event) => !event.acknowledged);
  const refresh = () => {
    for (const queryKey of [keys.radar(), keys.events(), keys.models(), keys.status()]) void cache.invalidateQueries({ queryKey });
  };
  const each = async (act: typeof models.approveEdge | typeof models.forgetEdge, wanted: (port: Port) => boolean) => {
    for (const port of link.ports.filter(wanted)) {
      for (const [node, other, direction] of [
        [from, to, "to"],
        [to, from, "from"],
      ] as const) {
        if (node.kind === "service" && node.phase !== "")
          await act({ service: node.id, edge: { direction, peer: peerName(other), port: port.text } });
      }
    }
  };
  const approve = useMutation({
    mutationFn: async () => {
      await each(models.approveEdge, () => true);
      for (const event of open) await eventClient.acknowledgeEvent({ id: event.id });
    },
    onSuccess: () => {
      done(t.approved);
      refresh();
    },
    onError: failed,
  });
  const forget = useMutation({
    mutationFn: () => each(models.forgetEdge, (port) => port.status === "learned" || port.status === "learning"),
    onSuccess: () => {
      done(t.forgotten);
      refresh();
    },
    onError: failed,
  });
  const ignore = useMutation({
    mutationFn: async () => {
      for (const event of open) await eventClient.acknowledgeEvent({ id: event.id });
    },
    onSuccess: () => {
      done(t.ignored(open.length));
      refresh();
    },
    onError: failed,
  });
  if (!may.change) return null;
  const modelled = [from, to].some((node) => node.kind === "service" && node.phase !== "");
  const known = link.ports.some((port) => port.status === "learned");
  const amiss = link.ports.some((port) => port.status !== "learned" && port.status !== "by_rule" && port.status !== "learning");
  return (
    <>
      <button
        type="button"
        className="btn primary"
        onClick={() =>
          go(links.newRule({ from: link.from, to: link.to, ports: [...new Set(link.ports.map((port) => port.text))], effect: "alert" }))
        }
      >
        <ShieldPlus size={14} aria-hidden />
        {t.create}
      </button>
      {modelled && amiss && (
        <button type="button" className="btn" title={t.approveHelp} disabled={approve.isPending} onClick={() => approve.mutate()}>
          <BrainCircuit size={14} aria-hidden />
          {t.approve}
        </button>
      )}
      {modelled && known && (
        <button type="button" className="btn" title={t.forgetHelp} disabled={forget.isPending} onClick={() => forget.mutate()}>
          <Eraser size={14} aria-hidden />
          {t.forget}
        </button>
      )}
      {open.length > 0 && (
        <button type="button" className="btn" title={t.ignoreHelp} disabled={ignore.isPending} onClick={() => ignore.mutate()}>
          <BellOff size={14} aria-hidden />
          {t.ignore}
        </button>
      )}
    </>
  );
}

function Decision(props: { link: Link; port: Port }) {
  const { link, port } = props;
  const t = text.radar.edge;
  const { data } = useQuery({
    queryKey: ["explain", link.id, port.text],
    queryFn: ({ signal }) => policy.explain({ from: link.from, to: link.to, port: port.text }, { signal }),
    // Not every peer is one address or service: then nobody can say.
    retry: false,
    refetchInterval: 10_000,
  });
  if (!data) return null;
  return (
    <Section title={`${t.decision} · ${port.text}`}>
      <div className={styles.decision}>
        <EffectChip effect={data.effect} />
        <span>
          {data.rule ? (
            <To href={links.rule(data.rule)}>{safe(data.rule, 80)}</To>
          ) : data.model ? (
            t.model(safe(shortName(data.model), 60))
          ) : (
            t.nothing
          )}
          {data.side && `, ${t.side(data.side, safe(data.host, 60))}`}
        </span>
        <ModeChip mode={data.mode} />
      </div>
    </Section>
  );
}

const HOUR = 3600_000;
const DAY = 24 * HOUR;
/** Ports whose counts are asked for; those with the most connections come first. */
const MOST_PORTS = 6;

/** From when, and by how long bars. */
function bars({ range, from, until }: Span): { since: number; until: number; step: number } {
  const now = Date.now();
  if (range === "own") return { since: from, until: until || now, step: (until || now) - from > 3 * DAY ? DAY : HOUR };
  if (range === "7d") return { since: now - 7 * DAY, until: now, step: 12 * HOUR };
  if (range === "30d" || range === "all") return { since: now - 30 * DAY, until: now, step: DAY };
  return { since: now - DAY, until: now, step: HOUR };
}

function OverTime(props: { link: Link; from: Node; to: Node; span: Span }) {
  const { link, span } = props;
  const t = text.radar.edge;
  const { data } = useQuery({
    queryKey: ["edge-times", link.id, span.range, span.from, span.until],
    staleTime: 60_000,
    retry: false,
    queryFn: async ({ signal }) => {
      const { since, until, step } = bars(span);
      const [client, server] = [peerOf(props.from), peerOf(props.to)];
      const time = { sinceMs: BigInt(Math.max(1, since)), untilMs: BigInt(until) };
      const most = [...link.ports].sort((a, b) => b.connections - a.connections).slice(0, MOST_PORTS);
      const answers = await Promise.all(
        most.map(({ protocol, port }) => topology.getHistory({ edge: { client, server, protocol, port }, time }, { signal })),
      );
      const first = Math.floor(since / step) * step;
      const counts = Array.from({ length: Math.max(1, Math.ceil((until - first) / step)) }, () => 0);
      for (const { startMs, connections } of answers.flatMap(({ spans }) => spans)) {
        const at = Math.floor((Number(startMs) - first) / step);
        if (at >= 0 && at < counts.length) counts[at] = (counts[at] ?? 0) + Number(connections);
      }
      return { times: counts.map((_, n) => (first + (n + 0.5) * step) / 1000), counts, step: step / 1000 };
    },
  });
  if (!data) return null;
  return (
    <Section title={t.overTime}>
      {data.counts.every((count) => count === 0) ? (
        <p className={styles.none}>{t.noTimes}</p>
      ) : (
        <Suspense>
          <Chart times={data.times} counts={data.counts} label={t.connections} step={data.step} />
        </Suspense>
      )}
    </Section>
  );
}
