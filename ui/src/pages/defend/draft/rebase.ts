/** A draft on top of rules that somebody else has changed meanwhile. */

import { movedKeys } from "./diff";
import { type Draft, type DraftObject, type Policy, same } from "./draft";

/** A draft on a newer base. */
export interface Rebased {
  draft: Draft;
  /** Names of what both sides changed: the draft's values stay, and want a look. */
  both: string[];
}

/** Carries a draft over to `base`: what only one side changed is taken from that side. */
export function rebase(draft: Draft, base: Policy): Rebased {
  const both: string[] = [];
  return {
    draft: {
      ...draft,
      base,
      rules: rules(draft, base, both),
      objects: objects(draft, base, both),
    },
    both,
  };
}

function rules(draft: Draft, base: Policy, both: string[]): Draft["rules"] {
  const old = new Map(draft.base.rules.map((rule) => [rule.key, rule.want]));
  const now = new Map(base.rules.map((rule) => [rule.key, rule.want]));
  const mine = new Map(draft.rules.map((rule) => [rule.key, rule.want]));
  const merged = new Map(
    [...mine].flatMap(([key, want]) => {
      const [before, theirs] = [old.get(key), now.get(key)];
      if (before === undefined) return [[key, want] as const];
      const [iChanged, theyChanged] = [!same(want, before), !same(theirs, before)];
      if (iChanged && theyChanged && !same(want, theirs)) both.push(want.name);
      if (theirs === undefined) return iChanged ? [[key, want] as const] : [];
      return [[key, iChanged ? want : theirs] as const];
    }),
  );
  for (const [key, theirs] of now) {
    if (merged.has(key)) continue;
    const before = old.get(key);
    // Deleted here, and changed there: what they changed comes back, to be looked at.
    if (before !== undefined && !same(theirs, before)) both.push(theirs.name);
    if (before === undefined || !same(theirs, before)) merged.set(key, theirs);
  }
  return order(draft, base, [...merged.keys()]).map((key) => ({
    key,
    want: merged.get(key) as Draft["rules"][number]["want"],
  }));
}

/** Theirs, unless the order was changed here; what the leading side does not know goes behind the one it stood behind on the other. */
function order(draft: Draft, base: Policy, keys: string[]): string[] {
  const here = draft.rules.map(({ key }) => key);
  const there = base.rules.map(({ key }) => key);
  const movedHere = movedKeys(draft.base.rules, draft.rules).size > 0;
  const [leading, other] = movedHere ? [here, there] : [there, here];
  const wanted = new Set(keys);
  const placed = leading.filter((key) => wanted.has(key));
  const known = new Set(placed);
  other.forEach((key, n) => {
    if (!wanted.has(key) || known.has(key)) return;
    let at = 0;
    for (let before = n - 1; before >= 0 && at === 0; before -= 1) at = placed.indexOf(other[before] ?? "") + 1;
    // At the end of the one is at the end of the other.
    placed.splice(n === other.length - 1 ? placed.length : at, 0, key);
    known.add(key);
  });
  return placed;
}

function objects(draft: Draft, base: Policy, both: string[]): DraftObject[] {
  const index = (list: readonly DraftObject[]) => new Map(list.map((object) => [object.name, object]));
  const [old, now, mine] = [index(draft.base.objects), index(base.objects), index(draft.objects)];
  const merged: DraftObject[] = [];
  for (const name of new Set([...now.keys(), ...mine.keys()])) {
    const [before, theirs, here] = [old.get(name), now.get(name), mine.get(name)];
    const [iChanged, theyChanged] = [!same(here, before), !same(theirs, before)];
    if (iChanged && theyChanged && !same(here, theirs)) both.push(name);
    const taken = iChanged ? here : theirs;
    if (taken) merged.push(taken);
  }
  return merged.sort((a, b) => (a.name < b.name ? -1 : 1));
}
