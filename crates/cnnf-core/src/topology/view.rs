//! The picture: nodes and edges with their states. Computed, never stored.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use super::edge::{Edge, Peer};
use super::standing::{Standing, rules_of};
use crate::directory::{Directory, Host};
use crate::flow::FlowStats;
use crate::id::{HostId, ServiceKey};
use crate::label::Labels;
use crate::model::Phase;
use crate::net::{ParseError, Ports};
use crate::policy::{Mode, PolicySet, words};
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
    /// What edges, and the nodes at their ends, must have.
    pub filter: Filter,
    /// How nodes are put together.
    pub grouping: Grouping,
}

/// What an edge must have to be in the picture; what is empty asks for nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// A part of an end's name or key, whatever its case.
    pub name: String,
    /// Labels of a host that runs the service at an end.
    pub labels: Labels,
    /// Server ports.
    pub ports: Ports,
    /// How it stands.
    pub statuses: Vec<EdgeStatus>,
}

impl Filter {
    fn keeps_edge(&self, edge: &Edge, status: EdgeStatus, place: &Places<'_>) -> bool {
        let ports = edge.ports();
        let on_port = match &self.ports {
            Ports::Any => true,
            Ports::Only(some) => {
                some.iter().any(|r| r.protocol == ports.protocol && r.low <= ports.high && ports.low <= r.high)
            }
        };
        on_port
            && (self.statuses.is_empty() || self.statuses.contains(&status))
            && [&edge.client, &edge.server].into_iter().any(|end| self.keeps_end(end, place))
    }

    fn keeps_end(&self, peer: &Peer, places: &Places<'_>) -> bool {
        let named = self.name.is_empty() || peer.to_string().to_lowercase().contains(&self.name.to_lowercase());
        let labelled =
            || self.labels.0.is_empty() || places.of(peer).any(|(_, host)| host.labels.satisfy(&self.labels));
        named && labelled()
    }

    /// Whether a node without edges may be in the picture.
    fn keeps_lonely(&self) -> bool {
        self.ports == Ports::Any && self.statuses.is_empty()
    }
}

/// Where each service is: looked up once, as a picture asks for it at every node and edge.
pub(super) struct Places<'a>(BTreeMap<&'a ServiceKey, Vec<(&'a HostId, &'a Host)>>);

impl<'a> Places<'a> {
    fn new(directory: &'a Directory) -> Self {
        let mut places: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (id, host) in directory.hosts() {
            for key in host.instances.keys() {
                places.entry(key).or_default().push((id, host));
            }
        }
        Self(places)
    }

    pub(super) fn of(&self, peer: &Peer) -> impl Iterator<Item = (&'a HostId, &'a Host)> {
        let places = match peer {
            Peer::Service(key) => self.0.get(key).map(Vec::as_slice),
            _ => None,
        };
        places.unwrap_or_default().iter().copied()
    }
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

/// Draws the picture of `edges`: all that were ever seen, or what was seen in a time. `marks` are the edges that gave alerts or were
/// prevented in it.
#[must_use]
pub fn view(
    edges: &BTreeMap<Edge, FlowStats>,
    directory: &Directory,
    policy: &PolicySet,
    marks: &BTreeMap<Edge, EdgeStatus>,
    wanted: &View,
    now: Timestamp,
) -> Radar {
    let nothing = FlowStats { connections: 0, bytes: 0, first: now, last: now };
    let places = Places::new(directory);
    let refused = marks.keys().filter(|edge| !edges.contains_key(edge)).map(|edge| (edge, &nothing));
    let mut all: Vec<(&Edge, &FlowStats)> = edges.iter().chain(refused).collect();
    if all.len() > edges.len() {
        all.sort_unstable_by_key(|(edge, _)| *edge);
    }
    let rules = rules_of(policy);
    let mut standing = Standing::new(directory, policy, &rules, now);
    let mut drawn = Vec::with_capacity(all.len());
    let mut worst: Vec<Option<EdgeStatus>> = Vec::new();
    for (edge, stats) in all {
        let (status, ends) = standing.of(edge, marks.get(edge).copied(), &places);
        if !wanted.filter.keeps_edge(edge, status, &places) {
            continue;
        }
        worst.resize(standing.ends.len(), None);
        for end in ends {
            worst[end] = worst[end].max(Some(status));
        }
        drawn.push(RadarEdge { edge: edge.clone(), stats: *stats, status });
    }
    let lonely: Vec<Peer> = if wanted.connected_only || !wanted.filter.keeps_lonely() {
        Vec::new()
    } else {
        let all = places.0.keys().map(|key| Peer::Service((*key).clone()));
        all.filter(|peer| wanted.filter.keeps_end(peer, &places)).collect()
    };
    let connected = standing.ends.iter().zip(&worst).filter(|(_, worst)| worst.is_some());
    let mut nodes: BTreeMap<&Peer, Option<EdgeStatus>> = connected.map(|(end, worst)| (end.peer, *worst)).collect();
    for peer in &lonely {
        nodes.entry(peer).or_insert(None);
    }
    let nodes = nodes.into_iter().map(|(peer, worst)| node(peer, worst, &places, policy, &wanted.grouping)).collect();
    Radar { nodes, edges: drawn }
}

fn node(peer: &Peer, worst: Option<EdgeStatus>, places: &Places<'_>, policy: &PolicySet, grouping: &Grouping) -> Node {
    let key = match peer {
        Peer::Service(key) => Some(key),
        _ => None,
    };
    let groups: BTreeSet<&str> = places
        .of(peer)
        .filter_map(|(_, host)| match grouping {
            Grouping::None => None,
            Grouping::Host => Some(host.name.as_str()),
            Grouping::Label(label) => host.labels.0.get(label).map(String::as_str),
        })
        .collect();
    Node {
        name: key.map_or_else(|| peer.to_string(), ServiceKey::display_name),
        kind: match peer {
            Peer::Service(_) => NodeKind::Service,
            Peer::Object(_) => NodeKind::Object,
            Peer::Address(_) | Peer::Private | Peer::Internet => NodeKind::Address,
        },
        phase: key.and_then(|key| policy.models.get(key)).map(|model| model.phase),
        mode: key.map(|key| policy.service_modes.get(key).copied().unwrap_or(Mode::Enforce)),
        group: groups.into_iter().collect::<Vec<_>>().join("+"),
        hosts: places.of(peer).map(|(id, _)| id.clone()).collect(),
        worst,
        peer: peer.clone(),
    }
}
