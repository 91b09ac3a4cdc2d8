//! From single connections to counted flows.

mod aggregator;

pub use aggregator::{Aggregator, Bounds, Skipped};

use std::net::IpAddr;

use crate::id::ServiceKey;
use crate::net::Protocol;
use crate::time::Timestamp;

/// What connections are counted by on a host: the ends as the host knows them and the server's port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct FlowKey {
    /// The client's service, if the client is on this host.
    pub client_service: Option<ServiceKey>,
    /// The client's address.
    pub client: IpAddr,
    /// The server's service, if the server is on this host.
    pub server_service: Option<ServiceKey>,
    /// The server's address.
    pub server: IpAddr,
    /// The protocol.
    pub protocol: Protocol,
    /// The server's port, 0 where the protocol has none.
    pub port: u16,
}

/// What is counted. Merging is commutative and associative.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct FlowStats {
    /// Connections opened.
    pub connections: u64,
    /// Bytes both ways; 0 without conntrack accounting.
    pub bytes: u64,
    /// The first of them.
    pub first: Timestamp,
    /// The last sign of any of them.
    pub last: Timestamp,
}

impl FlowStats {
    /// Counts `other` in.
    pub fn merge(&mut self, other: &Self) {
        self.connections = self.connections.saturating_add(other.connections);
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
    }
}

/// One line of a report.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct FlowRecord {
    /// Which flow.
    pub key: FlowKey,
    /// What was counted since the last report.
    pub stats: FlowStats,
}

#[cfg(test)]
mod tests;
