import { Activity, CheckCheck, Download, FileJson, FileSpreadsheet, Pause, Play, Radio, WifiOff } from "lucide-react";
import { useCallback, useEffect, useMemo, useState, useSyncExternalStore } from "react";
import { events } from "~/api/clients";
import { KindChip } from "~/parts/chips";
import { Confirm, type Question } from "~/parts/dialog";
import { matcher, readFilter, writeTerm } from "~/parts/filter";
import { FilterBar } from "~/parts/filter-bar";
import { Check } from "~/parts/form";
import { useMay } from "~/parts/may";
import { Menu } from "~/parts/menu";
import { Name } from "~/parts/name";
import { NothingFound } from "~/parts/nothing-found";
import { Notice, Page } from "~/parts/page";
import { save } from "~/parts/save";
import { Empty, Failed, Loading } from "~/parts/states";
import { type Column, DataTable } from "~/parts/table";
import { done, failed } from "~/parts/toasts";
import { Clock } from "~/parts/when";
import { flagParam, useAddress, wordParam } from "~/shell/address";
import { MONITOR_LINK } from "~/shell/links";
import { clock, compact, count, number, port } from "~/text/format";
import { monitor } from "~/text/monitor";
import { parts } from "~/text/parts";
import { safe } from "~/text/safe";
import { because, End, ProcessName } from "./ends";
import { EventPane } from "./event-pane";
import { eventsCsv, eventsJson } from "./export";
import { EVENT_FIELDS, EVENT_KEYS, eventWords } from "./fields";
import { fold, type Row } from "./log";
import styles from "./monitor.module.css";
import { Tail, type Wanted } from "./tail";

const RANGES = { all: 0, hour: 3_600_000, day: 86_400_000, week: 604_800_000 } as const;
type Range = keyof typeof RANGES;
const SHAPE = { ...MONITOR_LINK, time: wordParam(["all", "hour", "day", "week"], "all"), fold: flagParam(true) };

/** So many are acknowledged by one action. */
const ACK_MOST = 1_000;
const ACK_AT_ONCE = 8;

