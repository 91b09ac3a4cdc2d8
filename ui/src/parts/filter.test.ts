import { describe, expect, it } from "vitest";
import { type Field, matcher, readFilter, suggest, writeFilter } from "./filter";

interface Row {
  name: string;
  kind: string;
  tags: string[];
}

const FIELDS: Field<Row>[] = [
  {
    key: "kind",
    label: "Kind",
    of: (row) => row.kind,
    words: ["alert", "prevent", "alert_all"],
  },
  { key: "tag", label: "Tag", of: (row) => row.tags },
  {
    key: "long",
    label: "Name of at least",
    of: (row) => row.name,
    holds: (row, value) => row.name.length >= Number(value),
  },
];
const KEYS = FIELDS.map(({ key }) => key);
const ROWS: Row[] = [
  { name: "curl to nginx", kind: "alert", tags: ["web", "prod"] },
  { name: "cron", kind: "prevent", tags: ["prod"] },
  { name: "backup (nightly)", kind: "alert_all", tags: [] },
];
const found = (text: string) => ROWS.filter(matcher(readFilter(text, KEYS), FIELDS, (row) => row.name)).map(({ name }) => name);

describe("filters", () => {
  it("reads terms, quotes and exclusions", () => {
    expect(readFilter('kind:alert -tag:"a b" nginx "two words" unit:nginx', KEYS)).toEqual([
      { key: "kind", value: "alert", not: false },
      { key: "tag", value: "a b", not: true },
      { key: "", value: "nginx", not: false },
      { key: "", value: "two words", not: false },
      { key: "", value: "unit:nginx", not: false },
    ]);
    for (const begun of ["kind:", "-", '"', "-kind:", 'kind: - "']) expect(readFilter(begun, KEYS), begun).toEqual([]);
  });
  it("reads back what it wrote", () => {
    const values = ["a", "a b", 'q"q', "back\\slash", "-minus", "unit:x", "kind:x", "x y:z", "ä"];
    for (const key of ["", "kind"]) {
      for (const not of [false, true]) {
        const terms = values.map((value) => ({ key, value, not }));
        expect(readFilter(writeFilter(terms), KEYS)).toEqual(terms);
      }
    }
  });
  it("finds by words, keys, alternatives and exclusions", () => {
    expect(found("")).toHaveLength(3);
    expect(found("CURL")).toEqual(["curl to nginx"]);
    expect(found("kind:alert")).toEqual(["curl to nginx"]);
    expect(found("kind:alert kind:prevent")).toEqual(["curl to nginx", "cron"]);
    expect(found("tag:prod -tag:web")).toEqual(["cron"]);
    expect(found("kind:alert*")).toEqual(["curl to nginx", "backup (nightly)"]);
    expect(found("*(night*")).toEqual(["backup (nightly)"]);
    expect(found("(nightly")).toEqual(["backup (nightly)"]);
    expect(found("long:10")).toEqual(["curl to nginx", "backup (nightly)"]);
    expect(found("prod curl")).toEqual(["curl to nginx"]);
  });
  it("suggests keys, then values, where the term is written", () => {
    expect(suggest("ki", FIELDS, ROWS).map(({ text }) => text)).toEqual(["kind:"]);
    expect(suggest("web -ta", FIELDS, ROWS).map(({ text }) => text)).toEqual(["web -tag:"]);
    expect(suggest("kind:al", FIELDS, ROWS).map(({ text }) => text)).toEqual(["kind:alert ", "kind:alert_all "]);
    expect(suggest("x tag:", FIELDS, ROWS).map(({ text }) => text)).toEqual(["x tag:prod ", "x tag:web "]);
    expect(suggest("kind:alert ", FIELDS, ROWS).map(({ term }) => term)).toEqual(["kind:", "tag:", "long:"]);
  });
});
