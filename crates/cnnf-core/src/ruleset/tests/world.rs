//! Small worlds: up to four hosts, five services, eight rules, models in all phases, and connections among them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::directory::{Directory, Endpoint, Host, Instance};
use crate::failsafe::Failsafes;
use crate::id::{HostId, ServiceKey};
use crate::label::Labels;
use crate::model::{Model, Phase, Seen};
use crate::net::{AddrRange, PortRange, Ports, Protocol, icmp};
use crate::policy::{
    AddressObject, Connection, Effect, End, Mode, OnFailure, Party, PolicySet, Rule, RuleId, ServicePattern,
};
use crate::ruleset::{HostFacts, LocalEnd, LocalService, QueueBackend, Slot};
use crate::time::Timestamp;
use crate::topology::{DYNAMIC, Edge, Peer};

pub(crate) const NOW: Timestamp = Timestamp(1_000);

const SERVICES: [&str; 5] = ["unit:web", "exe:/usr/bin/curl", "unit:pg@a", "unit:pg@b", "container:redis"];
const PATTERNS: [&str; 9] =
    ["unit:web", "exe:/usr/bin/curl", "unit:pg@*", "unit:*", "*", "container:redis", "unknown", "kernel", "ambiguous"];
const PORTS: [(Protocol, u16); 8] = [
    (Protocol::Tcp, 80),
    (Protocol::Tcp, 443),
    (Protocol::Tcp, 5432),
    (Protocol::Udp, 53),
    (Protocol::Udp, 5432),
    (Protocol::Tcp, 40_000),
    (Protocol::Sctp, 3868),
    (Protocol::Icmp, 0),
];
/// What only a model knows: ports that are chosen anew each time.
const DYNAMICS: [(Protocol, u16); 2] = [(Protocol::Tcp, DYNAMIC), (Protocol::Udp, DYNAMIC)];
const PORT_TEXTS: [&str; 14] = [
    "any",
    "tcp/80",
    "tcp/443,5432",
    "udp/53",
    "tcp/1-1000",
    "udp",
    "icmp",
    "tcp/5000-6000 udp/53 icmp",
    "tcp/443,39990-40010,50000-60000",
    "sctp/3868",
    // ranges that overlap, of a few ports and of many
    "tcp/79-81,80-90,400-500,443-5432",
    "sctp udp/50-60,53 ip47",
    "icmp/echo-request",
    "icmp/13 icmpv6/128,139 tcp/80",
];
const RANGES: [&str; 9] = [
    "10.0.0.1",
    "10.0.0.0/30",
    "10.0.0.2-10.0.0.99",
    "192.0.2.0/24",
    "fd00::1",
    "fd00::/64",
    "127.0.0.0/8",
    "0.0.0.0/0",
    "2001:db8::/48",
];
const LABELS: [&str; 4] = ["", "env=prod", "env=dev", "env=prod,site=fra"];
/// Addresses that no host of the directory has.
const OUTSIDE: [&str; 6] = ["10.0.0.99", "192.0.2.7", "203.0.113.5", "2001:db8::7", "fd00::99", "2a00::5"];
/// An address that every host has and that the directory does not know.
const BRIDGES: [&str; 2] = ["172.17.0.1", "fe80::1"];

/// A world.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) policy: PolicySet,
    pub(crate) directory: Directory,
    pub(crate) failsafes: Failsafes,
    pub(super) queue: QueueBackend,
}

/// How many connections are tried in a world.
pub(super) const CASES: usize = 48;

/// A far end.
#[derive(Clone, Copy, Debug)]
struct Far {
    address: IpAddr,
    inside: bool,
    at: (Protocol, u16),
}

/// A connection and the host whose side judges it. The far end is known by its address alone.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) host: HostId,
    pub(super) service: ServiceKey,
    pub(super) near: IpAddr,
    pub(super) far: IpAddr,
    /// Whether the far end is on the same host.
    pub(super) inside: bool,
    pub(super) protocol: Protocol,
    pub(super) port: u16,
}

fn key(text: &str) -> ServiceKey {
    text.parse().expect("key")
}

fn address(text: &str) -> IpAddr {
    text.parse().expect("address")
}

fn range(text: &str) -> AddrRange {
    text.parse().expect("range")
}

fn service() -> impl Strategy<Value = ServiceKey> + Clone {
    select(&SERVICES[..]).prop_map(key)
}

fn labels() -> impl Strategy<Value = Labels> {
    select(&LABELS[..]).prop_map(|text| text.parse().expect("labels"))
}

fn effect() -> impl Strategy<Value = Effect> {
    prop_oneof![1 => Just(Effect::Allow), 2 => Just(Effect::Alert), 3 => Just(Effect::Prevent)]
}

