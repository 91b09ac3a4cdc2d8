/** Events as files: for spreadsheets and for programs. */

import { toJson } from "@bufbuild/protobuf";
import { type Event, type EventParty, EventSchema, type Process } from "~/gen/cnnf/v1/event_pb";
import { csv, type Value } from "~/parts/csv";
import { port } from "~/text/format";

const HEADER = [
  "id",
  "kind",
  "first_seen",
  "last_seen",
  "count",
  "client_service",
  "client_host",
  "client_address",
  "server_service",
  "server_host",
  "server_address",
  "port",
  "rule",
  "model",
  "side",
  "host",
  "message",
  "pid",
  "executable",
  "command_line",
  "user",
  "unit",
  "sha256",
  "started_by",
  "acknowledged",
  "note",
];

/** The file for spreadsheets, an event a line; no text in it can begin a formula. */
export function eventsCsv(events: readonly Event[]): string {
  return csv(HEADER, events.map(line));
}

function line(event: Event): Value[] {
  const { process } = event;
  return [
    event.id,
    event.kind,
    event.firstSeen,
    event.lastSeen,
    event.count,
    ...end(event.client),
    ...end(event.server),
    event.protocol === "" ? "" : port(event.protocol, event.port),
    event.rule,
    event.model,
    event.side,
    event.host,
    event.message,
    process?.pid || "",
    process?.exe ?? "",
    process?.cmdline ?? "",
    process?.user ?? "",
    process?.unit ?? "",
    process?.sha256 ?? "",
    startedBy(process),
    event.acknowledged,
    event.note,
  ];
}

function end(party: EventParty | undefined): string[] {
  return [party?.service ?? "", party?.host ?? "", party?.address ?? ""];
}

function startedBy(process: Process | undefined): string {
  return process?.parents.map(({ program, pid }) => `${program} (${pid})`).join(" < ") ?? "";
}

/** The file for programs: as `cnnfctl events list -o json` writes it. */
export function eventsJson(events: readonly Event[]): string {
  return JSON.stringify({ events: events.map((event) => toJson(EventSchema, event)) }, undefined, 2);
}
