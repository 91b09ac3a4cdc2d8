//! The kernel's table as a value: chains, sets and maps, without a word of netlink.
//!
//! [`compile`] makes it from a host's policy and facts; [`interpret`] runs a packet through it, so that tests can hold it against
//! [`evaluate`](crate::policy::evaluate). How each thing becomes nft expressions is `cnnf_host::dataplane::lower`'s business.
//!
//! Every connection carries a [`Label`] in conntrack: who its client and its server are on this host, and under which epoch it was judged.

mod bounds;
mod compile;
mod endpoints;
mod interpret;
mod label;
mod live;
mod log;
#[cfg(test)]
pub(crate) mod tests;
mod text;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

pub use bounds::{ELEMENTS_MAX, RULES_MAX};
pub use compile::{
    EVIDENCE, HostFacts, LocalService, PASSED, PENDING, QueueBackend, compile, counter_of, rule_of_counter,
};
pub use endpoints::{Endpoint, Endpoints};
pub use interpret::{FlowState, LocalEnd, Opening, Outcomes, Packet, Trace, Verdict, interpret, judge_connection};
pub use label::{Flags, Label, Slot};
pub use live::cut;
pub use log::{LogPrefix, LogReason, Outcome};

use crate::net::{AddrRange, Protocol};

/// A chain's or set's name; at most 31 bytes (`NFT_NAME_MAXLEN` is larger, `nft` prints short names well).
///
/// A group's sets are named by the group, so that a change of its members is a change of elements; sets that are written out in rules
/// are named by their content.
pub type Name = String;

/// The whole table `inet cnnf`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ruleset {
    /// By name.
    pub chains: BTreeMap<Name, Chain>,
    /// By name.
    pub sets: BTreeMap<Name, Set>,
    /// Counters that outlive the rules that count by them.
    pub counters: BTreeSet<Name>,
}

/// A netfilter hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hook {
    /// Locally made packets.
    Output,
    /// Packets for this host.
    Input,
}

/// A chain; its rules are tried in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chain {
    /// Where it is attached, with its priority; `None` for a chain that is only jumped to. Base chains are made once and never deleted:
    /// deleting any drops every queued packet of the namespace.
    pub base: Option<(Hook, i32)>,
    /// Its rules.
    pub rules: Vec<Rule>,
}

/// A rule: if all matches hold, its actions are carried out in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// All must hold.
    pub matches: Vec<Match>,
    /// In order; a terminal one comes last.
    pub actions: Vec<Action>,
    /// For whoever reads `nft list`; empty for none.
    pub comment: String,
}

/// Which end of a connection an address is of: the client is the original tuple's source, the server the reply tuple's source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// Who opened it.
    Client,
    /// Who was addressed.
    Server,
}

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// The family of `addr`.
    #[must_use]
    pub fn of(addr: IpAddr) -> Self {
        if addr.is_ipv4() { Self::V4 } else { Self::V6 }
    }
}

/// Bits of a connection's state; values of `enum ip_conntrack_info`'s nft form (`NF_CT_STATE_BIT`).
pub mod state {
    /// `invalid`.
    pub const INVALID: u32 = 1;
    /// `established`: packets were seen in both directions.
    pub const ESTABLISHED: u32 = 2;
    /// `related`: an ICMP error, a RST of ours, or a helper's expected flow.
    pub const RELATED: u32 = 4;
    /// `new`.
    pub const NEW: u32 = 8;
    /// `untracked`.
    pub const UNTRACKED: u32 = 64;
}

/// A test on a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Match {
    /// The connection's state has any of these [`state`] bits.
    StateAny(u32),
    /// The packet's protocol.
    Protocol(Family, Protocol),
    /// The type of the ICMP request that opened the connection.
    IcmpType(Family, u8),
    /// A TCP packet's flags `& mask` equal (or do not equal) `value`.
    TcpFlags {
        /// Looked at.
        mask: u8,
        /// Compared with.
        value: u8,
        /// Whether they must be equal.
        equal: bool,
    },
    /// The label's word (0 to 3) equals (or does not equal) a value.
    LabelWord {
        /// Which.
        word: u8,
        /// Compared with.
        value: u32,
        /// Whether they must be equal.
        equal: bool,
    },
    /// The label's word `& mask` is not zero (`set`) or is zero.
    LabelBits {
        /// Which word.
        word: u8,
        /// Looked at.
        mask: u32,
        /// Whether any must be set.
        set: bool,
    },
    /// The side's address is in an [`Set::Addresses`] of this family.
    Address {
        /// Whose.
        side: Side,
        /// Of which family; packets of the other never match.
        family: Family,
        /// Where.
        set: Name,
    },
    /// The side's address, the protocol and the server's port are in a [`Set::Endpoints`] of this family. Only protocols with ports.
    Endpoint {
        /// Whose address.
        side: Side,
        /// Of which family.
        family: Family,
        /// Where.
        set: Name,
    },
    /// The protocol and the server's port are in a [`Set::Ports`]. Only protocols with ports.
    Port {
        /// Where.
        set: Name,
    },
    /// The server's port is in this range of a protocol with ports.
    PortRange {
        /// Of which protocol.
        protocol: Protocol,
        /// First.
        low: u16,
        /// Last.
        high: u16,
    },
    /// The packet's own UDP source (`true`) or destination port is (`inside`) in a [`Set::Ports`].
    PacketUdpPort {
        /// Source or destination.
        source: bool,
        /// Where.
        set: Name,
        /// Whether it must be in.
        inside: bool,
    },
    /// A local socket exists for the packet.
    Socket,
    /// The packet enters from nowhere or from loopback: its sender is local.
    LocalSender,
    /// The connection's original 5-tuple is in a [`Set::Flows`] of this family.
    Flow {
        /// Of which family.
        family: Family,
        /// Where.
        set: Name,
    },
    /// At most so many packets a second; a token bucket that lets `burst` through at once.
    Limit {
        /// Packets a second.
        rate: u32,
        /// At once.
        burst: u32,
    },
}

