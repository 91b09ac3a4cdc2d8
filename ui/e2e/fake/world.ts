/** What the made-up controller knows: a small shop of services on a dozen hosts, rules, models, and as many events as are wanted. */

import { Code, ConnectError } from "@connectrpc/connect";
import { ApiTokenService, AuditService, SessionService, UserService } from "../../src/gen/cnnf/v1/access_pb";
import {
  DefinitionService,
  EventService,
  FleetService,
  ModelService,
  PolicyService,
  SettingsService,
  StatusService,
  TopologyService,
} from "../../src/gen/cnnf/v1/admin_pb";
import { ChannelService } from "../../src/gen/cnnf/v1/channel_pb";
import { WatchService } from "../../src/gen/cnnf/v1/watch_pb";
import { Feed } from "./feed";
import { type Picture, pictureHandlers, somePicture } from "./picture";
import {
  ago,
  changesBetween,
  type Event,
  HOSTILE,
  HOSTS,
  lint,
  MINUTE,
  NODES,
  type Obj,
  type Rule,
  simulate,
  someEvent,
  someHost,
  someModel,
  someRules,
  stamp,
} from "./samples";
import type { Handlers } from "./server";
import { type Channel, settingsHandlers, someChannels } from "./settings";

export const SERVICES = [
  ApiTokenService,
  AuditService,
  ChannelService,
  SessionService,
  UserService,
  DefinitionService,
  EventService,
  FleetService,
  ModelService,
  PolicyService,
  SettingsService,
  StatusService,
  TopologyService,
  WatchService,
];

interface Change {
  revision: bigint;
  at: string;
  who: string;
  reason: string;
  note: string;
  rules: Rule[];
  objects: Obj[];
}

export interface Options {
  events?: number;
  rules?: number;
  role?: string;
  hostile?: boolean;
  empty?: boolean;
  /** Whom Radar shows, in place of the shop. */
  picture?: Picture;
  /** So many more services may be reached than are in the picture. */
  targets?: number;
}

const TOKEN = "cnnf1.k3Jd8sLq0aWvYx.5f1c9e0d7b62";
/** As a controller with packages says it, or nearly. */
export const INSTALL = "curl -fsS --insecure https://127.0.0.1:8443/downloads/install.sh | sh -s -- 9f86d081884c7d65";

/** A world of its own for each test. */
export class World {
  role: string;
  rules: Rule[];
  objects: Obj[];
  revision = 42n;
  history: Change[] = [];
  unconfirmed: { revision: bigint; baseRevision: bigint; who: string; at: string; until: string } | undefined;
  events: Event[] = [];
  hosts: Record<string, unknown>[];
  users: Record<string, unknown>[];
  tokens: Record<string, unknown>[] = [];
  channels: Channel[] = [];
  settings: Record<string, string>;
  definitions: Record<string, unknown>[];
  /** While true nothing is answered that streams. */
  streamsBroken = false;
  calls: string[] = [];
  picture: Picture;
  private readonly news = new Feed<Event>();
  private readonly changes = new Feed<{ epoch: string; revisions: Record<string, bigint>; changed: string[] }>();
  private revisions = 0n;

