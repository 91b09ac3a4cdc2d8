/** What the made-up controller knows: a small shop of services on a dozen hosts, rules, models, and as many events as are wanted. */

import { timestampFromDate } from "@bufbuild/protobuf/wkt";
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
import type { Handlers } from "./server";

export const SERVICES = [
  ApiTokenService,
  AuditService,
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
];

interface Rule {
  id: bigint;
  name: string;
  position: number;
  enabled: boolean;
  from: string;
  to: string;
  ports: string[];
  effect: string;
  [field: string]: unknown;
}
type Event = Record<string, unknown> & { id: bigint; kind: string; acknowledged: boolean };
interface Obj {
  name: string;
  addresses: string[];
}
interface Change {
  revision: bigint;
  at: string;
  who: string;
  reason: string;
  note: string;
  rules: Rule[];
  objects: Obj[];
}

const MINUTE = 60_000;
const ago = (ms: number) => new Date(Date.now() - ms).toISOString();
const stamp = (ms: number) => timestampFromDate(new Date(Date.now() - ms));

/** Names that a hostile host could send. */
export const HOSTILE = {
  html: '<img src=x onerror="document.title=1"><script>alert(1)</script>',
  bidi: "exe\u202egpj.sh\u2066 \u200bx",
  formula: "=cmd|' /C calc'!A0",
  long: "x".repeat(1 << 20),
  lines: "two\nlines\tand\u0000a\u009bnull",
};

const NODES: [string, string, number, string][] = [
  ["unit:nginx", "web1", 443, "active"],
  ["unit:shop", "app1", 8080, "active"],
  ["unit:postgresql@15-main", "db1", 5432, "active"],
  ["unit:redis-server", "cache1", 6379, "active"],
  ["unit:rabbitmq", "queue1", 5672, "dry_run"],
  ["container:registry/worker:2", "app2", 9000, "learning"],
  ["unit:prometheus", "mon1", 9090, "active"],
  ["unit:node-exporter", "web1", 9100, "active"],
  ["unit:ssh", "web1", 22, "active"],
  ["exe:/usr/bin/curl", "web1", 0, "learning"],
  ["exe:/opt/shop/worker.py", "app1", 0, "dry_run"],
  ["unit:mail", "mail1", 25, "archived"],
  ["unit:bind9", "dns1", 53, "active"],
  ["svc:billing", "app2", 7000, "learning"],
];
const HOSTS = ["web1", "web2", "app1", "app2", "db1", "db2", "cache1", "queue1", "mon1", "mail1", "dns1", "old-bastion"];

function rule(
  id: number,
  name: string,
  from: string,
  to: string,
  ports: string[],
  effect: string,
  more: Record<string, unknown> = {},
): Rule {
  return {
    id: BigInt(id),
    name,
    position: id,
    enabled: true,
    from,
    to,
    ports,
    effect,
    onFailure: "open",
    revision: BigInt(id),
    hits: 0n,
    ...more,
  };
}

