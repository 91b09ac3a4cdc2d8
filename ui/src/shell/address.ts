import { useCallback, useMemo } from "react";
import { useSearch } from "wouter";

/**
 * Everything that a view shows is in the address: what can be seen can be bookmarked, sent to a colleague, and undone with Back.
 * A parameter at its default is left out, so addresses stay short.
 */
export interface Param<T> {
  /** What it is where the address says nothing, or nonsense. */
  readonly fallback: T;
  parse(raw: string): T;
  format(value: T): string;
}

/** Free text. */
export function textParam(fallback = ""): Param<string> {
  return { fallback, parse: (raw) => raw, format: (value) => value };
}

/** One of a few words. */
export function wordParam<const W extends string>(words: readonly W[], fallback: W): Param<W> {
  return { fallback, parse: (raw) => words.find((word) => word === raw) ?? fallback, format: (value) => value };
}

/** Any of a few words, such as "alerted.prevented"; in the order of `words`, whatever the address says. */
export function wordsParam<const W extends string>(words: readonly W[], fallback: readonly W[] = []): Param<readonly W[]> {
  return {
    fallback,
    parse: (raw) => {
      const said = new Set(raw.split("."));
      return words.filter((word) => said.has(word));
    },
    format: (value) => words.filter((word) => value.includes(word)).join("."),
  };
}

/** A set of free texts; what parts them, and what that is written as, is escaped in each. */
export function listParam(): Param<readonly string[]> {
  return {
    fallback: [],
    parse: (raw) => raw.split(",").filter(Boolean).map(decodeURIComponent),
    format: (value) => value.map((entry) => entry.replace(/[%,]/g, encodeURIComponent)).join(","),
  };
}

/** Yes or no. */
export function flagParam(fallback = false): Param<boolean> {
  return { fallback, parse: (raw) => raw === "1", format: (value) => (value ? "1" : "0") };
}

/** A whole number in a range. */
export function intParam(fallback: number, least = 0, most = Number.MAX_SAFE_INTEGER): Param<number> {
  return {
    fallback,
    parse: (raw) => {
      const value = /^-?\d+$/.test(raw) ? Number(raw) : fallback;
      return Math.min(most, Math.max(least, value));
    },
    format: String,
  };
}

type Shape = Record<string, Param<unknown>>;
export type ValuesOf<S extends Shape> = { [K in keyof S]: S[K] extends Param<infer T> ? T : never };

/** Reads the parameters of `shape` from a query string. */
export function readAddress<S extends Shape>(shape: S, search: string): ValuesOf<S> {
  const said = new URLSearchParams(search);
  const values: Record<string, unknown> = {};
  for (const [name, param] of Object.entries(shape)) {
    const raw = said.get(name);
    try {
      values[name] = raw === null ? param.fallback : param.parse(raw);
    } catch {
      values[name] = param.fallback; // a broken % escape
    }
  }
  return values as ValuesOf<S>;
}

/** The query string with `changes` made to it; what `shape` does not know stays. */
export function writeAddress<S extends Shape>(shape: S, search: string, changes: Partial<ValuesOf<S>>): string {
  const said = new URLSearchParams(search);
  for (const [name, value] of Object.entries(changes)) {
    const param = shape[name];
    if (!param) continue;
    const written = param.format(value);
    if (value === undefined || written === param.format(param.fallback)) said.delete(name);
    else said.set(name, written);
  }
  // Readable addresses: these need no escape in a query.
  return said.toString().replaceAll("%3A", ":").replaceAll("%2F", "/").replaceAll("%2C", ",").replaceAll("%40", "@");
}

/** Puts a query string into the address without drawing anything anew: for what changes with every frame, such as the camera. */
export function replaceSearch(search: string): void {
  const url = `${location.pathname}${search ? `?${search}` : ""}`;
  history.replaceState(history.state, "", url);
}

export type Setter<S extends Shape> = (changes: Partial<ValuesOf<S>>, how?: { replace?: boolean }) => void;

/**
 * A view's state, kept in the address: `const [at, set] = useAddress(SHAPE)`, with SHAPE a constant outside the component.
 * `set({ q: "web" }, { replace: true })` makes no entry in the history: for typing and dragging.
 */
export function useAddress<S extends Shape>(shape: S): [ValuesOf<S>, Setter<S>] {
  const search = useSearch();
  const values = useMemo(() => readAddress(shape, search), [shape, search]);
  const set = useCallback<Setter<S>>(
    (changes, how) => {
      const next = writeAddress(shape, location.search.slice(1), changes);
      const url = `${location.pathname}${next ? `?${next}` : ""}`;
      // wouter hears both of these.
      if (how?.replace) history.replaceState(history.state, "", url);
      else if (next !== location.search.slice(1)) history.pushState(null, "", url);
    },
    [shape],
  );
  return [values, set];
}
