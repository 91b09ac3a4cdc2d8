/** What is written of an alert channel, and its message. */

import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { type Channel, ChannelSchema } from "~/gen/cnnf/v1/channel_pb";
import { channels as words } from "~/text/channels";

export const KINDS = ["webhook", "slack", "syslog", "cef", "email"] as const;
export type Kind = (typeof KINDS)[number];

type To = Exclude<MessageInitShape<typeof ChannelSchema>, Channel>["to"] & object;

/** A channel as a form has it: lists are lines. */
export interface Written {
  name: string;
  kind: Kind;
  url: string;
  secret: string;
  headers: string;
  template: string;
  server: string;
  user: string;
  password: string;
  from: string;
  to: string;
  caPem: string;
  kinds: readonly string[];
  rules: string;
  services: string;
  labels: Record<string, string>;
  messages: string;
  seconds: string;
}

export const EMPTY: Written = {
  name: "",
  kind: "webhook",
  url: "",
  secret: "",
  headers: "",
  template: "",
  server: "",
  user: "",
  password: "",
  from: "",
  to: "",
  caPem: "",
  kinds: [],
  rules: "",
  services: "",
  labels: {},
  messages: "",
  seconds: "",
};

/** What a channel says now; secrets are "(kept)". */
export function written(channel: Channel): Written {
  const { to, route, rate } = channel;
  const text: Written = {
    ...EMPTY,
    name: channel.name,
    kind: kindOf(channel),
    kinds: route?.kinds ?? [],
    rules: route?.rules.join("\n") ?? "",
    services: route?.services.join("\n") ?? "",
    labels: { ...route?.labels },
    messages: rate ? String(rate.messages) : "",
    seconds: rate ? String(rate.seconds) : "",
  };
  switch (to.case) {
    case "webhook": {
      const { url, secret, template, caPem, headers } = to.value;
      const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
      return { ...text, url, secret, template, caPem, headers: lines.join("\n") };
    }
    case "slack":
      return { ...text, url: to.value.url, caPem: to.value.caPem };
    case "syslog":
    case "cef":
      return { ...text, server: to.value.server, caPem: to.value.caPem };
    case "email": {
      const { server, user, password, from, caPem } = to.value;
      return { ...text, server, user, password, from, caPem, to: to.value.to.join("\n") };
    }
    default:
      return text;
  }
}

/** The message of what is written. */
export function message(from: Written, disabled: boolean): Channel {
  const { kind, url, server, caPem } = from;
  const lists = { kinds: [...from.kinds], rules: lines(from.rules), services: lines(from.services), labels: from.labels };
  const routed = lists.kinds.length + lists.rules.length + lists.services.length + Object.keys(lists.labels).length > 0;
  return create(ChannelSchema, {
    name: from.name.trim(),
    disabled,
    ...(routed ? { route: lists } : {}),
    ...(from.messages.trim() === "" ? {} : { rate: { messages: Number(from.messages), seconds: Number(from.seconds.trim() || "60") } }),
    to: to(),
  });

  function to(): To {
    const trimmed = { url: url.trim(), caPem };
    switch (kind) {
      case "webhook":
        return { case: kind, value: { ...trimmed, secret: from.secret, template: from.template, headers: headersOf(from.headers) } };
      case "slack":
        return { case: kind, value: trimmed };
      case "syslog":
      case "cef":
        return { case: kind, value: { server: server.trim(), caPem } };
      case "email":
        return {
          case: kind,
          value: { server: server.trim(), user: from.user, password: from.password, from: from.from.trim(), to: lines(from.to), caPem },
        };
    }
  }
}

/** Where what the controller finds wrong is shown: the field's path, by the field. */
export function paths(kind: Kind) {
  return {
    name: "name",
    url: `${kind}.url`,
    secret: `${kind}.secret`,
    headers: `${kind}.headers`,
    template: `${kind}.template`,
    server: `${kind}.server`,
    user: `${kind}.user`,
    password: `${kind}.password`,
    from: `${kind}.from`,
    to: `${kind}.to`,
    caPem: `${kind}.ca_pem`,
    rules: "route.rules",
    services: "route.services",
    labels: "route.labels",
    messages: "rate",
  } as const;
}

/** What is wrong before the controller is asked. */
export function wrong(from: Written): Partial<Record<keyof Written, string>> {
  const found: Partial<Record<keyof Written, string>> = {};
  if (!/^[A-Za-z0-9._@-]{1,64}$/.test(from.name.trim())) found.name = words.form.nameHelp;
  if (!/^\d{0,5}$/.test(from.messages.trim())) found.messages = words.form.messagesHelp;
  return found;
}

export function kindOf({ to }: Channel): Kind {
  return to.case ?? "webhook";
}

/** Where a channel's messages go, as far as that is no secret. */
export function placeOf({ to }: Channel): string {
  switch (to.case) {
    case "email":
      return to.value.to.join(", ");
    case "syslog":
    case "cef":
      return to.value.server;
    case "webhook":
      return to.value.url;
    default:
      return words.hidden;
  }
}

export type State = keyof typeof words.states;

/** How a channel's messages fare. */
export function stateOf({ disabled, state }: Channel): State {
  if (disabled) return "disabled";
  if (state?.lastError) return "failing";
  return state?.lastSuccess ? "arrives" : "unused";
}

function lines(text: string): string[] {
  return text
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "");
}

function headersOf(text: string): Record<string, string> {
  return Object.fromEntries(
    lines(text).map((line) => {
      const colon = line.indexOf(":");
      return colon < 0 ? [line, ""] : [line.slice(0, colon).trim(), line.slice(colon + 1).trim()];
    }),
  );
}
