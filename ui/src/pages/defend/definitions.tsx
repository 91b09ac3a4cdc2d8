import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Pencil, Plus, Tags, Trash2 } from "lucide-react";
import { useCallback, useMemo, useState } from "react";
import { definitions } from "~/api/clients";
import { keys } from "~/api/keys";
import { atFields } from "~/api/violations";
import type { PreviewDefinitionResponse } from "~/gen/cnnf/v1/admin_pb";
import type { ServiceDefinition } from "~/gen/cnnf/v1/policy_pb";
import { PhaseChip } from "~/parts/chips";
import { Dialog, DialogActions } from "~/parts/dialog";
import type { Field as FilterField } from "~/parts/filter";
import { Field, Fields, Refused, Row } from "~/parts/form";
import { useMay } from "~/parts/may";
import { Menu } from "~/parts/menu";
import { Name } from "~/parts/name";
import { useNamed } from "~/parts/named";
import { LabelsField } from "~/parts/pick";
import { readPorts } from "~/parts/ports";
import { Empty } from "~/parts/states";
import type { Column } from "~/parts/table";
import { done, failed } from "~/parts/toasts";
import { Ago } from "~/parts/when";
import { textParam, useAddress } from "~/shell/address";
import { defend } from "~/text/defend";
import { count } from "~/text/format";
import { parts } from "~/text/parts";
import { safe } from "~/text/safe";
import { useRested } from "./data";
import styles from "./definitions.module.css";
import { Frame } from "./frame";

const SHAPE = { q: textParam() };
const words = defend.definitions;

/** What a form holds: lists as lines. */
interface Written {
  name: string;
  units: string;
  executables: string;
  commandLines: string;
  users: string;
  ports: string;
  labels: Record<string, string>;
}

function conditions(of: ServiceDefinition): [string, string][] {
  const { units, executables, commandLines, users, ports, labels } = of;
  const all: [string, readonly string[]][] = [
    [words.kinds.units, units],
    [words.kinds.executables, executables],
    [words.kinds.commandLines, commandLines],
    [words.kinds.users, users],
    [words.kinds.ports, ports],
    [words.kinds.labels, Object.entries(labels).map(([key, value]) => `${key}=${value}`)],
  ];
  return all.filter(([, values]) => values.length > 0).map(([kind, values]) => [kind, values.join(", ")]);
}

const FIELDS: FilterField<ServiceDefinition>[] = [
  { key: "unit", label: words.fields.units, of: ({ units }) => units },
  { key: "exe", label: words.fields.executables, of: ({ executables }) => executables },
  { key: "user", label: words.fields.users, of: ({ users }) => users },
  { key: "by", label: words.changedBy, of: ({ changedBy }) => changedBy },
];

/** What operators call services. Changes count at once, after a preview. */
export function DefinitionsPage() {
  const may = useMay();
  const client = useQueryClient();
  const [at, setAt] = useAddress(SHAPE);
  const [editing, setEditing] = useState<{ old: ServiceDefinition | undefined }>();
  const [deleting, setDeleting] = useState<string>();
  const { data, error, refetch } = useQuery({
    queryKey: keys.definitions(),
    queryFn: ({ signal }) => definitions.listDefinitions({}, { signal }),
    refetchInterval: 15_000,
  });
  const settle = useCallback(() => {
    for (const key of [keys.definitions(), keys.services(), keys.radar(), keys.models()]) void client.invalidateQueries({ queryKey: key });
  }, [client]);
  const move = useMutation({
    mutationFn: ({ name, to }: { name: string; to: number }) => {
      const definition = data?.definitions.find((one) => one.name === name);
      if (!definition) throw new Error(name);
      return definitions.setDefinition({ definition: { ...definition, position: to + 1 }, baseRevision: data?.revision ?? 0n });
    },
    onError: failed,
    onSettled: settle,
  });
  const columns = useMemo<Column<ServiceDefinition>[]>(
    () => [
      { id: "position", head: defend.columns.position, width: "34px", end: true, cell: ({ position }) => position },
      { id: "name", head: defend.columns.name, width: "minmax(120px, 1fr)", cell: ({ name }) => <Name of={`svc:${name}`} strong /> },
      {
        id: "conditions",
        head: words.conditions,
        width: "minmax(180px, 3fr)",
        cell: (definition) => (
          <span className="name">
            {conditions(definition).map(([kind, values]) => (
              <span key={kind} className={styles.condition}>
                <span className={styles.kind}>{kind}</span> <code>{safe(values, 120)}</code>
              </span>
            ))}
          </span>
        ),
      },
      { id: "by", head: words.changedBy, width: "minmax(80px, 0.8fr)", drop: 3, cell: ({ changedBy }) => <Name of={changedBy} /> },
      { id: "changed", head: words.changed, width: "100px", drop: 3, cell: ({ changed }) => <Ago at={changed} /> },
      {
        id: "more",
        head: defend.columns.more,
        quiet: true,
        width: "30px",
        cell: (definition) =>
          may.change ? (
            <Menu
              label={parts.actionsFor(safe(definition.name, 80))}
              items={[
                { name: defend.actions.edit, icon: Pencil, act: () => setEditing({ old: definition }) },
                { name: words.delete, icon: Trash2, danger: true, act: () => setDeleting(definition.name) },
              ]}
            />
          ) : null,
      },
    ],
    [may.change],
  );
  const add = may.change && (
    <button type="button" className="btn primary" onClick={() => setEditing({ old: undefined })}>
      <Plus size={15} aria-hidden />
      {words.new}
    </button>
  );
  const { bar, table } = useNamed({
    label: words.table,
    rows: data?.definitions,
    error,
    onRetry: refetch,
    columns,
    fields: FIELDS,
    placeholder: words.find,
    q: at.q,
    onFilter: (q, how) => setAt({ q }, how),
    onOpen: (old) => may.change && setEditing({ old }),
    onMove: may.change && !move.isPending ? (name, to) => move.mutate({ name, to }) : undefined,
    none: (
      <Empty title={words.empty} icon={<Tags size={32} strokeWidth={1.25} aria-hidden />} action={add}>
        {words.emptyHelp}
      </Empty>
    ),
  });
  return (
    <Frame part="definitions" note={words.order} actions={add} bar={bar}>
      {table}
      {editing && data && (
        <DefinitionForm old={editing.old} revision={data.revision} onClose={() => setEditing(undefined)} onDone={settle} />
      )}
      {deleting !== undefined && data && (
        <DeleteDialog name={deleting} revision={data.revision} onClose={() => setDeleting(undefined)} onDone={settle} />
      )}
    </Frame>
  );
}

