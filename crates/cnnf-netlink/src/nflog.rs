//! Copies of packets from the `log` expression (`linux/netfilter/nfnetlink_log.h`).
//!
//! ```no_run
//! use cnnf_netlink::nflog::*;
//!
//! # fn main() -> Result<(), cnnf_netlink::Error> {
//! let mut log = Log::bind(&LogSpec { group: 7, ..LogSpec::default() })?;
//! while cnnf_netlink::wait_readable(&log, std::time::Duration::from_secs(1)).unwrap_or(false) {
//!     let received = log.recv(|copy| println!("{} {:?}", copy.prefix, copy.payload))?;
//!     if received == Received::Overrun {
//!         eprintln!("copies were lost");
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! A copy never holds its packet: what nobody reads in time is lost.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use crate::attr::{Attr, Writer};
use crate::error::Error;
use crate::message::{Message, Messages, NFGEN};
use crate::socket::{Buffer, Port, Socket, request, size_buffer};

const NFULNL_MSG_PACKET: u16 = 0;
const NFULNL_MSG_CONFIG: u16 = 1;
const NFULNL_CFG_CMD_BIND: u8 = 1;
const NFULNL_COPY_PACKET: u8 = 2;
/// `NFULNL_CFG_F_SEQ`: the listener's copies are numbered.
const NFULNL_CFG_F_SEQ: u16 = 1;

const fn message_type(message: u16) -> u16 {
    (libc::NFNL_SUBSYS_ULOG as u16) << 8 | message
}

/// How to listen to a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogSpec {
    /// The group's number.
    pub group: u16,
    /// Bytes of each packet that are copied.
    pub snaplen: u32,
    /// Copies that the kernel collects before it sends them; 1 sends each at once.
    pub qthreshold: u32,
    /// How long it collects at most, in hundredths of a second.
    pub flush_centiseconds: u32,
    /// Receive buffer in bytes (the kernel doubles it). A copy takes a page and more of it, however small the packet.
    pub room: usize,
}

impl Default for LogSpec {
    fn default() -> Self {
        Self { group: 0, snaplen: 256, qthreshold: 1, flush_centiseconds: 1, room: 32 << 20 }
    }
}

/// A copy of a packet. What the kernel does not say is `None` or 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logged<'a> {
    /// What the rule's `log prefix` says.
    pub prefix: String,
    /// Protocol family: 2 IPv4, 10 IPv6.
    pub family: u8,
    /// EtherType.
    pub hw_proto: u16,
    /// Hook number: 1 input, 2 forward, 3 output.
    pub hook: u8,
    /// From its IP header on, cut off at the snap length.
    pub payload: &'a [u8],
    /// Its mark.
    pub mark: u32,
    /// Index of the input interface; 0 without one.
    pub in_ifindex: u32,
    /// Index of the output interface; 0 without one.
    pub out_ifindex: u32,
    /// User of the sending socket.
    pub uid: Option<u32>,
    /// Group of the sending socket.
    pub gid: Option<u32>,
    /// Counts the group's copies, those that were lost too.
    pub seq: Option<u32>,
}

impl<'a> Logged<'a> {
    pub(crate) fn parse(m: Message<'a>) -> Option<Self> {
        if m.ty != message_type(NFULNL_MSG_PACKET) {
            return None;
        }
        let attrs = m.attrs(NFGEN);
        let number = |ty| attrs.find(ty).and_then(|a: Attr<'_>| a.be32());
        // struct nfulnl_msg_packet_hdr: hw_protocol, hook, padding.
        let [p0, p1, hook] = attrs.find(libc::NFULA_PACKET_HDR)?.array::<3>()?;
        Some(Self {
            prefix: attrs.find(libc::NFULA_PREFIX).map(|a| a.text()).unwrap_or_default(),
            family: m.family(),
            hw_proto: u16::from_be_bytes([p0, p1]),
            hook,
            payload: attrs.find(libc::NFULA_PAYLOAD).map(|a| a.bytes).unwrap_or_default(),
            mark: number(libc::NFULA_MARK).unwrap_or(0),
            in_ifindex: number(libc::NFULA_IFINDEX_INDEV).unwrap_or(0),
            out_ifindex: number(libc::NFULA_IFINDEX_OUTDEV).unwrap_or(0),
            uid: number(libc::NFULA_UID),
            gid: number(libc::NFULA_GID),
            seq: number(libc::NFULA_SEQ),
        })
    }
}

/// What [`Log::recv`] brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// This many copies were handed over.
    Copies(usize),
    /// Nothing is there to read now.
    Nothing,
    /// Copies were lost because the receive buffer was full (`ENOBUFS`).
    Overrun,
}

