import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { DiffEdgesResponseSchema, SimulatePolicyResponseSchema } from "~/gen/cnnf/v1/admin_pb";
import { EventSchema } from "~/gen/cnnf/v1/event_pb";
import { edge, radarOf } from "./fixture";
import { buildGraph, linkId } from "./graph";
import { withDraft } from "./preview";

describe("a graph", () => {
  it("joins the ports of a pair, the worst first, and colours the ends", () => {
    const graph = buildGraph({
      all: radarOf([edge("web", "db", "learned"), edge("web", "db", "alerted", { port: 22 }), edge("db", "web", "learned")]),
    });
    const link = graph.links.get(linkId("web", "db"));
    expect(link?.status).toBe("alerted");
    expect(link?.ports.map((port) => port.text)).toEqual(["tcp/22", "tcp/80"]);
    expect(graph.links.size).toBe(2);
    expect(graph.nodes.get("db")?.worst).toBe("alerted");
  });
  it("keeps what was not seen in the time range, faintly", () => {
    const all = radarOf([edge("web", "db", "learned"), edge("old", "db", "prevented")]);
    const graph = buildGraph({ all, ranged: radarOf([edge("web", "db", "learned")]) });
    expect(graph.links.get(linkId("web", "db"))?.hot).toBe(true);
    expect(graph.links.get(linkId("old", "db"))?.hot).toBe(false);
    expect(graph.nodes.get("old")?.worst).toBeUndefined();
  });
  it("shows what only would have been prevented as that, until it is acknowledged", () => {
    const all = radarOf([edge("web", "db", "alerted")]);
    const event = { kind: "would_rule_prevent", client: { service: "web" }, server: { service: "db" }, protocol: "tcp", port: 80 };
    const status = (acknowledged: boolean) =>
      buildGraph({ all, events: [create(EventSchema, { ...event, acknowledged })] }).links.get(linkId("web", "db"))?.status;
    expect(status(false)).toBe("would");
    expect(status(true)).toBe("alerted");
  });
  it("marks what is new, gone, more and less", () => {
    const diff = create(DiffEdgesResponseSchema, {
      new: [edge("web", "db", "learned")],
      gone: [edge("cron", "db", "learned")],
      changed: [{ edge: edge("api", "db", "learned", { connections: 90n }), connectionsBefore: 10n }],
    });
    const graph = buildGraph({
      all: radarOf([edge("web", "db", "learned"), edge("api", "db", "learned"), edge("web", "api", "learned")]),
      diff,
    });
    const change = (from: string, to: string) => graph.links.get(linkId(from, to))?.change;
    expect([change("web", "db"), change("cron", "db"), change("api", "db"), change("web", "api")]).toEqual([
      "new",
      "gone",
      "more",
      undefined,
    ]);
    expect(graph.nodes.has("cron")).toBe(true);
  });
  it("never confuses two links, whatever names they have", () => {
    const names = ["a", "a>b", "b", ">", "%3E", "a>", ">b", "%"];
    const ids = new Set(names.flatMap((from) => names.map((to) => linkId(from, to))));
    expect(ids.size).toBe(names.length ** 2);
  });
});

describe("a draft's preview", () => {
  it("lights only what changes", () => {
    const graph = buildGraph({ all: radarOf([edge("web", "db", "learned"), edge("web", "api", "alerted")]) });
    const shift = {
      edge: { client: { service: "web" }, server: { service: "db" }, protocol: "tcp", port: 80 },
      after: { effect: "prevent" },
    };
    const drafted = withDraft(graph, create(SimulatePolicyResponseSchema, { shifts: [shift] }));
    expect(drafted.links.get(linkId("web", "db"))).toMatchObject({ hot: true, status: "would" });
    expect(drafted.links.get(linkId("web", "api"))?.hot).toBe(false);
    expect(drafted.nodes.get("db")?.worst).toBe("would");
    expect(graph.links.get(linkId("web", "db"))?.status, "the graph itself stays").toBe("learned");
  });
});
