import styles from "./key-list.module.css";

/** Keys, or what is written, and what that does. */
export function KeyList(props: { of: readonly (readonly [string, string])[] }) {
  return (
    <dl className={styles.keys}>
      {props.of.map(([key, what]) => (
        <div key={key}>
          <dt>
            <kbd className="kbd">{key}</kbd>
          </dt>
          <dd>{what}</dd>
        </div>
      ))}
    </dl>
  );
}
