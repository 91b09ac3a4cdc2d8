import { ShieldAlert } from "lucide-react";
import { defend } from "~/text/defend";
import type { Danger } from "./dangers";
import styles from "./dangers-view.module.css";

/** Warns of rules that could shut out those who would have to repair them. */
export function Dangers(props: { of: readonly Danger[]; rule?: string }) {
  if (props.of.length === 0) return null;
  return (
    <div className={styles.danger} role="alert">
      <ShieldAlert size={18} aria-hidden />
      <div>
        {props.rule && <bdi className={styles.rule}>{props.rule}: </bdi>}
        <strong>{props.of.map((danger) => defend.danger[danger]).join(" ")}</strong> {defend.danger.failsafe}
      </div>
    </div>
  );
}
