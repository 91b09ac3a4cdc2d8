//! What a service may reach, against what it was seen to reach: how far somebody gets who has taken it over.
//!
//! Nothing here knows what a policy means: every target is asked for by [`evaluate`](super::evaluate)'s own judgement, at one port for each run of
//! ports that could not be judged apart. So `any` is not a word but the ports, services and addresses that it opens.

mod targets;

use std::collections::{BTreeMap, BTreeSet};

use super::evaluate::{Connection, Reason};
use super::index::Index;
use super::place::Places;
use super::rule::{Effect, Mode, PolicySet, words};
use super::simulate::Judge;
use crate::directory::Directory;
use crate::failsafe::Failsafes;
use crate::flow::FlowStats;
use crate::id::ServiceKey;
use crate::net::{ParseError, PortRange, Ports, Protocol, icmp};
use crate::time::Timestamp;
use crate::topology::{Edge, Peer};
use std::fmt;
use std::str::FromStr;
use targets::Targets;

/// Judgements that are made at most: some ten seconds.
pub const MAX_JUDGED: usize = 20_000_000;

words! {
    /// How a target stands: whether it may be reached, and whether it was.
    Standing {
        /// It may be, and was.
        Used = "used",
        /// It may be, and never was: what least privilege would take away.
        Unused = "unused",
        /// It may not be, and was.
        Cut = "cut",
        /// It may not be, and never was.
        Refused = "refused",
    } default Refused
}

/// What a service may reach.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// Every service that listens somewhere, every address object and network that a rule, a model or an edge of the service names, and
    /// `private` and `internet` for all other addresses; in the order of peers.
    pub targets: Vec<Target>,
    /// Services that listen.
    pub services: Count,
    /// Ports that these listen on, each service's for itself.
    pub ports: Count,
    /// Whether targets were left out, as there was more to judge than [`MAX_JUDGED`].
    pub cut_short: bool,
}

/// How many there are, and of these:
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// All.
    pub all: u64,
    /// May be reached.
    pub may: u64,
    /// Were reached.
    pub seen: u64,
    /// May be reached and never were.
    pub unused: u64,
}

/// Somebody who may be reached, or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Who.
    pub peer: Peer,
    /// How it stands. Of a service those ports count where it listens or was seen, of addresses every port but a
    /// failsafe's, which nobody has closed.
    pub standing: Standing,
    /// By port, as rules are read: the first that speaks of a port counts. The last speaks of every other port and protocol.
    pub ways: Vec<Way>,
}

/// Ports of a target that are judged alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    /// Which; [`Ports::Any`] is what no way before it speaks of. ICMP is judged as a ping.
    pub ports: Ports,
    /// What happens, before the mode is applied: where it is least strict.
    pub effect: Effect,
    /// Why. A model's objection is an anomaly.
    pub reason: Reason,
    /// Whether a failsafe lets it pass, whatever the policy says.
    pub failsafe: bool,
    /// Whether it is carried out that it may not: it is prevented, and the mode in force is not observe.
    pub refused: bool,
    /// Whether it is judged otherwise on some hosts or for some addresses.
    pub partly: bool,
    /// Where the target listens; of a loopback address only where both may be on one host.
    pub listening: BTreeSet<(Protocol, u16)>,
    /// What was seen, by the first of its ports.
    pub seen: BTreeMap<(Protocol, u16), FlowStats>,
}

/// What `key` may reach by `policy` at `now`, wherever it runs, against the edges of its own among `seen`.
///
/// `failsafes` are those that every host is taken to have. Only what one connection reaches is meant, not what may be reached from there.
#[must_use]
pub fn reach<'e>(
    key: &ServiceKey,
    policy: &PolicySet,
    directory: &Directory,
    failsafes: &Failsafes,
    seen: impl IntoIterator<Item = (&'e Edge, &'e FlowStats)>,
    now: Timestamp,
) -> Reach {
    let own = Peer::Service(key.clone());
    let mut seen_at: BTreeMap<&Peer, Vec<(&Edge, &FlowStats)>> = BTreeMap::new();
    for (edge, stats) in seen.into_iter().filter(|(edge, _)| edge.client == own) {
        seen_at.entry(&edge.server).or_default().push((edge, stats));
    }
    let index = Index::new(policy, directory);
    let judge = Judge { index: &index, directory, failsafes, now };
    let mut places = Places::new(directory, &[policy], vec![&index]);
    let targets = Targets::new(key, policy, directory, failsafes, seen_at.keys().copied());
    for peer in [Peer::Private, Peer::Internet] {
        let elsewhere = targets.elsewhere(&peer);
        places.put(peer, elsewhere);
    }
    let mut found = Reach::default();
    let mut judged = 0;
    for (peer, listening) in targets.all() {
        let edge = Edge { client: own.clone(), server: peer.clone(), protocol: Protocol::Tcp, port: 1 };
        let mut connections = places.connections(&edge, true);
        let segments = targets.segments(&index, peer, &connections);
        judged += 2 * segments.len() * connections.len();
        if judged > MAX_JUDGED {
            found.cut_short = true;
            break;
        }
        let mut ways = ways(&judge, &segments, &mut connections);
        for (edge, stats) in seen_at.get(peer).into_iter().flatten() {
            let PortRange { protocol, low, .. } = edge.ports();
            if let Some(way) = way_to(&mut ways, protocol, low) {
                way.seen.insert((protocol, edge.port), **stats);
            }
        }
        for (protocol, port) in listening {
            if let Some(way) = way_to(&mut ways, *protocol, *port) {
                way.listening.insert((*protocol, *port));
            }
        }
        let target = Target { peer: peer.clone(), standing: standing(peer, &ways), ways };
        found.count(&target);
        if !target.ways.is_empty() {
            found.targets.push(target);
        }
    }
    found
}

