import { ArrowRightLeft, type LucideIcon, Minus, Pencil, Plus } from "lucide-react";
import { useState } from "react";
import { LongText } from "~/parts/name";
import { defend } from "~/text/defend";
import { count } from "~/text/format";
import { parts } from "~/text/parts";
import { safe } from "~/text/safe";
import type { Change } from "./draft/diff";
import styles from "./plan.module.css";

const LOOKS: Record<Change["change"], [LucideIcon, string | undefined]> = {
  added: [Plus, styles.added],
  changed: [Pencil, styles.changed],
  moved: [ArrowRightLeft, styles.moved],
  deleted: [Minus, styles.deleted],
};

/** A plan of thousands is nothing to read at once. */
const FIRST = 100;

/** What changes, field by field. */
export function Plan(props: {
  changes: readonly Pick<Change, "kind" | "change" | "name" | "before" | "after" | "moved" | "fields">[];
  onUndo?: (n: number) => void;
}) {
  const [shown, setShown] = useState(FIRST);
  return (
    <ol className={styles.plan}>
      {props.changes.slice(0, shown).map((change, n) => {
        const [Icon, tone] = LOOKS[change.change] ?? LOOKS.changed;
        return (
          <li key={`${change.kind} ${change.name} ${change.change}`} className={`${styles.change} ${tone}`}>
            <div className={styles.head}>
              <Icon size={14} aria-hidden className={styles.icon} />
              <span className="hidden">{defend.marks[change.change]}:</span>
              {change.kind === "object" && <span className={styles.kind}>{defend.draft.object}</span>}
              <bdi className={styles.name}>{safe(change.name)}</bdi>
              {change.kind === "rule" && (change.moved || change.before === 0 || change.after === 0) && (
                <span className={styles.place}>{defend.draft.place(change.before, change.after)}</span>
              )}
              {props.onUndo && (
                <button
                  type="button"
                  className={`btn quiet ${styles.undo}`}
                  aria-label={`${defend.actions.undo}: ${safe(change.name, 80)}`}
                  onClick={() => props.onUndo?.(n)}
                >
                  {defend.actions.undo}
                </button>
              )}
            </div>
            {change.fields.length > 0 && (
              <dl className={styles.fields}>
                {change.fields.map(({ field, before, after }) => (
                  <div key={field} className={styles.field}>
                    <dt>{safe(field)}</dt>
                    <dd>
                      {change.change === "added" ? (
                        <LongText of={after} mono={false} />
                      ) : change.change === "deleted" ? (
                        <LongText of={before} mono={false} />
                      ) : (
                        <>
                          <del className={styles.was}>{before ? safe(before) : defend.draft.nothing}</del>
                          <span aria-hidden> → </span>
                          <ins className={styles.becomes}>{after ? safe(after) : defend.draft.nothing}</ins>
                        </>
                      )}
                    </dd>
                  </div>
                ))}
              </dl>
            )}
          </li>
        );
      })}
      {props.changes.length > shown && (
        <li>
          <button type="button" className="btn" onClick={() => setShown(shown + 500)}>
            {parts.more(count(props.changes.length - shown, "change"))}
          </button>
        </li>
      )}
    </ol>
  );
}