fn host(n: u8) -> impl Strategy<Value = Host> {
    let own = [address(&format!("10.0.0.{n}")), address(&format!("fd00::{n}"))];
    let bound = [None, Some("0.0.0.0"), Some("::"), Some("127.0.0.1"), Some("::1")];
    let bound = bound.into_iter().map(|a| a.map(address)).chain(own.map(Some)).collect::<Vec<_>>();
    let endpoint = (select(&PORTS[..7]), select(bound)).prop_map(|((protocol, port), address)| Endpoint {
        protocol,
        address,
        port,
    });
    let instance = (vec(endpoint, 0..4), any::<bool>()).prop_map(|(endpoints, live)| Instance {
        endpoints: endpoints.into_iter().collect(),
        live,
        ..Instance::default()
    });
    let mode = prop_oneof![1 => Just(Mode::Observe), 2 => Just(Mode::Enforce)];
    // now and then a host also claims the first one's address
    (labels(), prop::bool::weighted(0.1), mode, vec((service(), instance), 0..4)).prop_map(
        move |(labels, thief, mode, instances)| Host {
            name: format!("h{n}"),
            labels,
            addresses: own.into_iter().chain(thief.then(|| address("10.0.0.1"))).collect(),
            mode,
            instances: instances.into_iter().collect(),
        },
    )
}

fn end() -> impl Strategy<Value = End> {
    prop_oneof![
        2 => Just(End::Any),
        4 => (select(&PATTERNS[..]), labels())
            .prop_map(|(text, labels)| End::Service { pattern: ServicePattern(text.to_owned()), labels }),
        1 => select(&["office", "gone"][..]).prop_map(|name| End::Object(name.to_owned())),
        2 => vec(select(&RANGES[..]).prop_map(range), 1..3).prop_map(End::Addresses),
    ]
}

fn ports() -> impl Strategy<Value = Ports> {
    select(&PORT_TEXTS[..]).prop_map(|text| Ports::parse(&text.split(' ').collect::<Vec<_>>()).expect("ports"))
}

pub(crate) fn rule() -> impl Strategy<Value = Rule> {
    let flags = (prop::bool::weighted(0.9), any::<bool>(), prop::option::weighted(0.3, 900_u64..1100));
    (end(), end(), ports(), effect(), flags).prop_map(|(source, destination, ports, effect, flags)| Rule {
        id: RuleId(0),
        name: String::new(),
        enabled: flags.0,
        source,
        destination,
        ports,
        effect,
        on_failure: OnFailure::Open,
        learned_allow: flags.1,
        expires_at: flags.2.map(Timestamp),
        owner: String::new(),
        ticket: String::new(),
        notes: String::new(),
        revision: 1,
    })
}

fn peer() -> impl Strategy<Value = Peer> {
    prop_oneof![
        4 => service().prop_map(Peer::Service),
        1 => select(&["unknown", "kernel"][..]).prop_map(|text| Peer::Service(key(text))),
        2 => select(&RANGES[..7]).prop_map(|text| Peer::Address(range(text))),
        1 => Just(Peer::Object("office".into())),
        1 => Just(Peer::Private),
        1 => Just(Peer::Internet),
    ]
}

fn model(key: ServiceKey) -> impl Strategy<Value = (ServiceKey, Model)> {
    let phase = prop_oneof![4 => Just(Phase::Active), 1 => select(Phase::ALL)];
    let port = prop_oneof![5 => select(&PORTS[..]), 1 => select(&DYNAMICS[..])];
    let edges = vec((peer(), port, any::<bool>()), 0..9);
    (phase, edges, prop::option::of(effect())).prop_map(move |(phase, edges, anomaly_effect)| {
        let seen = Seen { first: NOW, last: NOW, connections: 1, ..Seen::default() };
        let edges = edges.into_iter().map(|(peer, (protocol, port), client)| {
            let own = Peer::Service(key.clone());
            let (client, server) = if client { (own, peer) } else { (peer, own) };
            (Edge { client, server, protocol, port }, seen)
        });
        let edges = edges.collect::<BTreeMap<_, _>>();
        (key.clone(), Model { phase, edges, anomaly_effect, ..Model::new(NOW) })
    })
}

