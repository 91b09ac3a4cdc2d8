//! The fixed messages. Some texts are as bad as a host can make them.

use cnnf_rpc::v1::*;

pub(crate) fn status() -> Status {
    Status {
        version: "0.1.0".into(),
        defenders: 3,
        connected: 2,
        services: 3,
        edges: 4,
        rules: 2,
        revision: 7,
        models: [("active".into(), 2), ("learning".into(), 1)].into(),
        open_events: 5,
        started: "2026-11-24T06:00:00Z".into(),
        conflicts: vec![AddressConflict { address: "10.86.0.2".into(), hosts: vec!["web1".into(), "web2".into()] }],
        unconfirmed: None,
        outdated: 1,
    }
}

pub(crate) fn unconfirmed(revision: u64, base_revision: u64, seconds: u32) -> UnconfirmedChange {
    UnconfirmedChange {
        revision,
        base_revision,
        who: "admin root".into(),
        at: "2026-11-24T06:38:00Z".into(),
        until: "2026-11-24T06:43:00Z".into(),
        left_ms: u64::from(seconds) * 1000 - 1,
    }
}

fn endpoint(address: &str, port: u32) -> Endpoint {
    Endpoint { protocol: "tcp".into(), address: address.into(), port }
}

fn instance(host: &str, endpoints: Vec<Endpoint>, live: bool) -> Instance {
    Instance { host: host.into(), host_id: format!("id-{host}"), endpoints, live }
}

pub(crate) fn services() -> Vec<Service> {
    let service = |key: &str, name: &str, phase: &str, mode: &str, instances| Service {
        key: key.into(),
        name: name.into(),
        instances,
        phase: phase.into(),
        mode: mode.into(),
    };
    vec![
        service("exe:/tmp/\u{1b}[2Jevil", "\u{1b}[2Jevil", "", "enforce", vec![instance("client", vec![], false)]),
        service(
            "unit:nginx",
            "nginx",
            "active",
            "enforce",
            vec![
                instance("web1", vec![endpoint("", 80), endpoint("::1", 443)], true),
                instance("web2", vec![endpoint("10.86.0.2", 80)], false),
            ],
        ),
        service("unit:redis", "redis", "learning", "observe", vec![instance("db", vec![endpoint("", 6379)], true)]),
    ]
}

fn service_peer(key: &str) -> Option<Peer> {
    Some(Peer { service: key.into(), ..Peer::default() })
}

pub(crate) fn edges() -> Vec<ObservedEdge> {
    let edge = |client, server, protocol: &str, port, status: &str, connections, bytes| ObservedEdge {
        client,
        server,
        protocol: protocol.into(),
        port,
        status: status.into(),
        connections,
        bytes,
        first_seen: "2026-11-24T06:00:01Z".into(),
        last_seen: "2026-11-24T06:30:00.250Z".into(),
    };
    let address = Some(Peer { address: "192.0.2.0/24".into(), ..Peer::default() });
    let office = Some(Peer { object: "office".into(), ..Peer::default() });
    vec![
        edge(service_peer("unit:fetch"), service_peer("unit:nginx"), "tcp", 80, "prevented", 120, 1_572_864),
        edge(service_peer("unit:nginx"), service_peer("unit:redis"), "tcp", 6379, "alerted", 40, 0),
        edge(office, service_peer("unit:nginx"), "tcp", 443, "by_rule", 3, 900),
        edge(service_peer("unit:nginx"), address, "icmp", 0, "learning", 1, 84),
    ]
}

pub(crate) fn differences() -> DiffEdgesResponse {
    let [a, b, c, _] = edges().try_into().expect("four");
    DiffEdgesResponse {
        new: vec![a],
        gone: vec![c],
        changed: vec![ChangedEdge { edge: Some(b), connections_before: 400 }],
        before: "2026-11-24T05:00:00Z".into(),
        since: "2026-11-24T06:00:00Z".into(),
        until: "2026-11-24T07:00:00Z".into(),
    }
}

