//! What is said of a service's reach is what plain judgement says of every place and port.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::examples::{rule, service};
use crate::directory::{Directory, Endpoint, Host, Instance};
use crate::failsafe::Failsafes;
use crate::flow::FlowStats;
use crate::id::{HostId, ServiceKey};
use crate::label::Labels;
use crate::model::{Model, Phase, Seen};
use crate::net::{Ports, Protocol};
use crate::policy::{
    AddressObject, Connection, Effect, End, Mode, Party, PolicySet, Reach, Rule, Standing, Vantage, deciding, evaluate,
    reach,
};
use crate::ruleset::tests::world::{NOW, World, world};
use crate::time::Timestamp;
use crate::topology::{Edge, Peer};

/// Ports on both sides of everything that generated worlds speak of.
const PORTS: [u16; 16] = [0, 1, 22, 53, 79, 80, 81, 442, 443, 444, 5431, 5432, 5433, 8080, 40_000, 65_535];

/// Whether it is refused, and the effect.
fn outcome(world: &World, connection: &Connection) -> (bool, Effect) {
    let pass = |side| world.failsafes.pass(side == Vantage::Client, connection.protocol, connection.port);
    let judge = |side| match pass(side) {
        true => Effect::Allow,
        false => evaluate(&world.policy, &world.directory, connection, side, NOW).effect,
    };
    let (side, effect) = deciding(connection, judge, |effect| *effect);
    let local = if side == Vantage::Client { &connection.client } else { &connection.server };
    let host = local.host.as_ref().and_then(|id| world.directory.host(id));
    let mode = host.map(|host| world.policy.mode_of(host.mode, local.service.as_ref()));
    (effect == Effect::Prevent && mode != Some(Mode::Observe), effect)
}

fn on_hosts(world: &World, key: &ServiceKey) -> Vec<Party> {
    let hosts = world.directory.hosts().filter(|(_, host)| host.instances.contains_key(key));
    let at = hosts.flat_map(|(id, host)| host.addresses.iter().map(move |address| (id, *address)));
    at.map(|(id, address)| Party { host: Some(id.clone()), service: Some(key.clone()), address }).collect()
}

/// Every place of a target; of addresses that stand for others, some.
fn places(world: &World, peer: &Peer) -> Vec<Party> {
    let texts: &[&str] = match peer {
        Peer::Service(key) => return on_hosts(world, key),
        Peer::Address(range) if range.is_single() => return vec![at(world, range.low())],
        Peer::Internet => &["203.0.113.5", "2a00::5"],
        _ => &[],
    };
    texts.iter().map(|text| at(world, text.parse().expect("address"))).collect()
}

fn at(world: &World, address: std::net::IpAddr) -> Party {
    Party { host: world.directory.host_of(address).map(|(id, _)| id.clone()), service: None, address }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn a_reach_is_what_plain_judgement_says_of_every_place_and_port(world in world(), which in 0_usize..8) {
        let services: Vec<ServiceKey> = world.directory.hosts().flat_map(|(_, host)| host.instances.keys().cloned()).collect();
        prop_assume!(!services.is_empty());
        let own = &services[which % services.len()];
        let found = reach(own, &world.policy, &world.directory, &world.failsafes, &BTreeMap::new(), NOW);
        prop_assert!(!found.cut_short);
        let listening = |key: &ServiceKey| {
            world.directory.hosts().any(|(_, host)| {
                let shared = host.instances.contains_key(own);
                let open = |e: &Endpoint| shared || e.address.is_none_or(|address| !address.is_loopback());
                host.instances.get(key).is_some_and(|instance| instance.endpoints.iter().any(open))
            })
        };
        let heard = found.targets.iter().filter(|target| matches!(&target.peer, Peer::Service(_))).count();
        let all: std::collections::BTreeSet<&ServiceKey> = services.iter().filter(|key| listening(key)).collect();
        prop_assert_eq!((heard, found.services.all), (all.len(), all.len() as u64));
        for target in &found.targets {
            prop_assert_eq!(target.ways.iter().position(|way| way.ports == Ports::Any), Some(target.ways.len() - 1));
            let servers = places(&world, &target.peer);
            if matches!(&target.peer, Peer::Internet) && world.policy.rules.iter().any(|rule| {
                matches!(&rule.destination, End::Addresses(_) | End::Object(_))
            }) {
                continue; // these may be somebody's
            }
            for protocol in [Protocol::Tcp, Protocol::Udp, Protocol::Icmp, Protocol::Other(47)] {
                for port in PORTS {
                    let mut outcomes = Vec::new();
                    for client in on_hosts(&world, own) {
                        for server in servers.iter().filter(|server| server.address.is_ipv4() == client.address.is_ipv4()) {
                            let port = match protocol {
                                Protocol::Icmp => crate::net::icmp::echo_request(client.address.is_ipv6()),
                                _ => port,
                            };
                            let (client, server) = (client.clone(), server.clone());
                            outcomes.push(outcome(&world, &Connection { client, server, protocol, port }));
                        }
                    }
                    let Some(least) = outcomes.iter().min() else { continue };
                    let way = target.ways.iter().find(|way| way.ports.contains(protocol, port)).expect("the last has all");
                    prop_assert_eq!((way.refused, way.effect), *least, "{:?} {}/{} {:?}", target.peer, protocol, port, way);
                    prop_assert_eq!(way.partly, outcomes.iter().any(|one| one != least), "{:?} {:?}", target.peer, outcomes);
                }
            }
        }
    }
}

