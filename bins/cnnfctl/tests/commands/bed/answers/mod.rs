//! The fixed messages. Some texts are as bad as a host can make them.

mod fleet;
mod learned;
mod people;
mod policy;
mod topology;

use cnnf_rpc::v1::*;

pub(crate) use fleet::*;
pub(crate) use learned::*;
pub(crate) use people::*;
pub(crate) use policy::*;
pub(crate) use topology::*;

pub(crate) fn status() -> Status {
    Status {
        version: "0.1.0".into(),
        defenders: 3,
        connected: 2,
        services: 3,
        edges: 4,
        rules: 2,
        revision: 7,
        models: [("active".into(), 2), ("learning".into(), 1)].into(),
        open_events: 5,
        started: "2026-11-24T06:00:00Z".into(),
        conflicts: vec![AddressConflict { address: "10.86.0.2".into(), hosts: vec!["web1".into(), "web2".into()] }],
        unconfirmed: None,
        outdated: 1,
    }
}

fn service_peer(key: &str) -> Option<Peer> {
    Some(Peer { service: key.into(), ..Peer::default() })
}

fn edge_of(client: Peer, server: &str, port: u32) -> Option<Edge> {
    let server = Some(Peer { service: server.into(), ..Peer::default() });
    Some(Edge { client: Some(client), server, protocol: "tcp".into(), port })
}
