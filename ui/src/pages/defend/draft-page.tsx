import { Code, ConnectError } from "@connectrpc/connect";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { FilePenLine, GitMerge, ShieldAlert, TriangleAlert } from "lucide-react";
import { useMemo, useState } from "react";
import { Link } from "wouter";
import { navigate } from "wouter/use-browser-location";
import { policy } from "~/api/clients";
import { keys } from "~/api/keys";
import { Field } from "~/parts/form";
import { useMay } from "~/parts/may";
import { Notice, Sheet } from "~/parts/page";
import { Empty, Pending } from "~/parts/states";
import { done, failed } from "~/parts/toasts";
import { useAddress, wordParam } from "~/shell/address";
import { defend } from "~/text/defend";
import { parts } from "~/text/parts";
import { safe } from "~/text/safe";
import { inDraft } from "./check";
import { ConfirmWithin, WITHIN, type Within } from "./confirm-within";
import { dangers } from "./dangers";
import { Dangers } from "./dangers-view";
import { useInForce, useLint } from "./data";
import { type Change, diff, summary, undo } from "./draft/diff";
import type { Draft } from "./draft/draft";
import { applied, change, discard, stepBack, useBoth, useDraft } from "./draft/store";
import { messages } from "./draft/wire";
import styles from "./draft-page.module.css";
import { Frame } from "./frame";
import { Plan } from "./plan";
import { Simulation } from "./simulation";
import { Verdict } from "./verdict";

const SHAPE = { seen: wordParam(["hour", "day", "week", "all"], "all") };

/** The draft: what it changes, what that would do, and putting it in force. */
export function DraftPage() {
  const { inForce, error, refetch } = useInForce();
  const draft = useDraft();
  const changes = useMemo(() => (draft ? diff(draft) : []), [draft]);
  return (
    <Frame part="draft" note={draft && `${summary(changes)} · ${defend.draft.base(draft.base.revision)}`}>
      {!inForce ? (
        <Pending error={error} onRetry={refetch} />
      ) : !draft ? (
        <Empty
          title={defend.draft.empty}
          icon={<FilePenLine size={32} strokeWidth={1.25} aria-hidden />}
          action={
            <Link className="btn" href="/defend">
              {defend.draft.toRules}
            </Link>
          }
        >
          {defend.draft.emptyHelp}
        </Empty>
      ) : (
        <Review draft={draft} changes={changes} />
      )}
    </Frame>
  );
}

function Review({ draft, changes }: { draft: Draft; changes: readonly Change[] }) {
  const [at, setAt] = useAddress(SHAPE);
  const both = useBoth();
  const touched = changes.filter(({ kind, change }) => kind === "rule" && change !== "deleted");
  const risky = touched.flatMap(({ key }) => {
    const want = draft.rules.find((rule) => rule.key === key)?.want;
    const found = want ? dangers(want) : [];
    return want && found.length > 0 ? [{ key, name: want.name, found }] : [];
  });
  return (
    <>
      {both.length > 0 && (
        <Notice tone="warn" icon={<GitMerge size={18} aria-hidden />}>
          {defend.draft.both(both.map((name) => safe(name, 80)).join(", "))}
        </Notice>
      )}
      <Sheet wide label={defend.tabs.draft}>
        <div className={styles.head}>
          <h2>{defend.draft.plan}</h2>
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
        </div>
        <Plan
          changes={changes}
          onUndo={(n) => {
            const one = changes[n];
            if (one) change(draft.base, (draft) => undo(draft, one));
          }}
        />
        <div className={styles.dangers}>
          {risky.map(({ key, name, found }) => (
            <Dangers key={key} of={found} rule={safe(name, 80)} />
          ))}
        </div>
        <Findings draft={draft} touched={touched} />
        <Simulation draft={draft} range={at.seen} onRange={(seen) => setAt({ seen }, { replace: true })} />
      </Sheet>
      <ApplyBar draft={draft} changes={changes} risky={risky.length > 0} />
    </>
  );
}

/** What is wrong with the rules that the draft touches. */
function Findings(props: { draft: Draft; touched: readonly Change[] }) {
  const findings = useLint(props.draft.base.revision);
  const own = props.touched.flatMap(({ name }) => findings.get(name) ?? []);
  if (own.length === 0) return null;
  return (
    <>
      <div className={styles.head}>
        <h2>{defend.draft.findings}</h2>
      </div>
      <ul className={styles.findings}>
        {own.slice(0, 50).map((finding) => (
          <li key={`${finding.rule} ${finding.fault} ${finding.other}`}>
            <TriangleAlert size={15} aria-hidden />
            <span>
              <bdi className={styles.rule}>{safe(finding.rule)}</bdi> <Verdict of={finding} />
            </span>
          </li>
        ))}
      </ul>
    </>
  );
}

function ApplyBar(props: { draft: Draft; changes: readonly Change[]; risky: boolean }) {
  const { draft, changes } = props;
  const may = useMay();
  const client = useQueryClient();
  const [reason, setReason] = useState("");
  const [within, setWithin] = useState<Within>(props.risky ? "s300" : "none");
  const apply = useMutation({
    mutationFn: () =>
      policy.applyPolicy({ ...messages(draft), baseRevision: BigInt(draft.base.revision), reason, confirmWithinSeconds: WITHIN[within] }),
    onSuccess: (answer) => {
      applied();
      done(answer.changes.length === 0 ? defend.draft.nothingChanged : defend.draft.applied(answer.revision.toString()), {
        name: defend.draft.takeBack,
        act: () => navigate(`/defend/history?revision=${draft.base.revision}`),
      });
      navigate("/defend");
    },
    onError: (error) => {
      // Somebody else was faster: the new rules come, the draft is carried over to them.
      if (ConnectError.from(error).code === Code.Aborted) failed(defend.draft.changed);
    },
    onSettled: () => {
      for (const key of [keys.rules(), keys.revisions(), keys.status(), keys.radar(), keys.edges()])
        void client.invalidateQueries({ queryKey: key });
    },
  });
  const deleted = changes.filter(({ kind, change }) => kind === "rule" && change === "deleted").map(({ name }) => safe(name, 60));
  const refused = apply.error && ConnectError.from(apply.error).code !== Code.Aborted ? apply.error : undefined;
  return (
    <div className={styles.bar}>
      {refused && (
        <div className={styles.refused} role="alert">
          <ShieldAlert size={16} aria-hidden />
          <span>{safe(inDraft(refused, draft), 2_000)}</span>
        </div>
      )}
      {deleted.length > 0 && (
        <div className={styles.deletes}>{defend.draft.deletes(deleted.slice(0, 8).join(", ") + (deleted.length > 8 ? ", …" : ""))}</div>
      )}
      <form
        className={styles.apply}
        onSubmit={(event) => {
          event.preventDefault();
          apply.mutate();
        }}
      >
        <div className={styles.reason}>
          <Field name={defend.draft.reason}>
            {(wiring) => (
              <input
                className="input"
                placeholder={defend.draft.reasonHelp}
                value={reason}
                onChange={(event) => setReason(event.target.value)}
                {...wiring}
              />
            )}
          </Field>
        </div>
        <ConfirmWithin value={within} onChange={setWithin} />
        <button
          type="submit"
          className="btn primary"
          disabled={!may.change || apply.isPending}
          title={may.change ? undefined : parts.readOnly}
        >
          {apply.isPending ? defend.draft.applying : defend.draft.apply}
        </button>
      </form>
    </div>
  );
}
