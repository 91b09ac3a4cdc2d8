import { type ReactNode, useMemo } from "react";
import { Link } from "wouter";
import { Page, Tabs } from "~/parts/page";
import { done } from "~/parts/toasts";
import { defend } from "~/text/defend";
import { useInForce } from "./data";
import { type Change, diff, summary } from "./draft/diff";
import { discard, stepBack, useDraft } from "./draft/store";
import styles from "./frame.module.css";

type Part = "rules" | "objects" | "definitions" | "history" | "draft";

/** What all parts of Defend have around them. */
export function Frame(props: {
  part: Part;
  note?: ReactNode;
  actions?: ReactNode;
  bar?: ReactNode;
  pane?: ReactNode;
  children: ReactNode;
}) {
  const draft = useDraft();
  const { inForce } = useInForce();
  const tab = (part: Part, count?: number) => ({
    href: part === "rules" ? "/defend" : `/defend/${part}`,
    name: defend.tabs[part],
    count,
    current: part === props.part,
  });
  const shown = draft ?? inForce?.policy;
  const changes = useMemo(() => (draft ? diff(draft) : []), [draft]);
  return (
    <Page
      title={defend.title}
      note={props.note}
      actions={props.actions}
      tabs={
        <Tabs
          label={defend.tabs.label}
          of={[
            tab("rules", shown?.rules.length),
            tab("objects", shown?.objects.length),
            tab("definitions"),
            tab("history"),
            ...(draft || props.part === "draft" ? [tab("draft", changes.length)] : []),
          ]}
        />
      }
      bar={props.bar}
      pane={props.pane}
      foot={props.part === "draft" ? undefined : <DraftBar changes={changes} />}
    >
      {props.children}
    </Page>
  );
}

/** That there is a draft, and where it goes from here. */
function DraftBar({ changes }: { changes: readonly Change[] }) {
  if (changes.length === 0) return null;
  return (
    <div className={styles.bar} role="status">
      <span className={styles.dot} aria-hidden />
      <div className={styles.says}>
        <strong>
          {defend.bar.draft}: {defend.bar.changes(changes.length)}
        </strong>{" "}
        <span className={styles.note}>
          {summary(changes)}. {defend.bar.note}
        </span>
      </div>
      <button type="button" className="btn quiet" onClick={() => stepBack()}>
        {defend.bar.undo}
      </button>
      <button
        type="button"
        className="btn quiet"
        onClick={() => {
          discard();
          done(defend.bar.discarded, { name: defend.bar.takeBack, act: stepBack });
        }}
      >
        {defend.bar.discard}
      </button>
      <Link className="btn primary" href="/defend/draft">
        {defend.bar.review}
      </Link>
    </div>
  );
}
