import { type PointerEvent, type RefObject, useCallback, useEffect, useRef, useState } from "react";

interface Options {
  scroller: RefObject<HTMLElement | null>;
  /** What stays above the rows. */
  head: RefObject<HTMLElement | null>;
  rowHeight: number;
  count: number;
  onMove: ((key: string, to: number) => void) | undefined;
}

/** How close to an edge the table scrolls by itself, and how fast at most, in pixels (a frame). */
const EDGE = 48;
const SPEED = 14;

/** Dragging a row of a virtual table by its grip: `from` is lifted, a line stands before row `to`. */
export function useDrag({ scroller, head, rowHeight, count, onMove }: Options) {
  const [drag, setDrag] = useState<{ from: number; to: number; key: string }>();
  const stop = useRef<() => void>(undefined);
  useEffect(() => () => stop.current?.(), []);

  const latest = useRef({ count, onMove });
  latest.current = { count, onMove };

  const grab = useCallback(
    (from: number, key: string, event: PointerEvent) => {
      const box = scroller.current;
      if (!box || event.button !== 0) return;
      event.preventDefault();
      let y = event.clientY;
      let to = from;
      let frame = 0;
      const place = () => {
        const rows = y - box.getBoundingClientRect().top + box.scrollTop - (head.current?.offsetHeight ?? 0);
        to = Math.max(0, Math.min(latest.current.count, Math.round(rows / rowHeight)));
        setDrag({ from, to, key });
      };
      const tick = () => {
        const { top, bottom } = box.getBoundingClientRect();
        const over = Math.max(0, y - (bottom - EDGE)) - Math.max(0, top + EDGE + rowHeight - y);
        if (over !== 0) {
          box.scrollTop += Math.max(-SPEED, Math.min(SPEED, over / 3));
          place();
        }
        frame = requestAnimationFrame(tick);
      };
      const move = (moved: globalThis.PointerEvent) => {
        y = moved.clientY;
        place();
      };
      const end = (drop: boolean) => {
        stop.current?.();
        setDrag(undefined);
        // Before itself and behind itself are where it is.
        if (drop && to !== from && to !== from + 1) latest.current.onMove?.(key, to > from ? to - 1 : to);
      };
      const up = () => end(true);
      const cancel = () => end(false);
      const giveUp = (pressed: KeyboardEvent) => pressed.key === "Escape" && end(false);
      const listeners = [
        ["pointermove", move],
        ["pointerup", up],
        ["pointercancel", cancel],
        ["keydown", giveUp],
      ] as const;
      for (const [name, listener] of listeners) addEventListener(name, listener as EventListener);
      frame = requestAnimationFrame(tick);
      stop.current = () => {
        cancelAnimationFrame(frame);
        for (const [name, listener] of listeners) removeEventListener(name, listener as EventListener);
        stop.current = undefined;
      };
      place();
    },
    [scroller, head, rowHeight],
  );
  return { from: drag?.from, to: drag?.to, grab };
}
