//! How edges stand, for all of a picture: what is asked at every edge is looked up once an end, and models are read along with the
//! edges, as both are in one order.

use std::cell::OnceCell;
use std::cmp::Ordering;
use std::collections::{HashMap, btree_map};
use std::iter::Peekable;
use std::net::{IpAddr, Ipv4Addr};

use super::edge::{Edge, Peer};
use super::view::{EdgeStatus, Places};
use crate::directory::Directory;
use crate::model::{Model, Phase, Seen};
use crate::policy::{Connection, Effect, End, Index, Party, PolicySet, Reason, Rule, Vantage};
use crate::time::Timestamp;

/// Judges edges, which must come in order.
pub(super) struct Standing<'a> {
    directory: &'a Directory,
    policy: &'a PolicySet,
    /// The same without models: whether a rule allows something, none of them says.
    rules: &'a PolicySet,
    now: Timestamp,
    /// Made when a rule may mean an edge: most pictures have few of these.
    index: OnceCell<Index<'a>>,
    /// The ends so far.
    pub(super) ends: Vec<Known<'a>>,
    by_peer: HashMap<&'a Peer, usize>,
    last_client: Option<usize>,
}

/// An end of edges.
pub(super) struct Known<'a> {
    pub(super) peer: &'a Peer,
    /// Its model, with the edges of it that come next.
    model: Option<(&'a Model, Peekable<btree_map::Keys<'a, Edge, Seen>>)>,
    /// Rules, by their places, that it may be the source of, and the destination.
    rules: [Vec<usize>; 2],
}

impl<'a> Standing<'a> {
    /// `rules` is [`rules_of`] `policy`.
    pub(super) fn new(directory: &'a Directory, policy: &'a PolicySet, rules: &'a PolicySet, now: Timestamp) -> Self {
        Self {
            directory,
            policy,
            rules,
            now,
            index: OnceCell::new(),
            ends: Vec::new(),
            by_peer: HashMap::new(),
            last_client: None,
        }
    }

    /// How an edge stands, and the places of its ends in [`ends`](Self::ends).
    pub(super) fn of(
        &mut self,
        edge: &'a Edge,
        mark: Option<EdgeStatus>,
        places: &Places<'_>,
    ) -> (EdgeStatus, [usize; 2]) {
        // Edges of one client come one after the other.
        let client = match self.last_client {
            Some(place) if *self.ends[place].peer == edge.client => place,
            _ => self.place(&edge.client),
        };
        self.last_client = Some(client);
        let ends = [client, self.place(&edge.server)];
        let status = mark.unwrap_or_else(|| {
            if self.is_by_rule(edge, ends, places) { EdgeStatus::ByRule } else { self.by_models(edge, ends) }
        });
        (status, ends)
    }

    fn place(&mut self, peer: &'a Peer) -> usize {
        if let Some(place) = self.by_peer.get(peer) {
            return *place;
        }
        let model = match peer {
            Peer::Service(key) => self.policy.models.get(key),
            _ => None,
        };
        let among = |end: fn(&Rule) -> &End| -> Vec<usize> {
            let rules = self.policy.rules.iter().enumerate();
            let counts = |rule: &Rule| rule.effect_at(self.now).is_some() && may_be(end(rule), peer);
            rules.filter(|(_, rule)| counts(rule)).map(|(n, _)| n).collect()
        };
        let rules = [among(|rule| &rule.source), among(|rule| &rule.destination)];
        self.ends.push(Known { peer, model: model.map(|model| (model, model.edges.keys().peekable())), rules });
        self.by_peer.insert(peer, self.ends.len() - 1);
        self.ends.len() - 1
    }

    /// Whether a rule allows a connection that stands for all of the edge.
    fn is_by_rule(&self, edge: &Edge, [client, server]: [usize; 2], places: &Places<'_>) -> bool {
        let (sources, destinations) = (&self.ends[client].rules[0], &self.ends[server].rules[1]);
        if !sources.iter().any(|n| destinations.binary_search(n).is_ok()) {
            return false;
        }
        let index = self.index.get_or_init(|| Index::new(self.rules, self.directory));
        let decision = index.evaluate(&example(edge, places), Vantage::Client, self.now);
        decision.effect == Effect::Allow && matches!(decision.reason, Reason::Rule { .. })
    }

    fn by_models(&mut self, edge: &Edge, [client, server]: [usize; 2]) -> EdgeStatus {
        let mut status = None;
        for place in [Some(client), (client != server).then_some(server)].into_iter().flatten() {
            let Some((model, next)) = &mut self.ends[place].model else { continue };
            let own = match model.phase {
                Phase::Learning | Phase::DryRun => EdgeStatus::Learning,
                Phase::Active | Phase::Archived if is_next(next, edge) || model.knows(edge) => EdgeStatus::Learned,
                Phase::Active | Phase::Archived => EdgeStatus::Unlearned,
            };
            status = status.max(Some(own));
        }
        status.unwrap_or_default()
    }
}

/// A policy without its models.
pub(super) fn rules_of(policy: &PolicySet) -> PolicySet {
    PolicySet {
        rules: policy.rules.clone(),
        objects: policy.objects.clone(),
        learning_off: true,
        ..PolicySet::default()
    }
}

/// Whether `edge` is among the edges to come; goes on to it.
fn is_next(edges: &mut Peekable<btree_map::Keys<'_, Edge, Seen>>, edge: &Edge) -> bool {
    while let Some(known) = edges.peek() {
        match (*known).cmp(edge) {
            Ordering::Less => edges.next(),
            Ordering::Equal => return true,
            Ordering::Greater => return false,
        };
    }
    false
}

/// Whether an end of a rule may mean a peer; what only addresses can tell, it may.
fn may_be(end: &End, peer: &Peer) -> bool {
    match (end, peer) {
        (End::Service { pattern, .. }, Peer::Service(key)) => {
            // Most patterns are keys, and most keys are others.
            pattern.0 == key.as_str() || (pattern.is_glob() && pattern.matches(key))
        }
        _ => true,
    }
}

/// A connection that stands for all of an edge: on the first host that has each service.
fn example(edge: &Edge, places: &Places<'_>) -> Connection {
    let party = |peer: &Peer, fallback: IpAddr| match peer {
        Peer::Service(key) => {
            let host = places.of(peer).next();
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
