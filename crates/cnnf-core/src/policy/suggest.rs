//! The rules that a model amounts to.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::rule::{Effect, End, Rule, RuleId, ServicePattern};
use super::space::{internet, private};
use crate::id::ServiceKey;
use crate::label::Labels;
use crate::model::{Model, Seen};
use crate::net::{AddrRange, PortRange, Ports};
use crate::topology::{Edge, Peer};

/// From so many addresses of one network (IPv4 /24, IPv6 /64) on, the whole network is allowed.
pub const MANY_ADDRESSES: usize = 8;

/// A rule that a model amounts to, with what justifies it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suggestion {
    /// The rule: allows, has no number and no owner.
    pub rule: Rule,
    /// The edges that it allows.
    pub witnesses: Witnesses,
    /// What it allows beyond connections that were seen; empty if nothing.
    pub widened: Vec<Widening>,
}

/// How a rule is wider than the connections that were seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Widening {
    /// All of a network, of which [`MANY_ADDRESSES`] or more were seen.
    Network(AddrRange),
    /// All of networks that the model takes for one peer each.
    Peers(Vec<AddrRange>),
    /// All private addresses: the model knew too many to tell them apart.
    Private,
    /// All addresses of the internet, likewise.
    Internet,
    /// All ephemeral ports of a protocol: the model knew too many to tell them apart.
    Dynamic(PortRange),
}

impl fmt::Display for Widening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(net) => write!(f, "all of {net}, of which {MANY_ADDRESSES} or more were seen"),
            Self::Peers(ranges) => {
                let named: Vec<String> = ranges.iter().take(MOST_NAMED).map(ToString::to_string).collect();
                let more = match ranges.len().saturating_sub(MOST_NAMED) {
                    0 => String::new(),
                    more => format!(" and {more} more networks"),
                };
                write!(f, "all of {}{more}, as the model takes each for one peer", named.join(", "))
            }
            Self::Private => f.write_str("every private address, as the model knew too many to tell them apart"),
            Self::Internet => f.write_str("every internet address, as the model knew too many to tell them apart"),
            Self::Dynamic(ports) => {
                let ports = Ports::only([*ports]);
                write!(f, "all of {ports}, as the model knew too many of these ports to tell them apart")
            }
        }
    }
}

/// Networks that are named in one sentence at most.
const MOST_NAMED: usize = 5;

/// Edges of a model.
pub type Witnesses = Vec<(Edge, Seen)>;

/// What the rules of one direction have in common.
type Direction = bool;
const OUT: Direction = true;
const IN: Direction = false;

/// The fewest rules that allow what the model of `key` knows, ordered by the peers.
///
/// Edges with one peer become one rule with their ports. Addresses with the same ports become one rule with their networks. What that allows beyond
/// connections that were seen is said of each rule: networks of which [`MANY_ADDRESSES`] were, and what the model itself has put together.
#[must_use]
pub fn suggest(key: &ServiceKey, model: &Model) -> Vec<Suggestion> {
    let mut peers: BTreeMap<(Direction, &Peer), Vec<(&Edge, &Seen)>> = BTreeMap::new();
    let is_own = |peer: &Peer| matches!(peer, Peer::Service(service) if service == key);
    for (edge, seen) in &model.edges {
        if is_own(&edge.client) {
            peers.entry((OUT, &edge.server)).or_default().push((edge, seen));
        } else if is_own(&edge.server) {
            peers.entry((IN, &edge.client)).or_default().push((edge, seen));
        }
    }
    let mut suggestions = Vec::new();
    let mut networks: BTreeMap<_, Vec<(AddrRange, Witnesses)>> = BTreeMap::new();
    for ((direction, peer), edges) in peers {
        let ports = Ports::only(edges.iter().map(|(edge, _)| edge.ports()));
        let witnesses: Witnesses = edges.into_iter().map(|(edge, seen)| (edge.clone(), *seen)).collect();
        let (end, wider) = match peer {
            Peer::Service(service) => (service_end(service), None),
            Peer::Object(name) => (End::Object(name.clone()), None),
            Peer::Private => (End::Addresses(private().to_vec()), Some(Widening::Private)),
            Peer::Internet => (End::Addresses(internet()), Some(Widening::Internet)),
            Peer::Address(range) => {
                networks.entry((direction, ports)).or_default().push((*range, witnesses));
                continue;
            }
        };
        let rule = rule(key, direction, end, ports, peer.to_string());
        let widened = wider.into_iter().chain(dynamic(&witnesses)).collect();
        suggestions.push(Suggestion { rule, witnesses, widened });
    }
    for ((direction, ports), members) in networks {
        let (ranges, whole) = networks_of(members.iter().map(|(range, _)| *range));
        let mut widened: Vec<Widening> = whole.into_iter().map(Widening::Network).collect();
        let wide: Vec<AddrRange> = members.iter().map(|(range, _)| *range).filter(|range| !range.is_single()).collect();
        if !wide.is_empty() {
            widened.push(Widening::Peers(wide));
        }
        let name = match ranges.as_slice() {
            [one] => one.to_string(),
            many => format!("{} networks on {ports}", many.len()),
        };
        let witnesses: Witnesses = members.into_iter().flat_map(|(_, witnesses)| witnesses).collect();
        widened.extend(dynamic(&witnesses));
        let rule = rule(key, direction, End::Addresses(ranges), ports, name);
        suggestions.push(Suggestion { rule, witnesses, widened });
    }
    name_apart(&mut suggestions);
    suggestions
}

