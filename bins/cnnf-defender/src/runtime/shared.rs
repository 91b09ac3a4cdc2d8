//! What other threads may know of the agent.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use cnnf_core::identity::Naming;
use cnnf_core::ruleset::{LocalService, QueueBackend};
use cnnf_core::time::Timestamp;
use cnnf_host::observe::namespaces::Namespaces;
use cnnf_rpc::v1;
use serde::{Deserialize, Serialize};

use crate::ability::Ability;
use crate::agent::Agent;

/// The state that `status` and the heartbeat show.
#[derive(Debug)]
pub(crate) struct Shared {
    host_id: String,
    controller: String,
    queue: &'static str,
    /// Why the kernel does not stamp by control group.
    unstamped: &'static str,
    connected: AtomicBool,
    /// The newest generation that is kept on this host.
    generation: AtomicU64,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    applied: u64,
    mode: String,
    trouble: String,
    released: bool,
    /// Whether the table belongs to this process.
    owned: bool,
    on_trial: bool,
    /// Until when the certificate holds, RFC 3339.
    certificate_expires: String,
    counters: BTreeMap<String, u64>,
    /// A control group of each service that has one, by slot.
    groups: BTreeMap<u16, String>,
    /// What is not covered because it is in another network namespace, in words.
    elsewhere: Vec<String>,
    own: BTreeSet<IpAddr>,
    naming: Arc<Naming>,
}

/// What `status` says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Status {
    pub(crate) host_id: String,
    pub(crate) controller: String,
    pub(crate) connected: bool,
    /// Until when the certificate by which the controller knows this host holds, RFC 3339; it is renewed when half of its life is over.
    #[serde(default)]
    pub(crate) certificate_expires: String,
    pub(crate) generation_desired: u64,
    pub(crate) generation_applied: u64,
    /// The generation is undone unless the controller is reached anew under it in time.
    pub(crate) on_trial: bool,
    pub(crate) mode: String,
    pub(crate) queue: String,
    /// `inet cnnf, owned`: it belongs to the defender, and nobody else can change it; `inet cnnf, plain`: it has no owner; `released`: it is gone.
    pub(crate) table: String,
    /// `good`, `degraded`: the newest table is not in force, and what was in force before holds; or `released`.
    #[serde(default)]
    pub(crate) state: String,
    /// Why it is degraded, in the kernel's own words where it refused the table; empty if it is not.
    pub(crate) trouble: String,
    pub(crate) attribution: Attribution,
    /// What this host's connections are not judged by, and why.
    pub(crate) not_covered: Vec<String>,
    pub(crate) counters: BTreeMap<String, u64>,
}

/// How connections got the names of their services.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Attribution {
    /// Connections that the kernel named by itself.
    pub(crate) kernel: u64,
    /// Connections that waited in the queue for a name.
    pub(crate) queue: u64,
    /// How often processes had to be asked who holds a socket.
    pub(crate) holders: u64,
    /// Ends whose owner could not be found.
    pub(crate) unknown: u64,
    /// Ends that several services hold.
    pub(crate) ambiguous: u64,
}

/// The word for a queue backend.
pub(crate) fn queue_word(queue: QueueBackend) -> &'static str {
    match queue {
        QueueBackend::Native => "native",
        QueueBackend::Xt => "xt",
        QueueBackend::None => "none",
    }
}