impl Match {
    /// The set that it asks.
    #[must_use]
    pub fn set(&self) -> Option<&Name> {
        match self {
            Self::Address { set, .. }
            | Self::Endpoint { set, .. }
            | Self::Port { set }
            | Self::PacketUdpPort { set, .. }
            | Self::Flow { set, .. } => Some(set),
            _ => None,
        }
    }
}

/// What a rule does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Counts packets and bytes.
    Counter,
    /// Counts packets and bytes by one of the table's counters.
    Count(Name),
    /// Sends a copy to an NFLOG group, with a prefix that says why.
    Log {
        /// The group.
        group: u16,
        /// At most 127 bytes (`NF_LOG_PREFIXLEN`).
        prefix: String,
    },
    /// Holds the packet for user space. Terminal.
    Queue {
        /// The first queue.
        number: u16,
        /// How many queues from there on share the packets by the processor that they are on, at least 1.
        among: u16,
        /// Lets it leave the base chain when nobody listens, instead of dropping it.
        bypass: bool,
    },
    /// ORs these words into the label.
    SetLabel([u32; 4]),
    /// Looks the socket's cgroup at `level` up in a [`Set::Cgroups`] and ORs what it finds into the label's word; no match ends the rule.
    StampCgroup {
        /// Levels from the host's cgroup root.
        level: u8,
        /// Where.
        map: Name,
        /// Which word.
        word: u8,
    },
    /// Looks the connection's original tuple up in a [`Set::Pending`] and ORs what it finds into the label; no match ends the rule.
    StampFlow {
        /// Of which family.
        family: Family,
        /// Where.
        map: Name,
    },
    /// Limits the conntrack events of the connection to these bits of `enum ip_conntrack_events`.
    SetEvents(u32),
    /// Looks a label word up in a [`Set::Dispatch`] and goes to the chain it finds, as [`Action::Goto`] does; no match goes on.
    Branch {
        /// Which word.
        word: u8,
        /// Where.
        map: Name,
    },
    /// Carries out a chain and goes on with the next rule. Comes last.
    Jump(Name),
    /// Goes to a chain and does not come back. Terminal.
    Goto(Name),
    /// Ends this chain. Terminal.
    Return,
    /// Ends this base chain, the packet passes it. Terminal.
    Accept,
    /// Drops the packet. Terminal.
    Drop,
    /// Drops a TCP packet and answers with a RST. Terminal.
    RejectTcp,
    /// Drops the packet and answers "administratively prohibited". Terminal.
    Reject,
}

impl Action {
    /// The map that it asks.
    #[must_use]
    pub fn map(&self) -> Option<&Name> {
        match self {
            Self::StampCgroup { map, .. } | Self::StampFlow { map, .. } | Self::Branch { map, .. } => Some(map),
            _ => None,
        }
    }

    /// Whether nothing of its rule comes after it.
    #[must_use]
    pub fn is_last(&self) -> bool {
        match self {
            Self::Queue { .. }
            | Self::Branch { .. }
            | Self::Jump(_)
            | Self::Goto(_)
            | Self::Return
            | Self::Accept
            | Self::Drop
            | Self::RejectTcp
            | Self::Reject => true,
            Self::Counter
            | Self::Count(_)
            | Self::Log { .. }
            | Self::SetLabel(_)
            | Self::StampCgroup { .. }
            | Self::StampFlow { .. }
            | Self::SetEvents(_) => false,
        }
    }
}

impl Rule {
    /// The sets and maps that it asks.
    pub fn sets(&self) -> impl Iterator<Item = &Name> {
        self.matches.iter().filter_map(Match::set).chain(self.actions.iter().filter_map(Action::map))
    }
}

/// A set or a map, with its elements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Set {
    /// Disjoint address ranges of one family.
    Addresses(Family, Vec<AddrRange>),
    /// Exact (address, protocol, port); protocols with ports only.
    Endpoints(Family, Endpoints),
    /// Exact (protocol number, port); protocols with ports only.
    Ports(BTreeSet<(u8, u16)>),
    /// cgroup id to label word.
    Cgroups(BTreeMap<u64, u32>),
    /// Label word to the chain that it branches to.
    Dispatch(BTreeMap<u32, Name>),
    /// Connections' original tuple to a label, with a timeout; filled by user space between two rulesets, so never compared.
    Pending(Family),
    /// Connections' original tuples, with a timeout; filled by user space, so never compared.
    Flows(Family),
}
