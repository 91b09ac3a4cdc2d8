use std::net::{TcpListener, TcpStream, UdpSocket};

use super::*;
use crate::testbed::in_namespace;

/// Patient, as the machine may be busy.
fn owners() -> Owners {
    Owners::open(Arc::default(), Arc::default()).expect("owners").with_patience(Duration::from_secs(5))
}

#[test]
fn root_the_holder_of_a_socket_is_found() {
    in_namespace(|| {
        let listener = TcpListener::bind("127.0.0.1:0").expect("listen");
        let client = TcpStream::connect(listener.local_addr().expect("address")).expect("connect");
        let (local, remote) = (client.local_addr().expect("address"), client.peer_addr().expect("address"));
        let mut owners = owners();
        let me = Process::read(std::process::id()).expect("this process");
        let answer = owners.of_connection(Protocol::Tcp, local, remote, 0);
        assert_eq!(answer.key, owners.of_process(&me), "{answer:?}");
        let evidence = owners.evidence(Protocol::Tcp, local, remote, 0);
        assert_eq!((evidence.pid, evidence.exe, evidence.user.as_str()), (me.pid, me.exe.clone(), "root"));
        let unconnected = UdpSocket::bind("127.0.0.1:0").expect("bind");
        let there = "127.0.0.1:9".parse().expect("address");
        let answer = owners.of_connection(Protocol::Udp, unconnected.local_addr().expect("address"), there, 0);
        assert_eq!(answer.key, owners.of_process(&me), "{answer:?}");
    });
}

#[test]
fn root_a_socket_that_is_gone_is_nobodys() {
    in_namespace(|| {
        let mut owners = owners();
        let (a, b) = ("127.0.0.1:1".parse().expect("address"), "127.0.0.1:2".parse().expect("address"));
        assert_eq!(owners.of_connection(Protocol::Tcp, a, b, 0).key, ServiceKey::unknown());
        assert_eq!(owners.of_connection(Protocol::Sctp, a, b, 0).key, ServiceKey::unknown());
        assert!(!owners.evidence(Protocol::Tcp, a, b, 0).missing.is_empty());
    });
}

#[test]
fn root_no_packet_waits_for_more_processes_than_can_be_asked() {
    in_namespace(|| {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("bind");
        let (local, remote) = (socket.local_addr().expect("address"), "127.0.0.1:9".parse().expect("address"));
        let mut owners = owners().with_patience(Duration::ZERO);
        let answer = owners.of_connection(Protocol::Udp, local, remote, 0);
        assert_eq!(answer.key, ServiceKey::unknown());
        assert!(answer.asked && answer.missing.contains("more processes than can be asked in time"), "{answer:?}");
        let evidence = owners.evidence(Protocol::Udp, local, remote, 0);
        assert!(evidence.pid == 0 && evidence.missing.contains("in time"), "{evidence:?}");
    });
}

#[test]
fn root_what_took_long_to_find_is_remembered_while_its_holder_is_what_it_was() {
    in_namespace(|| {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("bind");
        let (local, remote) = (socket.local_addr().expect("address"), "127.0.0.1:9".parse().expect("address"));
        let mut looking = owners().with_share(400);
        let sock = looking.socket(Protocol::Udp, local, remote, 0).expect("a look-up").expect("a socket");
        let me = Process::read(std::process::id()).expect("this process");
        let is_asked = |owners: &mut Owners, took, holder: &Process| {
            let answer = unknown("found five seconds ago".into());
            let (at, holder) = (Instant::now() - Duration::from_secs(5), holder.clone());
            owners.remembered.insert(sock.cookie, Remembered { at, took, holder, answer: answer.clone() });
            owners.of_socket(Protocol::Udp, &sock) != answer
        };
        let long = Duration::from_millis(100);
        assert!(!is_asked(&mut looking, long, &me), "it may be asked for each 40 s");
        assert!(is_asked(&mut looking, Duration::from_millis(1), &me), "it may be asked for each 0.4 s");
        let another = Process { exe: "/bin/another".into(), ..me.clone() };
        assert!(is_asked(&mut looking, long, &another), "the process runs another program");
        assert!(is_asked(&mut owners(), long, &me), "a packet waits");
    });
}