pub(crate) fn reach() -> Reach {
    let way = |ports: &str, effect: &str, rule: &str, listening: &[&str], seen: &[(u32, u64)]| ReachWay {
        ports: vec![ports.into()],
        effect: effect.into(),
        rule: rule.into(),
        refused: effect == "prevent",
        listening: listening.iter().map(|text| (*text).to_owned()).collect(),
        seen: seen
            .iter()
            .map(|(port, connections)| ReachSeen {
                protocol: "tcp".into(),
                port: *port,
                connections: *connections,
                first_seen: "2026-11-24T06:00:00Z".into(),
                last_seen: "2026-11-24T07:00:00Z".into(),
            })
            .collect(),
        ..ReachWay::default()
    };
    let target = |peer: Peer, standing: &str, ways: Vec<ReachWay>| ReachTarget {
        peer: Some(peer),
        standing: standing.into(),
        ways,
    };
    let service = |key: &str| Peer { service: key.into(), ..Peer::default() };
    let dns = ReachWay { failsafe: true, ..way("udp/53", "allow", "", &[], &[]) };
    let rest = || way("any", "prevent", "nobody else", &[], &[]);
    let observed = ReachWay { refused: false, partly: true, ..way("any", "prevent", "nobody else", &["tcp/22"], &[]) };
    let count = |all, may, seen, unused| Some(ReachCount { all, may, seen, unused });
    Reach {
        service: "unit:nginx".into(),
        phase: "learning".into(),
        services: count(4, 3, 1, 2),
        ports: count(6, 4, 1, 3),
        targets: vec![
            target(
                service("unit:redis"),
                "used",
                vec![
                    dns.clone(),
                    way("tcp/6379-6380", "allow", "cache", &["tcp/6379", "tcp/6380"], &[(6379, 40)]),
                    rest(),
                ],
            ),
            target(
                service("unit:evil\u{1b}[2J"),
                "refused",
                vec![dns.clone(), way("any", "prevent", "nobody else", &["tcp/1"], &[])],
            ),
            target(service("unit:sshd"), "unused", vec![observed]),
            target(
                Peer { address: "internet".into(), ..Peer::default() },
                "cut",
                vec![dns, way("any", "prevent", "nobody else", &[], &[(443, 2)])],
            ),
        ],
        cut_short: false,
        next_token: String::new(),
    }
}

pub(crate) fn radar(group_by: &str) -> Radar {
    let node = |id: &str, name: &str, kind: &str, hosts: &[&str], phase: &str, worst: &str| RadarNode {
        id: id.into(),
        name: name.into(),
        kind: kind.into(),
        instances: u32::try_from(hosts.len()).expect("few"),
        hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
        phase: phase.into(),
        mode: if kind == "service" { "enforce".into() } else { String::new() },
        worst: worst.into(),
        group: if group_by == "host" {
            hosts.first().map(|h| (*h).to_owned()).unwrap_or_default()
        } else {
            String::new()
        },
    };
    Radar {
        nodes: vec![
            node("unit:fetch", "fetch", "service", &["client"], "active", "prevented"),
            node("unit:nginx", "nginx", "service", &["web1", "web2"], "active", "prevented"),
            node("unit:redis", "redis", "service", &["db"], "learning", "alerted"),
            node("container:redis", "redis", "service", &["db"], "", ""),
            node("office", "office", "object", &[], "", "by_rule"),
            node("192.0.2.0/24", "192.0.2.0/24", "address", &[], "", "learning"),
        ],
        edges: edges(),
    }
}

pub(crate) fn models() -> Vec<Model> {
    let edge = LearnedEdge {
        edge: Some(Edge {
            client: service_peer("unit:fetch"),
            server: service_peer("unit:nginx"),
            protocol: "tcp".into(),
            port: 80,
        }),
        first_seen: "2026-11-24T06:00:01Z".into(),
        last_seen: "2026-11-24T06:30:00Z".into(),
        connections: 120,
        origin: "learned".into(),
    };
    let transfer = LearnedEdge {
        edge: Some(Edge {
            client: service_peer("unit:nginx"),
            server: Some(Peer { address: "192.0.2.0/24".into(), ..Peer::default() }),
            protocol: "tcp".into(),
            port: 0,
        }),
        first_seen: "2026-11-24T06:09:00Z".into(),
        last_seen: "2026-11-24T06:09:00Z".into(),
        connections: 1,
        origin: "would_alert".into(),
    };
    vec![
        Model {
            service: "unit:nginx".into(),
            phase: "active".into(),
            since: "2026-11-24T06:10:00Z".into(),
            observed: "20m".into(),
            edge_count: 2,
            connections: 121,
            anomaly_effect: "alert".into(),
            unseen_probability: 0.008_333,
            edges: vec![edge, transfer],
            expected_events: Some(1.25),
            exposed: "19h 12m".into(),
            decisions: vec![
                ModelDecision {
                    at: "2026-11-24T06:20:00Z".into(),
                    who: "jo".into(),
                    action: "effect".into(),
                    phase_before: "active".into(),
                    phase: "active".into(),
                    edges_before: 2,
                    edges: 2,
                    audit_id: 9,
                    ..ModelDecision::default()
                },
                ModelDecision {
                    at: "2026-11-24T06:10:00Z".into(),
                    who: "ann".into(),
                    action: "approve".into(),
                    edge: "unit:nginx → 192.0.2.0/24 tcp/dynamic".into(),
                    reason: "OPS-7: backups\u{1b}[2J".into(),
                    phase_before: "dry_run".into(),
                    phase: "active".into(),
                    edges_before: 1,
                    edges: 2,
                    audit_id: 7,
                    ..ModelDecision::default()
                },
            ],
            ..Model::default()
        },
        Model {
            service: "unit:redis".into(),
            phase: "learning".into(),
            observed: "42s".into(),
            manual: true,
            ..Model::default()
        },
        Model { service: "unit:old".into(), phase: "archived".into(), resume: "dry_run".into(), ..Model::default() },
    ]
}