/** What the controller calls the fields. */
const PATHS = {
  name: "definition.name",
  units: "definition.units",
  executables: "definition.executables",
  commandLines: "definition.command_lines",
  users: "definition.users",
  ports: "definition.ports",
  labels: "definition.labels",
};

const lines = (text: string) => [...new Set(text.split(/\n/).map((line) => line.trim()))].filter((line) => line !== "");

function DefinitionForm(props: { old: ServiceDefinition | undefined; revision: bigint; onClose(): void; onDone(): void }) {
  const { old } = props;
  const [written, setWritten] = useState<Written>(() => ({
    name: old?.name ?? "",
    units: old?.units.join("\n") ?? "",
    executables: old?.executables.join("\n") ?? "",
    commandLines: old?.commandLines.join("\n") ?? "",
    users: old?.users.join("\n") ?? "",
    ports: old?.ports.join(" ") ?? "",
    labels: { ...old?.labels },
  }));
  const put = (values: Partial<Written>) => setWritten((before) => ({ ...before, ...values }));
  const ports = written.ports.trim() === "" ? { ports: [] } : readPorts(written.ports);
  const definition = {
    name: written.name.trim(),
    units: lines(written.units),
    executables: lines(written.executables),
    commandLines: lines(written.commandLines),
    users: lines(written.users),
    ports: ports.ports ?? [],
    labels: written.labels,
  };
  const wrongName = /^[A-Za-z0-9\-_.@+]+$/.test(definition.name) ? undefined : words.wrongName;
  const none = [definition.units, definition.executables, definition.commandLines, definition.users, definition.ports].every(
    (list) => list.length === 0,
  );
  const right = !wrongName && ports.wrong === undefined && !none;
  const rested = useRested(JSON.stringify(definition));
  const preview = useQuery({
    queryKey: [...keys.definitions(), "preview", rested],
    queryFn: ({ signal }) => definitions.previewDefinition({ definition: JSON.parse(rested) }, { signal }),
    enabled: right,
    retry: false,
  });
  const save = useMutation({
    mutationFn: () => definitions.setDefinition({ definition: { ...definition, position: 0 }, baseRevision: props.revision }),
    onSuccess: ({ name }) => {
      done(words.saved(name));
      props.onClose();
    },
    onSettled: props.onDone,
  });
  const refused = atFields(save.error ?? preview.error, ...Object.values(PATHS));
  const at = (key: keyof typeof PATHS) => refused.at[PATHS[key]];
  const area = (key: "units" | "executables" | "commandLines" | "users", help: string, placeholder: string) => (
    <Field name={words.fields[key]} help={help} wrong={at(key)}>
      {(wiring) => (
        <textarea
          className="input mono"
          rows={2}
          spellCheck={false}
          placeholder={placeholder}
          value={written[key]}
          onChange={(event) => put({ [key]: event.target.value })}
          {...wiring}
        />
      )}
    </Field>
  );
  return (
    <Dialog wide open onClose={props.onClose} title={old ? words.edit : words.new} help={words.fields.list}>
      <form
        noValidate
        onInput={() => save.reset()}
        onSubmit={(event) => {
          event.preventDefault();
          if (right) save.mutate();
        }}
      >
        <Fields>
          <Field name={words.fields.name} help={words.fields.nameHelp} wrong={written.name !== "" ? (wrongName ?? at("name")) : undefined}>
            {(wiring) => (
              <input
                className="input"
                autoComplete="off"
                readOnly={old !== undefined}
                placeholder="shop-db"
                value={written.name}
                onChange={(event) => put({ name: event.target.value })}
                {...wiring}
              />
            )}
          </Field>
          <Row>
            {area("units", words.fields.unitsHelp, "postgresql@*")}
            {area("executables", words.fields.executablesHelp, "/opt/shop/*.py")}
          </Row>
          <Row>
            {area("commandLines", words.fields.commandLinesHelp, "--role=db")}
            {area("users", words.fields.usersHelp, "postgres")}
          </Row>
          <Row>
            <Field name={words.fields.ports} help={words.fields.portsHelp} wrong={ports.wrong ?? at("ports")}>
              {(wiring) => (
                <input
                  className="input mono"
                  spellCheck={false}
                  placeholder="tcp/5432"
                  value={written.ports}
                  onChange={(event) => put({ ports: event.target.value })}
                  {...wiring}
                />
              )}
            </Field>
            <div className={styles.labels}>
              <LabelsField name={words.fields.labels} value={written.labels} onChange={(labels) => put({ labels })} wrong={at("labels")} />
            </div>
          </Row>
          <Refused error={refused.rest} />
          {right ? preview.data && <Preview of={preview.data} /> : none && <p className={styles.faint}>{words.noCondition}</p>}
        </Fields>
        <DialogActions onCancel={props.onClose}>
          <button type="submit" className="btn primary" disabled={!right || save.isPending}>
            {words.save}
          </button>
        </DialogActions>
      </form>
    </Dialog>
  );
}

