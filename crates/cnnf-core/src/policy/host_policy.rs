//! The part of a policy that one host needs, as an ordered list that can be read without the rest of the world.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::evaluate::Reason;
use super::rule::{Effect, Mode, OnFailure, ServicePattern};
use crate::id::ServiceKey;
use crate::identity::Definition;
use crate::net::{AddrRange, Ports, Protocol};

/// A policy resolved for one host. A whole value: the newest generation replaces the older one.
///
/// `egress` judges connections whose client is on this host, `ingress` those whose server is. In each the first entry that matches
/// decides; no match allows. Learned behaviour is already written out as entries, so a host needs no model to judge.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostPolicy {
    /// Grows with every change of this host's policy and never goes back.
    pub generation: u64,
    /// The host's mode.
    pub mode: Mode,
    /// Modes of local services that differ from the host's.
    pub service_modes: BTreeMap<ServiceKey, Mode>,
    /// Judges local clients.
    pub egress: Vec<HostRule>,
    /// Judges local servers.
    pub ingress: Vec<HostRule>,
    /// What entries refer to.
    pub groups: BTreeMap<GroupId, Group>,
    /// What services of this host are called; the first that applies decides. Their host labels fit this host.
    pub definitions: Vec<Definition>,
}

/// Names a [`Group`] in its [`HostPolicy`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId(pub u32);

/// One entry of a host's policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostRule {
    /// The rule or model behind it.
    pub reason: Reason,
    /// Which end on this host is meant.
    pub local: LocalMatch,
    /// Which other end is meant: the server in `egress`, the client in `ingress`.
    pub peer: PeerMatch,
    /// Server ports.
    pub ports: Ports,
    /// What happens.
    pub effect: Effect,
    /// What happens when user space cannot answer.
    pub on_failure: OnFailure,
}

/// Matches the end that is on this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LocalMatch {
    /// Every local end, also kernel, unknown and ambiguous traffic.
    Any,
    /// Local services, by key or glob; services seen later included.
    Service(ServicePattern),
    /// Local ends with an address of this group.
    Addresses(GroupId),
    /// Local services with an address of this group.
    ServiceAt(ServicePattern, GroupId),
}

/// Matches the end that may be elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerMatch {
    /// Every peer.
    Any,
    /// Peers in this group.
    Group(GroupId),
}

/// A set of peers or of local addresses. Membership changes without any entry changing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group {
    /// Its members; they may overlap. Shared, as what many hosts need is the same.
    pub entries: Arc<BTreeSet<GroupEntry>>,
}

impl FromIterator<GroupEntry> for Group {
    fn from_iter<I: IntoIterator<Item = GroupEntry>>(entries: I) -> Self {
        Self { entries: Arc::new(entries.into_iter().collect()) }
    }
}

/// Members of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupEntry {
    /// The peers' addresses.
    pub addresses: AddrRange,
    /// Only those of `addresses` that are this host's own, loopback included. The controller does not know them all (bridges).
    pub own: bool,
    /// Only connections to this server port, or all. As in an edge, [`DYNAMIC`](crate::topology::DYNAMIC) stands for every ephemeral
    /// one.
    pub port: Option<(Protocol, u16)>,
}
