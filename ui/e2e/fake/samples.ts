/** What a made-up controller could have seen: rules, hosts, events, models and changes of a small shop. */

import { timestampFromDate } from "@bufbuild/protobuf/wkt";

export interface Rule {
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
export type Event = Record<string, unknown> & { id: bigint; kind: string; acknowledged: boolean };
export interface Obj {
  name: string;
  addresses: string[];
}
export const MINUTE = 60_000;
export const ago = (ms: number) => new Date(Date.now() - ms).toISOString();
export const stamp = (ms: number) => timestampFromDate(new Date(Date.now() - ms));

/** Names that a hostile host could send. */
export const HOSTILE = {
  html: '<img src=x onerror="document.title=1"><script>alert(1)</script>',
  bidi: "exe\u202egpj.sh\u2066 \u200bx",
  formula: "=cmd|' /C calc'!A0",
  long: "x".repeat(1 << 20),
  lines: "two\nlines\tand\u0000a\u009bnull",
};

export const NODES: [string, string, number, string][] = [
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
export const HOSTS = ["web1", "web2", "app1", "app2", "db1", "db2", "cache1", "queue1", "mon1", "mail1", "dns1", "old-bastion"];

export function rule(
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

export function someRules(more: number, hostile: boolean): Rule[] {
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

export function someHost(host: string, n: number): Record<string, unknown> {
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
    version: n % 4 === 2 ? "0.3.1" : "0.4.0",
    outdated: n % 4 === 2,
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

export const KINDS = [
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

export function someProcess(n: number, hostile: boolean): Record<string, unknown> {
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

export function someModel(service: string, phase: string, n: number, edges: boolean): Record<string, unknown> {
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

export function someAudit(): Record<string, unknown>[] {
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
export function changesBetween(before: Rule[], after: Rule[]): Record<string, unknown>[] {
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
export function simulate(before: Rule[], after: Rule[]) {
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
    live: {
      connections: BigInt(shifts.length * 7),
      hosts: 2,
      cuts: shifts.map(({ edge }) => ({ host: "web1", edge, connections: 7n })),
      silent: [{ host: "db1", why: "it is not connected" }],
    },
  };
}

export function lint(rules: Rule[]): Record<string, unknown>[] {
  return rules.flatMap(({ name, owner, expires }) => [
    ...(owner ? [] : [{ rule: name, fault: "ownerless", why: "Nobody answers for it.", fix: "give it an owner" }]),
    ...(expires && String(expires) < "2026-11"
      ? [{ rule: name, fault: "expired", why: "It expired on 2026-06-30.", fix: "delete it, or give it a new date" }]
      : []),
    ...(name === "telnet is gone"
      ? [
          {
            rule: name,
            fault: "wide",
            why: "It speaks of every unit, and nothing was ever seen on tcp/23.",
            fix: "name the units",
            other: "nobody else reads the database",
          },
        ]
      : []),
  ]);
}