pub(crate) fn events() -> Vec<Event> {
    let process = Process {
        pid: 4711,
        exe: "/usr/bin/curl".into(),
        cmdline: "curl http://10.86.0.1/\n\u{1b}]0;owned\u{7}\u{202e}".into(),
        user: "root".into(),
        unit: "fetch.service".into(),
        cgroup: "/system.slice/fetch.service".into(),
        missing: String::new(),
        started: "2026-11-24T06:19:59.5Z".into(),
        sha256: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad".into(),
        parents: vec![
            Ancestor { pid: 900, program: "/usr/bin/evil\u{1b}[2J".into() },
            Ancestor { pid: 1, program: "/usr/lib/systemd/systemd".into() },
        ],
        network_namespace: 4_026_531_840,
        container: String::new(),
    };
    let party = |service: &str, host: &str, address: &str, port| {
        Some(EventParty { service: service.into(), host: host.into(), address: address.into(), port })
    };
    vec![
        Event {
            id: 12,
            kind: "rule_alert".into(),
            client: party("unit:fetch", "client", "10.86.0.3", 0),
            server: party("unit:nginx", "web1", "10.86.0.1", 80),
            protocol: "tcp".into(),
            port: 80,
            rule: "watch the page".into(),
            rule_id: 3,
            rule_revision: 7,
            side: "client".into(),
            count: 9,
            first_seen: "2026-11-24T06:20:00Z".into(),
            last_seen: "2026-11-24T06:20:09Z".into(),
            process: Some(process.clone()),
            samples: vec![process, Process { missing: "it ended too soon".into(), ..Process::default() }],
            ..Event::default()
        },
        Event {
            id: 11,
            kind: "anomaly_prevent".into(),
            client: party("", "", "2001:db8::9", 0),
            server: party("unit:redis", "db", "fd86::4", 6379),
            protocol: "tcp".into(),
            port: 6379,
            model: "unit:redis".into(),
            side: "server".into(),
            count: 1,
            first_seen: "2026-11-24T06:10:00Z".into(),
            last_seen: "2026-11-24T06:10:00Z".into(),
            ..Event::default()
        },
        Event {
            id: 10,
            kind: "tamper".into(),
            host: "web2".into(),
            message: "table inet cnnf was flushed by nft".into(),
            count: 1,
            first_seen: "2026-11-24T06:05:00Z".into(),
            last_seen: "2026-11-24T06:05:00Z".into(),
            acknowledged: true,
            ..Event::default()
        },
    ]
}

pub(crate) fn defenders() -> Vec<Defender> {
    let defender = |host: &str, id: &str, connected, desired, applied, outcome: &str| Defender {
        host: host.into(),
        id: id.into(),
        labels: [("env".into(), "prod".into()), ("site".into(), "fra".into())].into(),
        addresses: vec!["10.86.0.1".into(), "fd86::1".into()],
        connected,
        mode: "enforce".into(),
        version: "0.1.0".into(),
        desired_generation: desired,
        applied_generation: applied,
        outcome: outcome.into(),
        queue: "native".into(),
        last_seen: "2026-11-24T06:30:00Z".into(),
        counters: [("flows".into(), 1200), ("queue_drops".into(), 0)].into(),
        ..Defender::default()
    };
    vec![
        defender("web1", "h-1", true, 5, 5, "applied"),
        Defender {
            certificate_expires: "2026-11-27T12:00:00Z".into(),
            clock_behind_ms: 3_600_417,
            ..defender("web2", "h-2", true, 6, 5, "applied")
        },
        Defender {
            version: "0.0.9".into(),
            outdated: true,
            message: "Operation not supported".into(),
            not_covered: vec!["network namespace 1 of container:nginx\u{1b}[2J (2 processes)".into()],
            ..defender("db", "h-3", false, 6, 5, "failed")
        },
        defender("twin", "h-4", true, 1, 1, "applied"),
        defender("twin", "h-5", true, 1, 1, "applied"),
    ]
}

