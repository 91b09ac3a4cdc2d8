//! What the table has to be told of a packet that waits in a queue, before the packet goes through it once more.
//!
//! A verdict cannot label a connection on most kernels, and once the packet is accepted it is too late: so its original tuple becomes an element
//! of a map or set, with a timeout, and the verdict is "repeat".

use std::net::SocketAddr;
use std::time::Duration;

use cnnf_core::net::Protocol;
use cnnf_core::ruleset::{EVIDENCE, Flags, Label, PENDING, Slot};
use cnnf_netlink::nft::{Batch, CommitError, Element};

use super::lower::{flow_key, label_bytes};
use super::reconcile::TABLE;
use super::table_socket::TableSocket;

/// How long the element stays if nobody takes it away. The packet that it is for comes at once; a later connection of the same ports, which
/// may be another program's, must not find it ([`Released::forget`]).
const STAYS: Duration = Duration::from_secs(1);

/// The first packet of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FirstPacket {
    /// Its protocol.
    pub protocol: Protocol,
    /// Its source. For ICMP the port is the echo's id.
    pub client: SocketAddr,
    /// Its destination. For ICMP the port is type and code.
    pub server: SocketAddr,
}

impl FirstPacket {
    fn family(&self) -> usize {
        usize::from(self.client.is_ipv6())
    }

    fn key(&self) -> Vec<u8> {
        let number = self.protocol.number(self.client.is_ipv6());
        flow_key(self.client.ip(), self.server.ip(), number, self.client.port(), self.server.port())
    }
}

/// Who is at the ends of a connection, as far as they are here. A connection from this host to itself needs both at once: the element that one
/// half found is what the other half finds too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The connection's original tuple.
    pub packet: FirstPacket,
    /// Who opened it.
    pub client: Option<Slot>,
    /// Who is asked.
    pub server: Option<Slot>,
}

impl Resolved {
    fn element(&self) -> Element {
        let [client, server] = [self.client, self.server].map(|slot| slot.map_or(0, Slot::word));
        let label = Label([client, server, Flags::RESOLVED, 0]);
        Element::map(self.packet.key(), label_bytes(label.0)).with_timeout(STAYS)
    }
}

/// Writes those elements.
#[derive(Clone, Debug)]
pub struct Released {
    table: TableSocket,
}

impl Released {
    /// One that writes through this socket.
    #[must_use]
    pub fn over(table: TableSocket) -> Self {
        Self { table }
    }

    /// Says who is at the ends of these connections, each of which is there once, in one change of the table.
    ///
    /// # Errors
    /// The kernel's words, and none of it was said; without the table there is nothing to tell.
    pub fn resolved(&self, connections: &[Resolved]) -> Result<(), CommitError> {
        let mut batch = Batch::new(TABLE);
        for (family, map) in PENDING.into_iter().enumerate() {
            let here = connections.iter().filter(|connection| connection.packet.family() == family);
            batch.add_elements(map, here.map(Resolved::element));
        }
        self.table.commit(&batch, None)
    }

    /// Takes back what was said of these connections. Their packets have gone through once more by then: the kernel repeats the hook while it
    /// takes the verdict. One that is late waits again.
    ///
    /// # Errors
    /// The kernel's words; what was said may be gone already, with a table that was made anew.
    pub fn forget(&self, packets: &[FirstPacket]) -> Result<(), CommitError> {
        let mut batch = Batch::new(TABLE);
        for (family, set) in PENDING.into_iter().enumerate() {
            let here = packets.iter().filter(|packet| packet.family() == family);
            batch.delete_elements(set, here.map(|packet| Element::key(packet.key())));
        }
        self.table.commit(&batch, None)
    }

    /// Says that the evidence for the connection is there.
    ///
    /// # Errors
    /// As [`Released::resolved`].
    pub fn evident(&self, packet: &FirstPacket) -> Result<(), CommitError> {
        let element = Element::key(packet.key()).with_timeout(STAYS);
        self.add(EVIDENCE[packet.family()], &element)
    }

    fn add(&self, set: &str, element: &Element) -> Result<(), CommitError> {
        let mut batch = Batch::new(TABLE);
        batch.add_elements(set, [element]);
        self.table.commit(&batch, None)
    }
}
