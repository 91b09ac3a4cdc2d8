import { type ReactNode, useMemo } from "react";
import { Name } from "~/parts/name";
import { type Column, DataTable, type Sort } from "~/parts/table";
import { Ago } from "~/parts/when";
import { text } from "~/text";
import { bytes, number } from "~/text/format";
import { safe } from "~/text/safe";
import type { Shown } from "./filter";
import { CHANGES, type Link, STATUSES } from "./graph";
import { Sample } from "./legend";
import { CHANGE_LOOKS, LOOKS } from "./looks";
import styles from "./table-twin.module.css";

interface Row {
  link: Link;
  from: string;
  to: string;
}

const words = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0);
const rank = (link: Link) => (link.hot ? STATUSES.indexOf(link.status) : STATUSES.length);

function columns(compared: boolean): Column<Row>[] {
  const t = text.radar.table;
  return [
    {
      id: "status",
      head: compared ? t.change : t.status,
      width: "minmax(150px, 1fr)",
      cell: ({ link }) => <State link={link} compared={compared} />,
      sort: (a, b) =>
        compared
          ? (a.link.change ? CHANGES.indexOf(a.link.change) : 9) - (b.link.change ? CHANGES.indexOf(b.link.change) : 9)
          : rank(a.link) - rank(b.link),
    },
    {
      id: "from",
      head: t.from,
      width: "minmax(100px, 2fr)",
      cell: ({ from }) => <Name of={from} />,
      sort: (a, b) => words(a.from, b.from),
    },
    { id: "to", head: t.to, width: "minmax(100px, 2fr)", cell: ({ to }) => <Name of={to} />, sort: (a, b) => words(a.to, b.to) },
    {
      id: "ports",
      head: t.ports,
      width: "minmax(90px, 1.2fr)",
      cell: ({ link }) => <Name mono of={link.ports.map((port) => port.text).join(" ")} />,
      sort: (a, b) => (a.link.ports[0]?.port ?? 0) - (b.link.ports[0]?.port ?? 0),
    },
    {
      id: "connections",
      head: t.connections,
      width: "110px",
      end: true,
      cell: ({ link }) => number(link.connections),
      sort: (a, b) => b.link.connections - a.link.connections,
    },
    {
      id: "bytes",
      head: t.bytes,
      width: "90px",
      end: true,
      drop: 3,
      cell: ({ link }) => (link.bytes > 0 ? bytes(link.bytes) : "–"),
      sort: (a, b) => b.link.bytes - a.link.bytes,
    },
    {
      id: "seen",
      head: t.lastSeen,
      width: "110px",
      end: true,
      drop: 2,
      cell: ({ link }) => <Ago at={link.lastSeen} />,
      sort: (a, b) => words(b.link.lastSeen, a.link.lastSeen),
    },
  ];
}

function State({ link, compared }: { link: Link; compared: boolean }) {
  const key = link.hot ? link.status : "idle";
  return (
    <span className={styles.state}>
      <Sample look={compared ? CHANGE_LOOKS[link.change ?? "same"] : LOOKS[key]} />
      {compared ? text.radar.changes[link.change ?? "same"] : text.radar.statuses[key]}
    </span>
  );
}

/** The same connections as the graph shows, as a table. */
export function TableTwin(props: {
  /** What filters both forms, and how much is left. */
  head: ReactNode;
  shown: Shown;
  compared: boolean;
  selected: string;
  sort: string;
  onSort: (sort: string) => void;
  onOpen: (link: Link) => void;
  onNode: (id: string) => void;
}) {
  const { shown, compared } = props;
  const own = useMemo(() => columns(compared), [compared]);
  const sort: Sort = { by: props.sort.replace(/^-/, ""), down: props.sort.startsWith("-") };
  const rows = useMemo(() => {
    const name = (id: string) => safe(shown.nodes.get(id)?.name ?? id, 80);
    const all = [...shown.links.values()].map((link) => ({ link, from: name(link.from), to: name(link.to) }));
    const by = own.find((column) => column.id === sort.by)?.sort ?? own[0]?.sort;
    if (by) all.sort((a, b) => (sort.down ? -1 : 1) * (by(a, b) || words(a.link.id, b.link.id)));
    return all;
  }, [shown, own, sort.by, sort.down]);
  const lonely = useMemo(() => {
    const ends = new Set([...shown.links.values()].flatMap(({ from, to }) => [from, to]));
    return [...shown.nodes.values()].filter((node) => node.kind === "service" && !ends.has(node.id));
  }, [shown]);
  return (
    <div className={styles.twin}>
      <div className={styles.head}>{props.head}</div>
      <div className={styles.table}>
        <DataTable
          label={text.radar.table.label}
          rows={rows}
          columns={own}
          keyOf={keyOf}
          selected={props.selected || undefined}
          onOpen={({ link }) => props.onOpen(link)}
          sort={sort}
          onSort={({ by, down }) => props.onSort(`${down ? "-" : ""}${by}`)}
        />
      </div>
      {lonely.length > 0 && (
        <div className={styles.lonely}>
          <h2>{text.radar.table.lonely(lonely.length)}</h2>
          <ul>
            {lonely.slice(0, 200).map((node) => (
              <li key={node.id}>
                <button type="button" className="btn" onClick={() => props.onNode(node.id)}>
                  <span className="name">{safe(node.name, 40)}</span>
                </button>
              </li>
            ))}
          </ul>
        </div>
      )}
    </div>
  );
}

const keyOf = ({ link }: Row) => link.id;
