//! Whom a service might reach, and where their ports could be judged apart.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::super::evaluate::{Connection, Party};
use super::super::index::Index;
use super::super::rule::{End, PolicySet, Rule, means};
use super::super::sight::stands_for_no_service;
use super::super::space::{internet, private};
use crate::directory::{Directory, Host};
use crate::failsafe::Failsafes;
use crate::id::{HostId, ServiceKey};
use crate::net::{AddrRange, PortRange, Ports, Protocol, is_private, next};
use crate::topology::Peer;

/// What has no ports of its own in a rule, a model or a failsafe stands for every other protocol: one that is reserved (RFC 3692).
const NOBODYS: u8 = 253;

type Cuts = BTreeSet<(Protocol, u16)>;

/// Whom a service might reach.
pub(super) struct Targets<'a> {
    policy: &'a PolicySet,
    directory: &'a Directory,
    failsafes: &'a Failsafes,
    /// By rule, whether it may speak of what the service's hosts send.
    mine: Vec<bool>,
    /// What the service's model knows of the peers.
    known: BTreeMap<&'a Peer, Vec<PortRange>>,
    /// Everybody, with the ports that they listen on.
    all: BTreeMap<Peer, BTreeSet<(Protocol, u16)>>,
    /// Addresses that are somebody's, merged.
    taken: Vec<AddrRange>,
}

impl<'a> Targets<'a> {
    pub(super) fn new(
        key: &ServiceKey,
        policy: &'a PolicySet,
        directory: &'a Directory,
        failsafes: &'a Failsafes,
        seen: impl Iterator<Item = &'a Peer>,
    ) -> Self {
        let at: Vec<(&HostId, &Host)> =
            directory.hosts().filter(|(_, host)| host.instances.contains_key(key)).collect();
        // the server's side knows of a client only what its host may run
        let runs: BTreeSet<&ServiceKey> = at.iter().flat_map(|(_, host)| host.instances.keys()).chain([key]).collect();
        let mine: Vec<bool> = policy.rules.iter().map(|rule| is_mine(policy, rule, &runs, &at)).collect();
        let mut known: BTreeMap<&Peer, Vec<PortRange>> = BTreeMap::new();
        let edges = policy.models.get(key).into_iter().flat_map(|model| model.edges.keys());
        for edge in edges.filter(|edge| edge.client == Peer::Service(key.clone())) {
            known.entry(&edge.server).or_default().push(edge.ports());
        }
        let mut all: BTreeMap<Peer, BTreeSet<(Protocol, u16)>> = BTreeMap::new();
        for (id, host) in directory.hosts() {
            let is_here = at.iter().any(|(own, _)| *own == id);
            for (service, instance) in &host.instances {
                let open = |bound: Option<IpAddr>| is_here || bound.is_none_or(|address| !address.is_loopback());
                let open = instance.endpoints.iter().filter(|endpoint| open(endpoint.address));
                let open: Vec<_> = open.map(|endpoint| (endpoint.protocol, endpoint.port)).collect();
                if !open.is_empty() {
                    all.entry(Peer::Service(service.clone())).or_default().extend(open);
                }
            }
        }
        let rules = policy.rules.iter().zip(&mine).filter(|(_, mine)| **mine).map(|(rule, _)| rule);
        for rule in rules {
            match &rule.destination {
                End::Object(name) => drop(all.entry(Peer::Object(name.clone())).or_default()),
                End::Addresses(ranges) => {
                    all.extend(ranges.iter().map(|range| (Peer::Address(*range), BTreeSet::new())));
                }
                End::Any | End::Service { .. } => {}
            }
        }
        let named = known.keys().filter(|peer| !matches!(peer, Peer::Service(_))).copied();
        for peer in named.chain(seen).chain([&Peer::Private, &Peer::Internet]) {
            if !all.contains_key(peer) {
                all.insert(peer.clone(), BTreeSet::new());
            }
        }
        let of_peer = |peer: &Peer| match peer {
            Peer::Address(range) => vec![*range],
            Peer::Object(name) => policy.objects.get(name).map_or_else(Vec::new, |object| object.addresses.clone()),
            _ => Vec::new(),
        };
        let hosts = directory.hosts().flat_map(|(_, host)| &host.addresses).map(|address| AddrRange::single(*address));
        let taken = AddrRange::merge(all.keys().flat_map(of_peer).chain(hosts));
        Self { policy, directory, failsafes, mine, known, all, taken }
    }

    /// Everybody, with the ports that they listen on.
    pub(super) fn all(&self) -> &BTreeMap<Peer, BTreeSet<(Protocol, u16)>> {
        &self.all
    }

