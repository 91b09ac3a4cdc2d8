//! The rules by what they speak of, for judging many connections.
//!
//! The index only leaves out what could not match: rules of other services, addresses and ports, and edges of other ports. What is left is
//! judged by the same code and in the same order as in [`evaluate`](super::evaluate), so an index can be slow but never of another mind.

mod hash;
mod set;

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::evaluate::{Connection, Decision, Vantage, judge};
use super::rule::{Effect, End, PolicySet, Rule, ServicePattern};
use super::sight::{Lookup, Role, Sight};
use crate::directory::{Directory, Host};
use crate::id::{HostId, ServiceKey};
use crate::net::{AddrRange, Ports, Protocol, next};
use crate::time::Timestamp;
use crate::topology::{DYNAMIC, Edge, Peer};
use hash::Map;
use set::{Common, Segments, Set};

/// A policy and a directory, made ready to judge many connections. Judges as [`evaluate`](super::evaluate) does.
pub struct Index<'a> {
    policy: &'a PolicySet,
    hosts: Map<&'a HostId, &'a Host>,
    claims: Map<IpAddr, Vec<&'a Host>>,
    sources: Ends,
    destinations: Ends,
    any_port: Set,
    ports: Vec<(Protocol, Segments<u16>)>,
    services: Map<ServiceKey, Service<'a>>,
    /// A service that nobody has heard of.
    stranger: Service<'a>,
    /// Who listens where, by host and port.
    listeners: Map<(*const Host, Protocol, u16), Listener<'a>>,
    nothing: Set,
}

/// What there is of a service.
#[derive(Default)]
pub(super) struct Service<'a> {
    /// The rules whose source it is.
    source: Set,
    /// The rules whose destination it is.
    destination: Set,
    /// What its model does about an anomaly.
    objects: Option<Effect>,
    /// What its model knows.
    edges: Map<(Protocol, u16), Vec<&'a Edge>>,
}

/// Who listens on a port of a host.
enum Listener<'a> {
    /// One service only, and on every address.
    Sole(&'a ServiceKey),
    /// Several, or not on every address: it must be asked for.
    Varied,
}

/// Rules by one of their ends.
struct Ends {
    any: Set,
    /// All that mean services.
    all_services: Set,
    addresses: Segments<IpAddr>,
    /// All that mean addresses.
    all_addresses: Set,
}

impl<'a> Index<'a> {
    /// Takes time in the order of the rules, the hosts, and services times different globs.
    #[must_use]
    pub fn new(policy: &'a PolicySet, directory: &'a Directory) -> Self {
        let mut claims: Map<IpAddr, Vec<&'a Host>> = Map::default();
        for (_, host) in directory.hosts() {
            for address in &host.addresses {
                claims.entry(*address).or_default().push(host);
            }
        }
        let mut ports: BTreeMap<Protocol, Vec<(u16, Option<u16>, usize)>> = BTreeMap::new();
        let mut any_port = Vec::new();
        for (place, rule) in policy.rules.iter().enumerate() {
            match &rule.ports {
                Ports::Any => any_port.push(place),
                Ports::Only(ranges) => {
                    for range in ranges {
                        let (low, high) = if range.is_whole() { (0, u16::MAX) } else { (range.low, range.high) };
                        ports.entry(range.protocol).or_default().push((low, high.checked_add(1), place));
                    }
                }
            }
        }
        let (sources, source_of) = Ends::new(policy, |rule| &rule.source);
        let (destinations, destination_of) = Ends::new(policy, |rule| &rule.destination);
        let running = directory.hosts().flat_map(|(_, host)| host.instances.keys()).cloned();
        let exact =
            policy.rules.iter().flat_map(|rule| [&rule.source, &rule.destination]).filter_map(|end| match end {
                End::Service { pattern, .. } => pattern.0.parse().ok(),
                _ => None,
            });
        let mut services = Map::default();
        for key in running.chain(policy.models.keys().cloned()).chain(exact) {
            services.entry(key).or_insert_with_key(|key| {
                let mut edges: Map<(Protocol, u16), Vec<&Edge>> = Map::default();
                for edge in policy.models.get(key).into_iter().flat_map(|model| model.edges.keys()) {
                    edges.entry(port_of(edge.protocol, edge.port)).or_default().push(edge);
                }
                let (source, destination) = (source_of.of(key), destination_of.of(key));
                Service { source, destination, objects: policy.judges(key), edges }
            });
        }
        let (source, destination) = (source_of.of_strangers(), destination_of.of_strangers());
        Self {
            policy,
            hosts: directory.hosts().collect(),
            claims,
            sources,
            destinations,
            any_port: Set::new(any_port),
            ports: ports.iter().map(|(protocol, ranges)| (*protocol, Segments::new(ranges))).collect(),
            services,
            stranger: Service { source, destination, ..Service::default() },
            listeners: listeners(directory),
            nothing: Set::default(),
        }
    }