/// Any world.
pub(crate) fn world() -> impl Strategy<Value = World> {
    let hosts = (1_usize..=4).prop_flat_map(|n| (1..=u8::try_from(n).expect("few")).map(host).collect::<Vec<_>>());
    let rules = prop_oneof![2 => vec(rule(), 0..3), 1 => vec(rule(), 3..9)];
    let models = SERVICES.iter().map(|text| prop::option::weighted(0.7, model(key(text)))).collect::<Vec<_>>();
    let modes = vec((service(), select(Mode::ALL)), 0..2);
    let settings = (effect(), prop::bool::weighted(0.1), modes);
    let failsafes = (prop::option::of(ports()), prop::option::of(ports()));
    let queue = select(&[QueueBackend::Native, QueueBackend::None][..]);
    (hosts, rules, models, settings, failsafes, queue).prop_map(
        |(hosts, mut rules, models, (anomaly_effect, learning_off, modes), failsafes, queue)| {
            for (n, rule) in rules.iter_mut().enumerate() {
                rule.id = RuleId(n as u64 + 1);
                rule.name = format!("rule {}", n + 1);
            }
            let office = ["192.0.2.0/25", "10.0.0.3"].map(range).to_vec();
            let policy = PolicySet {
                revision: 1,
                rules: rules.into(),
                objects: [("office".to_owned(), AddressObject { name: "office".into(), addresses: office })].into(),
                models: models.into_iter().flatten().collect(),
                anomaly_effect,
                learning_off,
                service_modes: modes.into_iter().collect(),
                definitions: Vec::new(),
            };
            let hosts = hosts.into_iter().enumerate();
            let directory = hosts.map(|(n, h)| (HostId::new(format!("h{}", n + 1)), h)).collect();
            let few = |ports: Option<Ports>| ports.filter(|p| *p != Ports::Any).unwrap_or(Ports::Only(Vec::new()));
            let failsafes = Failsafes { ingress: few(failsafes.0), egress: few(failsafes.1) };
            World { policy, directory, failsafes, queue }
        },
    )
}

/// A world with any connections: each end with or without a host and a service.
pub(crate) fn meetings() -> impl Strategy<Value = (World, Vec<Connection>)> {
    world().prop_flat_map(|world| {
        let party = |directory: &Directory| {
            let hosts = directory.hosts();
            let own = hosts.flat_map(|(id, host)| host.addresses.iter().map(|address| (Some(id.clone()), *address)));
            let known: Vec<_> = own.clone().collect();
            let others = ["127.0.0.1", "::1"].into_iter().chain(OUTSIDE).map(address);
            let mut all: Vec<_> = own.map(|(_, address)| (None, address)).chain(others.map(|a| (None, a))).collect();
            all.extend(known);
            let keys: Vec<ServiceKey> =
                SERVICES.into_iter().chain(["unknown", "kernel", "ambiguous", "unit:new"]).map(key).collect();
            (select(all), prop::option::weighted(0.7, select(keys))).prop_map(|((host, address), service)| Party {
                host,
                service,
                address,
            })
        };
        let more = [(Protocol::Tcp, 5433), (Protocol::Other(47), 0), (Protocol::Icmp, 8), (Protocol::Icmp, 139)];
        let ports = PORTS.into_iter().chain(more).collect::<Vec<_>>();
        let meeting = (party(&world.directory), party(&world.directory), select(ports))
            .prop_map(|(client, server, (protocol, port))| Connection { client, server, protocol, port });
        (Just(world), vec(meeting, CASES))
    })
}

/// A world with connections that one of its hosts judges.
pub(super) fn cases() -> impl Strategy<Value = (World, Vec<Case>)> {
    world().prop_flat_map(|world| {
        let hosts: Vec<HostId> = world.directory.ids().cloned().collect();
        let (directory, queue) = (world.directory.clone(), world.queue);
        let cases = select(hosts).prop_flat_map(move |id| vec(case_on(&directory, id, queue), CASES));
        (Just(world), cases)
    })
}

/// The ports at both sides of both ends of every range that rules speak of.
fn edges() -> BTreeSet<(Protocol, u16)> {
    let ranges =
        PORT_TEXTS.iter().flat_map(|text| match Ports::parse(&text.split(' ').collect::<Vec<_>>()).expect("ports") {
            Ports::Any => Vec::new(),
            Ports::Only(ranges) => ranges,
        });
    let around = |r: PortRange| {
        [r.low.saturating_sub(1), r.low, r.high, r.high.saturating_add(1)].map(|port| (r.protocol, port))
    };
    ranges.filter(|r| r.protocol.has_ports()).flat_map(around).collect()
}

