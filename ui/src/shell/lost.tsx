import { useQuery } from "@tanstack/react-query";
import { Unplug } from "lucide-react";
import { useEffect, useState } from "react";
import { status } from "~/api/clients";
import { isLost } from "~/api/errors";
import { keys } from "~/api/keys";
import { text } from "~/text";
import { clock } from "~/text/format";
import styles from "./lost.module.css";

/** How the controller is, asked every few seconds: also what says that it is still there. */
export function useStatus() {
  return useQuery({
    queryKey: keys.status(),
    queryFn: ({ signal }) => status.getStatus({}, { signal, timeoutMs: 8_000 }),
    refetchInterval: (query) => (query.state.status === "error" ? 2_000 : 5_000),
    retry: false,
  });
}

/** Says since when the controller is gone. Everything else stays as it was. */
export function Lost() {
  const { error, isError, refetch, dataUpdatedAt } = useStatus();
  const lost = isError && isLost(error);
  const [since, setSince] = useState<Date>();
  useEffect(() => {
    setSince((before) => (lost ? (before ?? new Date(dataUpdatedAt || Date.now())) : undefined));
  }, [lost, dataUpdatedAt]);
  return (
    <div role="status">
      {lost && since && (
        <div className={styles.lost}>
          <Unplug size={16} aria-hidden />
          <strong>{text.shell.lost}</strong>
          <span>{text.shell.lostSince(clock(since))}</span>
          <button type="button" className={`btn ${styles.retry}`} onClick={() => void refetch()}>
            {text.shell.retryNow}
          </button>
        </div>
      )}
    </div>
  );
}
