use super::*;
use crate::attr::Writer;
use crate::message::Messages;
use proptest::prelude::*;

#[test]
fn stats_of_two_queues() {
    let text = "    0   1337     3 2   256     7     1     1042  1\n65535 4294967 0 2 65531 0 0 0 1\nnonsense\n";
    let stats = parse_stats(text);
    assert_eq!(stats.len(), 2);
    let first = QueueStats { num: 0, port_id: 1337, waiting: 3, dropped: 7, user_dropped: 1, last_id: 1042 };
    assert_eq!(stats[0], first);
    assert_eq!(stats[1].num, 65535);
}

fn a_packet() -> Vec<u8> {
    let mut w = Writer::new();
    w.begin(message_type(NFQNL_MSG_PACKET), 0, 0).nfgen(2, 9);
    w.attr(libc::NFQA_PACKET_HDR, &[0, 0, 1, 2, 8, 0, 3]);
    w.be32(libc::NFQA_IFINDEX_OUTDEV, 4).be32(libc::NFQA_UID, 1000).be32(libc::NFQA_CAP_LEN, 1500);
    w.attr(libc::NFQA_PAYLOAD, &[0x45, 0, 0]);
    w.end();
    w.buf
}

#[test]
fn a_packet_is_read() {
    let bytes = a_packet();
    // The kernel does not pad its last attribute.
    let packet = Packet::parse(Messages(&bytes).next().unwrap()).unwrap();
    assert_eq!((packet.id, packet.queue, packet.family, packet.hw_proto, packet.hook), (0x102, 9, 2, 0x800, 3));
    assert_eq!((packet.payload, packet.len, packet.uid), (&[0x45, 0, 0][..], 1500, Some(1000)));
    assert_eq!((packet.in_ifindex, packet.out_ifindex), (0, 4));
}

proptest! {
    #[test]
    fn mutated_packets_never_panic(at in 0_usize..80, byte: u8, cut in 0_usize..90) {
        let mut bytes = a_packet();
        if let Some(b) = bytes.get_mut(at) {
            *b = byte;
        }
        bytes.truncate(cut);
        for m in Messages(&bytes) {
            let _ = (Packet::parse(m), m.answer());
        }
    }

    #[test]
    fn any_text_of_proc(text in ".{0,200}") {
        let _ = parse_stats(&text);
    }
}
