//! A conntrack entry, from and to its attributes (`linux/netfilter/nfnetlink_conntrack.h`).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::place::Place;
use super::{CTA_ID, CTA_LABELS, CTA_TUPLE_ORIG, CTA_ZONE};
use crate::attr::{Attr, Attrs, Writer};

pub(super) const CTA_TUPLE_REPLY: i32 = 2;
pub(super) const CTA_STATUS: i32 = 3;
pub(super) const CTA_PROTOINFO: i32 = 4;
pub(super) const CTA_TIMEOUT: i32 = 7;
pub(super) const CTA_MARK: i32 = 8;
const CTA_COUNTERS_ORIG: i32 = 9;
const CTA_COUNTERS_REPLY: i32 = 10;

const CTA_TUPLE_IP: i32 = 1;
const CTA_TUPLE_PROTO: i32 = 2;
const CTA_IP_V4_SRC: i32 = 1;
const CTA_IP_V4_DST: i32 = 2;
const CTA_IP_V6_SRC: i32 = 3;
const CTA_IP_V6_DST: i32 = 4;
const CTA_PROTO_NUM: i32 = 1;
const CTA_PROTO_SRC_PORT: i32 = 2;
const CTA_PROTO_DST_PORT: i32 = 3;
const CTA_PROTO_ICMP_ID: i32 = 4;
const CTA_PROTO_ICMPV6_ID: i32 = 7;
pub(super) const CTA_PROTOINFO_TCP: i32 = 1;
pub(super) const CTA_PROTOINFO_TCP_STATE: i32 = 1;
pub(super) const CTA_PROTOINFO_TCP_FLAGS_ORIGINAL: i32 = 4;
pub(super) const CTA_PROTOINFO_TCP_FLAGS_REPLY: i32 = 5;
/// `IP_CT_TCP_FLAG_BE_LIBERAL`: windows are not checked.
pub(super) const TCP_BE_LIBERAL: u8 = 8;
const CTA_COUNTERS_PACKETS: i32 = 1;
const CTA_COUNTERS_BYTES: i32 = 2;

/// A label as four words in memory order, native byte order: word 0 is what a rule sees in the
/// first register that it loads the label to, unless another [`Place`] was chosen.
pub type Labels = [u32; 4];

/// Bits of [`Flow::status`] (`enum ip_conntrack_status`).
pub mod status {
    /// Another flow announced it.
    pub const EXPECTED: u32 = 1;
    /// It saw packets in both directions.
    pub const SEEN_REPLY: u32 = 1 << 1;
    /// It will not be dropped early.
    pub const ASSURED: u32 = 1 << 2;
    /// Its first packet left the host or reached a socket.
    pub const CONFIRMED: u32 = 1 << 3;
    /// Its source is translated.
    pub const SRC_NAT: u32 = 1 << 4;
    /// Its destination is translated.
    pub const DST_NAT: u32 = 1 << 5;
}

/// Values of [`Flow::tcp_state`] (`enum tcp_conntrack`).
#[allow(missing_docs)]
pub mod tcp_state {
    pub const SYN_SENT: u8 = 1;
    pub const SYN_RECV: u8 = 2;
    pub const ESTABLISHED: u8 = 3;
    pub const FIN_WAIT: u8 = 4;
    pub const CLOSE_WAIT: u8 = 5;
    pub const LAST_ACK: u8 = 6;
    pub const TIME_WAIT: u8 = 7;
    pub const CLOSE: u8 = 8;
}

/// What a flow is reported for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It was confirmed.
    New,
    /// It changed; also every flow of a dump.
    Update,
    /// It is gone.
    Destroy,
}

/// One direction of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tuple {
    /// Source address.
    pub src: IpAddr,
    /// Destination address.
    pub dst: IpAddr,
    /// Transport protocol.
    pub proto: u8,
    /// Source port; an ICMP echo's id; 0 where the protocol has none.
    pub src_port: u16,
    /// Destination port; ICMP type (high byte) and code (low byte); 0 where the protocol has none.
    pub dst_port: u16,
}

