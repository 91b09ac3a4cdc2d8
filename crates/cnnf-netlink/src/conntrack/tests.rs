use super::*;
use proptest::prelude::*;

const ORIG: Tuple = Tuple {
    src: std::net::IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1)),
    dst: std::net::IpAddr::V4(std::net::Ipv4Addr::new(10, 96, 0, 1)),
    proto: 6,
    src_port: 40000,
    dst_port: 443,
};

fn reply() -> Tuple {
    Tuple { src: "10.0.0.2".parse().unwrap(), dst: ORIG.src, proto: 6, src_port: 8443, dst_port: 40000 }
}

fn an_event() -> Vec<u8> {
    let mut w = Writer::new();
    let flags = libc::NLM_F_CREATE | libc::NLM_F_EXCL;
    w.begin(message_type(IPCTNL_MSG_CT_NEW), flags, 0).nfgen(2, 0);
    ORIG.write(&mut w, CTA_TUPLE_ORIG);
    reply().write(&mut w, 2);
    w.be32(3, status::CONFIRMED).be32(7, 120).be32(CTA_ID, 77);
    w.nest(4, |w| {
        w.nest(1, |w| {
            w.attr(1, &[tcp_state::SYN_SENT]);
        });
    });
    w.nest(9, |w| {
        w.attr(1, &3_u64.to_be_bytes()).attr(2, &180_u64.to_be_bytes());
    });
    w.attr(CTA_LABELS, &label_bytes([17, 0, 2, 1]));
    w.attr(99, &[1, 2, 3]);
    w.end();
    w.buf
}

#[test]
fn an_event_is_read() {
    let bytes = an_event();
    let flow = parse(Messages(&bytes).next().unwrap()).unwrap();
    assert_eq!((flow.kind, flow.orig, flow.reply), (Kind::New, ORIG, reply()));
    assert_eq!((flow.labels, flow.has_labels), ([17, 0, 2, 1], true));
    assert_eq!((flow.status, flow.timeout, flow.id, flow.zone), (Some(8), Some(120), Some(77), 0));
    assert_eq!(flow.orig_counters, Some(Counters { packets: 3, bytes: 180 }));
    assert_eq!((flow.reply_counters, flow.tcp_state), (None, Some(1)));
}

#[test]
fn icmp_has_type_and_code_where_others_have_a_port() {
    for (proto, src) in [(1, "10.0.0.1"), (58, "fd00::1")] {
        let src = src.parse().unwrap();
        let tuple = Tuple { src, dst: src, proto, src_port: 321, dst_port: u16::from_be_bytes([8, 3]) };
        let mut w = Writer::new();
        tuple.write(&mut w, 1);
        let read = Tuple::parse(crate::attr::Attrs(&w.buf).next().unwrap()).unwrap();
        assert_eq!(read, tuple);
        assert_eq!(read.icmp(), Some((8, 3)));
    }
}

proptest! {
    #[test]
    fn mutated_events_never_panic(changes in proptest::collection::vec((0_usize..260, any::<u8>()), 0..6), cut in 0_usize..260) {
        let mut bytes = an_event();
        for (at, byte) in changes {
            if let Some(b) = bytes.get_mut(at) {
                *b = byte;
            }
        }
        bytes.truncate(cut);
        for m in Messages(&bytes) {
            let _ = (parse(m), m.answer());
        }
    }
}
