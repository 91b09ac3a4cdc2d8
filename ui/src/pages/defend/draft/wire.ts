/** Between the messages of the API and the plain values of a draft. */

import { create } from "@bufbuild/protobuf";
import type { ListRulesResponse } from "~/gen/cnnf/v1/admin_pb";
import { type AddressObject, AddressObjectSchema, type Rule, RuleSchema } from "~/gen/cnnf/v1/policy_pb";
import type { Draft, DraftObject, Policy, Wanted } from "./draft";

/** What an operator said of a rule. */
export function wanted(rule: Rule): Wanted {
  const { name, enabled, from, fromLabels, to, toLabels, effect, onFailure, learned, expires, owner, ticket, notes } = rule;
  const ports = rule.ports.length === 0 ? ["any"] : [...rule.ports];
  const labels = { fromLabels: { ...fromLabels }, toLabels: { ...toLabels } };
  return { name, enabled, from, ...labels, to, ports, effect, onFailure: onFailure || "open", learned, expires, owner, ticket, notes };
}

/** The rules in force, as a draft begins with them. */
export function policyOf(answer: ListRulesResponse): Policy {
  return {
    revision: answer.revision.toString(),
    rules: answer.rules.map((rule) => ({ key: `id:${rule.id}`, want: wanted(rule) })),
    objects: answer.objects.map(({ name, addresses }) => ({ name, addresses: [...addresses] })),
  };
}

/** A rule to be sent. */
export function ruleMessage(want: Wanted): Rule {
  return create(RuleSchema, { ...want });
}

/** An object to be sent. */
export function objectMessage({ name, addresses }: DraftObject): AddressObject {
  return create(AddressObjectSchema, { name, addresses });
}

/** All that a draft says, to be sent. */
export function messages(draft: Pick<Draft, "rules" | "objects">): { rules: Rule[]; objects: AddressObject[] } {
  return { rules: draft.rules.map(({ want }) => ruleMessage(want)), objects: draft.objects.map(objectMessage) };
}
