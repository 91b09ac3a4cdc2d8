import {
  ArrowDown,
  ArrowUp,
  ChevronsUp,
  Copy,
  Download,
  FileUp,
  ListOrdered,
  Pencil,
  Plus,
  Power,
  ShieldHalf,
  Trash2,
  TriangleAlert,
  Undo2,
} from "lucide-react";
import { type KeyboardEvent, useCallback, useEffect, useMemo, useState } from "react";
import { navigate } from "wouter/use-browser-location";
import { EffectChip, LabelChips } from "~/parts/chips";
import { Dialog, DialogActions } from "~/parts/dialog";
import { matcher, readFilter } from "~/parts/filter";
import { FilterBar } from "~/parts/filter-bar";
import { Field, Switch } from "~/parts/form";
import { type May, useMay } from "~/parts/may";
import { Menu, type MenuItem } from "~/parts/menu";
import { Name } from "~/parts/name";
import { NothingFound } from "~/parts/nothing-found";
import { save } from "~/parts/save";
import { Empty, Pending } from "~/parts/states";
import { type Column, DataTable, type Sort, sorted } from "~/parts/table";
import { failed } from "~/parts/toasts";
import { Ago, useNow } from "~/parts/when";
import { textParam, useAddress } from "~/shell/address";
import { DEFEND_LINK, links } from "~/shell/links";
import { defend } from "~/text/defend";
import { compact, number } from "~/text/format";
import { parts } from "~/text/parts";
import { safe } from "~/text/safe";
import { useInForce, useLint } from "./data";
import { diff, undo } from "./draft/diff";
import { add, type Draft, move, NEW_RULE, remove, set, type Wanted } from "./draft/draft";
import { change, useDraft } from "./draft/store";
import { Frame } from "./frame";
import { ImportDialog } from "./import";
import { RULE_FIELDS, type RuleRow, rows } from "./rows";
import { RuleForm } from "./rule-form";
import { RulePane } from "./rule-pane";
import styles from "./rules.module.css";

const SHAPE = { ...DEFEND_LINK, q: textParam(), sort: textParam() };
const KEYS = RULE_FIELDS.map(({ key }) => key);

/** A rule that is being written. */
interface Editing {
  key: string | undefined;
  want: Wanted;
  at?: number;
}

