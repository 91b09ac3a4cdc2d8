//! The learned behaviour of a service.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::flow::FlowStats;
use crate::id::ServiceKey;
use crate::net::{ParseError, is_private};
use crate::policy::{Effect, words};
use crate::time::Timestamp;
use crate::topology::{Edge, Peer};

#[cfg(test)]
mod tests;

words! {
    /// How far a model is.
    Phase {
        /// Every edge seen is added.
        Learning = "learning",
        /// A new edge is added and noted.
        DryRun = "dry_run",
        /// An edge outside the model is an anomaly.
        Active = "active",
        /// No instance anywhere.
        Archived = "archived",
    } default Learning
}

/// What a service was seen to do, over all its instances.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    /// How far it is.
    pub phase: Phase,
    /// Since when it is in this phase; in a dry run since its newest surprise.
    pub since: Timestamp,
    /// Observed time with a live process in this phase, in milliseconds, summed over at most [`MAX_OBSERVERS`] instances.
    pub observed_ms: u64,
    /// How often the service went from no process to one or more.
    pub runs: u32,
    /// When it last had a process or an edge.
    pub last_live: Timestamp,
    /// Whether it had a process at the last tick.
    pub live: bool,
    /// What it was seen to do.
    pub edges: BTreeMap<Edge, Seen>,
    /// Connections seen while not yet active.
    pub connections: u64,
    /// What an anomaly does; `None` for the global setting.
    pub anomaly_effect: Option<Effect>,
    /// The phase that an archived service returns to.
    pub resume: Phase,
}

/// How often and when an edge was seen by a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Seen {
    /// First.
    pub first: Timestamp,
    /// Last.
    pub last: Timestamp,
    /// Connections.
    pub connections: u64,
}

impl Seen {
    fn merge(&mut self, other: &Self) {
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
        self.connections = self.connections.saturating_add(other.connections);
    }
}

/// At most so many instances add up to observed time: a hundred equal servers do not make an hour of one.
pub const MAX_OBSERVERS: u32 = 4;

/// A service that comes and goes is learnt over at least so many runs.
pub const MIN_RUNS: u32 = 3;

/// How long learning takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LearnSettings {
    /// Observed time in the learning phase.
    pub learn_for: Duration,
    /// Time without a surprise in the dry run.
    pub dry_run_for: Duration,
    /// Time without a process until a model is archived.
    pub archive_after: Duration,
    /// Time without a process until an archived model is deleted.
    pub delete_after: Duration,
}

impl Default for LearnSettings {
    fn default() -> Self {
        const HOUR: u64 = 3600;
        Self {
            learn_for: Duration::from_secs(HOUR),
            dry_run_for: Duration::from_secs(24 * HOUR),
            archive_after: Duration::from_secs(24 * HOUR),
            delete_after: Duration::from_secs(90 * 24 * HOUR),
        }
    }
}

/// What became of a model in a tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It was made.
    Made,
    /// It went to this phase.
    Entered(Phase),
    /// It was archived for so long that it is deleted.
    Deleted,
}

impl Model {
    /// A model that knows nothing yet.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        Self {
            phase: Phase::Learning,
            since: now,
            observed_ms: 0,
            runs: 0,
            last_live: now,
            live: false,
            edges: BTreeMap::new(),
            connections: 0,
            anomaly_effect: None,
            resume: Phase::Learning,
        }
    }

    /// Whether the model knows an edge, itself or by a wider peer: a network, `private` or `internet`.
    #[must_use]
    pub fn knows(&self, edge: &Edge) -> bool {
        self.edges.contains_key(edge) || self.wider(edge).any(|wider| self.edges.contains_key(&wider))
    }

    fn wider(&self, edge: &Edge) -> impl Iterator<Item = Edge> {
        let class = |peer: &Peer| match peer {
            Peer::Address(range) if is_private(range.low()) => Some(Peer::Private),
            Peer::Address(_) => Some(Peer::Internet),
            _ => None,
        };
        let client = class(&edge.client).map(|client| Edge { client, ..edge.clone() });
        let server = class(&edge.server).map(|server| Edge { server, ..edge.clone() });
        client.into_iter().chain(server)
    }

    /// The chance that the next connection is on an unseen edge: edges seen once ÷ connections (Good 1953, after Turing). 1 while
    /// nothing was seen.
    #[must_use]
    pub fn unseen_probability(&self) -> f64 {
        if self.connections == 0 {
            return 1.0;
        }
        let once = self.edges.values().filter(|seen| seen.connections == 1).count();
        #[allow(clippy::cast_precision_loss)] // an estimate; 2^53 connections are far away
        let chance = once as f64 / self.connections as f64;
        chance
    }

    /// Ends learning now.
    pub fn activate(&mut self, now: Timestamp) {
        self.enter(Phase::Active, now);
    }

    fn enter(&mut self, phase: Phase, now: Timestamp) {
        self.phase = phase;
        self.since = now;
        self.observed_ms = 0;
    }

    fn see(&mut self, edge: &Edge, stats: &FlowStats, now: Timestamp) {
        let known = self.knows(edge);
        let learns = match self.phase {
            Phase::Learning => true,
            Phase::DryRun => {
                if !known {
                    self.enter(Phase::DryRun, now);
                }
                true
            }
            Phase::Active | Phase::Archived => self.edges.contains_key(edge),
        };
        if !learns {
            return;
        }
        if self.phase != Phase::Active {
            self.connections = self.connections.saturating_add(stats.connections);
        }
        let seen = Seen { first: stats.first, last: stats.last, connections: stats.connections };
        self.edges.entry(edge.clone()).and_modify(|known| known.merge(&seen)).or_insert(seen);
    }
}

