import styles from "./key-list.module.css";

/** What is written, and what that does or means: keys, unless they are `signs`. */
export function KeyList(props: { of: readonly (readonly [string, string])[]; signs?: boolean }) {
  return (
    <dl className={styles.keys}>
      {props.of.map(([key, what]) => (
        <div key={key}>
          <dt>{props.signs ? key : <kbd className="kbd">{key}</kbd>}</dt>
          <dd>{what}</dd>
        </div>
      ))}
    </dl>
  );
}
