//! From everything to one host.

use super::host_policy::HostPolicy;
use super::rule::PolicySet;
use crate::directory::Directory;
use crate::id::HostId;
use crate::time::Timestamp;

/// Cuts from `policy` what `host` needs at `now`, as the whole value of `generation`.
///
/// An unknown host gets an empty policy in observe mode: it judges nothing.
#[must_use]
pub fn resolve(
    policy: &PolicySet,
    directory: &Directory,
    host: &HostId,
    _now: Timestamp,
    generation: u64,
) -> HostPolicy {
    HostPolicy {
        generation,
        mode: directory.hosts.get(host).map(|h| h.mode).unwrap_or_default(),
        service_modes: policy.service_modes.clone(),
        ..HostPolicy::default()
    }
}
