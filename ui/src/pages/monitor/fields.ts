import type { EventParty } from "~/gen/cnnf/v1/event_pb";
import type { Field } from "~/parts/filter";
import { portMeant } from "~/parts/ports";
import { port } from "~/text/format";
import { monitor } from "~/text/monitor";
import { parts } from "~/text/parts";
import type { Entry } from "./log";

const both = (of: (party: EventParty) => string) => (entry: Entry) =>
  [entry.event.client, entry.event.server].flatMap((party) => (party ? [of(party)] : []));

/** What events can be filtered by. */
export const EVENT_FIELDS: Field<Entry>[] = [
  { key: "kind", label: monitor.columns.kind, of: ({ event }) => event.kind, words: Object.keys(parts.kinds) },
  { key: "service", label: monitor.fields.service, of: both(({ service }) => service) },
  { key: "from", label: monitor.columns.client, of: ({ event }) => event.client?.service || event.client?.address || "" },
  { key: "to", label: monitor.columns.server, of: ({ event }) => event.server?.service || event.server?.address || "" },
  { key: "host", label: monitor.fields.host, of: (entry) => [entry.event.host, ...both(({ host }) => host)(entry)] },
  { key: "address", label: monitor.fields.address, of: both(({ address }) => address) },
  {
    key: "port",
    label: monitor.columns.port,
    of: ({ event }) => (event.protocol === "" ? "" : port(event.protocol, event.port)),
    holds: ({ event }, value) => portMeant([event.protocol === "" ? "none" : port(event.protocol, event.port)], value),
  },
  { key: "rule", label: monitor.fields.rule, of: ({ event }) => event.rule },
  { key: "model", label: monitor.fields.model, of: ({ event }) => event.model },
  { key: "process", label: monitor.columns.process, of: ({ event }) => event.samples.map(({ exe }) => exe) },
  { key: "user", label: monitor.fields.user, of: ({ event }) => event.process?.user ?? "" },
  { key: "is", label: parts.state, of: ({ event }) => (event.acknowledged ? "acknowledged" : "open"), words: ["open", "acknowledged"] },
];

export const EVENT_KEYS = EVENT_FIELDS.map(({ key }) => key);

/** What of an event words of the filter look into. */
export function eventWords({ event }: Entry): string {
  return [event.message, event.note, event.process?.cmdline.slice(0, 2_000) ?? ""].join("\n");
}
