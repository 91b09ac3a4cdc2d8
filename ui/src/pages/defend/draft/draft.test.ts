import { describe, expect, it } from "vitest";
import { diff, movedKeys, summary, undo } from "./diff";
import {
  add,
  type Draft,
  isClean,
  move,
  NEW_RULE,
  type Policy,
  remove,
  removeObject,
  replace,
  set,
  setObject,
  start,
  usedBy,
  type Wanted,
} from "./draft";
import { rebase } from "./rebase";

const rule = (name: string, values: Partial<Wanted> = {}): Wanted => ({
  ...NEW_RULE,
  name,
  from: "unit:a",
  to: "unit:b",
  ...values,
});
const policy = (...names: string[]): Policy => ({
  revision: "7",
  rules: names.map((name) => ({ key: `id:${name}`, want: rule(name) })),
  objects: [{ name: "office", addresses: ["10.8.0.0/16"] }],
});
const names = (draft: Draft) => draft.rules.map(({ want }) => want.name).join("");
const said = (draft: Draft) => diff(draft).map(({ change, name, before, after }) => `${change} ${name} ${before} ${after}`);

/** Small numbers from a seed, so that a failure comes again. */
function random(seed: number) {
  let state = seed;
  return (below: number) => {
    state = (state * 1_103_515_245 + 12_345) & 0x7fffffff;
    return (state >> 8) % below;
  };
}

/** A draft after some steps of any kind. */
function anyDraft(seed: number, base: Policy): Draft {
  const next = random(seed);
  let draft = start(base);
  for (let n = next(8); n > 0; n -= 1) {
    const key = draft.rules[next(Math.max(1, draft.rules.length))]?.key ?? "";
    const steps = [
      () => add(draft, rule(`n${seed}.${n}`), next(draft.rules.length + 1)),
      () =>
        set(draft, key, {
          effect: ["allow", "alert", "prevent"][next(3)] ?? "alert",
        }),
      () => remove(draft, key),
      () => move(draft, key, next(draft.rules.length + 1)),
      () =>
        setObject(draft, {
          name: `o${next(3)}`,
          addresses: [`10.0.0.${next(9)}`],
        }),
    ];
    draft = steps[next(steps.length)]?.() ?? draft;
  }
  return draft;
}

describe("a draft", () => {
  it("is clean until something differs, and again when it does not", () => {
    const draft = start(policy("a", "b"));
    expect(isClean(draft)).toBe(true);
    const changed = set(draft, "id:a", { effect: "prevent" });
    expect(isClean(changed)).toBe(false);
    expect(isClean(set(changed, "id:a", { effect: "alert" }))).toBe(true);
    expect(isClean(move(move(draft, "id:a", 1), "id:a", 0))).toBe(true);
  });
  it("says what it changes as the controller does", () => {
    let draft = start(policy("a", "b", "c", "d"));
    draft = add(draft, rule("e", { effect: "prevent", toLabels: { env: "prod" } }), 1);
    draft = set(draft, "id:b", { ports: ["tcp/80"], enabled: false });
    draft = move(remove(draft, "id:c"), "id:d", 0);
    draft = setObject(draft, { name: "lab", addresses: ["fd00::/8"] });
    expect(said(draft)).toEqual(["added lab 0 0", "moved d 4 1", "added e 0 3", "changed b 2 4", "deleted c 3 0"]);
    expect(diff(draft)[2]?.fields).toEqual([
      { field: "from", before: "", after: "unit:a" },
      { field: "to", before: "", after: "unit:b" },
      { field: "to_labels", before: "", after: "env=prod" },
      { field: "ports", before: "", after: "any" },
      { field: "effect", before: "", after: "prevent" },
    ]);
    expect(diff(draft)[3]?.fields).toEqual([
      { field: "enabled", before: "yes", after: "no" },
      { field: "ports", before: "any", after: "tcp/80" },
    ]);
    expect(summary(diff(draft))).toBe("2 added, 1 changed, 1 moved, 1 deleted");
  });
  it("calls as few rules moved as explain the order", () => {
    const [before, after] = [policy("a", "b", "c", "d", "e").rules, policy("e", "a", "b", "d", "c").rules];
    expect([...movedKeys(before, after)].sort()).toHaveLength(2);
    expect(movedKeys(before, after).has("id:e")).toBe(true);
    const many = Array.from({ length: 20_000 }, (_, n) => ({
      key: `${n}`,
      want: NEW_RULE,
    }));
    expect(movedKeys(many, [...many.slice(1), many[0] as (typeof many)[number]]).size).toBe(1);
  });
  it("takes each change back by itself, to nothing", () => {
    for (let seed = 0; seed < 300; seed += 1) {
      let draft = anyDraft(seed, policy("a", "b", "c", "d"));
      for (let n = 0; n < 40 && !isClean(draft); n += 1) {
        const changes = diff(draft);
        const change = changes[random(seed + n)(changes.length)];
        if (!change) throw new Error(`seed ${seed}: not clean, but nothing differs`);
        draft = undo(draft, change);
      }
      expect(isClean(draft), `seed ${seed}: ${said(draft).join("; ")}`).toBe(true);
      expect(diff(draft)).toEqual([]);
    }
  });
  it("renames an object in the rules that use it", () => {
    let draft = add(start(policy("a")), rule("b", { from: "office" }));
    expect(usedBy(draft.rules, "office")).toEqual(["b"]);
    draft = setObject(draft, { name: "hq", addresses: ["10.8.0.0/16"] }, "office");
    expect(draft.objects.map(({ name }) => name)).toEqual(["hq"]);
    expect(usedBy(draft.rules, "hq")).toEqual(["b"]);
    expect(removeObject(draft, "hq").objects).toEqual([]);
  });
  it("keeps rules of a file that have a known name", () => {
    const draft = replace(start(policy("a", "b")), [rule("b"), rule("c")], []);
    expect(draft.rules.map(({ key }) => key)).toEqual(["id:b", "new:1"]);
    expect(said(draft)).toEqual(["deleted office 0 0", "added c 0 2", "deleted a 1 0"]);
  });
});