fn case_on(directory: &Directory, id: HostId, queue: QueueBackend) -> impl Strategy<Value = Case> + use<> {
    let host = directory.host(&id).expect("there");
    let special: &[&str] = match queue {
        QueueBackend::None => &["unknown", "kernel"], // nobody to find out that it is ambiguous
        _ => &["unknown", "kernel", "ambiguous"],
    };
    let special = special.iter().map(|text| key(text));
    let services: Vec<ServiceKey> = host.instances.keys().cloned().chain(special).collect();
    let own: Vec<IpAddr> = host.addresses.iter().copied().chain(BRIDGES.map(address)).collect();
    let inside: Vec<IpAddr> = own.iter().copied().chain(["127.0.0.1", "127.0.0.9", "::1"].map(address)).collect();
    let listening = |host: &Host, inside: bool| -> Vec<Far> {
        let endpoints: Vec<Endpoint> = host.instances.values().flat_map(|i| i.endpoints.iter().copied()).collect();
        let at = |address: IpAddr| endpoints.iter().map(move |e| Far { address, inside, at: (e.protocol, e.port) });
        host.addresses.iter().flat_map(|address| at(*address)).collect()
    };
    let more = [(Protocol::Udp, 50_000), (Protocol::Other(47), 0), (Protocol::Icmp, 13)];
    let usual: Vec<_> = PORTS.into_iter().chain(more).collect();
    let edges: Vec<_> = edges().into_iter().collect();
    let elsewhere: Vec<&Host> = directory.hosts().filter(|(of, _)| **of != id).map(|(_, host)| host).collect();
    let away = elsewhere.iter().flat_map(|host| host.addresses.iter().copied()).filter(|far| !own.contains(far));
    let places: Vec<(IpAddr, bool)> =
        away.chain(OUTSIDE.map(address)).map(|far| (far, false)).chain(inside.iter().map(|far| (*far, true))).collect();
    let anywhere = |ports: &[(Protocol, u16)]| -> Vec<Far> {
        let at = |(address, inside): &(IpAddr, bool)| {
            let (address, inside) = (*address, *inside);
            ports.iter().map(move |at| Far { address, inside, at: *at }).collect::<Vec<_>>()
        };
        places.iter().flat_map(at).collect()
    };
    let (far, edge) = (anywhere(&usual), anywhere(&edges));
    let mut likely: Vec<Far> = listening(host, true);
    likely.extend(elsewhere.iter().flat_map(|host| listening(host, false)).filter(|far| !own.contains(&far.address)));
    let likely = if likely.is_empty() { far.clone() } else { likely };
    let far = prop_oneof![3 => select(likely), 3 => select(far), 1 => select(edge)];
    (select(services), far, any::<prop::sample::Index>()).prop_map(move |(service, far, near)| {
        let fits = |near: &&IpAddr| near.is_ipv4() == far.address.is_ipv4() && (far.inside || !near.is_loopback());
        let near = **near.get(&inside.iter().filter(fits).collect::<Vec<_>>());
        Case {
            host: id.clone(),
            service,
            near,
            far: far.address,
            inside: far.inside,
            protocol: far.at.0,
            port: match far.at {
                // a type that is a request of this family
                (Protocol::Icmp, 0) => icmp::echo_request(near.is_ipv6()),
                (Protocol::Icmp, kind) => {
                    if near.is_ipv6() {
                        139
                    } else {
                        kind
                    }
                }
                (_, port) => port,
            },
        }
    })
}

impl World {
    /// What a host knows of itself: odd services are known by cgroup, even ones must be asked for.
    pub(super) fn facts(&self, id: &HostId) -> HostFacts {
        let host = self.directory.host(id).expect("there");
        let services = host.instances.keys().map(|key| LocalService {
            key: key.clone(),
            slot: slot_of(key),
            cgroups: self.cgroup_of(key).into_iter().collect(),
        });
        HostFacts {
            services: services.collect(),
            cgroup_levels: 3,
            queue: self.queue,
            failsafes: self.failsafes.clone(),
            addresses: host.addresses.iter().copied().chain(BRIDGES.map(address)).collect(),
            udp_ports: BTreeSet::from([53]),
            epoch: 3,
            log_group: 7,
            identify_queue: 1,
            identify_queues: 2,
            evidence_queue: 2,
            counters: true,
        }
    }

    fn cgroup_of(&self, key: &ServiceKey) -> Option<u64> {
        let n = SERVICES.iter().position(|text| key.as_str() == *text)?;
        (n % 2 == 1 || self.queue == QueueBackend::None).then_some(100 + n as u64)
    }

    /// How a service's end looks to the kernel.
    pub(super) fn end_of(&self, service: &ServiceKey) -> LocalEnd {
        let socket = *service != ServiceKey::kernel();
        LocalEnd { cgroups: socket.then(|| vec![9, self.cgroup_of(service).unwrap_or(8)]), found: slot_of(service) }
    }
}

/// The slot that a service has on every host.
pub(super) fn slot_of(key: &ServiceKey) -> Slot {
    match SERVICES.iter().position(|text| key.as_str() == *text) {
        Some(n) => Slot::new(Slot::FIRST + u16::try_from(n).expect("few")).expect("not 0"),
        None if *key == ServiceKey::kernel() => Slot::KERNEL,
        None if *key == ServiceKey::ambiguous() => Slot::AMBIGUOUS,
        None => Slot::UNKNOWN,
    }
}
