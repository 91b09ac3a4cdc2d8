//! Groups of peers: where a service is, who may come from a host, what a model knows.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashSet, btree_map};
use std::net::IpAddr;
use std::sync::Arc;

use super::host_policy::{Group, GroupEntry, GroupId};
use super::rule::{End, PolicySet, is_glob, means};
use super::sight::{may_run, stands_for_no_service};
use super::space::{before, everywhere, internet, overlap, private};
use crate::directory::{Directory, Host, Instance};
use crate::id::ServiceKey;
use crate::label::Labels;
use crate::net::{AddrRange, Ports, Protocol, next};
use crate::topology::{DYNAMIC, EPHEMERAL, Edge, Peer, ports_of};

/// Members of a group while it is made.
pub(super) type Entries = BTreeSet<GroupEntry>;
/// Members that several groups, and hosts, share.
pub(super) type Shared = Arc<Entries>;

/// Every host.
pub(super) static EVERYWHERE: Labels = Labels(BTreeMap::new());

/// An instance and its host.
type At<'a> = (&'a Host, &'a Instance);

/// A group that is the same for every host, but for what a host adds for itself.
pub(super) struct Known {
    /// What it means, in words that no other group has.
    pub(super) meaning: String,
    /// Its number, unless another meaning has it.
    number: u32,
    /// Its members.
    pub(super) entries: Shared,
}

impl Known {
    pub(super) fn new(meaning: String, entries: Entries) -> Arc<Self> {
        Self::of(meaning, Arc::new(entries))
    }

    pub(super) fn of(meaning: String, entries: Shared) -> Arc<Self> {
        Arc::new(Self { number: fnv(meaning.as_bytes()).max(1), meaning, entries })
    }
}

/// Services by pattern, on hosts with labels.
type Wanted<'a> = (&'a str, &'a Labels);
/// What was made once and is kept.
type Kept<K> = RefCell<BTreeMap<K, Arc<Known>>>;

/// What is the same for every host: where each service is. Groups of services and addresses are made once and shared.
pub(super) struct Whole<'a> {
    pub(super) policy: &'a PolicySet,
    directory: &'a Directory,
    /// Where each service is.
    instances: BTreeMap<&'a str, (&'a ServiceKey, Vec<At<'a>>)>,
    /// Addresses that several hosts claim: nobody's.
    disputed: BTreeSet<IpAddr>,
    /// The addresses of all hosts, in order.
    addresses: Vec<IpAddr>,
    endpoints: Kept<Wanted<'a>>,
    hosts: Kept<Wanted<'a>>,
    ranges: Kept<&'a [AddrRange]>,
    objects: Kept<&'a str>,
    /// Hosts with a defender, all or those within a rule's addresses.
    defended: Kept<Option<&'a [AddrRange]>>,
}

impl<'a> Whole<'a> {
    pub(super) fn new(policy: &'a PolicySet, directory: &'a Directory) -> Self {
        let mut instances: BTreeMap<_, (_, Vec<_>)> = BTreeMap::new();
        let mut addresses = Vec::new();
        for (_, host) in directory.hosts() {
            for (key, instance) in &host.instances {
                instances.entry(key.as_str()).or_insert_with(|| (key, Vec::new())).1.push((host, instance));
            }
            addresses.extend(&host.addresses);
        }
        addresses.sort_unstable();
        addresses.dedup();
        Self {
            policy,
            directory,
            instances,
            disputed: directory.conflicts().into_keys().collect(),
            addresses,
            endpoints: RefCell::default(),
            hosts: RefCell::default(),
            ranges: RefCell::default(),
            objects: RefCell::default(),
            defended: RefCell::default(),
        }
    }

    /// Where such services run; one key is looked up, and only a glob asks every service.
    fn running(&self, pattern: &'a str) -> impl Iterator<Item = (&'a ServiceKey, At<'a>)> {
        let glob = is_glob(pattern);
        let one = (!glob).then(|| self.instances.get(pattern)).flatten();
        let all = glob.then(|| self.instances.values().filter(move |(key, _)| means(pattern, key)));
        let found = one.into_iter().chain(all.into_iter().flatten());
        found.flat_map(|(key, all)| all.iter().map(move |at| (*key, *at)))
    }

