//! From everything to one host.
//!
//! All meaning is written out here as ordered entries, so that a host needs neither rules nor models nor the directory. The order within
//! the models' part is what makes "the stricter of both ends' objections" a matter of the first match; see [`egress`].

mod egress;
mod ingress;

use std::cell::OnceCell;

use super::concern::{is_heralded, may_meet};
use super::evaluate::Reason;
use super::group::{Groups, Whole};
use super::host_policy::{HostPolicy, HostRule, LocalMatch, PeerMatch};
use super::rule::{Effect, End, OnFailure, PolicySet, Rule, ServicePattern, is_glob};
use crate::directory::Directory;
use crate::id::{HostId, ServiceKey};
use crate::net::Ports;
use crate::time::Timestamp;

/// With more rules than this a host gets those only that are about what it has told of, and about what may connect before anybody hears of it;
/// with fewer all that its labels leave it, so that a service is judged by its own rules from its first moment there.
pub const MANY_RULES: usize = 5_000;

/// Cuts from `policy` what `host` needs at `now`, as the whole value of `generation`. Who has many hosts makes one [`Resolver`].
#[must_use]
pub fn resolve(
    policy: &PolicySet,
    directory: &Directory,
    host: &HostId,
    now: Timestamp,
    generation: u64,
) -> HostPolicy {
    Resolver::new(policy, directory).resolve(host, now, generation)
}

/// A policy and a directory, made ready to resolve many hosts: what their policies have in common is made once.
pub struct Resolver<'a> {
    policy: &'a PolicySet,
    directory: &'a Directory,
    whole: Whole<'a>,
    servers: OnceCell<Vec<egress::Server<'a>>>,
}

impl<'a> Resolver<'a> {
    /// Takes time in the order of the instances of all hosts.
    #[must_use]
    pub fn new(policy: &'a PolicySet, directory: &'a Directory) -> Self {
        Self { policy, directory, whole: Whole::new(policy, directory), servers: OnceCell::new() }
    }

    /// What `host` needs at `now`.
    ///
    /// A host that is not in the directory gets an empty policy in observe mode: it judges nothing. A client's own model is written out
    /// for services that the directory has on this host; the models of servers for all.
    #[must_use]
    pub fn resolve(&self, host: &HostId, now: Timestamp, generation: u64) -> HostPolicy {
        let Some(this) = self.directory.host(host) else {
            return HostPolicy { generation, ..HostPolicy::default() };
        };
        let mut groups = Groups::new(&self.whole, this);
        if self.policy.rules.len() > MANY_RULES {
            groups.told = Some(this.instances.keys().map(ServiceKey::as_str).collect());
        }
        let mut egress = Vec::new();
        let mut ingress = Vec::new();
        for rule in &self.policy.rules {
            if let Some(effect) = rule.effect_at(now) {
                egress::rule(&mut groups, rule, effect, &mut egress);
                ingress::rule(&mut groups, rule, effect, &mut ingress);
            }
        }
        let servers = self.servers.get_or_init(|| egress::servers(&self.whole));
        egress::models(&mut groups, servers, &mut egress);
        ingress::models(&mut groups, &mut ingress);
        HostPolicy {
            generation,
            mode: this.mode,
            service_modes: self.policy.service_modes.clone(),
            egress,
            ingress,
            groups: groups.into_map(),
            definitions: self.policy.definitions.iter().filter(|d| this.labels.satisfy(&d.labels)).cloned().collect(),
        }
    }
}

/// Whether an entry about such a service is of use on the host: always, unless there are [`MANY_RULES`] and services of that kind are told of
/// when they start.
fn may_be_here(groups: &Groups<'_, '_>, pattern: &str) -> bool {
    let Some(told) = &groups.told else { return true };
    told.contains(pattern) || !is_heralded(pattern) || (is_glob(pattern) && may_meet(groups.host, pattern))
}

/// How a rule's end selects local ends; `None` if it selects none on this host.
fn local<'a>(groups: &mut Groups<'_, 'a>, end: &'a End) -> Option<LocalMatch> {
    match end {
        End::Any => Some(LocalMatch::Any),
        End::Service { pattern, labels } => (groups.host.labels.satisfy(labels) && may_be_here(groups, &pattern.0))
            .then(|| LocalMatch::Service(pattern.clone())),
        end => groups.keep_addresses(end).map(|(id, ..)| LocalMatch::Addresses(id)),
    }
}

/// Local services with a model that a rule's end selects, with the addresses that it selects them at.
fn modelled(groups: &Groups<'_, '_>, end: &LocalMatch) -> Vec<(ServiceKey, LocalMatch)> {
    let meant = |key: &&ServiceKey| match end {
        LocalMatch::Any | LocalMatch::Addresses(_) => true,
        LocalMatch::Service(pattern) | LocalMatch::ServiceAt(pattern, _) => pattern.matches(key),
    };
    let known = |key: &&ServiceKey| key.is_named() && groups.policy.models.contains_key(*key);
    let keys = groups.host.instances.keys().filter(meant).filter(known);
    keys.map(|key| {
        let pattern = ServicePattern::of(key);
        let local = match end {
            LocalMatch::Addresses(at) | LocalMatch::ServiceAt(_, at) => LocalMatch::ServiceAt(pattern, *at),
            LocalMatch::Any | LocalMatch::Service(_) => LocalMatch::Service(pattern),
        };
        (key.clone(), local)
    })
    .collect()
}

/// Local services whose model may object, with what that does.
fn judging(groups: &Groups<'_, '_>) -> Vec<(ServiceKey, Effect)> {
    let keys = groups.host.instances.keys();
    keys.filter_map(|key| Some((key.clone(), groups.policy.judges(key)?))).collect()
}

/// An entry for a rule.
fn by_rule(rule: &Rule, local: LocalMatch, peer: PeerMatch, effect: Effect, reason: Reason) -> HostRule {
    HostRule { reason, local, peer, ports: rule.ports.clone(), effect, on_failure: rule.on_failure }
}

/// An entry for a model.
fn by_model(key: &ServiceKey, local: LocalMatch, peer: PeerMatch, effect: Effect) -> HostRule {
    let reason = Reason::Model(key.clone());
    HostRule { reason, local, peer, ports: Ports::Any, effect, on_failure: OnFailure::Open }
}
