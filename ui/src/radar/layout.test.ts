import { describe, expect, it } from "vitest";
import { filterGraph } from "./filter";
import { edge, radarOf } from "./fixture";
import { buildGraph, type Graph } from "./graph";
import { ALONE, groupBy, SHARED } from "./group";
import { makeFinder, toward } from "./hit";
import { layout } from "./layout";
import { foldedGroups, makeScene, pointAt } from "./scene";

/** Two teams of eight, one edge between them, one service alone, one address. */
function world(): Graph {
  const team = (name: string) =>
    Array.from({ length: 8 }, (_, n) => [
      edge(`${name}-${n}`, `${name}-${(n + 1) % 8}`, "learned"),
      edge(`${name}-${n}`, `${name}-0`, "learned", { port: 90 }),
    ]).flat();
  return buildGraph({
    all: radarOf(
      [...team("shop"), ...team("bank"), edge("shop-0", "bank-0", "alerted"), edge("shop-1", "10.0.0.9", "learned")].filter(
        (one) => one.client?.service !== one.server?.service,
      ),
      ["cron"],
    ),
  });
}
const inputOf = (graph: Graph, kept?: Record<string, readonly [number, number]>) => {
  const groups = groupBy(graph, "auto", new Map());
  return {
    nodes: [...graph.nodes.values()].map(({ id, kind }) => ({ id, group: kind === "service" ? (groups.get(id) ?? "") : "" })),
    links: [...graph.links.values()],
    kept,
  };
};

describe("groups", () => {
  it("are found by who talks to whom, and called after how names begin", () => {
    const groups = groupBy(world(), "auto", new Map());
    expect(new Set(groups.values())).toEqual(new Set(["shop", "bank", ALONE]));
    expect(groups.get("shop-3")).toBe("shop");
    expect(groups.get("cron")).toBe(ALONE);
  });
  it("stay as they were, and whoever is new joins whom it talks to most", () => {
    const kept = groupBy(world(), "auto", new Map());
    const later = buildGraph({
      all: radarOf([
        edge("new", "bank-1", "learned"),
        edge("new", "bank-2", "learned"),
        edge("new", "shop-2", "learned"),
        edge("shop-1", "bank-1", "learned"),
      ]),
    });
    const groups = groupBy(later, "auto", new Map(), kept);
    expect(groups.get("new")).toBe("bank");
    expect(groups.get("shop-1")).toBe("shop");
  });
  it("bind nobody together by a service that all use", () => {
    const edges = Array.from({ length: 40 }, (_, n) => edge(`s${n}`, "dns", "learned"));
    expect(groupBy(buildGraph({ all: radarOf(edges) }), "auto", new Map()).get("dns")).toBe(SHARED);
  });
  it("follow hosts and labels", () => {
    const graph = buildGraph({ all: radarOf([edge("a", "b", "learned")], [], { a: ["h1"], b: ["h1", "h2"] }) });
    expect(groupBy(graph, "host", new Map()).get("b")).toBe("h1 + h2");
    expect(groupBy(graph, "label:env", new Map([["h1", { env: "prod" }]])).get("a")).toBe("prod");
    expect(groupBy(graph, "label:env", new Map()).get("a")).toBe("no env");
  });
});

