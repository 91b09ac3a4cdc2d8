//! UDP connections whose socket ended: conntrack keeps them for a while, labelled with the socket's service, and whoever takes the port next
//! would be called by that name, and judged by it. So they are deleted, and the next packet begins a connection of its own. One that a client
//! sent and nobody answered yet stays, as the answer would begin a connection from the server; but it forgets who the client was, so that
//! the next packet from its port is stamped anew.
//!
//! TCP needs none of this: a new handshake is a new connection.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use cnnf_core::ruleset::{Flags, Slot};
use cnnf_netlink::conntrack::{Conntrack, Flow, Tuple, status};
use cnnf_netlink::sock_diag::{self, ClosedUdp, Sock, SockDiag};

const UDP: u8 = 17;
/// How long it rests after a list for each connection in it: listing one takes about 2 µs, so lists take a tenth of the time at most.
const REST: Duration = Duration::from_micros(20);
/// How long after the last list there is one more: a first packet that waited in a queue while its socket ended is stamped after that. And how
/// often connections that forgot their client are looked at, as the answer may have come.
const ONCE_MORE: Duration = Duration::from_secs(1);
/// Connections that forgot their client and are looked at, at most.
const FORGOTTEN_MAX: usize = 16_384;
/// What is forgotten with a client.
const OF_CLIENT: u32 = Flags::MIDSTREAM | Flags::ALERTED_OUT | Flags::PREVENTED_OUT | Flags::COUNTED_OUT;

/// Deletes them.
#[derive(Debug)]
pub struct EndedSockets {
    closed: ClosedUdp,
    conntrack: Conntrack,
    diag: SockDiag,
    /// Local ends of sockets without a peer, whose connections only a list of all tells.
    ports: BTreeSet<SocketAddr>,
    /// When connections were listed last; never before the first list, which finds what ended while nobody looked.
    listed: Option<Instant>,
    /// Whether there is to be one more list.
    once_more: bool,
    /// How many connections the last one had.
    entries: u32,
    /// Connections that forgot their client, by conntrack's id.
    forgotten: HashMap<u32, Tuple>,
    looked: Instant,
}

impl EndedSockets {
    /// Begins to listen, in the network namespace of the calling thread.
    ///
    /// # Errors
    /// No netlink socket, or a kernel that does not tell of ended sockets.
    pub fn open() -> Result<Self, cnnf_netlink::Error> {
        Ok(Self {
            closed: ClosedUdp::open()?,
            conntrack: Conntrack::open()?,
            diag: SockDiag::open()?,
            ports: BTreeSet::new(),
            listed: None,
            once_more: false,
            entries: 0,
            forgotten: HashMap::new(),
            looked: Instant::now(),
        })
    }

    /// Deletes the connections of sockets that ended since the last time; says how many. Some may be put off, see [`EndedSockets::due_in`].
    ///
    /// # Errors
    /// The kernel's words.
    pub fn handle(&mut self) -> Result<usize, cnnf_netlink::Error> {
        let mut deleted = 0;
        for Sock { local, remote, .. } in self.closed.read()? {
            if local.port() == 0 {
                continue;
            }
            if remote.port() == 0 {
                self.ports.insert(local);
            } else {
                deleted += self.between(local, remote)?;
            }
        }
        if self.list_in() == Some(Duration::ZERO) {
            deleted += self.by_list()?;
        }
        if self.look_in() == Some(Duration::ZERO) {
            deleted += self.answered()?;
        }
        Ok(deleted)
    }

    /// When something that was put off is due; `None` if nothing was.
    #[must_use]
    pub fn due_in(&self) -> Option<Duration> {
        self.list_in().into_iter().chain(self.look_in()).min()
    }

    fn list_in(&self) -> Option<Duration> {
        let Some(listed) = self.listed else { return Some(Duration::ZERO) };
        let rest = REST * self.entries;
        let after = if self.ports.is_empty() { rest.max(ONCE_MORE) } else { rest };
        (self.once_more || !self.ports.is_empty()).then(|| after.saturating_sub(listed.elapsed()))
    }

    fn look_in(&self) -> Option<Duration> {
        (!self.forgotten.is_empty()).then(|| ONCE_MORE.saturating_sub(self.looked.elapsed()))
    }

    /// Those of a connected socket.
    fn between(&mut self, local: SocketAddr, remote: SocketAddr) -> Result<usize, cnnf_netlink::Error> {
        let tuple = |from: SocketAddr, to: SocketAddr| Tuple {
            src: from.ip().to_canonical(),
            dst: to.ip().to_canonical(),
            proto: UDP,
            src_port: from.port(),
            dst_port: to.port(),
        };
        let mut deleted = 0;
        for (tuple, as_client) in [(tuple(local, remote), true), (tuple(remote, local), false)] {
            // the kernel finds an entry by its reply tuple too
            if let Some(flow) = self.conntrack.get(&tuple, 0)?
                && flow.orig == tuple
            {
                deleted += usize::from(self.end(&flow, as_client)?);
            }
        }
        Ok(deleted)
    }

