//! From what was decided and learned to each host's policy.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use cnnf_core::directory::Directory;
use cnnf_core::id::HostId;
use cnnf_core::policy::{Concern, Digest, HostPolicy, PolicySet, Resolver, basis, concerned};
use cnnf_core::time::Timestamp;
use tonic::Status;

use crate::changes::Topic;
use crate::clock::now;
use crate::controller::{Controller, refuse};

/// How long changes that reports cause are gathered.
const DEBOUNCE: Duration = Duration::from_millis(200);
/// How long a host waits at most for what is about services that it does not have.
pub const LATER: Duration = Duration::from_secs(60);
/// Hosts whose policies are stored and pushed at a time, so that the first ones do not wait for the last.
const AT_ONCE: usize = 64;

/// Resolves and pushes whenever something may have changed, until the controller ends.
pub(crate) async fn run(controller: Arc<Controller>) {
    let mut distributor = Distributor::default();
    loop {
        let later = distributor.due().map_or(LATER, |due| due.since(now()));
        tokio::select! {
            () = controller.ended() => return,
            () = controller.resolve_now.notified() => {}
            () = controller.resolve_soon.notified() => {
                tokio::select! {
                    () = controller.resolve_now.notified() => {}
                    () = tokio::time::sleep(DEBOUNCE) => {}
                }
            }
            () = tokio::time::sleep(later) => {}
        }
        let round = controller.aside(move |controller| Ok(distributor.round(controller, now())));
        distributor = match round.await {
            Ok(next) => next,
            Err(error) => {
                tracing::error!(%error, "policies could not be distributed");
                Distributor::default()
            }
        };
        if distributor.failed {
            tokio::time::sleep(Duration::from_secs(1)).await;
            controller.resolve_now.notify_one();
        }
    }
}

/// What the last round resolved from, and who waits.
#[derive(Default)]
pub(crate) struct Distributor {
    /// Who was where, and the basis of the policy; `None` if hosts may have anything.
    known: Option<(Arc<Directory>, Digest)>,
    /// Hosts whose change may wait, and until when.
    later: BTreeMap<HostId, Timestamp>,
    /// Whether something could not be stored: the next round resolves all.
    failed: bool,
}

/// A host that is to be resolved.
struct Due {
    host: HostId,
    generation: u64,
    content: String,
    policy: Option<Arc<HostPolicy>>,
}

/// A host's policy with its content's digest.
struct Resolved {
    host: HostId,
    policy: Arc<HostPolicy>,
    content: String,
    /// Whether its generation is new.
    fresh: bool,
}

impl Distributor {
    /// When the first host has waited long enough.
    pub(crate) fn due(&self) -> Option<Timestamp> {
        self.later.values().min().copied()
    }

    /// Resolves for every host that a change since the last round concerns; what is new is stored, then pushed. Blocks.
    pub(crate) fn round(mut self, controller: &Controller, at: Timestamp) -> Self {
        let (policy, directory, hosts) = {
            let state = controller.state();
            let hosts: Vec<_> = state
                .hosts
                .iter()
                .filter(|(_, known)| !known.row.revoked)
                .map(|(id, known)| Due {
                    host: id.clone(),
                    generation: known.desired.generation,
                    content: known.desired.content.clone(),
                    policy: known.desired.policy.clone(),
                })
                .collect();
            (Arc::clone(&state.policy), Arc::clone(&state.directory), hosts)
        };
        let concerned = self.concerned(&policy, &directory, at);
        let is_due = |due: &Due| due.policy.is_none() || concerned.as_ref().is_none_or(|ids| ids.contains(&due.host));
        let resolver = Resolver::new(&policy, &directory);
        let due: Vec<Due> = hosts.into_iter().filter(is_due).collect();
        for due in due.chunks(AT_ONCE) {
            let changed: Vec<Resolved> = due.iter().filter_map(|due| resolve(&resolver, due, at)).collect();
            if let Err(error) = hand_out(controller, changed) {
                tracing::error!(%error, "policies could not be stored; trying again");
                return Self { failed: true, ..Self::default() };
            }
        }
        self
    }

    /// The hosts to resolve, all for `None`; notes what they will be resolved from.
    fn concerned(&mut self, policy: &PolicySet, directory: &Arc<Directory>, at: Timestamp) -> Option<BTreeSet<HostId>> {
        self.failed = false;
        let basis = basis(policy, at);
        let before = self.known.replace((Arc::clone(directory), basis));
        let Some((before, _)) = before.filter(|(_, known)| *known == basis) else {
            self.later.clear();
            return None;
        };
        for (host, concern) in concerned(policy, &before, directory, at) {
            let wait = if concern == Concern::Now { Duration::ZERO } else { LATER };
            let until = self.later.entry(host).or_insert(at.plus(wait));
            // a clock that was set back must not make anybody wait longer
            *until = (*until).min(at.plus(wait));
        }
        let due: BTreeSet<HostId> =
            self.later.iter().filter(|(_, until)| **until <= at).map(|(host, _)| host.clone()).collect();
        self.later.retain(|host, _| !due.contains(host));
        Some(due)
    }
}

/// What has changed for a host.
fn resolve(resolver: &Resolver<'_>, due: &Due, at: Timestamp) -> Option<Resolved> {
    let mut policy = resolver.resolve(&due.host, at, due.generation);
    if due.policy.as_ref().is_some_and(|known| **known == policy) {
        return None;
    }
    let content = policy.digest().to_string();
    let fresh = due.generation == 0 || content != due.content;
    if fresh {
        policy.generation = due.generation.saturating_add(1);
    }
    Some(Resolved { host: due.host.clone(), policy: Arc::new(policy), content, fresh })
}

/// Stores what is new, then pushes it.
fn hand_out(controller: &Controller, resolved: Vec<Resolved>) -> Result<(), Status> {
    let new: Vec<(HostId, u64, String)> =
        resolved.iter().filter(|r| r.fresh).map(|r| (r.host.clone(), r.policy.generation, r.content.clone())).collect();
    if !new.is_empty() {
        controller.store.set_generations(new).wait().map_err(refuse)?;
    }
    let changed = !resolved.is_empty();
    let mut state = controller.state();
    for Resolved { host, policy, content, fresh } in resolved {
        let Some(known) = state.hosts.get_mut(&host) else { continue };
        if policy.generation < known.desired.generation {
            // The host has told of a newer one meanwhile; its next round is already due.
            continue;
        }
        if fresh {
            tracing::info!(%host, generation = policy.generation, "a host's policy has changed");
        }
        known.desired.generation = policy.generation;
        known.desired.content = content;
        known.desired.policy = Some(Arc::clone(&policy));
        if let Some(live) = &known.live {
            live.policies.send_replace(Some(policy));
        }
    }
    drop(state);
    if changed {
        controller.changes.note(Topic::Fleet);
    }
    Ok(())
}