/// The ports that edges of "dynamic" stand for, a range for each protocol.
fn dynamic(witnesses: &Witnesses) -> impl Iterator<Item = Widening> + use<> {
    let ranges: BTreeSet<PortRange> =
        witnesses.iter().filter(|(edge, _)| edge.is_dynamic()).map(|(edge, _)| edge.ports()).collect();
    ranges.into_iter().map(Widening::Dynamic)
}

/// The two rules that close a service: what suggestions before them do not allow meets `effect`.
#[must_use]
pub fn close(key: &ServiceKey, effect: Effect) -> [Rule; 2] {
    let rule =
        |direction, name: &str| Rule { effect, ..self::rule(key, direction, End::Any, Ports::Any, name.to_owned()) };
    [rule(OUT, "anything else"), rule(IN, "anybody else")]
}

fn rule(key: &ServiceKey, direction: Direction, peer: End, ports: Ports, peer_name: String) -> Rule {
    let own = service_end(key);
    let (source, destination, name) = match direction {
        OUT => (own, peer, format!("{key} to {peer_name}")),
        IN => (peer, own, format!("{peer_name} to {key}")),
    };
    Rule {
        ports,
        ..Rule::new(RuleId::default(), name.chars().take(180).collect::<String>(), source, destination, Effect::Allow)
    }
}

fn service_end(key: &ServiceKey) -> End {
    End::Service { pattern: ServicePattern::of(key), labels: Labels::default() }
}

/// The networks, merged where they touch, and those that are there as a whole though not all of them was seen.
fn networks_of(ranges: impl Iterator<Item = AddrRange>) -> (Vec<AddrRange>, Vec<AddrRange>) {
    let ranges: Vec<AddrRange> = ranges.collect();
    let network = |range: &AddrRange| {
        let bits = if range.low().is_ipv4() { 24 } else { 64 };
        ipnet::IpNet::new(range.low(), bits).ok().map(|net| AddrRange::net(net.trunc()))
    };
    let mut members: BTreeMap<AddrRange, usize> = BTreeMap::new();
    for net in ranges.iter().filter(|range| range.is_single()).filter_map(network) {
        *members.entry(net).or_default() += 1;
    }
    let whole: Vec<AddrRange> = members.into_iter().filter(|(_, n)| *n >= MANY_ADDRESSES).map(|(net, _)| net).collect();
    (AddrRange::merge(ranges.into_iter().chain(whole.iter().copied())), whole)
}

/// Names are unique.
fn name_apart(suggestions: &mut [Suggestion]) {
    let mut names = BTreeSet::new();
    for suggestion in suggestions {
        let plain = suggestion.rule.name.clone();
        let mut n = 2;
        while !names.insert(suggestion.rule.name.clone()) {
            suggestion.rule.name = format!("{plain} ({n})");
            n += 1;
        }
    }
}
