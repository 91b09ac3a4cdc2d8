/** Events in order, newest first, as they come in pages and one by one. */

import type { Event, EventParty } from "~/gen/cnnf/v1/event_pb";
import { millis } from "~/parts/spans";

/** An event with what sorting and folding need. */
export interface Entry {
  /** Its number as text. */
  key: string;
  event: Event;
  /** When it was seen last. */
  last: number;
}

/** An event, or several that say the same. */
export interface Row {
  /** The key of the newest. */
  key: string;
  newest: Entry;
  /** All of them, newest first. */
  all: readonly Entry[];
  /** Connections, over all of them. */
  count: bigint;
  /** How many nobody has seen to. */
  open: number;
}

/** A browser holds so many; older ones are on the controller. */
export const MOST = 100_000;

export function entry(event: Event): Entry {
  return { key: event.id.toString(), event, last: millis(event.lastSeen) ?? 0 };
}

function newestFirst(a: Entry, b: Entry): number {
  return b.last - a.last || (b.event.id > a.event.id ? 1 : -1);
}

/** `entries` with `incoming`: what has the same number is replaced and may move up. Both are sorted; neither is changed. */
export function absorb(entries: readonly Entry[], incoming: readonly Event[], most = MOST): readonly Entry[] {
  if (incoming.length === 0) return entries;
  // Of one event's states the last one told counts.
  const fresh = [...new Map(incoming.map((event) => [event.id, entry(event)])).values()].sort(newestFirst);
  const known = new Set(fresh.map(({ key }) => key));
  const merged: Entry[] = [];
  let next = 0;
  for (const old of entries) {
    if (known.has(old.key)) continue;
    for (let one = fresh[next]; one && newestFirst(one, old) < 0; one = fresh[next]) {
      merged.push(one);
      next += 1;
    }
    merged.push(old);
  }
  for (; next < fresh.length; next += 1) merged.push(fresh[next] as Entry);
  return merged.length > most ? merged.slice(0, most) : merged;
}

/** What two events must share to say the same. */
function likeness({ kind, client, server, protocol, port, rule, model, host, message }: Event): string {
  const end = (party: EventParty | undefined) =>
    party ? [party.service, party.host, party.service ? "" : party.address].join("\u0001") : "";
  // Of the system's own events the host and the words are all there is.
  const words = client || server ? "" : `${host}\u0001${message}`;
  return [kind, end(client), end(server), protocol, port, rule, model, words].join("\u0002");
}

/** A row for each event, or one for all that say the same, where the newest of them stands. */
export function fold(entries: readonly Entry[], on: boolean): readonly Row[] {
  if (!on)
    return entries.map((entry) => ({
      key: entry.key,
      newest: entry,
      all: [entry],
      count: entry.event.count,
      open: entry.event.acknowledged ? 0 : 1,
    }));
  const groups = new Map<string, Entry[]>();
  for (const entry of entries) {
    const like = likeness(entry.event);
    const group = groups.get(like);
    if (group) group.push(entry);
    else groups.set(like, [entry]);
  }
  return [...groups.values()].map((all) => {
    const newest = all[0] as Entry;
    let count = 0n;
    let open = 0;
    for (const { event } of all) {
      count += event.count;
      if (!event.acknowledged) open += 1;
    }
    return { key: newest.key, newest, all, count, open };
  });
}
