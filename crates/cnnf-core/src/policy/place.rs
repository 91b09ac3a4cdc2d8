//! From recorded edges back to connections that they may have been.
//!
//! An edge says which services met, not on which hosts. So each end is placed on every host, or where there are many on one for each set of
//! labels, mode and addresses that rules speak of; and at one address for each part of a network that rules cut from it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr};

use super::evaluate::{Connection, Party};
use super::index::Index;
use super::rule::{End, PolicySet};
use super::space::{internet, private};
use crate::directory::{Directory, Host};
use crate::id::{HostId, ServiceKey};
use crate::net::{AddrRange, PortRange, Ports, Protocol, icmp};
use crate::topology::{Edge, Peer};

/// Places of one end that are tried at most. With more, an answer speaks of these only.
pub const MAX_PLACES: usize = 8;

/// Stands for an address that is not known (RFC 5737).
const NOWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

/// Finds places, each peer's once.
pub(super) struct Places<'a> {
    directory: &'a Directory,
    indices: Vec<&'a Index<'a>>,
    running: HashMap<&'a ServiceKey, Vec<(&'a HostId, &'a Host)>>,
    /// Where ranges of rules and objects start, so that a network is tried on both sides of a cut.
    cuts: BTreeSet<IpAddr>,
    /// Where networks start, and end, that models may know.
    learned: BTreeSet<IpAddr>,
    /// Where ports of rules start, and end.
    port_cuts: BTreeSet<(Protocol, u16)>,
    found: HashMap<Peer, Vec<Party>>,
}

impl<'a> Places<'a> {
    /// Places that the rules of `policies` tell apart; `indices` are theirs.
    pub(super) fn new(directory: &'a Directory, policies: &[&PolicySet], indices: Vec<&'a Index<'a>>) -> Self {
        let mut running: HashMap<&ServiceKey, Vec<(&HostId, &Host)>> = HashMap::new();
        for (id, host) in directory.hosts() {
            for key in host.instances.keys() {
                running.entry(key).or_default().push((id, host));
            }
        }
        let rules = policies.iter().flat_map(|policy| policy.rules.iter().map(move |rule| (policy, rule)));
        let ends = rules.flat_map(|(policy, rule)| [(policy, &rule.source), (policy, &rule.destination)]);
        let ranges = ends.filter_map(|(policy, end)| match end {
            End::Any | End::Service { .. } => None,
            end => policy.addresses(end),
        });
        let cuts = ranges.flatten().flat_map(|range| [Some(range.low()), crate::net::next(range.high())]).flatten();
        let known = policies.iter().flat_map(|policy| policy.models.values()).flat_map(|model| model.edges.keys());
        let peers = known.flat_map(|edge| [&edge.client, &edge.server]).filter_map(|peer| match peer {
            Peer::Address(range) => Some(*range),
            _ => None,
        });
        let objects = policies.iter().flat_map(|policy| policy.objects.values()).flat_map(|object| &object.addresses);
        let bounds = |range: AddrRange| [Some(range.low()), crate::net::next(range.high())];
        let learned = peers.chain(objects.copied()).chain(private()).flat_map(bounds).flatten().collect();
        let rules = policies.iter().flat_map(|policy| &policy.rules);
        let ports = rules.flat_map(|rule| match &rule.ports {
            Ports::Any => &[][..],
            Ports::Only(ranges) => ranges,
        });
        let cut =
            |range: &PortRange| [Some(range.low), range.high.checked_add(1)].map(|port| Some((range.protocol, port?)));
        let port_cuts = ports.flat_map(cut).flatten().collect();
        Self { directory, indices, running, cuts: cuts.collect(), learned, port_cuts, found: HashMap::new() }
    }

    /// Says where a peer is.
    pub(super) fn put(&mut self, peer: Peer, places: Vec<Party>) {
        self.found.insert(peer, places);
    }

