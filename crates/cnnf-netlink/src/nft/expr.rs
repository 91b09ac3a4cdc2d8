//! Expressions: the instructions of a rule, as `linux/netfilter/nf_tables.h` has them.

use super::abi;

/// A register: one of sixteen 32-bit words, or the verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reg(u32);

impl Reg {
    /// The verdict, as destination of a verdict map's look-up.
    pub const VERDICT: Self = Self(0);

    /// The word `n` (`NFT_REG32_00 + n`). A value longer than 4 bytes goes on in the next words.
    ///
    /// # Panics
    /// If `n` is above 15.
    pub const fn word(n: u8) -> Self {
        assert!(n < 16, "there are sixteen registers");
        Self(libc::NFT_REG32_00 as u32 + n as u32)
    }

    pub(super) fn raw(self) -> u32 {
        self.0
    }
}

/// What `meta` loads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum MetaKey {
    /// The packet's mark, 4 bytes in host order.
    Mark = 3,
    /// Index of the input interface, 4 bytes in host order; 0 in the output hook.
    Iif = 4,
    /// Index of the output interface.
    Oif = 5,
    /// Name of the input interface, 16 bytes.
    Iifname = 6,
    /// Name of the output interface, 16 bytes.
    Oifname = 7,
    /// The sending socket's user, 4 bytes in host order.
    SkUid = 10,
    /// 1: trace the packet. Only useful to set; 1 byte.
    NfTrace = 12,
    /// The network protocol, 1 byte: 2 IPv4, 10 IPv6.
    NfProto = 15,
    /// The transport protocol, 1 byte.
    L4Proto = 16,
    /// The packet's type (host, broadcast, multicast), 1 byte.
    PktType = 19,
}

/// What `ct` loads or sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum CtKey {
    /// State bit, 4 bytes in host order ([`ct_state`]). No direction.
    State = 0,
    /// 0 original, 1 reply; 1 byte. No direction.
    Direction = 1,
    /// Status bits, 4 bytes in host order. No direction.
    Status = 2,
    /// The mark, 4 bytes in host order. No direction.
    Mark = 3,
    /// Network protocol, 1 byte.
    L3Protocol = 7,
    /// Transport protocol, 1 byte.
    Protocol = 10,
    /// Source port (or ICMP id), 2 bytes in network order.
    ProtoSrc = 11,
    /// Destination port (or ICMP type and code), 2 bytes in network order.
    ProtoDst = 12,
    /// The labels, 16 bytes. No direction.
    Labels = 13,
    /// Packets so far, 8 bytes in host order.
    Packets = 14,
    /// Bytes so far, 8 bytes in host order.
    Bytes = 15,
    /// Zone, 2 bytes in host order.
    Zone = 17,
    /// Which events are reported, 4 bytes in host order. Only to set.
    EventMask = 18,
    /// IPv4 source; a mismatch for IPv6.
    SrcIp4 = 19,
    /// IPv4 destination.
    DstIp4 = 20,
    /// IPv6 source; a mismatch for IPv4.
    SrcIp6 = 21,
    /// IPv6 destination.
    DstIp6 = 22,
    /// The entry's id, 4 bytes in network order. No direction.
    Id = 23,
}

/// State bits that [`CtKey::State`] loads (`NF_CT_STATE_BIT`).
pub mod ct_state {
    /// Not a packet of any flow.
    pub const INVALID: u32 = 1;
    /// A packet of a flow that has seen both directions.
    pub const ESTABLISHED: u32 = 2;
    /// A new flow that an existing one announced, or an ICMP error about one.
    pub const RELATED: u32 = 4;
    /// The first packet of a flow, or one before its reply.
    pub const NEW: u32 = 8;
    /// Excluded from tracking.
    pub const UNTRACKED: u32 = 64;
}

/// A tuple of a conntrack entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum CtDir {
    /// As the first packet was before NAT.
    Original = 0,
    /// As its answer is.
    Reply = 1,
}

/// What `socket` loads about the local socket of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketKey {
    /// The id of its cgroup's ancestor at this level, 8 bytes in host order; level 1 is right
    /// below the root. A mismatch if the socket's cgroup is not that deep.
    Cgroup {
        /// Levels below the root, at most 255.
        level: u8,
    },
    /// The socket's mark, 4 bytes.
    Mark,
    /// Whether it is bound to any address, 1 byte.
    Wildcard,
}

/// Which header `payload` counts its offset from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum PayloadBase {
    /// Link layer.
    Link = 0,
    /// IP header.
    Network = 1,
    /// Transport header.
    Transport = 2,
}

