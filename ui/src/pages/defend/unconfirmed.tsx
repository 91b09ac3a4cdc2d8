import { useMutation, useQueryClient } from "@tanstack/react-query";
import { Timer } from "lucide-react";
import { policy } from "~/api/clients";
import { keys } from "~/api/keys";
import { Countdown } from "~/parts/countdown";
import { useMay } from "~/parts/may";
import { done, failed } from "~/parts/toasts";
import { useStatus } from "~/shell/lost";
import { defend } from "~/text/defend";
import { safe } from "~/text/safe";
import styles from "./unconfirmed.module.css";

/** On every page: a change that is undone unless somebody keeps it, and how long that still takes. */
export function Unconfirmed() {
  const may = useMay();
  const client = useQueryClient();
  const { data } = useStatus();
  const settle = () => {
    for (const key of [keys.status(), keys.rules(), keys.revisions(), keys.radar(), keys.edges()])
      void client.invalidateQueries({ queryKey: key });
  };
  const waiting = data?.unconfirmed;
  const confirm = useMutation({
    mutationFn: () => policy.confirmPolicy({ revision: waiting?.revision ?? 0n }),
    onSuccess: ({ revision }) => done(defend.unconfirmed.confirmed(revision.toString())),
    onError: failed,
    onSettled: settle,
  });
  const revert = useMutation({
    mutationFn: () => policy.rollbackPolicy({ revision: waiting?.baseRevision ?? 0n, baseRevision: waiting?.revision ?? 0n }),
    onSuccess: () => done(defend.unconfirmed.reverted),
    onError: failed,
    onSettled: settle,
  });
  if (!waiting) return null;
  const busy = confirm.isPending || revert.isPending;
  return (
    <div className={styles.bar} role="status">
      <Timer size={18} aria-hidden />
      <div className={styles.says}>
        {defend.unconfirmed.says(waiting.revision.toString(), safe(waiting.who, 60))}:{" "}
        <strong className={styles.left}>
          <Countdown leftMs={Number(waiting.leftMs)} onEnd={settle} />
        </strong>{" "}
        {defend.unconfirmed.left}
      </div>
      {may.change && (
        <>
          <button type="button" className="btn" disabled={busy} onClick={() => revert.mutate()}>
            {defend.unconfirmed.revert}
          </button>
          <button type="button" className="btn primary" disabled={busy} onClick={() => confirm.mutate()}>
            {defend.unconfirmed.confirm}
          </button>
        </>
      )}
    </div>
  );
}
