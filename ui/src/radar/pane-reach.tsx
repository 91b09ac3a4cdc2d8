import { useQuery } from "@tanstack/react-query";
import { useMemo, useState } from "react";
import { Link as To } from "wouter";
import { topology } from "~/api/clients";
import { keys } from "~/api/keys";
import { every } from "~/api/pages";
import type { Reach, ReachTarget, ReachWay } from "~/gen/cnnf/v1/admin_pb";
import { Choice } from "~/parts/form";
import { Name } from "~/parts/name";
import { Facts, Section } from "~/parts/pane";
import { links } from "~/shell/links";
import { text } from "~/text";
import { number } from "~/text/format";
import { safe, shortName } from "~/text/safe";
import { blastRadius } from "./filter";
import { type Graph, peerId } from "./graph";
import styles from "./panes.module.css";

interface Props {
  id: string;
  graph: Graph;
  onLight(ids: readonly string[] | undefined): void;
}

const STANDINGS = ["unused", "used", "cut", "refused"] as const;
type Standing = (typeof STANDINGS)[number];

/** So many are listed at first, and so many more each time that more are asked for. */
const LISTED = 30;
const MORE = 300;

/** Everybody whom a service may reach or reached; the controller gives them in pages. */
async function reachOf(service: string, signal: AbortSignal): Promise<Pick<Reach, "services" | "ports" | "cutShort" | "targets">> {
  let head: Reach | undefined;
  const targets = await every(
    async (page) => {
      const answer = await topology.getReach({ service, page }, { signal });
      head ??= answer;
      return answer;
    },
    (answer) => answer.targets,
  );
  return { services: head?.services, ports: head?.ports, cutShort: head?.cutShort ?? false, targets };
}

/** What a service may reach with one connection by policy and models, against what it was seen to reach. */
export function MayReach(props: Props & { onNode(id: string): void }) {
  const { id, onLight } = props;
  const t = text.radar.reach;
  const [shown, setShown] = useState<Standing>("unused");
  const [listed, setListed] = useState(LISTED);
  const { data } = useQuery({
    queryKey: [...keys.service(id), "reach"],
    queryFn: ({ signal }) => reachOf(id, signal),
    staleTime: 30_000,
    retry: false,
  });
  const by = useMemo(() => {
    const sorted = new Map<string, ReachTarget[]>();
    for (const target of data?.targets ?? []) sorted.set(target.standing, [...(sorted.get(target.standing) ?? []), target]);
    return sorted;
  }, [data]);
  if (!data) return null;
  const some = by.get(shown) ?? [];
  const may = [...(by.get("used") ?? []), ...(by.get("unused") ?? [])].map(({ peer }) => peerId(peer));
  return (
    <Section title={t.title} aside={may.length > 0 && <Light onLight={onLight} ids={[id, ...may]} />}>
      <div className={styles.reachAll}>
        <Facts
          of={[
            [t.services, data.services && t.of(number(data.services.may), number(data.services.all), number(data.services.unused))],
            [t.ports, data.ports && t.of(number(data.ports.may), number(data.ports.all), number(data.ports.unused))],
          ]}
        />
        <Choice<Standing>
          name={t.which}
          quiet
          value={shown}
          onChange={(next) => {
            setShown(next);
            setListed(LISTED);
          }}
          of={STANDINGS.map((value) => ({ value, name: `${t.standings[value]} ${number(by.get(value)?.length ?? 0)}` }))}
        />
        <p className={styles.none}>{some.length === 0 ? t.none[shown] : t.help[shown]}</p>
        <ul className={styles.reach}>
          {some.slice(0, listed).map((target) => (
            <li key={peerId(target.peer)}>
              <Target of={target} known={props.graph.nodes.has(peerId(target.peer))} onNode={props.onNode} />
            </li>
          ))}
        </ul>
        {some.length > listed && (
          <button type="button" className="btn quiet" onClick={() => setListed(listed + MORE)}>
            {t.more(number(Math.min(MORE, some.length - listed)), number(some.length - listed))}
          </button>
        )}
        {data.cutShort && <p className={styles.none}>{t.cutShort}</p>}
      </div>
    </Section>
  );
}

function Target(props: { of: ReachTarget; known: boolean; onNode(id: string): void }) {
  const { peer, ways, standing } = props.of;
  const t = text.radar.reach;
  const id = peerId(peer);
  const name = peer?.service ? shortName(id) : id;
  // Of what may be reached the ways that are open say why, of the rest those that are shut.
  const open = standing === "used" || standing === "unused";
  const own = ways.filter((way) => way.refused !== open);
  return (
    <>
      <span className={styles.reachName}>
        {props.known ? (
          <button type="button" className={styles.end} onClick={() => props.onNode(id)}>
            <bdi>{safe(name, 60)}</bdi>
          </button>
        ) : (
          <Name of={name} />
        )}
      </span>
      {own.slice(0, 3).map((way) => (
        <span key={way.ports.join()} className={styles.reachWay}>
          <code>{safe(portsOf(way), 60)}</code> <Why of={way} />
          {way.partly && <span className="tag">{t.partly}</span>}
        </span>
      ))}
      {own.length > 3 && <span className={styles.faint}>{t.waysMore(own.length - 3)}</span>}
    </>
  );
}

/** Where the target listens says more than a range does. */
function portsOf(way: ReachWay): string {
  const ports = way.listening.length > 0 ? way.listening : way.ports;
  return ports.slice(0, 4).join(" ") + (ports.length > 4 ? " …" : "");
}

function Why({ of }: { of: ReachWay }) {
  const t = text.radar.reach;
  if (of.failsafe) return <span className={styles.faint}>{t.failsafe}</span>;
  if (of.rule)
    return (
      <To href={links.rule(of.rule)} className="name">
        {safe(of.rule, 60)}
      </To>
    );
  return <span className={styles.faint}>{of.model ? t.model(safe(shortName(of.model), 60)) : t.nothing}</span>;
}

/** Lights what is named on the graph, as long as one points at it. */
function Light(props: { ids: readonly string[]; onLight: Props["onLight"] }) {
  const { ids, onLight } = props;
  return (
    <button
      type="button"
      className="btn quiet"
      onMouseEnter={() => onLight(ids)}
      onMouseLeave={() => onLight(undefined)}
      onFocus={() => onLight(ids)}
      onBlur={() => onLight(undefined)}
    >
      {text.radar.service.blastLight}
    </button>
  );
}

/** Whom it can get to step by step, along connections that were seen: what is at risk if it is taken over. */
export function Steps({ graph, id, onLight }: Props) {
  const t = text.radar.service;
  const reach = useMemo(() => blastRadius(graph, id), [graph, id]);
  const bySteps = new Map<number, number>();
  for (const { steps } of reach) bySteps.set(steps, (bySteps.get(steps) ?? 0) + 1);
  return (
    <Section title={t.blast} aside={reach.length > 0 && <Light onLight={onLight} ids={[id, ...reach.map((one) => one.id)]} />}>
      <p className={styles.none}>{reach.length === 0 ? t.blastNone : t.blastHelp}</p>
      <ul className={styles.steps}>
        {[...bySteps].map(([steps, n]) => (
          <li key={steps} className="tag">
            {t.blastStep(steps, n)}
          </li>
        ))}
      </ul>
    </Section>
  );
}