    /// Where such services listen, as other hosts reach them.
    pub(super) fn endpoints(&self, pattern: &'a str, labels: &'a Labels) -> Arc<Known> {
        keep(&self.endpoints, (pattern, labels), || {
            let mut entries = Entries::new();
            for (key, (host, instance)) in self.running(pattern).filter(|(_, at)| at.0.labels.satisfy(labels)) {
                for address in host.addresses.iter().filter(|address| !self.disputed.contains(*address)) {
                    let here = instance.endpoints.iter().filter(|e| {
                        e.accepts(e.protocol, *address, e.port)
                            && host.service_at(e.protocol, *address, e.port) == Some(key)
                    });
                    entries.extend(here.map(|e| GroupEntry {
                        addresses: AddrRange::single(*address),
                        own: false,
                        port: Some((e.protocol, e.port)),
                    }));
                }
            }
            Known::new(format!("endpoints {pattern} {labels}"), entries)
        })
    }

    /// The addresses of hosts that such services may open connections from.
    fn hosts(&self, pattern: &'a str, labels: &'a Labels) -> Arc<Known> {
        keep(&self.hosts, (pattern, labels), || {
            let addresses = |host: &'a Host| host.addresses.iter().map(|a| AddrRange::single(*a));
            let entries = if stands_for_no_service(pattern) {
                let every = self.directory.hosts().map(|(_, host)| host);
                of_addresses(every.filter(|host| host.labels.satisfy(labels)).flat_map(addresses))
            } else {
                let running = self.running(pattern).map(|(_, (host, _))| host);
                of_addresses(running.filter(|host| host.labels.satisfy(labels)).flat_map(addresses))
            };
            Known::new(format!("hosts of {pattern} {labels}"), entries)
        })
    }

    /// The addresses of all hosts with a defender, or of those within `ranges`.
    fn defended(&self, within: Option<&'a [AddrRange]>, meaning: impl FnOnce() -> String) -> Arc<Known> {
        keep(&self.defended, within, || {
            let all = match within {
                None => of_addresses(self.addresses.iter().map(|a| AddrRange::single(*a))),
                Some(ranges) => {
                    let within = |range: &AddrRange| {
                        let from = self.addresses.partition_point(|a| *a < range.low());
                        let to = self.addresses.partition_point(|a| *a <= range.high());
                        self.addresses[from..to].iter().map(|a| AddrRange::single(*a))
                    };
                    of_addresses(ranges.iter().flat_map(within))
                }
            };
            Known::new(meaning(), all)
        })
    }

    /// The group of an end that is addresses; `None` for other ends.
    fn addresses(&self, end: &'a End) -> Option<(Arc<Known>, &'a [AddrRange])> {
        let ranges = self.policy.addresses(end)?;
        let make = |meaning: String| Known::new(meaning, of_addresses(ranges.iter().copied()));
        let known = match end {
            End::Object(name) => keep(&self.objects, name, || make(format!("object {name}"))),
            End::Addresses(_) => keep(&self.ranges, ranges, || {
                let texts: Vec<String> = ranges.iter().map(ToString::to_string).collect();
                make(format!("addresses {}", texts.join(" ")))
            }),
            End::Any | End::Service { .. } => return None,
        };
        Some((known, ranges))
    }
}

fn keep<K: Ord>(kept: &Kept<K>, wanted: K, make: impl FnOnce() -> Arc<Known>) -> Arc<Known> {
    if let Some(known) = kept.borrow().get(&wanted) {
        return Arc::clone(known);
    }
    let made = make();
    kept.borrow_mut().insert(wanted, Arc::clone(&made));
    made
}

/// What groups of one host are made from, and the groups made so far.
pub(super) struct Groups<'w, 'a> {
    pub(super) policy: &'a PolicySet,
    /// The host that the groups are for.
    pub(super) host: &'a Host,
    pub(super) whole: &'w Whole<'a>,
    made: BTreeMap<GroupId, (Arc<Known>, Shared)>,
    /// Groups that are other ones on this host.
    own_endpoints: RefCell<BTreeMap<Wanted<'a>, Shared>>,
    defended: BTreeMap<Option<&'a [AddrRange]>, Shared>,
    /// The services that the host has told of, where only what is about these is kept.
    pub(super) told: Option<HashSet<&'a str>>,
}