export interface Options {
  events?: number;
  rules?: number;
  role?: string;
  hostile?: boolean;
  empty?: boolean;
}

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
  settings: Record<string, string>;
  definitions: Record<string, unknown>[];
  /** While true nothing is answered that streams. */
  streamsBroken = false;
  calls: string[] = [];
  private watchers = new Set<(event: Event) => void>();
  private breakers = new Set<() => void>();

  constructor(private readonly options: Options = {}) {
    const { empty, hostile } = options;
    this.role = options.role ?? "admin";
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
    for (const watcher of this.watchers) watcher(event);
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
    for (const end of this.breakers) end();
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

  private mayChange(least: "operator" | "admin" = "operator"): void {
    if (this.role !== "admin" && this.role !== least)
      throw new ConnectError("an operator or administrator may do this", Code.PermissionDenied);
  }

  /** What each method does. */
  handlers(): Handlers {
    const all: Record<string, (request: never, signal: AbortSignal) => unknown> = {
      "SessionService.getSession": () => ({ user: "ada", role: this.role, expires: stamp(-12 * 3_600_000) }),
      "SessionService.getSignInOptions": () => ({}),
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
      "TopologyService.getRadar": () => ({}),
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
      "FleetService.listDefenders": () => ({ defenders: this.hosts }),
      "FleetService.setDefenderMode": ({ host, mode }: { host: string; mode: string }) => {
        this.mayChange();
        this.hosts = this.hosts.map((one) => (one.id === host ? { ...one, mode } : one));
        return this.hosts.find(({ id }) => id === host) ?? {};
      },
      "FleetService.createToken": ({ ttlSeconds, uses }: { ttlSeconds: number; uses: number }) => {
        this.mayChange();
        return { token: "cnnf1.k3Jd8sLq0aWvYx.5f1c9e0d7b62", expires: ago(-ttlSeconds * 1_000), uses };
      },
      "ModelService.listModels": () => ({
        models: this.options.empty ? [] : NODES.map(([service, , , phase], n) => someModel(service, phase, n, false)),
      }),
      "ModelService.getModel": ({ service }: { service: string }) => {
        const n = NODES.findIndex(([key]) => key === service);
        return someModel(service, NODES[n]?.[3] ?? "active", n, true);
      },
      "ModelService.approveEdge": ({ service }: { service: string }) => someModel(service || "unit:shop", "active", 1, true),
      "SettingsService.getSettings": () => ({ values: this.settings }),
      "SettingsService.setSetting": ({ name, value }: { name: string; value: string }) => {
        this.mayChange("admin");
        this.settings = { ...this.settings, [name]: value };
        return { values: this.settings };
      },
      "DefinitionService.listDefinitions": () => ({ definitions: this.definitions, revision: 7n }),
      "DefinitionService.previewDefinition": () => ({
        renamings: [{ host: "app2", hostId: "id-app2", old: "unit:billing-api", new: "svc:billing", certainty: "yes", live: true }],
        lost: [{ service: "unit:billing-api", certainty: "yes", rules: ["billing may read the database"], phase: "active" }],
        hosts: ["app1", "app2"],
        revision: 7n,
      }),
      "UserService.listUsers": () => {
        this.mayChange("admin");
        return { users: this.users };
      },
      "UserService.addUser": ({ name, role }: { name: string; role: string }) => {
        const user = { name, role, mustChangePassword: true, created: stamp(0) };
        this.users = [...this.users, user];
        return user;
      },
      "ApiTokenService.listTokens": () => {
        this.mayChange("admin");
        return { tokens: this.tokens };
      },
      "ApiTokenService.createToken": ({ name, role }: { name: string; role: string }) => {
        const token = { name, role, createdBy: "ada", created: stamp(0), expires: stamp(-90 * 86_400_000) };
        this.tokens = [...this.tokens, token];
        return { token, secret: "cnnf_t_2Yq9sVd0n4Kx7mPzR3wB8hLf" };
      },
      "AuditService.listAudit": () => ({ entries: this.options.empty ? [] : someAudit() }),
      "AuditService.verifyAudit": () => ({
        intact: true,
        entries: 1_284n,
        head: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
      }),
    };
    const counted = Object.entries(all).map(([name, handler]) => [
      name,
      (request: never, signal: AbortSignal) => {
        this.calls.push(name);
        return handler(request, signal);
      },
    ]);
    return Object.fromEntries(counted) as Handlers;
  }

  private async *watch(signal: AbortSignal): AsyncGenerator<Record<string, unknown>> {
    if (this.streamsBroken) throw new ConnectError("the controller is ending", Code.Unavailable);
    const waiting: Event[] = [];
    let wake = () => {};
    let broken = false;
    const watcher = (event: Event) => {
      waiting.push(event);
      wake();
    };
    const breaker = () => {
      broken = true;
      wake();
    };
    this.watchers.add(watcher);
    this.breakers.add(breaker);
    signal.addEventListener("abort", () => wake());
    try {
      while (!signal.aborted) {
        if (broken) throw new ConnectError("the controller is ending", Code.Unavailable);
        const event = waiting.shift();
        if (event) yield event;
        else
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
      }
    } finally {
      this.watchers.delete(watcher);
      this.breakers.delete(breaker);
    }
  }
}

function hasService(event: Event, service: string): boolean {
  return [event.client, event.server].some((party) => (party as { service?: string } | undefined)?.service === service);
}