    /// What an edge may have been: a combination of the places of its ends that has one address family, or `all` of them.
    pub(super) fn connections(&mut self, edge: &Edge, all_places: bool) -> Vec<Connection> {
        for peer in [&edge.client, &edge.server] {
            if !self.found.contains_key(peer) {
                let found = self.places(peer);
                self.found.insert(peer.clone(), found);
            }
        }
        let all = |peer| self.found.get(peer).map_or(&[][..], Vec::as_slice);
        let pairs = all(&edge.client).iter().flat_map(|client| all(&edge.server).iter().map(move |s| (client, s)));
        let ports = if edge.is_dynamic() { self.ports(edge.ports()) } else { vec![edge.port] };
        // which type of ICMP it was nobody wrote down: nearly always a ping
        let port_to = |client: &Party, port| match edge.protocol {
            Protocol::Icmp => icmp::echo_request(client.address.is_ipv6()),
            _ => port,
        };
        let connection = |((client, server), port): ((&Party, &Party), u16)| Connection {
            port: port_to(client, port),
            client: client.clone(),
            server: server.clone(),
            protocol: edge.protocol,
        };
        let pairs = pairs.flat_map(|pair| ports.iter().map(move |port| (pair, *port)));
        let one_family = pairs.clone().filter(|((c, s), _)| c.address.is_ipv4() == s.address.is_ipv4());
        let limit = if all_places { usize::MAX } else { 1 };
        let found: Vec<Connection> = one_family.take(limit).map(connection).collect();
        if found.is_empty() { pairs.take(1).map(connection).collect() } else { found }
    }

    /// Ports of a range that rules tell apart.
    fn ports(&self, range: PortRange) -> Vec<u16> {
        let cuts = self.port_cuts.range((range.protocol, range.low)..=(range.protocol, range.high));
        let cuts = cuts.map(|(_, port)| *port).filter(|port| *port != range.low);
        std::iter::once(range.low).chain(cuts).take(MAX_PLACES).collect()
    }

    fn places(&self, peer: &Peer) -> Vec<Party> {
        let object = |name: &String| {
            // the newest policy's meaning of an object
            let of = self.indices.last().and_then(|index| index.policy().objects.get(name));
            of.map_or_else(Vec::new, |object| object.addresses.clone())
        };
        match peer {
            Peer::Service(key) => self.hosts(key),
            Peer::Object(name) => self.addresses(&object(name)),
            Peer::Address(range) => self.addresses(&[*range]),
            Peer::Private => self.addresses(&private()),
            Peer::Internet => self.addresses(&internet()),
        }
    }

    fn hosts(&self, key: &ServiceKey) -> Vec<Party> {
        let hosts = self.running.get(key).map_or(&[][..], Vec::as_slice);
        let all =
            || hosts.iter().flat_map(|(id, host)| host.addresses.iter().map(move |address| (*id, *host, *address)));
        let party = |id: &HostId, address| Party { host: Some(id.clone()), service: Some(key.clone()), address };
        if hosts.len() <= MAX_PLACES && all().take(MAX_PLACES + 1).count() <= MAX_PLACES {
            let found: Vec<Party> = all().map(|(id, _, address)| party(id, address)).collect();
            if found.is_empty() {
                // it ran on a host that nobody knows any more, or that is silent
                let host = hosts.first().map(|(id, _)| (*id).clone());
                return vec![Party { host, service: Some(key.clone()), address: NOWHERE }];
            }
            return found;
        }
        let mut kinds = BTreeMap::new();
        for (id, host, address) in all() {
            let classes: Vec<_> = self.indices.iter().map(|index| index.address_class(address)).collect();
            let kind = (address.is_ipv4(), &host.labels, host.mode, classes, self.network(address));
            kinds.entry(kind).or_insert_with(|| party(id, address));
        }
        kinds.into_values().take(MAX_PLACES).collect()
    }

    /// Which of the networks that models know an address is in.
    fn network(&self, address: IpAddr) -> Option<IpAddr> {
        self.learned.range(..=address).next_back().copied()
    }

    fn addresses(&self, ranges: &[AddrRange]) -> Vec<Party> {
        let cuts = |range: &AddrRange| {
            let within = range.low()..=range.high();
            self.cuts.range(within.clone()).chain(self.learned.range(within)).copied().collect::<Vec<_>>()
        };
        let cuts = ranges.iter().flat_map(cuts);
        let mut kinds = BTreeMap::new();
        for address in ranges.iter().map(|range| range.low()).chain(cuts) {
            let classes: Vec<_> = self.indices.iter().map(|index| index.address_class(address)).collect();
            kinds.entry((address.is_ipv4(), classes, self.network(address))).or_insert_with(|| Party {
                host: self.directory.host_of(address).map(|(id, _)| id.clone()),
                service: None,
                address,
            });
            if kinds.len() >= MAX_PLACES {
                break;
            }
        }
        kinds.into_values().collect()
    }
}
