use std::collections::BTreeMap;

use super::*;
use crate::directory::{Directory, Endpoint, Host, Instance};
use crate::flow::{FlowKey, FlowRecord, FlowStats};
use crate::id::{HostId, ServiceKey};
use crate::label::Labels;
use crate::net::{AddrRange, Ports, Protocol};
use crate::policy::{AddressObject, Mode, PolicySet};
use crate::time::Timestamp;

fn host(address: &str, service: &str, port: Option<u16>) -> Host {
    let endpoints = port.map(|port| Endpoint { protocol: Protocol::Tcp, address: None, port }).into_iter().collect();
    Host {
        name: address.into(),
        labels: Labels([("env".to_owned(), "prod".to_owned())].into()),
        addresses: [address.parse().expect("address")].into(),
        mode: Mode::Observe,
        instances: [(ServiceKey::unit(service), Instance { endpoints, live: true, ..Instance::default() })].into(),
    }
}

fn two_hosts() -> Directory {
    Directory::from_iter([
        (HostId::new("a"), host("10.0.0.1", "client", None)),
        (HostId::new("b"), host("10.0.0.2", "server", Some(80))),
    ])
}

fn record(client: (Option<&str>, &str), server: (Option<&str>, &str), port: u16) -> FlowRecord {
    FlowRecord {
        key: FlowKey {
            client_service: client.0.map(ServiceKey::unit),
            client: client.1.parse().expect("address"),
            server_service: server.0.map(ServiceKey::unit),
            server: server.1.parse().expect("address"),
            protocol: Protocol::Tcp,
            port,
        },
        stats: FlowStats { connections: 1, bytes: 10, first: Timestamp(1), last: Timestamp(2) },
    }
}

#[test]
fn both_ends_report_and_the_client_counts() {
    let (directory, objects) = (two_hosts(), BTreeMap::new());
    let mut topology = Topology::default();
    let from_client = record((Some("client"), "10.0.0.1"), (None, "10.0.0.2"), 80);
    let from_server = record((None, "10.0.0.1"), (Some("server"), "10.0.0.2"), 80);
    assert!(topology.absorb(&HostId::new("a"), &from_client, &directory, &objects).is_some());
    assert_eq!(topology.absorb(&HostId::new("b"), &from_server, &directory, &objects), None);
    let edges: Vec<_> =
        topology.edges().iter().map(|(e, s)| (e.client.to_string(), e.server.to_string(), s.connections)).collect();
    assert_eq!(edges, [("unit:client".into(), "unit:server".into(), 1)]);
}

#[test]
fn an_address_becomes_a_service_when_its_host_is_known() {
    let objects = BTreeMap::new();
    let mut topology = Topology::default();
    let seen = record((Some("client"), "10.0.0.1"), (None, "10.0.0.2"), 80);
    topology.absorb(&HostId::new("a"), &seen, &Directory::default(), &objects);
    let renamed = topology.reresolve(&two_hosts(), &objects);
    assert_eq!(renamed.len(), 1);
    assert_eq!(renamed[0].0.server.to_string(), "10.0.0.2");
    assert_eq!(renamed[0].1.server.to_string(), "unit:server");
    assert_eq!(topology.edges().len(), 1);
    assert!(topology.reresolve(&two_hosts(), &objects).is_empty());
}

#[test]
fn external_addresses_are_bucketed_and_bounded() {
    let mut topology = Topology::default();
    let server = HostId::new("b");
    for n in 0..2000u32 {
        let client = std::net::Ipv4Addr::from(0x0800_0000 + n * 256).to_string();
        let seen = record((None, &client), (Some("server"), "10.0.0.2"), 80);
        topology.absorb(&server, &seen, &two_hosts(), &BTreeMap::new());
    }
    assert_eq!(topology.edges().len(), MAX_BUCKETS + 1);
    let total: u64 = topology.edges().values().map(|s| s.connections).sum();
    assert_eq!(total, 2000, "widening loses no connection");
    assert!(topology.edges().keys().any(|edge| edge.client == Peer::Internet));
    assert!(topology.edges().keys().any(|edge| edge.client.to_string() == "8.0.0.0/24"));
    let again = Topology::from_edges(topology.edges().clone());
    assert_eq!(again, topology, "a restored topology goes on where it was");
}

