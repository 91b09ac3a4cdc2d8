import { useSyncExternalStore } from "react";

/** What the reader chose; the system's own by default. */
export type Choice = "system" | "dark" | "light";

const KEY = "cnnf.theme";
const listeners = new Set<() => void>();
const systemDark = () => globalThis.matchMedia?.("(prefers-color-scheme: dark)").matches ?? true;

function choice(): Choice {
  const kept = localStorage.getItem(KEY);
  return kept === "dark" || kept === "light" ? kept : "system";
}

/** The theme in force. */
export function theme(): "dark" | "light" {
  const chosen = choice();
  return chosen === "system" ? (systemDark() ? "dark" : "light") : chosen;
}

/** Puts the theme on the document, and keeps it there when the system's changes. Called once, before anything is drawn. */
export function applyTheme(): void {
  const put = () => {
    document.documentElement.dataset.theme = theme();
    for (const listener of listeners) listener();
  };
  put();
  globalThis.matchMedia?.("(prefers-color-scheme: dark)").addEventListener("change", put);
}

/** Chooses a theme, and remembers it in this browser. */
export function chooseTheme(next: Choice): void {
  if (next === "system") localStorage.removeItem(KEY);
  else localStorage.setItem(KEY, next);
  document.documentElement.dataset.theme = theme();
  for (const listener of listeners) listener();
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export function useChoice(): Choice {
  return useSyncExternalStore(subscribe, choice);
}

/** The theme in force, for what paints by itself. */
export function useTheme(): "dark" | "light" {
  return useSyncExternalStore(subscribe, theme);
}