describe("places", () => {
  it("are the same for the same graph, in whatever order it comes", () => {
    const input = inputOf(world());
    const turned = { ...input, nodes: [...input.nodes].reverse() };
    expect(layout(turned)).toEqual(layout(input));
  });
  it("keep nodes apart", () => {
    const places = Object.values(layout(inputOf(world())).places);
    for (const [i, [x, y]] of places.entries()) {
      for (const [ox, oy] of places.slice(i + 1)) expect(Math.hypot(x - ox, y - oy)).toBeGreaterThan(30);
    }
  });
  it("stay when somebody comes, who enters near its group", () => {
    const graph = world();
    const before = layout(inputOf(graph)).places;
    const input = inputOf(graph, before);
    const after = layout({ ...input, nodes: [...input.nodes, { id: "late", group: "shop" }, { id: "10.0.0.10", group: "" }] }).places;
    for (const [id, place] of Object.entries(before)) expect(after[id]).toEqual(place);
    const mates = Object.entries(before).filter(([id]) => id.startsWith("shop"));
    const [mx, my] = [0, 1].map((axis) => mates.reduce((sum, [, place]) => sum + (place[axis] ?? 0), 0) / mates.length) as [number, number];
    const far = Math.max(...mates.map(([, [x, y]]) => Math.hypot(x - mx, y - my)));
    const late = after.late ?? [NaN, NaN];
    expect(Math.hypot(late[0] - mx, late[1] - my)).toBeLessThan(far + 400);
  });
  it("have addresses outside of all services", () => {
    const { places } = layout(inputOf(world()));
    const inner = Object.entries(places)
      .filter(([id]) => id !== "10.0.0.9")
      .map(([, place]) => place);
    const [mx, my] = [0, 1].map((axis) => inner.reduce((sum, place) => sum + (place[axis] ?? 0), 0) / inner.length) as [number, number];
    const address = places["10.0.0.9"] ?? [0, 0];
    const reach = (place: readonly [number, number]) => Math.hypot((place[0] - mx) / 1.4, place[1] - my);
    expect(reach(address)).toBeGreaterThan(Math.max(...inner.map(reach)) * 0.9);
  });
});

describe("a scene", () => {
  const all = { query: "", hidden: [], connected: false, hubs: [] } as const;
  const graph = world();
  const shown = filterGraph(graph, all, new Map());
  const groups = groupBy(graph, "auto", new Map());
  const { places } = layout(inputOf(graph));

  it("folds a group into one bubble with what is worst in it, and moves nothing else", () => {
    const open = makeScene(shown, groups, places, new Set());
    const folded = makeScene(shown, groups, places, new Set(["shop"]));
    const bubble = folded.spots.get("group:shop");
    expect(bubble).toMatchObject({ kind: "group", status: "alerted", note: "8 · ×8" });
    expect(folded.spotOf.get("shop-3")).toBe("group:shop");
    expect(folded.spots.get("bank-3")).toMatchObject({ x: open.spots.get("bank-3")?.x, y: open.spots.get("bank-3")?.y });
    expect(
      [...folded.lines.values()]
        .filter((line) => line.from.id === "group:shop")
        .map((line) => line.to.id)
        .sort(),
    ).toEqual(["10.0.0.9", "bank-0"]);
  });
  it("starts folded only when there are many", () => {
    expect(foldedGroups(shown, groups, [], []).size).toBe(0);
    const many = buildGraph({
      all: radarOf(
        [edge("a", "b", "learned")],
        Array.from({ length: 400 }, (_, n) => `s${n}`),
      ),
    });
    const manyGroups = groupBy(many, "auto", new Map());
    expect(foldedGroups(filterGraph(many, all, new Map()), manyGroups, [], [])).toEqual(new Set(manyGroups.values()));
    expect(foldedGroups(filterGraph(many, all, new Map()), manyGroups, [ALONE], []).has(ALONE)).toBe(false);
  });
  it("is found under the pointer", () => {
    const scene = makeScene(shown, groups, places, new Set());
    const finder = makeFinder(scene);
    for (const spot of scene.spots.values()) expect(finder.spot(spot.x + spot.r - 1, spot.y, 4)?.id).toBe(spot.id);
    expect(finder.spot(1e6, 1e6, 4)).toBeUndefined();
    const line = [...scene.lines.values()].find((one) => one.status === "alerted");
    if (!line) throw new Error("no alerted line");
    expect(finder.line(...pointAt(line, 0.5), 6)?.id).toBe(line.id);
    expect(finder.line(1e6, 1e6, 6)).toBeUndefined();
  });
  it("is walked by arrows", () => {
    const scene = makeScene(shown, groups, places, new Set());
    const from = scene.spots.get("shop-0");
    if (!from) throw new Error("no spot");
    const right = toward(scene, from, 1, 0);
    if (right) expect(right.x).toBeGreaterThan(from.x);
    expect(toward(scene, { x: 1e6, y: 0 }, 1, 0)).toBeUndefined();
  });
});