/** Events: those that were, and those that come. */
export default function Monitor() {
  const may = useMay();
  const [at, setAt] = useAddress(SHAPE);
  const [question, setQuestion] = useState<Question>();

  // What other pages ask for becomes a filter that can be seen and changed.
  useEffect(() => {
    if (!at.service && !at.kind && !at.rule) return;
    const asked = (["kind", "service", "rule"] as const)
      .filter((key) => at[key] !== "")
      .map((key) => writeTerm({ key, value: at[key], not: false }));
    setAt({ kind: "", service: "", rule: "", q: [at.q, ...asked].filter(Boolean).join(" ") }, { replace: true });
  }, [at, setAt]);

  const terms = useMemo(() => readFilter(at.q, EVENT_KEYS), [at.q]);
  const only = (key: string) => {
    const asked = terms.filter((term) => term.key === key);
    return asked.length === 1 && asked[0] && !asked[0].not && !asked[0].value.includes("*") ? asked[0].value : "";
  };
  const kind = only("kind") in parts.kinds ? only("kind") : "";
  // A whole key is asked of the controller; a part of a name is looked for here.
  const service = /^(unit|exe|container|svc):./.test(only("service")) ? only("service") : "";
  const tail = useTail(kind, service, at.time);
  const shown = useSyncExternalStore(tail.subscribe, tail.snapshot);

  const found = useMemo(() => {
    const matches = terms.length > 0 ? matcher(terms, EVENT_FIELDS, eventWords) : undefined;
    return matches ? shown.entries.filter(matches) : shown.entries;
  }, [shown.entries, terms]);
  const rows = useMemo(() => fold(found, at.fold), [found, at.fold]);
  const selected = useMemo(() => {
    if (at.event === 0) return undefined;
    const key = String(at.event);
    return rows.find((row) => row.key === key) ?? rows.find((row) => row.all.some((entry) => entry.key === key));
  }, [rows, at.event]);
  const close = useCallback(() => setAt({ event: 0 }), [setAt]);
  const open = found.filter(({ event }) => !event.acknowledged);

  const acknowledge = async (ids: readonly bigint[], note: string) => {
    let acked = 0;
    const left = [...ids];
    const one = async () => {
      for (let id = left.shift(); id !== undefined; id = left.shift()) {
        tail.know(await events.acknowledgeEvent({ id, note }));
        acked += 1;
      }
    };
    try {
      await Promise.all(Array.from({ length: Math.min(ACK_AT_ONCE, ids.length) }, one));
    } catch (error) {
      failed(error);
    }
    if (acked > 0) done(monitor.acked(count(acked, "event")));
  };
  const ackAll = () => {
    const ids = open.slice(0, ACK_MOST).map(({ event }) => event.id);
    const help = open.length > ACK_MOST ? `${monitor.ackHelp} ${monitor.ackMost(number(ACK_MOST))}` : monitor.ackHelp;
    setQuestion({ title: monitor.ackTitle(count(ids.length, "event")), help, yes: monitor.ack, act: () => void acknowledge(ids, "") });
  };
  const name = () => `events-${new Date().toISOString().slice(0, 19).replaceAll(":", "")}`;
  const list = () => found.map(({ event }) => event);

  return (
    <Page
      title={monitor.title}
      note={shown.loading ? undefined : monitor.note(found.length, shown.entries.length)}
      actions={
        <>
          <button
            type="button"
            className="btn"
            aria-pressed={tail.held}
            onClick={() => tail.hold(!tail.held)}
            title={shown.lostSince > 0 ? undefined : monitor.live}
          >
            {tail.held ? <Play size={14} aria-hidden /> : <Pause size={14} aria-hidden />}
            {tail.held ? monitor.go : monitor.hold}
            {shown.held > 0 && <span className={styles.held}>{monitor.held(number(shown.held))}</span>}
          </button>
          <Menu
            label={monitor.export}
            trigger={
              <button type="button" className="btn">
                <Download size={14} aria-hidden />
                {monitor.export}
              </button>
            }
            items={[
              { name: monitor.csv, icon: FileSpreadsheet, act: () => save(`${name()}.csv`, "text/csv", eventsCsv(list())) },
              { name: monitor.json, icon: FileJson, act: () => save(`${name()}.json`, "application/json", eventsJson(list())) },
            ]}
          />
          {may.change && (
            <button type="button" className="btn" disabled={open.length === 0} onClick={ackAll}>
              <CheckCheck size={14} aria-hidden />
              {monitor.ackAll(compact(Math.min(open.length, ACK_MOST)))}
            </button>
          )}
        </>
      }
      bar={
        <>
          <FilterBar
            value={at.q}
            onChange={(q) => setAt({ q }, { replace: true })}
            fields={EVENT_FIELDS}
            rows={shown.entries}
            placeholder={monitor.find}
          />
          <select
            className="input"
            aria-label={monitor.ranges.label}
            value={at.time}
            onChange={(event) => setAt({ time: event.target.value as Range })}
          >
            {(Object.keys(RANGES) as Range[]).map((range) => (
              <option key={range} value={range}>
                {monitor.ranges[range]}
              </option>
            ))}
          </select>
          <Check checked={at.fold} onChange={(fold) => setAt({ fold }, { replace: true })} label={monitor.fold} />
          <span className={styles.live} role="status">
            {shown.lostSince > 0 ? (
              <WifiOff size={14} aria-hidden />
            ) : (
              <Radio size={14} aria-hidden className={tail.held ? undefined : styles.on} />
            )}
            <span className="hidden">{shown.lostSince > 0 ? "" : monitor.live}</span>
          </span>
        </>
      }
      pane={
        at.event !== 0 && (
          <EventPane
            id={BigInt(at.event)}
            row={selected}
            may={may}
            onAcknowledge={acknowledge}
            onKnow={(event) => tail.know(event)}
            onOpen={(event) => setAt({ event })}
            onClose={close}
          />
        )
      }
    >
      {shown.lostSince > 0 && !shown.error && (
        <Notice
          tone="warn"
          icon={<WifiOff size={16} aria-hidden />}
          action={
            <button type="button" className="btn" onClick={() => tail.retry()}>
              {monitor.retry}
            </button>
          }
        >
          {monitor.lost(clock(new Date(shown.lostSince)))}
        </Notice>
      )}
      {shown.error ? (
        <Failed error={shown.error} onRetry={() => tail.retry()} />
      ) : shown.loading ? (
        <Loading />
      ) : (
        <DataTable
          label={monitor.table}
          rows={rows}
          columns={COLUMNS}
          keyOf={keyOf}
          selected={selected?.key}
          onOpen={(row) => setAt({ event: Number(row.key) })}
          rowClass={(row) => (row.open === 0 ? styles.done : undefined)}
          empty={
            at.q === "" && at.time === "all" ? (
              <Empty title={monitor.empty} icon={<Activity size={32} strokeWidth={1.25} aria-hidden />}>
                {monitor.emptyHelp}
              </Empty>
            ) : (
              <NothingFound filter={at.q || monitor.ranges[at.time]} onClear={() => setAt({ q: "", time: "all" })} />
            )
          }
        />
      )}
      {shown.filling && !shown.loading && (
        <div className={styles.filling} role="status">
          {monitor.filling}
        </div>
      )}
      {shown.older && !shown.filling && (
        <button type="button" className="btn quiet" onClick={() => tail.more()}>
          {monitor.more}
        </button>
      )}
      <Confirm question={question} onClose={() => setQuestion(undefined)} />
    </Page>
  );
}

