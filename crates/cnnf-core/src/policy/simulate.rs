//! What a draft of the rules would do to what was seen.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::time::Duration;

use super::evaluate::{Connection, Decision, Reason, Vantage, deciding};
use super::index::Index;
use super::place::Places;
use super::rule::{Effect, End, Mode, PolicySet, Rule, RuleId};
use crate::directory::Directory;
use crate::failsafe::Failsafes;
use crate::flow::FlowStats;
use crate::id::{HostId, ServiceKey};
use crate::net::Protocol;
use crate::time::Timestamp;
use crate::topology::{Edge, Peer};

/// Edges whose fate changes that are listed at most, the worst and most used first; all are counted.
pub const MAX_LISTED: usize = 1_000;

/// An edge seen within this time may well have live connections.
pub const RECENT: Duration = Duration::from_secs(60);

/// What would change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Simulation {
    /// Edges that were looked at.
    pub edges: u64,
    /// Connections on them.
    pub connections: u64,
    /// What would be prevented that is not now.
    pub prevented: Tally,
    /// What would be alerted that is not now; it may be prevented now.
    pub alerted: Tally,
    /// What would be allowed that is not now.
    pub allowed: Tally,
    /// The edges, what would be prevented first, then by connections; no more than [`MAX_LISTED`].
    pub shifts: Vec<Shift>,
}

/// How much.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Edges.
    pub edges: u64,
    /// Connections on them.
    pub connections: u64,
    /// Edges seen within [`RECENT`].
    pub recent: u64,
    /// Services at their ends.
    pub services: BTreeSet<ServiceKey>,
}

/// An edge whose fate changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shift {
    /// Which.
    pub edge: Edge,
    /// What was counted on it.
    pub stats: FlowStats,
    /// What happens to it now.
    pub before: Fate,
    /// What would.
    pub after: Fate,
    /// Whether this is so on some hosts or for some addresses only; both fates are of those where the draft is strictest.
    pub partly: bool,
    /// From where to where, as an example.
    pub example: (IpAddr, IpAddr),
}

/// What happens to a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fate {
    /// What happens, before the mode is applied.
    pub effect: Effect,
    /// Why.
    pub reason: Reason,
    /// Which side decides.
    pub side: Vantage,
    /// The host that does.
    pub host: Option<HostId>,
    /// The mode in force there; `None` if it is no known host.
    pub mode: Option<Mode>,
}

/// Judges what was seen by the rules in force and by a draft of them, as every host would.
///
/// `failsafes` are those that every host is taken to have. An edge says which services met, not on which hosts: it is tried wherever
/// rules could tell a difference, and counts as its strictest outcome.
#[must_use]
pub fn simulate<'e>(
    now_in_force: &PolicySet,
    draft: &PolicySet,
    directory: &Directory,
    failsafes: &Failsafes,
    seen: impl IntoIterator<Item = (&'e Edge, &'e FlowStats)>,
    now: Timestamp,
) -> Simulation {
    let (old, new) = (Index::new(now_in_force, directory), Index::new(draft, directory));
    let judges = [Judge { index: &old, directory, failsafes, now }, Judge { index: &new, directory, failsafes, now }];
    let mut places = Places::new(directory, &[now_in_force, draft], vec![&old, &new]);
    let mut same = Same::new(now_in_force, draft);
    let mut result = Simulation::default();
    for (edge, stats) in seen {
        result.edges += 1;
        result.connections = result.connections.saturating_add(stats.connections);
        let concern = same.concern(&old, &new, edge);
        if concern == Concern::None {
            continue;
        }
        let mut worst: Option<(Effect, Effect, Connection)> = None;
        let mut outcomes = 0;
        let mut changed = 0;
        for connection in places.connections(edge, concern == Concern::SomePlaces) {
            let [before, after] = [0, 1].map(|n| judges[n].effect(&connection));
            outcomes += 1;
            changed += usize::from(before != after);
            let is_worse = worst.as_ref().is_none_or(|(old_before, old_after, _)| {
                (before != after, after, old_before) > (old_before != old_after, *old_after, &before)
            });
            if is_worse {
                worst = Some((before, after, connection));
            }
        }
        let Some((before, after, connection)) = worst.filter(|(before, after, _)| before != after) else { continue };
        let tally = match after {
            Effect::Prevent => &mut result.prevented,
            Effect::Alert => &mut result.alerted,
            Effect::Allow => &mut result.allowed,
        };
        tally.edges += 1;
        tally.connections = tally.connections.saturating_add(stats.connections);
        tally.recent += u64::from(now.since(stats.last) <= RECENT);
        for peer in [&edge.client, &edge.server] {
            if let Peer::Service(key) = peer
                && !tally.services.contains(key)
            {
                tally.services.insert(key.clone());
            }
        }
        let [fate_before, fate_after] = [0, 1].map(|n| judges[n].fate(&connection));
        debug_assert_eq!((fate_before.effect, fate_after.effect), (before, after));
        result.shifts.push(Shift {
            edge: edge.clone(),
            stats: *stats,
            before: fate_before,
            after: fate_after,
            partly: changed < outcomes,
            example: (connection.client.address, connection.server.address),
        });
        if result.shifts.len() >= 2 * MAX_LISTED {
            shorten(&mut result.shifts);
        }
    }
    shorten(&mut result.shifts);
    result
}

