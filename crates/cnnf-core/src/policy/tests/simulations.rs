//! A simulation says what every host would.

use std::collections::BTreeMap;
use std::net::IpAddr;

use proptest::collection::vec;
use proptest::prelude::*;

use crate::failsafe::Failsafes;
use crate::flow::FlowStats;
use crate::id::ServiceKey;
use crate::net::{Ports, Protocol};
use crate::policy::{Connection, Effect, Party, PolicySet, Vantage, deciding, evaluate, simulate};
use crate::ruleset::tests::world::{NOW, World, rule, world};
use crate::time::Timestamp;
use crate::topology::{Edge, Peer, parse_port};

fn edge() -> impl Strategy<Value = Edge> {
    let service = prop::sample::select(&["unit:web", "exe:/usr/bin/curl", "unit:pg@a", "unit:pg@b", "unknown"][..]);
    let address = prop::sample::select(&["192.0.2.0/24", "10.0.0.99", "203.0.113.0/24", "object:office"][..]);
    let service = service.prop_map(|text| text.parse::<Peer>().expect("peer"));
    let address = address.prop_map(|text| text.parse::<Peer>().expect("peer"));
    let port = prop::sample::select(&["tcp/80", "tcp/443", "tcp/5432", "udp/53", "icmp", "udp/dynamic"][..]);
    (prop_oneof![3 => service.clone(), 1 => address], service, port, any::<bool>()).prop_map(|(a, b, port, turned)| {
        let (protocol, port) = parse_port(port).expect("port");
        let (client, server) = if turned { (b, a) } else { (a, b) };
        Edge { client, server, protocol, port }
    })
}

/// Every place that an end may have been at.
fn everywhere(world: &World, peer: &Peer) -> Vec<Party> {
    match peer {
        Peer::Service(key) => {
            let hosts = world.directory.hosts().filter(|(_, host)| host.instances.contains_key(key));
            let party = |(id, address): (&crate::id::HostId, &IpAddr)| Party {
                host: Some(id.clone()),
                service: Some(key.clone()),
                address: *address,
            };
            hosts.flat_map(|(id, host)| host.addresses.iter().map(move |a| (id, a))).map(party).collect()
        }
        peer => {
            let texts: &[&str] = match peer {
                Peer::Object(_) => &["192.0.2.0", "192.0.2.127", "10.0.0.3"],
                Peer::Address(range) if range.is_single() => &["10.0.0.99"],
                Peer::Address(range) if range.contains("192.0.2.1".parse().expect("address")) => {
                    &["192.0.2.0", "192.0.2.7", "192.0.2.128", "192.0.2.255"]
                }
                _ => &["203.0.113.0", "203.0.113.5"],
            };
            let party = |text: &&str| {
                let address = text.parse().expect("address");
                let host = world.directory.host_of(address).map(|(id, _)| id.clone());
                Party { host, service: None, address }
            };
            texts.iter().map(party).collect()
        }
    }
}

