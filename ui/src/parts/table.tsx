import { useVirtualizer } from "@tanstack/react-virtual";
import { ArrowDown, ArrowUp, GripVertical } from "lucide-react";
import { type KeyboardEvent, type MouseEvent, memo, type ReactNode, useEffect, useId, useMemo, useRef, useState } from "react";
import { parts } from "~/text/parts";
import { type Column, fitting, GRIP, type Sort } from "./columns";
import styles from "./table.module.css";
import { useDrag } from "./table-drag";
import { useWidth } from "./width";

export { type Column, type Sort, sorted } from "./columns";

interface Props<Row> {
  label: string;
  rows: readonly Row[];
  columns: readonly Column<Row>[];
  keyOf(row: Row): string;
  /** The key of the row whose pane is open. */
  selected?: string | undefined;
  onOpen?(row: Row): void;
  sort?: Sort;
  onSort?(sort: Sort): void;
  /** Moves a row to another index; the table then offers it by dragging and by Alt with the arrows. */
  onMove?: ((key: string, to: number) => void) | undefined;
  /** Keys that the page knows beyond the table's own; returns whether it took one. */
  onKey?(event: KeyboardEvent, row: Row): boolean;
  rowClass?(row: Row): string | undefined;
  rowHeight?: number;
  /** What stands there when no row does. */
  empty?: ReactNode;
}

/**
 * A table of any length: only what can be seen is there. Focus stays on the table while the arrows go through its rows, so a row that scrolls
 * away takes no focus with it; Enter opens, Home and End go to the ends.
 */
export function DataTable<Row>(props: Props<Row>) {
  const { rows, columns, keyOf, onMove, rowHeight = 36 } = props;
  const id = useId();
  const scroller = useRef<HTMLDivElement>(null);
  const head = useRef<HTMLDivElement>(null);
  const width = useWidth(scroller);
  const [active, setActive] = useState<string>();
  const shown = useMemo(() => fitting(columns, width, onMove ? GRIP : 0), [columns, width, onMove]);
  const tracks = useMemo(() => [...(onMove ? [`${GRIP}px`] : []), ...shown.map((column) => column.width)].join(" "), [shown, onMove]);
  const index = useMemo(() => new Map(rows.map((row, n) => [keyOf(row), n])), [rows, keyOf]);
  const virtual = useVirtualizer({
    count: rows.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => rowHeight,
    overscan: 8,
    scrollMargin: 0,
    paddingStart: 0,
  });
  const drag = useDrag({ scroller, head, rowHeight, count: rows.length, onMove });
  const at = active === undefined ? undefined : index.get(active);

  // A row that the address names is brought into view once, when it is there.
  const brought = useRef<string>(undefined);
  useEffect(() => {
    if (props.selected === undefined || brought.current === props.selected) return;
    const n = index.get(props.selected);
    if (n === undefined) return;
    brought.current = props.selected;
    setActive(props.selected);
    virtual.scrollToIndex(n, { align: "auto" });
  }, [props.selected, index, virtual]);

  const go = (to: number) => {
    const n = Math.max(0, Math.min(rows.length - 1, to));
    const row = rows[n];
    if (!row) return;
    setActive(keyOf(row));
    virtual.scrollToIndex(n, { align: "auto" });
  };

  const onKeyDown = (event: KeyboardEvent) => {
    // Keys in a row's own controls are theirs.
    if (event.target !== scroller.current) return;
    const here = at ?? -1;
    const row = rows[here];
    if (row && props.onKey?.(event, row)) {
      event.preventDefault();
      return;
    }
    if (event.altKey && onMove && row && (event.key === "ArrowDown" || event.key === "ArrowUp")) {
      event.preventDefault();
      const to = here + (event.key === "ArrowDown" ? 1 : -1);
      if (to >= 0 && to < rows.length) {
        onMove(keyOf(row), to);
        virtual.scrollToIndex(to, { align: "auto" });
      }
      return;
    }
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const page = Math.max(1, Math.floor((scroller.current?.clientHeight ?? 0) / rowHeight) - 2);
    const steps: Record<string, number> = {
      ArrowDown: here + 1,
      ArrowUp: here < 0 ? 0 : here - 1,
      PageDown: here + page,
      PageUp: here - page,
      Home: 0,
      End: rows.length - 1,
    };
    const to = steps[event.key];
    if (to !== undefined) {
      event.preventDefault();
      go(to);
    } else if ((event.key === "Enter" || event.key === " ") && row) {
      event.preventDefault();
      props.onOpen?.(row);
    }
  };

  const sortBy = (column: Column<Row>) => {
    const { by, down } = props.sort ?? { by: "", down: false };
    if (by !== column.id) props.onSort?.({ by: column.id, down: false });
    else props.onSort?.(down ? { by: "", down: false } : { by, down: true });
  };

  // A grid without rows is none.
  if (rows.length === 0) return <div className={styles.empty}>{props.empty}</div>;
  return (
    // biome-ignore lint/a11y/useSemanticElements: a table element cannot leave rows out
    <div
      ref={scroller}
      className={styles.scroller}
      role="grid"
      aria-label={props.label}
      aria-rowcount={rows.length + 1}
      aria-colcount={shown.length}
      aria-activedescendant={at === undefined ? undefined : `${id}-${at}`}
      aria-describedby={onMove ? `${id}-help` : undefined}
      tabIndex={0}
      onKeyDown={onKeyDown}
      onFocus={(event) => {
        if (event.target === scroller.current && at === undefined) go(virtual.range?.startIndex ?? 0);
      }}
    >
      {onMove && (
        <span id={`${id}-help`} className="hidden">
          {parts.moveHelp}
        </span>
      )}
      {/* biome-ignore lint/a11y/useSemanticElements: see above */}
      <div ref={head} className={styles.head} role="rowgroup">
        {/* biome-ignore lint/a11y/useSemanticElements: see above */}
        {/* biome-ignore lint/a11y/useFocusableInteractive: focus stays on the grid */}
        <div className={styles.heads} role="row" aria-rowindex={1} style={{ gridTemplateColumns: tracks }}>
          {onMove && <span role="presentation" />}
          {shown.map((column) => (
            <Head
              key={column.id}
              column={column}
              sort={props.sort}
              onSort={props.onSort && column.sort ? () => sortBy(column) : undefined}
            />
          ))}
        </div>
      </div>
      {/* biome-ignore lint/a11y/useSemanticElements: see above */}
      <div className={styles.body} role="rowgroup" style={{ height: virtual.getTotalSize() }}>
        {virtual.getVirtualItems().map((item) => {
          const row = rows[item.index];
          if (!row) return null;
          const key = keyOf(row);
          return (
            <TableRow
              key={key}
              id={`${id}-${item.index}`}
              row={row}
              columns={shown as readonly Column<unknown>[]}
              tracks={tracks}
              index={item.index}
              top={item.start}
              height={rowHeight}
              active={key === active}
              selected={key === props.selected}
              dragged={drag.from === item.index}
              className={props.rowClass?.(row)}
              onGrab={onMove ? drag.grab : undefined}
              rowKey={key}
              onClick={(event) => {
                const target = event.target as Element;
                // What a row's menu opens is elsewhere on the page, but React tells its row.
                if (!event.currentTarget.contains(target) || target.closest("button, a, input, select, label")) return;
                // Text that was just selected is meant to be copied.
                if (getSelection()?.type === "Range") return;
                setActive(key);
                props.onOpen?.(row);
              }}
            />
          );
        })}
        {drag.to !== undefined && <div className={styles.line} style={{ transform: `translateY(${drag.to * rowHeight - 1}px)` }} />}
      </div>
    </div>
  );
}