/// How `cmp` compares, the register on the left; a mismatch ends the rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
#[allow(missing_docs)]
pub enum CmpOp {
    Eq = 0,
    Neq = 1,
    Lt = 2,
    Lte = 3,
    Gt = 4,
    Gte = 5,
}

/// What becomes of a packet, or where its evaluation goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Ends this hook's chain of this table with acceptance.
    Accept,
    /// Drops the packet.
    Drop,
    /// Next rule.
    Continue,
    /// Back to the calling chain; the policy in a base chain.
    Return,
    /// Calls a chain.
    Jump(String),
    /// Goes to a chain without coming back.
    Goto(String),
}

impl Verdict {
    pub(super) fn code(&self) -> i32 {
        match self {
            Self::Accept => libc::NF_ACCEPT,
            Self::Drop => libc::NF_DROP,
            Self::Continue => libc::NFT_CONTINUE,
            Self::Jump(_) => libc::NFT_JUMP,
            Self::Goto(_) => libc::NFT_GOTO,
            Self::Return => libc::NFT_RETURN,
        }
    }

    pub(super) fn chain(&self) -> Option<&str> {
        match self {
            Self::Jump(c) | Self::Goto(c) => Some(c),
            _ => None,
        }
    }
}

/// How `reject` says no.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reject {
    /// A TCP reset; the rule must have matched TCP.
    TcpReset,
    /// ICMP or ICMPv6 "administratively prohibited", as the packet needs.
    AdminProhibited,
}

/// Where a packet waits for user space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueTarget {
    /// First queue.
    pub num: u16,
    /// How many queues share the flows, at least 1.
    pub total: u16,
    /// Accept where nobody listens, instead of dropping.
    pub bypass: bool,
    /// Choose the queue by CPU and not by flow.
    pub fanout: bool,
}

impl QueueTarget {
    pub(super) fn flags(self) -> u16 {
        u16::from(self.bypass) | u16::from(self.fanout) << 1
    }
}

/// One instruction of a rule. A mismatch ends the rule and the next one follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expr {
    /// Loads a property of the packet.
    Meta {
        /// What.
        key: MetaKey,
        /// Where to.
        dreg: Reg,
    },
    /// Loads a property of the packet's flow; a mismatch without one.
    Ct {
        /// What.
        key: CtKey,
        /// The tuple, for keys that belong to one.
        dir: Option<CtDir>,
        /// Where to.
        dreg: Reg,
    },
    /// Sets a property of the packet's flow. Labels are ORed: bits can be set, never cleared.
    CtSet {
        /// What: labels, mark, event mask.
        key: CtKey,
        /// Where from.
        sreg: Reg,
    },
    /// Loads a property of the local socket; a mismatch without one.
    Socket {
        /// What.
        key: SocketKey,
        /// Where to.
        dreg: Reg,
    },
    /// Loads bytes of the packet.
    Payload {
        /// Which header.
        base: PayloadBase,
        /// Bytes from its start.
        offset: u32,
        /// How many bytes.
        len: u32,
        /// Where to.
        dreg: Reg,
    },
    /// `dreg = (sreg & mask) ^ xor`; mask and xor have the same length.
    Bitwise {
        /// Where from.
        sreg: Reg,
        /// Where to.
        dreg: Reg,
        /// Bits that are kept.
        mask: Vec<u8>,
        /// Bits that are flipped.
        xor: Vec<u8>,
    },
    /// Compares.
    Cmp {
        /// The left side.
        sreg: Reg,
        /// How.
        op: CmpOp,
        /// The right side.
        data: Vec<u8>,
    },
    /// Looks a key up; a mismatch if it is not in the set (or is, with `invert`).
    Lookup {
        /// The set.
        set: String,
        /// The key.
        sreg: Reg,
        /// Where a map's value goes; [`Reg::VERDICT`] for a verdict map.
        dreg: Option<Reg>,
        /// Match what is not in the set.
        invert: bool,
    },
    /// Loads constant bytes.
    Immediate {
        /// Where to.
        dreg: Reg,
        /// The bytes.
        data: Vec<u8>,
    },
    /// Decides.
    Verdict(Verdict),
    /// Counts packets and bytes.
    Counter,
    /// Counts packets and bytes by a counter of the table's ([`Batch::add_counter`](super::Batch::add_counter)), which outlives the rule.
    CountBy(String),
    /// Matches while the rate is not exceeded (or while it is, with `invert`).
    Limit {
        /// Packets a second.
        per_second: u64,
        /// Packets above it that pass at once.
        burst: u32,
        /// Match what exceeds the rate.
        invert: bool,
    },
    /// Sends a copy to a listener of [`crate::nflog`]; evaluation goes on.
    Log {
        /// The listener's group.
        group: u16,
        /// At most 127 bytes that the copy carries.
        prefix: String,
        /// Bytes of the packet that are copied; 0 for all.
        snaplen: u32,
        /// Copies that are collected before they are sent; 0 for at once.
        qthreshold: u16,
    },
    /// Queues by the native expression ([`Features::native_queue`](super::Features::native_queue)).
    Queue(QueueTarget),
    /// Queues by the iptables target NFQUEUE, revision 3, where the kernel has no native one.
    XtQueue(QueueTarget),
    /// Refuses, visibly.
    Reject(Reject),
}

