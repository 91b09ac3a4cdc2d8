//! What is seen becomes what is known.

use std::collections::BTreeMap;

use super::{MAX_LEARNED, Model, Origin, Phase, Seen};
use crate::flow::FlowStats;
use crate::id::ServiceKey;
use crate::time::Timestamp;
use crate::topology::{Edge, Peer};

impl Model {
    fn see(&mut self, edge: &Edge, stats: &FlowStats, now: Timestamp) {
        let mut seen = Seen { first: stats.first, last: stats.last, connections: stats.connections, ..Seen::default() };
        if let Some(known) = self.edges.get_mut(edge) {
            known.merge(&seen);
            self.connections = self.connections.saturating_add(stats.connections);
            return;
        }
        if matches!(self.phase, Phase::Active | Phase::Archived) || self.edges.len() >= MAX_LEARNED {
            return;
        }
        if self.phase == Phase::DryRun && !self.knows(edge) && !self.widens(edge) {
            seen.origin = Origin::WouldAlert;
            self.enter(Phase::DryRun, now);
        }
        self.edges.insert(edge.clone(), seen);
        self.connections = self.connections.saturating_add(stats.connections);
    }

    /// Whether the edge only says more generally what the model knows already.
    fn widens(&self, edge: &Edge) -> bool {
        let wide = |peer: &Peer| matches!(peer, Peer::Private | Peer::Internet);
        (edge.is_dynamic() || wide(&edge.client) || wide(&edge.server)) && self.edges.keys().any(|k| edge.covers(k))
    }
}

/// Learns from what was counted for an edge: each end that is a service and has not finished learning adds it. Returns the
/// services whose model changed in what it knows.
pub fn absorb(
    models: &mut BTreeMap<ServiceKey, Model>,
    edge: &Edge,
    stats: &FlowStats,
    now: Timestamp,
) -> Vec<ServiceKey> {
    let mut changed = Vec::new();
    for key in ends(edge) {
        if !models.contains_key(key) {
            models.insert(key.clone(), Model::new(now));
        }
        let Some(model) = models.get_mut(key) else { continue };
        model.last_live = model.last_live.max(now);
        let before = model.edges.len();
        model.see(edge, stats, now);
        if model.edges.len() != before {
            changed.push(key.clone());
        }
    }
    changed
}

/// Gives an edge its new name in the models that know it by the old one; returns these models' services.
pub fn rename(models: &mut BTreeMap<ServiceKey, Model>, old: &Edge, new: &Edge, now: Timestamp) -> Vec<ServiceKey> {
    let mut knew = BTreeMap::new();
    for key in ends(old) {
        if let Some(seen) = models.get_mut(key).and_then(|model| model.edges.remove(old)) {
            knew.insert(key, seen);
        }
    }
    let Some(told) = knew.values().next().copied() else { return Vec::new() };
    let mut changed = Vec::new();
    for key in ends(new) {
        let model = models.entry(key.clone()).or_insert_with(|| Model::new(now));
        let seen = match knew.get(key) {
            Some(own) => *own,
            None if matches!(model.phase, Phase::Learning | Phase::DryRun) => {
                model.connections = model.connections.saturating_add(told.connections);
                told
            }
            None => continue,
        };
        model.edges.entry(new.clone()).and_modify(|known| known.merge(&seen)).or_insert(seen);
        changed.push(key.clone());
    }
    changed
}

/// The ends of an edge that have models, each once.
pub(super) fn ends(edge: &Edge) -> impl Iterator<Item = &ServiceKey> {
    fn named(peer: &Peer) -> Option<&ServiceKey> {
        match peer {
            Peer::Service(key) if key.is_named() => Some(key),
            _ => None,
        }
    }
    let (client, server) = (named(&edge.client), named(&edge.server));
    client.into_iter().chain(server.filter(|_| server != client))
}
