//! Every decoder of what the kernel sends, over [its corpus](../corpus/README.md) and mutations of it: none may panic or hang.

use crate::message::Messages;
use crate::{conntrack, nflog, nfqueue, nft, packet, sock_diag};

#[path = "../../../integration/fuzz/mutate.rs"]
mod mutate;
use mutate::fuzz;

#[test]
fn fuzz_nft() {
    fuzz("corpus/nft", nft::read_all);
}

#[test]
fn fuzz_conntrack() {
    fuzz("corpus/conntrack", |bytes| {
        for m in Messages(bytes) {
            let _ = (conntrack::parse(m), m.answer());
        }
    });
}

#[test]
fn fuzz_nfqueue() {
    fuzz("corpus/nfqueue", |bytes| {
        for m in Messages(bytes) {
            let payload = nfqueue::Packet::parse(m).map(|packet| packet.payload);
            let _ = (payload.and_then(packet::Head::parse), m.answer());
        }
    });
}

#[test]
fn fuzz_nflog() {
    fuzz("corpus/nflog", |bytes| {
        for m in Messages(bytes) {
            let _ = nflog::Logged::parse(m).and_then(|copy| packet::Head::parse(copy.payload));
        }
    });
}

#[test]
fn fuzz_sock_diag() {
    fuzz("corpus/sock_diag", |bytes| {
        for m in Messages(bytes) {
            let _ = (sock_diag::parse(m), m.answer());
        }
    });
}

#[test]
fn fuzz_packet() {
    fuzz("corpus/packet", |bytes| {
        let _ = packet::Head::parse(bytes);
    });
}

#[test]
fn fuzz_stats() {
    fuzz("corpus/stats", |bytes| {
        let _ = nfqueue::parse_stats(&String::from_utf8_lossy(bytes));
    });
}