impl<'w, 'a> Groups<'w, 'a> {
    pub(super) fn new(whole: &'w Whole<'a>, host: &'a Host) -> Self {
        Self {
            policy: whole.policy,
            host,
            whole,
            made: BTreeMap::new(),
            own_endpoints: RefCell::default(),
            defended: BTreeMap::new(),
            told: None,
        }
    }

    /// The groups made so far.
    pub(super) fn into_map(self) -> BTreeMap<GroupId, Group> {
        self.made.into_iter().map(|(id, (_, entries))| (id, Group { entries })).collect()
    }

    /// Keeps a group under a number that depends on its meaning, so that a change of its members changes no entry.
    pub(super) fn keep(&mut self, meaning: String, entries: Entries) -> GroupId {
        self.keep_known(&Known::new(meaning, entries))
    }

    /// The same, of one that is known.
    pub(super) fn keep_known(&mut self, known: &Arc<Known>) -> GroupId {
        self.keep_as(known, Arc::clone(&known.entries))
    }

    /// The same, with the members that it has on this host.
    pub(super) fn keep_as(&mut self, known: &Arc<Known>, entries: Shared) -> GroupId {
        let mut number = known.number;
        loop {
            match self.made.entry(GroupId(number)) {
                btree_map::Entry::Vacant(free) => {
                    free.insert((Arc::clone(known), entries));
                    return GroupId(number);
                }
                btree_map::Entry::Occupied(taken) => {
                    let (other, members) = taken.get();
                    let same = Arc::ptr_eq(other, known) || other.meaning == known.meaning;
                    if same && *members == entries {
                        return GroupId(number);
                    }
                    number = number.wrapping_add(1).max(1);
                }
            }
        }
    }

    /// Where such services listen: exact addresses and ports. What listens here is reached here in more ways than from elsewhere.
    pub(super) fn endpoints(&self, pattern: &'a str, labels: &'a Labels) -> (Arc<Known>, Shared) {
        let known = self.whole.endpoints(pattern, labels);
        let here = || self.host.instances.iter().filter(|(key, _)| means(pattern, key));
        if here().next().is_none() || !self.host.labels.satisfy(labels) {
            let entries = Arc::clone(&known.entries);
            return (known, entries);
        }
        if let Some(entries) = self.own_endpoints.borrow().get(&(pattern, labels)) {
            return (known, Arc::clone(entries));
        }
        let mut entries = Entries::clone(&known.entries);
        for (key, instance) in here() {
            for endpoint in &instance.endpoints {
                for address in &self.host.addresses {
                    let port = Some((endpoint.protocol, endpoint.port));
                    entries.remove(&GroupEntry { addresses: AddrRange::single(*address), own: false, port });
                }
            }
            own_endpoints(self.host, key, instance, &mut entries);
        }
        let entries = Arc::new(entries);
        self.own_endpoints.borrow_mut().insert((pattern, labels), Arc::clone(&entries));
        (known, entries)
    }

    /// The group of an end that is addresses; `None` for other ends.
    pub(super) fn keep_addresses(&mut self, end: &'a End) -> Option<(GroupId, Shared, &'a [AddrRange])> {
        let (known, ranges) = self.whole.addresses(end)?;
        Some((self.keep_known(&known), Arc::clone(&known.entries), ranges))
    }

    /// Addresses of hosts that such services may open connections from.
    pub(super) fn hosts_running(&self, pattern: &'a str, labels: &'a Labels) -> (Arc<Known>, Shared) {
        let known = self.whole.hosts(pattern, labels);
        let own = self.host.labels.satisfy(labels) && may_run(self.host, pattern);
        let entries = if own { with_own(&known.entries, None) } else { Arc::clone(&known.entries) };
        (known, entries)
    }

