//! The picture: nodes and edges with their states. Computed, never stored.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

use super::absorb::Topology;
use super::edge::{Edge, Peer};
use crate::directory::Directory;
use crate::flow::FlowStats;
use crate::id::{HostId, ServiceKey};
use crate::model::Phase;
use crate::net::ParseError;
use crate::policy::{Connection, Effect, Mode, Party, PolicySet, Reason, Vantage, evaluate, words};
use crate::time::Timestamp;

words! {
    /// How an edge stands. Ordered, the worst last.
    EdgeStatus {
        /// A rule allows it.
        ByRule = "by_rule",
        /// The models of its ends know it.
        Learned = "learned",
        /// A model of its ends is still learning.
        Learning = "learning",
        /// An active model does not know it.
        Unlearned = "unlearned",
        /// It gave an alert.
        Alerted = "alerted",
        /// It was prevented.
        Prevented = "prevented",
    } default Learning
}

/// How nodes are put together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Grouping {
    /// Not at all.
    #[default]
    None,
    /// By host.
    Host,
    /// By the value of a host label.
    Label(String),
}

/// What of the picture is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// Leave out nodes without edges.
    pub connected_only: bool,
    /// Edges last seen before are left out.
    pub since: Timestamp,
    /// Edges first seen after are left out; `None` for now.
    pub until: Option<Timestamp>,
    /// How nodes are put together.
    pub grouping: Grouping,
}

/// The picture.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Radar {
    /// By id.
    pub nodes: Vec<Node>,
    /// Ordered by their ends.
    pub edges: Vec<RadarEdge>,
}

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NodeKind {
    /// A service, or kernel, unknown or ambiguous traffic of a host.
    Service,
    /// An address or a bucket of them.
    Address,
    /// A declared address object.
    Object,
}

/// A node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Who it is.
    pub peer: Peer,
    /// For people.
    pub name: String,
    /// What it is.
    pub kind: NodeKind,
    /// The hosts of its instances.
    pub hosts: Vec<HostId>,
    /// Its model's phase.
    pub phase: Option<Phase>,
    /// Its own mode.
    pub mode: Option<Mode>,
    /// The worst status of its edges.
    pub worst: Option<EdgeStatus>,
    /// What it is put together by.
    pub group: String,
}

/// An edge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RadarEdge {
    /// Which.
    pub edge: Edge,
    /// What was counted.
    pub stats: FlowStats,
    /// How it stands.
    pub status: EdgeStatus,
}

/// Draws the picture. `marks` are the edges that gave alerts or were prevented in the time range.
#[must_use]
pub fn view(
    topology: &Topology,
    directory: &Directory,
    policy: &PolicySet,
    marks: &BTreeMap<Edge, EdgeStatus>,
    wanted: &View,
    now: Timestamp,
) -> Radar {
    let until = wanted.until.unwrap_or(now);
    let nothing = FlowStats { connections: 0, bytes: 0, first: now, last: now };
    let refused = marks.keys().filter(|edge| !topology.edges().contains_key(edge)).map(|edge| (edge, &nothing));
    let mut edges: Vec<RadarEdge> = topology
        .edges()
        .iter()
        .filter(|(_, stats)| stats.last >= wanted.since && stats.first <= until)
        .chain(refused)
        .map(|(edge, stats)| RadarEdge {
            edge: edge.clone(),
            stats: *stats,
            status: status(edge, directory, policy, marks, now),
        })
        .collect();
    edges.sort_unstable_by(|a, b| a.edge.cmp(&b.edge));
    let mut worst: BTreeMap<&Peer, EdgeStatus> = BTreeMap::new();
    for e in &edges {
        for end in [&e.edge.client, &e.edge.server] {
            worst.entry(end).and_modify(|w| *w = (*w).max(e.status)).or_insert(e.status);
        }
    }
    let mut peers: BTreeSet<Peer> = worst.keys().map(|peer| (*peer).clone()).collect();
    if !wanted.connected_only {
        let services = directory.hosts.values().flat_map(|host| host.instances.keys());
        peers.extend(services.map(|key| Peer::Service(key.clone())));
    }
    let nodes = peers
        .into_iter()
        .map(|peer| {
            let worst = worst.get(&peer).copied();
            node(peer, worst, directory, policy, &wanted.grouping)
        })
        .collect();
    Radar { nodes, edges }
}