/// Whether a draft can change what happens to an edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Concern {
    /// The rules that could match it are the same.
    None,
    /// It can, everywhere alike.
    AllPlaces,
    /// It can, depending on where the ends are.
    SomePlaces,
}

/// Which rules of two policies are the same.
struct Same<'a> {
    policies: [&'a PolicySet; 2],
    /// For each rule of the draft the place of the same rule now.
    place: Vec<Option<usize>>,
    /// The places of the rules that could match the edge that is looked at.
    about: [Vec<usize>; 2],
    /// Services whose models know edges by address: they may judge one place otherwise than another.
    by_address: BTreeSet<&'a ServiceKey>,
}

impl<'a> Same<'a> {
    fn new(old: &'a PolicySet, new: &'a PolicySet) -> Self {
        let by_id: HashMap<RuleId, usize> = old.rules.iter().enumerate().map(|(n, rule)| (rule.id, n)).collect();
        let same_object = |end: &End| match end {
            End::Object(name) => old.objects.get(name) == new.objects.get(name),
            _ => true,
        };
        let place = |rule: &Rule| {
            let known = by_id.get(&rule.id).copied();
            known.filter(|n| old.rules[*n] == *rule && same_object(&rule.source) && same_object(&rule.destination))
        };
        Self {
            policies: [old, new],
            place: new.rules.iter().map(place).collect(),
            about: [Vec::new(), Vec::new()],
            by_address: by_address(old, new),
        }
    }

    fn concern(&mut self, old: &Index<'_>, new: &Index<'_>, edge: &Edge) -> Concern {
        // one of many ports, or a type of ICMP that is each family's own
        let of_many = edge.is_dynamic() || edge.protocol == Protocol::Icmp;
        for (places, index) in self.about.iter_mut().zip([old, new]) {
            places.clear();
            let port = (!of_many).then_some(edge.port);
            places.extend(index.about(&edge.server, edge.protocol, port));
        }
        let [before, after] = &self.about;
        if before.len() == after.len() && before.iter().zip(after).all(|(old, new)| self.place[*new] == Some(*old)) {
            return Concern::None;
        }
        let by_place = |rule: &Rule| {
            let scoped = |end: &End| match end {
                End::Any => false,
                End::Service { labels, .. } => !labels.0.is_empty(),
                End::Object(_) | End::Addresses(_) => true,
            };
            // what was learned is known of services at the client's side, and of hosts at the server's
            rule.learned_allow || scoped(&rule.source) || scoped(&rule.destination)
        };
        let [old, new] = self.policies;
        let rules =
            before.iter().filter_map(|n| old.rules.get(*n)).chain(after.iter().filter_map(|n| new.rules.get(*n)));
        let services = matches!((&edge.client, &edge.server), (Peer::Service(_), Peer::Service(_)));
        let learned_by_place = [&edge.client, &edge.server]
            .into_iter()
            .any(|peer| matches!(peer, Peer::Service(key) if self.by_address.contains(key)));
        if services && !learned_by_place && !of_many && !rules.into_iter().any(by_place) {
            Concern::AllPlaces
        } else {
            Concern::SomePlaces
        }
    }
}

fn by_address<'a>(old: &'a PolicySet, new: &'a PolicySet) -> BTreeSet<&'a ServiceKey> {
    let of_services = |edge: &Edge| matches!((&edge.client, &edge.server), (Peer::Service(_), Peer::Service(_)));
    let models = old.models.iter().chain(&new.models);
    models.filter(|(_, model)| !model.edges.keys().all(of_services)).map(|(key, _)| key).collect()
}

fn shorten(shifts: &mut Vec<Shift>) {
    shifts.sort_by_key(|shift| {
        let rank = match shift.after.effect {
            Effect::Prevent => 0,
            Effect::Alert => 1,
            Effect::Allow => 2,
        };
        (rank, std::cmp::Reverse(shift.stats.connections))
    });
    shifts.truncate(MAX_LISTED);
}

/// Judges connections as the hosts of both ends do together.
pub(super) struct Judge<'a> {
    pub(super) index: &'a Index<'a>,
    pub(super) directory: &'a Directory,
    pub(super) failsafes: &'a Failsafes,
    pub(super) now: Timestamp,
}

impl Judge<'_> {
    fn decide(&self, connection: &Connection) -> (Vantage, Decision) {
        let judge = |side: Vantage| {
            if self.failsafes.pass(side == Vantage::Client, connection.protocol, connection.port) {
                return Decision { effect: Effect::Allow, reason: Reason::Default };
            }
            self.index.evaluate(connection, side, self.now)
        };
        deciding(connection, judge, |decision| decision.effect)
    }

    fn effect(&self, connection: &Connection) -> Effect {
        self.decide(connection).1.effect
    }

    pub(super) fn fate(&self, connection: &Connection) -> Fate {
        let (side, Decision { effect, reason }) = self.decide(connection);
        let local = match side {
            Vantage::Client => &connection.client,
            Vantage::Server => &connection.server,
        };
        let host = local.host.as_ref().and_then(|id| self.directory.host(id));
        let mode = host.map(|host| self.index.policy().mode_of(host.mode, local.service.as_ref()));
        Fate { effect, reason, side, host: local.host.clone(), mode }
    }
}