/** Rules in order. */
export function RulesPage() {
  const { inForce, error, refetch } = useInForce();
  const draft = useDraft();
  const may = useMay();
  const now = useNow();
  const findings = useLint(inForce?.policy.revision);
  const [at, setAt] = useAddress(SHAPE);
  const [editing, setEditing] = useState<Editing>();
  const [moving, setMoving] = useState<RuleRow>();
  const [importing, setImporting] = useState(false);

  const all = useMemo(() => (inForce ? rows(inForce, draft, findings, now) : []), [inForce, draft, findings, now]);
  const sort = useMemo<Sort>(() => ({ by: at.sort.replace(/^-/, ""), down: at.sort.startsWith("-") }), [at.sort]);

  const edit = useCallback((how: (draft: Draft) => Draft) => inForce && change(inForce.policy, how), [inForce]);
  const items = useCallback((row: RuleRow) => menu(row, all, edit, setEditing, setMoving), [all, edit]);
  const columns = useMemo(() => ruleColumns(may, edit, items), [may, edit, items]);
  const found = useMemo(() => {
    const terms = readFilter(at.q, KEYS);
    const matches = matcher(terms, RULE_FIELDS, ({ want }) => `${want.name}\n${want.notes}`);
    return sorted(terms.length === 0 ? all : all.filter(matches), columns, sort);
  }, [all, at.q, columns, sort]);

  // An address of another page may begin a rule.
  const begins = at.new;
  useEffect(() => {
    if (!begins || !may.change) return;
    const ports = at.ports.length > 0 ? [...at.ports] : ["any"];
    const name = at.from || at.to ? safe(defend.form.namedBy(short(at.from), short(at.to), ports.join(" ")), 120) : "";
    setEditing({ key: undefined, want: { ...NEW_RULE, name, from: at.from, to: at.to, ports, effect: at.effect } });
    setAt({ new: false, from: "", to: "", ports: [], effect: "alert" }, { replace: true });
  }, [begins, may.change, at, setAt]);

  const selected =
    all.find(({ want, mark }) => want.name === at.rule && mark !== "deleted") ?? all.find(({ want }) => want.name === at.rule);
  const open = useCallback((row: RuleRow) => setAt({ rule: row.want.name }), [setAt]);
  const close = useCallback(() => setAt({ rule: "" }), [setAt]);
  const onKey = (event: KeyboardEvent, row: RuleRow) => {
    if (!may.change) return false;
    if (event.key === "e") setEditing({ key: row.key, want: row.want });
    else if (event.key === "Delete" && row.mark !== "deleted") edit((draft) => remove(draft, row.key));
    else return false;
    return true;
  };
  const exported = async () => {
    try {
      const { writePolicy } = await import("./policy-file");
      const shown = draft ?? inForce?.policy;
      if (shown)
        save(
          draft ? "policy-draft.yaml" : `policy-${shown === inForce?.policy ? inForce.policy.revision : ""}.yaml`,
          "application/yaml",
          writePolicy(shown.rules, shown.objects),
        );
    } catch (error) {
      failed(error);
    }
  };
  const begin = () => setEditing({ key: undefined, want: NEW_RULE });
  // Dragging makes sense only where the table shows the order itself.
  const movable = may.change && at.q === "" && sort.by === "" && !all.some(({ mark }) => mark === "deleted");

  return (
    <Frame
      part="rules"
      note={inForce && `${defend.revision(inForce.policy.revision)} · ${defend.order}`}
      actions={
        <>
          <Menu
            label={defend.more}
            items={[
              may.change && { name: defend.import, icon: FileUp, act: () => setImporting(true) },
              { name: draft ? defend.exportDraft : defend.export, icon: Download, act: exported },
            ]}
          />
          {may.change && (
            <button type="button" className="btn primary" onClick={begin}>
              <Plus size={15} aria-hidden />
              {defend.newRule}
            </button>
          )}
        </>
      }
      bar={
        <FilterBar
          value={at.q}
          onChange={(q) => setAt({ q }, { replace: true })}
          fields={RULE_FIELDS}
          rows={all}
          placeholder={defend.find}
        />
      }
      pane={
        selected && (
          <RulePane
            row={selected}
            items={may.change ? items(selected) : []}
            onEdit={may.change && selected.mark !== "deleted" ? () => setEditing({ key: selected.key, want: selected.want }) : undefined}
            onClose={close}
          />
        )
      }
    >
      {!inForce ? (
        <Pending error={error} onRetry={refetch} />
      ) : (
        <DataTable
          label={defend.table}
          rows={found}
          columns={columns}
          keyOf={keyOf}
          selected={selected?.key}
          onOpen={open}
          sort={sort}
          onSort={({ by, down }) => setAt({ sort: down ? `-${by}` : by }, { replace: true })}
          onMove={movable ? (key, to) => edit((draft) => move(draft, key, to)) : undefined}
          onKey={onKey}
          rowClass={rowClass}
          empty={
            at.q === "" ? (
              <Empty
                title={defend.empty}
                icon={<ShieldHalf size={32} strokeWidth={1.25} aria-hidden />}
                action={
                  may.change && (
                    <button type="button" className="btn primary" onClick={begin}>
                      {defend.newRule}
                    </button>
                  )
                }
              >
                {defend.emptyHelp}
              </Empty>
            ) : (
              <NothingFound filter={at.q} onClear={() => setAt({ q: "" })} />
            )
          }
        />
      )}
      {editing && inForce && (
        <RuleForm
          key={editing.key ?? "new"}
          ruleKey={editing.key}
          start={editing.want}
          draft={draft}
          base={inForce.policy}
          onClose={() => setEditing(undefined)}
          onSave={(want) => {
            edit((draft) => (editing.key === undefined ? add(draft, want, editing.at) : set(draft, editing.key, want)));
            setEditing(undefined);
            if (editing.key !== undefined && at.rule) setAt({ rule: want.name }, { replace: true });
          }}
        />
      )}
      {moving && (
        <MoveDialog
          row={moving}
          most={(draft ?? inForce?.policy)?.rules.length ?? 1}
          onClose={() => setMoving(undefined)}
          onMove={(to) => {
            edit((draft) => move(draft, moving.key, to - 1));
            setMoving(undefined);
          }}
        />
      )}
      {importing && inForce && (
        <ImportDialog base={inForce.policy} onClose={() => setImporting(false)} onDone={() => navigate("/defend/draft")} />
      )}
    </Frame>
  );
}