impl Expr {
    /// `meta` into a word.
    pub fn meta(key: MetaKey, dreg: Reg) -> Self {
        Self::Meta { key, dreg }
    }

    /// `ct` without direction.
    pub fn ct(key: CtKey, dreg: Reg) -> Self {
        Self::Ct { key, dir: None, dreg }
    }

    /// `ct` of one tuple.
    pub fn ct_dir(key: CtKey, dir: CtDir, dreg: Reg) -> Self {
        Self::Ct { key, dir: Some(dir), dreg }
    }

    /// Equality.
    pub fn eq(sreg: Reg, data: impl Into<Vec<u8>>) -> Self {
        Self::Cmp { sreg, op: CmpOp::Eq, data: data.into() }
    }

    /// Inequality.
    pub fn neq(sreg: Reg, data: impl Into<Vec<u8>>) -> Self {
        Self::Cmp { sreg, op: CmpOp::Neq, data: data.into() }
    }

    /// `reg &= mask`.
    pub fn and(reg: Reg, mask: impl Into<Vec<u8>>) -> Self {
        let mask = mask.into();
        Self::Bitwise { sreg: reg, dreg: reg, xor: vec![0; mask.len()], mask }
    }

    /// Membership in a set.
    pub fn lookup(set: impl Into<String>, sreg: Reg) -> Self {
        Self::Lookup { set: set.into(), sreg, dreg: None, invert: false }
    }

    /// A map's value.
    pub fn map(set: impl Into<String>, sreg: Reg, dreg: Reg) -> Self {
        Self::Lookup { set: set.into(), sreg, dreg: Some(dreg), invert: false }
    }

    /// A verdict map's verdict.
    pub fn vmap(set: impl Into<String>, sreg: Reg) -> Self {
        Self::map(set, sreg, Reg::VERDICT)
    }

    /// A jump.
    pub fn jump(chain: impl Into<String>) -> Self {
        Self::Verdict(Verdict::Jump(chain.into()))
    }

    /// A goto.
    pub fn goto(chain: impl Into<String>) -> Self {
        Self::Verdict(Verdict::Goto(chain.into()))
    }

    /// What is wrong with it before the kernel is asked: lengths that C would not check.
    pub(super) fn fault(&self) -> Option<String> {
        match self {
            Self::Cmp { data, .. } | Self::Immediate { data, .. } => value_fault(data),
            Self::Bitwise { mask, xor, .. } if mask.len() != xor.len() => {
                Some(format!("bitwise: a mask of {} and an xor of {} bytes", mask.len(), xor.len()))
            }
            Self::Bitwise { mask, .. } => value_fault(mask),
            Self::Lookup { set, .. } => name_fault("set", set),
            Self::CountBy(counter) => name_fault("counter", counter),
            Self::Verdict(v) => v.chain().and_then(|c| name_fault("chain", c)),
            Self::Log { prefix, .. } if prefix.len() > abi::LOG_PREFIX_MAX || prefix.contains('\0') => {
                Some(format!("log prefix {prefix:?}: at most {} bytes, no NUL", abi::LOG_PREFIX_MAX))
            }
            _ => None,
        }
    }
}

pub(super) fn value_fault(bytes: &[u8]) -> Option<String> {
    (bytes.is_empty() || bytes.len() > abi::VALUE_MAX)
        .then(|| format!("a value of {} bytes: 1 to {} fit registers", bytes.len(), abi::VALUE_MAX))
}

pub(super) fn name_fault(what: &str, name: &str) -> Option<String> {
    (name.is_empty() || name.len() > abi::NAME_MAX || name.contains('\0'))
        .then(|| format!("{what} name {name:?}: 1 to {} bytes, no NUL", abi::NAME_MAX))
}