/// The listener of a group. Needs `CAP_NET_ADMIN`.
#[derive(Debug)]
pub struct Log {
    socket: Socket,
}

impl Log {
    /// Listens to a group.
    ///
    /// # Errors
    /// `EBUSY` or `EPERM` if it has a listener.
    pub fn bind(spec: &LogSpec) -> Result<Self, Error> {
        let mut socket = Socket::open(libc::NETLINK_NETFILTER)?;
        size_buffer(socket.as_fd().as_raw_fd(), Buffer::Receive, spec.room)
            .map_err(Error::system("size the log's buffer"))?;
        let seq = socket.next_seq();
        let mut w = Writer::new();
        w.begin(message_type(NFULNL_MSG_CONFIG), libc::NLM_F_REQUEST | libc::NLM_F_ACK, seq)
            .nfgen(libc::AF_UNSPEC as u8, spec.group)
            .attr(libc::NFULA_CFG_CMD, &[NFULNL_CFG_CMD_BIND])
            // struct nfulnl_msg_config_mode: range, mode, padding.
            .attr(libc::NFULA_CFG_MODE, &[spec.snaplen.to_be_bytes().as_slice(), &[NFULNL_COPY_PACKET, 0]].concat())
            .be32(libc::NFULA_CFG_TIMEOUT, spec.flush_centiseconds)
            .be32(libc::NFULA_CFG_QTHRESH, spec.qthreshold)
            .attr(libc::NFULA_CFG_FLAGS, &NFULNL_CFG_F_SEQ.to_be_bytes())
            .end();
        request(&mut socket, "listen to a log group", &w.buf, seq, |_| {})?;
        Ok(Self { socket })
    }

    /// Reads one datagram and hands its copies over; does not wait.
    ///
    /// # Errors
    /// Those of recv(2), but not "would block" and not `ENOBUFS`.
    pub fn recv(&mut self, mut each: impl FnMut(Logged<'_>)) -> Result<Received, Error> {
        let datagram = match self.socket.recv() {
            Ok(datagram) => datagram,
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                return Ok(Received::Nothing);
            }
            Err(e) if e.raw_os_error() == Some(libc::ENOBUFS) => return Ok(Received::Overrun),
            Err(source) => return Err(Error::System { what: "receive logged packets", source }),
        };
        let mut n = 0;
        for copy in Messages(datagram).filter_map(Logged::parse) {
            n += 1;
            each(copy);
        }
        Ok(Received::Copies(n))
    }
}

impl AsFd for Log {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for Log {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn a_copy() -> Vec<u8> {
        let mut w = Writer::new();
        w.begin(message_type(NFULNL_MSG_PACKET), 0, 0).nfgen(10, 7);
        w.attr(libc::NFULA_PACKET_HDR, &[0x86, 0xdd, 1, 0]).strz(libc::NFULA_PREFIX, "alert 12");
        w.be32(libc::NFULA_IFINDEX_INDEV, 3).be32(libc::NFULA_UID, 33).attr(libc::NFULA_PAYLOAD, &[0x60]);
        w.end();
        w.buf
    }

    #[test]
    fn a_copy_is_read() {
        let bytes = a_copy();
        let copy = Logged::parse(Messages(&bytes).next().unwrap()).unwrap();
        assert_eq!((copy.prefix.as_str(), copy.family, copy.hw_proto, copy.hook), ("alert 12", 10, 0x86dd, 1));
        assert_eq!((copy.in_ifindex, copy.uid, copy.gid, copy.payload), (3, Some(33), None, &[0x60][..]));
    }

    proptest! {
        #[test]
        fn mutated_copies_never_panic(at in 0_usize..80, byte: u8, cut in 0_usize..90) {
            let mut bytes = a_copy();
            if let Some(b) = bytes.get_mut(at) {
                *b = byte;
            }
            bytes.truncate(cut);
            for m in Messages(&bytes) {
                let _ = Logged::parse(m);
            }
        }
    }
}
