//! From reports to edges.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::edge::{DYNAMIC, EPHEMERAL, Edge, Peer};
use crate::directory::Directory;
use crate::flow::{FlowKey, FlowRecord, FlowStats};
use crate::id::HostId;
use crate::net::{AddrRange, Protocol, is_private};
use crate::policy::AddressObject;

/// How many distinct external buckets one service may have on one port and in one direction before they become `private` or
/// `internet` as a whole, so that a public server's edges stay few.
pub const MAX_BUCKETS: usize = 32;

/// How many distinct ephemeral server ports two peers may have before the others become [`DYNAMIC`].
pub const MAX_PORTS: usize = 8;

/// The same for one service and all private, or all other, addresses together: who talks to a new address on a new port each time is
/// bounded too.
pub const MAX_PORTS_OF_ALL: usize = 64;

/// How many edges are kept; connections on others are only counted. A scan of all ports of all neighbours is what comes near.
pub const MAX_EDGES: usize = 500_000;

/// All edges that were ever reported and not yet forgotten.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Topology {
    edges: BTreeMap<Edge, FlowStats>,
    buckets: BTreeMap<Fan, BTreeSet<AddrRange>>,
    wide: BTreeSet<Fan>,
    ports: BTreeMap<Pair, BTreeSet<u16>>,
    overflow: u64,
}

/// Two peers with their distinct ephemeral server ports.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Pair {
    client: Peer,
    server: Peer,
    protocol: Protocol,
}

/// External addresses at one end of edges that are otherwise equal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Fan {
    near: Peer,
    outward: bool,
    protocol: Protocol,
    port: u16,
    private: bool,
}

/// What a report added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Absorbed {
    /// The edge that it counts for.
    pub edge: Edge,
    /// What it adds.
    pub stats: FlowStats,
}

impl Topology {
    /// Restores a topology from its edges.
    #[must_use]
    pub fn from_edges(edges: impl IntoIterator<Item = (Edge, FlowStats)>) -> Self {
        let mut topology = Self::default();
        for (edge, stats) in edges {
            topology.note(&edge);
            topology.edges.insert(edge, stats);
        }
        topology
    }

    /// The edges, ordered.
    #[must_use]
    pub fn edges(&self) -> &BTreeMap<Edge, FlowStats> {
        &self.edges
    }

    /// Connections that were not counted for an edge as there were [`MAX_EDGES`] already.
    #[must_use]
    pub fn overflow(&self) -> u64 {
        self.overflow
    }

    /// Counts one line of `reporter`'s report.
    ///
    /// `None` if it only confirms what another host counts: where both ends have defenders the client's host counts. Also for flows
    /// that have no service at either end, and for a new edge beyond [`MAX_EDGES`].
    pub fn absorb(
        &mut self,
        reporter: &HostId,
        record: &FlowRecord,
        directory: &Directory,
        objects: &BTreeMap<String, AddressObject>,
    ) -> Option<Absorbed> {
        let key = &record.key;
        let elsewhere = || directory.host_of(key.client).is_some_and(|(host, _)| host != reporter);
        if key.client_service.is_none() && elsewhere() {
            return None;
        }
        let edge = Edge::of(key, directory, objects);
        if !matches!(edge.client, Peer::Service(_)) && !matches!(edge.server, Peer::Service(_)) {
            return None;
        }
        let edge = self.widen(self.widen_port(edge));
        if self.edges.len() >= MAX_EDGES && !self.edges.contains_key(&edge) {
            self.overflow = self.overflow.saturating_add(record.stats.connections);
            return None;
        }
        self.merge(edge.clone(), &record.stats);
        Some(Absorbed { edge, stats: record.stats })
    }

    /// Names ends anew that were addresses when they were reported and are a service's or an object's by now. Returns what became of
    /// each edge that changed.
    pub fn reresolve(&mut self, directory: &Directory, objects: &BTreeMap<String, AddressObject>) -> Vec<(Edge, Edge)> {
        let renamed: Vec<(Edge, Edge)> = self
            .edges
            .keys()
            .filter_map(|old| {
                let mut new = old.clone();
                if let Peer::Address(range) = old.server
                    && range.is_single()
                    && let Some((_, service)) = directory.service_at(old.protocol, range.low(), old.port)
                {
                    new.server = Peer::Service(service.clone());
                }
                for end in [&mut new.client, &mut new.server] {
                    if let Peer::Address(range) = *end
                        && let Some(object) = object_of(range, objects)
                    {
                        *end = object;
                    }
                }
                (new != *old).then(|| (old.clone(), new))
            })
            .collect();
        for (old, new) in &renamed {
            if let Some(stats) = self.edges.remove(old) {
                self.forget_bucket(old);
                self.merge(new.clone(), &stats);
            }
        }
        renamed
    }

    /// Removes edges last seen before `limit`; returns them.
    pub fn forget_before(&mut self, limit: crate::time::Timestamp) -> Vec<Edge> {
        let old: Vec<Edge> = self.edges.iter().filter(|(_, s)| s.last < limit).map(|(edge, _)| edge.clone()).collect();
        if !old.is_empty() {
            let mut edges = std::mem::take(&mut self.edges);
            edges.retain(|_, stats| stats.last >= limit);
            *self = Self { overflow: self.overflow, ..Self::from_edges(edges) };
        }
        old
    }

    fn merge(&mut self, edge: Edge, stats: &FlowStats) {
        self.note(&edge);
        self.edges.entry(edge).and_modify(|known| known.merge(stats)).or_insert(*stats);
    }

