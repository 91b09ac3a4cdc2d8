/**
 * Policy files, as `cnnfctl rules export` writes and `apply` reads them. This file and its YAML library are loaded when a file is read or
 * written, not with the page.
 */

import { isMap, isScalar, isSeq, LineCounter, type Node, type Pair, parseDocument, stringify, type YAMLMap } from "yaml";
import { type DraftObject, type DraftRule, NEW_RULE, type Wanted } from "./draft/draft";

/** What a file says, or what is wrong with it, with the place. */
export type PolicyFile = { rules: Wanted[]; objects: DraftObject[]; wrong?: undefined } | { wrong: string };

class Wrong extends Error {
  constructor(
    readonly node: Node | null | undefined,
    message: string,
  ) {
    super(message);
  }
}

/** Reads the text of a file. */
export function readPolicy(text: string): PolicyFile {
  const lines = new LineCounter();
  const place = (offset: number | undefined) => {
    if (offset === undefined) return "";
    const { line, col } = lines.linePos(offset);
    return `line ${line} column ${col}: `;
  };
  const document = parseDocument(text, { lineCounter: lines, version: "1.2", strict: true, uniqueKeys: true, prettyErrors: false });
  const [error] = document.errors;
  if (error) return { wrong: `${place(error.pos[0])}${error.message}` };
  try {
    return read(document.contents as Node | null);
  } catch (thrown) {
    if (!(thrown instanceof Wrong)) throw thrown;
    return { wrong: `${place(thrown.node?.range?.[0])}${thrown.message}` };
  }
}

function read(root: Node | null): PolicyFile {
  if (!isMap(root)) throw new Wrong(root, "a policy file starts with 'version: 1'");
  const file = fields(root, ["version", "objects", "rules"]);
  const version = file.get("version");
  if (!version) throw new Wrong(root, "missing field `version`: a policy file starts with 'version: 1'");
  if (!isScalar(version) || version.value !== 1)
    throw new Wrong(version, `version ${String(isScalar(version) ? version.value : "")} is not known: this page reads version 1`);
  return { objects: list(file.get("objects")).map(readObject), rules: list(file.get("rules")).map(readRule) };
}

function readObject(node: Node): DraftObject {
  const object = fields(node, ["name", "addresses"]);
  const addresses = need(node, object, "addresses");
  return { name: word(need(node, object, "name")), addresses: list(addresses).map(word) };
}

const TEXTS = {
  on_failure: "onFailure",
  learned: "learned",
  expires: "expires",
  owner: "owner",
  ticket: "ticket",
  notes: "notes",
} as const;

function readRule(node: Node): Wanted {
  const rule = fields(node, ["name", "from", "to", "ports", "effect", "enabled", ...Object.keys(TEXTS)]);
  const [from, to] = [end(need(node, rule, "from")), end(need(node, rule, "to"))];
  const effect = need(node, rule, "effect");
  const want: Wanted = {
    ...NEW_RULE,
    name: word(need(node, rule, "name")),
    from: from.text,
    fromLabels: from.labels,
    to: to.text,
    toLabels: to.labels,
    effect: oneOf(effect, ["allow", "alert", "prevent"]),
  };
  const ports = rule.get("ports");
  if (ports) want.ports = isSeq(ports) ? list(ports).map(word) : [word(ports)];
  if (want.ports.length === 0) want.ports = ["any"];
  const enabled = rule.get("enabled");
  if (enabled) {
    if (!isScalar(enabled) || typeof enabled.value !== "boolean") throw new Wrong(enabled, "enabled is true or false");
    want.enabled = enabled.value;
  }
  for (const [field, key] of Object.entries(TEXTS)) {
    const value = rule.get(field);
    if (!value) continue;
    want[key] = field === "on_failure" ? oneOf(value, ["open", "closed"]) : word(value);
  }
  return want;
}

/** `web`, or `{service: web, labels: {env: prod}}`. */
function end(node: Node): { text: string; labels: Record<string, string> } {
  if (!isMap(node)) return { text: word(node), labels: {} };
  const scoped = fields(node, ["service", "labels"]);
  const labels = scoped.get("labels");
  if (labels && !isMap(labels)) throw new Wrong(labels, "labels are written {env: prod}");
  const pairs = labels ? (labels.items as Pair<Node, Node>[]).map(({ key, value }) => [word(key), word(value)] as const) : [];
  return { text: word(need(node, scoped, "service")), labels: Object.fromEntries(pairs) };
}

function fields(node: Node, known: readonly string[]): Map<string, Node> {
  if (!isMap(node)) throw new Wrong(node, `${known.join(", ")} are written 'name: value', a line each`);
  const found = new Map<string, Node>();
  for (const { key, value } of (node as YAMLMap<Node, Node>).items) {
    const name = word(key);
    if (!known.includes(name)) throw new Wrong(key, `unknown field \`${name}\`: there are ${known.join(", ")}`);
    if (value && !(isScalar(value) && value.value === null)) found.set(name, value);
  }
  return found;
}

function need(node: Node, found: Map<string, Node>, field: string): Node {
  const value = found.get(field);
  if (!value) throw new Wrong(node, `missing field \`${field}\`: add it`);
  return value;
}

function list(node: Node | undefined): Node[] {
  if (!node) return [];
  if (!isSeq(node)) throw new Wrong(node, "a list is written '- entry', a line each, or [entry, entry]");
  return node.items as Node[];
}

function word(node: Node | null | undefined): string {
  if (isScalar(node)) {
    if (typeof node.value === "string") return node.value;
    // 5 and true are texts too where a text is meant.
    if (node.value !== null && node.source !== undefined) return node.source;
  }
  throw new Wrong(node, "a text is expected: put it in quotes");
}

function oneOf(node: Node, words: readonly string[]): string {
  const text = word(node);
  if (!words.includes(text)) throw new Wrong(node, `'${text}' is none of: ${words.join(", ")}`);
  return text;
}

/** The file of rules and objects: only what differs from what is read where nothing is written. */
export function writePolicy(rules: readonly DraftRule[], objects: readonly DraftObject[]): string {
  const written = {
    version: 1,
    ...(objects.length > 0 ? { objects } : {}),
    rules: rules.map(({ want }) => ({
      name: want.name,
      from: scoped(want.from, want.fromLabels),
      to: scoped(want.to, want.toLabels),
      ...(want.ports.length === 0 || want.ports.join() === "any" ? {} : { ports: want.ports }),
      effect: want.effect,
      ...(want.onFailure === "closed" ? { on_failure: "closed" } : {}),
      ...Object.fromEntries(
        (["learned", "expires", "owner", "ticket", "notes"] as const).filter((key) => want[key] !== "").map((key) => [key, want[key]]),
      ),
      ...(want.enabled ? {} : { enabled: false }),
    })),
  };
  return stringify(written, { version: "1.2", lineWidth: 0, defaultStringType: "PLAIN" });
}

function scoped(text: string, labels: Record<string, string>): unknown {
  return Object.keys(labels).length === 0 ? text : { service: text, labels };
}
