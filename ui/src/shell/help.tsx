import { lazy, Suspense, useEffect, useSyncExternalStore } from "react";
import type { PageName } from "./links";

const Keys = lazy(() => import("./keys"));
const RadarHelp = lazy(() => import("~/radar/help"));

let open = false;
const listeners = new Set<() => void>();

function set(next: boolean) {
  open = next;
  for (const tell of listeners) tell();
}

function subscribe(listener: () => void) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** Shows what the keys of the page do. */
export function openHelp(): void {
  set(true);
}

/** What the keys do, and on Radar what its signs mean; `?` opens it on every page. */
export function Help(props: { page: PageName | undefined }) {
  const shown = useSyncExternalStore(subscribe, () => open);
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (event.key !== "?" || event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
      const target = event.target as Element | null;
      if (target?.closest("input, textarea, select, [contenteditable], [role=dialog], [role=alertdialog], [role=menu]")) return;
      event.preventDefault();
      openHelp();
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, []);
  if (!shown) return null;
  const close = () => set(false);
  return <Suspense>{props.page === "radar" ? <RadarHelp onClose={close} /> : <Keys page={props.page} onClose={close} />}</Suspense>;
}
