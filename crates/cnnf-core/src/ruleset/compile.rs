//! From a host's policy and facts to its table.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::label::Slot;
use super::{Chain, Hook, Ruleset};
use crate::failsafe::Failsafes;
use crate::id::ServiceKey;
use crate::policy::HostPolicy;

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
    /// The queue for packets that will be refused and wait for evidence; they never pass.
    pub evidence_queue: u16,
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

/// Makes the table of a host with these `facts` under `policy`.
#[must_use]
pub fn compile(_policy: &HostPolicy, _facts: &HostFacts) -> Ruleset {
    let mut ruleset = Ruleset::default();
    for (name, hook, priority) in [
        ("out", Hook::Output, -5),
        ("in", Hook::Input, -5),
        ("late_out", Hook::Output, -4),
        ("late_in", Hook::Input, -4),
    ] {
        ruleset.chains.insert(name.to_owned(), Chain { base: Some((hook, priority)), rules: Vec::new() });
    }
    ruleset
}
