import { Waypoints } from "lucide-react";
import { text } from "~/text";
import { safe, shortName } from "~/text/safe";
import type { Shown } from "./filter";
import type { Graph } from "./graph";
import styles from "./index.module.css";

const MOST = 8;

/** Services that nearly all others talk to, in the place of their many connections; one click brings these back. */
export function HubChips(props: { graph: Graph; shown: Shown; open: readonly string[]; onOpen(hubs: readonly string[]): void }) {
  const { shown, open, onOpen } = props;
  const t = text.radar;
  if (shown.hubs.length === 0) return null;
  return (
    <>
      <ul className={styles.hubs} aria-label={t.hubs}>
        {shown.hubs.slice(0, MOST).map((hub) => {
          const name = safe(props.graph.nodes.get(hub.id)?.name ?? shortName(hub.id), 24);
          return (
            <li key={hub.id}>
              <button
                type="button"
                className={styles.hub}
                aria-pressed={hub.open}
                title={hub.open ? t.hubHide(name) : t.hubShow(name, hub.peers)}
                onClick={() => onOpen(hub.open ? open.filter((id) => id !== hub.id) : [...open, hub.id])}
              >
                <Waypoints size={13} aria-hidden />
                <bdi>{name}</bdi>
                <span className={styles.number}>{t.hubChip(hub.peers)}</span>
              </button>
            </li>
          );
        })}
      </ul>
      {shown.folded > 0 && <span className={styles.note}>{t.folded(shown.folded)}</span>}
    </>
  );
}
