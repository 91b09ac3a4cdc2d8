/** The rule that an event suggests. */

import type { Event, EventParty } from "~/gen/cnnf/v1/event_pb";
import { port } from "~/text/format";

/** Keys that stand for no service in particular. */
const NONE = new Set(["", "unknown", "ambiguous", "kernel"]);

/** From whom, to whom, and on which port; `undefined` where the event has no connection, or no service at either end. */
export function ruleFrom(event: Event): { from: string; to: string; ports: string[] } | undefined {
  const { client, server, protocol } = event;
  if (!client || !server || protocol === "") return undefined;
  const [from, to] = [end(client), end(server)];
  if (from === undefined || to === undefined || (NONE.has(client.service) && NONE.has(server.service))) return undefined;
  // Port 0 stands for every ephemeral port: that is a range in a rule.
  const text = port(protocol, event.port);
  return { from, to, ports: [text.replace("/dynamic", "/32768-65535")] };
}

function end({ service, address }: EventParty): string | undefined {
  return (NONE.has(service) ? address : service) || undefined;
}