/// Packets and bytes of a direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Counters {
    pub packets: u64,
    pub bytes: u64,
}

/// A flow. Events leave out what did not change; what an event lacks is `None`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flow {
    /// Why it is reported.
    pub kind: Kind,
    /// As the first packet was before NAT.
    pub orig: Tuple,
    /// As its answer is: what NAT made of it.
    pub reply: Tuple,
    /// The label; zeros if the message has none ([`Flow::has_labels`]). The kernel sends it with
    /// `New` and where it was just changed, with every flow of a dump, but not with `Destroy` nor
    /// most updates: remember it by [`id`](Flow::id).
    pub labels: Labels,
    /// The message carried a label.
    pub has_labels: bool,
    /// Bits of it that are not ours, as the kernel has them.
    pub others_labels: Labels,
    /// Status bits.
    pub status: Option<u32>,
    /// The entry's id, the same as long as it lives.
    pub id: Option<u32>,
    /// Its zone; 0 is the usual one.
    pub zone: u16,
    /// Seconds until it expires.
    pub timeout: Option<u32>,
    /// The mark.
    pub mark: Option<u32>,
    /// Counters of the original direction, where accounting is on.
    pub orig_counters: Option<Counters>,
    /// Counters of the reply direction.
    pub reply_counters: Option<Counters>,
    /// TCP's state as conntrack sees it.
    pub tcp_state: Option<u8>,
    /// conntrack does not check TCP's windows: it was taken up mid-stream, or made by hand. Then nothing is known of who opened it.
    pub tcp_liberal: bool,
}

impl Flow {
    /// Reads an entry's attributes; `None` without two tuples that make sense.
    pub(crate) fn parse(kind: Kind, attrs: Attrs<'_>) -> Option<Self> {
        let number = |ty| attrs.find(ty).and_then(|a| a.be32());
        let labels = attrs.find(CTA_LABELS).map(|a| labels(a.bytes));
        let tcp = |ty| attrs.find(CTA_PROTOINFO)?.nested().find(CTA_PROTOINFO_TCP)?.nested().find(ty);
        Some(Self {
            kind,
            orig: Tuple::parse(attrs.find(CTA_TUPLE_ORIG)?)?,
            reply: Tuple::parse(attrs.find(CTA_TUPLE_REPLY)?)?,
            labels: Place::current().from_kernel(labels.unwrap_or_default()),
            has_labels: labels.is_some(),
            others_labels: Place::current().others(labels.unwrap_or_default()),
            status: number(CTA_STATUS),
            id: number(CTA_ID),
            zone: attrs.find(CTA_ZONE).and_then(|a| a.be16()).unwrap_or(0),
            timeout: number(CTA_TIMEOUT),
            mark: number(CTA_MARK),
            orig_counters: attrs.find(CTA_COUNTERS_ORIG).and_then(counters),
            reply_counters: attrs.find(CTA_COUNTERS_REPLY).and_then(counters),
            tcp_state: tcp(CTA_PROTOINFO_TCP_STATE).and_then(|a| a.u8()),
            tcp_liberal: tcp(CTA_PROTOINFO_TCP_FLAGS_ORIGINAL)
                .and_then(|a| a.array::<2>())
                .is_some_and(|[flags, _]| flags & TCP_BE_LIBERAL != 0),
        })
    }
}

fn counters(a: Attr<'_>) -> Option<Counters> {
    let number = |ty| a.nested().find(ty)?.be64();
    Some(Counters { packets: number(CTA_COUNTERS_PACKETS)?, bytes: number(CTA_COUNTERS_BYTES)? })
}

/// The label's bytes as words; missing bytes are 0.
fn labels(bytes: &[u8]) -> Labels {
    let mut words = Labels::default();
    for (word, chunk) in words.iter_mut().zip(bytes.chunks(4)) {
        let mut four = [0; 4];
        four[..chunk.len()].copy_from_slice(chunk);
        *word = u32::from_ne_bytes(four);
    }
    words
}

