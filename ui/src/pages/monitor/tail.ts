import { Code, ConnectError } from "@connectrpc/connect";
import { events } from "~/api/clients";
import type { Event } from "~/gen/cnnf/v1/event_pb";
import { absorb, type Entry } from "./log";

/** What is asked of the controller; the rest of a filter is done here. */
export interface Wanted {
  kind: string;
  service: string;
  /** Milliseconds since the epoch; 0 for the beginning. */
  sinceMs: number;
}

/** What the page draws. */
export interface Shown {
  entries: readonly Entry[];
  /** Whether the first page is still on its way. */
  loading: boolean;
  /** Whether older ones are being fetched. */
  filling: boolean;
  /** Whether the controller has older ones than are here. */
  older: boolean;
  /** Why nothing could be had at all. */
  error: unknown;
  /** Since when the stream is lost; 0 while it is there. */
  lostSince: number;
  /** Events that came while the view was held. */
  held: number;
}

/** At most four repaints a second. */
const REPAINT_MS = 250;
const FIRST_PAGE = 500;
const PAGE = 5_000;
const WITHOUT_STREAM_MS = 1_500;
/** A stream that lived so long was one: when it ends, the next is tried at once. */
const LIVED_MS = 10_000;
/** So many are fetched by themselves; more on request. */
const BY_ITSELF = 50_000;

/**
 * The events of the past, page by page, and those that come. A lost stream is opened again; what was missed meanwhile is fetched, so nothing
 * is skipped. Drawn at most four times a second, however many come.
 */
export class Tail {
  private shown: Shown = { entries: [], loading: true, filling: false, older: false, error: undefined, lostSince: 0, held: 0 };
  private waiting: Event[] = [];
  private token = "";
  private wish = BY_ITSELF;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private late: ReturnType<typeof setTimeout> | undefined;
  private drawn = 0;
  private listeners = new Set<() => void>();
  private ended = new AbortController();
  private wake: (() => void) | undefined;
  held = false;

  constructor(private readonly wanted: Wanted) {}

  subscribe = (listener: () => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  snapshot = () => this.shown;

  start(): void {
    this.ended = new AbortController();
    this.shown = { ...this.shown, filling: false };
    void this.watch(this.ended.signal);
    // The past is asked for once the stream is open, so that nothing falls between; where there is no stream the past is there all the same.
    this.late = setTimeout(() => void this.fill(), WITHOUT_STREAM_MS);
  }

  end(): void {
    this.ended.abort();
    clearTimeout(this.timer);
    clearTimeout(this.late);
    this.timer = undefined;
  }

  /** Tries a lost stream now. */
  retry(): void {
    this.wake?.();
    if (this.shown.error !== undefined) {
      this.put({ error: undefined, loading: true });
      void this.fill();
    }
  }

  /** Holds the view still, or lets it go on with what came meanwhile. */
  hold(on: boolean): void {
    this.held = on;
    if (!on) this.draw();
    else this.put({ held: 0 });
  }

  /** Fetches older events than are here. */
  more(): void {
    this.wish = this.shown.entries.length + BY_ITSELF;
    void this.fill();
  }

  /** An event as it is now, after it was acknowledged here. */
  know(event: Event): void {
    this.put({ entries: absorb(this.shown.entries, [event]) });
  }

  private put(changes: Partial<Shown>): void {
    this.shown = { ...this.shown, ...changes };
    for (const tell of this.listeners) tell();
  }

  /** Draws what came, but not more often than four times a second. */
  private come(event: Event): void {
    this.waiting.push(event);
    if (this.timer !== undefined) return;
    const since = performance.now() - this.drawn;
    this.timer = setTimeout(() => this.draw(), Math.max(0, REPAINT_MS - since));
  }

  private draw(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.drawn = performance.now();
    if (this.held) {
      this.put({ held: this.waiting.length });
      return;
    }
    const came = this.waiting;
    this.waiting = [];
    this.put({ entries: absorb(this.shown.entries, came), held: 0 });
  }

  private time(sinceMs = this.wanted.sinceMs) {
    return sinceMs > 0 ? { time: { sinceMs: BigInt(sinceMs), untilMs: 0n } } : {};
  }

  private async fill(): Promise<void> {
    if (this.shown.filling) return;
    this.put({ filling: true });
    const { signal } = this.ended;
    const { kind, service } = this.wanted;
    try {
      do {
        const size = this.shown.entries.length === 0 ? FIRST_PAGE : PAGE;
        const answer = await events.listEvents(
          { kind, service, ...this.time(), page: { size, token: this.token } },
          { signal, timeoutMs: 60_000 },
        );
        this.token = answer.nextToken;
        this.put({ entries: absorb(this.shown.entries, answer.events), loading: false, older: this.token !== "" });
      } while (this.token !== "" && this.shown.entries.length < this.wish);
    } catch (error) {
      if (!signal.aborted) this.put({ error: this.shown.entries.length === 0 ? error : undefined, loading: false });
    } finally {
      if (!signal.aborted) this.put({ filling: false });
    }
  }

  private async watch(signal: AbortSignal): Promise<void> {
    const { kind, service } = this.wanted;
    for (let failures = 0; !signal.aborted; ) {
      const begun = performance.now();
      try {
        // No deadline: it goes on until the page goes.
        const options = { signal, timeoutMs: 0, onHeader: () => void this.opened(signal) };
        for await (const event of events.watchEvents({ kind, service }, options)) this.come(event);
      } catch (error) {
        const { code } = ConnectError.from(error);
        // Signed out, or not allowed: the shell says so, and trying again helps nobody.
        if (code === Code.Unauthenticated || code === Code.PermissionDenied) return;
      }
      if (signal.aborted) return;
      failures = performance.now() - begun > LIVED_MS ? 0 : failures + 1;
      if (this.shown.lostSince === 0) this.put({ lostSince: Date.now() });
      await this.pause(Math.min(10_000, 500 * 2 ** failures) * (0.5 + Math.random()), signal);
    }
  }

  /** The controller tells of everything from now on: what was before is asked for, all of it or what was missed. */
  private async opened(signal: AbortSignal): Promise<void> {
    clearTimeout(this.late);
    if (this.shown.loading) void this.fill();
    if (this.shown.lostSince === 0) return;
    const { kind, service } = this.wanted;
    const since = Math.max(this.shown.entries[0]?.last ?? 0, this.wanted.sinceMs);
    let token = "";
    try {
      do {
        const page = { size: PAGE, token };
        const answer = await events.listEvents({ kind, service, ...this.time(since), page }, { signal });
        this.waiting.unshift(...answer.events);
        token = answer.nextToken;
      } while (token !== "" && this.waiting.length < BY_ITSELF);
      this.draw();
      this.put({ lostSince: 0 });
    } catch {
      // It is lost again, and tried again.
    }
  }

  private pause(span: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const go = () => {
        clearTimeout(timer);
        this.wake = undefined;
        resolve();
      };
      const timer = setTimeout(go, span);
      this.wake = go;
      signal.addEventListener("abort", go, { once: true });
    });
  }
}
