//! Packets that wait for user space, and the answers to them.

use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};

use cnnf_core::net::Protocol;
use cnnf_netlink::Error;
use cnnf_netlink::nfqueue::{Decision, Queue, QueueSpec, Verdict, probe_glue_ct};
use cnnf_netlink::packet::Head;

use super::waiting::FirstPacket;

/// The hook of packets that this host sends (`NF_INET_LOCAL_OUT`).
pub(super) const LOCAL_OUT: u8 = 3;
/// Packets that wait at most, in all queues together: more would only wait behind these, and freeze their senders when their listener hangs.
pub const WAITING_MAX: u32 = 64;
/// Offset of an echo's id in an ICMP or ICMPv6 header (RFC 792, RFC 4443).
const ECHO_ID_AT: usize = 4;

/// What happens to a packet that waited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It goes through the table once more, which was told of it by [`Released`](super::Released).
    Repeat,
    /// It goes on; the late chain decides about what nobody knows.
    Accept,
    /// It is lost.
    Drop,
}

/// A packet that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitingPacket {
    /// Its name in the queue.
    pub id: u32,
    /// Whether it was sent here; else it came in.
    pub outgoing: bool,
    /// Source and destination as they are in the packet: by these its socket is found.
    pub packet: FirstPacket,
    /// The connection's original tuple, where the kernel tells it; else as in the packet. By this the table is told of it.
    pub original: FirstPacket,
    /// The interface that it came in by, 0 for none.
    pub ifindex: u32,
}

/// The listener of one queue.
#[derive(Debug)]
pub struct WaitingPackets {
    queue: Queue,
    otherwise: Verdict,
}

impl WaitingPackets {
    /// Listens to queue `number`, in which so many packets may wait. With `fail_open` a full queue lets packets go on, as it does those that cannot
    /// be read; without, they are lost.
    ///
    /// # Errors
    /// Somebody else listens, or no permission.
    pub fn open(number: u16, fail_open: bool, max_len: u32) -> Result<Self, Error> {
        let conntrack = probe_glue_ct().unwrap_or(false);
        let spec = QueueSpec { num: number, max_len, fail_open, conntrack, ..QueueSpec::default() };
        let otherwise = if fail_open { Verdict::Accept } else { Verdict::Drop };
        Ok(Self { queue: Queue::bind(&spec)?, otherwise })
    }

    /// The packets that wait now. One that is no packet of a connection is answered at once.
    ///
    /// # Errors
    /// The queue failed.
    pub fn read(&mut self) -> Result<Vec<WaitingPacket>, Error> {
        let mut waiting = Vec::new();
        let mut unreadable = Vec::new();
        self.queue.recv(WAITING_MAX as usize, |p| {
            let Some(packet) = first_packet(p.payload) else {
                unreadable.push(Decision::new(p.id, self.otherwise));
                return;
            };
            let original = p.flow.map_or(packet, |flow| FirstPacket {
                protocol: Protocol::from_number(flow.orig.proto),
                client: SocketAddr::new(flow.orig.src, flow.orig.src_port),
                server: SocketAddr::new(flow.orig.dst, flow.orig.dst_port),
            });
            waiting.push(WaitingPacket {
                id: p.id,
                outgoing: p.hook == LOCAL_OUT,
                packet,
                original,
                ifindex: p.in_ifindex,
            });
        })?;
        self.queue.decide(&unreadable)?;
        Ok(waiting)
    }

    /// Answers these packets at once, in the order in which they were read. None that was read before them may wait still.
    ///
    /// # Errors
    /// The queue failed.
    pub fn answer(&mut self, answers: &[(u32, Answer)]) -> Result<(), Error> {
        let [.., (last, answer)] = answers else { return Ok(()) };
        if answers.iter().all(|(_, other)| other == answer) {
            return self.queue.decide_up_to(*last, answer.verdict());
        }
        let decisions: Vec<_> = answers.iter().map(|(id, answer)| Decision::new(*id, answer.verdict())).collect();
        self.queue.decide(&decisions)
    }
}

impl Answer {
    fn verdict(self) -> Verdict {
        match self {
            Self::Repeat => Verdict::Repeat,
            Self::Accept => Verdict::Accept,
            Self::Drop => Verdict::Drop,
        }
    }
}

impl AsFd for WaitingPackets {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.queue.as_fd()
    }
}

/// Reads a packet's head: source as client, destination as server. `None` for what has no ports where it should.
pub(super) fn first_packet(payload: &[u8]) -> Option<FirstPacket> {
    let head = Head::parse(payload)?;
    let protocol = Protocol::from_number(head.proto);
    let (client_port, server_port) = match (protocol, head.icmp) {
        (Protocol::Icmp, Some((kind, code))) => (echo_id(payload).unwrap_or(0), u16::from_be_bytes([kind, code])),
        (protocol, _) if protocol.has_ports() => head.ports?,
        _ => (0, 0),
    };
    Some(FirstPacket {
        protocol,
        client: SocketAddr::new(head.src, client_port),
        server: SocketAddr::new(head.dst, server_port),
    })
}

/// The echo's id in an ICMP packet without extension headers.
fn echo_id(payload: &[u8]) -> Option<u16> {
    let header = if payload.first()? >> 4 == 4 { usize::from(payload.first()? & 15) * 4 } else { 40 };
    let id = payload.get(header + ECHO_ID_AT..)?.first_chunk()?;
    Some(u16::from_be_bytes(*id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_become_first_packets() {
        let mut ping = vec![0x45, 0, 0, 28, 0, 0, 0, 0, 64, 1, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
        ping.extend([8, 0, 0, 0, 0x12, 0x34, 0, 1]);
        let packet = first_packet(&ping).expect("a ping");
        assert_eq!((packet.protocol, packet.client.port(), packet.server.port()), (Protocol::Icmp, 0x1234, 0x800));
        ping[9] = 17;
        assert_eq!(first_packet(&ping).map(|p| (p.client.port(), p.server.port())), Some((0x800, 0)));
        assert_eq!(first_packet(&ping[..20]), None, "UDP without ports is no packet to ask for");
        assert_eq!(first_packet(b"xyz"), None);
    }
}
