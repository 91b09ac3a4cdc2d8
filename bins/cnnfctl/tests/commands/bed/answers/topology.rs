//! Services and edges.

use cnnf_rpc::v1::*;

use super::service_peer;

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
        before_until: "2026-11-24T06:00:00Z".into(),
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