  constructor(readonly options: Options = {}) {
    const { empty, hostile } = options;
    this.role = options.role ?? "admin";
    this.picture = empty ? { nodes: [], edges: [] } : (options.picture ?? somePicture(hostile ?? false));
    this.rules = empty ? [] : someRules(options.rules ?? 0, hostile ?? false);
    this.objects = empty
      ? []
      : [
          { name: "backup", addresses: ["10.20.0.0/24", "fd86:20::/64"] },
          { name: "office", addresses: ["10.8.0.0/16", "2001:db8:8::/48", "192.0.2.10-192.0.2.19"] },
        ];
    this.hosts = empty ? [] : HOSTS.map((host, n) => someHost(host, n));
    this.users = [
      { name: "ada", role: "admin", created: stamp(90 * 86_400_000), lastSignIn: stamp(2 * MINUTE) },
      { name: "grace", role: "operator", created: stamp(60 * 86_400_000), lastSignIn: stamp(26 * 60 * MINUTE) },
      { name: "audit@example.org", role: "auditor", created: stamp(30 * 86_400_000), mustChangePassword: true },
      {
        name: "lin",
        role: "operator",
        issuer: "https://id.example.com/realms/main",
        created: stamp(9 * 86_400_000),
        lastSignIn: stamp(MINUTE),
      },
      { name: "left-in-june", role: "operator", disabled: true, created: stamp(300 * 86_400_000), lastSignIn: stamp(120 * 86_400_000) },
    ];
    if (!empty) {
      this.tokens = [
        {
          name: "ci-pipeline",
          role: "operator",
          createdBy: "ada",
          created: stamp(20 * 86_400_000),
          expires: stamp(-70 * 86_400_000),
          lastUsed: stamp(4 * MINUTE),
        },
        { name: "grafana", role: "auditor", createdBy: "grace", created: stamp(100 * 86_400_000), expires: stamp(86_400_000) },
      ];
    }
    this.channels = empty ? [] : someChannels(hostile ?? false);
    this.settings = {
      learn_for: "1h",
      dry_run_for: "1day",
      archive_after: "1day",
      delete_after: "90days",
      anomaly_effect: "alert",
      learning: "on",
      default_mode: "observe",
      edges_hourly_for: "7days",
      edges_daily_for: "90days",
    };
    this.definitions = empty
      ? []
      : [
          {
            name: "billing",
            position: 1,
            units: ["billing-*"],
            executables: ["/opt/billing/*.jar"],
            labels: { env: "prod" },
            changedBy: "admin ada",
            changed: ago(3 * 86_400_000),
          },
          {
            name: "batch",
            position: 2,
            users: ["batch"],
            commandLines: ["--nightly"],
            changedBy: "admin grace",
            changed: ago(20 * 86_400_000),
          },
        ];
    for (let n = 41; n <= 42 && !empty; n += 1) {
      this.history.push({
        revision: BigInt(n),
        at: ago((43 - n) * 3_600_000),
        who: "admin ada",
        reason: n === 42 ? "OPS-12: close the database" : "",
        note: "",
        rules: n === 42 ? this.rules : this.rules.slice(0, -2),
        objects: this.objects,
      });
    }
    const count = empty ? 0 : (options.events ?? 60);
    for (let n = count; n >= 1; n -= 1) this.events.push(someEvent(n, (count - n) * 37_000 + 4_000, hostile ?? false));
  }

  /** A new event, or an old one that changed. */
  tell(event: Event): void {
    this.events = [event, ...this.events.filter(({ id }) => id !== event.id)];
    this.news.tell(event);
  }

  /** Says to the pages that something of a topic has changed. */
  change(topic: string): void {
    this.revisions += 1n;
    this.changes.tell({ epoch: "one", revisions: { [topic]: this.revisions }, changed: [topic] });
  }

  /** An event that was not there. */
  happen(): Event {
    const event = someEvent(Number(this.events[0]?.id ?? 0n) + 1, 0, false);
    this.tell(event);
    return event;
  }

  /** Ends all streams; new ones are refused until `streamsBroken` is false. */
  breakStreams(): void {
    this.streamsBroken = true;
    this.news.break();
    this.changes.break();
  }

  /** A host that enrolled just now. */
  enroll(host: string): void {
    this.hosts = [...this.hosts, someHost(host, 0)];
  }

  /** What somebody else does meanwhile. */
  commit(who: string, reason: string, rules: Rule[], objects: Obj[]): void {
    this.rules = rules.map((rule, n) => ({ ...rule, position: n + 1 }));
    this.objects = objects;
    this.revision += 1n;
    this.history.push({ revision: this.revision, at: ago(0), who, reason, note: "", rules: this.rules, objects });
  }

  private apply(request: {
    rules: Rule[];
    objects: Obj[];
    dryRun?: boolean;
    reason: string;
    confirmWithinSeconds: number;
    baseRevision: bigint;
  }) {
    if (request.baseRevision !== 0n && request.baseRevision !== this.revision) {
      throw new ConnectError(`the rules have changed: they are at revision ${this.revision}, not ${request.baseRevision}`, Code.Aborted);
    }
    const known = new Map(this.rules.map((rule) => [rule.name, rule]));
    let last = Math.max(0, ...this.rules.map(({ id }) => Number(id)));
    const rules = request.rules.map((rule) => {
      const old = known.get(rule.name);
      if (!old) last += 1;
      return { ...rule, id: old?.id ?? BigInt(last), hits: old?.hits ?? 0n, lastUsed: old?.lastUsed ?? "" } as Rule;
    });
    const changes = changesBetween(this.rules, rules);
    if (!request.dryRun && (changes.length > 0 || request.objects.length !== this.objects.length)) {
      const base = this.revision;
      this.commit(`${this.role} ada`, request.reason, rules, request.objects);
      if (request.confirmWithinSeconds > 0) this.wait(base, request.confirmWithinSeconds);
    }
    return { revision: this.revision, changes, ...this.waiting() };
  }

  private wait(base: bigint, seconds: number): void {
    const [revision, at] = [this.revision, Date.now()];
    this.unconfirmed = {
      revision,
      baseRevision: base,
      who: "admin ada",
      at: new Date(at).toISOString(),
      until: new Date(at + seconds * 1_000).toISOString(),
    };
    setTimeout(() => {
      if (this.unconfirmed?.revision === revision) this.goBack(base, "the controller");
    }, seconds * 1_000).unref();
  }

