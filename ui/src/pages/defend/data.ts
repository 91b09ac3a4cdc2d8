import { skipToken, useQuery } from "@tanstack/react-query";
import { useEffect, useMemo, useState } from "react";
import { policy } from "~/api/clients";
import { keys } from "~/api/keys";
import type { Finding } from "~/gen/cnnf/v1/admin_pb";
import type { Rule } from "~/gen/cnnf/v1/policy_pb";
import type { Draft, Policy } from "./draft/draft";
import { keepUp, useDraft } from "./draft/store";
import { messages, policyOf } from "./draft/wire";

/** Rules and objects in force, and the draft on top of them. */
export interface InForce {
  policy: Policy;
  /** By key, with what only the controller knows. */
  rules: ReadonlyMap<string, Rule>;
}

/** The rules in force; the draft is carried over to them whenever they are newer. */
export function useInForce() {
  const query = useQuery({ queryKey: keys.rules(), queryFn: ({ signal }) => policy.listRules({}, { signal }), refetchInterval: 10_000 });
  const inForce = useMemo<InForce | undefined>(
    () => query.data && { policy: policyOf(query.data), rules: new Map(query.data.rules.map((rule) => [`id:${rule.id}`, rule])) },
    [query.data],
  );
  useEffect(() => {
    if (inForce) keepUp(inForce.policy);
  }, [inForce]);
  return { ...query, inForce };
}

/** The draft once it has rested for a moment, so that not every key press asks the controller. */
export function useRested<T>(value: T, rest = 500): T {
  const [rested, setRested] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setRested(value), rest);
    return () => clearTimeout(timer);
  }, [value, rest]);
  return rested;
}

const numbers = new WeakMap<object, number>();
let last = 0;

/** A number for a value that never changes: the cache's keys are written out again and again, and a draft of thousands of rules is long. */
function numberOf(value: object | undefined): number {
  if (value === undefined) return 0;
  const known = numbers.get(value);
  if (known !== undefined) return known;
  last += 1;
  numbers.set(value, last);
  return last;
}

/** What is wrong with rules that are right by themselves: of the draft if there is one. By rule name. */
export function useLint(revision: string | undefined): ReadonlyMap<string, readonly Finding[]> {
  const draft = useRested(useDraft());
  const { data } = useQuery({
    queryKey: [...keys.rules(), "lint", revision, numberOf(draft)],
    queryFn:
      revision === undefined ? skipToken : ({ signal }) => policy.lintPolicy(draft ? { draft: true, ...messages(draft) } : {}, { signal }),
    staleTime: 60_000,
    placeholderData: (before) => before,
    retry: false,
  });
  return useMemo(() => {
    const byRule = new Map<string, Finding[]>();
    for (const finding of data?.findings ?? []) byRule.set(finding.rule, [...(byRule.get(finding.rule) ?? []), finding]);
    return byRule;
  }, [data]);
}

/**
 * What rules and objects would do to the connections that were seen since a time; all of them for 0. With `live` the hosts are asked too
 * how many connections they would cut.
 */
export function useSimulation(wanted: Pick<Draft, "rules" | "objects"> | undefined, sinceMs: number, live = false) {
  return useQuery({
    queryKey: [...keys.rules(), "simulation", numberOf(wanted), sinceMs, live],
    queryFn: wanted
      ? ({ signal }) =>
          policy.simulatePolicy(
            { ...messages(wanted), live, ...(sinceMs > 0 ? { time: { sinceMs: BigInt(sinceMs), untilMs: 0n } } : {}) },
            { signal, timeoutMs: 120_000 },
          )
      : skipToken,
    staleTime: 30_000,
    retry: false,
  });
}