    /// Keeps the group of all hosts with a defender, or of those within a rule's addresses, whose group is `within`.
    pub(super) fn keep_defended(&mut self, within: Option<(GroupId, &'a [AddrRange])>) -> GroupId {
        let ranges = within.map(|(_, ranges)| ranges);
        let known = self.whole.defended(ranges, || match within {
            None => "defended".to_owned(),
            Some((id, _)) => format!("defended in group {}", id.0),
        });
        let entries = self.defended.entry(ranges).or_insert_with(|| with_own(&known.entries, ranges));
        let entries = Arc::clone(entries);
        self.keep_as(&known, entries)
    }

    /// The servers that the model of `client` knows.
    pub(super) fn learned_servers(&self, client: &ServiceKey) -> Entries {
        let mut entries = Entries::new();
        for edge in self.edges(client).filter(|edge| is(&edge.client, client)) {
            match &edge.server {
                Peer::Service(server) => {
                    let (_, endpoints) = self.endpoints(server.as_str(), &EVERYWHERE);
                    entries.extend(on_ports(&endpoints, &[(edge.protocol, edge.port)].into()));
                }
                peer => entries.extend(self.ranges(peer, edge)),
            }
        }
        entries
    }

    /// The clients that the model of `server` knows, by the addresses they come from. Services are known by their hosts, and left out
    /// unless `services` are wanted.
    pub(super) fn learned_clients(&self, server: &ServiceKey, services: bool) -> Entries {
        let mut entries = Entries::new();
        for edge in self.edges(server).filter(|edge| is(&edge.server, server)) {
            match &edge.client {
                Peer::Service(client) if services => {
                    let (_, hosts) = self.hosts_running(client.as_str(), &EVERYWHERE);
                    let port = Some((edge.protocol, port_of(edge)));
                    entries.extend(hosts.iter().map(|e| GroupEntry { port, ..*e }));
                }
                Peer::Service(_) => {}
                peer => entries.extend(self.ranges(peer, edge)),
            }
        }
        entries
    }

    /// The edges of a service's model.
    pub(super) fn edges(&self, key: &ServiceKey) -> impl Iterator<Item = &'a Edge> + use<'a> {
        self.whole.edges(key)
    }

    fn ranges(&self, peer: &Peer, edge: &Edge) -> Entries {
        let port = Some((edge.protocol, port_of(edge)));
        of_addresses(self.peer_ranges(peer)).into_iter().map(|e| GroupEntry { port, ..e }).collect()
    }

    /// The addresses of a peer that is no service.
    pub(super) fn peer_ranges(&self, peer: &Peer) -> Vec<AddrRange> {
        self.whole.peer_ranges(peer)
    }
}

impl<'a> Whole<'a> {
    /// The edges of a service's model.
    pub(super) fn edges(&self, key: &ServiceKey) -> impl Iterator<Item = &'a Edge> + use<'a> {
        self.policy.models.get(key).into_iter().flat_map(|model| model.edges.keys())
    }

