import { safe } from "~/text/safe";
import type { Shown } from "./filter";
import { lookKey, lookOf } from "./looks";
import { type Frame, makeBatches, paint } from "./paint";
import type { Palette } from "./palette";
import { type Line, pointAt, type Scene } from "./scene";

const xml = (text: string) =>
  text.replace(/[<>&"']/g, (c) => ({ "<": "&lt;", ">": "&gt;", "&": "&amp;", '"': "&quot;", "'": "&#39;" })[c] ?? c);

/** The picture as SVG, whole, whatever the camera shows. */
export function toSvg(scene: Scene, palette: Palette, compared: boolean): string {
  const { left, top, right, bottom } = scene.bounds;
  const [width, height] = [Math.ceil(right - left), Math.ceil(bottom - top)];
  const n = (value: number) => value.toFixed(1);
  const out = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="${n(left)} ${n(top)} ${width} ${height}" width="${width}" height="${height}" font-family="Inter, sans-serif" font-size="12">`,
    `<title>cnnf Radar</title>`,
    `<rect x="${n(left)}" y="${n(top)}" width="${width}" height="${height}" fill="${palette.bg}"/>`,
  ];
  if (scene.hulls.length > 1) {
    for (const hull of scene.hulls) {
      if (hull.folded) continue;
      out.push(`<circle cx="${n(hull.x)}" cy="${n(hull.y)}" r="${n(hull.r)}" fill="${palette["surface-1"]}" stroke="${palette.border}"/>`);
      out.push(
        `<text x="${n(hull.x)}" y="${n(hull.y - hull.r + 4)}" text-anchor="middle" font-size="11" font-weight="600" fill="${palette["text-3"]}">${xml(safe(hull.group, 40))}</text>`,
      );
    }
  }
  const rank = (line: Line) => lookOf(lookKey(line, compared)).width;
  for (const line of [...scene.lines.values()].sort((a, b) => rank(a) - rank(b))) {
    const look = lookOf(lookKey(line, compared));
    const { x, y, r } = line.from;
    const path =
      line.from === line.to
        ? `M${n(line.ax)} ${n(line.ay)}C${n(x - r * 2.4)} ${n(y - r * 3.2)} ${n(x + r * 2.4)} ${n(y - r * 3.2)} ${n(line.bx)} ${n(line.by)}`
        : line.curved
          ? `M${n(line.ax)} ${n(line.ay)}Q${n(line.cx)} ${n(line.cy)} ${n(line.bx)} ${n(line.by)}`
          : `M${n(line.ax)} ${n(line.ay)}L${n(line.bx)} ${n(line.by)}`;
    const dash = look.dash.length > 0 ? ` stroke-dasharray="${look.dash.join(" ")}"` : "";
    out.push(
      `<path d="${path}" fill="none" stroke="${palette[look.colour]}" stroke-width="${look.width}" opacity="${look.alpha}"${dash}><title>${xml(`${safe(line.from.label)} → ${safe(line.to.label)} ${safe(line.text)}`)}</title></path>`,
    );
    if (look.glyph) {
      const [mx, my] = pointAt(line, 0.5);
      out.push(`<circle cx="${n(mx)}" cy="${n(my)}" r="8" fill="${palette.bg}" stroke="${palette[look.colour]}" stroke-width="1.5"/>`);
      out.push(
        `<text x="${n(mx)}" y="${n(my + 4)}" text-anchor="middle" font-weight="700" fill="${palette[look.colour]}">${look.glyph}</text>`,
      );
    }
  }
  for (const spot of scene.spots.values()) {
    const ring =
      spot.phase === "active"
        ? palette.allow
        : spot.phase === "learning" || spot.phase === "dry_run"
          ? palette.learning
          : palette["border-strong"];
    const { x, y, r } = spot;
    const attributes = `fill="${palette["surface-2"]}" stroke="${ring}" stroke-width="2"`;
    out.push(
      spot.kind === "address"
        ? `<path d="M${n(x)} ${n(y - r)}L${n(x + r)} ${n(y)}L${n(x)} ${n(y + r)}L${n(x - r)} ${n(y)}Z" ${attributes}/>`
        : `<circle cx="${n(x)}" cy="${n(y)}" r="${n(r)}" ${attributes}/>`,
    );
    const note = spot.note ? ` ${spot.note}` : "";
    out.push(
      `<text x="${n(x)}" y="${n(y + r + 15)}" text-anchor="middle" fill="${palette.text}">${xml(safe(spot.label, 40) + note)}</text>`,
    );
  }
  out.push("</svg>");
  return out.join("\n");
}

/** What is shown as Graphviz. */
export function toDot(shown: Shown): string {
  const escaped = (text: string) => safe(text).replace(/[\\"]/g, "\\$&");
  const quoted = (text: string) => `"${escaped(text)}"`;
  const colours: Record<string, string> = {
    prevented: "red",
    would: "purple",
    alerted: "orange",
    unlearned: "gold3",
    learning: "blue",
    learned: "gray40",
    by_rule: "darkgreen",
  };
  const out = ["digraph cnnf {", "  rankdir=LR; node [fontname=sans, shape=ellipse]; edge [fontname=sans, fontsize=10];"];
  for (const node of shown.nodes.values()) {
    const label = node.instances > 1 ? `${node.name} ×${node.instances}` : node.name;
    out.push(`  ${quoted(node.id)} [label=${quoted(label)}${node.kind === "service" ? "" : ", shape=diamond"}];`);
  }
  for (const link of shown.links.values()) {
    const style =
      link.status === "alerted" || link.status === "would"
        ? "dashed"
        : link.status === "learning"
          ? "dotted"
          : link.status === "prevented"
            ? "bold"
            : "solid";
    out.push(
      `  ${quoted(link.from)} -> ${quoted(link.to)} [label="${link.ports.map((port) => escaped(port.text)).join("\\n")}", color=${colours[link.status]}, style=${style}];`,
    );
  }
  out.push("}");
  return `${out.join("\n")}\n`;
}

/** What is shown as JSON: nodes, and edges by port. */
export function toJson(shown: Shown): string {
  const nodes = [...shown.nodes.values()];
  const edges = [...shown.links.values()].flatMap(({ from, to, ports }) =>
    ports.map(({ text, ...port }) => ({ from, to, name: text, ...port })),
  );
  return `${JSON.stringify({ nodes, edges }, null, 2)}\n`;
}

/** The largest picture that browsers make. */
const MOST_PIXELS = 8_000;

/** The picture as PNG, whole, at twice the size where that is possible. */
export function toPng(scene: Scene, palette: Palette, compared: boolean): Promise<Blob | null> {
  const { left, top, right, bottom } = scene.bounds;
  const ratio = Math.min(2, MOST_PIXELS / (right - left), MOST_PIXELS / (bottom - top));
  const [width, height] = [right - left, bottom - top];
  const canvas = document.createElement("canvas");
  canvas.width = Math.ceil(width * ratio);
  canvas.height = Math.ceil(height * ratio);
  const ctx = canvas.getContext("2d");
  if (!ctx) return Promise.resolve(null);
  const frame: Frame = { width, height, camera: { k: 1, x: -left, y: -top }, palette, compared, selected: {} };
  paint(ctx, makeBatches(scene, compared), frame, ratio);
  ctx.globalCompositeOperation = "destination-over";
  ctx.setTransform(1, 0, 0, 1, 0, 0);
  ctx.fillStyle = palette.bg;
  ctx.fillRect(0, 0, canvas.width, canvas.height);
  return new Promise((done) => canvas.toBlob(done, "image/png"));
}