fn effect(world: &World, policy: &PolicySet, connection: &Connection) -> Effect {
    let pass = |side| world.failsafes.pass(side == Vantage::Client, connection.protocol, connection.port);
    let judge = |side| match pass(side) {
        true => Effect::Allow,
        false => evaluate(policy, &world.directory, connection, side, NOW).effect,
    };
    deciding(connection, judge, |effect| *effect).1
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn what_is_said_of_an_edge_is_what_plain_judgement_says_of_every_place(
        world in world(),
        more in vec(rule(), 1..4),
        edges in vec(edge(), 1..12),
    ) {
        let mut draft = world.policy.clone();
        for (n, rule) in more.into_iter().enumerate() {
            draft.rules.insert(n.min(draft.rules.len()), rule);
        }
        let stats = |n: usize| FlowStats { connections: n as u64 + 1, bytes: 0, first: Timestamp(1), last: Timestamp(2) };
        let seen: BTreeMap<Edge, FlowStats> = edges.into_iter().enumerate().map(|(n, edge)| (edge, stats(n))).collect();
        let result = simulate(&world.policy, &draft, &world.directory, &world.failsafes, &seen, NOW);
        prop_assert_eq!(result.edges, seen.len() as u64);
        let changes = [&result.prevented, &result.alerted, &result.allowed];
        prop_assert_eq!(changes.iter().map(|tally| tally.edges).sum::<u64>(), result.shifts.len() as u64);
        for (edge, stats) in &seen {
            let shift = result.shifts.iter().find(|shift| shift.edge == *edge);
            let mut outcomes = Vec::new();
            for client in everywhere(&world, &edge.client) {
                for server in everywhere(&world, &edge.server) {
                    if client.address.is_ipv4() != server.address.is_ipv4() {
                        continue;
                    }
                    let ports: &[u16] = match edge.protocol {
                        Protocol::Icmp if client.address.is_ipv4() => &[8],
                        Protocol::Icmp => &[128],
                        _ if edge.is_dynamic() => &[32_768, 40_000, 65_535],
                        _ => &[edge.port],
                    };
                    for port in ports {
                        let (client, server) = (client.clone(), server.clone());
                        let connection = Connection { client, server, protocol: edge.protocol, port: *port };
                        outcomes.push((effect(&world, &world.policy, &connection), effect(&world, &draft, &connection)));
                    }
                }
            }
            if outcomes.is_empty() {
                continue; // a service that runs nowhere any more
            }
            let strictest = outcomes.iter().filter(|(before, after)| before != after).map(|(_, after)| *after).max();
            prop_assert_eq!(shift.map(|shift| shift.after.effect), strictest, "{:?} {:?}", edge, outcomes);
            if let Some(shift) = shift {
                prop_assert_eq!(shift.stats, *stats);
                prop_assert!(outcomes.contains(&(shift.before.effect, shift.after.effect)));
                prop_assert_eq!(shift.partly, outcomes.iter().any(|(before, after)| before == after));
            }
        }
    }
}

#[test]
fn what_is_newly_refused_comes_first_and_is_counted_with_its_services() {
    let world = crate::policy::PolicySet::default();
    let directory = crate::directory::Directory::default();
    let edge = |client: &str, port| Edge {
        client: client.parse().expect("peer"),
        server: "unit:db".parse().expect("peer"),
        protocol: crate::net::Protocol::Tcp,
        port,
    };
    let stats = |connections| FlowStats { connections, bytes: 0, first: Timestamp(1), last: Timestamp(2) };
    let seen = [(edge("unit:a", 1), stats(500)), (edge("unit:b", 2), stats(3)), (edge("unit:c", 3), stats(4))];
    let rule = |port: &str, effect| crate::policy::Rule {
        ports: Ports::parse(&[port]).expect("ports"),
        ..super::examples::rule(1, crate::policy::End::Any, super::examples::service("unit:db"), effect)
    };
    let rules = vec![rule("tcp/1", Effect::Alert), rule("tcp/2,3", Effect::Prevent)];
    let draft = PolicySet { rules: rules.into(), ..world.clone() };
    let failsafes = Failsafes { ingress: Ports::Only(Vec::new()), egress: Ports::Only(Vec::new()) };
    let seen: BTreeMap<Edge, FlowStats> = seen.into();
    let result = simulate(&world, &draft, &directory, &failsafes, &seen, NOW);
    let ports: Vec<u16> = result.shifts.iter().map(|shift| shift.edge.port).collect();
    assert_eq!(ports, [3, 2, 1]);
    assert_eq!((result.prevented.edges, result.prevented.connections, result.alerted.connections), (2, 7, 500));
    let names: Vec<&str> = result.prevented.services.iter().map(ServiceKey::as_str).collect();
    assert_eq!(names, ["unit:b", "unit:c", "unit:db"]);
    let back = simulate(&draft, &world, &directory, &failsafes, &seen, NOW);
    assert_eq!((back.allowed.edges, back.prevented.edges), (3, 0));
    let always = Failsafes { egress: Ports::Any, ..failsafes };
    assert!(simulate(&world, &draft, &directory, &always, &seen, NOW).shifts.is_empty());
}
