import { useInfiniteQuery, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { History } from "lucide-react";
import { useCallback, useMemo, useState } from "react";
import { policy } from "~/api/clients";
import { keys } from "~/api/keys";
import type { PolicyChange, Revision } from "~/gen/cnnf/v1/admin_pb";
import { Dialog, DialogActions } from "~/parts/dialog";
import { type Field as FilterField, matcher, readFilter } from "~/parts/filter";
import { FilterBar } from "~/parts/filter-bar";
import { Field, Fields, Refused } from "~/parts/form";
import { useMay } from "~/parts/may";
import { LongText, Name } from "~/parts/name";
import { NothingFound } from "~/parts/nothing-found";
import { Facts, Pane, Section } from "~/parts/pane";
import { Empty, Failed, Loading, Pending } from "~/parts/states";
import { type Column, DataTable } from "~/parts/table";
import { done } from "~/parts/toasts";
import { Ago, When } from "~/parts/when";
import { textParam, useAddress } from "~/shell/address";
import { defend } from "~/text/defend";
import { safe } from "~/text/safe";
import { ConfirmWithin, WITHIN, type Within } from "./confirm-within";
import type { Change } from "./draft/diff";
import { useDraft } from "./draft/store";
import { Frame } from "./frame";
import { Plan } from "./plan";
import styles from "./rules.module.css";

const SHAPE = { q: textParam(), revision: textParam() };
const FIELDS: FilterField<Revision>[] = [
  { key: "who", label: defend.history.columns.who, of: ({ who }) => who },
  { key: "why", label: defend.history.columns.reason, of: ({ reason }) => reason },
];
const KEYS = FIELDS.map(({ key }) => key);
const PAGE = 200;

/** Every change of rules and objects, and going back. */
export function HistoryPage() {
  const may = useMay();
  const [at, setAt] = useAddress(SHAPE);
  const [back, setBack] = useState<string>();
  const { data, error, refetch, hasNextPage, fetchNextPage, isFetchingNextPage } = useInfiniteQuery({
    queryKey: keys.revisions(),
    queryFn: ({ signal, pageParam }) => policy.listRevisions({ page: { size: PAGE, token: pageParam } }, { signal }),
    initialPageParam: "",
    getNextPageParam: ({ nextToken }) => nextToken || undefined,
    refetchInterval: 15_000,
  });
  const all = useMemo(() => data?.pages.flatMap(({ revisions }) => revisions) ?? [], [data]);
  const found = useMemo(() => all.filter(matcher(readFilter(at.q, KEYS), FIELDS, ({ summary }) => summary)), [all, at.q]);
  const newest = all[0]?.revision;
  const waits = data?.pages[0]?.unconfirmed?.revision;
  const columns = useMemo<Column<Revision>[]>(
    () => [
      {
        id: "revision",
        head: defend.history.columns.revision,
        width: "minmax(84px, 170px)",
        cell: ({ revision }) => (
          <>
            <strong>{revision.toString()}</strong>
            {revision === newest && (
              <span className={styles.mark}>{revision === waits ? defend.history.waits : defend.history.current}</span>
            )}
          </>
        ),
      },
      { id: "at", head: defend.history.columns.at, width: "104px", cell: (revision) => <Ago at={revision.at} /> },
      { id: "who", head: defend.history.columns.who, width: "minmax(80px, 1fr)", cell: ({ who }) => <Name of={who} /> },
      { id: "summary", head: defend.history.columns.summary, width: "minmax(110px, 1.2fr)", cell: ({ summary }) => <Name of={summary} /> },
      {
        id: "reason",
        head: defend.history.columns.reason,
        width: "minmax(120px, 2fr)",
        drop: 1,
        cell: ({ reason }) => <Name of={reason} />,
      },
      { id: "note", head: defend.history.columns.note, width: "minmax(90px, 1fr)", drop: 4, cell: ({ note }) => <Name of={note} /> },
    ],
    [newest, waits],
  );
  const close = useCallback(() => setAt({ revision: "" }), [setAt]);
  return (
    <Frame
      part="history"
      bar={
        <FilterBar
          value={at.q}
          onChange={(q) => setAt({ q }, { replace: true })}
          fields={FIELDS}
          rows={all}
          placeholder={defend.history.find}
        />
      }
      pane={
        /^\d+$/.test(at.revision) && (
          <RevisionPane
            revision={at.revision}
            onClose={close}
            newest={at.revision === newest?.toString()}
            // What the newest change made is undone by going to the one before it.
            onBack={
              may.change
                ? () => setBack(at.revision === newest?.toString() ? (BigInt(at.revision) - 1n).toString() : at.revision)
                : undefined
            }
          />
        )
      }
    >
      {!data ? (
        <Pending error={error} onRetry={refetch} />
      ) : (
        <>
          <DataTable
            label={defend.history.table}
            rows={found}
            columns={columns}
            keyOf={keyOf}
            selected={at.revision || undefined}
            onOpen={(revision) => setAt({ revision: revision.revision.toString() })}
            empty={
              at.q === "" ? (
                <Empty title={defend.history.empty} icon={<History size={32} strokeWidth={1.25} aria-hidden />}>
                  {defend.history.emptyHelp}
                </Empty>
              ) : (
                <NothingFound filter={at.q} onClear={() => setAt({ q: "" })} />
              )
            }
          />
          {hasNextPage && (
            <button type="button" className="btn quiet" disabled={isFetchingNextPage} onClick={() => fetchNextPage()}>
              {defend.history.more}
            </button>
          )}
        </>
      )}
      {back !== undefined && <RollbackDialog revision={back} newest={newest ?? 0n} onClose={() => setBack(undefined)} />}
    </Frame>
  );
}

const keyOf = ({ revision }: Revision) => revision.toString();

/** Changes as the controller says them. */
export function planOf(changes: readonly PolicyChange[]): Omit<Change, "key">[] {
  return changes.map(({ change, kind, name, positionBefore, positionAfter, fields }) => ({
    change: change as Change["change"],
    kind: kind as Change["kind"],
    name,
    before: positionBefore,
    after: positionAfter,
    moved: change === "moved",
    fields,
  }));
}

function RevisionPane(props: { revision: string; newest: boolean; onClose(): void; onBack: (() => void) | undefined }) {
  const { data, error, refetch } = useQuery({
    queryKey: [...keys.revisions(), props.revision],
    queryFn: ({ signal }) => policy.getRevision({ revision: BigInt(props.revision) }, { signal }),
    retry: false,
  });
  return (
    <Pane
      label={defend.history.pane(props.revision)}
      title={defend.history.pane(props.revision)}
      onClose={props.onClose}
      actions={
        props.onBack && (
          <button type="button" className="btn" onClick={props.onBack}>
            <History size={14} aria-hidden />
            {props.newest ? defend.history.takeBack : defend.history.rollback}
          </button>
        )
      }
    >
      {error ? (
        <Failed error={error} onRetry={() => refetch()} />
      ) : !data ? (
        <Loading />
      ) : (
        <>
          <Section title={defend.history.columns.summary}>
            <Facts
              of={[
                [defend.history.columns.at, <When key="at" at={data.at} />],
                [defend.history.columns.who, <LongText key="who" of={data.who} mono={false} />],
                [defend.history.columns.reason, data.reason && <LongText key="why" of={data.reason} mono={false} />],
                [defend.history.columns.note, safe(data.note)],
              ]}
            />
          </Section>
          <Section title={defend.history.changes}>
            <Plan changes={planOf(data.changes)} />
          </Section>
        </>
      )}
    </Pane>
  );
}

/** Going back: what it would change, why, and whether it stays. */
function RollbackDialog(props: { revision: string; newest: bigint; onClose(): void }) {
  const client = useQueryClient();
  const draft = useDraft();
  const [reason, setReason] = useState("");
  const [within, setWithin] = useState<Within>("none");
  const plan = useQuery({
    queryKey: [...keys.revisions(), "rollback", props.revision, props.newest.toString()],
    queryFn: ({ signal }) => policy.rollbackPolicy({ revision: BigInt(props.revision), dryRun: true }, { signal }),
    retry: false,
  });
  const go = useMutation({
    mutationFn: () =>
      policy.rollbackPolicy({
        revision: BigInt(props.revision),
        baseRevision: plan.data?.revision ?? 0n,
        reason,
        confirmWithinSeconds: WITHIN[within],
      }),
    onSuccess: ({ revision }) => {
      done(defend.history.rolledBack(revision.toString()));
      props.onClose();
    },
    onSettled: () => {
      for (const key of [keys.rules(), keys.revisions(), keys.status(), keys.radar(), keys.edges()])
        void client.invalidateQueries({ queryKey: key });
    },
  });
  const error = go.error ?? plan.error;
  return (
    <Dialog
      wide
      open
      onClose={props.onClose}
      title={defend.history.rollbackTitle(props.revision)}
      help={`${defend.history.rollbackHelp} ${draft ? defend.history.toDraft : ""}`}
    >
      <form
        onSubmit={(event) => {
          event.preventDefault();
          go.mutate();
        }}
      >
        <Fields>
          <Refused error={error} />
          {plan.data &&
            (plan.data.changes.length === 0 ? <p>{defend.history.rollbackNone}</p> : <Plan changes={planOf(plan.data.changes)} />)}
          {!plan.data && !error && <Loading />}
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
          <ConfirmWithin value={within} onChange={setWithin} />
        </Fields>
        <DialogActions onCancel={props.onClose}>
          <button type="submit" className="btn primary" disabled={!plan.data || plan.data.changes.length === 0 || go.isPending}>
            {defend.history.rollbackDo}
          </button>
        </DialogActions>
      </form>
    </Dialog>
  );
}
