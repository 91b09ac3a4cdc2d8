//! Models and events.

use cnnf_rpc::v1::*;

use super::service_peer;

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
