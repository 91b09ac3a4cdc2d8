import { Network, Pencil, Plus, Trash2 } from "lucide-react";
import { useCallback, useMemo, useState } from "react";
import { Link } from "wouter";
import { Dialog, DialogActions } from "~/parts/dialog";
import { type Field as FilterField, matcher, readFilter } from "~/parts/filter";
import { FilterBar } from "~/parts/filter-bar";
import { Field, Fields } from "~/parts/form";
import { useMay } from "~/parts/may";
import { Menu } from "~/parts/menu";
import { LongText, Name } from "~/parts/name";
import { NothingFound } from "~/parts/nothing-found";
import { Pane, Section } from "~/parts/pane";
import { Empty, Pending } from "~/parts/states";
import { type Column, DataTable, type Sort, sorted } from "~/parts/table";
import { failed } from "~/parts/toasts";
import { textParam, useAddress } from "~/shell/address";
import { links } from "~/shell/links";
import { defend } from "~/text/defend";
import { parts } from "~/text/parts";
import { safe } from "~/text/safe";
import { wrongObject } from "./check";
import { useInForce } from "./data";
import { diff } from "./draft/diff";
import { type DraftObject, removeObject, setObject, usedBy } from "./draft/draft";
import { change, useDraft } from "./draft/store";
import { Frame } from "./frame";
import { Holds } from "./holds";
import styles from "./rules.module.css";

const SHAPE = { q: textParam(), object: textParam(), sort: textParam() };

interface Row extends DraftObject {
  usedBy: string[];
  mark: "same" | "added" | "changed" | "deleted";
}

const FIELDS: FilterField<Row>[] = [
  { key: "address", label: defend.objects.addresses, of: ({ addresses }) => addresses },
  { key: "rule", label: defend.objects.usedBy, of: (row) => row.usedBy },
];
const KEYS = FIELDS.map(({ key }) => key);

/** Named networks; changes go into the draft. */
export function ObjectsPage() {
  const { inForce, error, refetch } = useInForce();
  const draft = useDraft();
  const may = useMay();
  const [at, setAt] = useAddress(SHAPE);
  const [editing, setEditing] = useState<{ old: string | undefined; start: DraftObject }>();
  const shown = draft ?? inForce?.policy;

  const all = useMemo<Row[]>(() => {
    if (!shown) return [];
    const marks = new Map(draft ? diff(draft).flatMap(({ kind, key, change }) => (kind === "object" ? [[key, change] as const] : [])) : []);
    const row = (object: DraftObject): Row => ({
      ...object,
      usedBy: usedBy(shown.rules, object.name),
      mark: (marks.get(object.name) as Row["mark"]) ?? "same",
    });
    const gone = draft ? draft.base.objects.filter(({ name }) => marks.get(name) === "deleted") : [];
    return [...shown.objects, ...gone].map(row).sort((a, b) => (a.name < b.name ? -1 : 1));
  }, [shown, draft]);

  const remove = useCallback(
    (row: Row) => {
      if (row.usedBy.length > 0) failed(defend.objects.inUse(row.usedBy.map((name) => safe(name, 60)).join(", ")));
      else if (inForce) change(inForce.policy, (draft) => removeObject(draft, row.name));
    },
    [inForce],
  );
  const items = useCallback(
    (row: Row) => [
      row.mark !== "deleted" && { name: defend.actions.edit, icon: Pencil, act: () => setEditing({ old: row.name, start: row }) },
      row.mark !== "deleted" && { name: defend.actions.delete, icon: Trash2, danger: true, act: () => remove(row) },
      row.mark === "deleted" && {
        name: defend.actions.restore,
        act: () => inForce && change(inForce.policy, (draft) => setObject(draft, { name: row.name, addresses: row.addresses })),
      },
    ],
    [remove, inForce],
  );
  const columns = useMemo<Column<Row>[]>(
    () => [
      {
        id: "name",
        head: defend.columns.name,
        width: "minmax(140px, 1fr)",
        sort: (a, b) => a.name.localeCompare(b.name),
        cell: ({ name, mark }) => (
          <>
            <Name of={name} strong />
            {mark !== "same" && <span className={styles.mark}>{defend.marks[mark]}</span>}
          </>
        ),
      },
      {
        id: "addresses",
        head: defend.objects.addresses,
        width: "minmax(160px, 2.4fr)",
        cell: ({ addresses }) => <Name of={addresses.join(", ")} mono />,
      },
      {
        id: "usedBy",
        head: defend.objects.usedBy,
        width: "minmax(120px, 1.6fr)",
        drop: 1,
        sort: (a, b) => a.usedBy.length - b.usedBy.length,
        cell: (row) =>
          row.usedBy.length > 0 ? <Name of={row.usedBy.join(", ")} /> : <span className={styles.faint}>{defend.objects.unused}</span>,
      },
      {
        id: "more",
        head: defend.columns.more,
        quiet: true,
        width: "30px",
        cell: (row) => (may.change ? <Menu label={parts.actionsFor(safe(row.name, 80))} items={items(row)} /> : null),
      },
    ],
    [items, may.change],
  );
  const sort = useMemo<Sort>(() => ({ by: at.sort.replace(/^-/, ""), down: at.sort.startsWith("-") }), [at.sort]);
  const found = useMemo(() => {
    const matches = matcher(readFilter(at.q, KEYS), FIELDS, ({ name }) => name);
    return sorted(all.filter(matches), columns, sort);
  }, [all, at.q, columns, sort]);
  const selected = all.find(({ name }) => name === at.object);
  const close = useCallback(() => setAt({ object: "" }), [setAt]);
  const begin = () => setEditing({ old: undefined, start: { name: "", addresses: [] } });
  const add = may.change && (
    <button type="button" className="btn primary" onClick={begin}>
      <Plus size={15} aria-hidden />
      {defend.objects.new}
    </button>
  );

  return (
    <Frame
      part="objects"
      actions={add}
      bar={
        <FilterBar
          value={at.q}
          onChange={(q) => setAt({ q }, { replace: true })}
          fields={FIELDS}
          rows={all}
          placeholder={defend.objects.find}
        />
      }
      pane={
        selected && (
          <Pane
            label={safe(selected.name, 80)}
            title={<LongText of={selected.name} mono={false} />}
            onClose={close}
            actions={
              may.change &&
              selected.mark !== "deleted" && (
                <button type="button" className="btn" onClick={() => setEditing({ old: selected.name, start: selected })}>
                  <Pencil size={14} aria-hidden />
                  {defend.actions.edit}
                </button>
              )
            }
          >
            <Section title={defend.objects.addresses}>
              <ul>
                {selected.addresses.slice(0, 500).map((address) => (
                  <li key={address}>
                    <code>{safe(address)}</code>
                  </li>
                ))}
              </ul>
            </Section>
            <Section title={defend.objects.preview}>
              <Holds addresses={selected.addresses} />
            </Section>
            <Section title={defend.objects.usedBy}>
              {selected.usedBy.length === 0 ? (
                <p>{defend.objects.unused}</p>
              ) : (
                <ul>
                  {selected.usedBy.map((rule) => (
                    <li key={rule}>
                      <Link href={links.rule(rule)}>{safe(rule)}</Link>
                    </li>
                  ))}
                </ul>
              )}
            </Section>
          </Pane>
        )
      }
    >
      {!inForce ? (
        <Pending error={error} onRetry={refetch} />
      ) : (
        <DataTable
          label={defend.objects.table}
          rows={found}
          columns={columns}
          keyOf={keyOf}
          selected={at.object || undefined}
          onOpen={(row) => setAt({ object: row.name })}
          sort={sort}
          onSort={({ by, down }) => setAt({ sort: down ? `-${by}` : by }, { replace: true })}
          rowClass={({ mark }) => styles[mark]}
          empty={
            at.q === "" ? (
              <Empty title={defend.objects.empty} icon={<Network size={32} strokeWidth={1.25} aria-hidden />} action={add}>
                {defend.objects.emptyHelp}
              </Empty>
            ) : (
              <NothingFound filter={at.q} onClear={() => setAt({ q: "" })} />
            )
          }
        />
      )}
      {editing && shown && inForce && (
        <ObjectForm
          old={editing.old}
          start={editing.start}
          others={shown.objects}
          onClose={() => setEditing(undefined)}
          onSave={(object) => {
            change(inForce.policy, (draft) => setObject(draft, object, editing.old ?? object.name));
            setEditing(undefined);
          }}
        />
      )}
    </Frame>
  );
}

