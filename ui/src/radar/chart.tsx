import { useEffect, useRef } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { useTheme } from "~/shell/theme";
import { compact } from "~/text/format";
import { readPalette } from "./palette";

/** A few counts over time as bars. */
export default function Chart(props: { times: number[]; counts: number[]; label: string; step: number }) {
  const host = useRef<HTMLDivElement>(null);
  const theme = useTheme();
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
        scales: {
          x: { range: (_, min, max) => [min - step / 2, max + step / 2] },
          y: { range: (_, __, max) => [0, Math.max(1, max * 1.1)] },
        },
        axes: [
          { ...axis, size: 34, gap: 3, space: 60, grid: { show: false } },
          {
            ...axis,
            size: 36,
            gap: 4,
            space: 34,
            values: (_, ticks) => ticks.map((tick) => (Number.isInteger(tick) ? compact(tick) : "")),
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
  return <div ref={host} role="img" aria-label={`${label}: ${counts.join(", ")}`} />;
}
