//! What was recorded of who talked to whom: edges, of all time or of a part of it, and events of what came to none.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use cnnf_core::event::{EventKind, EventParty};
use cnnf_core::flow::FlowStats;
use cnnf_core::net::{AddrRange, is_private};
use cnnf_core::policy::PolicySet;
use cnnf_core::time::Timestamp;
use cnnf_core::topology::{DYNAMIC, EPHEMERAL, Edge, EdgeStatus, Peer, Topology};
use cnnf_store::{EventQuery, StoredEvent, Subject};
use tonic::Status;

use crate::controller::{Controller, refuse};

/// Events that are looked at, at most, the newest first.
pub(super) const MOST_EVENTS: usize = 100_000;

/// Whether a time is asked for, and not all that is kept.
pub(super) fn is_ranged(since: Timestamp, until: Option<Timestamp>) -> bool {
    since != Timestamp::default() || until.is_some()
}

/// The edges of a time.
pub(super) struct Recorded {
    topology: Arc<Topology>,
    of_time: Option<BTreeMap<Edge, FlowStats>>,
}

impl Recorded {
    /// All edges that are kept; or those that were seen in a time, with what was counted in it.
    pub(super) fn of(
        controller: &Controller,
        topology: Arc<Topology>,
        since: Timestamp,
        until: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<Self, Status> {
        let between = || controller.store.edges_between(since, until.unwrap_or(now)).map_err(refuse);
        let of_time = is_ranged(since, until).then(between).transpose()?;
        Ok(Self { topology, of_time })
    }

    pub(super) fn edges(&self) -> &BTreeMap<Edge, FlowStats> {
        self.of_time.as_ref().unwrap_or_else(|| self.topology.edges())
    }

    /// All edges that are kept.
    pub(super) fn topology(&self) -> &Topology {
        &self.topology
    }

    /// What was prevented in that time and so is on no edge, as the edges that it would have been.
    pub(super) fn refused(
        &self,
        controller: &Controller,
        since: Timestamp,
        until: Option<Timestamp>,
        policy: &PolicySet,
    ) -> Result<BTreeMap<Edge, FlowStats>, Status> {
        let mut refused: BTreeMap<Edge, FlowStats> = BTreeMap::new();
        for kind in [EventKind::RulePrevent, EventKind::AnomalyPrevent] {
            let query = EventQuery { kind: Some(kind), since, until, ..EventQuery::default() };
            for event in controller.store.events(&query, MOST_EVENTS).map_err(refuse)? {
                let Some(edge) = edge_of(&event, &self.topology, policy) else { continue };
                if self.edges().contains_key(&edge) {
                    continue;
                }
                let stats = FlowStats { connections: event.count, bytes: 0, first: event.first, last: event.last };
                refused.entry(edge).and_modify(|known| known.merge(&stats)).or_insert(stats);
            }
        }
        Ok(refused)
    }
}

/// The worst that events say of each edge.
pub(super) fn marks(events: &[StoredEvent], topology: &Topology, policy: &PolicySet) -> BTreeMap<Edge, EdgeStatus> {
    let mut marks: BTreeMap<Edge, EdgeStatus> = BTreeMap::new();
    for event in events {
        let status = match event.kind {
            EventKind::RulePrevent | EventKind::AnomalyPrevent => EdgeStatus::Prevented,
            EventKind::RuleAlert
            | EventKind::AnomalyAlert
            | EventKind::WouldRulePrevent
            | EventKind::WouldAnomalyPrevent => EdgeStatus::Alerted,
            _ => continue,
        };
        let Some(edge) = edge_of(event, topology, policy) else { continue };
        marks.entry(edge).and_modify(|known| *known = (*known).max(status)).or_insert(status);
    }
    marks
}

/// The edge that an event is of: the one in the topology whose ends have its parties, else one of single addresses.
fn edge_of(event: &StoredEvent, topology: &Topology, policy: &PolicySet) -> Option<Edge> {
    let Subject::Connection { client, server, protocol, .. } = &event.subject else { return None };
    let protocol = *protocol;
    if client.service.is_none() && server.service.is_none() {
        return None;
    }
    let candidates = |party: &EventParty| -> Vec<Peer> {
        match &party.service {
            Some(key) => vec![Peer::Service(key.clone())],
            None => {
                let objects = policy.objects.values();
                let objects =
                    objects.filter(|object| object.addresses.iter().any(|range| range.contains(party.address)));
                let bucket = bucket(party.address).map(Peer::Address);
                let wide = if is_private(party.address) { Peer::Private } else { Peer::Internet };
                objects
                    .map(|object| Peer::Object(object.name.clone()))
                    .chain([Peer::Address(AddrRange::single(party.address))])
                    .chain(bucket)
                    .chain([wide])
                    .collect()
            }
        }
    };
    let (clients, servers) = (candidates(client), candidates(server));
    let all = clients.iter().flat_map(|c| servers.iter().map(move |s| (c, s)));
    let dynamic = (protocol.has_ports() && server.port >= EPHEMERAL).then_some(DYNAMIC);
    let ports = [server.port].into_iter().chain(dynamic);
    let mut edges = all.flat_map(|(c, s)| {
        ports.clone().map(move |port| Edge { client: c.clone(), server: s.clone(), protocol, port })
    });
    let first = edges.next()?;
    if topology.edges().contains_key(&first) {
        return Some(first);
    }
    Some(edges.find(|edge| topology.edges().contains_key(edge)).unwrap_or(first))
}

/// The network of an internet address that is one peer: /24 or /48.
fn bucket(address: IpAddr) -> Option<AddrRange> {
    let bits = if address.is_ipv4() { 24 } else { 48 };
    let text = format!("{address}/{bits}");
    text.parse::<ipnet::IpNet>().ok().map(|net| AddrRange::net(net.trunc()))
}