pub(crate) fn rules() -> Vec<Rule> {
    vec![
        Rule {
            id: 3,
            name: "watch the page".into(),
            position: 1,
            enabled: true,
            from: "unit:fetch".into(),
            to: "unit:nginx".into(),
            ports: vec!["tcp/80,443".into()],
            effect: "alert".into(),
            on_failure: "open".into(),
            revision: 7,
            hits: 9,
            last_used: "2026-11-24T06:20:09Z".into(),
            ..Rule::default()
        },
        Rule {
            id: 2,
            name: "nobody else".into(),
            position: 2,
            enabled: false,
            from: "office".into(),
            to: "unit:postgresql@*".into(),
            to_labels: [("env".into(), "prod".into())].into(),
            ports: vec!["any".into()],
            effect: "prevent".into(),
            on_failure: "closed".into(),
            learned: "allow".into(),
            expires: "2027-01-31".into(),
            owner: "dba".into(),
            ticket: "OPS-12".into(),
            notes: "two\nlines, and a * in it: yes".into(),
            revision: 4,
            ..Rule::default()
        },
    ]
}

pub(crate) fn objects() -> Vec<AddressObject> {
    vec![AddressObject {
        name: "office".into(),
        addresses: vec!["10.8.0.0/16".into(), "2001:db8:8::/48".into()],
        ..Default::default()
    }]
}

pub(crate) fn explanation() -> ExplainResponse {
    let step = |what: &str, matched| ExplainStep { what: what.into(), matched };
    ExplainResponse {
        effect: "prevent".into(),
        rule: "nobody else".into(),
        side: "client".into(),
        host: "client".into(),
        mode: "observe".into(),
        steps: vec![step("rule 'watch the page' (alert)", false), step("rule 'nobody else' (prevent)", true)],
        ..ExplainResponse::default()
    }
}

pub(crate) fn revisions() -> Vec<Revision> {
    let field = |field: &str, before: &str, after: &str| FieldChange {
        field: field.into(),
        before: before.into(),
        after: after.into(),
    };
    let revision = |revision, who: &str, reason: &str, summary: &str| Revision {
        revision,
        at: format!("2026-11-24T06:3{revision}:00Z"),
        who: who.into(),
        reason: reason.into(),
        summary: summary.into(),
        changes: Vec::new(),
        note: String::new(),
    };
    let change = |change: &str, kind: &str, name: &str, positions: (u32, u32), fields| PolicyChange {
        change: change.into(),
        kind: kind.into(),
        name: name.into(),
        position_before: positions.0,
        position_after: positions.1,
        fields,
    };
    let changes = vec![
        change("changed", "object", "office", (0, 0), vec![field("addresses", "10.8.0.0/16", "10.9.0.0/16, 10.8.0.1")]),
        change(
            "added",
            "rule",
            "watch the page",
            (0, 1),
            vec![
                field("from", "", "unit:fetch"),
                field("to", "", "unit:nginx where env=prod"),
                field("ports", "", "tcp/80"),
                field("effect", "", "alert"),
            ],
        ),
        change(
            "changed",
            "rule",
            "nobody else",
            (1, 2),
            vec![field("effect", "alert", "prevent"), field("owner", "", "dba\u{1b}[2J")],
        ),
        change("moved", "rule", "first", (3, 1), Vec::new()),
        change("deleted", "rule", "old", (4, 0), vec![field("from", "any", ""), field("to", "unit:db", "")]),
    ];
    vec![
        revision(3, "admin root", "OPS-7: \u{1b}[2J", "1 added, 1 changed, 1 moved, 1 deleted, 1 object"),
        Revision { note: "confirmed by admin ann".into(), ..revision(2, "admin ann", "", "1 changed") },
        Revision { changes, ..revision(1, "admin root", "first", "1 added") },
    ]
}

