import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { DiffEdgesResponseSchema, type ObservedEdge } from "~/gen/cnnf/v1/admin_pb";
import { blastRadius, complete, filterGraph, type Kind, parseQuery, suggest, tally } from "./filter";
import { edge, radarOf } from "./fixture";
import { buildGraph, linkId, STATUSES } from "./graph";

const labels = new Map([
  ["h1", { env: "prod" }],
  ["h2", { env: "test" }],
]);
const graph = buildGraph({
  all: radarOf(
    [edge("web", "db", "learned", { port: 5432 }), edge("api", "db", "alerted", { port: 22 }), edge("web", "10.0.0.9", "learned")],
    ["cron"],
    { web: ["h1"], api: ["h2"], db: ["h1"], cron: ["h2"] },
  ),
});
const all = { query: "", hidden: [], connected: false, hubs: [] } as const;
const links = (wanted: Partial<Parameters<typeof filterGraph>[1]>) =>
  [...filterGraph(graph, { ...all, ...wanted }, labels).links.keys()].sort();
const nodes = (wanted: Partial<Parameters<typeof filterGraph>[1]>) =>
  [...filterGraph(graph, { ...all, ...wanted }, labels).nodes.keys()].sort();

describe("a query", () => {
  it("has words and fields; quotes hold blanks together", () => {
    expect(parseQuery('Web host:H1 "two words" port: label:"a=b c"')).toEqual([
      { field: "text", value: "web" },
      { field: "host", value: "h1" },
      { field: "text", value: "two words" },
      { field: "label", value: "a=b c" },
    ]);
  });
});

describe("what is shown", () => {
  it("is all by default, and without the lonely when only the connected are wanted", () => {
    expect(nodes({})).toEqual(["10.0.0.9", "api", "cron", "db", "web"]);
    expect(nodes({ connected: true })).toEqual(["10.0.0.9", "api", "db", "web"]);
  });
  it("is what has every term at an end", () => {
    expect(links({ query: "web" })).toEqual([linkId("web", "10.0.0.9"), linkId("web", "db")]);
    expect(links({ query: "web db" })).toEqual([linkId("web", "db")]);
    expect(links({ query: "port:22" })).toEqual([linkId("api", "db")]);
    expect(links({ query: "label:env=test" })).toEqual([linkId("api", "db")]);
    expect(links({ query: "host:h1 port:tcp/5432" })).toEqual([linkId("web", "db")]);
    expect(nodes({ query: "cron" })).toEqual(["cron"]);
  });
  it("is the services alone when no connection is wanted", () => {
    const hidden = [...STATUSES, "idle"] as const;
    expect(links({ hidden })).toEqual([]);
    expect(nodes({ hidden })).toEqual(["api", "cron", "db", "web"]);
    expect(nodes({ hidden, connected: true })).toEqual(["api", "db", "web"]);
  });
  it("is filtered by what changed when two times are compared, and by that alone", () => {
    const now = [edge("web", "db", "alerted"), edge("api", "db", "learned")];
    const diff = create(DiffEdgesResponseSchema, { new: [now[0] as ObservedEdge], gone: [edge("old", "db", "learned")] });
    const graph = buildGraph({ all: radarOf(now), diff });
    const shown = (hidden: readonly Kind[]) => [...filterGraph(graph, { ...all, hidden, compared: true }, labels).links.keys()].sort();
    expect(shown(["alerted"])).toEqual([linkId("api", "db"), linkId("old", "db"), linkId("web", "db")]);
    expect(shown(["same"])).toEqual([linkId("old", "db"), linkId("web", "db")]);
    expect(shown(["same", "gone"])).toEqual([linkId("web", "db")]);
    expect(tally(graph, true)).toMatchObject({ new: 1, gone: 1, same: 1, alerted: 0 });
  });
  it("leaves out hidden statuses", () => expect(links({ hidden: ["learned"] })).toEqual([linkId("api", "db")]));
  it("folds the links of hubs, but never what is amiss", () => {
    const many = Array.from({ length: 40 }, (_, n) => edge(`s${n}`, "dns", n === 7 ? "prevented" : "learned"));
    const big = buildGraph({ all: radarOf([...many, edge("s1", "s2", "learned")]) });
    const shown = filterGraph(big, all, labels);
    expect(shown.hubs).toEqual([{ id: "dns", peers: 40, open: false }]);
    expect([...shown.links.keys()].sort()).toEqual([linkId("s1", "s2"), linkId("s7", "dns")]);
    expect(shown.folded).toBe(39);
    expect(filterGraph(big, { ...all, connected: true }, labels).nodes.size, "whom only a hub connects stays").toBe(41);
    expect(filterGraph(big, { ...all, hubs: ["dns"] }, labels).links.size).toBe(41);
  });
});

describe("suggestions", () => {
  it("complete the last word, services first", () => {
    expect(suggest(graph, labels, "web d").map(({ insert }) => insert)[0]).toBe("db");
    expect(suggest(graph, labels, "env").map(({ insert }) => insert)).toContain("label:env=prod");
    expect(suggest(graph, labels, "54").map(({ insert }) => insert)).toContain("port:tcp/5432");
    expect(complete("web d", "db")).toBe("web db ");
    expect(suggest(graph, labels, "")).toEqual([]);
  });
});

describe("reach", () => {
  it("follows connections as they are opened, and not those that were prevented", () => {
    const chain = buildGraph({
      all: radarOf([edge("a", "b", "learned"), edge("b", "c", "learned"), edge("c", "d", "prevented"), edge("x", "a", "learned")]),
    });
    expect(blastRadius(chain, "a")).toEqual([
      { id: "b", steps: 1 },
      { id: "c", steps: 2 },
    ]);
  });
});
