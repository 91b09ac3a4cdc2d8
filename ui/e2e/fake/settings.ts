/** What the made-up controller does with settings, people, programs, alert channels and the record of changes. */

import type { MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import type { ChannelSchema } from "../../src/gen/cnnf/v1/channel_pb";
import { HOSTILE, MINUTE, someAudit, stamp } from "./samples";
import type { World } from "./world";

export type Channel = Exclude<MessageInitShape<typeof ChannelSchema>, { $typeName: string }>;

const KEPT = "(kept)";

export function someChannels(hostile: boolean): Channel[] {
  const state = { sent: 1_204n, folded: 31n, pending: 0n, lastSuccess: stamp(3 * MINUTE) };
  const changed = { changedBy: "ada", changed: stamp(9 * 86_400_000) };
  return [
    {
      name: "ops-chat",
      to: { case: "slack", value: { url: KEPT } },
      route: { kinds: ["rule_prevent", "anomaly_prevent"], rules: [], services: [], labels: { env: "prod" } },
      state,
      ...changed,
    },
    {
      name: "on-call",
      to: {
        case: "webhook",
        value: { url: hostile ? `https://x/${HOSTILE.html}${HOSTILE.bidi}` : "https://alerts.example.org/v1", secret: KEPT },
      },
      state: {
        sent: 12n,
        pending: 40n,
        lastSuccess: stamp(90 * MINUTE),
        lastError: hostile ? HOSTILE.long + HOSTILE.bidi : "connection refused",
        lastFailure: stamp(MINUTE),
      },
      ...changed,
    },
    { name: "siem", to: { case: "cef", value: { server: "tls://siem.example.org" } }, rate: { messages: 0, seconds: 60 }, ...changed },
    {
      name: "old-mail",
      disabled: true,
      to: { case: "email", value: { server: "smtp://mail", from: "cnnf@example.org", to: ["ops@example.org"] } },
    },
  ];
}

type Handlers = Record<string, (request: never, signal: AbortSignal) => unknown>;

export function settingsHandlers(world: World): Handlers {
  const put = (channel: Channel) => {
    world.mayChange("admin");
    world.channels = [...world.channels.filter(({ name }) => name !== channel.name), channel];
    return channel;
  };
  return {
    "SettingsService.getSettings": () => ({ values: world.settings }),
    "SettingsService.setSetting": ({ name, value }: { name: string; value: string }) => {
      world.mayChange("admin");
      world.settings = { ...world.settings, [name]: value };
      return { values: world.settings };
    },
    "UserService.listUsers": () => {
      world.mayChange("admin");
      return { users: world.users };
    },
    "UserService.addUser": ({ name, role }: { name: string; role: string }) => {
      const user = { name, role, mustChangePassword: true, created: stamp(0) };
      world.users = [...world.users, user];
      return user;
    },
    "ApiTokenService.listTokens": () => {
      world.mayChange("admin");
      return { tokens: world.tokens };
    },
    "ApiTokenService.createToken": ({ name, role }: { name: string; role: string }) => {
      const token = { name, role, createdBy: "ada", created: stamp(0), expires: stamp(-90 * 86_400_000) };
      world.tokens = [...world.tokens, token];
      return { token, secret: "cnnf_t_2Yq9sVd0n4Kx7mPzR3wB8hLf" };
    },
    "AuditService.listAudit": () => ({ entries: world.options.empty ? [] : someAudit() }),
    "AuditService.verifyAudit": () => ({
      intact: true,
      entries: 1_284n,
      head: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    }),
    "ChannelService.listChannels": () => ({ channels: world.channels }),
    "ChannelService.addChannel": ({ channel }: { channel: Channel }) => put({ ...channel, changedBy: "ada", changed: stamp(0) }),
    "ChannelService.updateChannel": ({ channel }: { channel: Channel }) => {
      const old = world.channels.find(({ name }) => name === channel.name);
      if (!old) throw new ConnectError(`there is no channel ${channel.name}`, Code.NotFound);
      return put({ ...channel, ...(old.state ? { state: old.state } : {}) });
    },
    "ChannelService.deleteChannel": ({ name }: { name: string }) => {
      world.mayChange("admin");
      world.channels = world.channels.filter((one) => one.name !== name);
      return {};
    },
    "ChannelService.testChannel": ({ channel, name }: { channel?: Channel; name: string }) => {
      world.mayChange("admin");
      const to = (channel ?? world.channels.find((one) => one.name === name))?.to;
      const lost = to?.case === "webhook" && to.value.url?.includes("nowhere");
      return lost ? { delivered: false, error: "nowhere: no such host" } : { delivered: true, tookMs: 37 };
    },
  };
}
