/** What a draft changes: as the controller will say it, but at once. */

import { type Draft, type DraftObject, type DraftRule, move, remove, removeObject, same, set, setObject, type Wanted } from "./draft";

/** A field that differs, as texts. */
export interface FieldDiff {
  /** As in a policy file. */
  field: string;
  before: string;
  after: string;
}

/** What became of a rule or an object. */
export interface Change {
  kind: "rule" | "object";
  change: "added" | "changed" | "moved" | "deleted";
  /** A rule's key, an object's name. */
  key: string;
  name: string;
  /** From 1; 0 if it is new, gone or an object. */
  before: number;
  after: number;
  /** Whether it was moved itself, and not only by what was added, moved or deleted around it. */
  moved: boolean;
  fields: FieldDiff[];
}

const FIELDS: [keyof Wanted, string][] = [
  ["name", "name"],
  ["enabled", "enabled"],
  ["from", "from"],
  ["fromLabels", "from_labels"],
  ["to", "to"],
  ["toLabels", "to_labels"],
  ["ports", "ports"],
  ["effect", "effect"],
  ["onFailure", "on_failure"],
  ["learned", "learned"],
  ["expires", "expires"],
  ["owner", "owner"],
  ["ticket", "ticket"],
  ["notes", "notes"],
];

/** What differs, objects first, then rules in their new order, then what is gone. */
export function diff(draft: Draft): Change[] {
  return [...objectChanges(draft), ...ruleChanges(draft)];
}

function ruleChanges(draft: Draft): Change[] {
  const old = new Map(draft.base.rules.map((rule, n) => [rule.key, { rule, at: n + 1 }]));
  const moved = movedKeys(draft.base.rules, draft.rules);
  const changes: Change[] = [];
  draft.rules.forEach(({ key, want }, n) => {
    const before = old.get(key);
    const common = {
      kind: "rule",
      key,
      name: want.name,
      after: n + 1,
    } as const;
    if (!before) {
      changes.push({
        ...common,
        change: "added",
        before: 0,
        moved: false,
        fields: said(undefined, want),
      });
      return;
    }
    const fields = said(before.rule.want, want);
    if (fields.length > 0) changes.push({ ...common, change: "changed", before: before.at, moved: moved.has(key), fields });
    else if (moved.has(key)) changes.push({ ...common, change: "moved", before: before.at, moved: true, fields });
  });
  const kept = new Set(draft.rules.map(({ key }) => key));
  for (const { rule, at } of old.values()) {
    if (kept.has(rule.key)) continue;
    const fields = said(rule.want, undefined);
    changes.push({
      kind: "rule",
      change: "deleted",
      key: rule.key,
      name: rule.want.name,
      before: at,
      after: 0,
      moved: false,
      fields,
    });
  }
  return changes;
}

function objectChanges(draft: Draft): Change[] {
  const old = new Map(draft.base.objects.map((object) => [object.name, object]));
  const changes: Change[] = [];
  const note = (change: Change["change"], name: string, before?: DraftObject, after?: DraftObject) => {
    const texts = {
      before: before?.addresses.join(", ") ?? "",
      after: after?.addresses.join(", ") ?? "",
    };
    changes.push({
      kind: "object",
      change,
      key: name,
      name,
      before: 0,
      after: 0,
      moved: false,
      fields: [{ field: "addresses", ...texts }],
    });
  };
  for (const object of draft.objects) {
    const before = old.get(object.name);
    old.delete(object.name);
    if (!before) note("added", object.name, undefined, object);
    else if (!same(before.addresses, object.addresses)) note("changed", object.name, before, object);
  }
  for (const [name, object] of old) note("deleted", name, object);
  return changes;
}

function said(before: Wanted | undefined, after: Wanted | undefined): FieldDiff[] {
  const fields: FieldDiff[] = [];
  for (const [key, field] of FIELDS) {
    const [old, now] = [before && fieldText(before[key]), after && fieldText(after[key])];
    if (old === now) continue;
    // Of what is new or gone only what says something: a name stands above, and most rules are enabled and open.
    const one = old ?? now ?? "";
    if ((old === undefined || now === undefined) && (one === "" || key === "name" || one === "yes" || one === "open")) continue;
    fields.push({ field, before: old ?? "", after: now ?? "" });
  }
  return fields;
}

function fieldText(value: Wanted[keyof Wanted]): string {
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (typeof value === "string") return value;
  if (Array.isArray(value)) return value.join(" ") || "any";
  return Object.keys(value)
    .sort()
    .map((key) => `${key}=${value[key] ?? ""}`)
    .join(", ");
}

/** The fewest rules that explain the new order: all that are not on a longest run which kept its order. */
export function movedKeys(before: readonly DraftRule[], after: readonly DraftRule[]): Set<string> {
  const places = new Map(before.map(({ key }, n) => [key, n]));
  const kept = after.filter(({ key }) => places.has(key)).map(({ key }) => ({ key, at: places.get(key) ?? 0 }));
  // tails[n]: the index in `kept` of the smallest end of a rising run of n + 1.
  const tails: number[] = [];
  const previous: number[] = [];
  const at = (index: number | undefined) =>
    index === undefined ? Number.POSITIVE_INFINITY : (kept[index]?.at ?? Number.POSITIVE_INFINITY);
  kept.forEach((rule, index) => {
    let [low, high] = [0, tails.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (at(tails[middle]) < rule.at) low = middle + 1;
      else high = middle;
    }
    previous[index] = low > 0 ? (tails[low - 1] ?? -1) : -1;
    tails[low] = index;
  });
  const moved = new Set(kept.map(({ key }) => key));
  for (let index = tails.at(-1) ?? -1; index >= 0; index = previous[index] ?? -1) {
    const key = kept[index]?.key;
    if (key !== undefined) moved.delete(key);
  }
  return moved;
}

/** The draft without one of its changes. */
export function undo(draft: Draft, change: Change): Draft {
  if (change.kind === "object") {
    const old = draft.base.objects.find(({ name }) => name === change.key);
    return old ? setObject(draft, old) : removeObject(draft, change.key);
  }
  const old = draft.base.rules.find(({ key }) => key === change.key);
  if (!old) return remove(draft, change.key);
  const present = draft.rules.some(({ key }) => key === change.key);
  const whole = present ? set(draft, old.key, old.want) : { ...draft, rules: [...draft.rules, old] };
  return change.change === "changed" ? whole : move(whole, old.key, place(draft, old.key));
}

/** Where a rule of the base belongs: behind the nearest one before it that is still there. */
function place(draft: Draft, key: string): number {
  const others = draft.rules.filter((rule) => rule.key !== key);
  const until = draft.base.rules.findIndex((rule) => rule.key === key);
  for (let n = until - 1; n >= 0; n -= 1) {
    const at = others.findIndex((rule) => rule.key === draft.base.rules[n]?.key);
    if (at >= 0) return at + 1;
  }
  return 0;
}

/** `2 added, 1 changed`. */
export function summary(changes: readonly Change[]): string {
  const words = ["added", "changed", "moved", "deleted"] as const;
  const parts = words.map((word) => [changes.filter(({ change }) => change === word).length, word] as const);
  return parts
    .filter(([count]) => count > 0)
    .map(([count, word]) => `${count} ${word}`)
    .join(", ");
}
