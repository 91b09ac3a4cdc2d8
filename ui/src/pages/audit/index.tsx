import { useInfiniteQuery, useMutation, useQueryClient } from "@tanstack/react-query";
import { Download, FileClock, ShieldAlert, ShieldCheck } from "lucide-react";
import { useCallback, useMemo } from "react";
import { audit as api } from "~/api/clients";
import { keys } from "~/api/keys";
import type { AuditEntry } from "~/gen/cnnf/v1/access_pb";
import { Copy } from "~/parts/copy";
import { csv } from "~/parts/csv";
import { type Field as FilterField, matcher, readFilter } from "~/parts/filter";
import { FilterBar } from "~/parts/filter-bar";
import { LongText, Name } from "~/parts/name";
import { NothingFound } from "~/parts/nothing-found";
import { Notice, Page } from "~/parts/page";
import { Facts, Pane, Section } from "~/parts/pane";
import { save } from "~/parts/save";
import { rfc3339 } from "~/parts/stamp";
import { Empty, Pending } from "~/parts/states";
import { type Column, DataTable } from "~/parts/table";
import { failed } from "~/parts/toasts";
import { Clock, When } from "~/parts/when";
import { textParam, useAddress, wordParam } from "~/shell/address";
import { audit } from "~/text/audit";
import { count } from "~/text/format";
import { safe } from "~/text/safe";
import styles from "./audit.module.css";
import { changedFields } from "./changed";

const RANGES = { all: 0, hour: 3_600_000, day: 86_400_000, week: 604_800_000 } as const;
type Range = keyof typeof RANGES;
const SHAPE = { q: textParam(), entry: textParam(), time: wordParam(["all", "hour", "day", "week"], "all") };
const PAGE = 500;

const FIELDS: FilterField<AuditEntry>[] = [
  { key: "actor", label: audit.columns.actor, of: ({ actor }) => actor },
  // As the controller has it: an action or its beginning.
  {
    key: "action",
    label: audit.columns.action,
    of: ({ action }) => action,
    holds: ({ action }, value) => action === value || action.startsWith(`${value}.`) || action.startsWith(value),
  },
  { key: "subject", label: audit.columns.subject, of: ({ subject }) => subject },
  { key: "address", label: audit.columns.address, of: ({ address }) => address },
  { key: "via", label: audit.columns.via, of: ({ via }) => via, words: ["certificate", "session", "token"] },
];
const KEYS = FIELDS.map(({ key }) => key);

/** The record of every change, and whether it is intact. */
export default function Audit() {
  const client = useQueryClient();
  const [at, setAt] = useAddress(SHAPE);
  const terms = useMemo(() => readFilter(at.q, KEYS), [at.q]);
  // What is one whole term is asked of the controller, so that it is found however old it is.
  const only = (key: string) => {
    const asked = terms.filter((term) => term.key === key);
    return asked.length === 1 && asked[0] && !asked[0].not && !asked[0].value.includes("*") ? asked[0].value : "";
  };
  const action = only("action");
  const { data, error, refetch, hasNextPage, fetchNextPage, isFetchingNextPage } = useInfiniteQuery({
    queryKey: keys.audit({ action, time: at.time }),
    queryFn: ({ signal, pageParam }) =>
      api.listAudit(
        {
          action,
          ...(RANGES[at.time] > 0 ? { time: { sinceMs: BigInt(Date.now() - RANGES[at.time]), untilMs: 0n } } : {}),
          page: { size: PAGE, token: pageParam },
        },
        { signal },
      ),
    initialPageParam: "",
    getNextPageParam: ({ nextToken }) => nextToken || undefined,
    placeholderData: (before) => before,
  });
  const verify = useMutation({
    mutationFn: () => api.verifyAudit({}, { timeoutMs: 300_000 }),
    onError: failed,
    onSettled: () => void client.invalidateQueries({ queryKey: keys.audit() }),
  });
  const all = useMemo(() => data?.pages.flatMap(({ entries }) => entries) ?? [], [data]);
  const found = useMemo(() => all.filter(matcher(terms, FIELDS, ({ before, after }) => `${before}\n${after}`)), [all, terms]);
  const selected = found.find(({ id }) => id.toString() === at.entry);
  const close = useCallback(() => setAt({ entry: "" }), [setAt]);
  const exported = () => {
    const header = ["id", "at", "actor", "via", "address", "action", "subject", "before", "after", "hash"];
    const rows = found.map((entry) => [
      entry.id,
      rfc3339(entry.at),
      entry.actor,
      entry.via,
      entry.address,
      entry.action,
      entry.subject,
      entry.before,
      entry.after,
      entry.hash,
    ]);
    save(`audit-${new Date().toISOString().slice(0, 10)}.csv`, "text/csv", csv(header, rows));
  };
  return (
    <Page
      title={audit.title}
      actions={
        <>
          <button type="button" className="btn" disabled={found.length === 0} onClick={exported}>
            <Download size={14} aria-hidden />
            {audit.export}
          </button>
          <button type="button" className="btn" disabled={verify.isPending} onClick={() => verify.mutate()}>
            <ShieldCheck size={14} aria-hidden />
            {verify.isPending ? audit.verifying : audit.verify}
          </button>
        </>
      }
      bar={
        <>
          <FilterBar value={at.q} onChange={(q) => setAt({ q }, { replace: true })} fields={FIELDS} rows={all} placeholder={audit.find} />
          <select
            className="input"
            aria-label={audit.ranges.label}
            value={at.time}
            onChange={(event) => setAt({ time: event.target.value as Range })}
          >
            {(Object.keys(RANGES) as Range[]).map((range) => (
              <option key={range} value={range}>
                {audit.ranges[range]}
              </option>
            ))}
          </select>
        </>
      }
      pane={selected && <EntryPane entry={selected} onClose={close} />}
    >
      {verify.data &&
        (verify.data.intact ? (
          <Notice tone="good" icon={<ShieldCheck size={18} aria-hidden />} action={<Copy text={verify.data.head} />}>
            {audit.intact(count(verify.data.entries, "entry", "entries"))} {audit.head} <code>{safe(verify.data.head, 80)}</code>
          </Notice>
        ) : (
          <Notice tone="bad" icon={<ShieldAlert size={18} aria-hidden />}>
            {audit.broken(verify.data.firstBad.toString(), safe(verify.data.problem, 300))}
          </Notice>
        ))}
      {!data ? (
        <Pending error={error} onRetry={refetch} />
      ) : (
        <>
          <DataTable
            label={audit.table}
            rows={found}
            columns={COLUMNS}
            keyOf={keyOf}
            selected={at.entry || undefined}
            onOpen={({ id }) => setAt({ entry: id.toString() })}
            empty={
              at.q === "" && at.time === "all" ? (
                <Empty title={audit.empty} icon={<FileClock size={32} strokeWidth={1.25} aria-hidden />}>
                  {audit.emptyHelp}
                </Empty>
              ) : (
                <NothingFound filter={at.q || audit.ranges[at.time]} onClear={() => setAt({ q: "", time: "all" })} />
              )
            }
          />
          {hasNextPage && (
            <button type="button" className="btn quiet" disabled={isFetchingNextPage} onClick={() => fetchNextPage()}>
              {audit.more}
            </button>
          )}
        </>
      )}
    </Page>
  );
}