describe("rebase", () => {
  it("takes what only the others changed", () => {
    const mine = set(start(policy("a", "b", "c")), "id:a", {
      effect: "prevent",
    });
    const theirs = policy("a", "x", "b", "c");
    theirs.rules[2] = { key: "id:b", want: rule("b", { owner: "dba" }) };
    const { draft, both } = rebase(mine, theirs);
    expect(both).toEqual([]);
    expect(names(draft)).toBe("axbc");
    expect(said(draft)).toEqual(["changed a 1 1"]);
  });
  it("keeps what was added here at its place", () => {
    const mine = add(add(start(policy("a", "b")), rule("m"), 1), rule("z"));
    expect(names(rebase(mine, policy("x", "a", "b", "y")).draft)).toBe("xambyz");
  });
  it("keeps an order that was made here", () => {
    const mine = move(start(policy("a", "b", "c")), "id:c", 0);
    expect(names(rebase(mine, policy("a", "b", "x", "c")).draft)).toBe("cabx");
  });
  it("names what both changed and keeps the draft's", () => {
    const theirs = policy("a", "b", "c");
    theirs.rules[0] = { key: "id:a", want: rule("a", { effect: "allow" }) };
    theirs.rules[2] = { key: "id:c", want: rule("c", { effect: "allow" }) };
    let mine = set(start(policy("a", "b", "c")), "id:a", { effect: "prevent" });
    mine = remove(mine, "id:c");
    const { draft, both } = rebase(mine, theirs);
    expect(both).toEqual(["a", "c"]);
    expect(draft.rules[0]?.want.effect).toBe("prevent");
    expect(names(draft)).toBe("abc");
  });
  it("drops what the others deleted, unless it was changed here", () => {
    const { draft, both } = rebase(set(start(policy("a", "b", "c")), "id:b", { owner: "me" }), policy("c"));
    expect(names(draft)).toBe("bc");
    expect(both).toEqual(["b"]);
  });
  it("changes nothing on the same base, and loses nothing on another", () => {
    for (let seed = 0; seed < 300; seed += 1) {
      const base = policy("a", "b", "c", "d");
      const mine = anyDraft(seed, base);
      expect(rebase(mine, base).draft).toEqual(mine);
      const theirs: Policy = { ...anyDraft(seed + 1_000, base), revision: "8" };
      const keyed = {
        ...theirs,
        rules: theirs.rules.map((r) => (r.key.startsWith("new:") ? { ...r, key: `id:${r.want.name}` } : r)),
      };
      const { draft } = rebase(mine, keyed);
      const here = new Set(draft.rules.map(({ key }) => key));
      expect(here.size, `seed ${seed}: a key twice`).toBe(draft.rules.length);
      const old = new Set(base.rules.map(({ key }) => key));
      for (const { key } of [...mine.rules, ...keyed.rules]) if (!old.has(key)) expect(here.has(key), `seed ${seed}: ${key}`).toBe(true);
    }
  });
});