fn edge_of(client: Peer, server: &str, port: u32) -> Option<Edge> {
    let server = Some(Peer { service: server.into(), ..Peer::default() });
    Some(Edge { client: Some(client), server, protocol: "tcp".into(), port })
}

pub(crate) fn simulation(changes: bool) -> SimulatePolicyResponse {
    let nothing = SimulatePolicyResponse {
        edges: 40,
        connections: 9_000,
        prevented: Some(Tally::default()),
        alerted: Some(Tally::default()),
        allowed: Some(Tally::default()),
        shifts: Vec::new(),
        live: Some(LiveCut { hosts: 2, ..LiveCut::default() }),
    };
    if !changes {
        return nothing;
    }
    let fate = |effect: &str, rule: &str, model: &str, mode: &str| Fate {
        effect: effect.into(),
        rule: rule.into(),
        model: model.into(),
        side: "client".into(),
        host: "web\u{1b}1".into(),
        mode: mode.into(),
    };
    let shift = |connections, before, after, partly| Shift {
        edge: edge_of(Peer { service: "unit:fetch".into(), ..Peer::default() }, "unit:nginx", 80),
        connections,
        last_seen: "2026-11-24T06:30:00Z".into(),
        before: Some(before),
        after: Some(after),
        partly,
        client_address: "10.0.0.1".into(),
        server_address: "10.0.0.2".into(),
    };
    let tally = |edges, connections, recent_edges| Tally {
        edges,
        connections,
        recent_edges,
        services: vec!["unit:fetch".into(), "unit:nginx".into()],
    };
    SimulatePolicyResponse {
        prevented: Some(tally(2, 77, 1)),
        alerted: Some(tally(1, 5, 0)),
        shifts: vec![
            shift(70, fate("allow", "", "", ""), fate("prevent", "nobody else", "", "observe"), true),
            shift(7, fate("alert", "watch", "", ""), fate("prevent", "nobody else", "", "enforce"), false),
            shift(5, fate("allow", "", "", ""), fate("alert", "", "unit:nginx", "enforce"), false),
        ],
        live: Some(live_cut()),
        ..nothing
    }
}

pub(crate) fn live_cut() -> LiveCut {
    let edge = edge_of(Peer { service: "unit:fetch".into(), ..Peer::default() }, "unit:nginx", 80);
    LiveCut {
        connections: 12,
        cuts: vec![HostCut { host: "web\u{1b}1".into(), edge, connections: 12 }],
        hosts: 1,
        silent: vec![SilentHost { host: "db1".into(), why: "it is not connected".into() }],
    }
}

pub(crate) fn findings() -> Vec<Finding> {
    let finding = |rule: &str, fault: &str, why: &str, fix: &str, other: &str| Finding {
        rule: rule.into(),
        fault: fault.into(),
        why: why.into(),
        fix: fix.into(),
        other: other.into(),
    };
    vec![
        finding("late", "shadowed", "rule 'first' decides all of it already, to the same effect", "delete it", "first"),
        finding("late\u{202e}", "ownerless", "nobody answers for it", "give it an owner", ""),
    ]
}

pub(crate) fn suggestions(rest: &str) -> SuggestRulesResponse {
    let rule = |name: &str, from: &str, to: &str, ports: &str, effect: &str| Rule {
        name: name.into(),
        enabled: true,
        from: from.into(),
        to: to.into(),
        ports: vec![ports.into()],
        effect: effect.into(),
        on_failure: "open".into(),
        ..Rule::default()
    };
    let seen = |client: Peer, connections| LearnedEdge {
        edge: edge_of(client, "unit:nginx", 80),
        first_seen: "2026-11-24T06:00:00Z".into(),
        last_seen: "2026-11-24T06:30:00Z".into(),
        connections,
        ..LearnedEdge::default()
    };
    let service = Peer { service: "unit:fetch".into(), ..Peer::default() };
    let object = Peer { object: "office".into(), ..Peer::default() };
    let mut suggestions = vec![
        Suggestion {
            rule: Some(rule("unit:fetch to unit:nginx", "unit:fetch", "unit:nginx", "tcp/80", "allow")),
            witnesses: vec![seen(service, 1)],
            widened: Vec::new(),
        },
        Suggestion {
            rule: Some(rule("object:office to unit:nginx", "office", "unit:nginx", "tcp/80,32768-65535", "allow")),
            witnesses: vec![seen(object, 40)],
            widened: vec!["all of tcp/32768-65535, of which 8 or more were seen".into()],
        },
    ];
    if !rest.is_empty() {
        let rule = Some(rule("anybody else to unit:nginx", "any", "unit:nginx", "any", rest));
        suggestions.push(Suggestion { rule, ..Suggestion::default() });
    }
    SuggestRulesResponse { suggestions, objects: objects() }
}