const keyOf = ({ id }: AuditEntry) => id.toString();

const COLUMNS: Column<AuditEntry>[] = [
  { id: "at", head: audit.columns.at, width: "118px", cell: ({ at }) => <Clock at={rfc3339(at)} /> },
  { id: "actor", head: audit.columns.actor, width: "minmax(90px, 1fr)", cell: ({ actor }) => <Name of={actor} strong /> },
  { id: "action", head: audit.columns.action, width: "minmax(120px, 1fr)", cell: ({ action }) => <Name of={action} mono /> },
  { id: "subject", head: audit.columns.subject, width: "minmax(120px, 2fr)", cell: ({ subject }) => <Name of={subject} /> },
  {
    id: "via",
    head: audit.columns.via,
    width: "112px",
    drop: 1,
    cell: ({ via }) => <span className={styles.faint}>{audit.vias[via] ?? safe(via)}</span>,
  },
  {
    id: "address",
    head: audit.columns.address,
    width: "minmax(100px, 0.9fr)",
    drop: 3,
    cell: ({ address }) => <Name of={address} mono />,
  },
  {
    id: "id",
    head: audit.columns.id,
    width: "64px",
    end: true,
    drop: 1,
    cell: ({ id }) => <span className={styles.faint}>{id.toString()}</span>,
  },
];

function EntryPane(props: { entry: AuditEntry; onClose(): void }) {
  const { entry } = props;
  const fields = changedFields(entry.before, entry.after);
  const label = audit.pane.label(entry.id.toString());
  return (
    <Pane
      label={label}
      title={<LongText of={[entry.action, entry.subject].filter(Boolean).join(" · ")} mono={false} />}
      kicker={label}
      onClose={props.onClose}
    >
      <Section title={audit.pane.facts}>
        <Facts
          of={[
            [audit.columns.at, <When key="at" at={rfc3339(entry.at)} />],
            [audit.columns.actor, <LongText key="actor" of={entry.actor} mono={false} />],
            [audit.columns.via, audit.vias[entry.via] ?? safe(entry.via)],
            [audit.columns.address, entry.address && <code>{safe(entry.address)}</code>],
            [audit.pane.hash, <LongText key="hash" of={entry.hash} />],
          ]}
        />
      </Section>
      <Section title={audit.pane.changes}>
        {fields.length === 0 ? (
          <p className={styles.faint}>{audit.pane.none}</p>
        ) : (
          <dl className={styles.fields}>
            {fields.map(({ path, before, after }) => (
              <div key={path}>
                {path && (
                  <dt>
                    <code>{safe(path, 120)}</code>
                  </dt>
                )}
                {before !== "" && (
                  <dd className={styles.before}>
                    <span aria-hidden>−</span>
                    <span className="hidden">{audit.pane.before}: </span>
                    <LongText of={before} />
                  </dd>
                )}
                {after !== "" && (
                  <dd className={styles.after}>
                    <span aria-hidden>+</span>
                    <span className="hidden">{audit.pane.after}: </span>
                    <LongText of={after} />
                  </dd>
                )}
              </div>
            ))}
          </dl>
        )}
      </Section>
    </Pane>
  );
}
