import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Ban, Check, CheckCheck, GraduationCap, Plus, TriangleAlert, X } from "lucide-react";
import { useState } from "react";
import { Link } from "wouter";
import { navigate } from "wouter/use-browser-location";
import { events, models, policy } from "~/api/clients";
import { inWords } from "~/api/errors";
import { keys } from "~/api/keys";
import type { Event, EventParty } from "~/gen/cnnf/v1/event_pb";
import { EffectChip, KindChip, ModeChip } from "~/parts/chips";
import type { May } from "~/parts/may";
import { Menu } from "~/parts/menu";
import { LongText } from "~/parts/name";
import { Facts, Pane, Section } from "~/parts/pane";
import { Failed, Loading } from "~/parts/states";
import { done, failed } from "~/parts/toasts";
import { Clock, When } from "~/parts/when";
import { links } from "~/shell/links";
import { count, number, port } from "~/text/format";
import { monitor } from "~/text/monitor";
import { parts } from "~/text/parts";
import { safe, shortName } from "~/text/safe";
import styles from "./event-pane.module.css";
import type { Row } from "./log";
import { Evidence } from "./process";
import { ruleFrom } from "./rule-from";

interface Props {
  id: bigint;
  /** Where the table has it. */
  row: Row | undefined;
  may: May;
  onAcknowledge(ids: readonly bigint[], note: string): Promise<void>;
  onKnow(event: Event): void;
  onOpen(event: number): void;
  onClose(): void;
}

/** All that is known of an event, and what can be done about it. */
export function EventPane(props: Props) {
  const here = props.row?.all.find(({ event }) => event.id === props.id)?.event ?? props.row?.newest.event;
  // An address may name an event that the table does not have.
  const asked = useQuery({
    queryKey: keys.event(props.id),
    queryFn: ({ signal }) => events.getEvent({ id: props.id }, { signal }),
    enabled: here === undefined,
    retry: false,
  });
  const event = here ?? asked.data;
  const label = monitor.pane.label(props.id.toString());
  if (!event) {
    return (
      <Pane label={label} title={label} onClose={props.onClose}>
        {asked.error ? <Failed error={asked.error} onRetry={() => asked.refetch()} /> : <Loading />}
      </Pane>
    );
  }
  return <Known {...props} event={event} label={label} />;
}

