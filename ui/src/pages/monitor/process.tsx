import type { Process } from "~/gen/cnnf/v1/event_pb";
import { LongText } from "~/parts/name";
import { Facts } from "~/parts/pane";
import { When } from "~/parts/when";
import { monitor } from "~/text/monitor";
import { safe } from "~/text/safe";
import styles from "./event-pane.module.css";

/** A process with what started it, from the first parent down, and all that could be read of it. */
export function Evidence({ of }: { of: Process }) {
  const line = [...of.parents].reverse();
  return (
    <div className={styles.evidence}>
      {(line.length > 0 || of.exe) && (
        <ol className={styles.tree} aria-label={monitor.pane.tree}>
          {line.map(({ program, pid }, depth) => (
            <Step key={`${pid} ${program}`} depth={depth} program={program} pid={pid} />
          ))}
          <Step depth={line.length} program={of.exe} pid={of.pid} last />
        </ol>
      )}
      <Facts
        of={[
          [monitor.pane.exe, of.exe && <LongText key="exe" of={of.exe} />],
          [monitor.pane.cmdline, of.cmdline && <LongText key="cmdline" of={of.cmdline} />],
          [monitor.pane.user, safe(of.user)],
          [monitor.pane.started, of.started && <When key="started" at={of.started} />],
          [monitor.pane.unit, of.unit && <LongText key="unit" of={of.unit} />],
          [monitor.pane.container, of.container && <LongText key="container" of={of.container} />],
          [monitor.pane.cgroup, of.cgroup && <LongText key="cgroup" of={of.cgroup} />],
          [monitor.pane.sha256, of.sha256 && <LongText key="sha256" of={of.sha256} />],
          [monitor.pane.namespace, of.networkNamespace > 0n && of.networkNamespace.toString()],
          [monitor.pane.missing, of.missing && <LongText key="missing" of={of.missing} mono={false} />],
        ]}
      />
    </div>
  );
}

/** Deeper ones than this stand at the same place; there are at most 16. */
const DEEPEST = 8;

function Step(props: { depth: number; program: string; pid: number; last?: boolean }) {
  const name = props.program.slice(props.program.lastIndexOf("/") + 1) || props.program;
  return (
    <li className={props.last ? styles.leaf : undefined} style={{ paddingLeft: Math.min(props.depth, DEEPEST) * 14 }}>
      {props.depth > 0 && <span className={styles.elbow} aria-hidden />}
      <bdi className="name" title={safe(props.program)}>
        {safe(name, 60)}
      </bdi>
      {props.pid > 0 && <span className={styles.faint}>{props.pid}</span>}
    </li>
  );
}
