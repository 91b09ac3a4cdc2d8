import { useQuery } from "@tanstack/react-query";
import { BrainCircuit } from "lucide-react";
import { useCallback, useMemo } from "react";
import { models as api } from "~/api/clients";
import { keys } from "~/api/keys";
import { every } from "~/api/pages";
import type { Model } from "~/gen/cnnf/v1/admin_pb";
import { EffectChip, PhaseChip } from "~/parts/chips";
import { type Field, matcher, readFilter } from "~/parts/filter";
import { FilterBar } from "~/parts/filter-bar";
import { useMay } from "~/parts/may";
import { Name } from "~/parts/name";
import { NothingFound } from "~/parts/nothing-found";
import { Page } from "~/parts/page";
import { Empty, Pending } from "~/parts/states";
import { type Column, DataTable, type Sort, sorted } from "~/parts/table";
import { Ago } from "~/parts/when";
import { textParam, useAddress } from "~/shell/address";
import { MODELS_LINK } from "~/shell/links";
import { compact, number } from "~/text/format";
import { models } from "~/text/models";
import { parts } from "~/text/parts";
import { safe, shortName } from "~/text/safe";
import { knownPercent, perDay } from "./edges";
import { ModelPane } from "./model-pane";
import styles from "./models.module.css";

const SHAPE = { ...MODELS_LINK, q: textParam(), sort: textParam() };
const PHASES = ["learning", "dry_run", "active", "archived"] as const;

const FIELDS: Field<Model>[] = [
  { key: "phase", label: models.columns.phase, of: ({ phase }) => phase, words: PHASES },
  { key: "effect", label: models.columns.effect, of: ({ anomalyEffect }) => anomalyEffect, words: ["alert", "prevent"] },
  { key: "is", label: parts.state, of: ({ manual }) => (manual ? "manual" : ""), words: ["manual"] },
];
const KEYS = FIELDS.map(({ key }) => key);

/** What was learned of services, and how sure it is. */
export default function Models() {
  const may = useMay();
  const [at, setAt] = useAddress(SHAPE);
  const { data, error, refetch } = useQuery({
    queryKey: [...keys.models(), "all"],
    queryFn: ({ signal }) =>
      every(
        (page) => api.listModels({ page }, { signal }),
        (answer) => answer.models,
      ),
    refetchInterval: 5_000,
  });
  const all = data ?? NONE;
  const sort = useMemo<Sort>(() => ({ by: at.sort.replace(/^-/, ""), down: at.sort.startsWith("-") }), [at.sort]);
  const found = useMemo(() => {
    const matches = matcher(readFilter(at.q, KEYS), FIELDS, ({ service }) => service);
    return sorted(all.filter(matches), COLUMNS, sort);
  }, [all, at.q, sort]);
  const selected = all.find(({ service }) => service === at.service) ?? all.find(({ service }) => shortName(service) === at.service);
  const close = useCallback(() => setAt({ service: "" }), [setAt]);
  const phases = PHASES.map((phase) => [all.filter((model) => model.phase === phase).length, phase] as const);
  return (
    <Page
      title={models.title}
      note={phases
        .filter(([n]) => n > 0)
        .map(([n, phase]) => `${number(n)} ${parts.phases[phase].toLowerCase()}`)
        .join(", ")}
      bar={
        <FilterBar value={at.q} onChange={(q) => setAt({ q }, { replace: true })} fields={FIELDS} rows={all} placeholder={models.find} />
      }
      pane={selected && <ModelPane key={selected.service} model={selected} may={may} onClose={close} />}
    >
      {!data ? (
        <Pending error={error} onRetry={refetch} />
      ) : (
        <DataTable
          label={models.table}
          rows={found}
          columns={COLUMNS}
          keyOf={keyOf}
          selected={selected?.service}
          onOpen={({ service }) => setAt({ service })}
          sort={sort}
          onSort={({ by, down }) => setAt({ sort: down ? `-${by}` : by }, { replace: true })}
          empty={
            at.q === "" ? (
              <Empty title={models.empty} icon={<BrainCircuit size={32} strokeWidth={1.25} aria-hidden />}>
                {models.emptyHelp}
              </Empty>
            ) : (
              <NothingFound filter={at.q} onClear={() => setAt({ q: "" })} />
            )
          }
        />
      )}
    </Page>
  );
}

const NONE: Model[] = [];
const keyOf = ({ service }: Model) => service;

/** How much is known, as a bar and a number. */
export function Known({ model }: { model: Model }) {
  if (model.connections === 0n) return <span className={styles.faint}>–</span>;
  return (
    <span className={styles.known} title={models.knownHelp}>
      <span className={styles.track} aria-hidden>
        <span className={styles.fill} style={{ width: `${(1 - Math.min(1, model.unseenProbability)) * 100}%` }} />
      </span>
      <span className="num">{knownPercent(model.unseenProbability)}</span>
    </span>
  );
}

const COLUMNS: Column<Model>[] = [
  {
    id: "service",
    head: models.columns.service,
    width: "minmax(140px, 2fr)",
    sort: (a, b) => a.service.localeCompare(b.service),
    cell: ({ service }) => (
      <span className="name" title={safe(service)}>
        <span className={styles.strong}>{safe(shortName(service))}</span> <span className={styles.faint}>{safe(service)}</span>
      </span>
    ),
  },
  {
    id: "phase",
    head: models.columns.phase,
    width: "minmax(104px, 150px)",
    sort: (a, b) => PHASES.indexOf(a.phase as "active") - PHASES.indexOf(b.phase as "active"),
    cell: ({ phase, manual }) => (
      <>
        <PhaseChip phase={phase} />
        {manual && <span className={styles.faint}>{models.manual}</span>}
      </>
    ),
  },
  {
    id: "known",
    head: models.columns.known,
    width: "124px",
    sort: (a, b) => b.unseenProbability - a.unseenProbability,
    cell: (model) => <Known model={model} />,
  },
  {
    id: "expected",
    head: models.columns.expected,
    width: "108px",
    end: true,
    drop: 3,
    sort: (a, b) => (a.expectedEvents ?? -1) - (b.expectedEvents ?? -1),
    cell: ({ expectedEvents }) =>
      expectedEvents === undefined ? <span className={styles.faint}>–</span> : models.perDay(perDay(expectedEvents)),
  },
  {
    id: "edges",
    head: models.columns.edges,
    width: "60px",
    end: true,
    drop: 1,
    sort: (a, b) => a.edgeCount - b.edgeCount,
    cell: ({ edgeCount }) => number(edgeCount),
  },
  {
    id: "connections",
    head: models.columns.connections,
    width: "92px",
    end: true,
    drop: 1,
    sort: (a, b) => Number(a.connections - b.connections),
    cell: ({ connections }) => <span title={number(connections)}>{compact(connections)}</span>,
  },
  { id: "observed", head: models.columns.observed, width: "100px", drop: 4, cell: ({ observed }) => <Name of={observed} /> },
  {
    id: "effect",
    head: models.columns.effect,
    width: "88px",
    sort: (a, b) => a.anomalyEffect.localeCompare(b.anomalyEffect),
    cell: ({ anomalyEffect }) => <EffectChip effect={anomalyEffect} />,
  },
  {
    id: "since",
    head: models.columns.since,
    width: "100px",
    drop: 3,
    sort: (a, b) => a.since.localeCompare(b.since),
    cell: ({ since }) => <Ago at={since} />,
  },
];