impl Shared {
    pub(crate) fn new(host_id: String, controller: String, ability: &Ability) -> Self {
        Self {
            host_id,
            controller,
            queue: queue_word(ability.queue),
            unstamped: ability.unstamped,
            connected: AtomicBool::new(false),
            generation: AtomicU64::new(0),
            inner: Mutex::new(Inner::default()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn queue(&self) -> &'static str {
        self.queue
    }

    pub(crate) fn set_connected(&self, connected: bool) {
        self.connected.store(connected, Ordering::Relaxed);
    }

    pub(crate) fn set_certificate(&self, expires: String) {
        self.lock().certificate_expires = expires;
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Relaxed)
    }

    /// A table was applied under this policy, or why not; whether it belongs to this process.
    pub(crate) fn set_applied(&self, agent: &Agent, trouble: Option<String>, owned: bool) {
        let policy = agent.policy();
        self.generation.store(policy.generation, Ordering::Relaxed);
        let mut inner = self.lock();
        inner.mode = policy.mode.to_string();
        inner.owned = owned;
        if trouble.is_none() {
            inner.applied = policy.generation;
        }
        inner.trouble = trouble.unwrap_or_default();
    }

    /// The control groups of services are these.
    pub(crate) fn set_groups(&self, agent: &Agent) {
        let resolver = agent.resolver();
        let group = |service: LocalService| {
            let path = service.cgroups.last().and_then(|id| resolver.cgroup(*id))?.0.to_owned();
            Some((service.slot.number(), path))
        };
        self.lock().groups = resolver.services().into_iter().filter_map(group).collect();
    }

    /// A control group of the service with this slot.
    pub(crate) fn group(&self, slot: u16) -> Option<String> {
        self.lock().groups.get(&slot).cloned()
    }

    /// The host's own addresses are these.
    pub(crate) fn set_addresses(&self, own: BTreeSet<IpAddr>) {
        self.lock().own = own;
    }

    /// These network namespaces are not covered.
    pub(crate) fn set_elsewhere(&self, words: Vec<String>, found: &Namespaces) {
        self.count([
            ("namespaces", (found.others.len() + found.more) as u64),
            ("namespaces_hidden", found.hidden as u64),
        ]);
        self.lock().elsewhere = words;
    }

    /// Names processes and sockets by this from now on.
    pub(crate) fn set_naming(&self, naming: Arc<Naming>) {
        self.lock().naming = naming;
    }

    /// How processes and sockets are named.
    pub(crate) fn naming(&self) -> Arc<Naming> {
        self.lock().naming.clone()
    }

    /// Whether an address is this host's.
    pub(crate) fn is_here(&self, address: IpAddr) -> bool {
        address.is_loopback() || self.lock().own.contains(&address)
    }

    pub(crate) fn set_on_trial(&self, on_trial: bool) {
        self.lock().on_trial = on_trial;
    }

    pub(crate) fn set_released(&self) {
        self.lock().released = true;
    }

    /// Sets counters by name, where they are newer than what was known.
    pub(crate) fn count(&self, counters: impl IntoIterator<Item = (&'static str, u64)>) {
        self.lock().counters.extend(counters.into_iter().map(|(name, value)| (name.to_owned(), value)));
    }

    /// Adds to a counter.
    pub(crate) fn add(&self, name: &'static str, more: u64) {
        *self.lock().counters.entry(name.to_owned()).or_default() += more;
    }

    pub(crate) fn set_counts(&self, agent: &Agent, spool: (u64, u64)) {
        let (counts, skipped) = (agent.counts(), agent.skipped());
        self.count([
            ("flows", counts.flows),
            ("events", counts.events),
            ("unknown", counts.unknown),
            ("ambiguous", counts.ambiguous),
            ("gaps", counts.gaps),
            ("by_kernel", counts.by_kernel),
            ("by_queue", counts.by_queue),
            ("tampered", counts.tampered),
            ("midstream", skipped.midstream),
            ("foreign", skipped.foreign),
            ("merged", skipped.merged),
            ("unnumbered", agent.resolver().unnumbered()),
            ("spool_waiting", spool.0),
            ("spool_dropped", spool.1),
        ]);
    }

    /// How it goes, for the controller.
    pub(crate) fn heartbeat(&self) -> v1::Heartbeat {
        let inner = self.lock();
        v1::Heartbeat {
            counters: inner.counters.clone(),
            not_covered: self.not_covered(&inner),
            now_ms: Timestamp::of(SystemTime::now()).0,
        }
    }

    /// In words; empty if everything is judged.
    fn not_covered(&self, inner: &Inner) -> Vec<String> {
        let counter = |name: &str| inner.counters.get(name).copied().unwrap_or(0);
        let passed = [
            ("untracked", "packets that were exempted from connection tracking"),
            ("midstream", "connections that were taken up mid-stream, which are judged and not learned from"),
            ("older_unclear", "connections that began before the table, and nobody can tell by whom"),
            ("fail_open", "packets that passed without a verdict"),
            ("queue_dropped", "packets that were lost while they waited for a verdict"),
            ("foreign", "connections that were forwarded for others, such as containers with a network of their own"),
        ];
        let mut all: Vec<String> = passed
            .into_iter()
            .filter_map(|(name, what)| Some(counter(name)).filter(|n| *n > 0).map(|n| format!("{n} {what}")))
            .collect();
        if self.queue == queue_word(QueueBackend::None) {
            all.push("programs outside services: the kernel has no queue to find their owners from".into());
        }
        if !self.unstamped.is_empty() {
            all.push(format!("nothing by the kernel alone, every new connection waits: {}", self.unstamped));
        }
        all.extend(inner.elsewhere.iter().cloned());
        all
    }

    pub(crate) fn status(&self) -> Status {
        let inner = self.lock();
        let counter = |name: &str| inner.counters.get(name).copied().unwrap_or(0);
        Status {
            host_id: self.host_id.clone(),
            controller: self.controller.clone(),
            connected: self.connected.load(Ordering::Relaxed),
            certificate_expires: inner.certificate_expires.clone(),
            generation_desired: self.generation(),
            generation_applied: inner.applied,
            on_trial: inner.on_trial,
            mode: inner.mode.clone(),
            queue: self.queue.to_owned(),
            table: match (inner.released, inner.owned) {
                (true, _) => "released",
                (false, true) => "inet cnnf, owned",
                (false, false) => "inet cnnf, plain",
            }
            .into(),
            state: match (inner.released, inner.trouble.is_empty()) {
                (true, _) => "released",
                (false, true) => "good",
                (false, false) => "degraded",
            }
            .into(),
            trouble: inner.trouble.clone(),
            attribution: Attribution {
                kernel: counter("by_kernel"),
                queue: counter("by_queue"),
                holders: counter("by_holders"),
                unknown: counter("unknown"),
                ambiguous: counter("ambiguous"),
            },
            not_covered: self.not_covered(&inner),
            counters: inner.counters.clone(),
        }
    }
}
