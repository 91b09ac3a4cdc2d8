/** The table's rows: rules in force, with what the draft makes of them. */

import type { Finding } from "~/gen/cnnf/v1/admin_pb";
import type { Rule } from "~/gen/cnnf/v1/policy_pb";
import type { Field } from "~/parts/filter";
import { portMeant } from "~/parts/ports";
import { millis } from "~/parts/spans";
import { defend } from "~/text/defend";
import { parts } from "~/text/parts";
import type { InForce } from "./data";
import { diff } from "./draft/diff";
import type { Draft, Wanted } from "./draft/draft";

/** A rule as the table shows it. */
export interface RuleRow {
  key: string;
  want: Wanted;
  /** What is in force; absent for new ones. */
  rule: Rule | undefined;
  mark: "same" | "added" | "changed" | "moved" | "deleted";
  /** From 1; 0 for deleted ones. */
  position: number;
  findings: readonly Finding[];
  expired: boolean;
}

/** All rows in order; what the draft deletes stands where it was. */
export function rows(
  inForce: InForce,
  draft: Draft | undefined,
  findings: ReadonlyMap<string, readonly Finding[]>,
  now: number,
): RuleRow[] {
  const marks = new Map(draft ? diff(draft).map((change) => [change.key, change.change] as const) : []);
  const row = (key: string, want: Wanted, position: number): RuleRow => ({
    key,
    want,
    rule: inForce.rules.get(key),
    mark: marks.get(key) ?? "same",
    position,
    findings: findings.get(want.name) ?? [],
    expired: want.expires !== "" && expiresAt(want.expires) <= now,
  });
  const all = (draft ?? inForce.policy).rules.map(({ key, want }, n) => row(key, want, n + 1));
  if (!draft) return all;
  draft.base.rules.forEach(({ key, want }, n) => {
    if (marks.get(key) !== "deleted") return;
    let at = 0;
    for (let before = n - 1; before >= 0 && at === 0; before -= 1)
      at = all.findIndex((other) => other.key === draft.base.rules[before]?.key) + 1;
    all.splice(at, 0, row(key, want, 0));
  });
  return all;
}

/** When a rule expires; a date is the end of that day in UTC. */
function expiresAt(expires: string): number {
  const day = /^\d{4}-\d\d-\d\d$/.test(expires);
  return millis(day ? `${expires}T23:59:59Z` : expires) ?? Number.POSITIVE_INFINITY;
}

/** What rules can be filtered by. */
export const RULE_FIELDS: Field<RuleRow>[] = [
  { key: "effect", label: defend.columns.effect, of: ({ want }) => want.effect, words: ["allow", "alert", "prevent"] },
  { key: "from", label: defend.columns.from, of: ({ want }) => want.from },
  { key: "to", label: defend.columns.to, of: ({ want }) => want.to },
  { key: "port", label: defend.columns.ports, of: ({ want }) => want.ports, holds: ({ want }, value) => portMeant(want.ports, value) },
  { key: "owner", label: defend.columns.owner, of: ({ want }) => want.owner },
  { key: "ticket", label: defend.fields.ticket, of: ({ want }) => want.ticket },
  {
    key: "label",
    label: defend.fields.labels,
    of: ({ want }) => [...Object.entries(want.fromLabels), ...Object.entries(want.toLabels)].map(([key, value]) => `${key}=${value}`),
  },
  {
    key: "is",
    label: parts.state,
    of: (row) => states(row),
    words: ["on", "off", "unused", "expired", "draft", "shadowed", "inert", "contradicting", "wide", "ownerless"],
  },
];

function states(row: RuleRow): string[] {
  return [
    row.want.enabled ? "on" : "off",
    ...(row.rule && row.rule.hits === 0n ? ["unused"] : []),
    ...(row.expired ? ["expired"] : []),
    ...(row.mark === "same" ? [] : ["draft"]),
    ...row.findings.map(({ fault }) => fault),
  ];
}
