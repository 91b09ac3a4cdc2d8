import { type KeyboardEvent, type Ref, useEffect, useImperativeHandle, useMemo, useRef, useState } from "react";
import { useTheme } from "~/shell/theme";
import { text } from "~/text";
import { safe } from "~/text/safe";
import styles from "./canvas.module.css";
import { GraphView } from "./graph-view";
import { toward } from "./hit";
import type { Lit } from "./paint";
import { readPalette } from "./palette";
import { type Hull, type Line, pointAt, type Scene, type Spot } from "./scene";

/** What the page can tell the picture to do. */
export interface GraphHandle {
  fit(): void;
  zoomBy(factor: number): void;
  centre(x: number, y: number): void;
  focus(): void;
}

const isSpot = (what: Spot | Line): what is Spot => "kind" in what;

/** What goes with a spot or a line: itself, its lines and their other ends. */
function around(scene: Scene, id: string): Lit | undefined {
  const line = scene.lines.get(id);
  if (line) return { spots: new Set([line.from.id, line.to.id]), lines: new Set([id]) };
  if (!scene.spots.has(id)) return undefined;
  const lit = { spots: new Set([id]), lines: new Set<string>() };
  for (const { id: own, from, to } of scene.lines.values()) {
    if (from.id !== id && to.id !== id) continue;
    lit.lines.add(own);
    lit.spots.add(from.id).add(to.id);
  }
  return lit;
}

