import { useEffect, useRef, useState } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { useTheme } from "~/shell/theme";
import { text } from "~/text";
import { compact, number, ticks, time } from "~/text/format";
import { readPalette } from "./palette";
import styles from "./panes.module.css";

/** A few counts over time as bars; `times` are their middles, `step` seconds apart. The one that is pointed at is said in words. */
export default function Chart(props: { times: number[]; counts: number[]; label: string; step: number }) {
  const host = useRef<HTMLDivElement>(null);
  const theme = useTheme();
  const [pointed, setPointed] = useState<number | null>();
  const { times, counts, label, step } = props;
  // biome-ignore lint/correctness/useExhaustiveDependencies: the theme is what changes the colours
  useEffect(() => {
    const element = host.current;
    if (!element) return;
    const palette = readPalette();
    const axis = {
      stroke: palette["text-3"],
      font: `11px ${palette.font}`,
      grid: { stroke: palette.border, width: 1 },
      ticks: { show: false },
    };
    const plot = new uPlot(
      {
        width: element.clientWidth,
        height: 110,
        cursor: { y: false, drag: { x: false, y: false } },
        legend: { show: false },
        hooks: { setCursor: [({ cursor }) => setPointed(cursor.idx)] },
        scales: {
          x: { range: (_, min, max) => [min - step / 2, max + step / 2] },
          y: { range: (_, __, max) => [0, Math.max(1, max * 1.1)] },
        },
        axes: [
          { ...axis, size: 34, gap: 3, space: 60, grid: { show: false }, values: (_, at, __, ___, step) => ticks(at, step) },
          {
            ...axis,
            size: 36,
            gap: 4,
            space: 24,
            values: (_, at) => at.map((count) => (Number.isInteger(count) ? compact(count) : "")),
          },
        ],
        series: [
          {},
          {
            label,
            fill: palette.accent,
            width: 0,
            ...(uPlot.paths.bars ? { paths: uPlot.paths.bars({ size: [0.75, 26], radius: 0.15 }) } : {}),
            points: { show: false },
          },
        ],
      },
      [times, counts],
      element,
    );
    const observer = new ResizeObserver(() => plot.setSize({ width: element.clientWidth, height: 110 }));
    observer.observe(element);
    return () => {
      observer.disconnect();
      plot.destroy();
    };
  }, [times, counts, label, step, theme]);
  const [at, count] = [times[pointed ?? -1], counts[pointed ?? -1]];
  return (
    <>
      <div ref={host} role="img" aria-label={`${label}: ${counts.join(", ")}`} />
      <p className={styles.chartSays} aria-hidden>
        {at !== undefined && count !== undefined
          ? text.radar.edge.pointed(time(new Date((at - step / 2) * 1000)).slice(0, step < 86_400 ? 16 : 10), number(count))
          : text.radar.edge.inAll(number(counts.reduce((sum, one) => sum + one, 0)))}
      </p>
    </>
  );
}
