import type { ReactNode } from "react";
import { Link } from "wouter";
import styles from "./page.module.css";

/** A page: what it is and what can be done, a bar of filters, the content, and a pane beside it. */
export function Page(props: {
  title: string;
  note?: ReactNode;
  actions?: ReactNode;
  tabs?: ReactNode;
  bar?: ReactNode;
  pane?: ReactNode;
  foot?: ReactNode;
  children: ReactNode;
}) {
  return (
    <div className={styles.page}>
      <div className={styles.main}>
        <header className={styles.head}>
          <div className={styles.titles}>
            <h1>{props.title}</h1>
            {props.note && <div className={styles.note}>{props.note}</div>}
          </div>
          {props.actions && <div className={styles.actions}>{props.actions}</div>}
        </header>
        {props.tabs}
        {props.bar && <div className={styles.bar}>{props.bar}</div>}
        <div className={styles.body}>{props.children}</div>
        {props.foot}
      </div>
      {props.pane}
    </div>
  );
}

/** Parts of a page, each with an address of its own. */
export function Tabs(props: {
  label: string;
  of: readonly { href: string; name: string; count?: number | undefined; current: boolean }[];
}) {
  return (
    <nav className={styles.tabs} aria-label={props.label}>
      {props.of.map(({ href, name, count, current }) => (
        <Link key={href} href={href} className={styles.tab} aria-current={current ? "page" : undefined}>
          {name}
          {count !== undefined && <span className={styles.count}>{count}</span>}
        </Link>
      ))}
    </nav>
  );
}

/** Content that scrolls as a whole, at a width that can be read. */
export function Sheet(props: { children: ReactNode; wide?: boolean; label: string }) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by keys
    <section className={styles.scroll} tabIndex={0} aria-label={props.label}>
      <div className={`${styles.sheet} ${props.wide ? styles.wide : ""}`}>{props.children}</div>
    </section>
  );
}

/** Something that the page must say before its content. */
export function Notice(props: { tone: "plain" | "warn" | "bad" | "good"; icon?: ReactNode; action?: ReactNode; children: ReactNode }) {
  return (
    <div className={`${styles.notice} ${styles[props.tone]}`} role={props.tone === "plain" || props.tone === "good" ? undefined : "status"}>
      {props.icon}
      <div className={styles.says}>{props.children}</div>
      {props.action}
    </div>
  );
}
