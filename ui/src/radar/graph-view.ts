import { select } from "d3-selection";
import "d3-transition";
import { type D3ZoomEvent, type ZoomBehavior, zoom, zoomIdentity } from "d3-zoom";
import { cameraText, fitTo, LEAST_ZOOM, MOST_ZOOM, parseCamera, reveal } from "./camera";
import { type Finder, makeFinder } from "./hit";
import { type Batches, type Camera, type Frame, hullLabel, type Lit, makeBatches, paint } from "./paint";
import type { Palette } from "./palette";
import type { Hull, Line, Scene, Spot } from "./scene";

/** What a picture is of, and how it is to look. */
export interface Picture {
  scene: Scene;
  palette: Palette;
  compared: boolean;
  selected: Frame["selected"];
}

/** What a reader did. */
export interface Deeds {
  onSpot(spot: Spot): void;
  onLine(line: Line): void;
  onNothing(): void;
  onHull(hull: Hull): void;
  /** The camera came to rest; as it stands in an address. */
  onCamera(text: string): void;
  onHover(what: Spot | Line | undefined): void;
  /** Something was painted for the first time. */
  onFirst(): void;
}

/** A picture that takes longer to paint, or has more than this, is not painted anew while it is dragged: what was painted last is moved. */
const SLOW_MS = 16;
const HEAVY = 9_000;
/** Two frames of a drag that are farther apart show that painting is slow, whatever the script needs for it. */
const LATE_MS = 42;
/** Hovering lights after this long, so that crossing the picture does not flicker. */
const REST_MS = 70;

/**
 * A scene on two canvases: all of it, and above it what is lit. Takes zooming and dragging from d3-zoom. Nothing but this class knows how
 * the picture is painted.
 */
export class GraphView {
  private readonly base = document.createElement("canvas");
  private readonly above = document.createElement("canvas");
  private readonly zoom: ZoomBehavior<HTMLCanvasElement, unknown>;
  private readonly observer: ResizeObserver;
  private readonly still: HTMLCanvasElement = document.createElement("canvas");
  private stillCamera: Camera | undefined;
  private picture: Picture | undefined;
  private batches: Batches | undefined;
  private litBatches: Batches | undefined;
  private finder: Finder | undefined;
  private lit: Lit | undefined;
  private hovered: string | undefined;
  private camera: Camera = { k: 1, x: 0, y: 0 };
  private wanted: string | undefined;
  private size = { width: 0, height: 0 };
  private frame = 0;
  private rest: ReturnType<typeof setTimeout> | undefined;
  private settle: ReturnType<typeof setTimeout> | undefined;
  private moving = false;
  private cost = 0;
  /** Whether the reader has moved the camera: then nothing else does. */
  private held = false;
  private seen = false;
  private lastFrame = 0;
  /** The camera of what the base shows. */
  private painted: Camera = { k: 1, x: 0, y: 0 };

  constructor(
    private readonly host: HTMLElement,
    private readonly deeds: Deeds,
    camera: string,
  ) {
    this.wanted = camera || undefined;
    this.held = camera !== "";
    for (const canvas of [this.base, this.above]) {
      canvas.setAttribute("aria-hidden", "true");
      host.append(canvas);
    }
    this.base.dataset.layer = "base";
    this.above.dataset.layer = "above";
    this.zoom = zoom<HTMLCanvasElement, unknown>()
      .scaleExtent([LEAST_ZOOM, MOST_ZOOM])
      .clickDistance(5)
      .on("zoom", (event: D3ZoomEvent<HTMLCanvasElement, unknown>) => {
        const { k, x, y } = event.transform;
        this.camera = { k, x, y };
        if (event.sourceEvent) this.held = true;
        if (!this.moving) this.began();
        clearTimeout(this.settle);
        this.settle = setTimeout(() => this.settled(), 140);
        this.schedule();
      });
    select(this.above).call(this.zoom).on("dblclick.zoom", null);
    this.above.addEventListener("pointermove", this.onMove);
    this.above.addEventListener("pointerleave", this.onLeave);
    this.above.addEventListener("click", this.onClick);
    this.observer = new ResizeObserver(() => this.resize());
    this.observer.observe(host);
    this.resize();
  }

