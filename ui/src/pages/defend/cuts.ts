/** Which connections would be cut. */

import type { LiveCut, Shift } from "~/gen/cnnf/v1/admin_pb";
import type { Edge, Peer } from "~/gen/cnnf/v1/common_pb";

/** Edges seen so lately have connections that live, as far as that can be known without asking hosts. */
const LIVE_MS = 60_000;

function keyOf(edge: Edge | undefined): string {
  const end = (peer: Peer | undefined) => peer?.service || peer?.object || peer?.address || "";
  return [end(edge?.client), end(edge?.server), edge?.protocol, edge?.port].join("\u0001");
}

/** Whether a shift cuts connections: as the hosts count them; where one does not say, by when the edge was seen. */
export function cutsBy(live: LiveCut | undefined, now: number): (shift: Shift) => boolean {
  const counted = new Set(live?.cuts.map(({ edge }) => keyOf(edge)));
  const allSay = live !== undefined && live.silent.length === 0;
  return ({ edge, after, lastSeen }) =>
    after?.effect === "prevent" && (counted.has(keyOf(edge)) || (!allSay && now - Date.parse(lastSeen) < LIVE_MS));
}
