import { Check, Copy as CopyIcon } from "lucide-react";
import { useEffect, useState } from "react";
import { parts } from "~/text/parts";
import styles from "./copy.module.css";

/** Puts a text into the clipboard, and says that it did. */
export function Copy(props: { text: string; label?: string; big?: boolean }) {
  const [done, setDone] = useState<"yes" | "no">();
  useEffect(() => {
    if (done === undefined) return;
    const timer = setTimeout(() => setDone(undefined), 2_000);
    return () => clearTimeout(timer);
  }, [done]);
  const copy = () => {
    // Not there without a secure origin; the text can still be selected.
    const write = navigator.clipboard?.writeText(props.text) ?? Promise.reject(new Error());
    write.then(
      () => setDone("yes"),
      () => setDone("no"),
    );
  };
  const Icon = done === "yes" ? Check : CopyIcon;
  return (
    <button
      type="button"
      className={props.big ? "btn" : "btn quiet icon"}
      onClick={copy}
      aria-label={props.big ? undefined : (props.label ?? parts.copy)}
    >
      <Icon size={14} aria-hidden />
      {props.big && (props.label ?? parts.copy)}
      <span className="hidden" role="status">
        {done === "yes" ? parts.copied : done === "no" ? parts.notCopied : ""}
      </span>
    </button>
  );
}

/** A command to run elsewhere. */
export function Command(props: { text: string; label: string }) {
  return (
    <div className={styles.command}>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a long line scrolls, by keys too */}
      {/* biome-ignore lint/a11y/useSemanticElements: it is no form */}
      <pre className={styles.text} tabIndex={0} role="group" aria-label={props.label}>
        {props.text}
      </pre>
      <Copy text={props.text} label={parts.copyCommand} />
    </div>
  );
}
