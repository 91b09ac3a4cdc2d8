import { ChevronLeft, ChevronRight, Maximize, Minus, Plus, Radar as RadarIcon, Waypoints } from "lucide-react";
import { type ReactNode, useCallback, useEffect, useMemo, useRef, useState } from "react";
import { Link as To } from "wouter";
import { useSimulation } from "~/pages/defend/data";
import { useDraft } from "~/pages/defend/draft/store";
import { Command } from "~/parts/copy";
import { useMay } from "~/parts/may";
import { save } from "~/parts/save";
import { Empty, Failed, Loading } from "~/parts/states";
import { replaceSearch, useAddress, writeAddress } from "~/shell/address";
import { links as pageLinks } from "~/shell/links";
import { text } from "~/text";
import { clock, time } from "~/text/format";
import { safe } from "~/text/safe";
import { Canvas, type GraphHandle } from "./canvas";
import { CompareStrip } from "./compare-strip";
import { toDot, toJson, toPng, toSvg } from "./export";
import { CHANGED, filterGraph, isBad, STANDING, tally } from "./filter";
import type { Graph } from "./graph";
import { HubChips } from "./hub-chips";
import styles from "./index.module.css";
import { Legend } from "./legend";
import type { Lit } from "./paint";
import { readPalette } from "./palette";
import { EdgePane } from "./pane-edge";
import { NodePane } from "./pane-node";
import { withDraft } from "./preview";
import { PreviewBar } from "./preview-bar";
import { ADDRESSES, foldedGroups, groupId, type Hull, type Line, makeScene, pointAt, type Spot } from "./scene";
import { SHAPE } from "./state";
import { TableTwin } from "./table-twin";
import { type Format, Toolbar } from "./toolbar";
import { spanOf, useLive, useRadarData } from "./use-data";
import { useLayout } from "./use-layout";

/** Who talks to whom. */
export default function Radar() {
  const [state, set] = useAddress(SHAPE);
  const span = useMemo(() => ({ range: state.range, from: state.from, until: state.until }), [state.range, state.from, state.until]);
  const data = useRadarData(span, state.compare, state.against);
  const lost = useLive();
  if (!data.graph) {
    return data.error ? <Failed error={data.error} onRetry={data.retry} /> : <Loading what={text.radar.loading} />;
  }
  const picture = { state, set, span, data, lost };
  return state.draft ? <Preview {...picture} graph={data.graph} /> : <Picture {...picture} graph={data.graph} />;
}

/** The picture as the draft of the rules would have it. */
function Preview(props: PictureProps) {
  const { graph, set, span } = props;
  const draft = useDraft();
  // To the minute, so that it is not asked anew with every drawing.
  const since = Math.floor(Number(spanOf(span).sinceMs) / 60_000) * 60_000;
  const { data, error } = useSimulation(draft, since);
  const drafted = useMemo(() => (data ? withDraft(graph, data) : graph), [graph, data]);
  const leave = () => set({ draft: false });
  return <Picture {...props} graph={drafted} bar={<PreviewBar draft={draft} answer={data} error={error} onLeave={leave} />} />;
}

interface PictureProps {
  state: ReturnType<typeof useAddress<typeof SHAPE>>[0];
  set: ReturnType<typeof useAddress<typeof SHAPE>>[1];
  span: Parameters<typeof useRadarData>[0];
  data: ReturnType<typeof useRadarData>;
  graph: Graph;
  lost: Date | undefined;
  bar?: ReactNode;
}

