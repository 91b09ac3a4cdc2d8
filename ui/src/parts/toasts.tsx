import { CircleAlert, CircleCheck, X } from "lucide-react";
import { type ReactNode, useEffect, useState, useSyncExternalStore } from "react";
import { inWords } from "~/api/errors";
import { parts } from "~/text/parts";
import styles from "./toasts.module.css";

/** Something that was done, or was not. */
interface Toast {
  id: number;
  tone: "good" | "bad";
  text: string;
  action?: { name: string; act(): void } | undefined;
}

let toasts: readonly Toast[] = [];
let made = 0;
const listeners = new Set<() => void>();

function put(next: readonly Toast[]) {
  toasts = next;
  for (const tell of listeners) tell();
}

/** At most so many at once; older ones go. */
const MOST = 4;

function say(toast: Omit<Toast, "id">) {
  made += 1;
  put([...toasts.slice(-MOST + 1), { ...toast, id: made }]);
}

/** Says that something is done, perhaps with what could follow. */
export function done(text: string, action?: Toast["action"]): void {
  say({ tone: "good", text, action });
}

/** Says why something could not be done. It stays until it is closed. */
export function failed(error: unknown): void {
  say({ tone: "bad", text: typeof error === "string" ? error : inWords(error) });
}

function subscribe(listener: () => void) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** Where they appear; the shell has it once. */
export function Toasts() {
  const all = useSyncExternalStore(subscribe, () => toasts);
  return (
    <div className={styles.toasts}>
      <div role="status" aria-live="polite">
        {all.filter(({ tone }) => tone === "good").map(card)}
      </div>
      <div role="alert">{all.filter(({ tone }) => tone === "bad").map(card)}</div>
    </div>
  );
}

function card(toast: Toast): ReactNode {
  return <Card key={toast.id} toast={toast} />;
}

function Card({ toast }: { toast: Toast }) {
  const [held, setHeld] = useState(false);
  const close = () => put(toasts.filter(({ id }) => id !== toast.id));
  useEffect(() => {
    if (toast.tone === "bad" || held) return;
    const timer = setTimeout(() => put(toasts.filter(({ id }) => id !== toast.id)), toast.action ? 8_000 : 4_000);
    return () => clearTimeout(timer);
  }, [toast, held]);
  const Icon = toast.tone === "good" ? CircleCheck : CircleAlert;
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: only holds it while it is read
    <div className={`${styles.toast} ${styles[toast.tone]}`} onMouseEnter={() => setHeld(true)} onMouseLeave={() => setHeld(false)}>
      <Icon size={16} aria-hidden />
      <div className={styles.text}>{toast.text}</div>
      {toast.action && (
        <button
          type="button"
          className="btn"
          onClick={() => {
            toast.action?.act();
            close();
          }}
        >
          {toast.action.name}
        </button>
      )}
      <button type="button" className="btn quiet icon" aria-label={parts.close} onClick={close}>
        <X size={14} aria-hidden />
      </button>
    </div>
  );
}
