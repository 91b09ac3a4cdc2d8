import { Ban, Check, TriangleAlert } from "lucide-react";
import { inWords } from "~/api/errors";
import type { Tally } from "~/gen/cnnf/v1/admin_pb";
import { defend } from "~/text/defend";
import { count } from "~/text/format";
import { safe } from "~/text/safe";
import type { useSimulation } from "./data";
import styles from "./impact.module.css";

/** What a draft would do, in three numbers, while it is being written. `error` is what is not said at a field. */
export function Impact(props: Pick<ReturnType<typeof useSimulation>, "data" | "isFetching"> & { error: unknown }) {
  const { data, error, isFetching } = props;
  return (
    <section className={styles.impact} aria-live="polite" aria-label={defend.form.impact}>
      <h3>{defend.form.impact}</h3>
      {error ? (
        <p className={styles.wrong}>{safe(inWords(error), 600)}</p>
      ) : !data || isFetching ? (
        <p className={styles.faint}>{defend.form.impactWaits}</p>
      ) : data.shifts.length === 0 ? (
        <p className={styles.faint}>{defend.form.impactNone}</p>
      ) : (
        <Tallies prevented={data.prevented} alerted={data.alerted} allowed={data.allowed} />
      )}
    </section>
  );
}

/** What would be newly prevented, alerted and allowed. `counted` where hosts have said how many live connections would be cut. */
export function Tallies(props: {
  prevented: Tally | undefined;
  alerted: Tally | undefined;
  allowed: Tally | undefined;
  counted?: boolean;
}) {
  const says = props.counted ? defend.draft.recent : defend.draft.cut;
  const cards = [
    { name: "prevented", tally: props.prevented, icon: Ban, tone: styles.bad },
    { name: "alerted", tally: props.alerted, icon: TriangleAlert, tone: styles.warn },
    { name: "allowed", tally: props.allowed, icon: Check, tone: styles.good },
  ] as const;
  return (
    <ul className={styles.cards}>
      {cards.map(({ name, tally, icon: Icon, tone }) => {
        const some = (tally?.edges ?? 0n) > 0n;
        return (
          <li key={name} className={`${styles.card} ${some ? tone : ""}`}>
            <div className={styles.head}>
              <Icon size={14} aria-hidden />
              {defend.draft.tallies[name]}
            </div>
            <div className={styles.figure}>{count(tally?.edges ?? 0n, "edge")}</div>
            <div className={styles.faint}>{count(tally?.connections ?? 0n, "connection")}</div>
            {name === "prevented" && (tally?.recentEdges ?? 0n) > 0n && (
              <div className={styles.cut}>{says(count(tally?.recentEdges ?? 0n, "edge"))}</div>
            )}
          </li>
        );
      })}
    </ul>
  );
}