    /// The addresses of a peer that is no service.
    pub(super) fn peer_ranges(&self, peer: &Peer) -> Vec<AddrRange> {
        match peer {
            Peer::Service(_) => Vec::new(),
            Peer::Object(name) => self.policy.objects.get(name).map_or_else(Vec::new, |o| o.addresses.clone()),
            Peer::Address(range) => vec![*range],
            Peer::Private => private().to_vec(),
            Peer::Internet => internet(),
        }
    }
}

fn is(peer: &Peer, key: &ServiceKey) -> bool {
    matches!(peer, Peer::Service(service) if service == key)
}

fn port_of(edge: &Edge) -> u16 {
    if edge.protocol.has_ports() { edge.port } else { 0 }
}

/// Members with these addresses and any port.
pub(super) fn of_addresses(ranges: impl IntoIterator<Item = AddrRange>) -> Entries {
    ranges.into_iter().map(|addresses| GroupEntry { addresses, own: false, port: None }).collect()
}

/// Those of `endpoints` that are on these ports of edges.
pub(super) fn on_ports(endpoints: &Entries, ports: &BTreeSet<(Protocol, u16)>) -> Entries {
    let is_on = |(protocol, port): (Protocol, u16)| {
        ports.contains(&(protocol, port)) || (port >= EPHEMERAL && ports.contains(&(protocol, DYNAMIC)))
    };
    endpoints.iter().filter(|e| e.port.is_some_and(is_on)).copied().collect()
}

/// The port that is in both, if there is one; all ports for `None`.
fn both_ports(a: Option<(Protocol, u16)>, b: Option<(Protocol, u16)>) -> Option<Option<(Protocol, u16)>> {
    let (Some(x), Some(y)) = (a, b) else { return Some(a.or(b)) };
    let in_dynamic = |(wide, narrow): ((Protocol, u16), (Protocol, u16))| {
        wide.0 == narrow.0 && wide.0.has_ports() && wide.1 == DYNAMIC && narrow.1 >= EPHEMERAL
    };
    let narrower = if x == y || in_dynamic((y, x)) { Some(x) } else { in_dynamic((x, y)).then_some(y) };
    narrower.map(Some)
}

/// What is in both.
pub(super) fn intersect(a: &Entries, b: &Entries) -> Entries {
    let mut by_port: BTreeMap<Option<(Protocol, u16)>, Vec<&GroupEntry>> = BTreeMap::new();
    for entry in b {
        by_port.entry(entry.port).or_default().push(entry);
    }
    let mut both = Entries::new();
    for x in a {
        let candidates: Vec<&GroupEntry> = match x.port {
            None => b.iter().collect(),
            Some((protocol, DYNAMIC)) if protocol.has_ports() => {
                let ports = by_port.range(Some((protocol, DYNAMIC))..=Some((protocol, u16::MAX)));
                ports
                    .flat_map(|(_, entries)| entries)
                    .chain(by_port.get(&None).into_iter().flatten())
                    .copied()
                    .collect()
            }
            port => {
                let dynamic = port.map(|(protocol, _)| (protocol, DYNAMIC)).filter(|dynamic| Some(*dynamic) != port);
                let keys = [port, None].into_iter().chain(dynamic.map(Some));
                keys.filter_map(|port| by_port.get(&port)).flatten().copied().collect()
            }
        };
        for y in candidates {
            if let Some(port) = both_ports(x.port, y.port)
                && let Some(addresses) = overlap(x.addresses, y.addresses)
            {
                both.insert(GroupEntry { addresses, own: x.own || y.own, port });
            }
        }
    }
    both
}

/// Whether every connection that `a` means is surely meant by `b`.
pub(super) fn covers(b: &Entries, a: &Entries) -> bool {
    a.iter().all(|x| b.contains(x))
}

/// Where an instance of this host is reached on this host: on every address that its sockets accept, unless another service is
/// nearer there.
fn own_endpoints(host: &Host, key: &ServiceKey, instance: &Instance, entries: &mut Entries) {
    for endpoint in &instance.endpoints {
        let (protocol, port) = (endpoint.protocol, endpoint.port);
        let bound: BTreeSet<IpAddr> = host
            .instances
            .values()
            .flat_map(|instance| &instance.endpoints)
            .filter(|e| e.protocol == protocol && e.port == port)
            .filter_map(|e| e.address.filter(|a| !a.is_unspecified()))
            .collect();
        let mut add = |addresses| {
            entries.insert(GroupEntry { addresses, own: true, port: Some((protocol, port)) });
        };
        match endpoint.address.filter(|a| !a.is_unspecified()) {
            Some(address) => {
                if host.service_at(protocol, address, port) == Some(key) {
                    add(AddrRange::single(address));
                }
            }
            None => {
                for all in everywhere() {
                    let mut low = all.low();
                    // an address that nobody is bound to stands for all of them
                    let gaps = bound.iter().copied().filter(|a| all.contains(*a)).map(Some).chain([None]);
                    for taken in gaps {
                        let gap = match taken {
                            Some(taken) if taken == low => None,
                            Some(taken) => AddrRange::new(low, before(taken)),
                            None => AddrRange::new(low, all.high()),
                        };
                        if let Some(gap) = gap
                            && host.service_at(protocol, gap.low(), port) == Some(key)
                        {
                            add(gap);
                        }
                        match taken.map(next) {
                            Some(Some(after)) => low = after,
                            Some(None) => break,
                            None => {}
                        }
                    }
                }
            }
        }
    }
}

/// `hosts` and what is this host's own, all of it or what is within `ranges`.
fn with_own(hosts: &Shared, ranges: Option<&[AddrRange]>) -> Shared {
    let mut entries = Entries::clone(hosts);
    let own = |addresses| GroupEntry { addresses, own: true, port: None };
    match ranges {
        None => entries.extend(everywhere().map(own)),
        Some(ranges) => entries.extend(ranges.iter().copied().map(own)),
    }
    Arc::new(entries)
}

/// FNV-1a, 32 bits (Fowler, Noll, Vo): the same on every controller and in every version.
pub(crate) fn fnv(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

/// Ports as a group's meaning names them.
pub(crate) fn text_of(ports: &BTreeSet<(Protocol, u16)>) -> String {
    Ports::only(ports.iter().map(|(protocol, port)| ports_of(*protocol, *port))).to_string()
}
