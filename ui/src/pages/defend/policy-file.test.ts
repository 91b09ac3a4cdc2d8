import { expect, it } from "vitest";
import { NEW_RULE, type Wanted } from "./draft/draft";
import { readPolicy, writePolicy } from "./policy-file";

/** As the contract shows it. */
const EXAMPLE = `version: 1
objects:
  - {name: office, addresses: [10.8.0.0/16, 2001:db8:8::/48]}
rules:
  - name: shop may read the database
    from: shop
    to: {service: "unit:postgresql@*", labels: {env: prod}}
    ports: [tcp/5432]
    effect: allow
  - name: nobody else
    from: any
    to: "unit:postgresql@*"
    effect: prevent
    on_failure: closed
    owner: dba
    ticket: OPS-12
    expires: 2027-01-31
`;

it("reads the contract's example", () => {
  expect(readPolicy(EXAMPLE)).toEqual({
    objects: [{ name: "office", addresses: ["10.8.0.0/16", "2001:db8:8::/48"] }],
    rules: [
      {
        ...NEW_RULE,
        name: "shop may read the database",
        from: "shop",
        to: "unit:postgresql@*",
        toLabels: { env: "prod" },
        ports: ["tcp/5432"],
        effect: "allow",
      },
      {
        ...NEW_RULE,
        name: "nobody else",
        from: "any",
        to: "unit:postgresql@*",
        effect: "prevent",
        onFailure: "closed",
        owner: "dba",
        ticket: "OPS-12",
        expires: "2027-01-31",
      },
    ],
  });
});
it("reads back what it wrote, whatever the texts look like", () => {
  const tricky = [
    "",
    "~",
    "null",
    "true",
    "yes",
    "0x10",
    "1e3",
    "12:30",
    "2027-01-31",
    "- a",
    "a: b",
    "#x",
    "'",
    '"',
    "\\",
    "*",
    "&a",
    "!x",
    "%",
    "@",
    "|",
    ">",
    "{a}",
    " lead",
    "trail ",
    "a\nb",
    "a\n\nb\n",
    "\ttab",
    "\u2028",
    "---",
    "=",
    "<<",
    "?",
    "x".repeat(200),
  ];
  const rules: Wanted[] = tricky.map((text, n) => ({
    ...NEW_RULE,
    name: `rule ${n}`,
    from: "any",
    to: "unit:web",
    toLabels: n % 2 ? { "~": text } : {},
    ports: n % 3 ? ["tcp/80,443-500", "icmp"] : ["any"],
    enabled: n % 2 === 0,
    owner: text,
    notes: text,
  }));
  const text = writePolicy(
    rules.map((want, n) => ({ key: `${n}`, want })),
    [{ name: "o", addresses: ["::/0"] }],
  );
  expect(readPolicy(text)).toEqual({ rules, objects: [{ name: "o", addresses: ["::/0"] }] });
});
it("says where and what is wrong", () => {
  const rule = "version: 1\nrules:\n  - name: r\n    from: web\n    to: unit:db\n    ports: [tcp/80]\n    effect: alert\n";
  const cases: [string, string][] = [
    [rule.replace("alert", "deny"), "line 7 column 13: 'deny' is none of: allow, alert, prevent"],
    [rule.replace("    effect: alert\n", ""), "line 3 column 5: missing field `effect`: add it"],
    [rule.replace("effect:", "efect:"), "line 7 column 5: unknown field `efect`"],
    [rule.replace("version: 1", "version: 2"), "line 1 column 10: version 2 is not known"],
    [rule.replace("version: 1\n", ""), "line 1 column 1: missing field `version`"],
    [`${rule}    effect: alert\n`, "line 8 column 5: Map keys must be unique"],
    ["", "a policy file starts with 'version: 1'"],
    ["[]", "line 1 column 1: a policy file starts with 'version: 1'"],
    [`${rule}    notes: {a: b}\n`, "line 8 column 12: a text is expected"],
  ];
  for (const [text, wrong] of cases) expect(readPolicy(text).wrong ?? "it was taken", text).toContain(wrong);
});
it("opens no bomb of aliases", () => {
  expect(readPolicy("version: 1\nrules: &a [*a, *a]\n").wrong).toBeDefined();
});