function someRules(more: number, hostile: boolean): Rule[] {
  const rules = [
    rule(1, "shop may read the database", "unit:shop", "unit:postgresql@*", ["tcp/5432"], "allow", {
      toLabels: { env: "prod" },
      owner: "dba",
      ticket: "OPS-12",
      hits: 0n,
    }),
    rule(2, "office and backup reach the web", "office", "unit:nginx", ["tcp/80,443"], "allow", { owner: "web" }),
    rule(3, "nobody else reads the database", "any", "unit:postgresql@*", ["any"], "prevent", {
      hits: 1_284n,
      lastUsed: ago(4 * MINUTE),
      owner: "dba",
      learned: "allow",
      onFailure: "closed",
    }),
    rule(4, "curl is watched", "exe:/usr/bin/curl", "any", ["any"], "alert", {
      hits: 73_412n,
      lastUsed: ago(20_000),
      notes: "until the old deploy scripts are gone",
      expires: "2027-01-31",
    }),
    rule(5, "no mail from the web", "unit:nginx", "unit:mail", ["tcp/25,465,587"], "prevent", { hits: 3n, lastUsed: ago(3 * 86_400_000) }),
    rule(6, "prometheus scrapes", "unit:prometheus", "any", ["tcp/9100,9090"], "allow", { owner: "sre" }),
    rule(7, "temporary: migration of billing", "svc:billing", "unit:postgresql@15-main", ["tcp/5432"], "allow", {
      expires: "2026-06-30",
      owner: "billing",
    }),
    rule(8, "telnet is gone", "any", "unit:*", ["tcp/23"], "prevent", { enabled: false }),
  ];
  if (hostile)
    rules.push(
      rule(9, HOSTILE.html, "unit:nginx", `exe:/tmp/${HOSTILE.bidi}`, ["any"], "alert", { owner: HOSTILE.formula, notes: HOSTILE.long }),
    );
  for (let n = rules.length + 1; n <= more; n += 1) {
    rules.push(
      rule(
        n,
        `rule ${n}`,
        `unit:app-${n % 97}`,
        `unit:db-${n % 53}`,
        [`tcp/${1_000 + (n % 9_000)}`],
        ["allow", "alert", "prevent"][n % 3] ?? "allow",
        { hits: BigInt(n % 1_000), owner: "team" },
      ),
    );
  }
  return rules;
}

function someHost(host: string, n: number): Record<string, unknown> {
  const offline = host === "mail1";
  const failed = host === "db2";
  return {
    host,
    id: `id-${host}`,
    labels: { env: n % 3 === 2 ? "test" : "prod", role: host.replace(/\d+$/, "") },
    addresses: [`10.86.0.${n + 1}`, `fd86::${n + 1}`],
    connected: !offline && host !== "old-bastion",
    revoked: host === "old-bastion",
    mode: n % 4 === 3 ? "observe" : "enforce",
    version: "0.4.0",
    desiredGeneration: 118n,
    appliedGeneration: failed ? 117n : host === "queue1" ? 116n : 118n,
    outcome: failed ? "reverted" : "applied",
    message: failed ? "no new connection to the controller succeeded within 60 s: the older policy is back" : "",
    queue: "native",
    lastSeen: ago(offline ? 47 * MINUTE : 2_000),
    counters: { flows: 1_204_331n, events: 812n, queue_drops: 0n, gaps: BigInt(n % 3), fail_open: 0n },
    notCovered:
      n % 5 === 1
        ? [
            "podman container 'legacy' shares the host's network under its own name: it is judged as the host",
            "traffic forwarded between containers of one bridge",
          ]
        : [],
  };
}

const KINDS = [
  "rule_alert",
  "rule_prevent",
  "anomaly_alert",
  "would_rule_prevent",
  "rule_alert",
  "anomaly_prevent",
  "new_service",
  "rule_alert",
  "tamper",
  "defender_offline",
  "rule_expiring",
  "gap",
];

export function someEvent(n: number, age: number, hostile: boolean): Event {
  const kind = KINDS[n % KINDS.length] ?? "rule_alert";
  const ids = {
    id: BigInt(n),
    kind,
    acknowledged: n % 7 === 3,
    note: n % 7 === 3 ? "known: the nightly job" : "",
    firstSeen: ago(age + 40 * MINUTE),
    lastSeen: ago(age),
    count: BigInt(1 + ((n * 7_919) % 211)),
  };
  if (["tamper", "defender_offline", "rule_expiring", "gap", "new_service"].includes(kind)) {
    const host = HOSTS[n % HOSTS.length] ?? "web1";
    const messages: Record<string, string> = {
      tamper: "the table was flushed by nft (pid 4711, started by bash); it is repaired",
      defender_offline: "not heard of for 60 s",
      rule_expiring: "rule 'curl is watched' expires within a day",
      gap: "about 12 connections between 14:41:02 and 14:41:05 were not seen",
      new_service: "unit:rabbitmq was not there before",
    };
    return { ...ids, host, message: messages[kind], ...(kind === "tamper" ? { process: someProcess(n, false) } : {}) };
  }
  const [client, clientHost] = NODES[(n * 5) % NODES.length] ?? ["unit:nginx", "web1"];
  const [server, serverHost, port] = NODES[(n * 3 + 2) % 9] ?? ["unit:shop", "app1", 8080];
  const model = kind.includes("anomaly");
  const process = someProcess(n, hostile && n % 5 === 0);
  return {
    ...ids,
    client: {
      service: hostile && n % 5 === 0 ? `exe:/tmp/${HOSTILE.bidi}` : client,
      host: clientHost,
      address: `10.86.0.${1 + (n % 9)}`,
      port: 0,
    },
    server:
      n % 11 === 0
        ? { address: "198.51.100.0/24", port: 443 }
        : { service: server, host: serverHost, address: `10.86.0.${1 + (n % 7)}`, port },
    protocol: "tcp",
    port: n % 11 === 0 ? 443 : port,
    rule: model ? "" : hostile && n % 5 === 1 ? HOSTILE.html : "curl is watched",
    ruleId: model ? 0n : 4n,
    ruleRevision: model ? 0n : 40n,
    model: model ? client : "",
    side: "client",
    process,
    samples: [process, someProcess(n + 1, false)],
  };
}