function Picture({ state, set, span, data, graph, lost, bar }: PictureProps) {
  const { labels, events } = data;
  const t = text.radar;
  const search = useRef<HTMLInputElement>(null);
  const canvas = useRef<GraphHandle>(null);
  const [reach, setReach] = useState<readonly string[]>();
  const compared = state.compare && data.diff !== undefined && bar === undefined;

  const shown = useMemo(
    () => filterGraph(graph, { query: state.q, hidden: state.hide, compared, connected: state.connected, hubs: state.hubs }, labels),
    [graph, state.q, state.hide, state.connected, state.hubs, labels, compared],
  );
  const counts = useMemo(() => tally(graph, compared), [graph, compared]);
  const { places, groups, relayout } = useLayout(graph, state.group, labels);
  const folded = useMemo(
    () => (groups ? foldedGroups(shown, groups, state.open, state.closed) : new Set<string>()),
    [shown, groups, state.open, state.closed],
  );
  const scene = useMemo(() => (places && groups ? makeScene(shown, groups, places, folded) : undefined), [shown, groups, places, folded]);

  // What is selected may be inside a bubble: then that is marked.
  const selected = useMemo(() => {
    if (!scene) return {};
    const link = state.edge ? graph.links.get(state.edge) : undefined;
    if (link)
      return { line: scene.lines.has(link.id) ? link.id : [...scene.lines.values()].find((line) => line.links.includes(link.id))?.id };
    return { spot: state.node ? (scene.spotOf.get(state.node) ?? state.node) : undefined };
  }, [scene, state.edge, state.node, graph]);

  const lit: Lit | undefined = useMemo(() => {
    if (!reach || !scene) return undefined;
    const spots = new Set(reach.map((id) => scene.spotOf.get(id) ?? ""));
    const lines = new Set([...scene.lines.values()].filter(({ from, to }) => spots.has(from.id) && spots.has(to.id)).map(({ id }) => id));
    return { spots, lines };
  }, [reach, scene]);

  const incidents = useMemo(
    () =>
      [...shown.links.values()]
        .filter((link) => (compared ? link.change !== undefined : isBad(link)))
        .sort((a, b) => (a.lastSeen < b.lastSeen ? 1 : -1)),
    [shown, compared],
  );
  const at = incidents.findIndex((link) => link.id === state.edge);

  const unfold = useCallback(
    (group: string) => {
      const now = state;
      set({ open: [...now.open.filter((one) => one !== group), group], closed: now.closed.filter((one) => one !== group) });
    },
    [state, set],
  );
  const fold = (hull: Hull) =>
    set({
      closed: [...state.closed.filter((one) => one !== hull.group), hull.group],
      open: state.open.filter((one) => one !== hull.group),
    });

  const openSpot = (spot: Spot) => {
    if (spot.kind === "group") unfold(spot.id.slice(groupId("").length));
    else set({ node: spot.id, edge: "" });
  };
  const openLine = (line: Line) => {
    const [first] = line.links;
    if (line.links.length === 1 && first) set({ edge: first, node: "" });
    else if (line.from.kind === "group") unfold(line.from.id.slice(groupId("").length));
    else if (line.to.kind === "group") unfold(line.to.id.slice(groupId("").length));
  };
  const step = (by: number) => {
    const next = incidents[at < 0 ? (by > 0 ? 0 : incidents.length - 1) : (at + by + incidents.length) % incidents.length];
    if (!next || !scene) return;
    set({ edge: next.id, node: "" }, { replace: at >= 0 });
    const line = scene.lines.get(next.id) ?? [...scene.lines.values()].find((one) => one.links.includes(next.id));
    if (line) canvas.current?.centre(...pointAt(line, 0.5));
  };
  const pick = (id: string) => {
    set({ node: id, edge: "" });
    const spot = scene?.spots.get(scene.spotOf.get(id) ?? "");
    if (spot) canvas.current?.centre(spot.x, spot.y);
  };

  const download = async (format: Format) => {
    const name = `radar-${time(new Date()).replace(/[: ]/g, "-")}.${format}`;
    if (format === "dot") return save(name, "text/vnd.graphviz", toDot(shown));
    if (format === "json") return save(name, "application/json", toJson(shown));
    if (!scene) return;
    const palette = readPalette();
    if (format === "svg") return save(name, "image/svg+xml", toSvg(scene, palette, compared));
    const picture = await toPng(scene, palette, compared);
    if (picture) save(name, "image/png", picture);
  };

  const actions = useRef({ step, fit: () => {}, state, set });
  actions.current = { step, fit: () => canvas.current?.fit(), state, set };
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
      const target = event.target as Element | null;
      if (target?.closest("input, textarea, select, [contenteditable], [role=dialog], [role=menu]")) return;
      const now = actions.current;
      const deeds: Record<string, () => void> = {
        "/": () => search.current?.focus(),
        "0": now.fit,
        c: () => now.set({ connected: !now.state.connected }),
        t: () => now.set({ form: now.state.form === "graph" ? "table" : "graph" }),
        "[": () => now.step(-1),
        "]": () => now.step(1),
        "+": () => canvas.current?.zoomBy(1.4),
        "-": () => canvas.current?.zoomBy(1 / 1.4),
      };
      const deed = deeds[event.key.toLowerCase()];
      if (!deed) return;
      event.preventDefault();
      deed();
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, []);

  const services = useMemo(() => [...shown.nodes.values()].filter((node) => node.kind === "service"), [shown]);
  const learning = services.filter((node) => node.phase === "learning").length;
  const hidden = state.hide.filter((kind) => (compared ? CHANGED : STANDING).includes(kind));
  const filters = [
    state.q && t.filters.query(safe(state.q, 40)),
    hidden.length > 0 && t.filters.hidden(hidden.map((kind) => t.statuses[kind] ?? t.changes[kind] ?? kind)),
    state.connected && t.filters.connected,
  ].filter((one) => typeof one === "string" && one !== "") as string[];
  const close = useCallback(() => set({ node: "", edge: "" }), [set]);

  const chips = <HubChips graph={graph} shown={shown} open={state.hubs} onOpen={(hubs) => set({ hubs })} />;
  const legend = (
    <Legend
      counts={counts}
      hidden={state.hide}
      onHide={(hide) => set({ hide })}
      compared={compared}
      preview={bar !== undefined}
      row={state.form === "table"}
    />
  );

  if (graph.nodes.size === 0) return <NoHosts />;
  const nothing = shown.nodes.size === 0;
  return (
    <div className={styles.radar}>
      <h1 className="hidden">{t.title}</h1>
      <div className={styles.main}>
        <Toolbar
          graph={graph}
          labels={labels}
          state={state}
          set={set}
          search={search}
          onPick={pick}
          onExport={(format) => void download(format)}
          onRelayout={() => {
            relayout();
            set({ camera: "" }, { replace: true });
            canvas.current?.fit();
          }}
          onFold={(all) => {
            const names = [...new Set(groups?.values()), ADDRESSES];
            set(all ? { closed: names, open: [] } : { open: names, closed: [] });
          }}
        />
        {lost && (
          <p className={styles.lost} role="status">
            {t.lost(clock(lost))}
          </p>
        )}
        {bar}
        {compared && data.diff && (
          <CompareStrip of={data.diff} span={span} against={state.against} onAgainst={(against) => set({ against })} />
        )}
        <div className={styles.stage} data-form={state.form}>
          {nothing ? (
            <Empty
              icon={<Waypoints size={36} strokeWidth={1.25} aria-hidden />}
              title={filters.length > 0 ? t.filtered : t.quiet}
              action={
                filters.length > 0 && (
                  <button type="button" className="btn" onClick={() => set({ q: "", hide: [], connected: false })}>
                    {t.clear}
                  </button>
                )
              }
            >
              {filters.length > 0 && t.filteredBy(filters)}
            </Empty>
          ) : state.form === "table" ? (
            <TableTwin
              head={
                <>
                  <span className={styles.note}>{t.counts(services.length, shown.links.size)}</span>
                  {chips}
                  {legend}
                </>
              }
              shown={shown}
              compared={compared}
              selected={state.edge}
              sort={state.sort}
              onSort={(sort) => set({ sort }, { replace: true })}
              onOpen={(link) => set({ edge: link.id, node: "" })}
              onNode={(id) => set({ node: id, edge: "" })}
            />
          ) : scene ? (
            <>
              <Canvas
                ref={canvas}
                scene={scene}
                compared={compared}
                selected={selected}
                camera={state.camera}
                lit={lit}
                label={t.graph(services.length, shown.links.size)}
                onOpen={(what) => ("kind" in what ? openSpot(what) : openLine(what))}
                onNothing={close}
                onHull={fold}
                onCamera={(camera) => replaceSearch(writeAddress(SHAPE, location.search.slice(1), { camera }))}
              />
              <div className={styles.topLeft}>
                <span className={styles.note}>{t.counts(services.length, shown.links.size)}</span>
                {learning > 0 && <span className={styles.note}>{t.learningNow(learning, services.length)}</span>}
                {chips}
              </div>
              <div className={styles.bottomLeft}>{legend}</div>
              <div className={styles.bottomRight}>
                <button
                  type="button"
                  className="btn icon"
                  aria-label={t.zoomIn}
                  title={t.zoomIn}
                  onClick={() => canvas.current?.zoomBy(1.5)}
                >
                  <Plus size={15} aria-hidden />
                </button>
                <button
                  type="button"
                  className="btn icon"
                  aria-label={t.zoomOut}
                  title={t.zoomOut}
                  onClick={() => canvas.current?.zoomBy(1 / 1.5)}
                >
                  <Minus size={15} aria-hidden />
                </button>
                <button type="button" className="btn icon" aria-label={t.fit} title={t.fit} onClick={() => canvas.current?.fit()}>
                  <Maximize size={14} aria-hidden />
                </button>
              </div>
              {incidents.length > 0 && (
                <div className={styles.topRight}>
                  <button
                    type="button"
                    className="btn quiet icon"
                    aria-label={t.previousIncident}
                    title={t.previousIncident}
                    onClick={() => step(-1)}
                  >
                    <ChevronLeft size={16} aria-hidden />
                  </button>
                  <span>{compared ? `${at < 0 ? 0 : at + 1} / ${incidents.length}` : t.incidents(at + 1, incidents.length)}</span>
                  <button
                    type="button"
                    className="btn quiet icon"
                    aria-label={t.nextIncident}
                    title={t.nextIncident}
                    onClick={() => step(1)}
                  >
                    <ChevronRight size={16} aria-hidden />
                  </button>
                </div>
              )}
            </>
          ) : (
            <Loading what={t.placing} />
          )}
        </div>
      </div>
      {state.edge ? (
        <EdgePane
          key={state.edge}
          graph={graph}
          id={state.edge}
          events={events}
          span={span}
          compared={compared}
          onClose={close}
          onNode={(node) => set({ node, edge: "" })}
        />
      ) : state.node ? (
        <NodePane
          key={state.node}
          graph={graph}
          id={state.node}
          events={events}
          compared={compared}
          onClose={close}
          onEdge={(edge) => set({ edge, node: "" })}
          onNode={(node) => set({ node, edge: "" })}
          onFocus={(id) => set({ q: /\s/.test(id) ? `"${id}"` : id, hide: [] })}
          onLight={setReach}
        />
      ) : null}
    </div>
  );
}

/** Nobody is there yet: how the first host gets here, for those who may let it in. */
function NoHosts() {
  const t = text.radar;
  const may = useMay();
  const command = t.emptyCommand.replace("CONTROLLER", location.hostname.includes(":") ? `[${location.hostname}]` : location.hostname);
  return (
    <>
      <h1 className="hidden">{t.title}</h1>
      <Empty
        icon={<RadarIcon size={44} strokeWidth={1.25} aria-hidden />}
        title={t.empty}
        action={
          may.change && (
            <To className="btn primary" href={pageLinks.enroll()}>
              {t.enroll}
            </To>
          )
        }
      >
        <p>{may.change ? t.emptyHelp : t.emptyReader}</p>
        {may.change && (
          <div className={styles.command}>
            <Command text={command} label={t.enroll} />
          </div>
        )}
      </Empty>
    </>
  );
}