#[test]
fn declared_networks_stand_for_their_addresses() {
    let object = AddressObject { name: "office".into(), addresses: vec!["203.0.113.0/24".parse().expect("net")] };
    let objects: BTreeMap<_, _> = [(object.name.clone(), object)].into();
    let mut topology = Topology::default();
    let seen = record((None, "203.0.113.9"), (Some("server"), "10.0.0.2"), 80);
    let absorbed = topology.absorb(&HostId::new("b"), &seen, &two_hosts(), &objects).expect("counts");
    assert_eq!(absorbed.edge.client, Peer::Object("office".into()));
}

#[test]
fn flows_without_any_service_are_nobodys_edge() {
    let mut topology = Topology::default();
    let seen = record((None, "8.8.8.8"), (None, "9.9.9.9"), 80);
    assert_eq!(topology.absorb(&HostId::new("b"), &seen, &two_hosts(), &BTreeMap::new()), None);
}

#[test]
fn the_view_has_every_service_or_only_connected_ones() {
    let mut topology = Topology::default();
    let mut directory = two_hosts();
    directory.insert(HostId::new("c"), host("10.0.0.3", "idle", Some(99)));
    let seen = record((Some("client"), "10.0.0.1"), (None, "10.0.0.2"), 80);
    let edge = topology.absorb(&HostId::new("a"), &seen, &directory, &BTreeMap::new()).expect("counts").edge;
    let policy = PolicySet::default();
    let all = view(topology.edges(), &directory, &policy, &BTreeMap::new(), &View::default(), Timestamp(10));
    assert_eq!(all.nodes.len(), 3);
    assert_eq!(all.edges[0].status, EdgeStatus::Learning);
    let wanted = View { connected_only: true, grouping: Grouping::Label("env".into()), ..View::default() };
    let marks = BTreeMap::from([(edge, EdgeStatus::Alerted)]);
    let some = view(topology.edges(), &directory, &policy, &marks, &wanted, Timestamp(10));
    let names: Vec<_> = some.nodes.iter().map(|n| (n.name.as_str(), n.worst, n.group.as_str())).collect();
    assert_eq!(names, [("client", Some(EdgeStatus::Alerted), "prod"), ("server", Some(EdgeStatus::Alerted), "prod")]);
}

#[test]
fn an_edge_that_was_only_refused_is_drawn() {
    let edge = Edge {
        client: Peer::Service(ServiceKey::unit("client")),
        server: Peer::Address(AddrRange::single("10.0.0.9".parse().expect("address"))),
        protocol: Protocol::Tcp,
        port: 1,
    };
    let marks = BTreeMap::from([(edge, EdgeStatus::Prevented)]);
    let now = Timestamp(10);
    let radar = view(&BTreeMap::new(), &two_hosts(), &PolicySet::default(), &marks, &View::default(), now);
    assert_eq!((radar.edges.len(), radar.edges[0].stats.connections), (1, 0));
}

#[test]
fn many_ephemeral_ports_become_dynamic() {
    let (directory, objects) = (two_hosts(), BTreeMap::new());
    let mut topology = Topology::default();
    for port in 40_000..40_100 {
        topology.absorb(
            &HostId::new("a"),
            &record((Some("client"), "10.0.0.1"), (None, "10.0.0.9"), port),
            &directory,
            &objects,
        );
    }
    for port in 1000..1020 {
        topology.absorb(
            &HostId::new("a"),
            &record((Some("client"), "10.0.0.1"), (None, "10.0.0.9"), port),
            &directory,
            &objects,
        );
    }
    let dynamic: Vec<u64> =
        topology.edges().iter().filter(|(e, _)| e.is_dynamic()).map(|(_, s)| s.connections).collect();
    assert_eq!(dynamic, [92], "eight are told apart");
    assert_eq!(topology.edges().len(), MAX_PORTS + 1 + 20, "well-known ports stay");
    assert_eq!(Topology::from_edges(topology.edges().clone()), topology);
}

#[test]
fn new_addresses_on_new_ports_are_bounded() {
    let mut topology = Topology::default();
    for n in 0..5000u32 {
        let server = std::net::Ipv4Addr::from(0x0800_0000 + n * 256).to_string();
        let port = 33_000 + u16::try_from(n * 7 % 30_000).expect("small");
        let seen = record((Some("client"), "10.0.0.1"), (None, &server), port);
        topology.absorb(&HostId::new("a"), &seen, &two_hosts(), &BTreeMap::new());
    }
    assert!(topology.edges().len() <= MAX_PORTS_OF_ALL + MAX_BUCKETS + 1, "{}", topology.edges().len());
    assert_eq!(topology.edges().values().map(|s| s.connections).sum::<u64>(), 5000);
}