/// Whether it is refused, what happens, why, and whether a failsafe says so: the least strict is the least.
type Verdict = (bool, Effect, Reason, bool);

/// How runs of ports are judged, those that are judged alike as one.
fn ways(judge: &Judge<'_>, segments: &[PortRange], connections: &mut [Connection]) -> Vec<Way> {
    let mut alike: BTreeMap<_, Vec<PortRange>> = BTreeMap::new();
    let mut rest = None;
    for segment in segments {
        let mut best: Option<Verdict> = None;
        let mut partly = false;
        for connection in &mut *connections {
            connection.protocol = segment.protocol;
            connection.port = match segment.protocol {
                Protocol::Icmp => icmp::echo_request(connection.client.address.is_ipv6()),
                _ => segment.low,
            };
            let fate = judge.fate(connection);
            let refused = fate.effect == Effect::Prevent && fate.mode != Some(Mode::Observe);
            let failsafe = fate.effect == Effect::Allow
                && fate.reason == Reason::Default
                && judge.failsafes.pass(true, connection.protocol, connection.port);
            let verdict = (refused, fate.effect, fate.reason, failsafe);
            partly |= best.as_ref().is_some_and(|(was, effect, ..)| (*was, *effect) != (verdict.0, verdict.1));
            if best.as_ref().is_none_or(|best| verdict < *best) {
                best = Some(verdict);
            }
        }
        let Some(best) = best else { continue };
        let verdict = (best, partly);
        alike.entry(verdict.clone()).or_default().push(*segment);
        rest = Some(verdict); // the last segment is every other protocol
    }
    let Some(rest) = rest else { return Vec::new() };
    alike.remove(&rest);
    let mut ways: Vec<_> = alike.into_iter().map(|(verdict, ports)| (Ports::only(ports), verdict)).collect();
    ways.sort_unstable();
    ways.push((Ports::Any, rest));
    let way = |(ports, ((refused, effect, reason, failsafe), partly))| Way {
        ports,
        effect,
        reason,
        failsafe,
        refused,
        partly,
        listening: BTreeSet::new(),
        seen: BTreeMap::new(),
    };
    ways.into_iter().map(way).collect()
}

fn way_to(ways: &mut [Way], protocol: Protocol, port: u16) -> Option<&mut Way> {
    ways.iter_mut().find(|way| way.ports.contains(protocol, port))
}

fn standing(peer: &Peer, ways: &[Way]) -> Standing {
    let is_there = |way: &Way| match peer {
        Peer::Service(_) => !way.listening.is_empty() || !way.seen.is_empty(),
        _ => !way.failsafe || !way.seen.is_empty(),
    };
    let may = ways.iter().any(|way| !way.refused && is_there(way));
    let seen = ways.iter().any(|way| !way.seen.is_empty());
    match (may, seen) {
        (true, true) => Standing::Used,
        (true, false) => Standing::Unused,
        (false, true) => Standing::Cut,
        (false, false) => Standing::Refused,
    }
}

impl Reach {
    fn count(&mut self, target: &Target) {
        let mut listens = false;
        for way in &target.ways {
            for port in &way.listening {
                listens = true;
                self.ports.add(!way.refused, way.seen.contains_key(port));
            }
        }
        if listens {
            let standing = target.standing;
            let seen = matches!(standing, Standing::Used | Standing::Cut);
            self.services.add(matches!(standing, Standing::Used | Standing::Unused), seen);
        }
    }
}

impl Count {
    fn add(&mut self, may: bool, seen: bool) {
        self.all += 1;
        self.may += u64::from(may);
        self.seen += u64::from(seen);
        self.unused += u64::from(may && !seen);
    }
}
