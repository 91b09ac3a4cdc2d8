import { describe, expect, it } from "vitest";
import { toDot, toJson, toSvg } from "./export";
import { filterGraph } from "./filter";
import { edge, radarOf } from "./fixture";
import { buildGraph } from "./graph";
import { groupBy } from "./group";
import { layout } from "./layout";
import type { Palette } from "./palette";
import { makeScene } from "./scene";
import { inForce } from "./use-data";

const HOSTILE = 'x"]; evil [label="<script>alert(1)</script>\u202E';
const graph = buildGraph({ all: radarOf([edge("web", HOSTILE, "prevented"), edge("web", "db", "learned")]) });
const shown = filterGraph(graph, { query: "", hidden: [], connected: false, hubs: [] }, new Map());

describe("exports", () => {
  it("write DOT that a name cannot leave", () => {
    const dot = toDot(shown);
    expect(dot.startsWith("digraph cnnf {")).toBe(true);
    expect(dot.trimEnd().endsWith("}")).toBe(true);
    // Quotes inside of strings are escaped: those that are not come in pairs on each line.
    for (const line of dot.split("\n")) expect((line.replace(/\\./g, "").match(/"/g) ?? []).length % 2).toBe(0);
    expect(dot).toContain("style=bold");
    expect(dot).not.toContain("\u202E");
  });
  it("write SVG without markup from names", () => {
    const groups = groupBy(graph, "none", new Map());
    const { places } = layout({ nodes: [...graph.nodes.keys()].map((id) => ({ id, group: "all" })), links: [...graph.links.values()] });
    const palette = new Proxy({}, { get: () => "#123456" }) as Palette;
    const svg = toSvg(makeScene(shown, groups, places, new Set()), palette, false);
    expect(svg).not.toContain("<script");
    expect(svg).toContain("&lt;script");
    expect((svg.match(/<path /g) ?? []).length).toBe(2);
    expect(svg).toContain("×");
  });
  it("write JSON that holds names as they are", () => {
    const read = JSON.parse(toJson(shown)) as { nodes: { id: string }[]; edges: { to: string; status: string }[] };
    expect(read.nodes.map((node) => node.id)).toContain(HOSTILE);
    expect(read.edges.find((one) => one.to === HOSTILE)?.status).toBe("prevented");
  });
});

describe("the mode in force", () => {
  it("is the less strict of the service's and its hosts'", () => {
    expect(inForce("enforce", ["enforce", "enforce"])).toBe("enforce");
    expect(inForce("enforce", ["observe"])).toBe("observe");
    expect(inForce("enforce", ["observe", "enforce"])).toBe("partly");
    expect(inForce("observe", ["enforce"])).toBe("observe");
    expect(inForce("enforce", [])).toBe("observe");
  });
});
