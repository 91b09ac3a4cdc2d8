//! Sockets: whose is it, who listens, end it.
//!
//! ```no_run
//! use cnnf_netlink::sock_diag::*;
//!
//! # fn main() -> Result<(), cnnf_netlink::Error> {
//! let mut diag = SockDiag::open()?;
//! let (local, remote) = ("10.0.0.1:40000".parse().unwrap(), "10.0.0.2:443".parse().unwrap());
//! if let Some(sock) = diag.find(Protocol::Tcp, local, remote, 0)? {
//!     println!("inode {} uid {} cgroup {:?}", sock.inode, sock.uid, sock.cgroup_id);
//! }
//! diag.listeners(Protocol::Udp, |sock| println!("{}", sock.local))?;
//! # Ok(())
//! # }
//! ```
//!
//! An exact look-up is one hash look-up in the kernel (about 1 µs); a dump walks the whole hash.
//! A look-up sees the network namespace in which the socket was opened, and needs no capability;
//! [`SockDiag::destroy`] needs `CAP_NET_ADMIN`.

mod closed;
#[cfg(test)]
mod tests;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};

use crate::attr::Writer;
use crate::error::Error;
use crate::message::{Message, Messages};
use crate::socket::{Port, Socket, request};

pub use closed::ClosedUdp;

const SOCK_DIAG_BY_FAMILY: u16 = 20;
const SOCK_DESTROY: u16 = 21;
/// Length of `struct inet_diag_msg`.
const DIAG_MSG: usize = 72;
const INET_DIAG_SKV6ONLY: i32 = 11;
const INET_DIAG_CGROUP_ID: i32 = 21;
const NO_COOKIE: u64 = u64::MAX;
const UNSPECIFIED_V4: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// A transport protocol with sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum Protocol {
    Tcp = 6,
    Udp = 17,
}

/// TCP's states; an unconnected UDP socket is `Close`, a connected one `Established`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum State {
    Established,
    SynSent,
    SynRecv,
    FinWait1,
    FinWait2,
    TimeWait,
    Close,
    CloseWait,
    LastAck,
    Listen,
    Closing,
    NewSynRecv,
    Other(u8),
}

impl From<u8> for State {
    fn from(n: u8) -> Self {
        match n {
            1 => Self::Established,
            2 => Self::SynSent,
            3 => Self::SynRecv,
            4 => Self::FinWait1,
            5 => Self::FinWait2,
            6 => Self::TimeWait,
            7 => Self::Close,
            8 => Self::CloseWait,
            9 => Self::LastAck,
            10 => Self::Listen,
            11 => Self::Closing,
            12 => Self::NewSynRecv,
            n => Self::Other(n),
        }
    }
}

/// A socket as the kernel describes it. IPv4-mapped addresses are given as IPv4.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sock {
    /// Inode in sockfs: what `/proc/PID/fd` links say. 0 for one without (time-wait, SYN queue).
    pub inode: u32,
    /// Unique in this boot.
    pub cookie: u64,
    /// User who made it.
    pub uid: u32,
    /// Id of the cgroup (v2) of its maker; `None` where the kernel does not say.
    pub cgroup_id: Option<u64>,
    /// Its state.
    pub state: State,
    /// Own address and port.
    pub local: SocketAddr,
    /// The peer's; unspecified and 0 without one.
    pub remote: SocketAddr,
    /// Interface that it is bound to; 0 for none.
    pub ifindex: u32,
    /// Of family `AF_INET6`, whatever its addresses are.
    pub ipv6: bool,
    /// Takes no IPv4; `None` where the kernel does not say (IPv4, connected).
    pub v6only: Option<bool>,
}

/// A socket for look-ups.
#[derive(Debug)]
pub struct SockDiag {
    socket: Socket,
}

impl SockDiag {
    /// Opens it.
    ///
    /// # Errors
    /// Those of the system calls.
    pub fn open() -> Result<Self, Error> {
        Ok(Self { socket: Socket::open(libc::NETLINK_SOCK_DIAG)? })
    }

