//! Which hosts a change concerns, and how soon.
//!
//! To resolve a host costs milliseconds, and a fleet changes all the time: services move, come and go. So it is found out first whom a change can
//! concern at all. The answer may name a host too many, never one too few.

use std::collections::{BTreeMap, BTreeSet};

use super::digest::{Digest, Mixer};
use super::rule::{Effect, End, PolicySet, is_glob, means};
use super::sight::stands_for_no_service;
use crate::directory::{Directory, Host};
use crate::id::{HostId, ServiceKey};
use crate::model::Model;
use crate::time::Timestamp;
use crate::topology::Peer;

/// How soon a host has to hear of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Concern {
    /// What changed is about services that the host does not have, and that cannot be there without its saying so first.
    Later,
    /// It is about what runs there, or may at any moment.
    Now,
}

/// The hosts of `after` for which the same `policy` may resolve otherwise than for `before`.
#[must_use]
pub fn concerned(
    policy: &PolicySet,
    before: &Directory,
    after: &Directory,
    now: Timestamp,
) -> BTreeMap<HostId, Concern> {
    let (moves, mut all) = Moves::between(before, after);
    if moves.services.is_empty() && !moves.places {
        return all;
    }
    let touched = Touched::new(policy, &moves, now);
    for (id, host) in after.hosts() {
        if !all.contains_key(id)
            && let Some(concern) = touched.concern(policy, host)
        {
            all.insert(id.clone(), concern);
        }
    }
    all
}

/// What of a policy decides what hosts get at `now`: while this is the same, and hosts and services are where they were, so is every host's
/// policy.
#[must_use]
pub fn basis(policy: &PolicySet, now: Timestamp) -> Digest {
    let PolicySet {
        revision: _,
        rules,
        objects,
        models,
        anomaly_effect: _,
        learning_off: _,
        service_modes,
        definitions,
    } = policy;
    let mut mixer = Mixer::default();
    for rule in rules {
        if let Some(effect) = rule.effect_at(now) {
            mixer.operators_rule(rule, effect);
        }
    }
    for object in objects.values() {
        mixer.text(&object.name);
        mixer.ranges(&object.addresses);
    }
    let asked = asks_models(policy, now);
    for (key, model) in models {
        let judges = policy.judges(key);
        if judges.is_some() || asked {
            mixer.text(key.as_str());
            mixer.text(judges.unwrap_or(Effect::Allow).as_str());
            mixer.each(&model.edges, |mixer, (edge, _)| mixer.edge(edge));
        }
    }
    mixer.each(service_modes, |mixer, (key, mode)| {
        mixer.text(key.as_str());
        mixer.text(mode.as_str());
    });
    mixer.each(definitions, Mixer::definition);
    mixer.finish()
}

/// Whether models matter that object to nothing.
fn asks_models(policy: &PolicySet, now: Timestamp) -> bool {
    policy.rules.iter().any(|rule| rule.learned_allow && rule.effect_at(now).is_some_and(|e| e != Effect::Allow))
}

/// What is elsewhere than it was.
struct Moves<'a> {
    services: BTreeSet<&'a ServiceKey>,
    /// Whether hosts have other addresses or labels, came or went.
    places: bool,
}

impl<'a> Moves<'a> {
    /// Also the hosts that changed themselves.
    fn between(before: &'a Directory, after: &'a Directory) -> (Self, BTreeMap<HostId, Concern>) {
        let mut moves = Self { services: BTreeSet::new(), places: false };
        let mut changed = BTreeMap::new();
        let mut addresses: BTreeSet<&std::net::IpAddr> = BTreeSet::new();
        for id in before.ids().chain(after.ids().filter(|id| before.host(id).is_none())) {
            if after.is_same(before, id) {
                continue;
            }
            let (old, new) = (before.host(id), after.host(id));
            if new.is_some() {
                changed.insert(id.clone(), Concern::Now);
            }
            let keys = [old, new].into_iter().flatten().flat_map(|host| host.instances.keys());
            match (old, new) {
                (Some(old), Some(new)) if old.addresses == new.addresses && old.labels == new.labels => {
                    if listening(old).ne(listening(new)) {
                        // which of a host's services is meant on a port depends on the others too
                        moves.services.extend(keys);
                    }
                }
                _ => {
                    moves.places = true;
                    moves.services.extend(keys);
                    let of = |host: Option<&'a Host>| host.into_iter().flat_map(|host| &host.addresses);
                    addresses.extend(of(old).chain(of(new)));
                }
            }
        }
        // an address that two hosts claim is nobody's
        for address in addresses {
            let claimants = before.claimants(*address).chain(after.claimants(*address));
            moves.services.extend(claimants.flat_map(|(_, host)| host.instances.keys()));
        }
        (moves, changed)
    }

