use super::*;
use proptest::prelude::*;

fn a_socket() -> Vec<u8> {
    let mut w = Writer::new();
    w.begin(SOCK_DIAG_BY_FAMILY, 0, 5).raw(&[10, 10, 0, 0]);
    w.raw(&80_u16.to_be_bytes()).raw(&0_u16.to_be_bytes());
    w.raw(&Ipv4Addr::new(10, 0, 0, 1).to_ipv6_mapped().octets()).raw(&[0; 16]);
    for word in [3_u32, 0x11, 0x22, 0, 0, 0, 1000, 4242] {
        w.raw(&word.to_ne_bytes());
    }
    w.attr(INET_DIAG_SKV6ONLY, &[0]).attr(INET_DIAG_CGROUP_ID, &99_u64.to_ne_bytes()).end();
    w.buf
}

#[test]
fn a_socket_is_read() {
    let bytes = a_socket();
    let sock = parse(Messages(&bytes).next().unwrap()).unwrap();
    assert_eq!((sock.state, sock.inode, sock.uid, sock.ifindex), (State::Listen, 4242, 1000, 3));
    assert_eq!(sock.cookie, 0x22_0000_0011);
    assert_eq!((sock.cgroup_id, sock.v6only, sock.ipv6), (Some(99), Some(false), true));
    assert_eq!(sock.local, "10.0.0.1:80".parse().unwrap());
    assert_eq!(sock.remote, "[::]:0".parse().unwrap());
}

#[test]
fn a_request_has_the_kernel_s_layout() {
    let a = |s: &str| s.parse::<SocketAddr>().unwrap();
    let id = Id { src: a("[::ffff:10.0.0.1]:1"), dst: a("10.0.0.2:2"), ifindex: 0, cookie: NO_COOKIE };
    let bytes = message(SOCK_DIAG_BY_FAMILY, libc::NLM_F_REQUEST, 1, Protocol::Udp, u32::MAX, &id);
    assert_eq!(bytes.len(), 16 + 56);
    assert_eq!(bytes[16..18], [libc::AF_INET as u8, 17]);
    assert_eq!(bytes[28..32], [10, 0, 0, 1]);
}

proptest! {
    #[test]
    fn mutated_sockets_never_panic(changes in proptest::collection::vec((0_usize..120, any::<u8>()), 0..6), cut in 0_usize..120) {
        let mut bytes = a_socket();
        for (at, byte) in changes {
            if let Some(b) = bytes.get_mut(at) {
                *b = byte;
            }
        }
        bytes.truncate(cut);
        for m in Messages(&bytes) {
            let _ = parse(m);
        }
    }
}
