import { text } from "~/text";
import { compact } from "~/text/format";
import type { Kind } from "./filter";
import styles from "./legend.module.css";
import { CHANGE_ORDER, type Look, lookOf, ORDER } from "./looks";

/** What somebody should look at. */
const AMISS: readonly Kind[] = ["prevented", "would", "alerted", "unlearned"];

/** A line as it is drawn. */
export function Sample(props: { look: Look }) {
  const { colour, width, dash, alpha, glyph } = props.look;
  return (
    <svg className={styles.sample} width="34" height="14" viewBox="0 0 34 14" aria-hidden>
      <line
        x1="1"
        y1="7"
        x2="33"
        y2="7"
        stroke={`var(--${colour})`}
        strokeWidth={width}
        strokeDasharray={dash.join(" ") || undefined}
        opacity={alpha}
      />
      {glyph && (
        <>
          <circle cx="17" cy="7" r="6" fill="var(--surface-1)" stroke={`var(--${colour})`} strokeWidth="1.3" />
          <text x="17" y="10.5" textAnchor="middle" fontSize="10" fontWeight="700" fill={`var(--${colour})`}>
            {glyph}
          </text>
        </>
      )}
    </svg>
  );
}

/** What the lines mean, how many there are, and which are wanted. */
export function Legend(props: {
  counts: Record<Kind, number>;
  hidden: readonly Kind[];
  onHide: (hidden: readonly Kind[]) => void;
  /** How lines changed, and not how they stand. */
  compared: boolean;
  /** Lines that a draft leaves as they are count as "idle" in its preview. */
  preview?: boolean;
  /** Beside each other, as above a table. */
  row?: boolean;
}) {
  const { counts, compared } = props;
  const t = text.radar;
  const keys: readonly Kind[] = [...(compared ? CHANGE_ORDER : ORDER)].reverse();
  const hidden = keys.filter((key) => props.hidden.includes(key));
  // What is hidden of the other legend stays so.
  const hide = (next: readonly Kind[]) => props.onHide([...props.hidden.filter((key) => !keys.includes(key)), ...next]);
  const toggle = (key: Kind) => hide(hidden.includes(key) ? hidden.filter((one) => one !== key) : [...hidden, key]);
  const only = (key: Kind) => hide(keys.filter((one) => one !== key));
  const name = (key: Kind) => (props.preview && key === "idle" ? t.changes.same : (t.statuses[key] ?? t.changes[key]));
  const choices: [keyof typeof t.shows, readonly Kind[]][] = [
    ["all", []],
    compared ? ["changed", ["same"]] : ["amiss", keys.filter((key) => !AMISS.includes(key))],
    ["none", keys],
  ];
  return (
    <ul className={props.row ? `${styles.legend} ${styles.row}` : styles.legend} aria-label={t.legend}>
      <li className={styles.choices}>
        {choices.map(([choice, without]) => (
          <button
            key={choice}
            type="button"
            className={styles.choice}
            aria-pressed={keys.every((key) => without.includes(key) === hidden.includes(key))}
            title={t.shows[choice].help}
            onClick={() => hide(without)}
          >
            {t.shows[choice].name}
          </button>
        ))}
      </li>
      {keys.map((key) => (
        <li key={key}>
          <button
            type="button"
            className={styles.entry}
            aria-pressed={!hidden.includes(key)}
            data-none={counts[key] === 0 ? "" : undefined}
            title={t.onlyThis}
            // Enter with Shift is a click with Shift: keys can do it too.
            onClick={(event) => (event.shiftKey ? only(key) : toggle(key))}
            onDoubleClick={() => only(key)}
          >
            <Sample look={lookOf(key)} />
            {name(key)}
            <span className={styles.count}>{compact(counts[key])}</span>
          </button>
        </li>
      ))}
    </ul>
  );
}
