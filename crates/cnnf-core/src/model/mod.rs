//! The learned behaviour of a service.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use crate::net::ParseError;
use crate::policy::{Effect, words};
use crate::time::Timestamp;
use crate::topology::Edge;

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
    /// Since when it is in this phase.
    pub since: Timestamp,
    /// Observed time with a live process in this phase, in milliseconds, summed over at most 4 instances.
    pub observed_ms: u64,
    /// What it was seen to do.
    pub edges: BTreeMap<Edge, Seen>,
    /// Connections seen while learning.
    pub connections: u64,
    /// What an anomaly does; `None` for the global setting.
    pub anomaly_effect: Option<Effect>,
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