    fn service(&self, key: &ServiceKey) -> &Service<'a> {
        self.services.get(key).unwrap_or(&self.stranger)
    }

    /// The policy that it judges by.
    pub(super) fn policy(&self) -> &'a PolicySet {
        self.policy
    }

    /// What [`evaluate`](super::evaluate) says.
    #[must_use]
    pub fn evaluate(&self, connection: &Connection, vantage: Vantage, now: Timestamp) -> Decision {
        // The connection lives shorter than the policy; so does all that is looked up for it.
        judge(self.policy, &self, connection, vantage, now, &mut None)
    }

    /// The places of the rules that could match a connection to `server` on a port, or on any, whoever and wherever its ends are.
    pub(super) fn about(&self, server: &Peer, protocol: Protocol, port: Option<u16>) -> impl Iterator<Item = usize> {
        let ends = &self.destinations;
        let by_service = match server {
            Peer::Service(key) => &self.service(key).destination,
            // who listens there now may be a service
            _ => &ends.all_services,
        };
        let destinations = [&ends.any, by_service, &ends.all_addresses];
        // of one of many ports all rules may speak
        let ports = match port {
            Some(port) => [&self.any_port, self.on_port(protocol, port), &self.nothing],
            None => destinations,
        };
        Common::new([destinations, destinations, ports])
    }

    /// The places of the rules before the one at `place` that may speak of something that it speaks of too.
    pub(super) fn before(&self, place: usize) -> impl Iterator<Item = usize> {
        let rule = self.policy.rules.get(place);
        let like = |end: Option<&End>| match end {
            Some(End::Service { pattern, .. }) if !pattern.is_glob() => {
                pattern.0.parse().ok().map(|key| self.service(&key))
            }
            _ => None,
        };
        let source = like(rule.map(|rule| &rule.source)).map_or(&self.sources.all_services, |service| &service.source);
        let destination = like(rule.map(|rule| &rule.destination));
        let destination = destination.map_or(&self.destinations.all_services, |service| &service.destination);
        let sources = [&self.sources.any, source, &self.sources.all_addresses];
        let destinations = [&self.destinations.any, destination, &self.destinations.all_addresses];
        Common::new([sources, destinations, sources]).take_while(move |n| *n < place)
    }

    fn on_port(&self, protocol: Protocol, port: u16) -> &Set {
        let segments = self.ports.iter().find(|(known, _)| *known == protocol);
        segments.map_or(&self.nothing, |(_, segments)| segments.at(port))
    }

    /// What tells addresses apart that rules may judge differently: equal for two addresses if every rule's ends have both or neither.
    #[must_use]
    pub fn address_class(&self, address: IpAddr) -> (usize, usize) {
        (self.sources.addresses.number(address), self.destinations.addresses.number(address))
    }
}

fn port_of(protocol: Protocol, port: u16) -> (Protocol, u16) {
    (protocol, if protocol.has_ports() { port } else { 0 })
}

impl<'a: 'b, 'b> Lookup<'b> for &'b Index<'a> {
    type Found = [Option<&'b Service<'a>>; 2];

    fn find(&self, sight: &Sight<'b>) -> Self::Found {
        [sight.client_service, sight.server_service].map(|key| key.map(|key| self.service(key)))
    }

