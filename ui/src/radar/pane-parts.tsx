import { Link } from "wouter";
import type { Event } from "~/gen/cnnf/v1/event_pb";
import { KindChip } from "~/parts/chips";
import { Name } from "~/parts/name";
import { Ago } from "~/parts/when";
import { links } from "~/shell/links";
import { text } from "~/text";
import { number } from "~/text/format";
import { safe, shortName } from "~/text/safe";
import type { Link as Edge } from "./graph";
import { Sample } from "./legend";
import { CHANGE_LOOKS, LOOKS } from "./looks";
import styles from "./panes.module.css";

/** How a connection stands, as a sample of its line and in words. */
export function Status(props: { of: Pick<Edge, "hot" | "status" | "change">; compared?: boolean }) {
  const { hot, status, change } = props.of;
  const key = hot ? status : "idle";
  return (
    <span className={styles.status}>
      <Sample look={props.compared ? CHANGE_LOOKS[change ?? "same"] : LOOKS[key]} />
      {props.compared ? text.radar.changes[change ?? "same"] : text.radar.statuses[key]}
    </span>
  );
}

/** Whether an event is of a connection between two nodes; of one node where the other is not given. */
export function isOf(event: Event, from: string, to?: string): boolean {
  const is = (party: Event["client"], id: string) => party !== undefined && (party.service === id || party.address === id);
  return to === undefined
    ? is(event.client, from) || is(event.server, from) || event.model === from
    : is(event.client, from) && is(event.server, to);
}

const MOST = 6;

/** The newest events, each leading to Monitor, and the way to all of them. */
export function Events(props: { events: readonly Event[]; service: string; all: string; none: string }) {
  const { events } = props;
  if (events.length === 0) return <p className={styles.none}>{props.none}</p>;
  return (
    <>
      <ul className={styles.events}>
        {events.slice(0, MOST).map((event) => (
          <li key={event.id.toString()}>
            <Link href={links.events({ service: props.service, event: Number(event.id) })} className={styles.event}>
              <KindChip kind={event.kind} />
              <span className={styles.what}>
                <Name of={eventText(event)} />
              </span>
              <span className={styles.faint}>
                ×{number(event.count)} · <Ago at={event.lastSeen} />
              </span>
            </Link>
          </li>
        ))}
      </ul>
      <Link href={props.all} className={styles.more}>
        {text.radar.service.allEvents} ({number(events.length)})
      </Link>
    </>
  );
}

function eventText(event: Event): string {
  const end = (party: Event["client"]) => safe(shortName(party?.service || party?.address || "?"), 40);
  if (!event.client && !event.server) return event.message;
  return `${end(event.client)} → ${end(event.server)} ${event.protocol}${event.port ? `/${event.port}` : ""}`;
}