function someProcess(n: number, hostile: boolean): Record<string, unknown> {
  return {
    pid: 4_000 + (n % 900),
    exe: hostile ? `/tmp/${HOSTILE.bidi}` : "/usr/bin/curl",
    cmdline: hostile
      ? `${HOSTILE.formula} ${HOSTILE.lines} ${HOSTILE.html}`
      : "curl --silent --retry 3 https://10.86.0.3:5432/export?table=orders",
    user: "deploy",
    unit: "session-42.scope",
    cgroup: "/user.slice/user-1000.slice/session-42.scope",
    started: ago(3 * MINUTE),
    sha256: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    parents: [
      { pid: 3_990, program: "/usr/bin/bash" },
      { pid: 3_812, program: "/usr/sbin/sshd" },
      { pid: 1, program: "/usr/lib/systemd/systemd" },
    ],
    networkNamespace: 4_026_531_840n,
  };
}

function someModel(service: string, phase: string, n: number, edges: boolean): Record<string, unknown> {
  const unseen = [0.0004, 0.012, 0.0009, 0.31, 0.08][n % 5] ?? 0.5;
  const edge = (client: object, server: object, port: number, origin: string) => ({
    edge: { client, server, protocol: "tcp", port },
    firstSeen: ago(9 * 86_400_000),
    lastSeen: ago((n + 1) * MINUTE),
    connections: BigInt(10 + n * 311),
    origin,
  });
  return {
    service,
    phase,
    since: ago((n + 1) * 7 * 3_600_000),
    observed: "3h 20m",
    exposed: "2d 4h",
    edgeCount: 4,
    connections: phase === "learning" && n === 9 ? 0n : BigInt(1_200 * (n + 1)),
    anomalyEffect: n % 4 === 2 ? "prevent" : "alert",
    unseenProbability: unseen,
    expectedEvents: unseen * 400,
    manual: n === 13,
    resume: phase === "archived" ? "active" : "",
    edges: edges
      ? [
          edge({ service }, { service: "unit:postgresql@15-main" }, 5432, "learned"),
          edge({ service }, { service: "unit:redis-server" }, 6379, "would_alert"),
          edge({ address: "internet" }, { service }, 443, "learned"),
          edge({ object: "office" }, { service }, 443, "approved"),
        ]
      : [],
  };
}

function someAudit(): Record<string, unknown>[] {
  const entries: [string, string, string, string, string][] = [
    ["policy.apply", "revision 42", "session", '{"rules":7}', '{"rules":8,"reason":"OPS-12: close the database"}'],
    [
      "rule.update",
      "curl is watched",
      "session",
      '{"effect":"allow","ports":["tcp/80"],"to":{"service":"any"}}',
      '{"effect":"alert","ports":["any"],"to":{"service":"any"},"owner":"sre"}',
    ],
    ["session.sign_in", "ada", "session", "", ""],
    ["settings.set", "learn_for", "certificate", '"30m"', '"1h"'],
    ["user.add", "audit@example.org", "session", "", '{"role":"auditor"}'],
    ["token.create", "ci-pipeline", "session", "", '{"role":"operator","expires":"2027-02-01T00:00:00Z"}'],
    ["defender.revoke", "old-bastion", "certificate", '{"revoked":false}', '{"revoked":true}'],
    ["policy.undo", "revision 39", "", '{"rules":9}', '{"rules":7}'],
    ["event.acknowledge", "event 4711", "token", "", '{"note":"known: the nightly job"}'],
  ];
  return Array.from({ length: 120 }, (_, n) => {
    const [action, subject, via, before, after] = entries[n % entries.length] ?? entries[0] ?? ["", "", "", "", ""];
    return {
      id: BigInt(1_284 - n),
      at: stamp(n * 17 * MINUTE + 30_000),
      actor: via === "" ? "controller" : n % 3 ? "ada" : "grace",
      via,
      address: via === "" ? "" : "10.8.3.21",
      action,
      subject,
      before,
      after,
      hash: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    };
  });
}

