/** What is wrong with a rule or an object, before the controller is asked. */

import { inWords } from "~/api/errors";
import { atFields, violations } from "~/api/violations";
import { isAddresses, wrongAddress } from "~/parts/address";
import { readPorts } from "~/parts/ports";
import { millis, span } from "~/parts/spans";
import { defend } from "~/text/defend";
import type { Draft, DraftObject, DraftRule, Wanted } from "./draft/draft";

/** What is wrong, by field. */
export type Wrong = Partial<Record<keyof Wanted, string>>;

/** What is wrong with a rule beside the others. `portsText` is what is written for its ports. */
export function wrongRule(
  want: Wanted,
  portsText: string,
  key: string | undefined,
  others: readonly DraftRule[],
  objects: readonly DraftObject[],
): Wrong {
  const wrong: Wrong = {};
  const name = want.name.trim();
  if (name === "") wrong.name = defend.wrong.noName;
  else if (others.some((rule) => rule.key !== key && rule.want.name === name)) wrong.name = defend.wrong.nameTaken;
  for (const end of ["from", "to"] as const) {
    const text = want[end].trim();
    if (text === "") wrong[end] = defend.wrong.noEnd;
    else if (/^[\d.:a-f]+[/-]/i.test(text) && !text.includes(",") && !objects.some((object) => object.name === text)) {
      const bad = wrongAddress(text);
      if (bad) wrong[end] = bad;
    }
  }
  if (!wrong.from && !wrong.to && !isService(want.from, objects) && !isService(want.to, objects)) wrong.to = defend.wrong.noService;
  const ports = readPorts(portsText);
  if (ports.wrong !== undefined) wrong.ports = ports.wrong;
  if (want.expires !== "" && expiry(want.expires, 0) === undefined) wrong.expires = defend.wrong.expires;
  return wrong;
}

/** What the controller found wrong with a rule of a draft; the draft's last one if it has no key yet. What is about others is `rest`. */
export function atRule(error: unknown, draft: Pick<Draft, "rules"> | undefined, key: string | undefined): { at: Wrong; rest: unknown } {
  const index = key === undefined ? (draft?.rules.length ?? 0) - 1 : (draft?.rules.findIndex((rule) => rule.key === key) ?? -1);
  const { at, rest } = atFields(error, ...Object.values(PATHS).map((name) => `rules[${index}].${name}`));
  const wrong = Object.entries(PATHS).flatMap(([key, name]) => {
    const says = at[`rules[${index}].${name}`];
    return says === undefined ? [] : [[key, says]];
  });
  return { at: Object.fromEntries(wrong) as Wrong, rest };
}

/** What the controller said of a draft, with the rule's name where it said only its number: "watch ssh: from: …". */
export function inDraft(error: unknown, draft: Pick<Draft, "rules">): string {
  const [first] = violations(error);
  const [, index, field] = /^rules\[(\d+)\]\.?(.*)$/.exec(first?.field ?? "") ?? [];
  const name = draft.rules[Number(index)]?.want.name;
  if (!first || name === undefined) return inWords(error);
  return [name, field, first.description].filter((part) => part !== "").join(": ");
}

/** What the controller calls a rule's fields that can be wrong by themselves. */
const PATHS: Partial<Record<keyof Wanted, string>> = {
  name: "name",
  from: "from",
  fromLabels: "from_labels",
  to: "to",
  toLabels: "to_labels",
  ports: "ports",
  expires: "expires",
  owner: "owner",
  ticket: "ticket",
  notes: "notes",
};

/** Whether an end is one or more services: neither any, an object nor addresses. */
export function isService(end: string, objects: readonly DraftObject[]): boolean {
  const text = end.trim();
  return text !== "" && text !== "any" && !objects.some(({ name }) => name === text) && !isAddresses(text);
}

/** What is sent for an expiry: a span is from now on, dates and times stay as they are. */
export function expiry(text: string, now: number): string | undefined {
  const trimmed = text.trim();
  if (trimmed === "") return "";
  const ahead = span(trimmed);
  if (ahead !== undefined) return new Date(now + ahead).toISOString().replace(/\.\d+Z$/, "Z");
  return /^\d{4}-\d\d-\d\d/.test(trimmed) && millis(trimmed) !== undefined ? trimmed : undefined;
}

/** What is wrong with an object, by field. */
export function wrongObject(
  object: DraftObject,
  old: string | undefined,
  others: readonly DraftObject[],
): { name?: string; addresses?: string } {
  const wrong: { name?: string; addresses?: string } = {};
  const name = object.name.trim();
  if (name === "") wrong.name = defend.wrong.noName;
  else if (name !== old && others.some((other) => other.name === name)) wrong.name = defend.wrong.nameTaken;
  else if (name === "any" || /[:,/*\s]/.test(name) || isAddresses(name)) wrong.name = defend.wrong.objectName;
  if (object.addresses.length === 0) wrong.addresses = defend.wrong.noAddresses;
  for (const address of object.addresses) {
    const bad = wrongAddress(address);
    if (bad) wrong.addresses = bad;
  }
  return wrong;
}