    /// Those of sockets that had no peer, and unanswered ones of clients that are gone, however they escaped.
    fn by_list(&mut self) -> Result<usize, cnnf_netlink::Error> {
        let ports = std::mem::take(&mut self.ports);
        let first = self.listed.is_none();
        let had = |address, port| {
            let at = |ip| ports.contains(&SocketAddr::new(ip, port));
            at(address) || at([0; 4].into()) || at([0; 16].into())
        };
        let (mut over, mut asked) = (Vec::new(), Vec::new());
        let mut entries = 0;
        self.conntrack.dump(|flow| {
            entries += 1;
            if flow.orig.proto != UDP {
                return;
            }
            if had(flow.reply.src, flow.reply.src_port) {
                over.push((flow, false));
            } else if had(flow.orig.src, flow.orig.src_port) && is_answered(&flow) {
                over.push((flow, true));
            } else if is_stamped(flow.labels[0]) && (first || !is_answered(&flow)) {
                asked.push((flow, true));
            } else if is_stamped(flow.labels[1]) && first {
                asked.push((flow, false));
            }
        })?;
        let mut deleted = 0;
        for (flow, as_client) in over {
            deleted += usize::from(self.end(&flow, as_client)?);
        }
        for (flow, as_client) in asked {
            if self.is_gone(&flow, as_client)? {
                deleted += usize::from(self.end(&flow, as_client)?);
            }
        }
        self.once_more = first || !ports.is_empty();
        (self.listed, self.entries) = (Some(Instant::now()), entries);
        Ok(deleted)
    }

    /// Those that forgot their client and were answered since.
    fn answered(&mut self) -> Result<usize, cnnf_netlink::Error> {
        let mut deleted = 0;
        for (id, tuple) in std::mem::take(&mut self.forgotten) {
            match self.conntrack.get(&tuple, 0)?.filter(|flow| flow.id == Some(id) && flow.orig == tuple) {
                // another client has its port
                Some(flow) if flow.labels[0] != 0 => {}
                Some(flow) if is_answered(&flow) => {
                    deleted += usize::from(self.conntrack.delete(&flow.orig, flow.zone, flow.id)?);
                }
                Some(_) => drop(self.forgotten.insert(id, tuple)),
                None => {}
            }
        }
        self.looked = Instant::now();
        Ok(deleted)
    }

    /// Ends a connection whose client or server is gone: deletes it, or has it forget a client that was not answered. True if it was deleted.
    fn end(&mut self, flow: &Flow, as_client: bool) -> Result<bool, cnnf_netlink::Error> {
        if !as_client || is_answered(flow) {
            return self.conntrack.delete(&flow.orig, flow.zone, flow.id);
        }
        if flow.labels[0] != 0
            // marked as looked at, or it would be taken for one that is older than the table
            && self.conntrack.set_labels(
                &flow.orig,
                flow.zone,
                [0, 0, Flags::RESOLVED, 0],
                [u32::MAX, 0, OF_CLIENT | Flags::RESOLVED, 0],
            )?
            && let Some(id) = flow.id
            && self.forgotten.len() < FORGOTTEN_MAX
        {
            self.forgotten.insert(id, flow.orig);
        }
        Ok(false)
    }

    /// Whether no socket has the client's (or the server's) end.
    fn is_gone(&mut self, flow: &Flow, as_client: bool) -> Result<bool, cnnf_netlink::Error> {
        let client = SocketAddr::new(flow.orig.src, flow.orig.src_port);
        let server = SocketAddr::new(flow.reply.src, flow.reply.src_port);
        let (local, remote) = if as_client { (client, server) } else { (server, client) };
        // of these a look-up would need the device
        let needs_device = |ip: IpAddr| matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
        if needs_device(local.ip()) || needs_device(remote.ip()) || remote.ip().is_multicast() {
            return Ok(false);
        }
        Ok(self.diag.find(sock_diag::Protocol::Udp, local, remote, 0)?.is_none())
    }
}

fn is_answered(flow: &Flow) -> bool {
    flow.status.is_some_and(|s| s & status::SEEN_REPLY != 0)
}

/// Whether a process had this end.
fn is_stamped(word: u32) -> bool {
    word != 0 && word != Slot::KERNEL.word()
}

impl AsFd for EndedSockets {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.closed.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::process::Command;

    use cnnf_netlink::wait_readable;

    use super::*;
    use crate::testbed::in_namespace;

