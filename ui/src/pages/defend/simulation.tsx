import { Radar, Scissors, ShieldAlert } from "lucide-react";
import { useMemo } from "react";
import { Link } from "wouter";
import { inWords } from "~/api/errors";
import type { Fate, LiveCut, Shift } from "~/gen/cnnf/v1/admin_pb";
import type { Peer } from "~/gen/cnnf/v1/common_pb";
import { EffectChip } from "~/parts/chips";
import { Name } from "~/parts/name";
import { Notice } from "~/parts/page";
import { Loading } from "~/parts/states";
import { type Column, DataTable } from "~/parts/table";
import { Ago } from "~/parts/when";
import { links } from "~/shell/links";
import { defend } from "~/text/defend";
import { count, number, port } from "~/text/format";
import { safe, shortName } from "~/text/safe";
import { cutsBy } from "./cuts";
import { useRested, useSimulation } from "./data";
import type { Draft } from "./draft/draft";
import { Tallies } from "./impact";
import styles from "./simulation.module.css";

export const RANGES = { hour: 3_600_000, day: 86_400_000, week: 604_800_000, all: 0 } as const;
export type Range = keyof typeof RANGES;

/** The controller answers so many edges at most. */
const MOST = 1_000;

interface Row {
  key: string;
  shift: Shift;
  /** Whether connections of it live that would be cut. */
  cut: boolean;
}

/** What a draft would do to the connections that were seen. */
export function Simulation(props: { draft: Pick<Draft, "rules" | "objects">; range: Range; onRange(range: Range): void }) {
  const rested = useRested(props.draft);
  // To the minute, so that it is not asked anew with every drawing.
  const since = props.range === "all" ? 0 : Math.floor((Date.now() - RANGES[props.range]) / 60_000) * 60_000;
  const { data, error, isFetching } = useSimulation(rested, since, true);
  const rows = useMemo<Row[]>(() => {
    const cut = cutsBy(data?.live, Date.now());
    return (data?.shifts ?? []).map((shift, n) => ({ key: `${n}`, shift, cut: cut(shift) }));
  }, [data]);
  const ssh = rows.filter(
    ({ shift }) => shift.edge?.protocol === "tcp" && shift.edge.port === 22 && shift.after?.effect === "prevent",
  ).length;
  return (
    <>
      <div className={styles.head}>
        <h2>{defend.draft.simulation}</h2>
        <label className={styles.range}>
          {defend.draft.since}
          <select className="input" value={props.range} onChange={(event) => props.onRange(event.target.value as Range)}>
            {(Object.keys(RANGES) as Range[]).map((range) => (
              <option key={range} value={range}>
                {defend.draft.ranges[range]}
              </option>
            ))}
          </select>
        </label>
        <Link className="btn" href={`${links.radar()}?draft=1`}>
          <Radar size={14} aria-hidden />
          {defend.draft.radar}
        </Link>
      </div>
      {error ? (
        <Notice tone="bad" icon={<ShieldAlert size={18} aria-hidden />}>
          <strong>{defend.draft.refused}.</strong> {safe(inWords(error), 2_000)}
        </Notice>
      ) : !data ? (
        <div className={styles.waits}>
          <Loading what={defend.form.impactWaits} />
        </div>
      ) : (
        <div className={isFetching ? styles.stale : undefined} aria-busy={isFetching}>
          <Tallies prevented={data.prevented} alerted={data.alerted} allowed={data.allowed} counted={data.live !== undefined} />
          {data.live && <Cut of={data.live} />}
          {ssh > 0 && (
            <div className={styles.notice}>
              <Notice tone="bad" icon={<ShieldAlert size={18} aria-hidden />}>
                <strong>{defend.draft.sshCut}.</strong> {defend.draft.sshCutHelp(count(ssh, "edge"))}
              </Notice>
            </div>
          )}
          <p className={styles.judged}>
            {defend.draft.judged(count(data.edges, "edge"), count(data.connections, "connection"))}{" "}
            {rows.length === 0 && defend.draft.noShift}
            {rows.length >= MOST && defend.draft.first(number(MOST))}
          </p>
          {rows.length > 0 && (
            <div className={styles.table} style={{ height: Math.min(440, 34 + rows.length * 36) }}>
              <DataTable label={defend.draft.shifts} rows={rows} columns={COLUMNS} keyOf={keyOf} />
            </div>
          )}
        </div>
      )}
    </>
  );
}

/** Hosts and edges that are named; a longer list is nothing to read, and `cnnfctl rules simulate` has it. */
const NAMED = 8;

