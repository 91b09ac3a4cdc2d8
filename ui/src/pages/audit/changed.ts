/** What an entry of the record says was changed: two JSON texts, compared field by field. */

/** A field that differs, as text. */
export interface ChangedField {
  /** Its path, such as `rule.ports`; empty for the whole. */
  path: string;
  before: string;
  after: string;
}

/** Deeper than the API's answers are, and shallow enough for anything. */
const DEEPEST = 32;
/** More is nothing to read. */
const MOST = 500;

/** The fields that differ; a text that is no JSON is one field. */
export function changedFields(before: string, after: string): ChangedField[] {
  const [old, now] = [parse(before), parse(after)];
  const fields: ChangedField[] = [];
  walk("", old, now, 0, fields);
  return fields;
}

function parse(text: string): unknown {
  if (text === "") return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function walk(path: string, before: unknown, after: unknown, depth: number, fields: ChangedField[]): void {
  if (fields.length >= MOST) return;
  const [old, now] = [isObject(before), isObject(after)];
  if ((old || now) && (old || before === undefined) && (now || after === undefined) && depth < DEEPEST) {
    const [left, right] = [(before ?? {}) as Record<string, unknown>, (after ?? {}) as Record<string, unknown>];
    for (const key of new Set([...Object.keys(left), ...Object.keys(right)])) {
      walk(path === "" ? key : `${path}.${key}`, left[key], right[key], depth + 1, fields);
    }
    return;
  }
  const [was, is] = [written(before), written(after)];
  if (was !== is) fields.push({ path, before: was, after: is });
}

function isObject(value: unknown): boolean {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function written(value: unknown): string {
  if (value === undefined || value === null) return "";
  if (Array.isArray(value) && value.every((entry) => typeof entry !== "object")) return value.join(", ");
  return typeof value === "string" ? value : JSON.stringify(value);
}
