//! The only words in which a host speaks to the core.

use std::net::IpAddr;

use crate::directory::Endpoint;
use crate::id::ServiceKey;
use crate::identity::{Container, HeldPorts};
use crate::net::Protocol;
use crate::ruleset::Label;
use crate::time::Timestamp;

/// Something a host saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Observation {
    /// A control group exists.
    CgroupSeen {
        /// Path below the host's cgroup root, such as `/system.slice/nginx.service`.
        path: String,
        /// Its id: the inode number of its directory, never used twice while the host is up.
        id: u64,
    },
    /// A control group is gone.
    CgroupGone {
        /// Its id.
        id: u64,
    },
    /// A socket unit of systemd's starts a service.
    Starts {
        /// The socket unit's name without `.socket`.
        socket: String,
        /// The service that its sockets belong to.
        service: ServiceKey,
    },
    /// It was decided what a container is called. The first word counts for as long as the container has a control group.
    ContainerNamed {
        /// The container.
        container: Container,
        /// Its service.
        key: ServiceKey,
    },
    /// A connection, as conntrack reports it.
    Flow(FlowSeen),
    /// Where a service listens now; replaces what was known of it.
    Listening {
        /// The service.
        service: ServiceKey,
        /// All its listening sockets.
        endpoints: Vec<Endpoint>,
    },
    /// Who listens on which port now, all of them, by the names that they have without an operator's definitions.
    Answering(HeldPorts),
    /// Observations were lost; what follows is a fresh dump.
    Lost {
        /// When it was noticed.
        at: Timestamp,
    },
}

/// A connection in conntrack's table. The client is the source of its original tuple, the server the source of its reply tuple:
/// NAT is undone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowSeen {
    /// When.
    pub at: Timestamp,
    /// conntrack's id of the entry.
    pub id: u32,
    /// Which moment of the entry's life.
    pub moment: Moment,
    /// Who opened it.
    pub client: IpAddr,
    /// The client's port.
    pub client_port: u16,
    /// Who was addressed.
    pub server: IpAddr,
    /// The server's port, 0 where the protocol has none.
    pub server_port: u16,
    /// Its protocol.
    pub protocol: Protocol,
    /// The stamp the kernel put on it.
    pub label: Label,
    /// Whether a packet came back.
    pub replied: bool,
    /// Bytes from client to server and back; `None` without conntrack accounting.
    pub bytes: Option<(u64, u64)>,
}

/// A moment of a conntrack entry's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Moment {
    /// It was made.
    New,
    /// It changed, or a dump listed it.
    Alive,
    /// It ended.
    End,
}