fn node(peer: Peer, worst: Option<EdgeStatus>, directory: &Directory, policy: &PolicySet, grouping: &Grouping) -> Node {
    let key = match &peer {
        Peer::Service(key) => Some(key),
        _ => None,
    };
    let hosts: Vec<&HostId> = key.map_or_else(Vec::new, |key| {
        directory.hosts.iter().filter(|(_, host)| host.instances.contains_key(key)).map(|(id, _)| id).collect()
    });
    let groups: BTreeSet<&str> = hosts
        .iter()
        .filter_map(|id| directory.hosts.get(id))
        .filter_map(|host| match grouping {
            Grouping::None => None,
            Grouping::Host => Some(host.name.as_str()),
            Grouping::Label(label) => host.labels.0.get(label).map(String::as_str),
        })
        .collect();
    Node {
        name: key.map_or_else(|| peer.to_string(), |key| key.name().to_owned()),
        kind: match &peer {
            Peer::Service(_) => NodeKind::Service,
            Peer::Object(_) => NodeKind::Object,
            Peer::Address(_) | Peer::Private | Peer::Internet => NodeKind::Address,
        },
        phase: key.and_then(|key| policy.models.get(key)).map(|model| model.phase),
        mode: key.map(|key| policy.service_modes.get(key).copied().unwrap_or(Mode::Enforce)),
        group: groups.into_iter().collect::<Vec<_>>().join("+"),
        hosts: hosts.into_iter().cloned().collect(),
        worst,
        peer,
    }
}

/// How an edge stands.
fn status(
    edge: &Edge,
    directory: &Directory,
    policy: &PolicySet,
    marks: &BTreeMap<Edge, EdgeStatus>,
    now: Timestamp,
) -> EdgeStatus {
    if let Some(mark) = marks.get(edge) {
        return *mark;
    }
    let decision = evaluate(policy, directory, &example(edge, directory), Vantage::Client, now);
    if decision.effect == Effect::Allow && matches!(decision.reason, Reason::Rule { .. }) {
        return EdgeStatus::ByRule;
    }
    let models = [&edge.client, &edge.server].into_iter().filter_map(|end| match end {
        Peer::Service(key) => policy.models.get(key),
        _ => None,
    });
    let mut status = None;
    for model in models {
        let own = match model.phase {
            Phase::Learning | Phase::DryRun => EdgeStatus::Learning,
            Phase::Active | Phase::Archived if model.knows(edge) => EdgeStatus::Learned,
            Phase::Active | Phase::Archived => EdgeStatus::Unlearned,
        };
        status = status.max(Some(own));
    }
    status.unwrap_or_default()
}

/// A connection that stands for all of an edge: on the first host that has each service.
fn example(edge: &Edge, directory: &Directory) -> Connection {
    let party = |peer: &Peer, fallback: IpAddr| match peer {
        Peer::Service(key) => {
            let host = directory.hosts.iter().find(|(_, host)| host.instances.contains_key::<ServiceKey>(key));
            Party {
                host: host.map(|(id, _)| id.clone()),
                service: Some(key.clone()),
                address: host.and_then(|(_, host)| host.addresses.first().copied()).unwrap_or(fallback),
            }
        }
        Peer::Address(range) => Party { host: None, service: None, address: range.low() },
        Peer::Object(_) | Peer::Private | Peer::Internet => Party { host: None, service: None, address: fallback },
    };
    // Documentation addresses (RFC 5737) stand where none is known, so that no declared network is hit by accident.
    Connection {
        client: party(&edge.client, Ipv4Addr::new(192, 0, 2, 1).into()),
        server: party(&edge.server, Ipv4Addr::new(192, 0, 2, 2).into()),
        protocol: edge.protocol,
        port: edge.port,
    }
}
