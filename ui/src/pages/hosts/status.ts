/** How a host is, in a word. */

import type { Defender } from "~/gen/cnnf/v1/admin_pb";
import { type Field, writeTerm } from "~/parts/filter";
import { hosts } from "~/text/hosts";
import { parts } from "~/text/parts";

/** Whether its stream is open, or why not. */
export function hostStatus({ revoked, connected }: Defender): "connected" | "offline" | "revoked" {
  if (revoked) return "revoked";
  return connected ? "connected" : "offline";
}

/** Whether the policy that it should have is in force on it; degraded where its kernel refused it, so that what was before it holds. */
export function policyState({ outcome, desiredGeneration, appliedGeneration }: Defender): "applied" | "behind" | "degraded" | "failed" {
  if (outcome === "failed") return "degraded";
  if (outcome === "refused" || outcome === "reverted") return "failed";
  return desiredGeneration === appliedGeneration ? "applied" : "behind";
}

/** What hosts can be filtered by. */
export const HOST_FIELDS: Field<Defender>[] = [
  { key: "label", label: hosts.columns.labels, of: ({ labels }) => Object.entries(labels).map(([key, value]) => `${key}=${value}`) },
  { key: "address", label: hosts.columns.addresses, of: ({ addresses }) => addresses },
  { key: "mode", label: hosts.columns.mode, of: ({ mode }) => mode, words: ["observe", "enforce"] },
  { key: "version", label: hosts.columns.version, of: ({ version }) => version },
  {
    key: "is",
    label: parts.state,
    of: (defender) => [
      hostStatus(defender),
      policyState(defender),
      ...(defender.notCovered.length > 0 ? ["uncovered"] : []),
      ...(defender.outdated ? ["outdated"] : []),
    ],
    words: ["connected", "offline", "revoked", "applied", "behind", "degraded", "failed", "uncovered", "outdated"],
  },
];
export const HOST_KEYS = HOST_FIELDS.map(({ key }) => key);

/** Where its events are. */
export function eventsOf({ host }: Defender): string {
  return `/monitor?q=${encodeURIComponent(writeTerm({ key: "host", value: host, not: false }))}`;
}