const keyOf = (row: RuleRow) => row.key;

function rowClass({ mark, want }: RuleRow): string | undefined {
  return [styles[mark], !want.enabled && styles.off].filter(Boolean).join(" ") || undefined;
}

function short(end: string): string {
  const colon = end.indexOf(":");
  return /^(unit|exe|container|svc):/.test(end) ? end.slice(colon + 1).replace(/^.*\//, "") : end;
}

type Edit = (how: (draft: Draft) => Draft) => void;

function menu(
  row: RuleRow,
  all: readonly RuleRow[],
  edit: Edit,
  setEditing: (editing: Editing) => void,
  setMoving: (row: RuleRow) => void,
): (MenuItem | false)[] {
  const { key, want, mark, position } = row;
  const events: MenuItem = { name: defend.actions.events, icon: TriangleAlert, act: () => navigate(links.events({ rule: want.name })) };
  const takeBack = (draft: Draft) => {
    const own = diff(draft).find((change) => change.kind === "rule" && change.key === key);
    return own ? undo(draft, own) : draft;
  };
  if (mark === "deleted") return [{ name: defend.actions.restore, icon: Undo2, act: () => edit(takeBack) }];
  const last = Math.max(...all.map((other) => other.position));
  return [
    { name: defend.actions.edit, icon: Pencil, act: () => setEditing({ key, want }) },
    {
      name: defend.actions.duplicate,
      icon: Copy,
      act: () => setEditing({ key: undefined, want: { ...want, name: `${want.name} 2` }, at: position }),
    },
    {
      name: want.enabled ? defend.actions.disable : defend.actions.enable,
      icon: Power,
      act: () => edit((draft) => set(draft, key, { enabled: !want.enabled })),
    },
    events,
    "line",
    { name: defend.actions.up, icon: ArrowUp, disabled: position <= 1, act: () => edit((draft) => move(draft, key, position - 2)) },
    { name: defend.actions.down, icon: ArrowDown, disabled: position >= last, act: () => edit((draft) => move(draft, key, position)) },
    { name: defend.actions.top, icon: ChevronsUp, disabled: position <= 1, act: () => edit((draft) => move(draft, key, 0)) },
    { name: defend.actions.moveTo, icon: ListOrdered, act: () => setMoving(row) },
    "line",
    mark !== "same" && { name: defend.actions.undo, icon: Undo2, act: () => edit(takeBack) },
    { name: defend.actions.delete, icon: Trash2, danger: true, act: () => edit((draft) => remove(draft, key)) },
  ];
}

const text = (of: (row: RuleRow) => string) => (a: RuleRow, b: RuleRow) => of(a).localeCompare(of(b));

function ruleColumns(may: May, edit: Edit, items: (row: RuleRow) => (MenuItem | false)[]): Column<RuleRow>[] {
  return [
    {
      id: "position",
      head: defend.columns.position,
      width: "34px",
      end: true,
      cell: ({ position }) => <span className={styles.faint}>{position || "–"}</span>,
    },
    {
      id: "enabled",
      head: defend.columns.enabled,
      quiet: true,
      width: "30px",
      cell: ({ key, want, mark }) => (
        <Switch
          quiet
          label={`${defend.columns.enabled}: ${safe(want.name, 80)}`}
          checked={want.enabled}
          disabled={!may.change || mark === "deleted"}
          onChange={(enabled) => edit((draft) => set(draft, key, { enabled }))}
        />
      ),
    },
    {
      id: "name",
      head: defend.columns.name,
      width: "minmax(150px, 2fr)",
      sort: text(({ want }) => want.name),
      cell: ({ want, mark }) => (
        <>
          <Name of={want.name} strong />
          {mark !== "same" && <span className={styles.mark}>{defend.marks[mark]}</span>}
        </>
      ),
    },
    {
      id: "effect",
      head: defend.columns.effect,
      width: "88px",
      sort: text(({ want }) => want.effect),
      cell: ({ want }) => <EffectChip effect={want.effect} />,
    },
    {
      id: "from",
      head: defend.columns.from,
      width: "minmax(100px, 1.6fr)",
      sort: text(({ want }) => want.from),
      cell: ({ want }) => <End end={want.from} labels={want.fromLabels} />,
    },
    {
      id: "to",
      head: defend.columns.to,
      width: "minmax(100px, 1.6fr)",
      sort: text(({ want }) => want.to),
      cell: ({ want }) => <End end={want.to} labels={want.toLabels} />,
    },
    {
      id: "ports",
      head: defend.columns.ports,
      width: "minmax(80px, 1fr)",
      drop: 2,
      cell: ({ want }) => <Name of={want.ports.join(" ")} mono />,
    },
    {
      id: "hits",
      head: defend.columns.hits,
      width: "56px",
      end: true,
      drop: 4,
      sort: (a, b) => Number((a.rule?.hits ?? 0n) - (b.rule?.hits ?? 0n)),
      cell: ({ rule }) =>
        rule && rule.hits > 0n ? (
          <span title={number(rule.hits)}>{compact(rule.hits)}</span>
        ) : (
          <span className={styles.faint}>{rule ? 0 : ""}</span>
        ),
    },
    {
      id: "lastUsed",
      head: defend.columns.lastUsed,
      width: "84px",
      drop: 5,
      sort: text(({ rule }) => rule?.lastUsed ?? ""),
      cell: ({ rule }) => (rule ? rule.lastUsed ? <Ago at={rule.lastUsed} /> : <span className={styles.faint}>{defend.never}</span> : null),
    },
    {
      id: "expires",
      head: defend.columns.expires,
      width: "92px",
      drop: 6,
      sort: text(({ want }) => want.expires || "9"),
      cell: ({ want, expired }) => (
        <span className={expired ? styles.expired : undefined}>{expired ? defend.expired : safe(want.expires.slice(0, 10))}</span>
      ),
    },
    {
      id: "owner",
      head: defend.columns.owner,
      width: "minmax(60px, 0.7fr)",
      drop: 7,
      sort: text(({ want }) => want.owner),
      cell: ({ want }) => <Name of={want.owner} />,
    },
    {
      id: "findings",
      head: defend.columns.findings,
      quiet: true,
      width: "96px",
      drop: 3,
      cell: ({ findings }) => {
        const [first] = findings;
        if (!first) return null;
        const more = findings.length > 1 ? ` +${findings.length - 1}` : "";
        return (
          <span className={styles.finding} title={findings.map(({ why, fix }) => safe(`${why} ${fix}`)).join("\n")}>
            <TriangleAlert size={13} aria-hidden />
            {defend.findings[first.fault] ?? safe(first.fault)}
            {more}
          </span>
        );
      },
    },
    {
      id: "more",
      head: defend.columns.more,
      quiet: true,
      width: "30px",
      cell: (row) => (may.change ? <Menu label={parts.actionsFor(safe(row.want.name, 80))} items={items(row)} /> : null),
    },
  ];
}

function End(props: { end: string; labels: Record<string, string> }) {
  if (props.end === "any") return <span className={styles.faint}>{parts.any}</span>;
  return (
    <>
      <Name of={props.end} />
      <LabelChips labels={props.labels} />
    </>
  );
}

function MoveDialog(props: { row: RuleRow; most: number; onClose(): void; onMove(to: number): void }) {
  const [to, setTo] = useState(String(props.row.position));
  const place = Number(to);
  const right = Number.isInteger(place) && place >= 1 && place <= props.most;
  return (
    <Dialog open onClose={props.onClose} title={defend.moveTo.title(safe(props.row.want.name, 80))}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          if (right) props.onMove(place);
        }}
      >
        <Field name={defend.moveTo.field} help={`1 – ${props.most}`}>
          {(wiring) => (
            <input
              className="input"
              type="number"
              min={1}
              max={props.most}
              value={to}
              onChange={(event) => setTo(event.target.value)}
              {...wiring}
            />
          )}
        </Field>
        <DialogActions>
          <button type="submit" className="btn primary" disabled={!right}>
            {defend.moveTo.move}
          </button>
        </DialogActions>
      </form>
    </Dialog>
  );
}
