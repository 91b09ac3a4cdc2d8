//! Ports and groups as matches over sets.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::rc::Rc;

use super::super::{Endpoint, Endpoints, Family, Match, Set, Side};
use super::Compiler;
use crate::net::{AddrRange, PortRange, Ports, Protocol, icmp};
use crate::policy::{GroupId, fnv, overlap, text_of};
use crate::topology::{DYNAMIC, ports_of};

/// Ranges of at most so many ports become elements of a set instead of a rule of their own.
const SMALL_RANGE: u16 = 16;

/// A group, sorted by how it can be looked up.
#[derive(Default)]
pub(super) struct Shape {
    addresses: Vec<AddrRange>,
    /// IPv4, IPv6.
    endpoints: [Endpoints; 2],
    /// Ports that have the same ranges of addresses, by the ranges.
    on_ports: BTreeMap<Vec<AddrRange>, BTreeSet<(Protocol, u16)>>,
    /// Addresses that are meant on the ephemeral ports of a protocol.
    dynamic: BTreeMap<Protocol, Vec<AddrRange>>,
}

impl Compiler<'_> {
    /// Alternatives that together match these ports. The set of single ports is `name`, or named by its content.
    pub(super) fn ports(&mut self, ports: &Ports, name: Option<&str>) -> Vec<Vec<Match>> {
        let Ports::Only(ranges) = ports else { return vec![vec![]] };
        let mut single = BTreeSet::new();
        let mut alternatives = Vec::new();
        for PortRange { protocol, low, high } in ranges.iter().copied() {
            if protocol == Protocol::Icmp && !(PortRange { protocol, low, high }).is_whole() {
                let kinds = (low..=high).filter_map(|kind| Some((icmp::is_v6(kind), u8::try_from(kind).ok()?)));
                let family = |v6| if v6 { Family::V6 } else { Family::V4 };
                alternatives.extend(kinds.map(|(v6, kind)| vec![Match::IcmpType(family(v6), kind)]));
            } else if !protocol.has_ports() {
                alternatives.extend([Family::V4, Family::V6].map(|family| vec![Match::Protocol(family, protocol)]));
            } else if high - low < SMALL_RANGE {
                single.extend((low..=high).map(|port| (protocol, port)));
            } else {
                alternatives.push(vec![Match::PortRange { protocol, low, high }]);
            }
        }
        alternatives.extend(self.single_ports(single, name).map(|m| vec![m]));
        alternatives
    }

    /// One match for ports of protocols that have ports.
    fn single_ports(&mut self, ports: BTreeSet<(Protocol, u16)>, name: Option<&str>) -> Option<Match> {
        let (protocol, port) = *ports.first()?;
        if ports.len() == 1 && name.is_none() {
            return Some(Match::PortRange { protocol, low: port, high: port });
        }
        let numbers: BTreeSet<(u8, u16)> = ports.into_iter().map(|(p, port)| (p.number(false), port)).collect();
        let text = numbers.iter().fold(String::new(), |mut text, (protocol, port)| {
            let _ = write!(text, "{protocol}/{port} ");
            text
        });
        let name = name.map_or_else(|| format!("p{:08x}", fnv(text.as_bytes())), str::to_owned);
        Some(Match::Port { set: self.set(name, Set::Ports(numbers)) })
    }

    /// Alternatives that together match the addresses of a group's members, whatever their ports.
    pub(super) fn addresses(&mut self, side: Side, group: GroupId) -> Vec<(Family, Vec<Match>)> {
        let all = self.members(group).map(|(addresses, _)| addresses).collect();
        self.address_sets(&format!("g{:08x}", group.0), side, all)
    }

    /// Alternatives that together match a group's members on these ports.
    pub(super) fn peers(&mut self, side: Side, group: GroupId, ports: &Ports) -> Vec<(Family, Vec<Match>)> {
        let shape = self.shape(group);
        let name = format!("g{:08x}", group.0);
        let mut alternatives = Vec::new();
        if !shape.addresses.is_empty() {
            let by_port = self.ports(ports, None);
            for (family, addresses) in self.address_sets(&name, side, shape.addresses.clone()) {
                alternatives.extend(by_port.iter().filter_map(|port| join(family, &addresses, port)));
            }
        }
        for (family, here) in [Family::V4, Family::V6].into_iter().zip(&shape.endpoints) {
            let mut meant = here.iter().map(|(_, protocol, port)| ports.contains(*protocol, *port));
            if !meant.clone().any(|meant| meant) {
                continue;
            }
            let all = *ports == Ports::Any || meant.all(|meant| meant);
            let by_port = if all { vec![vec![]] } else { self.ports(ports, None) };
            let suffix = if family == Family::V4 { "e4" } else { "e6" };
            let set = self.set(format!("{name}{suffix}"), Set::Endpoints(family, here.clone()));
            let endpoint = [Match::Endpoint { side, family, set }];
            alternatives.extend(by_port.iter().filter_map(|port| join(family, &endpoint, port)));
        }
        for (ranges, on) in &shape.on_ports {
            let (with, without): (BTreeSet<_>, BTreeSet<_>) = on.iter().copied().partition(|(p, _)| p.has_ports());
            let with = with.into_iter().filter(|(p, port)| ports.contains(*p, *port)).collect();
            // what is known of such a protocol is known of all its types
            let without = without.into_iter().flat_map(|(protocol, _)| match meet(ports, ports_of(protocol, 0)) {
                Ports::Only(ranges) => ranges,
                Ports::Any => Vec::new(),
            });
            let by_protocol = self.ports(&Ports::only(without), None);
            let by_port = self.single_ports(with, None).map(|port| vec![port]);
            // by what it is for and not by its content, so that another member is another element
            let name = format!("{name}p{:08x}", fnv(text_of(on).as_bytes()));
            for (family, addresses) in self.address_sets(&name, side, ranges.clone()) {
                let all = by_protocol.iter().chain(&by_port);
                alternatives.extend(all.filter_map(|port| join(family, &addresses, port)));
            }
        }
        for (protocol, ranges) in shape.dynamic.clone() {
            let by_port = match meet(ports, ports_of(protocol, DYNAMIC)) {
                Ports::Only(none) if none.is_empty() => continue,
                meant => self.ports(&meant, None),
            };
            for (family, addresses) in self.address_sets(&format!("{name}d{}", protocol.number(false)), side, ranges) {
                alternatives.extend(by_port.iter().filter_map(|port| join(family, &addresses, port)));
            }
        }
        alternatives
    }

    fn address_sets(&mut self, name: &str, side: Side, ranges: Vec<AddrRange>) -> Vec<(Family, Vec<Match>)> {
        let (v4, v6): (Vec<_>, Vec<_>) = AddrRange::merge(ranges).into_iter().partition(|r| r.low().is_ipv4());
        let mut alternatives = Vec::new();
        for (family, suffix, ranges) in [(Family::V4, "a4", v4), (Family::V6, "a6", v6)] {
            if !ranges.is_empty() {
                let set = self.set(format!("{name}{suffix}"), Set::Addresses(family, ranges));
                alternatives.push((family, vec![Match::Address { side, family, set }]));
            }
        }
        alternatives
    }

    /// A group's members, with the host's own addresses written out.
    fn members(&self, group: GroupId) -> impl Iterator<Item = (AddrRange, Option<(Protocol, u16)>)> {
        let entries = self.policy.groups.get(&group).into_iter().flat_map(|group| group.entries.iter());
        entries.flat_map(|entry| {
            let own = if entry.own { &self.own[..] } else { &[] };
            let own = own.iter().filter_map(|own| overlap(*own, entry.addresses));
            (!entry.own).then_some(entry.addresses).into_iter().chain(own).map(|addresses| (addresses, entry.port))
        })
    }

    /// A group's shape; made once, as many rules may speak of it.
    fn shape(&mut self, group: GroupId) -> Rc<Shape> {
        if let Some(shape) = self.shapes.get(&group) {
            return shape.clone();
        }
        let shape = Rc::new(self.new_shape(group));
        self.shapes.insert(group, shape.clone());
        shape
    }

    fn new_shape(&self, group: GroupId) -> Shape {
        let mut shape = Shape::default();
        let mut exact: [Vec<Endpoint>; 2] = Default::default();
        let mut ranged: BTreeMap<(Protocol, u16), Vec<AddrRange>> = BTreeMap::new();
        for (addresses, port) in self.members(group) {
            match port {
                None => shape.addresses.push(addresses),
                Some((protocol, DYNAMIC)) if protocol.has_ports() => {
                    shape.dynamic.entry(protocol).or_default().push(addresses);
                }
                Some((protocol, port)) if addresses.is_single() && protocol.has_ports() => {
                    exact[usize::from(addresses.low().is_ipv6())].push((addresses.low(), protocol, port));
                }
                Some(port) => ranged.entry(port).or_default().push(addresses),
            }
        }
        for (port, ranges) in ranged {
            shape.on_ports.entry(AddrRange::merge(ranges)).or_default().insert(port);
        }
        shape.endpoints = exact.map(Endpoints::from_iter);
        for ranges in shape.dynamic.values_mut() {
            *ranges = AddrRange::merge(std::mem::take(ranges));
        }
        shape
    }
}

/// Those of `ports` that are in `range`.
fn meet(ports: &Ports, range: PortRange) -> Ports {
    let Ports::Only(ranges) = ports else { return Ports::only([range]) };
    let of_protocol = ranges.iter().filter(|r| r.protocol == range.protocol);
    let both = of_protocol.map(|r| PortRange { low: r.low.max(range.low), high: r.high.min(range.high), ..range });
    Ports::only(both.filter(|r| r.low <= r.high))
}

/// Both matches together; `None` if they speak of different families.
pub(super) fn join(family: Family, a: &[Match], b: &[Match]) -> Option<(Family, Vec<Match>)> {
    let other = |m: &Match| matches!(m, Match::Protocol(of, _) | Match::IcmpType(of, _) if *of != family);
    (!b.iter().any(other)).then(|| (family, a.iter().chain(b).cloned().collect()))
}
