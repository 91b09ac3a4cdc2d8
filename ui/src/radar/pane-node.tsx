import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { ArrowRight, Crosshair, Eye, Shield, ShieldPlus } from "lucide-react";
import { useMemo } from "react";
import { Link as To } from "wouter";
import { models as modelClient, policy, topology } from "~/api/clients";
import { keys } from "~/api/keys";
import type { Event } from "~/gen/cnnf/v1/event_pb";
import type { Rule } from "~/gen/cnnf/v1/policy_pb";
import { EffectChip, ModeChip, PhaseChip } from "~/parts/chips";
import { useMay } from "~/parts/may";
import { Name } from "~/parts/name";
import { Facts, Pane, Section } from "~/parts/pane";
import { done, failed } from "~/parts/toasts";
import { Ago } from "~/parts/when";
import { links } from "~/shell/links";
import { text } from "~/text";
import { count, number, port as portText } from "~/text/format";
import { safe, shortName } from "~/text/safe";
import type { Graph, Link } from "./graph";
import { Events, isOf, Status } from "./pane-parts";
import { MayReach, Steps } from "./pane-reach";
import styles from "./panes.module.css";

interface Props {
  graph: Graph;
  id: string;
  events: readonly Event[];
  compared: boolean;
  onClose(): void;
  onEdge(id: string): void;
  onNode(id: string): void;
  onFocus(id: string): void;
  onLight(ids: readonly string[] | undefined): void;
}

/** Whether a rule's end names a service: by key, short name or glob; "any" names nobody. */
export function names(end: string, key: string): boolean {
  if (end === "" || end === "any") return false;
  const one = (pattern: string) => new RegExp(`^${pattern.replace(/[.+?^${}()|[\]\\]/g, "\\$&").replaceAll("*", ".*")}$`);
  return end.split(",").some((part) => part.trim() === key || one(part.trim()).test(key) || one(part.trim()).test(shortName(key)));
}

const MOST_LINKS = 40;

/** All about a service, an address or an object. */
export function NodePane(props: Props) {
  const { graph, id, events } = props;
  const node = graph.nodes.get(id);
  const t = text.radar.service;
  const may = useMay();
  const cache = useQueryClient();
  const own = useMemo(() => events.filter((event) => isOf(event, id)), [events, id]);
  const edges = useMemo(
    () =>
      [...graph.links.values()]
        .filter(({ from, to }) => from === id || to === id)
        .sort((a, b) => Number(b.hot) - Number(a.hot) || b.connections - a.connections),
    [graph, id],
  );
  const mode = useMutation({
    mutationFn: (next: string) => topology.setServiceMode({ service: id, mode: next }),
    onSuccess: (_, next) => {
      done(t.modeSet(safe(node?.name ?? id, 60), next));
      for (const queryKey of [keys.radar(), keys.services()]) void cache.invalidateQueries({ queryKey });
    },
    onError: failed,
  });
  if (!node) {
    return (
      <Pane title={safe(shortName(id), 80)} label={safe(id, 80)} onClose={props.onClose}>
        <p className={styles.none}>{t.unknown}</p>
      </Pane>
    );
  }
  const isService = node.kind === "service";
  return (
    <Pane
      title={<bdi>{safe(node.name, 80)}</bdi>}
      label={safe(node.name, 80)}
      onClose={props.onClose}
      kicker={
        <>
          {isService ? null : text.radar.kinds[node.kind]}
          <PhaseChip phase={node.phase} />
          <ModeChip mode={node.mode} />
        </>
      }
      actions={
        may.change && (
          <>
            <To className="btn" href={links.newRule({ from: id, to: "", ports: [] })}>
              <ShieldPlus size={14} aria-hidden />
              {t.createFrom}
            </To>
            <To className="btn" href={links.newRule({ from: "", to: id, ports: [] })}>
              <ShieldPlus size={14} aria-hidden />
              {t.createTo}
            </To>
            {isService && node.mode !== "" && (
              <ModeButton id={id} shown={node.mode} busy={mode.isPending} onMode={(next) => mode.mutate(next)} />
            )}
          </>
        )
      }
    >
      <code className={styles.key}>
        <bdi>{safe(id, 200)}</bdi>
      </code>
      {!isService && node.kind === "address" && <p className={styles.none}>{t.addressHelp}</p>}
      {isService && <Instances id={id} />}
      <Section
        title={`${t.connections} (${number(edges.length)})`}
        aside={
          <button type="button" className="btn quiet" onClick={() => props.onFocus(id)}>
            <Crosshair size={14} aria-hidden />
            {t.focus}
          </button>
        }
      >
        <ul className={styles.edges}>
          {edges.slice(0, MOST_LINKS).map((link) => (
            <li key={link.id}>
              <button type="button" className={styles.edge} onClick={() => props.onEdge(link.id)}>
                <Peer graph={graph} link={link} self={id} />
                <span className={styles.faint}>
                  {link.ports
                    .slice(0, 3)
                    .map((port) => port.text)
                    .join(" ")}
                </span>
                <Status of={link} compared={props.compared} />
              </button>
            </li>
          ))}
        </ul>
      </Section>
      {isService && node.phase !== "" && <Model id={id} />}
      <Section title={t.events}>
        <Events events={own} service={id} all={links.events({ service: id })} none={t.noEvents} />
      </Section>
      <Rules id={id} />
      {isService && <MayReach id={id} graph={graph} onNode={props.onNode} onLight={props.onLight} />}
      <Steps id={id} graph={graph} onLight={props.onLight} />
    </Pane>
  );
}

