import { useSyncExternalStore } from "react";
import { ago, clock, time } from "~/text/format";
import { parts } from "~/text/parts";

/** One clock for all times on the page; it ticks only while somebody looks. */
function ticker(every: number) {
  const listeners = new Set<() => void>();
  let timer: ReturnType<typeof setInterval> | undefined;
  let now = Date.now();
  return {
    subscribe(listener: () => void) {
      listeners.add(listener);
      now = Date.now();
      timer ??= setInterval(() => {
        now = Date.now();
        for (const tell of listeners) tell();
      }, every);
      return () => {
        listeners.delete(listener);
        if (listeners.size === 0) {
          clearInterval(timer);
          timer = undefined;
        }
      };
    },
    now: () => now,
  };
}

const slow = ticker(5_000);
const quick = ticker(250);

/** Now, to five seconds. */
export function useNow(): number {
  return useSyncExternalStore(slow.subscribe, slow.now);
}

/** Now, to a quarter of a second: for countdowns. */
export function useQuickNow(): number {
  return useSyncExternalStore(quick.subscribe, quick.now);
}

/** How long ago a time is (RFC 3339), with the time when pointed at. */
export function Ago(props: { at: string; never?: string }) {
  const now = useNow();
  if (props.at === "") return props.never ? <span className="faint">{props.never}</span> : null;
  const span = ago(props.at, now);
  return (
    <time dateTime={props.at} title={time(props.at)}>
      {span === "now" ? parts.now : parts.ago(span)}
    </time>
  );
}

/** A time as a clock shows it; with the day if that is not today's. */
export function Clock(props: { at: string }) {
  const now = useNow();
  if (props.at === "") return null;
  const whole = time(props.at);
  const today = whole.slice(0, 10) === time(new Date(now)).slice(0, 10);
  return (
    <time dateTime={props.at} title={whole} className="num">
      {today ? clock(props.at) : whole.slice(0, 16)}
    </time>
  );
}

/** A whole time. */
export function When(props: { at: string }) {
  return props.at === "" ? null : (
    <time dateTime={props.at} title={props.at}>
      {time(props.at)}
    </time>
  );
}
