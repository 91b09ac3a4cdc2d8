//! From a host's policy and facts to its table.
//!
//! **Invariant**: only `deny_out` and `deny_in` drop or reject, and they begin with the failsafes. What judges lets pass by returning,
//! never by accepting: a connection over loopback has two halves, and both are judged.

mod closed;
mod peers;
mod services;
mod skeleton;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::rc::Rc;

use super::label::Slot;
use super::{Action, Match, Name, Rule, Ruleset, Set};
use crate::failsafe::Failsafes;
use crate::id::ServiceKey;
use crate::net::AddrRange;
use crate::policy::{GroupId, HostPolicy, Reason, RuleId};
use peers::Shape;

/// What a host contributes to its table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostFacts {
    /// Its services.
    pub services: Vec<LocalService>,
    /// How many levels below the root its services' cgroups reach, at most.
    pub cgroup_levels: u8,
    /// Whether and how packets can be queued.
    pub queue: QueueBackend,
    /// What always passes.
    pub failsafes: Failsafes,
    /// Its own addresses, loopback included.
    pub addresses: BTreeSet<IpAddr>,
    /// UDP ports on which it has servers.
    pub udp_ports: BTreeSet<u16>,
    /// Under which epoch (0 to 31) connections are sealed.
    pub epoch: u8,
    /// The NFLOG group for copies of packets.
    pub log_group: u16,
    /// The queue for first packets that the kernel cannot attribute; they may pass when user space is away.
    pub identify_queue: u16,
    /// So many queues from that one on share them, each those of some of the processors; at least 1.
    pub identify_queues: u16,
    /// The queue for packets that will be refused and wait for evidence; they never pass.
    pub evidence_queue: u16,
    /// Whether the kernel has counters that outlive their rules; without them nobody knows how often a rule decides.
    pub counters: bool,
}

/// A service of this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalService {
    /// Its key.
    pub key: ServiceKey,
    /// Its slot.
    pub slot: Slot,
    /// The cgroups that decide it; empty for programs of sessions.
    pub cgroups: BTreeSet<u64>,
}

/// How packets reach user space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum QueueBackend {
    /// The nft expression `queue`.
    Native,
    /// The xtables target NFQUEUE through nft_compat.
    Xt,
    /// Not at all: what the kernel cannot attribute passes unjudged.
    None,
}

/// The maps from a connection's original tuple to its label, by family; user space fills them before it answers a queue with REPEAT.
pub const PENDING: [&str; 2] = ["pend4", "pend6"];

/// The sets of original tuples whose evidence is there, by family; user space fills them before it answers with REPEAT.
pub const EVIDENCE: [&str; 2] = ["evd4", "evd6"];

/// The comment of the rule in the chain `fail_open` that counts packets which passed without a verdict.
pub const PASSED: &str = "passed without a verdict";

/// The table's counter of a rule's connections.
#[must_use]
pub fn counter_of(rule: RuleId) -> Name {
    format!("r{}", rule.0)
}

/// The rule whose connections this counter of the table's counts.
#[must_use]
pub fn rule_of_counter(name: &str) -> Option<RuleId> {
    name.strip_prefix('r')?.parse().ok().map(RuleId)
}

/// The chain in which packets wait for evidence.
pub(super) const HOLD: &str = "hold";

impl HostFacts {
    /// The host's own addresses, with all of loopback.
    fn own(&self) -> Vec<AddrRange> {
        let loopback = ["127.0.0.0/8", "::1"].into_iter().filter_map(|text| text.parse().ok());
        AddrRange::merge(self.addresses.iter().map(|address| AddrRange::single(*address)).chain(loopback))
    }
}

/// Makes the table of a host with these `facts` under `policy`.
#[must_use]
pub fn compile(policy: &HostPolicy, facts: &HostFacts) -> Ruleset {
    let mut ruleset = Ruleset::default();
    let mut compiler = Compiler { policy, facts, own: facts.own(), shapes: BTreeMap::new(), ruleset: &mut ruleset };
    compiler.skeleton();
    compiler.services();
    compiler.closed();
    // lookups that came to nothing, such as addresses of two families, left their sets
    let asked: BTreeSet<Name> = ruleset.chains.values().flat_map(|c| &c.rules).flat_map(Rule::sets).cloned().collect();
    ruleset.sets.retain(|name, _| asked.contains(name) || EVIDENCE.contains(&name.as_str()));
    ruleset
}

/// A table in the making.
struct Compiler<'a> {
    policy: &'a HostPolicy,
    facts: &'a HostFacts,
    own: Vec<AddrRange>,
    shapes: BTreeMap<GroupId, Rc<Shape>>,
    ruleset: &'a mut Ruleset,
}

impl Compiler<'_> {
    fn rule(&mut self, chain: &str, matches: Vec<Match>, actions: Vec<Action>, comment: &str) {
        let rules = &mut self.ruleset.chains.entry(chain.to_owned()).or_default().rules;
        rules.push(Rule { matches, actions, comment: comment.to_owned() });
    }

    /// Counts a connection that this decides, by the rule's own counter where there is one.
    fn count(&mut self, reason: &Reason) -> Action {
        match reason {
            Reason::Rule { id, .. } if self.facts.counters => {
                let name = counter_of(*id);
                self.ruleset.counters.insert(name.clone());
                Action::Count(name)
            }
            _ => Action::Counter,
        }
    }

    fn set(&mut self, name: Name, set: Set) -> Name {
        self.ruleset.sets.insert(name.clone(), set);
        name
    }
}
