import { create } from "@bufbuild/protobuf";
import { expect, it } from "vitest";
import { LearnedEdgeSchema } from "~/gen/cnnf/v1/admin_pb";
import { knownPercent, ownEdge, perDay } from "./edges";

const edge = (client: object, server: object, port = 80) => create(LearnedEdgeSchema, { edge: { client, server, protocol: "tcp", port } });

it("writes edges as the service sees them", () => {
  expect(ownEdge("unit:web", edge({ service: "unit:web" }, { service: "unit:db" }, 5432))).toEqual({
    direction: "to",
    peer: "unit:db",
    port: "tcp/5432",
  });
  expect(ownEdge("unit:web", edge({ address: "internet" }, { service: "unit:web" }))).toEqual({
    direction: "from",
    peer: "internet",
    port: "tcp/80",
  });
  expect(ownEdge("unit:web", edge({ object: "office" }, { service: "unit:web" }, 0))).toEqual({
    direction: "from",
    peer: "object:office",
    port: "tcp/dynamic",
  });
  expect(ownEdge("unit:web", edge({ service: "unit:web" }, { service: "unit:web" }))).toMatchObject({ direction: "to", peer: "unit:web" });
});
it("claims no certainty that is not there", () => {
  expect([1, 0.5, 0.015, 0.0051, 0.0001, 0].map(knownPercent)).toEqual(["0 %", "50 %", "98 %", "99.5 %", "99.9 %", "100 %"]);
});
it("writes rates", () => {
  expect([0, 0.01, 0.25, 3.1, 12.6, 12345].map(perDay)).toEqual(["0", "< 0.1", "0.3", "3.1", "13", "12,345"]);
});
