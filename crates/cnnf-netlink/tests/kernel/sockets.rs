//! Socket look-ups on the real kernel.

use std::io::Read;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::time::Instant;

use cnnf_netlink::sock_diag::{Protocol, Sock, SockDiag, State};

use crate::bed::{at, in_netns, own_cgroup_id};

fn inode(socket: &impl AsRawFd) -> u32 {
    let path = format!("/proc/thread-self/fd/{}", socket.as_raw_fd());
    u32::try_from(std::fs::metadata(path).unwrap().ino()).unwrap()
}

fn tcp(local: SocketAddr, remote: SocketAddr) -> Option<Sock> {
    SockDiag::open().unwrap().find(Protocol::Tcp, local, remote, 0).unwrap()
}

fn udp(local: SocketAddr, remote: SocketAddr) -> Option<Sock> {
    SockDiag::open().unwrap().find(Protocol::Udp, local, remote, 0).unwrap()
}

#[test]
fn root_tcp_sockets_are_found_exactly() {
    in_netns(|| {
        for (bind, connect) in
            [("127.0.0.1:8080", "127.0.0.1:8080"), ("[::1]:8080", "[::1]:8080"), ("[::]:8081", "127.0.0.1:8081")]
        {
            let listener = TcpListener::bind(at(bind)).unwrap();
            let client = TcpStream::connect(at(connect)).unwrap();
            let (server, _) = listener.accept().unwrap();
            let (local, remote) = (client.local_addr().unwrap(), client.peer_addr().unwrap());
            let found = tcp(local, remote).unwrap();
            assert_eq!((found.inode, found.uid, found.state), (inode(&client), 0, State::Established));
            assert_eq!((found.local, found.remote, found.cgroup_id), (local, remote, Some(own_cgroup_id())));
            let found = tcp(remote, local).unwrap();
            assert_eq!((found.inode, found.local, found.remote), (inode(&server), remote, local));
            // To whom a first packet would go.
            let found = tcp(at(connect), SocketAddr::new(remote.ip(), 1)).unwrap();
            assert_eq!((found.inode, found.state), (inode(&listener), State::Listen));
            assert_eq!(tcp(SocketAddr::new(local.ip(), 1), remote), None);
        }
    });
}

#[test]
fn root_udp_sockets_are_found_exactly() {
    in_netns(|| {
        let remote = at("192.0.2.1:53");
        let bound = UdpSocket::bind(at("127.0.0.1:5000")).unwrap();
        let found = udp(at("127.0.0.1:5000"), remote).unwrap();
        assert_eq!((found.inode, found.state, found.cgroup_id), (inode(&bound), State::Close, Some(own_cgroup_id())));
        let connected = UdpSocket::bind(at("127.0.0.1:5001")).unwrap();
        connected.connect(at("127.0.0.1:5000")).unwrap();
        let found = udp(at("127.0.0.1:5001"), at("127.0.0.1:5000")).unwrap();
        assert_eq!((found.inode, found.state), (inode(&connected), State::Established));
        assert_eq!(udp(at("127.0.0.1:5001"), remote), None);
        let dual = UdpSocket::bind(at("[::]:5002")).unwrap();
        for (local, remote) in
            [("127.0.0.1:5002", "127.0.0.1:1"), ("[::1]:5002", "[::1]:1"), ("[::ffff:127.0.0.1]:5002", "127.0.0.1:1")]
        {
            assert_eq!(udp(at(local), at(remote)).unwrap().inode, inode(&dual));
        }
        assert_eq!(udp(at("127.0.0.1:5999"), remote), None);
    });
}

#[test]
fn root_listeners_are_listed() {
    in_netns(|| {
        let mut diag = SockDiag::open().unwrap();
        let v4 = TcpListener::bind(at("127.0.0.1:8080")).unwrap();
        let dual = TcpListener::bind(at("[::]:8081")).unwrap();
        let client = TcpStream::connect(at("127.0.0.1:8080")).unwrap();
        let mut socks = Vec::new();
        diag.listeners(Protocol::Tcp, |s| socks.push((s.inode, s.local, s.v6only))).unwrap();
        assert_eq!(socks, [(inode(&v4), at("127.0.0.1:8080"), None), (inode(&dual), at("[::]:8081"), Some(false))]);
        let mut all = 0;
        diag.all(Protocol::Tcp, |s| all += u32::from(s.inode == inode(&client))).unwrap();
        assert_eq!(all, 1);
        let udp = UdpSocket::bind(at("[::1]:5000")).unwrap();
        let mut socks = Vec::new();
        diag.listeners(Protocol::Udp, |s| socks.push((s.inode, s.local))).unwrap();
        assert_eq!(socks, [(inode(&udp), at("[::1]:5000"))]);
    });
}

#[test]
fn root_a_destroyed_socket_s_owner_is_told() {
    in_netns(|| {
        let mut diag = SockDiag::open().unwrap();
        for (bind, connect) in
            [("127.0.0.1:8080", "127.0.0.1:8080"), ("[::]:8081", "127.0.0.1:8081"), ("[::1]:8082", "[::1]:8082")]
        {
            let listener = TcpListener::bind(at(bind)).unwrap();
            let client = TcpStream::connect(at(connect)).unwrap();
            let (mut server, peer) = listener.accept().unwrap();
            let sock = tcp(at(connect), peer).unwrap();
            assert!(diag.destroy(Protocol::Tcp, &sock).unwrap());
            assert_eq!(server.read(&mut [0]).unwrap_err().raw_os_error(), Some(libc::ECONNABORTED));
            assert!(!diag.destroy(Protocol::Tcp, &sock).unwrap());
            drop(client);
        }
        let socket = UdpSocket::bind(at("127.0.0.1:5000")).unwrap();
        socket.connect(at("127.0.0.1:5001")).unwrap();
        let sock = udp(at("127.0.0.1:5000"), at("127.0.0.1:5001")).unwrap();
        assert!(diag.destroy(Protocol::Udp, &sock).unwrap());
        assert_eq!(socket.recv(&mut [0]).unwrap_err().raw_os_error(), Some(libc::ECONNABORTED));
        let unconnected = UdpSocket::bind(at("127.0.0.1:5002")).unwrap();
        let sock = udp(at("127.0.0.1:5002"), at("127.0.0.1:1")).unwrap();
        assert!(diag.destroy(Protocol::Udp, &sock).unwrap());
        drop(unconnected);
    });
}

#[test]
fn root_what_a_look_up_costs() {
    in_netns(|| {
        let mut diag = SockDiag::open().unwrap();
        let listener = TcpListener::bind(at("127.0.0.1:8080")).unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (local, remote) = (client.local_addr().unwrap(), client.peer_addr().unwrap());
        let udp = UdpSocket::bind(at("127.0.0.1:5000")).unwrap();
        let rounds = 5000;
        for (protocol, local, remote) in
            [(Protocol::Tcp, local, remote), (Protocol::Udp, udp.local_addr().unwrap(), at("192.0.2.1:53"))]
        {
            let start = Instant::now();
            for _ in 0..rounds {
                assert!(diag.find(protocol, local, remote, 0).unwrap().is_some());
            }
            let each = start.elapsed() / rounds;
            println!("{protocol:?}: {each:?} a look-up");
            assert!(each.as_millis() < 1);
        }
    });
}