    fn touch(&self, end: &End) -> bool {
        let End::Service { pattern, .. } = end else { return false };
        if !is_glob(&pattern.0) {
            return (self.places && stands_for_no_service(&pattern.0))
                || pattern.0.parse::<ServiceKey>().is_ok_and(|key| self.services.contains(&key));
        }
        self.services.iter().any(|key| pattern.matches(key))
    }

    fn touches_model(&self, model: &Model) -> bool {
        let peers = model.edges.keys().flat_map(|edge| [&edge.client, &edge.server]);
        peers.into_iter().any(|peer| matches!(peer, Peer::Service(key) if self.services.contains(key)))
    }
}

/// Where a host's services listen.
fn listening(host: &Host) -> impl Iterator<Item = (&ServiceKey, &BTreeSet<crate::directory::Endpoint>)> {
    host.instances.iter().map(|(key, instance)| (key, &instance.endpoints))
}

/// What of a policy speaks of what moved.
struct Touched<'a> {
    /// It speaks of everything on every host.
    everybody: bool,
    /// Local ends that entries about it are for.
    ends: Vec<&'a End>,
    /// Services whose models do.
    models: BTreeSet<&'a ServiceKey>,
    places: bool,
}

impl<'a> Touched<'a> {
    fn new(policy: &'a PolicySet, moves: &Moves<'_>, now: Timestamp) -> Self {
        let mut ends = Vec::new();
        for rule in &policy.rules {
            let Some(effect) = rule.effect_at(now) else { continue };
            if moves.touch(&rule.destination) {
                ends.push(&rule.source);
            }
            let by_client = effect != Effect::Prevent && moves.touch(&rule.source);
            let by_defended = effect != Effect::Prevent && moves.places && !rule.source.is_service();
            if by_client || by_defended {
                ends.push(&rule.destination);
            }
        }
        let asked = asks_models(policy, now);
        let models = policy
            .models
            .iter()
            .filter(|(key, model)| (asked || policy.judges(key).is_some()) && moves.touches_model(model));
        let everybody =
            ends.iter().any(|end| !end.is_service()) || moves.services.iter().any(|key| policy.judges(key).is_some());
        Self { everybody, ends, models: models.map(|(key, _)| key).collect(), places: moves.places }
    }

    fn concern(&self, policy: &PolicySet, host: &Host) -> Option<Concern> {
        let has = |key: &ServiceKey| self.models.contains(key) || (self.places && policy.judges(key).is_some());
        if self.everybody || host.instances.keys().any(has) {
            return Some(Concern::Now);
        }
        let ends = self.ends.iter().filter_map(|end| match end {
            End::Service { pattern, labels } if host.labels.satisfy(labels) => {
                Some(if may_meet(host, &pattern.0) { Concern::Now } else { Concern::Later })
            }
            _ => None,
        });
        ends.max()
    }
}

/// Whether services of this name are told of when they start: units and containers are.
pub(super) fn is_heralded(pattern: &str) -> bool {
    ["unit:", "container:"].iter().any(|kind| pattern.starts_with(kind))
}

/// Whether such a service is on `host`, or may open a connection before the host has told of it: programs of sessions do, and what has no
/// name. A unit or a container is told of when it starts.
pub(super) fn may_meet(host: &Host, pattern: &str) -> bool {
    !is_heralded(pattern) || host.instances.keys().any(|key| means(pattern, key))
}