/// As the kernel has it.
pub(crate) fn label_bytes(labels: Labels) -> [u8; 16] {
    word_bytes(Place::current().to_kernel(labels))
}

pub(super) fn word_bytes(labels: Labels) -> [u8; 16] {
    let mut bytes = [0; 16];
    for (chunk, word) in bytes.chunks_exact_mut(4).zip(labels) {
        chunk.copy_from_slice(&word.to_ne_bytes());
    }
    bytes
}

const ICMP: u8 = libc::IPPROTO_ICMP as u8;
const ICMPV6: u8 = libc::IPPROTO_ICMPV6 as u8;

impl Tuple {
    /// Type and code, of ICMP and ICMPv6.
    pub fn icmp(&self) -> Option<(u8, u8)> {
        let [ty, code] = self.dst_port.to_be_bytes();
        matches!(self.proto, ICMP | ICMPV6).then_some((ty, code))
    }

    pub(crate) fn parse(a: Attr<'_>) -> Option<Self> {
        let ip = a.nested().find(CTA_TUPLE_IP)?.nested();
        let v4 = |ty| ip.find(ty).and_then(|a| a.array::<4>()).map(|b| IpAddr::from(Ipv4Addr::from(b)));
        let v6 = |ty| ip.find(ty).and_then(|a| a.array::<16>()).map(|b| IpAddr::from(Ipv6Addr::from(b)));
        let proto = a.nested().find(CTA_TUPLE_PROTO)?.nested();
        let port = |ty| proto.find(ty).and_then(|a| a.be16());
        let byte = |ty: i32| proto.find(ty).and_then(|a| a.u8());
        let number = byte(CTA_PROTO_NUM)?;
        let (src_port, dst_port) = match number {
            ICMP | ICMPV6 => {
                // Id, type and code follow each other, for both protocols.
                let first = if number == ICMP { CTA_PROTO_ICMP_ID } else { CTA_PROTO_ICMPV6_ID };
                let kind = byte(first + 1).map(|ty| u16::from_be_bytes([ty, byte(first + 2).unwrap_or(0)]));
                (port(first), kind)
            }
            _ => (port(CTA_PROTO_SRC_PORT), port(CTA_PROTO_DST_PORT)),
        };
        Some(Self {
            src: v4(CTA_IP_V4_SRC).or_else(|| v6(CTA_IP_V6_SRC))?,
            dst: v4(CTA_IP_V4_DST).or_else(|| v6(CTA_IP_V6_DST))?,
            proto: number,
            src_port: src_port.unwrap_or(0),
            dst_port: dst_port.unwrap_or(0),
        })
    }

    pub(crate) fn family(&self) -> u8 {
        if self.src.is_ipv4() { libc::AF_INET as u8 } else { libc::AF_INET6 as u8 }
    }

    pub(crate) fn write(&self, w: &mut Writer, ty: i32) {
        w.nest(ty, |w| {
            w.nest(CTA_TUPLE_IP, |w| {
                for (address, four, six) in
                    [(self.src, CTA_IP_V4_SRC, CTA_IP_V6_SRC), (self.dst, CTA_IP_V4_DST, CTA_IP_V6_DST)]
                {
                    match address {
                        IpAddr::V4(a) => w.attr(four, &a.octets()),
                        IpAddr::V6(a) => w.attr(six, &a.octets()),
                    };
                }
            });
            w.nest(CTA_TUPLE_PROTO, |w| {
                w.attr(CTA_PROTO_NUM, &[self.proto]);
                match self.icmp() {
                    Some((ty, code)) => {
                        let first = if self.proto == ICMP { CTA_PROTO_ICMP_ID } else { CTA_PROTO_ICMPV6_ID };
                        w.attr(first, &self.src_port.to_be_bytes()).attr(first + 1, &[ty]).attr(first + 2, &[code]);
                    }
                    None => {
                        w.attr(CTA_PROTO_SRC_PORT, &self.src_port.to_be_bytes());
                        w.attr(CTA_PROTO_DST_PORT, &self.dst_port.to_be_bytes());
                    }
                }
            });
        });
    }
}