  destroy(): void {
    this.observer.disconnect();
    cancelAnimationFrame(this.frame);
    clearTimeout(this.rest);
    clearTimeout(this.settle);
    this.base.remove();
    this.above.remove();
  }

  /** Shows another picture. The camera stays, unless nobody has touched it. */
  update(picture: Picture): void {
    const before = this.picture;
    this.picture = picture;
    if (before?.scene !== picture.scene || before.compared !== picture.compared || !this.batches) {
      this.batches = makeBatches(picture.scene, picture.compared);
      this.finder = makeFinder(picture.scene);
      this.relight();
      const first = !before || before.scene.spots.size === 0;
      if (this.wanted && this.size.width > 0 && picture.scene.spots.size > 0) {
        const camera = parseCamera(this.wanted, this.size.width, this.size.height);
        this.wanted = undefined;
        if (camera) this.move(camera, false);
      } else if (!this.held) this.move(this.fitted(), !first);
    }
    this.stillCamera = undefined;
    this.schedule();
  }

  /** Lights a part of the picture and dims the rest; nothing ends that. */
  light(lit: Lit | undefined): void {
    this.lit = lit;
    this.relight();
    this.schedule();
  }

  /** Shows all. */
  fit(): void {
    this.held = false;
    this.move(this.fitted(), true);
  }

  zoomBy(factor: number): void {
    this.held = true;
    select(this.above).call(this.zoom.scaleBy, factor);
  }

  panBy(dx: number, dy: number): void {
    this.held = true;
    this.move({ ...this.camera, x: this.camera.x + dx, y: this.camera.y + dy }, false);
  }

  /** Moves just so far that a point is seen. */
  reveal(x: number, y: number): void {
    const next = reveal(this.camera, x, y, this.size.width, this.size.height);
    if (next.x !== this.camera.x || next.y !== this.camera.y) this.move(next, true);
  }

  /** Puts a point in the middle, near enough to read. */
  centre(x: number, y: number): void {
    this.held = true;
    const k = Math.max(this.camera.k, 0.9);
    this.move({ k, x: this.size.width / 2 - x * k, y: this.size.height / 2 - y * k }, true);
  }

  /** The middle of what is seen, in the world. */
  middle(): { x: number; y: number } {
    return { x: (this.size.width / 2 - this.camera.x) / this.camera.k, y: (this.size.height / 2 - this.camera.y) / this.camera.k };
  }

  private fitted(): Camera {
    return this.picture ? fitTo(this.picture.scene.bounds, this.size.width, this.size.height) : this.camera;
  }

  private move(camera: Camera, smooth: boolean) {
    const to = zoomIdentity.translate(camera.x, camera.y).scale(camera.k);
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    const target = select(this.above);
    if (smooth && !calm && this.cost < SLOW_MS) target.transition().duration(220).call(this.zoom.transform, to);
    else target.call(this.zoom.transform, to);
  }

  private resize() {
    const { clientWidth: width, clientHeight: height } = this.host;
    if (width === 0 || height === 0) return;
    const before = this.size;
    this.size = { width, height };
    const ratio = devicePixelRatio || 1;
    for (const canvas of [this.base, this.above]) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    this.stillCamera = undefined;
    this.zoom.extent([
      [0, 0],
      [width, height],
    ]);
    if (this.picture && this.wanted) this.update({ ...this.picture });
    else if (this.picture && !this.held) this.move(this.fitted(), false);
    else if (before.width > 0) this.move({ ...this.camera, x: this.camera.x + (width - before.width) / 2 }, false);
    this.paintNow();
  }

  private schedule() {
    if (this.frame === 0) this.frame = requestAnimationFrame(() => this.paintNow());
  }

  /** A drag or zoom begins. */
  private began() {
    this.moving = true;
    this.lastFrame = 0;
    const scene = this.picture?.scene;
    if (scene && (this.cost > SLOW_MS || scene.lines.size + 2 * scene.spots.size > HEAVY)) this.keepStill();
  }

  /** Whether frames come too slowly; asked once a frame. */
  private late(): boolean {
    const now = performance.now();
    const late = this.lastFrame > 0 && now - this.lastFrame > LATE_MS;
    this.lastFrame = now;
    return late && this.stillCamera === undefined;
  }

