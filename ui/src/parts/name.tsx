import { useState } from "react";
import { count } from "~/text/format";
import { parts } from "~/text/parts";
import { safe, shortName } from "~/text/safe";
import { Copy } from "./copy";
import styles from "./name.module.css";
import { visible } from "./visible";

/** A name from a host or a person on one line: cut where there is no room, whole when pointed at. */
export function Name(props: { of: string; mono?: boolean; strong?: boolean }) {
  const shown = safe(props.of);
  return (
    <span className={["name", props.mono && "mono", props.strong && styles.strong].filter(Boolean).join(" ")} title={shown}>
      {shown}
    </span>
  );
}

/** A service by its short name, with its key when pointed at. */
export function ServiceName(props: { of: string }) {
  return (
    <span className="name" title={safe(props.of)}>
      {safe(shortName(props.of))}
    </span>
  );
}

/** How much of a long text more each press of the button shows. */
const FIRST = 400;
const MORE = 4_000;

/** A text that may be a megabyte: some of it, more when asked for, all of it into the clipboard. */
export function LongText(props: { of: string; mono?: boolean }) {
  const [limit, setLimit] = useState(FIRST);
  const shown = visible(props.of, limit);
  return (
    <span className={styles.long}>
      <bdi className={props.mono === false ? styles.words : `mono ${styles.words}`}>{shown.text}</bdi>
      {shown.cut > 0 && (
        <span className={styles.more}>
          <button type="button" className={styles.link} onClick={() => setLimit(limit + MORE)}>
            {parts.more(count(shown.cut, "character"))}
          </button>
          <Copy text={props.of} />
        </span>
      )}
    </span>
  );
}
