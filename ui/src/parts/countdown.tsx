import { useEffect, useMemo } from "react";
import { left } from "./spans";
import { useQuickNow } from "./when";

/** What is left until a time, counting down; `onEnd` is called once it is over. The controller says how long, so the reader's clock may be wrong. */
export function Countdown(props: { leftMs: number; onEnd?(): void }) {
  const { leftMs, onEnd } = props;
  const end = useMemo(() => Date.now() + leftMs, [leftMs]);
  const now = useQuickNow();
  const over = now >= end;
  useEffect(() => {
    if (over) onEnd?.();
  }, [over, onEnd]);
  return (
    <span role="timer" className="num">
      {left(end - now)}
    </span>
  );
}
