//! The learned behaviour of a service: what it was seen to do, and how far learning is.
//!
//! Four things move a model, each a file: what is seen ([`absorb`], [`rename`]), time ([`tick`]), and an operator's decisions.

mod decide;
mod learn;
mod readiness;
#[cfg(test)]
mod tests;
mod tick;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::net::ParseError;
use crate::policy::{Effect, words};
use crate::time::Timestamp;
use crate::topology::{DYNAMIC, Edge};

pub use decide::Refusal;
pub use learn::{absorb, rename};
pub use tick::{Change, tick};

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

words! {
    /// How an edge came into a model.
    Origin {
        /// It was seen while learning.
        Learned = "learned",
        /// It was seen in the dry run: had the model been active, it would have alerted.
        WouldAlert = "would_alert",
        /// An operator approved it.
        Approved = "approved",
    } default Learned
}

/// What a service was seen to do, over all its instances.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    /// How far it is.
    pub phase: Phase,
    /// Since when it is in this phase; in a dry run since its newest surprise.
    pub since: Timestamp,
    /// Observed time with a live process in this phase, in milliseconds, summed over at most [`MAX_OBSERVERS`] instances. Being
    /// archived in between takes nothing away.
    pub observed_ms: u64,
    /// How often the service went from no process to one or more, since learning began.
    pub runs: u32,
    /// When it last had a process or an edge.
    pub last_live: Timestamp,
    /// Whether it had a process at the last tick.
    pub live: bool,
    /// Since when it has had a process without a break.
    pub live_since: Timestamp,
    /// What it was seen to do.
    pub edges: BTreeMap<Edge, Seen>,
    /// Connections seen on edges that it knows.
    pub connections: u64,
    /// Time with a live process in which these were seen, in milliseconds; not summed over instances.
    pub exposed_ms: u64,
    /// What an anomaly does; `None` for the global setting.
    pub anomaly_effect: Option<Effect>,
    /// The phase that an archived service returns to.
    pub resume: Phase,
    /// Whether an operator started learning: then only an operator ends it.
    pub manual: bool,
}

/// How often and when an edge was seen by a model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Seen {
    /// First; when it was approved, if it was not seen before.
    pub first: Timestamp,
    /// Last.
    pub last: Timestamp,
    /// Connections.
    pub connections: u64,
    /// How it came into the model.
    #[serde(default)]
    pub origin: Origin,
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

/// A model knows at most so many edges. What it could not learn is an anomaly once it is active: it fails on the safe side.
pub const MAX_LEARNED: usize = 20_000;

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
            live_since: now,
            edges: BTreeMap::new(),
            connections: 0,
            exposed_ms: 0,
            anomaly_effect: None,
            resume: Phase::Learning,
            manual: false,
        }
    }

    /// Whether the model knows an edge, itself or by a wider one: a network, `private`, `internet`, or dynamic ports.
    #[must_use]
    pub fn knows(&self, edge: &Edge) -> bool {
        if self.edges.contains_key(edge) {
            return true;
        }
        let external = edge.client.is_external() || edge.server.is_external();
        let ephemeral = Edge { port: DYNAMIC, ..edge.clone() };
        if !external {
            return ephemeral.covers(edge) && self.edges.contains_key(&ephemeral);
        }
        self.edges.keys().any(|known| known.covers(edge))
    }

    /// The phase that the model is in, or was in before its service went away.
    #[must_use]
    pub fn stage(&self) -> Phase {
        if self.phase == Phase::Archived { self.resume } else { self.phase }
    }

    fn enter(&mut self, phase: Phase, now: Timestamp) {
        self.phase = phase;
        self.since = now;
        self.observed_ms = 0;
    }
}