  private settled() {
    this.moving = false;
    this.stillCamera = undefined;
    this.schedule();
    if (this.held) this.deeds.onCamera(cameraText(this.camera, this.size.width, this.size.height));
    else this.deeds.onCamera("");
  }

  private paintNow() {
    cancelAnimationFrame(this.frame);
    this.frame = 0;
    const { picture, batches, size } = this;
    const ctx = this.base.getContext("2d");
    if (!picture || !batches || !ctx || size.width === 0) return;
    const ratio = this.base.width / size.width;
    const frame: Frame = { ...size, camera: this.camera, palette: picture.palette, compared: picture.compared, selected: picture.selected };
    if (this.moving && this.late()) this.keepStill();
    if (this.moving && this.stillCamera) this.moveStill(ctx, ratio);
    else {
      const begun = performance.now();
      paint(ctx, batches, frame, ratio);
      this.painted = this.camera;
      this.cost = performance.now() - begun;
    }
    if (!this.seen && picture.scene.spots.size > 0) {
      this.seen = true;
      this.deeds.onFirst();
    }
    const top = this.above.getContext("2d");
    if (!top) return;
    top.setTransform(1, 0, 0, 1, 0, 0);
    top.clearRect(0, 0, this.above.width, this.above.height);
    if (this.lit && this.litBatches) paint(top, this.litBatches, frame, ratio, this.lit);
    this.base.dataset.dimmed = this.lit ? "yes" : "no";
    this.host.dataset.painted = String(Number(this.host.dataset.painted ?? 0) + 1);
  }

  /** What was painted last, at the camera's new place. */
  private moveStill(ctx: CanvasRenderingContext2D, ratio: number) {
    const was = this.stillCamera;
    if (!was) return;
    const scale = this.camera.k / was.k;
    ctx.setTransform(1, 0, 0, 1, 0, 0);
    ctx.clearRect(0, 0, this.base.width, this.base.height);
    ctx.setTransform(scale, 0, 0, scale, (this.camera.x - was.x * scale) * ratio, (this.camera.y - was.y * scale) * ratio);
    ctx.drawImage(this.still, 0, 0);
  }

  private keepStill() {
    this.still.width = this.base.width;
    this.still.height = this.base.height;
    this.still.getContext("2d")?.drawImage(this.base, 0, 0);
    this.stillCamera = this.painted;
  }

  private relight() {
    this.litBatches = this.lit && this.picture ? makeBatches(this.picture.scene, this.picture.compared, this.lit) : undefined;
  }

  private world(event: MouseEvent): [number, number] {
    const box = this.above.getBoundingClientRect();
    return [(event.clientX - box.left - this.camera.x) / this.camera.k, (event.clientY - box.top - this.camera.y) / this.camera.k];
  }

  private at(event: MouseEvent): Spot | Line | undefined {
    const [x, y] = this.world(event);
    return this.finder?.spot(x, y, 5 / this.camera.k) ?? this.finder?.line(x, y, 6 / this.camera.k);
  }

  private hull(event: MouseEvent): Hull | undefined {
    const box = this.above.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    const hulls = this.picture?.scene.hulls ?? [];
    if (hulls.length < 2) return undefined;
    return hulls.find((hull) => {
      const label = hull.folded ? undefined : hullLabel(hull, this.camera);
      return label && x >= label.x && x <= label.x + label.width && y >= label.y && y <= label.y + label.height;
    });
  }

  private readonly onMove = (event: PointerEvent) => {
    if (event.buttons !== 0) return;
    const what = this.at(event);
    this.above.dataset.over = what || this.hull(event) ? "something" : "nothing";
    if (what?.id === this.hovered) return;
    this.hovered = what?.id;
    clearTimeout(this.rest);
    this.rest = setTimeout(() => this.deeds.onHover(what), what ? REST_MS : 0);
  };

  private readonly onLeave = () => {
    clearTimeout(this.rest);
    if (this.hovered !== undefined) this.deeds.onHover(undefined);
    this.hovered = undefined;
  };

  private readonly onClick = (event: MouseEvent) => {
    if (event.defaultPrevented) return;
    const what = this.at(event);
    if (!what) {
      const hull = this.hull(event);
      if (hull) this.deeds.onHull(hull);
      else this.deeds.onNothing();
    } else if ("kind" in what) this.deeds.onSpot(what);
    else this.deeds.onLine(what);
  };
}
