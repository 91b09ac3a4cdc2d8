//! What reports and time add to the topology and the models.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use cnnf_core::event::EventKind;
use cnnf_core::flow::{FlowRecord, FlowStats};
use cnnf_core::id::{HostId, ServiceKey};
use cnnf_core::model::{self, Change, Model, Phase};
use cnnf_core::time::Timestamp;
use cnnf_core::topology::{Edge, Peer};
use cnnf_store::{EdgePatch, ModelPatch, NewEvent, Subject};

use super::State;

/// What changed, ready to be stored.
#[derive(Default)]
pub(crate) struct Learned {
    pub(crate) edges: EdgePatch,
    /// What a report itself counted.
    pub(crate) counted: Vec<(Edge, FlowStats)>,
    pub(crate) models: Vec<ModelPatch>,
    pub(crate) events: Vec<NewEvent>,
    /// Whether a host's policy may be different now.
    pub(crate) policy_changed: bool,
}

impl Learned {
    /// Whether there is nothing to store.
    pub(crate) fn is_empty(&self) -> bool {
        self.edges == EdgePatch::default() && self.models.is_empty() && self.events.is_empty()
    }
}

/// What was touched of the models.
#[derive(Default)]
struct Touched {
    edges: BTreeMap<ServiceKey, BTreeSet<Edge>>,
    /// Services that had no model.
    new: BTreeSet<ServiceKey>,
}

impl Touched {
    /// Notes, before it happens, that an edge may change the models of its ends.
    fn note(&mut self, edge: &Edge, models: &BTreeMap<ServiceKey, Model>) {
        for peer in [&edge.client, &edge.server] {
            let Peer::Service(key) = peer else { continue };
            if !self.edges.contains_key(key) {
                self.edges.insert(key.clone(), BTreeSet::new());
                if !models.contains_key(key) {
                    self.new.insert(key.clone());
                }
            }
            if let Some(edges) = self.edges.get_mut(key)
                && !edges.contains(edge)
            {
                edges.insert(edge.clone());
            }
        }
    }

    fn finish(self, models: &BTreeMap<ServiceKey, Model>, learned: &mut Learned, now: Timestamp) {
        for key in &self.new {
            if models.contains_key(key) {
                learned.events.extend(new_service(key, models, now));
            }
        }
        for (key, edges) in &self.edges {
            if let Some(model) = models.get(key) {
                learned.models.push(ModelPatch::of(key, Some(model), edges));
            }
        }
    }
}

impl State {
    /// Counts a report's flows.
    pub(crate) fn absorb(&mut self, reporter: &HostId, records: &[FlowRecord], now: Timestamp) -> Learned {
        let mut learned = Learned::default();
        let mut models = Touched::default();
        let mut counted = BTreeMap::new();
        let topology = Arc::make_mut(&mut self.topology);
        let policy = Arc::make_mut(&mut self.policy);
        for record in records {
            let mut record = record.clone();
            // A host's clock may be ahead; nothing has happened after now.
            record.stats.last = record.stats.last.min(now);
            record.stats.first = record.stats.first.min(record.stats.last);
            let Some(absorbed) = topology.absorb(reporter, &record, &self.directory, &policy.objects) else { continue };
            if self.settings.learning {
                models.note(&absorbed.edge, &policy.models);
                let changed = model::absorb(&mut policy.models, &absorbed.edge, &absorbed.stats, now);
                learned.policy_changed |= !changed.is_empty();
            }
            let hour = absorbed.stats.last.0 / cnnf_store::HOUR;
            counted
                .entry((absorbed.edge, hour))
                .and_modify(|known: &mut FlowStats| known.merge(&absorbed.stats))
                .or_insert(absorbed.stats);
        }
        let edges: BTreeSet<&Edge> = counted.keys().map(|(edge, _)| edge).collect();
        let put = edges.into_iter().filter_map(|edge| topology.edges().get(edge).map(|stats| (edge.clone(), *stats)));
        learned.edges.put = put.collect();
        learned.counted = counted.into_iter().map(|((edge, _), stats)| (edge, stats)).collect();
        models.finish(&policy.models, &mut learned, now);
        learned
    }

    /// Names ends of edges anew after the directory or the objects have changed.
    pub(crate) fn reresolve(&mut self, now: Timestamp) -> Learned {
        let mut learned = Learned { policy_changed: true, ..Learned::default() };
        let mut models = Touched::default();
        let topology = Arc::make_mut(&mut self.topology);
        let policy = Arc::make_mut(&mut self.policy);
        for (old, new) in topology.reresolve(&self.directory, &policy.objects) {
            models.note(&old, &policy.models);
            models.note(&new, &policy.models);
            model::rename(&mut policy.models, &old, &new, now);
            if let Some(stats) = topology.edges().get(&new) {
                learned.edges.put.push((new.clone(), *stats));
            }
            learned.edges.gone.push(old.clone());
            learned.edges.renamed.push((old, new));
        }
        models.finish(&policy.models, &mut learned, now);
        learned
    }

    /// Lets time pass for the models.
    pub(crate) fn tick_models(&mut self, elapsed: Duration, now: Timestamp) -> Learned {
        let mut learned = Learned::default();
        if !self.settings.learning {
            return learned;
        }
        let live = self.live_instances();
        let models = &mut Arc::make_mut(&mut self.policy).models;
        for (key, change) in model::tick(models, &live, elapsed, &self.settings.learn, now) {
            match change {
                Change::Made => learned.events.extend(new_service(&key, models, now)),
                Change::Entered(phase) => {
                    tracing::info!(service = %key, %phase, "a model enters a phase");
                    learned.policy_changed = true;
                }
                Change::Deleted => {
                    tracing::info!(service = %key, "a model is deleted");
                    learned.policy_changed = true;
                }
            }
            learned.models.push(match models.get(&key) {
                Some(model) => ModelPatch::head(&key, model),
                None => ModelPatch::removal(&key),
            });
        }
        learned
    }

    /// Forgets edges that were last seen longer ago than anything is kept by the day. What models know stays.
    pub(crate) fn forget_edges(&mut self, now: Timestamp) -> Learned {
        let limit = now.minus(self.settings.edges_daily_for);
        let mut learned = Learned::default();
        if self.topology.edges().values().any(|stats| stats.last < limit) {
            learned.edges.gone = Arc::make_mut(&mut self.topology).forget_before(limit);
        }
        learned
    }

    /// The models' clocks, which change without an event.
    pub(crate) fn model_heads(&self) -> Vec<ModelPatch> {
        self.policy.models.iter().map(|(key, model)| ModelPatch::head(key, model)).collect()
    }
}

/// A wholly new service is worth an event once others are active.
fn new_service(key: &ServiceKey, models: &BTreeMap<ServiceKey, Model>, now: Timestamp) -> Option<NewEvent> {
    models.values().any(|model| model.phase == Phase::Active).then(|| NewEvent {
        kind: EventKind::NewService,
        subject: Subject::System { host: None, message: format!("{key} was seen for the first time") },
        process: None,
        count: 1,
        at: now,
    })
}