/// Learns from what was counted for an edge: each end that is a service and has not finished learning adds it. Returns the
/// services whose model changed in what it knows.
pub fn absorb(
    models: &mut BTreeMap<ServiceKey, Model>,
    edge: &Edge,
    stats: &FlowStats,
    now: Timestamp,
) -> Vec<ServiceKey> {
    let mut changed = Vec::new();
    for key in ends(edge) {
        let model = models.entry(key.clone()).or_insert_with(|| Model::new(now));
        model.last_live = model.last_live.max(now);
        let before = model.edges.len();
        model.see(edge, stats, now);
        if model.edges.len() != before {
            changed.push(key.clone());
        }
    }
    changed
}

/// Gives an edge its new name in the models that know it by the old one; returns these models' services.
pub fn rename(models: &mut BTreeMap<ServiceKey, Model>, old: &Edge, new: &Edge, now: Timestamp) -> Vec<ServiceKey> {
    let mut knew = BTreeMap::new();
    for key in ends(old) {
        if let Some(seen) = models.get_mut(key).and_then(|model| model.edges.remove(old)) {
            knew.insert(key, seen);
        }
    }
    let Some(seen) = knew.values().next().copied() else { return Vec::new() };
    let mut changed = Vec::new();
    for key in ends(new) {
        let model = models.entry(key.clone()).or_insert_with(|| Model::new(now));
        if knew.contains_key(key) || matches!(model.phase, Phase::Learning | Phase::DryRun) {
            model.edges.entry(new.clone()).and_modify(|known| known.merge(&seen)).or_insert(seen);
            changed.push(key.clone());
        }
    }
    changed
}

/// Lets time pass: `live` has the number of instances with a process for each service, `elapsed` is the time since the last tick.
pub fn tick(
    models: &mut BTreeMap<ServiceKey, Model>,
    live: &BTreeMap<ServiceKey, u32>,
    elapsed: Duration,
    settings: &LearnSettings,
    now: Timestamp,
) -> Vec<(ServiceKey, Change)> {
    let mut changes = Vec::new();
    for key in live.keys().filter(|key| key.is_named()) {
        if !models.contains_key(key) {
            models.insert(key.clone(), Model::new(now));
            changes.push((key.clone(), Change::Made));
        }
    }
    let mut deleted = Vec::new();
    for (key, model) in models.iter_mut() {
        let instances = live.get(key).copied().unwrap_or(0);
        if instances > 0 {
            if !model.live {
                model.runs = model.runs.saturating_add(1);
            }
            model.last_live = now;
            let observed = elapsed.as_millis() * u128::from(instances.min(MAX_OBSERVERS));
            model.observed_ms = model.observed_ms.saturating_add(u64::try_from(observed).unwrap_or(u64::MAX));
        }
        model.live = instances > 0;
        let absent = now.since(model.last_live);
        let next = match model.phase {
            Phase::Archived if instances > 0 => Some(model.resume),
            Phase::Archived if absent >= settings.delete_after => {
                deleted.push(key.clone());
                None
            }
            Phase::Archived => None,
            _ if absent >= settings.archive_after => {
                model.resume = model.phase;
                Some(Phase::Archived)
            }
            Phase::Learning => {
                let steady = model.runs <= 1 && model.live;
                let enough = Duration::from_millis(model.observed_ms) >= settings.learn_for;
                (enough && (steady || model.runs >= MIN_RUNS)).then_some(Phase::DryRun)
            }
            Phase::DryRun => (now.since(model.since) >= settings.dry_run_for).then_some(Phase::Active),
            Phase::Active => None,
        };
        if let Some(phase) = next {
            model.enter(phase, now);
            changes.push((key.clone(), Change::Entered(phase)));
        }
    }
    for key in deleted {
        models.remove(&key);
        changes.push((key, Change::Deleted));
    }
    changes
}

/// The ends of an edge that have models, each once.
fn ends(edge: &Edge) -> impl Iterator<Item = &ServiceKey> {
    fn named(peer: &Peer) -> Option<&ServiceKey> {
        match peer {
            Peer::Service(key) if key.is_named() => Some(key),
            _ => None,
        }
    }
    let (client, server) = (named(&edge.client), named(&edge.server));
    client.into_iter().chain(server.filter(|_| server != client))
}