fn key(text: &str) -> ServiceKey {
    text.parse().expect("key")
}

fn host(n: u8, mode: Mode, services: &[(&str, &[u16])]) -> (HostId, Host) {
    let endpoint = |port: &u16| Endpoint { protocol: Protocol::Tcp, address: None, port: *port };
    let instance = |ports: &[u16]| Instance { endpoints: ports.iter().map(endpoint).collect(), ..Instance::default() };
    let host = Host {
        name: format!("h{n}"),
        labels: Labels::default(),
        addresses: [format!("10.0.0.{n}").parse().expect("address")].into(),
        mode,
        instances: services.iter().map(|(name, ports)| (key(name), instance(ports))).collect(),
    };
    (HostId::new(format!("h{n}")), host)
}

/// A web server in front of a shop and its database.
fn small(mode: Mode) -> Directory {
    [
        host(1, mode, &[("unit:web", &[443])]),
        host(2, mode, &[("unit:shop", &[8080, 9100])]),
        host(3, mode, &[("unit:db", &[5432])]),
    ]
    .into_iter()
    .collect()
}

fn none() -> Failsafes {
    Failsafes { ingress: Ports::Only(Vec::new()), egress: Ports::Only(Vec::new()) }
}

fn seen(edges: &[(&str, &str, u16)]) -> BTreeMap<Edge, FlowStats> {
    let edge = |(client, server, port): &(&str, &str, u16)| Edge {
        client: client.parse().expect("peer"),
        server: server.parse().expect("peer"),
        protocol: Protocol::Tcp,
        port: *port,
    };
    let stats = FlowStats { connections: 7, bytes: 0, first: Timestamp(1), last: Timestamp(2) };
    edges.iter().map(|one| (edge(one), stats)).collect()
}

fn of_web(policy: &PolicySet, directory: &Directory, seen: &BTreeMap<Edge, FlowStats>) -> Reach {
    reach(&key("unit:web"), policy, directory, &none(), seen, NOW)
}

/// PEER STANDING | PORTS EFFECT BY [listening] [seen], …
fn said(found: &Reach) -> Vec<String> {
    let numbers =
        |ports: &mut dyn Iterator<Item = u16>| ports.map(|port| port.to_string()).collect::<Vec<_>>().join(" ");
    let by = |way: &crate::policy::Way| match &way.reason {
        crate::policy::Reason::Rule { name, .. } => name.clone(),
        crate::policy::Reason::Model(key) => format!("model of {}", key.name()),
        _ if way.failsafe => "failsafe".to_owned(),
        _ => "nothing".to_owned(),
    };
    let way = |way: &crate::policy::Way| {
        let listening = numbers(&mut way.listening.iter().map(|(_, port)| *port));
        let seen = numbers(&mut way.seen.keys().map(|(_, port)| *port));
        format!("{} {} by {} [{listening}] [{seen}]", way.ports, way.effect, by(way))
    };
    let target = |target: &crate::policy::Target| {
        let ways: Vec<_> = target.ways.iter().map(way).collect();
        format!("{} {} | {}", target.peer, target.standing, ways.join(", "))
    };
    found.targets.iter().map(target).collect()
}

