//! From what was decided and learned to each host's policy.

use std::fmt::{self, Write as _};
use std::sync::Arc;
use std::time::Duration;

use cnnf_core::id::HostId;
use cnnf_core::policy::{HostPolicy, Resolver};
use sha2::{Digest as _, Sha256};

use crate::changes::Topic;
use crate::clock::now;
use crate::controller::Controller;

/// How long changes that reports cause are gathered.
const DEBOUNCE: Duration = Duration::from_millis(200);

/// A host's policy with its content's hash.
struct Resolved {
    host: HostId,
    policy: Arc<HostPolicy>,
    content: String,
    /// Whether its generation is new.
    fresh: bool,
}

/// Resolves and pushes whenever something may have changed, until the controller ends.
pub(crate) async fn run(controller: Arc<Controller>) {
    loop {
        tokio::select! {
            () = controller.ended() => return,
            () = controller.resolve_now.notified() => {}
            () = controller.resolve_soon.notified() => {
                tokio::select! {
                    () = controller.resolve_now.notified() => {}
                    () = tokio::time::sleep(DEBOUNCE) => {}
                }
            }
        }
        if let Err(error) = distribute(&controller).await {
            tracing::error!(%error, "policies could not be distributed; trying again");
            tokio::time::sleep(Duration::from_secs(1)).await;
            controller.resolve_now.notify_one();
        }
    }
}

/// Resolves for every host; what is new is stored, then pushed.
async fn distribute(controller: &Arc<Controller>) -> Result<(), tonic::Status> {
    let resolved = controller.aside(|controller| Ok(resolve_all(controller))).await?;
    let new: Vec<(HostId, u64, String)> =
        resolved.iter().filter(|r| r.fresh).map(|r| (r.host.clone(), r.policy.generation, r.content.clone())).collect();
    if !new.is_empty() {
        controller.store.set_generations(new).await.map_err(crate::controller::refuse)?;
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

/// What has changed for each host.
fn resolve_all(controller: &Controller) -> Vec<Resolved> {
    let (policy, directory, hosts) = {
        let state = controller.state();
        let hosts: Vec<_> = state
            .hosts
            .iter()
            .filter(|(_, known)| !known.row.revoked)
            .map(|(id, known)| {
                let desired = &known.desired;
                (id.clone(), desired.generation, desired.content.clone(), desired.policy.clone())
            })
            .collect();
        (Arc::clone(&state.policy), Arc::clone(&state.directory), hosts)
    };
    let at = now();
    let resolver = Resolver::new(&policy, &directory);
    let mut changed = Vec::new();
    for (host, generation, content, known) in hosts {
        let mut policy = resolver.resolve(&host, at, generation);
        if known.is_some_and(|known| *known == policy) {
            continue;
        }
        let new_content = hash(&policy);
        let fresh = generation == 0 || new_content != content;
        if fresh {
            policy.generation = generation.saturating_add(1);
        }
        changed.push(Resolved { host, policy: Arc::new(policy), content: new_content, fresh });
    }
    changed
}

/// The SHA-256 of a policy's text form without its generation. A form that differs in a later version costs one new generation.
fn hash(policy: &HostPolicy) -> String {
    struct Hasher(Sha256);
    impl fmt::Write for Hasher {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            self.0.update(text.as_bytes());
            Ok(())
        }
    }
    let HostPolicy { generation: _, mode, service_modes, egress, ingress, groups, definitions } = policy;
    let mut hasher = Hasher(Sha256::new());
    // Neither the hasher nor the derived texts can fail.
    let _ = write!(hasher, "{mode:?} {service_modes:?} {egress:?} {ingress:?} {groups:?} {definitions:?}");
    hasher.0.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