const keyOf = ({ name }: Row) => name;

function ObjectForm(props: {
  old: string | undefined;
  start: DraftObject;
  others: readonly DraftObject[];
  onClose(): void;
  onSave(object: DraftObject): void;
}) {
  const [name, setName] = useState(props.start.name);
  const [text, setText] = useState(props.start.addresses.join("\n"));
  const [tried, setTried] = useState(false);
  const object = { name: name.trim(), addresses: [...new Set(text.split(/[\s,;]+/).filter((address) => address !== ""))] };
  const wrong = wrongObject(object, props.old, props.others);
  return (
    <Dialog open onClose={props.onClose} title={props.old === undefined ? defend.objects.new : defend.objects.edit} help={defend.form.help}>
      <form
        noValidate
        onSubmit={(event) => {
          event.preventDefault();
          setTried(true);
          if (wrong.name === undefined && wrong.addresses === undefined) props.onSave(object);
        }}
      >
        <Fields>
          <Field
            name={defend.fields.name}
            wrong={tried ? wrong.name : undefined}
            help={props.old !== undefined && props.old !== object.name ? defend.objects.renames : undefined}
          >
            {(wiring) => (
              <input
                className="input"
                autoComplete="off"
                placeholder="office"
                value={name}
                onChange={(event) => setName(event.target.value)}
                {...wiring}
              />
            )}
          </Field>
          <Field
            name={defend.objects.addresses}
            help={defend.objects.addressesHelp}
            wrong={tried || text.endsWith("\n") ? wrong.addresses : undefined}
          >
            {(wiring) => (
              <textarea
                className="input mono"
                rows={6}
                spellCheck={false}
                value={text}
                onChange={(event) => setText(event.target.value)}
                {...wiring}
              />
            )}
          </Field>
          {object.addresses.length > 0 && !wrong.addresses && <Holds addresses={object.addresses} />}
        </Fields>
        <DialogActions onCancel={props.onClose}>
          <button type="submit" className="btn primary">
            {defend.form.save}
          </button>
        </DialogActions>
      </form>
    </Dialog>
  );
}
