import type { Event, EventParty } from "~/gen/cnnf/v1/event_pb";
import { monitor } from "~/text/monitor";
import { safe, shortName } from "~/text/safe";
import styles from "./monitor.module.css";

/** One end of an event in a table: the service's short name and its host, or the address. */
export function End(props: { of: EventParty | undefined }) {
  const party = props.of;
  if (!party) return null;
  const whole = [party.service, party.host && `${monitor.pane.on} ${party.host}`, party.address].filter(Boolean).join(" ");
  return (
    <span className="name" title={safe(whole)}>
      {party.service ? safe(shortName(party.service)) : safe(party.address)}
      {party.host && <span className={styles.faint}> {safe(party.host, 60)}</span>}
    </span>
  );
}

/** `curl (4711)`, in full when pointed at. */
export function ProcessName(props: { of: Event["process"] }) {
  const process = props.of;
  if (!process) return null;
  const name = process.exe.slice(process.exe.lastIndexOf("/") + 1);
  return (
    <span className="name" title={safe(process.cmdline || process.exe || process.missing)}>
      {name ? safe(name) : <span className={styles.faint}>{safe(process.missing)}</span>}
      {process.pid > 0 && <span className={styles.faint}> {process.pid}</span>}
    </span>
  );
}

/** What decided, or what happened. */
export function because({ rule, model, message, host }: Event): string {
  if (rule) return rule;
  if (model) return `${monitor.fields.model}: ${shortName(model)}`;
  return [host, message].filter(Boolean).join(": ");
}
