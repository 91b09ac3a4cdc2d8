//! Rules as lists of expressions.
//!
//! Registers are sixteen words. Matches use the lower ones and leave nothing behind; a label to be ORed in lies in 4 to 7, one that was
//! looked up by its flow in 12 to 15.

use cnnf_core::net::Protocol;
use cnnf_core::ruleset::{Action, Family, Match, QueueBackend, Rule, Side};
use cnnf_netlink::conntrack::Place;
use cnnf_netlink::nft::{
    CmpOp, CtDir, CtKey, Expr, MetaKey, PayloadBase, QueueTarget, Reg, Reject, SocketKey, Verdict,
};

use super::label_bytes;

const NFPROTO_IPV4: u8 = 2;
const NFPROTO_IPV6: u8 = 10;
const TCP: u8 = 6;
const UDP: u8 = 17;
/// Offset of a TCP header's flags (RFC 9293).
const TCP_FLAGS_AT: u32 = 13;
/// Bytes of a packet that its copy to NFLOG carries: both headers with options, and nothing of the contents beyond.
const SNAPLEN: u32 = 128;

/// The expressions of a rule.
pub(super) fn of_rule(rule: &Rule, queue: QueueBackend) -> Vec<Expr> {
    let mut out = Vec::new();
    for m in &rule.matches {
        a_match(m, &mut out);
    }
    for a in &rule.actions {
        action(a, queue, &mut out);
    }
    out
}

const fn word(n: u8) -> Reg {
    Reg::word(n)
}

/// Where a word of the label lies that was loaded to `first` and the next three.
fn label_word(first: u8, n: u8) -> Reg {
    word(first + Place::current().word(n))
}

fn a_match(m: &Match, out: &mut Vec<Expr>) {
    match m {
        Match::StateAny(bits) => out.extend([
            Expr::ct(CtKey::State, word(0)),
            Expr::and(word(0), bits.to_ne_bytes()),
            Expr::neq(word(0), [0; 4]),
        ]),
        Match::Protocol(family, protocol) => of_protocol(*family, *protocol, out),
        Match::IcmpType(family, kind) => {
            of_protocol(*family, Protocol::Icmp, out);
            // type and code stand where other protocols have the server's port
            out.extend([Expr::ct_dir(CtKey::ProtoDst, CtDir::Original, word(0)), Expr::eq(word(0), [*kind])]);
        }
        Match::TcpFlags { mask, value, equal } => {
            l4(TCP, out);
            payload(TCP_FLAGS_AT, 1, word(0), out);
            out.extend([Expr::and(word(0), [*mask]), compare(word(0), *equal, [*value])]);
        }
        Match::LabelWord { word: n, value, equal } => {
            out.extend([Expr::ct(CtKey::Labels, word(0)), compare(label_word(0, *n), *equal, value.to_ne_bytes())]);
        }
        Match::LabelBits { word: n, mask, set } => out.extend([
            Expr::ct(CtKey::Labels, word(0)),
            Expr::and(label_word(0, *n), Place::current().bits(*n, *mask).to_ne_bytes()),
            compare(label_word(0, *n), !set, [0; 4]),
        ]),
        Match::Address { side, family, set } => {
            address(*side, *family, out);
            out.push(Expr::lookup(set, word(0)));
        }
        Match::Endpoint { side, family, set } => {
            address(*side, *family, out);
            server_port(address_words(*family), out);
            out.push(Expr::lookup(set, word(0)));
        }
        Match::Port { set } => {
            server_port(0, out);
            out.push(Expr::lookup(set, word(0)));
        }
        Match::PortRange { protocol, low, high } => {
            server_port(0, out);
            // protocols with ports have one number for both families
            out.push(Expr::eq(word(0), [protocol.number(false)]));
            let bound = |op, port: u16| Expr::Cmp { sreg: word(1), op, data: port.to_be_bytes().to_vec() };
            out.extend([bound(CmpOp::Gte, *low), bound(CmpOp::Lte, *high)]);
        }
        Match::PacketUdpPort { source, set, inside } => {
            l4(UDP, out);
            payload(if *source { 0 } else { 2 }, 2, word(1), out);
            out.push(Expr::Lookup { set: set.clone(), sreg: word(0), dreg: None, invert: !inside });
        }
        Match::Socket => out.push(Expr::Socket { key: SocketKey::Mark, dreg: word(0) }),
        // interface 0 is none, as in the output hook; 1 is loopback in every network namespace
        Match::LocalSender => out.extend([
            Expr::meta(MetaKey::Iif, word(0)),
            Expr::and(word(0), (!1_u32).to_ne_bytes()),
            Expr::eq(word(0), [0; 4]),
        ]),
        Match::Flow { family, set } => {
            flow(*family, out);
            out.push(Expr::lookup(set, word(0)));
        }
        Match::Limit { rate, burst } => {
            out.push(Expr::Limit { per_second: u64::from(*rate), burst: *burst, invert: false });
        }
    }
}

