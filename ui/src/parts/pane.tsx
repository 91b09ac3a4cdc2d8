import { X } from "lucide-react";
import { type ReactNode, useEffect, useRef } from "react";
import { parts } from "~/text/parts";
import styles from "./pane.module.css";

/** Details beside what they are of; on narrow screens above it. Esc closes it. */
export function Pane(props: {
  title: ReactNode;
  label: string;
  kicker?: ReactNode;
  onClose(): void;
  actions?: ReactNode;
  children: ReactNode;
}) {
  const { onClose } = props;
  const pane = useRef<HTMLElement>(null);
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      // A dialog or menu that is open takes Esc first.
      if (event.key !== "Escape" || event.defaultPrevented) return;
      if (document.querySelector("[role=dialog], [role=alertdialog], [role=menu], [role=listbox]:not([hidden])")) return;
      onClose();
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, [onClose]);
  return (
    <aside ref={pane} className={styles.pane} aria-label={props.label}>
      <header className={styles.head}>
        <div className={styles.titles}>
          {props.kicker && <div className={styles.kicker}>{props.kicker}</div>}
          <h2 className={styles.title}>{props.title}</h2>
        </div>
        <button type="button" className="btn quiet icon" aria-label={parts.close} onClick={onClose}>
          <X size={16} aria-hidden />
        </button>
      </header>
      {props.actions && <div className={styles.actions}>{props.actions}</div>}
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by keys */}
      {/* biome-ignore lint/a11y/useSemanticElements: it is no form */}
      <div className={styles.body} tabIndex={0} role="group" aria-label={props.label}>
        {props.children}
      </div>
    </aside>
  );
}

/** A part of a pane, with its heading. */
export function Section(props: { title: string; aside?: ReactNode; children: ReactNode }) {
  return (
    <section className={styles.section}>
      <div className={styles.sectionHead}>
        <h3>{props.title}</h3>
        {props.aside}
      </div>
      {props.children}
    </section>
  );
}

/** Names and values, a line each. What has no value is left out. */
export function Facts(props: { of: readonly (readonly [string, ReactNode])[] }) {
  return (
    <dl className={styles.facts}>
      {props.of
        .filter(([, value]) => value !== undefined && value !== null && value !== "" && value !== false)
        .map(([name, value]) => (
          <div key={name} className={styles.fact}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
    </dl>
  );
}
