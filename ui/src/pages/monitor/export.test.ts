import { create } from "@bufbuild/protobuf";
import { expect, it } from "vitest";
import { EventSchema } from "~/gen/cnnf/v1/event_pb";
import { eventsCsv, eventsJson } from "./export";

const EVENT = create(EventSchema, {
  id: 7n,
  kind: "rule_alert",
  client: { service: "exe:/usr/bin/curl", host: "web1", address: "10.86.0.1" },
  server: { service: "unit:=1+1", host: "db1", address: "10.86.0.2", port: 80 },
  protocol: "tcp",
  port: 80,
  rule: "@SUM(A1:A9)",
  count: 18_446_744_073_709_551_615n,
  process: { pid: 42, exe: "/usr/bin/curl", cmdline: "=cmd|' /C calc'!A0 \"x\",\ny", parents: [{ pid: 1, program: "/sbin/init" }] },
});

it("writes a line each, exact, and nothing a spreadsheet would compute", () => {
  const [header, ...rest] = eventsCsv([EVENT]).split("\r\n");
  const line = rest.join("\r\n");
  expect(header?.split(",")).toHaveLength(26);
  expect(line).toContain('18446744073709551615,exe:/usr/bin/curl,web1,10.86.0.1,unit:=1+1,db1,10.86.0.2,tcp/80,"\'@SUM(A1:A9)"');
  expect(line).toContain('"\'=cmd|\' /C calc\'!A0 ""x"",\ny"');
  expect(line).toContain("/sbin/init (1)");
});
it("writes the JSON of the API, numbers of 64 bits as texts", () => {
  const { events } = JSON.parse(eventsJson([EVENT]));
  expect(events).toHaveLength(1);
  expect(events[0]).toMatchObject({ id: "7", kind: "rule_alert", count: "18446744073709551615", process: { pid: 42 } });
});
