import { useSyncExternalStore } from "react";
import { type Draft, isClean, type Policy, start } from "./draft";
import { rebase } from "./rebase";

/**
 * The draft of this browser. It outlives the page and is the same in every tab, as it is kept in the browser's storage; nothing of it is known
 * to the controller until it is applied.
 */
const KEY = "cnnf.draft";

/** Steps that can be taken back. */
const STEPS = 100;

let draft: Draft | undefined = read();
let past: (Draft | undefined)[] = [];
/** Names that were changed here and by somebody else. */
let both: readonly string[] = [];
const listeners = new Set<() => void>();

function read(): Draft | undefined {
  try {
    const kept = JSON.parse(globalThis.localStorage?.getItem(KEY) ?? "null") as Draft | null;
    return kept && Array.isArray(kept.rules) && Array.isArray(kept.base?.rules) ? kept : undefined;
  } catch {
    return undefined;
  }
}

function put(next: Draft | undefined) {
  draft = next && isClean(next) ? undefined : next;
  if (draft === undefined) both = [];
  try {
    if (draft) localStorage.setItem(KEY, JSON.stringify(draft));
    else localStorage.removeItem(KEY);
  } catch {
    // No room: the draft still lives as long as the page.
  }
  for (const tell of listeners) tell();
}

// Another tab changed it.
globalThis.window?.addEventListener("storage", (event) => {
  if (event.key !== KEY) return;
  draft = read();
  past = [];
  for (const tell of listeners) tell();
});

function subscribe(listener: () => void) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** The draft, if there is one. */
export function useDraft(): Draft | undefined {
  return useSyncExternalStore(subscribe, () => draft);
}

/** What is in the draft but was changed by somebody else too, since it was made. */
export function useBoth(): readonly string[] {
  return useSyncExternalStore(subscribe, () => both);
}

/** Changes the draft, or begins one on what is in force. */
export function change(base: Policy, how: (draft: Draft) => Draft): void {
  past = [...past.slice(-STEPS), draft];
  put(how(draft ?? start(base)));
}

/** Takes the last change back; whether there was one. */
export function stepBack(): boolean {
  if (past.length === 0) return false;
  const before = past.at(-1);
  past = past.slice(0, -1);
  put(before);
  return true;
}

/** Throws the draft away; it can be taken back. */
export function discard(): void {
  if (!draft) return;
  past = [...past.slice(-STEPS), draft];
  put(undefined);
}

/** The draft is in force now. */
export function applied(): void {
  past = [];
  put(undefined);
}

/** Carries the draft over to what is in force, if that is newer than what it was made from. */
export function keepUp(base: Policy): void {
  if (!draft || draft.base.revision === base.revision) return;
  const rebased = rebase(draft, base);
  past = [];
  both = [...new Set([...both, ...rebased.both])];
  put(rebased.draft);
}
