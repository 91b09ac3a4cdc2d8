/** Edges of a model, as its service sees them. */

import type { LearnedEdge } from "~/gen/cnnf/v1/admin_pb";
import type { Peer } from "~/gen/cnnf/v1/common_pb";
import { port } from "~/text/format";

/** An edge in the words that ForgetEdge and ApproveEdge take. */
export interface OwnEdge {
  direction: "to" | "from";
  peer: string;
  port: string;
}

function peerText(peer: Peer | undefined): string {
  if (!peer) return "";
  return peer.service || (peer.object ? `object:${peer.object}` : peer.address);
}

/** The edge seen from `service`; an edge to itself goes out. */
export function ownEdge(service: string, learned: LearnedEdge): OwnEdge {
  const { client, server, protocol, port: number } = learned.edge ?? { client: undefined, server: undefined, protocol: "", port: 0 };
  const out = client?.service === service;
  return { direction: out ? "to" : "from", peer: peerText(out ? server : client), port: port(protocol, number) };
}

/** How much of what comes is known, from the chance that it is not: never rounded up to all. */
export function knownPercent(unseen: number): string {
  const known = (1 - Math.min(1, Math.max(0, unseen))) * 100;
  if (known >= 100) return "100 %";
  return `${known >= 99.9 ? "99.9" : known >= 99 ? known.toFixed(1) : Math.floor(known)} %`;
}

/** Events a day, with as many digits as help. */
export function perDay(events: number): string {
  if (events >= 10) return Math.round(events).toLocaleString("en");
  if (events >= 0.1) return events.toFixed(1);
  return events === 0 ? "0" : "< 0.1";
}
