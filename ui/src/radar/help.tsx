import { Dialog } from "~/parts/dialog";
import { KeyList } from "~/parts/key-list";
import { text } from "~/text";
import styles from "./help.module.css";
import { Sample } from "./legend";
import { CHANGE_LOOKS, CHANGE_ORDER, LOOKS, ORDER } from "./looks";

/** What the keys do and the signs mean. */
export default function Help(props: { onClose(): void }) {
  const t = text.radar.keys;
  return (
    <Dialog open onClose={props.onClose} title={t.title} wide>
      <div className={styles.help}>
        <section>
          <h3>{t.keys}</h3>
          <KeyList of={t.list} />
        </section>
        <section>
          <h3>{t.signs}</h3>
          <ul className={styles.signs}>
            {[...ORDER].reverse().map((key) => (
              <li key={key}>
                <Sample look={LOOKS[key]} />
                {text.radar.statuses[key]}
              </li>
            ))}
            {[...CHANGE_ORDER]
              .reverse()
              .slice(0, 4)
              .map((key) => (
                <li key={key}>
                  <Sample look={CHANGE_LOOKS[key]} />
                  {text.radar.changes[key]}
                </li>
              ))}
          </ul>
          <KeyList of={t.nodes} signs />
        </section>
      </div>
    </Dialog>
  );
}
