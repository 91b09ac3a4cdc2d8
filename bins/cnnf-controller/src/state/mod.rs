//! What the controller knows, in memory. Everything in it is in the store too, but for what only lives as long as a stream.

mod fleet;
mod learn;
pub(crate) mod quota;
mod restore;
mod snapshot;
mod streams;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cnnf_core::directory::Directory;
use cnnf_core::id::HostId;
use cnnf_core::policy::{HostPolicy, PolicySet, RuleId};
use cnnf_core::time::Timestamp;
use cnnf_core::topology::Topology;
use cnnf_rpc::v1;
use cnnf_store::{Cursor, DefinitionState, HostRow, PolicyState, RuleUse, Unconfirmed};
use tokio::sync::{mpsc, oneshot, watch};

pub(crate) use learn::Learned;
use quota::Quota;
pub(crate) use restore::restore;
pub(crate) use snapshot::Snapshot;
use streams::Streams;

use crate::settings::Settings;

/// A host that is silent for so long claims no addresses any more.
pub const SILENCE: Duration = Duration::from_secs(60);

/// All of it. The big values are shared: who needs one for long takes a reference and leaves the lock.
pub(crate) struct State {
    /// Since when the controller runs.
    pub(crate) started: Timestamp,
    /// Who is where; silent hosts without their addresses.
    pub(crate) directory: Arc<Directory>,
    /// Rules, objects, models and modes.
    pub(crate) policy: Arc<PolicySet>,
    /// The newest rule's number.
    pub(crate) last_rule: u64,
    /// The newest change of the rules, if it is undone unless it is confirmed.
    pub(crate) unconfirmed: Option<Waiting>,
    /// Up to when operators were told of rules that expire.
    pub(crate) expiries_told: Timestamp,
    /// What operators call services, with who changed it.
    pub(crate) definitions: DefinitionState,
    /// How often rules decided.
    pub(crate) uses: BTreeMap<RuleId, RuleUse>,
    /// Who talks to whom.
    pub(crate) topology: Arc<Topology>,
    /// The settings in force.
    pub(crate) settings: Settings,
    /// All hosts.
    pub(crate) hosts: BTreeMap<HostId, KnownHost>,
    /// Addresses that two hosts claim; each conflict is told once.
    pub(crate) conflicts: BTreeSet<IpAddr>,
}

/// A change of the rules that waits to be confirmed.
pub(crate) struct Waiting {
    pub(crate) change: Unconfirmed,
    /// When it is undone, by the clock that nobody sets.
    deadline: Instant,
}

impl Waiting {
    /// One that has waited until `now`. A clock that was set back while the controller was away gives it no more than its whole time again.
    pub(crate) fn new(change: Unconfirmed, now: Timestamp) -> Self {
        let left = change.until.since(now).min(change.until.since(change.at));
        Self { change, deadline: Instant::now() + left }
    }

    /// How long it may still wait.
    pub(crate) fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }
}

/// What is known of a host beside the directory.
pub(crate) struct KnownHost {
    pub(crate) row: HostRow,
    /// All its addresses, also while it is silent.
    pub(crate) addresses: BTreeSet<IpAddr>,
    /// When it last spoke; at the start it is taken to have just spoken.
    pub(crate) heard: Timestamp,
    /// Whether it is silent.
    pub(crate) silent: bool,
    /// The newest report that was taken in.
    pub(crate) cursor: Option<Cursor>,
    /// Its stream, if there is one.
    pub(crate) live: Option<LiveStream>,
    /// What it should enforce.
    pub(crate) desired: Desired,
    /// What became of its policy; of the newest stream.
    pub(crate) status: Option<v1::ApplyStatus>,
    /// Its counters; of the newest stream.
    pub(crate) counters: BTreeMap<String, u64>,
    /// What it does not cover, in its own words; of the newest stream.
    pub(crate) not_covered: Vec<String>,
    /// What has to be added to its times, in milliseconds.
    pub(crate) skew_ms: i64,
    /// What it may still bring.
    pub(crate) quota: Quota,
    /// Which of its streams took the place of which.
    pub(crate) streams: Streams,
}

/// A host's stream. Dropping it ends the stream.
pub(crate) struct LiveStream {
    /// Tells streams apart.
    pub(crate) number: u64,
    /// The newest policy goes down.
    pub(crate) policies: watch::Sender<Option<Arc<HostPolicy>>>,
    /// Questions go down; closed if the host answers none.
    pub(crate) questions: mpsc::Sender<v1::Preview>,
    /// Who waits for the answer to a question, by its number.
    pub(crate) asked: BTreeMap<u64, oneshot::Sender<v1::PreviewAnswer>>,
}

/// What a host should enforce.
#[derive(Default)]
pub(crate) struct Desired {
    /// 0 before the first.
    pub(crate) generation: u64,
    /// The hash of that generation's content.
    pub(crate) content: String,
    /// `None` after a start until it is resolved.
    pub(crate) policy: Option<Arc<HostPolicy>>,
}

impl KnownHost {
    /// A host that nothing is known of but its row.
    pub(crate) fn new(row: HostRow, now: Timestamp) -> Self {
        Self {
            row,
            addresses: BTreeSet::new(),
            heard: now,
            silent: false,
            cursor: None,
            live: None,
            desired: Desired::default(),
            status: None,
            counters: BTreeMap::new(),
            not_covered: Vec::new(),
            skew_ms: 0,
            quota: Quota::default(),
            streams: Streams::default(),
        }
    }
}

impl State {
    /// What operators decided, as the store keeps it.
    pub(crate) fn policy_state(&self) -> PolicyState {
        PolicyState {
            revision: self.policy.revision,
            last_rule: self.last_rule,
            rules: self.policy.rules.clone(),
            objects: self.policy.objects.clone(),
            unconfirmed: self.unconfirmed.as_ref().map(|waiting| waiting.change.clone()),
        }
    }

    /// A host by its name or id.
    pub(crate) fn host_named(&self, text: &str) -> Option<&HostId> {
        let by_name = self.hosts.values().find(|host| host.row.name == text).map(|host| &host.row.id);
        by_name.or_else(|| self.hosts.keys().find(|id| id.as_str() == text))
    }

    /// A host's name; its id if it is unknown.
    pub(crate) fn host_name(&self, id: &HostId) -> String {
        self.hosts.get(id).map_or_else(|| id.to_string(), |host| host.row.name.clone())
    }
}
