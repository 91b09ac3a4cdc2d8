import { Dialog } from "~/parts/dialog";
import { KeyList } from "~/parts/key-list";
import { text } from "~/text";
import styles from "./keys.module.css";
import type { PageName } from "./links";

/** What the keys do on a page with a table, and how its filter is written. */
export default function Keys(props: { page: PageName | undefined; onClose(): void }) {
  const t = text.keys;
  return (
    <Dialog open onClose={props.onClose} title={t.title} wide>
      <div className={styles.keys}>
        <section>
          <h3>{t.keys}</h3>
          <KeyList of={[...t.table, ...(props.page === "defend" ? t.rules : []), ...t.everywhere]} />
        </section>
        <section>
          <h3>{t.filter}</h3>
          <KeyList of={t.filters} />
        </section>
      </div>
    </Dialog>
  );
}
