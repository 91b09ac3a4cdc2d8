import { text } from "~/text";
import { compact } from "~/text/format";
import type { Status } from "./graph";
import styles from "./legend.module.css";
import { CHANGE_LOOKS, CHANGE_ORDER, LOOKS, type Look, ORDER } from "./looks";

type Key = Status | "idle";

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
  counts: Record<Key, number>;
  hidden: readonly Key[];
  onHide: (hidden: readonly Key[]) => void;
  compared: Record<string, number> | undefined;
  /** Lines that a draft leaves as they are count as "idle" in its preview. */
  preview?: boolean;
}) {
  const { counts, hidden, onHide } = props;
  if (props.compared) {
    const changes = props.compared;
    return (
      <ul className={styles.legend} aria-label={text.radar.legend}>
        {[...CHANGE_ORDER].reverse().map((key) => (
          <li key={key} className={styles.still}>
            <Sample look={CHANGE_LOOKS[key]} />
            {text.radar.changes[key]}
            <span className={styles.count}>{compact(changes[key] ?? 0)}</span>
          </li>
        ))}
      </ul>
    );
  }
  const keys = [...ORDER].reverse();
  const toggle = (key: Key) => onHide(hidden.includes(key) ? hidden.filter((one) => one !== key) : [...hidden, key]);
  const only = (key: Key) => onHide(keys.filter((one) => one !== key));
  return (
    <ul className={styles.legend} aria-label={text.radar.legend}>
      {keys.map((key) => (
        <li key={key}>
          <button
            type="button"
            className={styles.entry}
            aria-pressed={!hidden.includes(key)}
            data-none={counts[key] === 0 ? "" : undefined}
            title={text.radar.onlyThis}
            onClick={() => toggle(key)}
            onDoubleClick={() => only(key)}
          >
            <Sample look={LOOKS[key]} />
            {props.preview && key === "idle" ? text.radar.changes.same : text.radar.statuses[key]}
            <span className={styles.count}>{compact(counts[key])}</span>
          </button>
        </li>
      ))}
    </ul>
  );
}