  private goBack(to: bigint, who: string): void {
    const old = this.history.find(({ revision }) => revision === to);
    this.unconfirmed = undefined;
    this.commit(who, "", old?.rules ?? [], old?.objects ?? []);
  }

  private waiting() {
    const { unconfirmed } = this;
    return unconfirmed ? { unconfirmed: { ...unconfirmed, leftMs: BigInt(Math.max(0, Date.parse(unconfirmed.until) - Date.now())) } } : {};
  }

  mayChange(least: "operator" | "admin" = "operator"): void {
    if (this.role !== "admin" && this.role !== least)
      throw new ConnectError("an operator or administrator may do this", Code.PermissionDenied);
  }

  /** What each method does. */
  handlers(): Handlers {
    const all: Record<string, (request: never, signal: AbortSignal) => unknown> = {
      "SessionService.getSession": () => ({ user: "ada", role: this.role, expires: stamp(-12 * 3_600_000) }),
      "SessionService.getSignInOptions": () => ({ oidc: true, oidcName: this.options.hostile ? HOSTILE.html : "Example SSO" }),
      "SessionService.changePassword": ({ current }: { current: string }) => {
        if (current !== "right password") throw new ConnectError("current: is wrong", Code.InvalidArgument);
        return { user: "ada", role: this.role };
      },
      "StatusService.getStatus": () => ({
        version: "0.4.0",
        defenders: this.hosts.length,
        connected: this.hosts.filter(({ connected }) => connected).length,
        services: NODES.length,
        rules: this.rules.length,
        revision: this.revision,
        openEvents: BigInt(this.events.filter(({ acknowledged }) => !acknowledged).length),
        ...this.waiting(),
      }),
      "TopologyService.listServices": () => ({
        services: this.options.empty
          ? []
          : NODES.map(([key, host, port, phase]) => ({
              key,
              name: key.split(":")[1],
              phase,
              mode: "observe",
              instances: [{ host, hostId: `id-${host}`, live: true, endpoints: port ? [{ protocol: "tcp", port }] : [] }],
            })),
      }),
      "PolicyService.listRules": () => ({ rules: this.rules, objects: this.objects, revision: this.revision, ...this.waiting() }),
      "PolicyService.listObjects": () => ({ objects: this.objects }),
      "PolicyService.applyPolicy": (request: Parameters<World["apply"]>[0]) => {
        this.mayChange();
        return this.apply(request);
      },
      "PolicyService.confirmPolicy": () => {
        this.mayChange();
        const revision = this.unconfirmed?.revision ?? 0n;
        this.unconfirmed = undefined;
        return { revision };
      },
      "PolicyService.rollbackPolicy": ({ revision, dryRun, reason }: { revision: bigint; dryRun: boolean; reason: string }) => {
        this.mayChange();
        const old = this.history.find((change) => change.revision === revision);
        if (!old) throw new ConnectError(`revision ${revision} is not kept any more`, Code.NotFound);
        const changes = changesBetween(this.rules, old.rules);
        if (!dryRun) {
          this.unconfirmed = undefined;
          this.commit("admin ada", reason || `back to ${revision}`, old.rules, old.objects);
        }
        return { revision: this.revision, changes };
      },
      "PolicyService.listRevisions": () => ({
        revisions: [...this.history]
          .reverse()
          .map(({ revision, at, who, reason, note }) => ({ revision, at, who, reason, note, summary: "1 added, 2 changed" })),
        ...this.waiting(),
      }),
      "PolicyService.getRevision": ({ revision }: { revision: bigint }) => {
        const n = this.history.findIndex((change) => change.revision === revision);
        const change = this.history[n];
        if (!change) throw new ConnectError(`there was no revision ${revision}`, Code.NotFound);
        return { ...change, summary: "1 added", changes: changesBetween(this.history[n - 1]?.rules ?? [], change.rules) };
      },
      "PolicyService.simulatePolicy": ({ rules }: { rules: Rule[] }) => simulate(this.rules, rules),
      "PolicyService.lintPolicy": ({ draft, rules }: { draft: boolean; rules: Rule[] }) => ({ findings: lint(draft ? rules : this.rules) }),
      "PolicyService.suggestRules": ({ service }: { service: string }) => ({
        suggestions: [
          {
            rule: {
              name: `${service} to postgresql`,
              enabled: true,
              from: service,
              to: "unit:postgresql@15-main",
              ports: ["tcp/5432"],
              effect: "allow",
              onFailure: "open",
            },
          },
          {
            rule: {
              name: `office to ${service}`,
              enabled: true,
              from: "office",
              to: service,
              ports: ["tcp/443"],
              effect: "allow",
              onFailure: "open",
            },
          },
        ],
      }),
      "PolicyService.explain": ({ from, to, port }: { from: string; to: string; port: string }) => ({
        effect: "alert",
        rule: "curl is watched",
        side: "client",
        host: "web1",
        mode: "enforce",
        steps: [
          { what: `${from} on web1 opens ${port} to ${to}`, matched: true },
          { what: "rule 1 'shop may read the database' (allow)", matched: false },
          { what: "rule 4 'curl is watched' (alert)", matched: true },
        ],
      }),
      "EventService.listEvents": ({
        kind,
        service,
        time,
        page,
      }: {
        kind: string;
        service: string;
        time?: { sinceMs: bigint };
        page?: { size: number; token: string };
      }) => {
        const since = Number(time?.sinceMs ?? 0n);
        const found = this.events.filter(
          (event) =>
            (kind === "" || event.kind === kind) &&
            (service === "" || hasService(event, service)) &&
            Date.parse(event.lastSeen as string) >= since,
        );
        const at = Number(page?.token || 0);
        const end = at + (page?.size || 1_000);
        return { events: found.slice(at, end), nextToken: end < found.length ? String(end) : "" };
      },
      "EventService.getEvent": ({ id }: { id: bigint }) => {
        const event = this.events.find((one) => one.id === id);
        if (!event) throw new ConnectError(`there is no event ${id}`, Code.NotFound);
        return event;
      },
      "EventService.watchEvents": (_: never, signal: AbortSignal) => this.watch(signal),
      "EventService.acknowledgeEvent": ({ id, note }: { id: bigint; note: string }) => {
        this.mayChange();
        const event = this.events.find((one) => one.id === id);
        if (!event) throw new ConnectError(`there is no event ${id}`, Code.NotFound);
        Object.assign(event, { acknowledged: true, note });
        return event;
      },
      "FleetService.listDefenders": () => ({ defenders: this.hosts, upgradeCommand: INSTALL }),
      "FleetService.setDefenderMode": ({ host, mode }: { host: string; mode: string }) => {
        this.mayChange();
        this.hosts = this.hosts.map((one) => (one.id === host ? { ...one, mode } : one));
        return this.hosts.find(({ id }) => id === host) ?? {};
      },
      "FleetService.createToken": ({ ttlSeconds, uses }: { ttlSeconds: number; uses: number }) => {
        this.mayChange();
        return { token: TOKEN, expires: ago(-ttlSeconds * 1_000), uses, installCommand: `${INSTALL} --token ${TOKEN}` };
      },
      "ModelService.listModels": () => ({
        models: this.options.empty ? [] : NODES.map(([service, , , phase], n) => someModel(service, phase, n, false)),
      }),
      "ModelService.getModel": ({ service }: { service: string }) => {
        const n = NODES.findIndex(([key]) => key === service);
        return someModel(service, NODES[n]?.[3] ?? "active", n, true);
      },
      "ModelService.approveEdge": ({ service }: { service: string }) => someModel(service || "unit:shop", "active", 1, true),
      "DefinitionService.listDefinitions": () => ({ definitions: this.definitions, revision: 7n }),
      "DefinitionService.previewDefinition": () => ({
        renamings: [{ host: "app2", hostId: "id-app2", old: "unit:billing-api", new: "svc:billing", certainty: "yes", live: true }],
        lost: [{ service: "unit:billing-api", certainty: "yes", rules: ["billing may read the database"], phase: "active" }],
        hosts: ["app1", "app2"],
        revision: 7n,
      }),
    };
    const counted = Object.entries({ ...all, ...settingsHandlers(this), ...pictureHandlers(this) }).map(([name, handler]) => [
      name,
      (request: never, signal: AbortSignal) => {
        this.calls.push(name);
        return handler(request, signal);
      },
    ]);
    return Object.fromEntries(counted) as Handlers;
  }

  private watch(signal: AbortSignal): AsyncGenerator<Record<string, unknown>> {
    if (this.streamsBroken) throw new ConnectError("the controller is ending", Code.Unavailable);
    return this.news.follow(signal);
  }

  watchChanges(signal: AbortSignal): AsyncGenerator<Record<string, unknown>> {
    if (this.streamsBroken) throw new ConnectError("the controller is ending", Code.Unavailable);
    return this.changes.follow(signal, [{ epoch: "one", revisions: {}, changed: [] }]);
  }
}

function hasService(event: Event, service: string): boolean {
  return [event.client, event.server].some((party) => (party as { service?: string } | undefined)?.service === service);
}
