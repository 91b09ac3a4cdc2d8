//! UDP connections whose socket ended: conntrack keeps them for a while, labelled with the socket's service, and whoever takes the port next
//! would be called by that name. So they are deleted, and the next packet begins a connection of its own.
//!
//! TCP needs none of this: a new handshake is a new connection.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use cnnf_netlink::conntrack::{Conntrack, Flow, Tuple, status};
use cnnf_netlink::sock_diag::{ClosedUdp, Sock};

const UDP: u8 = 17;
/// How long it rests after a list for each connection in it: listing one takes about 2 µs, so lists take a tenth of the time at most.
const REST: Duration = Duration::from_micros(20);

/// Deletes them.
#[derive(Debug)]
pub struct EndedSockets {
    closed: ClosedUdp,
    conntrack: Conntrack,
    /// Local ends of sockets without a peer, whose connections only a list of all tells.
    ports: BTreeSet<SocketAddr>,
    listed: Instant,
    /// How many connections that list had.
    entries: u32,
}

impl EndedSockets {
    /// Begins to listen, in the network namespace of the calling thread.
    ///
    /// # Errors
    /// No netlink socket, or a kernel that does not tell of ended sockets.
    pub fn open() -> Result<Self, cnnf_netlink::Error> {
        let (closed, conntrack) = (ClosedUdp::open()?, Conntrack::open()?);
        Ok(Self { closed, conntrack, ports: BTreeSet::new(), listed: Instant::now(), entries: 0 })
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
        if self.due_in() == Some(Duration::ZERO) {
            deleted += self.by_list()?;
        }
        Ok(deleted)
    }

    /// When a list of all connections that was put off is due; `None` if there is none.
    #[must_use]
    pub fn due_in(&self) -> Option<Duration> {
        (!self.ports.is_empty()).then(|| (REST * self.entries).saturating_sub(self.listed.elapsed()))
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
                && is_over(&flow, as_client)
            {
                deleted += usize::from(self.conntrack.delete(&flow.orig, flow.zone, flow.id)?);
            }
        }
        Ok(deleted)
    }

    /// Those of sockets that had no peer.
    fn by_list(&mut self) -> Result<usize, cnnf_netlink::Error> {
        let ports = std::mem::take(&mut self.ports);
        let had = |address, port| {
            let at = |ip| ports.contains(&SocketAddr::new(ip, port));
            at(address) || at([0; 4].into()) || at([0; 16].into())
        };
        let mut over = Vec::new();
        let mut entries = 0;
        self.conntrack.dump(|flow| {
            entries += 1;
            let is_udp = flow.orig.proto == UDP;
            let client = had(flow.orig.src, flow.orig.src_port) && is_over(&flow, true);
            let server = had(flow.reply.src, flow.reply.src_port) && is_over(&flow, false);
            if is_udp && (client || server) {
                over.push(flow);
            }
        })?;
        let mut deleted = 0;
        for flow in over {
            deleted += usize::from(self.conntrack.delete(&flow.orig, flow.zone, flow.id)?);
        }
        (self.listed, self.entries) = (Instant::now(), entries);
        Ok(deleted)
    }
}

/// An answer that is still on its way to a client would begin a connection from the server: what was not answered stays.
fn is_over(flow: &Flow, as_client: bool) -> bool {
    !as_client || flow.status.is_some_and(|s| s & status::SEEN_REPLY != 0)
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
}