    /// The socket that a packet between these addresses belongs to, as the kernel finds it:
    /// connected ones first, then for TCP a listener (state `Listen`), for UDP one that is bound
    /// and not connected. `ifindex` is where the packet came in; 0 for none, but needed for
    /// link-local addresses. Mapped addresses are looked up as IPv4.
    ///
    /// # Errors
    /// [`Error`]; `None` if there is no such socket.
    pub fn find(
        &mut self,
        protocol: Protocol,
        local: SocketAddr,
        remote: SocketAddr,
        ifindex: u32,
    ) -> Result<Option<Sock>, Error> {
        let what = "look a socket up";
        // The kernel's look-up for UDP takes the addresses of an arriving packet
        // (net/ipv4/udp_diag.c: "src and dst are swapped for historical reasons").
        let (src, dst) = match protocol {
            Protocol::Tcp => (local, remote),
            Protocol::Udp => (remote, local),
        };
        let id = Id { src, dst, ifindex, cookie: NO_COOKIE };
        let seq = self.socket.next_seq();
        let datagram = message(SOCK_DIAG_BY_FAMILY, libc::NLM_F_REQUEST, seq, protocol, u32::MAX, &id);
        self.socket.send(&datagram).map_err(Error::system(what))?;
        // One datagram answers, the socket or an error: no acknowledgement is asked for.
        loop {
            let datagram = match self.socket.recv() {
                Ok(datagram) => datagram,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Err(Error::Incomplete { what }),
                Err(source) => return Err(Error::System { what, source }),
            };
            let Some(m) = Messages(datagram).find(|m| m.seq == seq) else { continue };
            return match m.answer() {
                Some(a) if a.errno == libc::ENOENT => Ok(None),
                Some(a) => Err(Error::Refused { what, errno: a.errno, text: a.text }),
                None => parse(m).map(Some).ok_or(Error::Incomplete { what }),
            };
        }
    }

    /// Sockets that others can reach: for TCP those that listen, for UDP all (bound or connected),
    /// IPv4 first, then IPv6. Walks the whole hash.
    ///
    /// # Errors
    /// [`Error`].
    pub fn listeners(&mut self, protocol: Protocol, each: impl FnMut(Sock)) -> Result<(), Error> {
        let states = match protocol {
            Protocol::Tcp => 1 << 10,
            Protocol::Udp => u32::MAX,
        };
        self.dump(protocol, states, each)
    }

    /// All sockets, TCP's of the SYN queue and time-wait included. Walks the whole hash.
    ///
    /// # Errors
    /// [`Error`].
    pub fn all(&mut self, protocol: Protocol, each: impl FnMut(Sock)) -> Result<(), Error> {
        self.dump(protocol, u32::MAX, each)
    }

    fn dump(&mut self, protocol: Protocol, states: u32, mut each: impl FnMut(Sock)) -> Result<(), Error> {
        for any in [IpAddr::from(Ipv4Addr::UNSPECIFIED), IpAddr::from(Ipv6Addr::UNSPECIFIED)] {
            let any = SocketAddr::new(any, 0);
            let id = Id { src: any, dst: any, ifindex: 0, cookie: NO_COOKIE };
            let seq = self.socket.next_seq();
            let datagram =
                message(SOCK_DIAG_BY_FAMILY, libc::NLM_F_REQUEST | libc::NLM_F_DUMP, seq, protocol, states, &id);
            request(&mut self.socket, "dump sockets", &datagram, seq, |m| {
                if let Some(sock) = parse(m) {
                    each(sock);
                }
            })?;
        }
        Ok(())
    }