/** Added, changed and deleted rules, as plainly as a test needs it. */
function changesBetween(before: Rule[], after: Rule[]): Record<string, unknown>[] {
  const [old, now] = [new Map(before.map((rule) => [rule.name, rule])), new Map(after.map((rule) => [rule.name, rule]))];
  const changes: Record<string, unknown>[] = [];
  after.forEach((rule, n) => {
    const was = old.get(rule.name);
    const at = before.findIndex(({ name }) => name === rule.name) + 1;
    if (!was)
      changes.push({
        change: "added",
        kind: "rule",
        name: rule.name,
        positionAfter: n + 1,
        fields: [{ field: "effect", after: rule.effect }],
      });
    else if (was.effect !== rule.effect || was.enabled !== rule.enabled) {
      changes.push({
        change: "changed",
        kind: "rule",
        name: rule.name,
        positionBefore: at,
        positionAfter: n + 1,
        fields: [{ field: "effect", before: was.effect, after: rule.effect }],
      });
    } else if (at !== n + 1) changes.push({ change: "moved", kind: "rule", name: rule.name, positionBefore: at, positionAfter: n + 1 });
  });
  before.forEach((rule, n) => {
    if (!now.has(rule.name)) changes.push({ change: "deleted", kind: "rule", name: rule.name, positionBefore: n + 1 });
  });
  return changes;
}

/** Edges between the services, judged by the first rule that names both ends: enough to see the page's side of it. */
function simulate(before: Rule[], after: Rule[]) {
  const matches = (end: string, key: string) =>
    end === "any" || end === key || (end.includes("*") && key.startsWith(end.slice(0, end.indexOf("*"))));
  const fate = (rules: Rule[], client: string, server: string) => {
    const rule = rules.find((rule) => rule.enabled && matches(rule.from, client) && matches(rule.to, server));
    return { effect: rule?.effect ?? "allow", rule: rule?.name ?? "", model: "", side: "client", host: "web1", mode: "enforce" };
  };
  const shifts: Record<string, unknown>[] = [];
  let edges = 0;
  for (const [client] of NODES) {
    for (const [server, , port] of NODES) {
      if (client === server || port === 0) continue;
      edges += 1;
      const [was, is] = [fate(before, client, server), fate(after, client, server)];
      if (was.effect === is.effect) continue;
      shifts.push({
        edge: { client: { service: client }, server: { service: server }, protocol: "tcp", port },
        connections: BigInt(edges * 13),
        lastSeen: ago(edges * 9_000),
        before: was,
        after: is,
        clientAddress: "10.86.0.1",
        serverAddress: "10.86.0.2",
        partly: edges % 4 === 0,
      });
    }
  }
  const tally = (effect: string) => {
    const own = shifts.filter(({ after }) => (after as { effect: string }).effect === effect);
    return { edges: BigInt(own.length), connections: BigInt(own.length * 91), recentEdges: BigInt(Math.min(2, own.length)), services: [] };
  };
  return {
    edges: BigInt(edges),
    connections: 48_211n,
    prevented: tally("prevent"),
    alerted: tally("alert"),
    allowed: tally("allow"),
    shifts,
  };
}

function lint(rules: Rule[]): Record<string, unknown>[] {
  return rules.flatMap(({ name, owner, expires }) => [
    ...(owner ? [] : [{ rule: name, fault: "ownerless", why: "Nobody answers for it.", fix: "Give it an owner." }]),
    ...(expires && String(expires) < "2026-11"
      ? [{ rule: name, fault: "expired", why: "It expired on 2026-06-30.", fix: "Delete it, or give it a new date." }]
      : []),
    ...(name === "telnet is gone"
      ? [
          {
            rule: name,
            fault: "wide",
            why: "It speaks of every unit, and nothing was ever seen on tcp/23.",
            fix: "Name the units.",
            other: "nobody else reads the database",
          },
        ]
      : []),
  ]);
}