function Known(props: Props & { event: Event; label: string }) {
  const { event, row, may } = props;
  const client = useQueryClient();
  const [note, setNote] = useState("");
  const rule = ruleFrom(event);
  const anomaly = event.model !== "" && event.model !== "other-side";
  const approve = useMutation({
    mutationFn: () => models.approveEdge({ service: event.model, event: event.id }),
    onSuccess: () => done(monitor.pane.approved(safe(shortName(event.model)))),
    onError: failed,
    onSettled: () => {
      for (const key of [keys.models(), keys.radar()]) void client.invalidateQueries({ queryKey: key });
    },
  });
  const openIds = (row?.all ?? []).filter((entry) => !entry.event.acknowledged).map((entry) => entry.event.id);
  const ids = openIds.length > 0 ? openIds : event.acknowledged ? [] : [event.id];
  const begin = (effect: "allow" | "alert" | "prevent") => rule && navigate(links.newRule({ ...rule, effect }));
  const process = event.process;
  const others = (row?.all ?? []).filter((entry) => entry.event.id !== event.id);
  return (
    <Pane
      label={props.label}
      kicker={
        <>
          <KindChip kind={event.kind} />
          <span>{monitor.pane.number(event.id.toString())}</span>
          {event.acknowledged && <span>{monitor.seen}</span>}
        </>
      }
      title={<Title event={event} />}
      onClose={props.onClose}
      actions={
        <>
          {may.change && rule && (
            <Menu
              label={monitor.pane.createRule}
              trigger={
                <button type="button" className="btn primary">
                  <Plus size={14} aria-hidden />
                  {monitor.pane.createRule}
                </button>
              }
              items={[
                { name: monitor.pane.ruleAllow, icon: Check, act: () => begin("allow") },
                { name: monitor.pane.ruleAlert, icon: TriangleAlert, act: () => begin("alert") },
                { name: monitor.pane.rulePrevent, icon: Ban, act: () => begin("prevent") },
              ]}
            />
          )}
          {may.change && anomaly && (
            <button
              type="button"
              className="btn"
              disabled={approve.isPending}
              onClick={() => approve.mutate()}
              title={monitor.pane.approve(safe(event.model))}
            >
              <GraduationCap size={14} aria-hidden />
              {monitor.pane.approve(safe(shortName(event.model), 24))}
            </button>
          )}
          {event.client?.service && (
            <Link className="btn" href={links.radar({ node: event.client.service })}>
              {monitor.pane.radar}
            </Link>
          )}
        </>
      }
    >
      {event.message && (
        <Section title={monitor.pane.message}>
          <LongText of={event.message} mono={false} />
        </Section>
      )}
      {(event.client || event.server) && (
        <div className={styles.ends}>
          <EndCard name={monitor.pane.client} of={event.client} />
          <div className={styles.arrow}>
            <span className={styles.line} aria-hidden />
            <code>{port(safe(event.protocol, 20), event.port)}</code>
          </div>
          <EndCard name={monitor.pane.server} of={event.server} />
        </div>
      )}
      <Section title={monitor.pane.times}>
        <Facts
          of={[
            [monitor.pane.host, event.host && <Link href={links.host(event.host)}>{safe(event.host)}</Link>],
            [monitor.pane.first, <When key="first" at={event.firstSeen} />],
            [monitor.pane.last, <When key="last" at={event.lastSeen} />],
            [monitor.pane.count, number(event.count)],
          ]}
        />
      </Section>
      {(event.rule || event.model) && (
        <Section title={monitor.pane.decision}>
          <Facts
            of={[
              [monitor.pane.rule, event.rule && <Link href={links.rule(event.rule)}>{safe(event.rule)}</Link>],
              [monitor.pane.revision, event.rule && event.ruleRevision.toString()],
              [monitor.pane.model, anomaly && <Link href={links.model(event.model)}>{safe(event.model)}</Link>],
              [monitor.pane.side, monitor.pane.sides[event.side] ?? safe(event.side)],
            ]}
          />
        </Section>
      )}
      {event.client && event.server && <Explanation event={event} />}
      <Section title={monitor.pane.process}>
        {process ? <Evidence of={process} /> : <p className={styles.faint}>{monitor.pane.noProcess}</p>}
        <MoreSamples event={event} />
      </Section>
      {(ids.length > 0 || event.acknowledged) && (
        <Section title={monitor.pane.acknowledged}>
          {event.acknowledged && <p>{event.note ? <LongText of={event.note} mono={false} /> : monitor.seen}</p>}
          {ids.length > 0 && may.change && (
            <form
              className={styles.ack}
              onSubmit={(submitted) => {
                submitted.preventDefault();
                void props.onAcknowledge(ids, note).then(() => setNote(""));
              }}
            >
              <input
                className="input"
                aria-label={monitor.note_}
                placeholder={monitor.notePlaceholder}
                value={note}
                onChange={(changed) => setNote(changed.target.value)}
              />
              <button type="submit" className="btn">
                <CheckCheck size={14} aria-hidden />
                {ids.length > 1 ? monitor.ackAll(number(ids.length)).replace("…", "") : monitor.ack}
              </button>
            </form>
          )}
        </Section>
      )}
      {others.length > 0 && (
        <Section title={monitor.pane.others}>
          <ul className={styles.others}>
            {others.slice(0, 50).map((entry) => (
              <li key={entry.key}>
                <button type="button" className={styles.link} onClick={() => props.onOpen(Number(entry.key))}>
                  <Clock at={entry.event.lastSeen} />
                </button>
                <span className={styles.faint}>{count(entry.event.count, "connection")}</span>
              </li>
            ))}
          </ul>
        </Section>
      )}
    </Pane>
  );
}