    /// Ends a socket: its owner's next call fails (`ECONNABORTED`), a TCP peer gets a reset.
    /// False if it is not there any more; the cookie says that it is the one that was looked up.
    ///
    /// # Errors
    /// `EOPNOTSUPP` where the kernel has no `CONFIG_INET_DIAG_DESTROY`.
    pub fn destroy(&mut self, protocol: Protocol, sock: &Sock) -> Result<bool, Error> {
        // Not swapped for UDP here, unlike a look-up (net/ipv4/udp_diag.c). An IPv6 socket that is
        // bound to a mapped address and has no peer is looked up as IPv4 on both sides.
        let src = sock.local;
        let dst = if src.is_ipv4() && sock.remote.port() == 0 { UNSPECIFIED_V4 } else { sock.remote };
        let id = Id { src, dst, ifindex: sock.ifindex, cookie: sock.cookie };
        let seq = self.socket.next_seq();
        let datagram = message(SOCK_DESTROY, libc::NLM_F_REQUEST | libc::NLM_F_ACK, seq, protocol, u32::MAX, &id);
        match request(&mut self.socket, "destroy a socket", &datagram, seq, |_| {}) {
            Ok(_) => Ok(true),
            Err(Error::Refused { errno: libc::ENOENT, .. }) => Ok(false),
            Err(e) => Err(e),
        }
    }
}

impl AsFd for SockDiag {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// `struct inet_diag_sockid`.
struct Id {
    src: SocketAddr,
    dst: SocketAddr,
    ifindex: u32,
    cookie: u64,
}

/// A request: `struct inet_diag_req_v2` behind the header.
fn message(ty: u16, flags: i32, seq: u32, protocol: Protocol, states: u32, id: &Id) -> Vec<u8> {
    let (src, dst) = (id.src.ip().to_canonical(), id.dst.ip().to_canonical());
    let v4 = src.is_ipv4() && dst.is_ipv4();
    let family = if v4 { libc::AF_INET } else { libc::AF_INET6 } as u8;
    let sixteen = |a: IpAddr| match a {
        IpAddr::V4(a) if v4 => {
            let mut b = [0; 16];
            b[..4].copy_from_slice(&a.octets());
            b
        }
        IpAddr::V4(a) => a.to_ipv6_mapped().octets(),
        IpAddr::V6(a) => a.octets(),
    };
    let mut w = Writer::new();
    w.begin(ty, flags, seq)
        .raw(&[family, protocol as u8, 0, 0])
        .raw(&states.to_ne_bytes())
        .raw(&id.src.port().to_be_bytes())
        .raw(&id.dst.port().to_be_bytes())
        .raw(&sixteen(src))
        .raw(&sixteen(dst))
        .raw(&id.ifindex.to_ne_bytes())
        .raw(&(id.cookie as u32).to_ne_bytes())
        .raw(&((id.cookie >> 32) as u32).to_ne_bytes())
        .end();
    w.buf
}

/// Reads `struct inet_diag_msg` and the attributes behind it.
pub(crate) fn parse(m: Message<'_>) -> Option<Sock> {
    let b = m.body.first_chunk::<DIAG_MSG>()?;
    let word = |at: usize| u32::from_ne_bytes([b[at], b[at + 1], b[at + 2], b[at + 3]]);
    let port = |at: usize| u16::from_be_bytes([b[at], b[at + 1]]);
    let ipv6 = match i32::from(b[0]) {
        libc::AF_INET => false,
        libc::AF_INET6 => true,
        _ => return None,
    };
    let address = |at: usize| -> IpAddr {
        let mut sixteen = [0; 16];
        sixteen.copy_from_slice(&b[at..at + 16]);
        if ipv6 {
            IpAddr::from(sixteen).to_canonical()
        } else {
            IpAddr::from([sixteen[0], sixteen[1], sixteen[2], sixteen[3]])
        }
    };
    let attrs = m.attrs(DIAG_MSG);
    Some(Sock {
        inode: word(68),
        cookie: u64::from(word(44)) | u64::from(word(48)) << 32,
        uid: word(64),
        cgroup_id: attrs.find(INET_DIAG_CGROUP_ID).and_then(|a| a.ne64()),
        state: State::from(b[1]),
        local: SocketAddr::new(address(8), port(4)),
        remote: SocketAddr::new(address(24), port(6)),
        ifindex: word(40),
        ipv6,
        v6only: attrs.find(INET_DIAG_SKV6ONLY).and_then(|a| a.u8()).map(|v| v != 0),
    })
}