const keyOf = ({ key }: Row) => key;

function useTail(kind: string, service: string, range: Range): Tail {
  const tail = useMemo(() => {
    const wanted: Wanted = { kind, service, sinceMs: RANGES[range] === 0 ? 0 : Date.now() - RANGES[range] };
    return new Tail(wanted);
  }, [kind, service, range]);
  useEffect(() => {
    tail.start();
    return () => tail.end();
  }, [tail]);
  return tail;
}

const COLUMNS: Column<Row>[] = [
  { id: "last", head: monitor.columns.last, width: "118px", cell: ({ newest }) => <Clock at={newest.event.lastSeen} /> },
  {
    id: "kind",
    head: monitor.columns.kind,
    width: "176px",
    cell: ({ newest, all }) => (
      <>
        <KindChip kind={newest.event.kind} />
        {all.length > 1 && (
          <span className={styles.folded} title={monitor.folded(number(all.length))}>
            ×{compact(all.length)}
          </span>
        )}
      </>
    ),
  },
  { id: "client", head: monitor.columns.client, width: "minmax(90px, 1.2fr)", cell: ({ newest }) => <End of={newest.event.client} /> },
  { id: "server", head: monitor.columns.server, width: "minmax(90px, 1.2fr)", cell: ({ newest }) => <End of={newest.event.server} /> },
  {
    id: "port",
    head: monitor.columns.port,
    width: "84px",
    drop: 2,
    cell: ({ newest }) => newest.event.protocol !== "" && <Name of={port(newest.event.protocol, newest.event.port)} mono />,
  },
  {
    id: "because",
    head: monitor.columns.because,
    width: "minmax(96px, 1.6fr)",
    drop: 1,
    cell: ({ newest }) => <Name of={because(newest.event)} />,
  },
  {
    id: "process",
    head: monitor.columns.process,
    width: "minmax(80px, 1fr)",
    drop: 4,
    cell: ({ newest }) => <ProcessName of={newest.event.process} />,
  },
  {
    id: "count",
    head: monitor.columns.count,
    width: "56px",
    end: true,
    cell: (row) => <span title={number(row.count)}>{compact(row.count)}</span>,
  },
  {
    id: "state",
    head: monitor.columns.state,
    width: "66px",
    drop: 4,
    cell: ({ open, newest }) =>
      open === 0 ? (
        <span className={styles.faint} title={safe(newest.event.note)}>
          {monitor.seen}
        </span>
      ) : (
        <span className={styles.openMark}>{monitor.open}</span>
      ),
  },
];
