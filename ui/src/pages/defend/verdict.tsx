import type { Finding } from "~/gen/cnnf/v1/admin_pb";
import { defend } from "~/text/defend";
import { safe } from "~/text/safe";
import styles from "./rule-pane.module.css";

/** What is wrong with a rule, why, and what to do. */
export function Verdict({ of }: { of: Finding }) {
  return (
    <>
      <strong>{defend.findings[of.fault] ?? safe(of.fault)}:</strong> {safe(of.why, 600)}{" "}
      <span className={styles.fix}>– {safe(of.fix, 600)}.</span>
    </>
  );
}