#[test]
fn ports_read_as_they_are_written() {
    for (text, port) in
        [("tcp/5432", (Protocol::Tcp, 5432)), ("udp/dynamic", (Protocol::Udp, DYNAMIC)), ("icmp", (Protocol::Icmp, 0))]
    {
        assert_eq!(parse_port(text), Ok(port));
        let edge = Edge { client: Peer::Private, server: Peer::Internet, protocol: port.0, port: port.1 };
        assert_eq!(edge.to_string(), format!("private → internet {text}"));
    }
    for text in ["tcp", "tcp/0", "tcp/65536", "icmp/8", "5432", ""] {
        assert!(parse_port(text).is_err(), "{text}");
    }
}

#[test]
fn the_view_is_filtered() {
    let mut topology = Topology::default();
    let mut directory = two_hosts();
    directory.insert(HostId::new("c"), host("10.0.0.3", "idle", Some(99)));
    for (server, port) in [("10.0.0.2", 80), ("10.0.0.3", 99), ("192.0.2.1", 40_000)] {
        let seen = record((Some("client"), "10.0.0.1"), (None, server), port);
        topology.absorb(&HostId::new("a"), &seen, &directory, &BTreeMap::new());
    }
    let drawn = |filter: Filter| {
        let wanted = View { filter, ..View::default() };
        let (policy, marks) = (PolicySet::default(), BTreeMap::new());
        let radar = view(topology.edges(), &directory, &policy, &marks, &wanted, Timestamp(10));
        (radar.edges.iter().map(|e| e.edge.port).collect::<Vec<_>>(), radar.nodes.len())
    };
    assert_eq!(drawn(Filter::default()), (vec![99, 80, 40_000], 4));
    assert_eq!(drawn(Filter { name: "SERV".into(), ..Filter::default() }), (vec![80], 2));
    assert_eq!(drawn(Filter { name: "192.0.2".into(), ..Filter::default() }), (vec![40_000], 2));
    let ports = |text: &str| Ports::parse(&[text]).expect("ports");
    assert_eq!(drawn(Filter { ports: ports("tcp/81-100"), ..Filter::default() }), (vec![99], 2));
    assert_eq!(drawn(Filter { ports: ports("udp"), ..Filter::default() }), (vec![], 0));
    let prod: Labels = "env=prod".parse().expect("labels");
    assert_eq!(drawn(Filter { labels: prod, ..Filter::default() }).0.len(), 3);
    let dev: Labels = "env=dev".parse().expect("labels");
    assert_eq!(drawn(Filter { labels: dev, ..Filter::default() }), (vec![], 0));
    assert_eq!(drawn(Filter { statuses: vec![EdgeStatus::Alerted], ..Filter::default() }), (vec![], 0));
}

#[test]
fn two_times_compare() {
    let edge = |port| Edge { client: Peer::Private, server: Peer::Internet, protocol: Protocol::Tcp, port };
    let counted = |all: &[(u16, u64)]| -> BTreeMap<Edge, FlowStats> {
        let stats = |connections| FlowStats { connections, bytes: 0, first: Timestamp(1), last: Timestamp(2) };
        all.iter().map(|(port, connections)| (edge(*port), stats(*connections))).collect()
    };
    let before = counted(&[(1, 5), (2, 100), (3, 100), (4, 1), (5, 20)]);
    let after = counted(&[(2, 199), (3, 200), (4, 9), (5, 10), (6, 1)]);
    let found = diff(&before, &after);
    let ports = |edges: &[(Edge, FlowStats)]| edges.iter().map(|(edge, _)| edge.port).collect::<Vec<_>>();
    assert_eq!((ports(&found.new), ports(&found.gone)), (vec![6], vec![1]));
    let changed: Vec<_> = found.changed.iter().map(|(e, a, b)| (e.port, a.connections, b.connections)).collect();
    assert_eq!(changed, [(3, 100, 200), (5, 20, 10)]);
    assert_eq!(diff(&after, &after), Diff::default());
}