    /// An address of each family that `private` or `internet` means and that is nobody else's here, if there is one.
    pub(super) fn elsewhere(&self, peer: &Peer) -> Vec<Party> {
        let ranges = if *peer == Peer::Private { private().to_vec() } else { internet() };
        let free = |range: &AddrRange| {
            let mut address = range.low();
            for taken in &self.taken {
                if taken.contains(address) {
                    address = next(taken.high())?;
                }
            }
            Some(address).filter(|address| range.contains(*address) && !address.is_loopback())
        };
        let of = |v4: bool| ranges.iter().filter(move |range| range.low().is_ipv4() == v4).find_map(free);
        let party = |address| Party { host: None, service: None, address };
        [true, false].into_iter().filter_map(of).map(party).collect()
    }

    /// Runs of ports within which nothing that judges `connections` to `peer` can tell a difference. The last is every protocol that nobody
    /// names.
    pub(super) fn segments(&self, index: &Index<'_>, peer: &Peer, connections: &[Connection]) -> Vec<PortRange> {
        let mut cuts = Cuts::new();
        let about = index.about(peer, Protocol::Tcp, None).filter(|place| self.mine.get(*place) == Some(&true));
        for rule in about.filter_map(|place| self.policy.rules.get(place)) {
            cut(&mut cuts, &rule.ports);
        }
        cut(&mut cuts, &self.failsafes.egress);
        cut(&mut cuts, &self.failsafes.ingress);
        let may_be = |known: &Peer| {
            let of = |ranges: &[AddrRange], address| ranges.iter().any(|range| range.contains(address));
            known == peer
                || connections.iter().map(|connection| connection.server.address).any(|address| match known {
                    Peer::Service(_) => !matches!(peer, Peer::Service(_)),
                    Peer::Object(name) => {
                        self.policy.objects.get(name).is_some_and(|object| of(&object.addresses, address))
                    }
                    Peer::Address(range) => range.contains(address),
                    Peer::Private => is_private(address),
                    Peer::Internet => !is_private(address),
                })
        };
        for (_, ports) in self.known.iter().filter(|(known, _)| may_be(known)) {
            ports.iter().for_each(|range| cut_at(&mut cuts, range));
        }
        let mut learned = |key: &ServiceKey| {
            let edges = self.policy.models.get(key).into_iter().flat_map(|model| model.edges.keys());
            let taken = edges.filter(|edge| matches!(&edge.server, Peer::Service(server) if server == key));
            taken.for_each(|edge| cut_at(&mut cuts, &edge.ports()));
        };
        let mut listening = BTreeSet::new();
        if let Peer::Service(key) = peer {
            learned(key);
        } else {
            // who is found at an address depends on the port
            let ids: BTreeSet<_> =
                connections.iter().filter_map(|connection| connection.server.host.as_ref()).collect();
            for (key, instance) in
                ids.into_iter().filter_map(|id| self.directory.host(id)).flat_map(|host| &host.instances)
            {
                learned(key);
                listening.extend(instance.endpoints.iter().map(|endpoint| (endpoint.protocol, endpoint.port)));
            }
        }
        for (protocol, port) in listening {
            cut_at(&mut cuts, &PortRange { protocol, low: port, high: port });
        }
        let mut segments = Vec::new();
        for protocol in [Protocol::Tcp, Protocol::Udp, Protocol::Sctp] {
            let mut low = 0;
            for (_, port) in cuts.range((protocol, 1)..=(protocol, u16::MAX)) {
                segments.push(PortRange { protocol, low, high: port - 1 });
                low = *port;
            }
            segments.push(PortRange { protocol, low, high: u16::MAX });
        }
        let whole = |protocol| PortRange { protocol, low: 0, high: u16::MAX };
        let others: BTreeSet<Protocol> = cuts.iter().map(|(protocol, _)| *protocol).collect();
        let others = others.into_iter().filter(|protocol| matches!(protocol, Protocol::Other(n) if *n != NOBODYS));
        segments.extend([Protocol::Icmp].into_iter().chain(others).map(whole));
        segments.push(whole(Protocol::Other(NOBODYS)));
        segments
    }
}

/// Whether a rule may speak of what one of `runs` sends, which the service's hosts `at` run.
fn is_mine(policy: &PolicySet, rule: &Rule, runs: &BTreeSet<&ServiceKey>, at: &[(&HostId, &Host)]) -> bool {
    match &rule.source {
        End::Any => true,
        // traffic of no service may come from everywhere
        End::Service { pattern, .. } => {
            runs.iter().any(|key| means(&pattern.0, key)) || stands_for_no_service(&pattern.0)
        }
        end => {
            let ranges = policy.addresses(end).unwrap_or_default();
            let mut addresses = at.iter().flat_map(|(_, host)| &host.addresses);
            at.is_empty() || addresses.any(|address| ranges.iter().any(|range| range.contains(*address)))
        }
    }
}

fn cut(cuts: &mut Cuts, ports: &Ports) {
    if let Ports::Only(ranges) = ports {
        ranges.iter().for_each(|range| cut_at(cuts, range));
    }
}

fn cut_at(cuts: &mut Cuts, range: &PortRange) {
    cuts.insert((range.protocol, range.low));
    cuts.extend(range.high.checked_add(1).map(|port| (range.protocol, port)));
}
