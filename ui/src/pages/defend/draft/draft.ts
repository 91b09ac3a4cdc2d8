/**
 * A draft: the rules and objects as somebody wants them, beside those they started from. Plain values that survive a reload as JSON; every
 * function gives a new draft and leaves the old one as it is.
 */

/** What an operator can say of a rule, by the names of the API. */
export interface Wanted {
  name: string;
  enabled: boolean;
  from: string;
  fromLabels: Record<string, string>;
  to: string;
  toLabels: Record<string, string>;
  ports: string[];
  effect: string;
  onFailure: string;
  learned: string;
  expires: string;
  owner: string;
  ticket: string;
  notes: string;
}

/** A rule of a draft; the key stays while everything else may change. */
export interface DraftRule {
  key: string;
  want: Wanted;
}

/** An address object. */
export interface DraftObject {
  name: string;
  addresses: string[];
}

/** Rules in order, and objects. */
export interface Policy {
  /** The revision as a decimal number, as JSON has no such large ones. */
  revision: string;
  rules: DraftRule[];
  objects: DraftObject[];
}

/** What is wanted, and from what it started. */
export interface Draft {
  base: Policy;
  rules: DraftRule[];
  objects: DraftObject[];
  /** How many rules were made in it, for their keys. */
  made: number;
}

/** A rule as a form begins with it. */
export const NEW_RULE: Wanted = {
  name: "",
  enabled: true,
  from: "",
  fromLabels: {},
  to: "",
  toLabels: {},
  ports: ["any"],
  effect: "alert",
  onFailure: "open",
  learned: "",
  expires: "",
  owner: "",
  ticket: "",
  notes: "",
};

/** A draft without changes. */
export function start(base: Policy): Draft {
  return { base, rules: base.rules, objects: base.objects, made: 0 };
}

/** Whether a draft says anything else than what it started from. */
export function isClean(draft: Draft): boolean {
  return same(draft.rules, draft.base.rules) && same(draft.objects, draft.base.objects);
}

/** With a rule more, at an index; at the end if it has none. */
export function add(draft: Draft, want: Wanted, at = draft.rules.length): Draft {
  const made = draft.made + 1;
  const rule = { key: `new:${made}`, want };
  return {
    ...draft,
    made,
    rules: [...draft.rules.slice(0, at), rule, ...draft.rules.slice(at)],
  };
}

/** With other values for a rule. */
export function set(draft: Draft, key: string, values: Partial<Wanted>): Draft {
  const rules = draft.rules.map((rule) => (rule.key === key ? { key, want: { ...rule.want, ...values } } : rule));
  return { ...draft, rules };
}

/** Without a rule. */
export function remove(draft: Draft, key: string): Draft {
  return { ...draft, rules: draft.rules.filter((rule) => rule.key !== key) };
}

/** With a rule at another index. */
export function move(draft: Draft, key: string, to: number): Draft {
  const rule = draft.rules.find((rule) => rule.key === key);
  if (!rule) return draft;
  const others = draft.rules.filter((other) => other.key !== key);
  const at = Math.max(0, Math.min(to, others.length));
  return {
    ...draft,
    rules: [...others.slice(0, at), rule, ...others.slice(at)],
  };
}

/** With an object of this name, new or instead of `old`; rules that name `old` follow. */
export function setObject(draft: Draft, object: DraftObject, old = object.name): Draft {
  const others = draft.objects.filter(({ name }) => name !== old && name !== object.name);
  const objects = [...others, object].sort((a, b) => (a.name < b.name ? -1 : 1));
  if (old === object.name) return { ...draft, objects };
  const end = (text: string) => (text === old ? object.name : text);
  const rules = draft.rules.map((rule) => {
    const [from, to] = [end(rule.want.from), end(rule.want.to)];
    return from === rule.want.from && to === rule.want.to ? rule : { ...rule, want: { ...rule.want, from, to } };
  });
  return { ...draft, objects, rules };
}

/** Without an object. */
export function removeObject(draft: Draft, name: string): Draft {
  return {
    ...draft,
    objects: draft.objects.filter((object) => object.name !== name),
  };
}

/** With all rules and objects of a file. A rule keeps the key of the one that has its name, as the controller does it too. */
export function replace(draft: Draft, rules: readonly Wanted[], objects: readonly DraftObject[]): Draft {
  const known = new Map(draft.base.rules.map((rule) => [rule.want.name, rule.key]));
  let made = draft.made;
  const keyed = rules.map((want) => {
    const key = known.get(want.name);
    if (key !== undefined) {
      known.delete(want.name);
      return { key, want };
    }
    made += 1;
    return { key: `new:${made}`, want };
  });
  return {
    ...draft,
    made,
    rules: keyed,
    objects: [...objects].sort((a, b) => (a.name < b.name ? -1 : 1)),
  };
}

/** Names of rules that use an object. */
export function usedBy(rules: readonly DraftRule[], object: string): string[] {
  return rules.filter(({ want }) => want.from === object || want.to === object).map(({ want }) => want.name);
}

/** Whether two values of a draft say the same; the order of labels means nothing. */
export function same(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  if (Array.isArray(a) || Array.isArray(b)) {
    return Array.isArray(a) && Array.isArray(b) && a.length === b.length && a.every((value, n) => same(value, b[n]));
  }
  const [left, right] = [a as Record<string, unknown>, b as Record<string, unknown>];
  const keys = Object.keys(left);
  return keys.length === Object.keys(right).length && keys.every((key) => key in right && same(left[key], right[key]));
}