function Title({ event }: { event: Event }) {
  const { client, server } = event;
  if (!client && !server) return (parts.kinds as Record<string, string>)[event.kind] ?? safe(event.kind);
  const name = (party: EventParty | undefined) => safe(party?.service ? shortName(party.service) : (party?.address ?? ""), 60);
  return (
    <>
      <bdi>{name(client)}</bdi> → <bdi>{name(server)}</bdi>
    </>
  );
}

function EndCard(props: { name: string; of: EventParty | undefined }) {
  const { service, host, address, port: number } = props.of ?? { service: "", host: "", address: "", port: 0 };
  const place = number > 0 ? (address.includes(":") ? `[${address}]:${number}` : `${address}:${number}`) : address;
  return (
    <div className={styles.card}>
      <div className={styles.faint}>{props.name}</div>
      {service && (
        <Link className={styles.service} href={links.radar({ node: service })}>
          {safe(service)}
        </Link>
      )}
      {host && (
        <div>
          {monitor.pane.on} <Link href={links.host(host)}>{safe(host)}</Link>
        </div>
      )}
      <code>{safe(place)}</code>
    </div>
  );
}

/** How the same connection would be judged now, and all that was considered. */
function Explanation({ event }: { event: Event }) {
  const known = (party: EventParty | undefined) => {
    const service = party?.service ?? "";
    return service && service !== "unknown" && service !== "ambiguous" ? service : (party?.address ?? "");
  };
  const ask = {
    from: known(event.client),
    to: known(event.server),
    port: port(event.protocol, event.port || 32_768),
    host: event.client?.service ? (event.client.host ?? "") : "",
  };
  const { data, error } = useQuery({
    queryKey: [...keys.rules(), "explain", ask],
    queryFn: ({ signal }) => policy.explain(ask, { signal }),
    retry: false,
    staleTime: 10_000,
  });
  return (
    <Section title={monitor.pane.now} aside={data && <EffectChip effect={data.effect} />}>
      {error ? (
        <p className={styles.faint}>{safe(inWords(error), 400)}</p>
      ) : !data ? (
        <p className={styles.faint}>{monitor.pane.nowWaits}</p>
      ) : (
        <>
          <ol className={styles.steps}>
            {data.steps.map((step, n) => (
              // biome-ignore lint/suspicious/noArrayIndexKey: steps have no other name
              <li key={n} className={step.matched ? styles.matched : styles.unmatched}>
                {step.matched ? <Check size={14} aria-hidden /> : <X size={14} aria-hidden />}
                <span className="hidden">{step.matched ? monitor.pane.matched : monitor.pane.notMatched}: </span>
                <bdi>{safe(step.what, 300)}</bdi>
              </li>
            ))}
          </ol>
          {!data.rule && !data.model && <p className={styles.faint}>{monitor.pane.byDefault}</p>}
          <Facts
            of={[
              [monitor.pane.side, data.host ? safe(data.host) : monitor.pane.sides[data.side]],
              [monitor.pane.mode, data.mode && <ModeChip key="mode" mode={data.mode} />],
            ]}
          />
        </>
      )}
    </Section>
  );
}

function MoreSamples({ event }: { event: Event }) {
  const others = event.samples.filter(
    (sample) => !(sample.pid === event.process?.pid && sample.started === event.process.started && sample.exe === event.process.exe),
  );
  if (others.length === 0) return null;
  return (
    <details className={styles.samples}>
      <summary>{monitor.pane.samples(number(others.length))}</summary>
      {others.map((sample, n) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: two may be equal
        <Evidence key={n} of={sample} />
      ))}
    </details>
  );
}