#[test]
fn any_is_said_by_what_it_opens_and_counted_against_what_was_seen() {
    let directory = small(Mode::Enforce);
    let policy = PolicySet {
        rules: vec![
            Rule { name: "wide".into(), ..rule(1, service("unit:web"), service("unit:shop"), Effect::Allow) },
            Rule {
                name: "one port".into(),
                ports: Ports::parse(&["tcp/5432"]).expect("ports"),
                ..rule(2, service("unit:web"), service("unit:db"), Effect::Prevent)
            },
        ]
        .into(),
        ..PolicySet::default()
    };
    let seen = seen(&[
        ("unit:web", "unit:shop", 8080),
        ("unit:web", "unit:db", 5432),
        ("unit:shop", "unit:db", 5432),
        ("unit:web", "internet", 443),
    ]);
    let found = of_web(&policy, &directory, &seen);
    assert_eq!(
        said(&found),
        [
            "unit:db cut | tcp/5432 prevent by one port [5432] [5432], any allow by nothing [] []",
            "unit:shop used | any allow by wide [8080 9100] [8080]",
            "unit:web unused | any allow by nothing [443] []",
            "private unused | any allow by nothing [] []",
            "internet used | any allow by nothing [] [443]",
        ]
    );
    let crate::policy::Count { all, may, seen: were, unused } = found.services;
    assert_eq!((all, may, were, unused), (3, 2, 2, 1));
    let crate::policy::Count { all, may, seen: were, unused } = found.ports;
    assert_eq!((all, may, were, unused), (4, 3, 2, 2), "of the shop's two ports one was never seen");
}

#[test]
fn a_closed_service_reaches_what_its_rules_name_and_what_failsafes_let_pass() {
    let directory = small(Mode::Enforce);
    let office = AddressObject { name: "office".into(), addresses: vec!["10.8.0.0/16".parse().expect("net")] };
    let mut rest = rule(2, service("unit:web"), End::Any, Effect::Prevent);
    rest.name = "rest".into();
    let mut printing = rule(1, service("unit:web"), End::Object("office".into()), Effect::Allow);
    printing.name = "office".into();
    let policy = PolicySet {
        rules: vec![printing, rest].into(),
        objects: [("office".to_owned(), office)].into(),
        ..PolicySet::default()
    };
    let dns = Failsafes { egress: Ports::parse(&["udp/53"]).expect("ports"), ..none() };
    let found = reach(&key("unit:web"), &policy, &directory, &dns, &BTreeMap::new(), NOW);
    assert_eq!(
        said(&found),
        [
            "unit:db refused | udp/53 allow by failsafe [] [], any prevent by rest [5432] []",
            "unit:shop refused | udp/53 allow by failsafe [] [], any prevent by rest [8080 9100] []",
            "unit:web refused | udp/53 allow by failsafe [] [], any prevent by rest [443] []",
            "object:office unused | udp/53 allow by failsafe [] [], any allow by office [] []",
            "private refused | udp/53 allow by failsafe [] [], any prevent by rest [] []",
            "internet refused | udp/53 allow by failsafe [] [], any prevent by rest [] []",
        ]
    );
    let observing = reach(&key("unit:web"), &policy, &small(Mode::Observe), &dns, &BTreeMap::new(), NOW);
    let standings: Vec<Standing> = observing.targets.iter().map(|target| target.standing).collect();
    assert_eq!(standings, [Standing::Unused; 6], "nothing is refused where hosts only observe");
}

#[test]
fn a_models_part_is_said_and_a_learning_one_objects_to_nothing() {
    let directory = small(Mode::Enforce);
    let edges: BTreeMap<Edge, Seen> =
        seen(&[("unit:web", "unit:shop", 8080)]).into_keys().map(|edge| (edge, Seen::default())).collect();
    let model = |phase| Model { phase, edges: edges.clone(), ..Model::new(NOW) };
    let policy = |phase| PolicySet {
        models: [(key("unit:web"), model(phase))].into(),
        anomaly_effect: Effect::Prevent,
        ..PolicySet::default()
    };
    let learning = of_web(&policy(Phase::Learning), &directory, &BTreeMap::new());
    assert_eq!((learning.ports.may, learning.ports.all), (4, 4));
    let active = of_web(&policy(Phase::Active), &directory, &BTreeMap::new());
    assert_eq!((active.ports.may, active.ports.all), (1, 4));
    assert_eq!(
        said(&active)[1],
        "unit:shop unused | tcp/8080 allow by model of web [8080] [], any prevent by model of web [9100] []"
    );
}
