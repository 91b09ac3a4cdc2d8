import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { expect, it } from "vitest";
import { ChannelSchema } from "~/gen/cnnf/v1/channel_pb";
import { EMPTY, message, placeOf, stateOf, written, wrong } from "./channel";

const CHANNELS = (
  [
    {
      name: "hook",
      route: { kinds: ["rule_alert"], rules: ["web *"], services: [], labels: { env: "prod" } },
      rate: { messages: 0, seconds: 60 },
      to: {
        case: "webhook",
        value: { url: "https://a/b", secret: "(kept)", template: '{"a": "{{title}}"}', headers: { Authorization: "(kept)" }, caPem: "PEM" },
      },
    },
    { name: "chat", to: { case: "slack", value: { url: "(kept)" } } },
    { name: "logs", disabled: true, to: { case: "syslog", value: { server: "udp://10.0.0.1" } } },
    { name: "siem", rate: { messages: 5, seconds: 10 }, to: { case: "cef", value: { server: "tls://siem" } } },
    {
      name: "mail",
      to: { case: "email", value: { server: "smtp://m", user: "u", password: "(kept)", from: "a@b", to: ["c@d", "E <e@f>"] } },
    },
  ] satisfies MessageInitShape<typeof ChannelSchema>[]
).map((init) => create(ChannelSchema, init));

it("what is shown and not changed is written back as it was", () => {
  for (const channel of CHANNELS) expect(message(written(channel), channel.disabled)).toEqual(channel);
});
it("shows no secret as a place", () => {
  expect(CHANNELS.map(placeOf)).toEqual(["https://a/b", "an address that is kept secret", "udp://10.0.0.1", "tls://siem", "c@d, E <e@f>"]);
});
it("tells what fails from what was never tried", () => {
  const state = (init: MessageInitShape<typeof ChannelSchema>) => stateOf(create(ChannelSchema, init));
  expect(state({})).toBe("unused");
  expect(state({ state: { lastSuccess: { seconds: 1n } } })).toBe("arrives");
  expect(state({ state: { lastSuccess: { seconds: 1n }, lastError: "refused" } })).toBe("failing");
  expect(state({ disabled: true, state: { lastError: "refused" } })).toBe("disabled");
});
it("knows a name and a number", () => {
  expect(Object.keys(wrong({ ...EMPTY, name: "a b", messages: "many" }))).toEqual(["name", "messages"]);
  expect(wrong({ ...EMPTY, name: "ops@example" })).toEqual({});
});
