//! Packets that wait for a verdict (`linux/netfilter/nfnetlink_queue.h`).
//!
//! ```no_run
//! use cnnf_netlink::nfqueue::*;
//!
//! # fn main() -> Result<(), cnnf_netlink::Error> {
//! let mut queue = Queue::bind(&QueueSpec { num: 0, ..QueueSpec::default() })?;
//! let mut decisions = Vec::new();
//! while cnnf_netlink::wait_readable(&queue, std::time::Duration::from_secs(1)).unwrap_or(false) {
//!     queue.recv(64, |packet| decisions.push(Decision::new(packet.id, Verdict::Accept)))?;
//!     queue.decide(&decisions)?; // one datagram for all of them
//!     decisions.clear();
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Packets that wait die with the socket. A queue has one listener; a second gets `EBUSY` or
//! `EPERM`. With [`QueueSpec::fail_open`] a full queue accepts, but a listener that hangs freezes
//! its senders: waiting packets are charged to them. Keep [`QueueSpec::max_len`] at 64 or less.
//! Kernels since 3.8 need no binding of a protocol family (`NFQNL_CFG_CMD_PF_BIND`).

mod packet;
mod stats;
#[cfg(test)]
mod tests;

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use crate::attr::Writer;
use crate::conntrack::{CTA_LABELS, CTA_LABELS_MASK, Labels, label_bytes};
use crate::error::Error;
use crate::message::Messages;
use crate::socket::{Buffer, Port, Socket, request, size_buffer};

pub use packet::Packet;
pub use stats::{QueueStats, STATS_PATH, parse_stats};

const NFQNL_MSG_PACKET: u16 = 0;
const NFQNL_MSG_VERDICT: u16 = 1;
const NFQNL_MSG_CONFIG: u16 = 2;
const NFQNL_MSG_VERDICT_BATCH: u16 = 3;
const NFQNL_CFG_CMD_BIND: u8 = 1;
const NFQNL_COPY_PACKET: u8 = 2;
const NF_REPEAT: u32 = 4;
const NF_QUEUE: u32 = 3;

const fn message_type(message: u16) -> u16 {
    (libc::NFNL_SUBSYS_QUEUE as u16) << 8 | message
}

/// How to listen to a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueSpec {
    /// The queue's number.
    pub num: u16,
    /// Bytes of each packet that are copied.
    pub snaplen: u32,
    /// Packets that may wait.
    pub max_len: u32,
    /// Accept what does not fit into the queue or its socket, instead of dropping it.
    pub fail_open: bool,
    /// Deliver the packet's flow, and take labels in verdicts ([`probe_glue_ct`]).
    pub conntrack: bool,
    /// Deliver the sending socket's user and group.
    pub uid_gid: bool,
    /// Receive buffer in bytes (the kernel doubles it).
    pub room: usize,
}

impl Default for QueueSpec {
    fn default() -> Self {
        Self { num: 0, snaplen: 256, max_len: 64, fail_open: false, conntrack: false, uid_gid: true, room: 4 << 20 }
    }
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Goes on behind the chain that queued it.
    Accept,
    /// Dropped.
    Drop,
    /// Through that hook's chains again, from the first.
    Repeat,
    /// Waits in another queue.
    Queue(u16),
}

impl Verdict {
    fn code(self) -> u32 {
        match self {
            Self::Drop => libc::NF_DROP as u32,
            Self::Accept => libc::NF_ACCEPT as u32,
            Self::Queue(num) => NF_QUEUE | u32::from(num) << 16,
            Self::Repeat => NF_REPEAT,
        }
    }
}

/// A verdict on a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// [`Packet::id`].
    pub id: u32,
    /// The verdict.
    pub verdict: Verdict,
    /// Labels for its flow, where the kernel takes them ([`probe_glue_ct`]).
    pub labels: Option<Labels>,
}

impl Decision {
    /// A verdict without labels.
    pub fn new(id: u32, verdict: Verdict) -> Self {
        Self { id, verdict, labels: None }
    }
}

/// What [`Queue::recv`] brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// Packets that were handed over.
    pub packets: usize,
    /// Earlier verdicts that the kernel refused: of packets that it did not hold any more.
    pub refused: usize,
    /// Packets were lost because the receive buffer was full (`ENOBUFS`).
    pub overrun: bool,
}

/// The listener of a queue. Needs `CAP_NET_ADMIN`.
#[derive(Debug)]
pub struct Queue {
    socket: Socket,
    num: u16,
}