/** The picture, and its keys: arrows from spot to spot, Tab along the lines of one, Enter opens. */
export function Canvas(props: {
  scene: Scene;
  compared: boolean;
  selected: { spot?: string | undefined; line?: string | undefined };
  camera: string;
  /** Lit as long as nothing is pointed at. */
  lit: Lit | undefined;
  label: string;
  onOpen(what: Spot | Line): void;
  onNothing(): void;
  onHull(hull: Hull): void;
  onCamera(text: string): void;
  ref: Ref<GraphHandle>;
}) {
  const { scene, compared, lit: standing } = props;
  const host = useRef<HTMLDivElement>(null);
  const view = useRef<GraphView>(undefined);
  const now = useRef(props);
  now.current = props;
  const theme = useTheme();
  const [hovered, setHovered] = useState<string>();
  const [cursor, setCursor] = useState<string>();
  const [focused, setFocused] = useState(false);
  // biome-ignore lint/correctness/useExhaustiveDependencies: the theme is what changes the colours
  const palette = useMemo(readPalette, [theme]);

  useEffect(() => {
    if (!host.current) return;
    const made = new GraphView(
      host.current,
      {
        onSpot: (spot) => now.current.onOpen(spot),
        onLine: (line) => now.current.onOpen(line),
        onNothing: () => now.current.onNothing(),
        onHull: (hull) => now.current.onHull(hull),
        onCamera: (text) => now.current.onCamera(text),
        onHover: (what) => setHovered(what?.id),
        onFirst: measureFirst,
      },
      now.current.camera,
    );
    view.current = made;
    return () => made.destroy();
  }, []);

  const selected = useMemo(() => {
    const at = cursor === undefined ? undefined : scene.lines.get(cursor) ? { line: cursor } : { spot: cursor };
    return focused && at ? at : props.selected;
  }, [cursor, focused, scene, props.selected]);

  useEffect(() => {
    view.current?.update({ scene, palette, compared, selected });
  }, [scene, palette, compared, selected]);

  const lit = useMemo(() => {
    const id = hovered ?? (focused ? cursor : undefined);
    return (id !== undefined ? around(scene, id) : undefined) ?? standing;
  }, [hovered, focused, cursor, scene, standing]);
  useEffect(() => view.current?.light(lit), [lit]);

  useImperativeHandle(
    props.ref,
    () => ({
      fit: () => view.current?.fit(),
      zoomBy: (factor) => view.current?.zoomBy(factor),
      centre: (x, y) => view.current?.centre(x, y),
      focus: () => host.current?.focus(),
    }),
    [],
  );

  const goTo = (what: Spot | Line) => {
    setCursor(what.id);
    if (isSpot(what)) view.current?.reveal(what.x, what.y);
    else view.current?.reveal(...pointAt(what, 0.5));
  };

  const onKeyDown = (event: KeyboardEvent) => {
    if (event.target !== host.current || event.ctrlKey || event.metaKey || event.altKey) return;
    const line = scene.lines.get(cursor ?? "");
    const spot = line ? undefined : scene.spots.get(cursor ?? props.selected.spot ?? "");
    const arrows: Record<string, [number, number]> = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const step = arrows[event.key];
    if (step) {
      event.preventDefault();
      if (event.shiftKey) return view.current?.panBy(-step[0] * 80, -step[1] * 80);
      const from = spot ?? line?.from;
      const middle = view.current?.middle() ?? { x: 0, y: 0 };
      const next = from ? toward(scene, from, ...step) : nearest(scene, middle);
      if (next) goTo(next);
    } else if (event.key === "Tab" && (spot || line)) {
      // Along the lines of the spot that it came from; past the last one, Tab goes on in the page.
      const home = spot ?? (line && (scene.spots.get(tabbed.current) ?? line.from));
      if (!home) return;
      tabbed.current = home.id;
      const own = [...scene.lines.values()].filter(({ from, to }) => from === home || to === home);
      const at = line ? own.indexOf(line) : -1;
      const next = event.shiftKey ? at - 1 : at + 1;
      const found = own[next];
      if (found) {
        event.preventDefault();
        goTo(found);
      } else if (event.shiftKey && line) {
        event.preventDefault();
        goTo(home);
      }
    } else if (event.key === "Enter" || event.key === " ") {
      const what = line ?? spot;
      if (!what) return;
      event.preventDefault();
      props.onOpen(what);
    } else if (event.key === "Escape" && cursor !== undefined) {
      setCursor(undefined);
    }
  };
  const tabbed = useRef("");

  const here = scene.lines.get(cursor ?? "") ?? scene.spots.get(cursor ?? "");
  return (
    <>
      <div
        ref={host}
        className={styles.host}
        role="application"
        aria-label={props.label}
        // biome-ignore lint/a11y/noNoninteractiveTabindex: the picture has keys of its own; the table says the same to whoever needs it
        tabIndex={0}
        onKeyDown={onKeyDown}
        onFocus={() => setFocused(true)}
        onBlur={() => setFocused(false)}
      />
      <div className="hidden" aria-live="polite">
        {focused && here ? says(here) : ""}
      </div>
    </>
  );
}

/** How long the first picture took from its data, without what the worker needed for its places: for the browser's tools and the tests. */
function measureFirst() {
  // The frame after the next one begins when the picture is on the screen.
  requestAnimationFrame(() => requestAnimationFrame(measured));
}

function measured() {
  const [begun] = performance.getEntriesByName("radar:data");
  const [layout] = performance.getEntriesByName("radar:layout");
  if (begun) performance.measure("radar:render", { start: begun.startTime + (layout?.duration ?? 0), end: performance.now() });
}

function nearest(scene: Scene, to: { x: number; y: number }): Spot | undefined {
  let best: Spot | undefined;
  for (const spot of scene.spots.values()) {
    if (!best || Math.hypot(spot.x - to.x, spot.y - to.y) < Math.hypot(best.x - to.x, best.y - to.y)) best = spot;
  }
  return best;
}

function says(what: Spot | Line): string {
  const status = what.status ? (text.radar.statuses[what.status] ?? "") : "";
  if (isSpot(what)) return [text.radar.kinds[what.kind], safe(what.label, 60), what.note, status].filter(Boolean).join(", ");
  return `${safe(what.from.label, 60)} → ${safe(what.to.label, 60)}, ${what.text}, ${status}`;
}
