import type { ReactNode } from "react";
import { inWords } from "~/api/errors";
import { text } from "~/text";
import styles from "./states.module.css";

/** Nothing to show, and what to do about it. */
export function Empty(props: { title: string; icon?: ReactNode; action?: ReactNode; children?: ReactNode }) {
  return (
    <div className={styles.state}>
      {props.icon && <div className={styles.icon}>{props.icon}</div>}
      <h2>{props.title}</h2>
      {props.children && <div className={styles.help}>{props.children}</div>}
      {props.action && <div className={styles.action}>{props.action}</div>}
    </div>
  );
}

/** Something is on its way. Said only after a moment, so that quick answers do not flicker. */
export function Loading(props: { what?: string }) {
  return (
    <div className={`${styles.state} ${styles.late}`} role="status">
      <div className={styles.spinner} />
      <div className={styles.help}>{props.what ?? text.shell.loading}</div>
    </div>
  );
}

/** Something could not be had, why, and a way to try again. */
export function Failed(props: { error: unknown; onRetry?: () => void }) {
  return (
    <div className={styles.state} role="alert">
      <h2>{inWords(props.error)}</h2>
      {props.onRetry && (
        <button type="button" className="btn" onClick={props.onRetry}>
          {text.errors.tryAgain}
        </button>
      )}
    </div>
  );
}

/** What has not come yet: why it could not be had, or that it is on its way. */
export function Pending(props: { error: unknown; onRetry?: () => unknown }) {
  return props.error ? <Failed error={props.error} onRetry={() => void props.onRetry?.()} /> : <Loading />;
}