impl Queue {
    /// Listens to a queue.
    ///
    /// # Errors
    /// `EBUSY` or `EPERM` if it has a listener; `EOPNOTSUPP` for a flag the kernel lacks.
    pub fn bind(spec: &QueueSpec) -> Result<Self, Error> {
        let mut socket = Socket::open(libc::NETLINK_NETFILTER)?;
        size_buffer(socket.as_fd().as_raw_fd(), Buffer::Receive, spec.room)
            .map_err(Error::system("size the queue's buffer"))?;
        // A packet is only looked at: no need to segment it first.
        let mut flags = libc::NFQA_CFG_F_GSO;
        for (wanted, flag) in [
            (spec.fail_open, libc::NFQA_CFG_F_FAIL_OPEN),
            (spec.conntrack, libc::NFQA_CFG_F_CONNTRACK),
            (spec.uid_gid, libc::NFQA_CFG_F_UID_GID),
        ] {
            flags |= if wanted { flag } else { 0 };
        }
        let seq = socket.next_seq();
        let mut w = Writer::new();
        w.begin(message_type(NFQNL_MSG_CONFIG), libc::NLM_F_REQUEST | libc::NLM_F_ACK, seq)
            .nfgen(libc::AF_UNSPEC as u8, spec.num)
            // struct nfqnl_msg_config_cmd: command, padding, family.
            .attr(libc::NFQA_CFG_CMD, &[NFQNL_CFG_CMD_BIND, 0, 0, 0])
            // struct nfqnl_msg_config_params: range, mode.
            .attr(libc::NFQA_CFG_PARAMS, &[spec.snaplen.to_be_bytes().as_slice(), &[NFQNL_COPY_PACKET]].concat())
            .be32(libc::NFQA_CFG_QUEUE_MAXLEN, spec.max_len)
            .be32(libc::NFQA_CFG_MASK, flags as u32)
            .be32(libc::NFQA_CFG_FLAGS, flags as u32)
            .end();
        request(&mut socket, "listen to a packet queue", &w.buf, seq, |_| {})?;
        Ok(Self { socket, num: spec.num })
    }

    /// The queue's number.
    pub fn num(&self) -> u16 {
        self.num
    }

    /// Hands over the packets that are there, at most about `max`; does not wait. With fewer than
    /// `max`, nothing is left to read: an event loop may then wait for the descriptor.
    ///
    /// # Errors
    /// Those of recv(2), but not "would block" and not `ENOBUFS`.
    pub fn recv(&mut self, max: usize, mut each: impl FnMut(Packet<'_>)) -> Result<Received, Error> {
        let mut received = Received::default();
        while received.packets < max {
            let datagram = match self.socket.recv() {
                Ok(datagram) => datagram,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) if e.raw_os_error() == Some(libc::ENOBUFS) => {
                    received.overrun = true;
                    continue;
                }
                Err(source) => return Err(Error::System { what: "receive queued packets", source }),
            };
            for m in Messages(datagram) {
                if m.ty == message_type(NFQNL_MSG_PACKET) {
                    if let Some(packet) = Packet::parse(m) {
                        received.packets += 1;
                        each(packet);
                    }
                } else if m.answer().is_some_and(|a| a.errno != 0) {
                    received.refused += 1;
                }
            }
        }
        Ok(received)
    }

    /// Gives verdicts, all in one datagram. A packet that is gone is told by the next
    /// [`recv`](Self::recv).
    ///
    /// # Errors
    /// Those of send(2).
    pub fn decide(&mut self, decisions: &[Decision]) -> Result<(), Error> {
        // Far below the usual send buffer of 208 KiB.
        for some in decisions.chunks(512) {
            let mut w = Writer::new();
            for d in some {
                let seq = self.socket.next_seq();
                w.begin(message_type(NFQNL_MSG_VERDICT), libc::NLM_F_REQUEST, seq)
                    .nfgen(libc::AF_UNSPEC as u8, self.num);
                let header = [d.verdict.code().to_be_bytes(), d.id.to_be_bytes()].concat();
                w.attr(libc::NFQA_VERDICT_HDR, &header);
                if let Some(labels) = d.labels {
                    w.nest(libc::NFQA_CT, |w| {
                        w.attr(CTA_LABELS, &label_bytes(labels)).attr(CTA_LABELS_MASK, &label_bytes(labels));
                    });
                }
                w.end();
            }
            self.socket.send(&w.buf).map_err(Error::system("give verdicts"))?;
        }
        Ok(())
    }
}

impl Queue {
    /// Gives one verdict on every packet that waits with this id or an earlier one, in one message; ids count up in the order in which packets come.
    ///
    /// # Errors
    /// Those of send(2). Where nothing waits the next [`recv`](Self::recv) tells of a refusal.
    pub fn decide_up_to(&mut self, id: u32, verdict: Verdict) -> Result<(), Error> {
        let seq = self.socket.next_seq();
        let mut w = Writer::new();
        w.begin(message_type(NFQNL_MSG_VERDICT_BATCH), libc::NLM_F_REQUEST, seq)
            .nfgen(libc::AF_UNSPEC as u8, self.num)
            .attr(libc::NFQA_VERDICT_HDR, &[verdict.code().to_be_bytes(), id.to_be_bytes()].concat())
            .end();
        self.socket.send(&w.buf).map_err(Error::system("give verdicts"))
    }
}

impl AsFd for Queue {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for Queue {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

/// Whether a verdict can label its packet's flow (`NETFILTER_NETLINK_GLUE_CT`): listens for a
/// moment to a queue that nobody uses.
///
/// # Errors
/// [`Error`], where nothing can be said.
pub fn probe_glue_ct() -> Result<bool, Error> {
    let mut last = Error::Incomplete { what: "probe for conntrack in queues" };
    // High numbers, from where nobody counts; a few, should one of them be taken.
    for num in [0xfe3d, 0xfd5b, 0xfc71] {
        match Queue::bind(&QueueSpec { num, conntrack: true, room: 64 << 10, ..QueueSpec::default() }) {
            Ok(_) => return Ok(true),
            Err(e) if e.errno() == Some(libc::EOPNOTSUPP) => return Ok(false),
            Err(e) => last = e,
        }
    }
    Err(last)
}
