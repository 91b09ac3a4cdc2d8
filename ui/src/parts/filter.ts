/**
 * The language of filter bars: words, and `key:value` where the table has such a key. `-` before a term excludes, quotes hold blanks together.
 * Terms of one key are alternatives; different keys, words and exclusions must all hold.
 */

/** One term; words have the key "". */
export interface Term {
  key: string;
  value: string;
  not: boolean;
}

/** What a table can be filtered by. */
export interface Field<Row> {
  key: string;
  /** For people, in suggestions. */
  label: string;
  /** What a row has. */
  of(row: Row): string | readonly string[];
  /** Closed vocabularies are offered whole and compared whole; of others a part is enough, and `*` stands for any text. */
  words?: readonly string[];
  /** Where comparing texts is not what is meant, such as ports in ranges. */
  holds?(row: Row, value: string): boolean;
}

const TERM = /(-?)(?:([a-z_-]+):)?(?:"((?:[^"\\]|\\.)*)"?|(\S+))/giy;

/** Reads a filter. A key that is none of `keys` belongs to the word, as in `unit:nginx`. */
export function readFilter(text: string, keys: readonly string[]): Term[] {
  const terms: Term[] = [];
  let at = 0;
  while (at < text.length) {
    if (/\s/.test(text[at] ?? "")) {
      at += 1;
      continue;
    }
    TERM.lastIndex = at;
    const match = TERM.exec(text);
    if (!match) {
      at += 1;
      continue;
    }
    at = TERM.lastIndex;
    const [, sign, prefix, quoted, bare] = match;
    const value = quoted === undefined ? (bare ?? "") : quoted.replace(/\\(.)/g, "$1");
    const key = prefix?.toLowerCase() ?? "";
    const known = key !== "" && keys.includes(key);
    terms.push({
      key: known ? key : "",
      value: known || prefix === undefined ? value : `${prefix}:${value}`,
      not: sign === "-",
    });
  }
  // A lone key or sign is a term that is still being typed.
  const begun = (value: string) =>
    value === "" || value === "-" || (value.endsWith(":") && keys.includes(value.slice(0, -1).toLowerCase()));
  return terms.filter((term) => term.key !== "" || !begun(term.value));
}

/** Writes terms so that they are read back the same. */
export function writeFilter(terms: readonly Term[]): string {
  return terms.map(writeTerm).join(" ");
}

/** One term as it is written. */
export function writeTerm({ key, value, not }: Term): string {
  const bare = /^[^\s"-][^\s"]*$/.test(value) && !(key === "" && /^[a-z_-]+:/i.test(value) && !/^(unit|exe|container|svc):./.test(value));
  const text = bare ? value : `"${value.replace(/["\\]/g, "\\$&")}"`;
  return `${not ? "-" : ""}${key ? `${key}:` : ""}${text}`;
}

/** The test that these terms are. Words look into all fields and `words`. */
export function matcher<Row>(terms: readonly Term[], fields: readonly Field<Row>[], words: (row: Row) => string): (row: Row) => boolean {
  const tests: ((row: Row) => boolean)[] = [];
  const either = new Map<string, ((row: Row) => boolean)[]>();
  for (const term of terms) {
    const field = fields.find(({ key }) => key === term.key);
    const test = field ? fieldTest(field, term.value) : wordTest(fields, words, term.value);
    if (term.not) tests.push((row) => !test(row));
    else if (field) either.set(field.key, [...(either.get(field.key) ?? []), test]);
    else tests.push(test);
  }
  for (const group of either.values()) tests.push((row) => group.some((test) => test(row)));
  return (row) => tests.every((test) => test(row));
}

function fieldTest<Row>(field: Field<Row>, value: string): (row: Row) => boolean {
  const { holds } = field;
  if (holds) return (row) => holds.call(field, row, value);
  const like = pattern(value, field.words !== undefined);
  return (row) => {
    const has = field.of(row);
    return typeof has === "string" ? like(has) : has.some(like);
  };
}

function wordTest<Row>(fields: readonly Field<Row>[], words: (row: Row) => string, value: string): (row: Row) => boolean {
  const like = pattern(value, false);
  return (row) =>
    like(words(row)) ||
    fields.some((field) => {
      const has = field.of(row);
      return typeof has === "string" ? like(has) : has.some(like);
    });
}

function pattern(value: string, whole: boolean): (text: string) => boolean {
  const wanted = value.toLowerCase();
  if (!wanted.includes("*")) {
    return whole ? (text) => text.toLowerCase() === wanted : (text) => text.toLowerCase().includes(wanted);
  }
  const source = wanted.split("*").map((part) => part.replace(/[.+?^${}()|[\]\\]/g, "\\$&"));
  const glob = new RegExp(`^${source.join(".*")}$`, "s");
  return (text) => glob.test(text.toLowerCase());
}

/** Something that can be put at the place of the term that is being written. */
export interface Suggestion {
  /** The filter with it. */
  text: string;
  /** The term itself. */
  term: string;
  /** What it is, for people. */
  label: string;
}

/** What could be meant by the last term: keys, then values that there are in `rows`. */
export function suggest<Row>(text: string, fields: readonly Field<Row>[], rows: readonly Row[], most = 8): Suggestion[] {
  const start = text.length - (/(?:"[^"]*|\S)*$/.exec(text)?.[0].length ?? 0);
  const [before, typed] = [text.slice(0, start), text.slice(start)];
  const sign = typed.startsWith("-") ? "-" : "";
  const word = typed.slice(sign.length);
  const colon = word.indexOf(":");
  const field = colon > 0 ? fields.find(({ key }) => key === word.slice(0, colon).toLowerCase()) : undefined;
  if (field) {
    const part = word
      .slice(colon + 1)
      .replace(/^"|"$/g, "")
      .toLowerCase();
    return valuesOf(field, rows)
      .filter((value) => value.toLowerCase().includes(part) && value.toLowerCase() !== part)
      .slice(0, most)
      .map((value) => {
        const term = writeTerm({ key: field.key, value, not: sign === "-" });
        return { text: `${before}${term} `, term, label: field.label };
      });
  }
  return fields
    .filter(({ key, label }) => key.startsWith(word.toLowerCase()) || (word !== "" && label.toLowerCase().includes(word.toLowerCase())))
    .slice(0, most)
    .map(({ key, label }) => ({
      text: `${before}${sign}${key}:`,
      term: `${sign}${key}:`,
      label,
    }));
}

/** Rows that are looked at for values: enough to help, few enough for a key press. */
const LOOKED_AT = 5_000;

function valuesOf<Row>(field: Field<Row>, rows: readonly Row[]): string[] {
  if (field.words) return [...field.words];
  const counts = new Map<string, number>();
  for (const row of rows.slice(0, LOOKED_AT)) {
    const has = field.of(row);
    for (const value of typeof has === "string" ? [has] : has) {
      if (value !== "" && value.length <= 200) counts.set(value, (counts.get(value) ?? 0) + 1);
    }
  }
  return [...counts].sort((a, b) => b[1] - a[1]).map(([value]) => value);
}