/** What hosts say that they would cut now, and which do not say. */
function Cut(props: { of: LiveCut }) {
  const { connections, hosts, cuts, silent } = props.of;
  const some = connections > 0n;
  return (
    <div className={styles.notice}>
      <Notice tone={some || silent.length > 0 ? "warn" : "good"} icon={<Scissors size={18} aria-hidden />}>
        <strong>{defend.draft.liveCut(count(connections, "live connection"))}.</strong> {defend.draft.liveSaid(count(hosts, "host"))}
        {(some || silent.length > 0) && (
          <ul className={styles.hosts}>
            {cuts.slice(0, NAMED).map(({ host, edge, connections }, n) => (
              // biome-ignore lint/suspicious/noArrayIndexKey: an answer is a whole new list, and an edge may come from many hosts
              <li key={n}>
                <Name of={host} />: <PeerName of={edge?.client} address="" /> → <PeerName of={edge?.server} address="" />{" "}
                {port(safe(edge?.protocol ?? ""), edge?.port ?? 0)}: {count(connections, "connection")}
              </li>
            ))}
            {cuts.length > NAMED && <li>{defend.draft.liveMore(number(cuts.length - NAMED))}</li>}
            {silent.slice(0, NAMED).map(({ host, why }) => (
              <li key={host}>{defend.draft.liveSilent(safe(host), safe(why))}</li>
            ))}
            {silent.length > NAMED && <li>{defend.draft.liveSilentMore(number(silent.length - NAMED))}</li>}
          </ul>
        )}
      </Notice>
    </div>
  );
}

const keyOf = ({ key }: Row) => key;

const COLUMNS: Column<Row>[] = [
  {
    id: "client",
    head: defend.draft.columns.client,
    width: "minmax(90px, 1.3fr)",
    cell: ({ shift }) => <PeerName of={shift.edge?.client} address={shift.clientAddress} />,
  },
  {
    id: "server",
    head: defend.draft.columns.server,
    width: "minmax(90px, 1.3fr)",
    cell: ({ shift }) => <PeerName of={shift.edge?.server} address={shift.serverAddress} />,
  },
  {
    id: "port",
    head: defend.draft.columns.port,
    width: "88px",
    cell: ({ shift }) => <span className="mono">{port(safe(shift.edge?.protocol ?? ""), shift.edge?.port ?? 0)}</span>,
  },
  { id: "connections", head: defend.draft.columns.connections, width: "88px", end: true, cell: ({ shift }) => number(shift.connections) },
  {
    id: "before",
    head: defend.draft.columns.before,
    width: "86px",
    cell: ({ shift }) => <EffectChip effect={shift.before?.effect ?? ""} />,
  },
  { id: "after", head: defend.draft.columns.after, width: "86px", cell: ({ shift }) => <EffectChip effect={shift.after?.effect ?? ""} /> },
  { id: "why", head: defend.draft.columns.why, width: "minmax(100px, 1.4fr)", cell: ({ shift }) => <Why of={shift.after} /> },
  {
    id: "where",
    head: defend.draft.columns.where,
    width: "minmax(80px, 1fr)",
    drop: 4,
    cell: ({ shift }) => {
      const { after, partly } = shift;
      const observing = after?.effect === "prevent" && after.mode === "observe";
      const notes = [observing && defend.draft.observing, partly && defend.draft.partly].filter(Boolean).join(", ");
      return <Name of={[after?.host || after?.side || "", notes && `(${notes})`].filter(Boolean).join(" ")} />;
    },
  },
  {
    id: "lastSeen",
    head: defend.draft.columns.lastSeen,
    width: "104px",
    drop: 2,
    cell: ({ shift, cut }) =>
      cut ? (
        <span className={styles.cut}>
          <Scissors size={13} aria-hidden />
          {defend.draft.live}
        </span>
      ) : (
        <Ago at={shift.lastSeen} />
      ),
  },
];

function PeerName(props: { of: Peer | undefined; address: string }) {
  const peer = props.of;
  if (peer?.service) {
    return (
      <span className="name" title={safe(`${peer.service} ${props.address}`)}>
        {safe(shortName(peer.service))}
      </span>
    );
  }
  return <Name of={peer?.object || peer?.address || ""} />;
}

function Why(props: { of: Fate | undefined }) {
  const { rule, model } = props.of ?? { rule: "", model: "" };
  if (rule) return <Name of={defend.draft.rule(rule)} />;
  return model ? <Name of={defend.draft.model(shortName(model))} /> : <span>{defend.draft.neither}</span>;
}