function DeleteDialog(props: { name: string; revision: bigint; onClose(): void; onDone(): void }) {
  const preview = useQuery({
    queryKey: [...keys.definitions(), "preview delete", props.name],
    queryFn: ({ signal }) => definitions.previewDefinition({ delete: props.name }, { signal }),
    retry: false,
  });
  const remove = useMutation({
    mutationFn: () => definitions.deleteDefinition({ name: props.name, baseRevision: props.revision }),
    onSuccess: () => {
      done(words.deleted(safe(props.name, 80)));
      props.onClose();
    },
    onError: failed,
    onSettled: props.onDone,
  });
  return (
    <Dialog open onClose={props.onClose} title={words.deleteTitle(safe(props.name, 80))}>
      {preview.data && <Preview of={preview.data} />}
      <Refused error={preview.error} />
      <DialogActions onCancel={props.onClose}>
        <button type="button" className="btn danger" disabled={remove.isPending} onClick={() => remove.mutate()}>
          {words.delete}
        </button>
      </DialogActions>
    </Dialog>
  );
}

/** What a change of definitions would rename, as far as the controller knows. */
function Preview({ of }: { of: PreviewDefinitionResponse }) {
  return (
    <section className={styles.preview} aria-live="polite" aria-label={words.preview}>
      <h3>{words.preview}</h3>
      {of.hosts.length > 0 && <p className={styles.faint}>{words.hosts(count(of.hosts.length, "host"))}</p>}
      {of.renamings.length === 0 && of.lost.length === 0 && <p>{words.previewNone}</p>}
      {of.renamings.length > 0 && (
        <>
          <p>{words.renaming(count(of.renamings.length, "service"))}</p>
          <ul className={styles.list}>
            {of.renamings.slice(0, 100).map((one) => (
              <li key={`${one.hostId} ${one.old} ${one.new}`}>
                <bdi>{safe(one.host, 60)}:</bdi> <code>{safe(one.old, 80)}</code> → <code>{safe(one.new, 80)}</code>
                {one.certainty === "maybe" && <span className="tag">{words.maybe}</span>}
              </li>
            ))}
          </ul>
        </>
      )}
      {of.lost.length > 0 && (
        <>
          <p className={styles.wrong}>{words.lost}</p>
          <ul className={styles.list}>
            {of.lost.slice(0, 100).map((one) => (
              <li key={one.service}>
                <code>{safe(one.service, 80)}</code>
                {one.certainty === "maybe" && <span className="tag">{words.maybe}</span>}
                {one.rules.length > 0 && <span>{words.lostRules(one.rules.map((rule) => safe(rule, 60)).join(", "))}</span>}
                {one.phase && (
                  <span>
                    <PhaseChip phase={one.phase} />
                  </span>
                )}
              </li>
            ))}
          </ul>
        </>
      )}
      {of.byProcess.length > 0 && <p>{words.byProcess(count(of.byProcess.length, "service on a host", "services on hosts"))}</p>}
      {of.unknown.map((line) => (
        <p key={line} className={styles.faint}>
          {safe(line, 600)}
        </p>
      ))}
    </section>
  );
}
