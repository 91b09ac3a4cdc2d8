//! What a model amounts to: every witness, and nothing else but what is said.

use std::collections::BTreeMap;
use std::net::IpAddr;

use proptest::collection::vec;
use proptest::prelude::*;

use crate::directory::{Directory, Host};
use crate::id::{HostId, ServiceKey};
use crate::label::Labels;
use crate::model::{Model, Phase, Seen};
use crate::net::Protocol;
use crate::policy::{
    AddressObject, Connection, Effect, Mode, Party, PolicySet, Suggestion, Vantage, Widening, close, evaluate, suggest,
};
use crate::time::Timestamp;
use crate::topology::{Edge, Peer};

const NOW: Timestamp = Timestamp(1_000);
const PEERS: [&str; 8] =
    ["unit:a", "unit:b", "unknown", "object:office", "203.0.113.0/24", "private", "internet", "10.1.0.9"];
const ADDRESSES: [&str; 9] = [
    "203.0.113.7",
    "203.0.112.7",
    "10.1.0.9",
    "10.1.0.3",
    "10.1.0.77",
    "10.2.0.1",
    "198.51.100.1",
    "fd00::1",
    "2001:db8::1",
];

fn own() -> ServiceKey {
    ServiceKey::unit("shop")
}

fn object() -> AddressObject {
    AddressObject { name: "office".into(), addresses: vec!["198.51.100.0/24".parse().expect("net")] }
}

fn port() -> impl Strategy<Value = (Protocol, u16)> {
    prop_oneof![
        4 => (80_u16..84).prop_map(|port| (Protocol::Tcp, port)),
        1 => Just((Protocol::Udp, 53)),
        1 => Just((Protocol::Icmp, 0)),
        3 => prop_oneof![40_000_u16..40_012, Just(crate::topology::DYNAMIC)].prop_map(|port| (Protocol::Tcp, port)),
    ]
}

fn model() -> impl Strategy<Value = Model> {
    let peer = prop_oneof![
        3 => prop::sample::select(&PEERS[..]).prop_map(str::to_owned),
        2 => (0_u8..20).prop_map(|n| format!("10.1.0.{n}")),
    ];
    vec((peer, port(), any::<bool>()), 0..60).prop_map(|edges| {
        let seen = Seen { first: NOW, last: NOW, connections: 1, ..Seen::default() };
        let edge = |(peer, (protocol, port), out): (String, (Protocol, u16), bool)| {
            let (own, peer) = (Peer::Service(own()), peer.parse().expect("peer"));
            let (client, server) = if out { (own, peer) } else { (peer, own) };
            (Edge { client, server, protocol, port }, seen)
        };
        Model { phase: Phase::Active, edges: edges.into_iter().map(edge).collect(), ..Model::new(NOW) }
    })
}

/// Whether `peer` may be what is at `service` and `address`.
fn is(peer: &Peer, service: Option<&ServiceKey>, address: IpAddr) -> bool {
    match peer {
        Peer::Service(key) => Some(key) == service,
        Peer::Object(_) => object().addresses[0].contains(address),
        Peer::Address(range) => range.contains(address),
        Peer::Private => crate::net::is_private(address),
        Peer::Internet => !crate::net::is_private(address),
    }
}