pub(crate) fn definitions() -> Vec<ServiceDefinition> {
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    vec![
        ServiceDefinition {
            name: "web".into(),
            position: 1,
            units: texts(&["apache2", "nginx"]),
            labels: [("env".to_owned(), "prod".to_owned())].into(),
            changed_by: "administrator 'root'".into(),
            changed: "2026-11-24T10:00:00Z".into(),
            ..ServiceDefinition::default()
        },
        ServiceDefinition {
            name: "jobs".into(),
            position: 2,
            executables: texts(&["/opt/\u{1b}[2J/*.py"]),
            users: texts(&["www-data"]),
            ports: texts(&["tcp/80,443"]),
            changed_by: "administrator 'root'".into(),
            changed: "2026-11-24T10:00:01Z".into(),
            ..ServiceDefinition::default()
        },
    ]
}

pub(crate) fn would_rename() -> PreviewDefinitionResponse {
    let renaming = |host: &str, old: &str, new: &str, certainty: &str, live| Renaming {
        host: host.into(),
        host_id: format!("id-{host}"),
        old: old.into(),
        new: new.into(),
        certainty: certainty.into(),
        live,
    };
    let by_process = |host: &str, trouble: &str| ByProcess {
        host: host.into(),
        host_id: format!("id-{host}"),
        service: "unit:shop".into(),
        trouble: trouble.into(),
    };
    PreviewDefinitionResponse {
        renamings: vec![
            renaming("web1", "unit:nginx", "svc:web", "yes", true),
            renaming("web1", "unit:shop", "svc:web", "maybe", false),
            renaming("web2", "svc:old", "", "yes", true),
        ],
        lost: vec![LostKey {
            service: "unit:nginx".into(),
            certainty: "yes".into(),
            rules: vec!["to nginx".into(), "all \u{202e}units".into()],
            phase: "active".into(),
            mode: String::new(),
        }],
        by_process: vec![
            by_process("web1", ""),
            by_process("web2", ""),
            by_process("old", "its kernel cannot queue packets"),
        ],
        unknown: vec!["what runs now on hosts that are not connected: db1".into()],
        hosts: vec!["web1".into(), "web2".into()],
        revision: 4,
    }
}

pub(super) fn at(minute: u64) -> Option<prost_types::Timestamp> {
    // 2026-11-24T06:00:00Z
    Some(cnnf_rpc::convert::common::stamp(cnnf_core::time::Timestamp((1_795_500_000 + minute * 60) * 1000)))
}

pub(crate) fn users() -> Vec<User> {
    let user = |name: &str, role: &str, disabled, must_change_password, last_sign_in| User {
        name: name.into(),
        role: role.into(),
        disabled,
        must_change_password,
        created: at(0),
        last_sign_in,
        issuer: String::new(),
    };
    vec![
        user("admin", "admin", false, false, at(5)),
        user("jo", "auditor", true, false, at(1)),
        user("new", "operator", false, true, None),
    ]
}

pub(crate) fn tokens() -> Vec<ApiToken> {
    let token = |name: &str, role: &str, last_used| ApiToken {
        name: name.into(),
        role: role.into(),
        created_by: "admin".into(),
        created: at(0),
        expires: at(90 * 24 * 60),
        last_used,
    };
    vec![token("backup", "auditor", at(7)), token("ci", "operator", None)]
}

pub(crate) fn audit() -> Vec<AuditEntry> {
    let entry = |id, actor: &str, via: &str, action: &str, subject: &str, before: &str, after: &str| AuditEntry {
        id,
        at: at(id),
        actor: actor.into(),
        via: via.into(),
        address: if via.is_empty() { String::new() } else { "10.0.0.7".into() },
        action: action.into(),
        subject: subject.into(),
        before: before.into(),
        after: after.into(),
        hash: format!("{id:064x}"),
    };
    vec![
        entry(3, "admin", "session", "settings.set", "learn_for", "\"1h\"", "\"2h\""),
        entry(2, "ci", "token", "host.delete", "web\u{202e}1\x1b[2J", "{\"id\":\"h-1\"}", ""),
        entry(1, "controller", "", "user.add", "admin", "", "{\"role\":\"admin\"}"),
    ]
}