    fn host(&self, id: &HostId) -> Option<&'b Host> {
        self.hosts.get(id).copied()
    }

    fn claimants(&self, address: IpAddr) -> impl Iterator<Item = &'b Host> {
        self.claims.get(&address).into_iter().flatten().map(|host| *host as &'b Host)
    }

    fn rules(&self, sight: &Sight<'b>, found: &Self::Found) -> impl Iterator<Item = &'b Rule> {
        let Connection { client, server, protocol, port } = sight.connection;
        let nothing = &self.nothing;
        let by_service = match sight.vantage {
            Vantage::Client => found[Role::Client as usize].map_or(nothing, |service| &service.source),
            Vantage::Server if sight.client_is_defended() => &self.sources.all_services,
            Vantage::Server => nothing,
        };
        let sources = [&self.sources.any, by_service, self.sources.addresses.at(client.address)];
        let by_service = found[Role::Server as usize].map_or(nothing, |service| &service.destination);
        let destinations = [&self.destinations.any, by_service, self.destinations.addresses.at(server.address)];
        let by_port = self.on_port(*protocol, *port);
        let rules = &self.policy.rules;
        Common::new([sources, destinations, [&self.any_port, by_port, nothing]]).filter_map(|place| rules.get(place))
    }

    fn judges(&self, role: Role, found: &Self::Found) -> Option<Effect> {
        found[role as usize]?.objects
    }

    fn edges(&self, role: Role, found: &Self::Found, connection: &Connection) -> impl Iterator<Item = &'b Edge> {
        let Connection { protocol, port, .. } = connection;
        let service = found[role as usize];
        let on =
            move |port| service.and_then(|service| service.edges.get(&port_of(*protocol, port))).into_iter().flatten();
        // an edge of one of many ports stands with them under the number of none
        let other = (port_of(*protocol, *port).1 != DYNAMIC).then(|| on(DYNAMIC)).into_iter().flatten();
        on(*port).chain(other).map(|edge| *edge as &'b Edge)
    }

    fn service_at(&self, host: &'b Host, connection: &Connection) -> Option<&'b ServiceKey> {
        let Connection { server, protocol, port, .. } = connection;
        match self.listeners.get(&(std::ptr::from_ref(host), *protocol, *port))? {
            Listener::Sole(key) => Some(key),
            Listener::Varied => host.service_at(*protocol, server.address, *port),
        }
    }
}

fn listeners(directory: &Directory) -> Map<(*const Host, Protocol, u16), Listener<'_>> {
    let mut listeners = Map::default();
    for (_, host) in directory.hosts() {
        for (key, endpoint) in host.instances.iter().flat_map(|(key, i)| i.endpoints.iter().map(move |e| (key, e))) {
            let at = (std::ptr::from_ref(host), endpoint.protocol, endpoint.port);
            let sole = || if endpoint.address.is_none() { Listener::Sole(key) } else { Listener::Varied };
            listeners.entry(at).and_modify(|known| *known = Listener::Varied).or_insert_with(sole);
        }
    }
    listeners
}

/// The rules of one end by what they mean.
struct Meaning<'a> {
    exact: BTreeMap<&'a str, Vec<usize>>,
    globs: Vec<(&'a ServicePattern, Vec<usize>)>,
}

impl Meaning<'_> {
    fn of(&self, key: &ServiceKey) -> Set {
        let globs = self.globs.iter().filter(|(glob, _)| glob.matches(key)).map(|(_, places)| places);
        sorted(self.exact.get(key.as_str()).into_iter().chain(globs))
    }

    /// The rules that may mean a service that nobody has heard of.
    fn of_strangers(&self) -> Set {
        sorted(self.globs.iter().map(|(_, places)| places))
    }
}

fn sorted<'a>(places: impl Iterator<Item = &'a Vec<usize>>) -> Set {
    let mut places: Vec<usize> = places.flatten().copied().collect();
    places.sort_unstable();
    Set::new(places)
}

impl Ends {
    fn new<'a>(policy: &'a PolicySet, end_of: impl Fn(&'a Rule) -> &'a End) -> (Self, Meaning<'a>) {
        let (mut any, mut all_services, mut ranges) = (Vec::new(), Vec::new(), Vec::new());
        let mut patterns: BTreeMap<&ServicePattern, Vec<usize>> = BTreeMap::new();
        for (place, rule) in policy.rules.iter().enumerate() {
            match end_of(rule) {
                End::Any => any.push(place),
                End::Service { pattern, .. } => {
                    all_services.push(place);
                    patterns.entry(pattern).or_default().push(place);
                }
                end => {
                    let addresses = policy.addresses(end).into_iter().flatten();
                    ranges.extend(addresses.map(|range| (range.low(), after(*range), place)));
                }
            }
        }
        let (globs, exact): (Vec<_>, Vec<_>) = patterns.into_iter().partition(|(pattern, _)| pattern.is_glob());
        let exact = exact.into_iter().map(|(pattern, places)| (pattern.0.as_str(), places)).collect();
        let ends = Self {
            any: Set::new(any),
            all_services: Set::new(all_services),
            addresses: Segments::new(&ranges),
            all_addresses: Segments::all(&ranges),
        };
        (ends, Meaning { exact, globs })
    }
}

/// The address after a range; the first IPv6 address after the last of IPv4.
fn after(range: AddrRange) -> Option<IpAddr> {
    match next(range.high()) {
        None if range.high().is_ipv4() => Some(std::net::Ipv6Addr::UNSPECIFIED.into()),
        after => after,
    }
}
