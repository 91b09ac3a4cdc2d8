import { Popover } from "@base-ui/react/popover";
import { CircleHelp, Download, GitCompareArrows, Link2, Network, Rows3, Shuffle, Sparkles } from "lucide-react";
import { type Ref, useState } from "react";
import { Menu } from "~/parts/menu";
import { openHelp } from "~/shell/help";
import { text } from "~/text";
import type { Labels } from "./filter";
import type { Graph } from "./graph";
import { local } from "./local";
import { Search } from "./search";
import type { SetState, State } from "./state";
import styles from "./toolbar.module.css";
import { RANGES, type Range } from "./use-data";

export type Format = "png" | "svg" | "dot" | "json";

/** What is shown, and how. */
export function Toolbar(props: {
  graph: Graph;
  labels: Labels;
  state: State;
  set: SetState;
  search: Ref<HTMLInputElement>;
  onPick(id: string): void;
  onExport(format: Format): void;
  onRelayout(): void;
  onFold(all: boolean): void;
}) {
  const { state, set } = props;
  const t = text.radar;
  const keys = [...new Set([...props.labels.values()].flatMap((own) => Object.keys(own)))].sort();
  return (
    <div className={styles.bar}>
      <Search
        ref={props.search}
        graph={props.graph}
        labels={props.labels}
        query={state.q}
        onQuery={(q) => set({ q }, { replace: true })}
        onPick={props.onPick}
      />
      <fieldset className={styles.ranges}>
        <legend className="hidden">{t.range}</legend>
        {RANGES.filter((range) => range !== "own").map((range) => (
          <label key={range} className={styles.range} title={t.rangeHelp}>
            <input
              type="radio"
              name="range"
              className="hidden"
              checked={state.range === range}
              onChange={() => set({ range, ...(range === "all" ? { compare: false } : {}) })}
            />
            {t.ranges[range]}
          </label>
        ))}
        <OwnRange state={state} set={set} />
      </fieldset>
      <button
        type="button"
        className="btn"
        aria-pressed={state.compare}
        title={t.compareHelp}
        onClick={() => set({ compare: !state.compare, ...(state.range === "all" ? { range: "24h" as Range } : {}) })}
      >
        <GitCompareArrows size={15} aria-hidden />
        {t.compare}
      </button>
      <button
        type="button"
        className="btn"
        aria-pressed={state.connected}
        title={t.connectedHelp}
        onClick={() => set({ connected: !state.connected })}
      >
        <Link2 size={15} aria-hidden />
        {t.connected}
      </button>
      <label className={styles.group}>
        <span>{t.groupBy}</span>
        <select className="input" value={state.group} onChange={(event) => set({ group: event.target.value, open: [], closed: [] })}>
          {(["auto", "host", "none"] as const).map((by) => (
            <option key={by} value={by}>
              {t.groups[by]}
            </option>
          ))}
          {keys.map((key) => (
            <option key={key} value={`label:${key}`}>
              {t.groupLabel(key)}
            </option>
          ))}
        </select>
      </label>
      <div className={styles.end}>
        <fieldset className={styles.ranges}>
          <legend className="hidden">{t.view.label}</legend>
          {(["graph", "table"] as const).map((form) => {
            const Icon = form === "graph" ? Network : Rows3;
            return (
              <label key={form} className={styles.range} title={`${t.view[form]} (T)`}>
                <input type="radio" name="form" className="hidden" checked={state.form === form} onChange={() => set({ form })} />
                <Icon size={15} aria-hidden />
                <span className="hidden">{t.view[form]}</span>
              </label>
            );
          })}
        </fieldset>
        <Menu
          label={t.exportAs}
          trigger={
            <button type="button" className="btn icon" aria-label={t.exportAs} title={t.exportAs}>
              <Download size={15} aria-hidden />
            </button>
          }
          items={(["png", "svg", "dot", "json"] as const).map((format) => ({ name: t.formats[format], act: () => props.onExport(format) }))}
        />
        <Menu
          label={t.more}
          items={[
            { name: t.foldAll, icon: Sparkles, act: () => props.onFold(true) },
            { name: t.unfoldAll, icon: Network, act: () => props.onFold(false) },
            "line",
            { name: t.relayout, icon: Shuffle, act: props.onRelayout },
            { name: t.help, icon: CircleHelp, act: openHelp },
          ]}
        />
      </div>
    </div>
  );
}

function OwnRange({ state, set }: { state: State; set: SetState }) {
  const t = text.radar;
  const [open, setOpen] = useState(false);
  const [from, setFrom] = useState("");
  const [until, setUntil] = useState("");
  const begin = (next: boolean) => {
    setOpen(next);
    if (!next) return;
    setFrom(local(state.from || Date.now() - 2 * 86_400e3));
    setUntil(local(state.until || Date.now() - 86_400e3));
  };
  const valid = from !== "" && until !== "" && from < until;
  return (
    <Popover.Root open={open} onOpenChange={begin}>
      <Popover.Trigger className={styles.range} data-on={state.range === "own" || undefined}>
        {t.ranges.own}
      </Popover.Trigger>
      <Popover.Portal>
        <Popover.Positioner sideOffset={6} className={styles.positioner}>
          <Popover.Popup className={styles.popover}>
            <Popover.Title className={styles.title}>{t.own}</Popover.Title>
            <form
              className={styles.form}
              onSubmit={(event) => {
                event.preventDefault();
                set({ range: "own", from: new Date(from).getTime(), until: new Date(until).getTime() });
                setOpen(false);
              }}
            >
              <label>
                {t.from}
                <input type="datetime-local" className="input" value={from} onChange={(event) => setFrom(event.target.value)} />
              </label>
              <label>
                {t.until}
                <input type="datetime-local" className="input" value={until} onChange={(event) => setUntil(event.target.value)} />
              </label>
              <button type="submit" className="btn primary" disabled={!valid}>
                {t.apply}
              </button>
            </form>
          </Popover.Popup>
        </Popover.Positioner>
      </Popover.Portal>
    </Popover.Root>
  );
}
