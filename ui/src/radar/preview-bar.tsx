import { ShieldAlert, X } from "lucide-react";
import { Link as To } from "wouter";
import { inWords } from "~/api/errors";
import type { SimulatePolicyResponse } from "~/gen/cnnf/v1/admin_pb";
import { dangers } from "~/pages/defend/dangers";
import type { Draft } from "~/pages/defend/draft/draft";
import { text } from "~/text";
import { safe } from "~/text/safe";
import styles from "./index.module.css";

/** What the draft that is painted would do, and the way back. */
export function PreviewBar(props: {
  draft: Draft | undefined;
  answer: SimulatePolicyResponse | undefined;
  error: unknown;
  onLeave(): void;
}) {
  const { draft, answer, error } = props;
  const t = text.radar;
  const edges = (tally: SimulatePolicyResponse["prevented"]) => Number(tally?.edges ?? 0n);
  const [prevented, alerted, allowed] = [edges(answer?.prevented), edges(answer?.alerted), edges(answer?.allowed)];
  const shut = new Set((draft?.rules ?? []).flatMap(({ want }) => dangers(want)));
  const says = !draft
    ? t.previewNoDraft
    : error
      ? safe(inWords(error), 400)
      : !answer
        ? t.previewWaits
        : prevented + alerted + allowed === 0
          ? t.previewNothing
          : t.previewSays(prevented, alerted, allowed);
  return (
    <div className={styles.preview} role="status">
      <strong>{t.preview}</strong>
      <span>{says}</span>
      {[...shut].map((danger) => (
        <span key={danger} className={styles.danger}>
          <ShieldAlert size={14} aria-hidden />
          {t.dangers[danger]}
        </span>
      ))}
      <To className="btn" href="/defend/draft">
        {t.toDraft}
      </To>
      <button type="button" className="btn quiet icon" aria-label={t.leavePreview} title={t.leavePreview} onClick={props.onLeave}>
        <X size={15} aria-hidden />
      </button>
    </div>
  );
}