/// Whether a suggestion has seen a connection on this very port with this very peer, or says how what it has seen stands for it.
fn says(suggestion: &Suggestion, out: bool, far: &Party, protocol: Protocol, port: u16) -> bool {
    let wide_port = suggestion.widened.iter().any(|widening| {
        matches!(widening, Widening::Dynamic(range) if range.protocol == protocol && range.low <= port && port <= range.high)
    });
    let is_private = crate::net::is_private(far.address);
    suggestion.witnesses.iter().any(|(edge, _)| {
        let (near, other) = if out { (&edge.client, &edge.server) } else { (&edge.server, &edge.client) };
        let peer = match other {
            Peer::Service(key) => far.service.as_ref() == Some(key),
            Peer::Object(_) => object().addresses[0].contains(far.address),
            Peer::Address(range) if range.is_single() && range.contains(far.address) => true,
            other => suggestion.widened.iter().any(|widening| match (widening, other) {
                (Widening::Network(net), Peer::Address(seen)) => net.contains(seen.low()) && net.contains(far.address),
                (Widening::Peers(ranges), Peer::Address(seen)) => ranges.contains(seen) && seen.contains(far.address),
                (Widening::Private, Peer::Private) => is_private,
                (Widening::Internet, Peer::Internet) => !is_private,
                _ => false,
            }),
        };
        let on_port = edge.protocol == protocol && (if edge.is_dynamic() { wide_port } else { edge.port == port });
        *near == Peer::Service(own()) && peer && on_port
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn rules_from_a_model_allow_its_edges_and_nothing_else_but_what_they_say(model in model()) {
        let suggestions = suggest(&own(), &model);
        let witnesses: BTreeMap<Edge, Seen> = suggestions.iter().flat_map(|s| s.witnesses.clone()).collect();
        prop_assert_eq!(&witnesses, &model.edges, "every edge is somebody's witness");
        let all: usize = suggestions.iter().map(|s| s.witnesses.len()).sum();
        prop_assert_eq!(all, model.edges.len(), "and only one rule's");
        let mut rules: Vec<_> = suggestions.iter().map(|suggestion| suggestion.rule.clone()).collect();
        rules.extend(close(&own(), Effect::Prevent));
        let objects: BTreeMap<_, _> = [("office".to_owned(), object())].into();
        for rule in &rules {
            prop_assert_eq!(rule.check(&objects), Ok(()));
        }
        let names: std::collections::BTreeSet<_> = rules.iter().map(|rule| &rule.name).collect();
        prop_assert_eq!(names.len(), rules.len(), "names are unique");
        let policy = PolicySet { rules: rules.into(), objects, ..PolicySet::default() };
        let host = Host {
            name: "h".into(),
            labels: Labels::default(),
            addresses: ["10.9.0.1".parse().expect("address")].into(),
            mode: Mode::Enforce,
            instances: BTreeMap::new(),
        };
        let directory = Directory::from_iter([(HostId::new("h"), host)]);
        let here = |service: ServiceKey| Party {
            host: Some(HostId::new("h")),
            service: Some(service),
            address: "10.9.0.1".parse().expect("address"),
        };
        let services = ["unit:a", "unit:b", "unit:c", "unknown"].map(|text| here(text.parse().expect("key")));
        let outside = ADDRESSES.map(|text| Party { host: None, service: None, address: text.parse().expect("address") });
        let ports = [(Protocol::Tcp, 80), (Protocol::Tcp, 83), (Protocol::Tcp, 84), (Protocol::Udp, 53), (Protocol::Icmp, 0)];
        let ports = ports.into_iter().chain((39_999..40_013).map(|port| (Protocol::Tcp, port)));
        for far in services.iter().chain(&outside) {
            for (protocol, port) in ports.clone() {
                for out in [true, false] {
                    let (client, server) = if out { (here(own()), far.clone()) } else { (far.clone(), here(own())) };
                    let vantage = if client.host.is_some() { Vantage::Client } else { Vantage::Server };
                    let connection = Connection { client, server, protocol, port };
                    let allowed = evaluate(&policy, &directory, &connection, vantage, NOW).effect == Effect::Allow;
                    let meets = |edge: &Edge| {
                        let (near, other) = if out { (&edge.client, &edge.server) } else { (&edge.server, &edge.client) };
                        *near == Peer::Service(own()) && is(other, far.service.as_ref(), far.address)
                    };
                    if model.edges.keys().any(|edge| meets(edge) && edge.is_on(protocol, port)) {
                        prop_assert!(allowed, "a witness: {:?}", connection);
                    }
                    if allowed {
                        let said = suggestions.iter().any(|suggestion| says(suggestion, out, far, protocol, port));
                        prop_assert!(said, "not seen, not said: {:?}", connection);
                    }
                }
            }
        }
    }
}

#[test]
fn ports_and_networks_are_put_together_and_widening_is_said() {
    let seen = Seen { first: NOW, last: NOW, connections: 1, ..Seen::default() };
    let edge = |client: &str, port| Edge {
        client: client.parse().expect("peer"),
        server: Peer::Service(own()),
        protocol: Protocol::Tcp,
        port,
    };
    let mut model = Model::new(NOW);
    for port in [443, 80, 81] {
        model.edges.insert(edge("unit:web", port), seen);
    }
    for n in 0..8 {
        model.edges.insert(edge(&format!("10.1.0.{}", n * 9), 80), seen);
    }
    model.edges.insert(edge("203.0.112.0/24", 443), seen);
    model.edges.insert(edge("203.0.113.0/24", 443), seen);
    for port in [40_000, crate::topology::DYNAMIC] {
        model.edges.insert(edge("unit:ftp", port), seen);
    }
    model.edges.insert(edge("private", 22), seen);
    let widened = |s: &Suggestion| s.widened.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    let short: Vec<_> = suggest(&own(), &model)
        .iter()
        .map(|s| format!("{} | {} | {} | {}", s.rule.name, s.rule.ports, s.witnesses.len(), widened(s)))
        .collect();
    assert_eq!(
        short,
        [
            "unit:ftp to unit:shop | tcp/32768-65535 | 2 | all of tcp/32768-65535, as the model knew too many of these ports to tell them apart",
            "unit:web to unit:shop | tcp/80-81,443 | 3 | ",
            "private to unit:shop | tcp/22 | 1 | every private address, as the model knew too many to tell them apart",
            "10.1.0.0/24 to unit:shop | tcp/80 | 8 | all of 10.1.0.0/24, of which 8 or more were seen",
            "203.0.112.0/23 to unit:shop | tcp/443 | 2 | all of 203.0.112.0/24, 203.0.113.0/24, as the model takes each for one peer",
        ]
    );
}