    /// Connections from `client` to the server's port, as conntrack has them.
    fn listed(client: u16, server: u16) -> usize {
        let mut n = 0;
        let is = |f: &Flow| f.orig.proto == UDP && (f.orig.src_port, f.reply.src_port) == (client, server);
        Conntrack::open().expect("open").dump(|flow| n += usize::from(is(&flow))).expect("dump");
        n
    }

    fn until_deleted(ended: &mut EndedSockets) -> usize {
        let began = Instant::now();
        let mut deleted = 0;
        while deleted == 0 && began.elapsed() < Duration::from_secs(5) {
            let _ = wait_readable(&*ended, Duration::from_millis(50));
            deleted = ended.handle().expect("handled");
        }
        deleted
    }

    #[test]
    fn root_a_port_that_was_given_up_has_no_connections() {
        in_namespace(|| {
            let script = "add table inet t; add chain inet t o { type filter hook output priority 0; }; add rule inet t o ct state new";
            assert!(Command::new("nft").arg(script).status().expect("nft").success());
            let mut ended = EndedSockets::open().expect("open");
            let server = UdpSocket::bind("0.0.0.0:5000").expect("bind");
            let client = UdpSocket::bind("127.0.0.1:40000").expect("bind");
            client.send_to(b"x", "127.0.0.1:5000").expect("send");
            assert_eq!((listed(40_000, 5000), ended.handle().expect("handled")), (1, 0));
            drop(server);
            assert_eq!((until_deleted(&mut ended), listed(40_000, 5000)), (1, 0), "a server's");

            let server = UdpSocket::bind("[::]:5001").expect("bind");
            client.connect("127.0.0.1:5001").expect("connect");
            client.send(b"x").expect("send");
            let (_, from) = server.recv_from(&mut [0; 8]).expect("receive");
            let other = UdpSocket::bind("127.0.0.1:40001").expect("bind");
            other.connect("127.0.0.1:5001").expect("connect");
            other.send(b"x").expect("send");
            server.send_to(b"y", from).expect("answer");
            drop(client);
            assert_eq!((until_deleted(&mut ended), listed(40_000, 5001)), (1, 0), "a connected client's");
            drop(other);
            std::thread::sleep(Duration::from_millis(100));
            assert_eq!(
                (ended.handle().expect("handled"), listed(40_001, 5001)),
                (0, 1),
                "its answer may be on its way"
            );
        });
    }

    /// The client's word of the only connection.
    fn word() -> u32 {
        let mut words = Vec::new();
        Conntrack::open().expect("open").dump(|flow| words.push(flow.labels[0])).expect("dump");
        assert_eq!(words.len(), 1);
        words[0]
    }

    #[test]
    fn root_who_takes_the_port_of_a_client_that_was_not_answered_is_stamped_anew() {
        in_namespace(|| {
            let nft = |script: &str| assert!(Command::new("nft").arg(script).status().expect("nft").success());
            nft("add table inet t; add chain inet t o { type filter hook output priority 0; }");
            nft("add rule inet t o udp dport 5000 ct state new ct label set 3");
            let mut ended = EndedSockets::open().expect("open");
            ended.handle().expect("handled");
            let server = UdpSocket::bind("127.0.0.1:5000").expect("bind");
            for (connected, socket_is_told_of) in [(false, true), (true, true), (false, false)] {
                let client = UdpSocket::bind("127.0.0.1:40000").expect("bind");
                if connected {
                    client.connect("127.0.0.1:5000").expect("connect");
                    client.send(b"x").expect("send");
                } else {
                    client.send_to(b"x", "127.0.0.1:5000").expect("send");
                }
                assert_eq!(word(), 8);
                drop(client);
                if !socket_is_told_of {
                    // as after a restart
                    ended = EndedSockets::open().expect("open");
                }
                let began = Instant::now();
                while word() != 0 {
                    assert!(began.elapsed() < Duration::from_secs(5), "it keeps its client");
                    let _ = wait_readable(&ended, Duration::from_millis(50));
                    ended.handle().expect("handled");
                }
            }
            // somebody who lives and was not answered is not forgotten
            let client = UdpSocket::bind("127.0.0.1:40000").expect("bind");
            client.send_to(b"x", "127.0.0.1:5000").expect("send");
            assert_eq!(word(), 8);
            ended = EndedSockets::open().expect("open");
            ended.handle().expect("handled");
            assert_eq!(word(), 8);
            drop(client);
            while word() != 0 {
                let _ = wait_readable(&ended, Duration::from_millis(50));
                ended.handle().expect("handled");
            }
            // the answer comes late: who takes the port after it begins anew
            server.send_to(b"y", "127.0.0.1:40000").expect("answer");
            assert_eq!(until_deleted(&mut ended), 1);
        });
    }
}
