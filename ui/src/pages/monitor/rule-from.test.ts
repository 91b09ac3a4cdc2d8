import { create } from "@bufbuild/protobuf";
import { expect, it } from "vitest";
import { EventSchema } from "~/gen/cnnf/v1/event_pb";
import { ruleFrom } from "./rule-from";

const from = (client: object | undefined, server: object | undefined, protocol = "tcp", port = 80) =>
  ruleFrom(create(EventSchema, { protocol, port, ...(client ? { client } : {}), ...(server ? { server } : {}) }));

it("takes services, and addresses where there is none", () => {
  expect(from({ service: "unit:a", address: "10.0.0.1" }, { service: "unit:b" })).toEqual({
    from: "unit:a",
    to: "unit:b",
    ports: ["tcp/80"],
  });
  expect(from({ service: "unknown", address: "10.0.0.1" }, { service: "unit:b" })?.from).toBe("10.0.0.1");
  expect(from({ address: "fd86::1" }, { service: "unit:b" }, "icmp", 0)?.ports).toEqual(["icmp"]);
  expect(from({ service: "unit:a" }, { address: "10.0.0.2" }, "tcp", 0)?.ports).toEqual(["tcp/32768-65535"]);
});
it("makes none without a service or a connection", () => {
  expect(from({ address: "10.0.0.1" }, { address: "10.0.0.2" })).toBeUndefined();
  expect(from({ service: "kernel", address: "10.0.0.1" }, { service: "unknown", address: "10.0.0.2" })).toBeUndefined();
  expect(from(undefined, undefined, "", 0)).toBeUndefined();
});