function Head<Row>(props: { column: Column<Row>; sort: Sort | undefined; onSort: (() => void) | undefined }) {
  const { column, sort, onSort } = props;
  const sorted = sort?.by === column.id;
  const order = sorted ? (sort.down ? "descending" : "ascending") : undefined;
  return (
    // biome-ignore lint/a11y/useSemanticElements: see above
    // biome-ignore lint/a11y/useFocusableInteractive: its button is
    <div role="columnheader" className={`${styles.th} ${column.end ? styles.end : ""}`} aria-sort={order}>
      {onSort ? (
        <button type="button" className={styles.sort} onClick={onSort}>
          {column.head}
          {sorted && (sort.down ? <ArrowDown size={12} aria-hidden /> : <ArrowUp size={12} aria-hidden />)}
        </button>
      ) : (
        <span className={column.quiet ? "hidden" : undefined}>{column.head}</span>
      )}
    </div>
  );
}

interface RowProps {
  id: string;
  row: unknown;
  rowKey: string;
  columns: readonly Column<unknown>[];
  tracks: string;
  index: number;
  top: number;
  height: number;
  active: boolean;
  selected: boolean;
  dragged: boolean;
  className: string | undefined;
  onGrab: ((index: number, key: string, event: React.PointerEvent) => void) | undefined;
  onClick(event: MouseEvent): void;
}

const TableRow = memo(
  function TableRow(props: RowProps) {
    const { active, selected, dragged, className } = props;
    return (
      // biome-ignore lint/a11y/useKeyWithClickEvents: the grid has the keys
      // biome-ignore lint/a11y/useSemanticElements: see above
      // biome-ignore lint/a11y/useFocusableInteractive: focus stays on the grid
      <div
        id={props.id}
        role="row"
        aria-rowindex={props.index + 2}
        aria-selected={selected}
        className={[styles.row, active && styles.active, selected && styles.selected, dragged && styles.dragged, className]
          .filter(Boolean)
          .join(" ")}
        style={{ gridTemplateColumns: props.tracks, height: props.height, top: props.top }}
        onClick={props.onClick}
      >
        {props.onGrab && (
          <span className={styles.grip} aria-hidden onPointerDown={(event) => props.onGrab?.(props.index, props.rowKey, event)}>
            <GripVertical size={14} />
          </span>
        )}
        {props.columns.map((column) => (
          // biome-ignore lint/a11y/useSemanticElements: see above
          // biome-ignore lint/a11y/useFocusableInteractive: focus stays on the grid
          <div key={column.id} role="gridcell" className={`${styles.td} ${column.end ? styles.end : ""}`}>
            {column.cell(props.row)}
          </div>
        ))}
      </div>
    );
  },
  // The handlers are new with every drawing, and do the same.
  (a, b) =>
    a.row === b.row &&
    a.columns === b.columns &&
    a.tracks === b.tracks &&
    a.top === b.top &&
    a.index === b.index &&
    a.active === b.active &&
    a.selected === b.selected &&
    a.dragged === b.dragged &&
    a.className === b.className &&
    (a.onGrab === undefined) === (b.onGrab === undefined),
);