    fn note(&mut self, edge: &Edge) {
        for pair in pairs(edge) {
            self.ports.entry(pair).or_default().insert(edge.port);
        }
        if let Some((fan, bucket)) = fan(edge) {
            match bucket {
                Some(bucket) => {
                    self.buckets.entry(fan).or_default().insert(bucket);
                }
                None => {
                    self.wide.insert(fan);
                }
            }
        }
    }

    fn forget_bucket(&mut self, edge: &Edge) {
        if let Some(pair) = pairs(edge).next()
            && let Some(ports) = self.ports.get_mut(&pair)
        {
            ports.remove(&edge.port);
        }
        if let Some((fan, Some(bucket))) = fan(edge)
            && let Some(buckets) = self.buckets.get_mut(&fan)
        {
            buckets.remove(&bucket);
        }
    }

    /// An ephemeral port becomes [`DYNAMIC`] once its peers have [`MAX_PORTS`] others.
    fn widen_port(&self, edge: Edge) -> Edge {
        let is_full = pairs(&edge).zip([MAX_PORTS, MAX_PORTS_OF_ALL]).any(|(pair, most)| {
            self.ports.get(&pair).is_some_and(|ports| ports.len() >= most && !ports.contains(&edge.port))
        });
        if is_full { Edge { port: DYNAMIC, ..edge } } else { edge }
    }

    /// An address becomes `private` or `internet` once its port has [`MAX_BUCKETS`] others.
    fn widen(&mut self, edge: Edge) -> Edge {
        let Some((fan, Some(bucket))) = fan(&edge) else { return edge };
        let known = self.buckets.get(&fan);
        let is_known = known.is_some_and(|buckets| buckets.contains(&bucket));
        let is_full = self.wide.contains(&fan) || known.is_some_and(|buckets| buckets.len() >= MAX_BUCKETS);
        if is_known || !is_full {
            return edge;
        }
        let far = if fan.private { Peer::Private } else { Peer::Internet };
        if fan.outward { Edge { server: far, ..edge } } else { Edge { client: far, ..edge } }
    }
}

/// Who has the ephemeral port of an edge: its two ends, and where one is an address, the other with all such addresses.
fn pairs(edge: &Edge) -> impl Iterator<Item = Pair> {
    let counts = edge.protocol.has_ports() && edge.port >= EPHEMERAL;
    let class = |peer: &Peer| match peer {
        Peer::Address(range) if is_private(range.low()) => Peer::Private,
        Peer::Address(_) => Peer::Internet,
        peer => peer.clone(),
    };
    let pair = |client: Peer, server: Peer| Pair { client, server, protocol: edge.protocol };
    let exact = pair(edge.client.clone(), edge.server.clone());
    let all = pair(class(&edge.client), class(&edge.server));
    let all = (all != exact).then_some(all);
    [Some(exact), all].into_iter().flatten().filter(move |_| counts)
}

/// The fan an edge belongs to if one of its ends is external, and the bucket it takes in it.
fn fan(edge: &Edge) -> Option<(Fan, Option<AddrRange>)> {
    let place = |far: &Peer| match far {
        Peer::Address(range) => Some((is_private(range.low()), Some(*range))),
        Peer::Private => Some((true, None)),
        Peer::Internet => Some((false, None)),
        Peer::Service(_) | Peer::Object(_) => None,
    };
    let (near, outward, (private, bucket)) = match (place(&edge.client), place(&edge.server)) {
        (None, Some(place)) => (edge.client.clone(), true, place),
        (Some(place), None) => (edge.server.clone(), false, place),
        _ => return None,
    };
    Some((Fan { near, outward, protocol: edge.protocol, port: edge.port, private }, bucket))
}

impl Edge {
    /// The edge of a connection that a host reports, with the peers that are known behind its addresses.
    #[must_use]
    pub fn of(key: &FlowKey, directory: &Directory, objects: &BTreeMap<String, AddressObject>) -> Self {
        let client = match &key.client_service {
            Some(service) => Peer::Service(service.clone()),
            None => Peer::of_address(key.client, objects),
        };
        let server = match &key.server_service {
            Some(service) => Peer::Service(service.clone()),
            None => match directory.service_at(key.protocol, key.server, key.port) {
                Some((_, service)) => Peer::Service(service.clone()),
                None if directory.host_of(key.server).is_some() => Peer::Address(AddrRange::single(key.server)),
                None => Peer::of_address(key.server, objects),
            },
        };
        Self { client, server, protocol: key.protocol, port: key.port }
    }
}

impl Peer {
    /// The peer behind an address that no defended host has: an object that has it, or its bucket.
    #[must_use]
    pub fn of_address(address: IpAddr, objects: &BTreeMap<String, AddressObject>) -> Self {
        let bits = match (is_private(address), address.is_ipv4()) {
            (false, true) => 24,
            (false, false) => 48,
            (true, true) => 32,
            (true, false) => 128,
        };
        object_of(AddrRange::single(address), objects).unwrap_or_else(|| {
            let net = ipnet::IpNet::new(address, bits).map(|net| net.trunc());
            Self::Address(net.map_or_else(|_| AddrRange::single(address), AddrRange::net))
        })
    }
}

/// The first object, by name, that has all of `range`.
fn object_of(range: AddrRange, objects: &BTreeMap<String, AddressObject>) -> Option<Peer> {
    objects
        .values()
        .find(|object| object.addresses.iter().any(|a| a.contains(range.low()) && a.contains(range.high())))
        .map(|object| Peer::Object(object.name.clone()))
}