function ModeButton(props: { id: string; shown: string; busy: boolean; onMode(mode: string): void }) {
  const { data } = useQuery({
    queryKey: keys.service(props.id),
    queryFn: ({ signal }) => topology.getService({ service: props.id }, { signal }),
  });
  if (!data) return null;
  const next = data.mode === "enforce" ? "observe" : "enforce";
  const Icon = next === "enforce" ? Shield : Eye;
  return (
    <button
      type="button"
      className="btn"
      disabled={props.busy}
      title={data.mode === "enforce" && props.shown === "observe" ? text.radar.service.hostsObserve : undefined}
      onClick={() => props.onMode(next)}
    >
      <Icon size={14} aria-hidden />
      {text.radar.service.setMode(next)}
    </button>
  );
}

function Peer(props: { graph: Graph; link: Link; self: string }) {
  const { from, to } = props.link;
  const out = from === props.self;
  const other = out ? to : from;
  return (
    <span className={styles.peer}>
      <ArrowRight size={13} className={out ? styles.out : styles.in} aria-hidden />
      <span className="hidden">{out ? text.radar.service.outward : text.radar.service.inward}</span>
      <Name of={props.graph.nodes.get(other)?.name ?? other} />
    </span>
  );
}

function Instances(props: { id: string }) {
  const t = text.radar.service;
  const { data } = useQuery({
    queryKey: keys.service(props.id),
    queryFn: ({ signal }) => topology.getService({ service: props.id }, { signal }),
    retry: false,
  });
  if (!data) return null;
  return (
    <Section title={`${t.instances} (${data.instances.length})`}>
      {data.instances.length === 0 && <p className={styles.none}>{t.noInstances}</p>}
      <ul className={styles.instances}>
        {data.instances.slice(0, 30).map((instance) => (
          <li key={instance.hostId}>
            <To href={links.host(instance.host)} className="name">
              {safe(instance.host, 60)}
            </To>
            <span className={`${styles.faint} mono`}>
              {[...new Set(instance.endpoints.map((endpoint) => portText(endpoint.protocol, endpoint.port)))].slice(0, 4).join(" ")}
            </span>
            {!instance.live && <span className="tag">{t.gone}</span>}
          </li>
        ))}
      </ul>
    </Section>
  );
}

function Model(props: { id: string }) {
  const t = text.radar.service;
  const { data } = useQuery({
    queryKey: keys.model(props.id),
    queryFn: ({ signal }) => modelClient.getModel({ service: props.id }, { signal }),
    retry: false,
    refetchInterval: 10_000,
  });
  if (!data) return null;
  return (
    <Section
      title={t.model}
      aside={
        <To href={links.model(props.id)} className="btn quiet">
          {t.toModel}
        </To>
      }
    >
      <Facts
        of={[
          [t.edges, `${number(data.edgeCount)} · ${count(data.connections, "connection")}`],
          [t.since, <Ago key="since" at={data.since} />],
          [t.unseen, `${(data.unseenProbability * 100).toFixed(data.unseenProbability < 0.01 ? 2 : 0)} %`],
          [t.expected, data.expectedEvents === undefined ? "" : t.perDay(data.expectedEvents)],
        ]}
      />
    </Section>
  );
}

function Rules(props: { id: string }) {
  const t = text.radar.service;
  const { data } = useQuery({ queryKey: keys.rules(), queryFn: ({ signal }) => policy.listRules({}, { signal }) });
  const own = useMemo(
    () => (data?.rules ?? []).filter((rule: Rule) => names(rule.from, props.id) || names(rule.to, props.id)),
    [data, props.id],
  );
  return (
    <Section title={t.rules}>
      {own.length === 0 && <p className={styles.none}>{t.noRules}</p>}
      <ul className={styles.events}>
        {own.slice(0, 12).map((rule) => (
          <li key={rule.name}>
            <To href={links.rule(rule.name)} className={styles.event}>
              <EffectChip effect={rule.effect} />
              <span className={styles.what}>
                <Name of={rule.name} />
              </span>
              {!rule.enabled && <span className="tag">{t.ruleOff}</span>}
            </To>
          </li>
        ))}
      </ul>
    </Section>
  );
}