fn action(a: &Action, queue: QueueBackend, out: &mut Vec<Expr>) {
    match a {
        Action::Counter => out.push(Expr::Counter),
        Action::Count(name) => out.push(Expr::CountBy(name.clone())),
        Action::Log { group, prefix } => {
            out.push(Expr::Log { group: *group, prefix: prefix.clone(), snaplen: SNAPLEN, qthreshold: 1 });
        }
        Action::Queue { number, among, bypass } => {
            let target = QueueTarget { num: *number, total: *among, bypass: *bypass, fanout: *among > 1 };
            out.push(if queue == QueueBackend::Native { Expr::Queue(target) } else { Expr::XtQueue(target) });
        }
        Action::SetLabel(words) => or_label(*words, out),
        Action::StampCgroup { level, map, word: n } => out.extend([
            Expr::Immediate { dreg: word(4), data: vec![0; 16] },
            Expr::Socket { key: SocketKey::Cgroup { level: *level }, dreg: word(0) },
            Expr::map(map, word(0), label_word(4, *n)),
            Expr::CtSet { key: CtKey::Labels, sreg: word(4) },
        ]),
        Action::StampFlow { family, map } => {
            flow(*family, out);
            out.extend([Expr::map(map, word(0), word(12)), Expr::CtSet { key: CtKey::Labels, sreg: word(12) }]);
        }
        Action::SetEvents(bits) => out.extend([
            Expr::Immediate { dreg: word(0), data: bits.to_ne_bytes().to_vec() },
            Expr::CtSet { key: CtKey::EventMask, sreg: word(0) },
        ]),
        Action::Branch { word: n, map } => {
            out.extend([Expr::ct(CtKey::Labels, word(0)), Expr::vmap(map, label_word(0, *n))]);
        }
        Action::Jump(chain) => out.push(Expr::jump(chain)),
        Action::Goto(chain) => out.push(Expr::goto(chain)),
        Action::Return => out.push(Expr::Verdict(Verdict::Return)),
        Action::Accept => out.push(Expr::Verdict(Verdict::Accept)),
        Action::Drop => out.push(Expr::Verdict(Verdict::Drop)),
        Action::RejectTcp => out.push(Expr::Reject(Reject::TcpReset)),
        Action::Reject => out.push(Expr::Reject(Reject::AdminProhibited)),
    }
}

fn compare(reg: Reg, equal: bool, data: impl Into<Vec<u8>>) -> Expr {
    if equal { Expr::eq(reg, data) } else { Expr::neq(reg, data) }
}

fn or_label(words: [u32; 4], out: &mut Vec<Expr>) {
    out.extend([
        Expr::Immediate { dreg: word(4), data: label_bytes(words) },
        Expr::CtSet { key: CtKey::Labels, sreg: word(4) },
    ]);
}

fn of_protocol(family: Family, protocol: Protocol, out: &mut Vec<Expr>) {
    let (nfproto, v6) = match family {
        Family::V4 => (NFPROTO_IPV4, false),
        Family::V6 => (NFPROTO_IPV6, true),
    };
    out.extend([Expr::meta(MetaKey::NfProto, word(0)), Expr::eq(word(0), [nfproto])]);
    l4(protocol.number(v6), out);
}

fn l4(number: u8, out: &mut Vec<Expr>) {
    out.extend([Expr::meta(MetaKey::L4Proto, word(0)), Expr::eq(word(0), [number])]);
}

fn payload(offset: u32, len: u32, dreg: Reg, out: &mut Vec<Expr>) {
    out.push(Expr::Payload { base: PayloadBase::Transport, offset, len, dreg });
}

/// Words that an address takes.
fn address_words(family: Family) -> u8 {
    match family {
        Family::V4 => 1,
        Family::V6 => 4,
    }
}

/// Loads a side's address into word 0 and, for IPv6, the next three. Connections of the other family do not match.
fn address(side: Side, family: Family, out: &mut Vec<Expr>) {
    let dir = match side {
        Side::Client => CtDir::Original,
        Side::Server => CtDir::Reply,
    };
    let key = match family {
        Family::V4 => CtKey::SrcIp4,
        Family::V6 => CtKey::SrcIp6,
    };
    out.push(Expr::ct_dir(key, dir, word(0)));
}

/// Loads the protocol into the word `at` and the server's port into the next. ICMP has an echo id in the port's place, and is in no set.
fn server_port(at: u8, out: &mut Vec<Expr>) {
    out.extend([
        Expr::ct_dir(CtKey::Protocol, CtDir::Reply, word(at)),
        Expr::ct_dir(CtKey::ProtoSrc, CtDir::Reply, word(at + 1)),
    ]);
}

/// Loads the original tuple: addresses, protocol, ports.
fn flow(family: Family, out: &mut Vec<Expr>) {
    let n = address_words(family);
    let (source, destination) = match family {
        Family::V4 => (CtKey::SrcIp4, CtKey::DstIp4),
        Family::V6 => (CtKey::SrcIp6, CtKey::DstIp6),
    };
    let original = |key, at| Expr::ct_dir(key, CtDir::Original, word(at));
    out.extend([
        original(source, 0),
        original(destination, n),
        original(CtKey::Protocol, 2 * n),
        original(CtKey::ProtoSrc, 2 * n + 1),
        original(CtKey::ProtoDst, 2 * n + 2),
    ]);
}
