import { useId } from "react";
import type { DiffEdgesResponse } from "~/gen/cnnf/v1/admin_pb";
import { text } from "~/text";
import { time } from "~/text/format";
import styles from "./index.module.css";
import { local } from "./local";
import { lengthOf, type Span } from "./use-data";

const DAY = 86_400;
/** How much earlier, in seconds; 0 is just before, whatever the length. */
const USUAL = [0, DAY, 7 * DAY, 28 * DAY] as const;

/** Which two times are compared. The earlier one is as long, and begins where the reader wants it to. */
export function CompareStrip(props: { of: DiffEdgesResponse; span: Span; against: number; onAgainst(against: number): void }) {
  const { of, span, against, onAgainst } = props;
  const t = text.radar.comparing;
  const begins = useId();
  const length = lengthOf(span);
  const since = Date.parse(of.since);
  const usual = USUAL.filter((offset) => offset === 0 || offset > length);
  const own = !(usual as readonly number[]).includes(against);
  const choose = (value: string) => onAgainst(value === "own" ? Math.ceil(length) + 3_600 : Number(value));
  return (
    <div className={styles.strip}>
      <span>{t.says(time(of.since), time(of.until))}</span>
      <label>
        {t.against}
        <select className="input" value={own ? "own" : against} onChange={(event) => choose(event.target.value)}>
          {usual.map((offset) => (
            <option key={offset} value={offset}>
              {t.usual[offset]}
            </option>
          ))}
          <option value="own">{t.own}</option>
        </select>
      </label>
      {own && (
        <>
          <label htmlFor={begins}>{t.begins}</label>
          <input
            id={begins}
            type="datetime-local"
            className="input"
            value={local(Date.parse(of.before))}
            max={local(since - length * 1_000)}
            onChange={(event) => {
              const earlier = Math.round((since - new Date(event.target.value).getTime()) / 1_000);
              if (earlier >= length) onAgainst(earlier);
            }}
          />
        </>
      )}
      <span>{t.spans(time(of.before), time(of.beforeUntil || of.since))}</span>
    </div>
  );
}
