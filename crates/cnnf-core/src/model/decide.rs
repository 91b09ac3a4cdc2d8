//! What an operator decides about a model.

use super::learn::ends;
use super::{MAX_LEARNED, Model, Origin, Phase, Seen};
use crate::id::ServiceKey;
use crate::policy::Effect;
use crate::time::Timestamp;
use crate::topology::Edge;

/// Why a decision changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The edge has the service at neither end.
    #[error("the edge is not one of the service: it is at neither end")]
    NotAtAnEnd,
    /// The model does not have the edge.
    #[error("the model does not have this edge: it is written as 'models show' lists it")]
    NotKnown,
    /// The model has all the edges that one may have.
    #[error("the model knows {MAX_LEARNED} edges already: forget some, or write a rule")]
    Full,
    /// Learning was not started by hand.
    #[error("learning was not started by hand: 'models learn start' does")]
    NotManual,
}

impl Model {
    /// Ends learning and the dry run now.
    pub fn activate(&mut self, now: Timestamp) {
        self.manual = false;
        self.lead_to(Phase::Active, now);
    }

    /// Learns anew, and forgets nothing.
    pub fn relearn(&mut self, now: Timestamp) {
        self.manual = false;
        self.begin(now);
    }

    /// Forgets everything, and learns anew. What an anomaly does stays.
    pub fn reset(&mut self, now: Timestamp) {
        self.edges.clear();
        self.connections = 0;
        self.exposed_ms = 0;
        self.relearn(now);
    }

    /// Learns until [`stop_learning`](Self::stop_learning), and forgets nothing.
    pub fn start_learning(&mut self, now: Timestamp) {
        self.begin(now);
        self.manual = true;
    }

    /// Ends learning that was started by hand: the dry run follows.
    ///
    /// # Errors
    /// [`Refusal::NotManual`].
    pub fn stop_learning(&mut self, now: Timestamp) -> Result<(), Refusal> {
        if !std::mem::take(&mut self.manual) {
            return Err(Refusal::NotManual);
        }
        self.lead_to(Phase::DryRun, now);
        Ok(())
    }

    /// Adds an edge that need not have been seen; `service` is the model's. `false` if it is there already.
    ///
    /// # Errors
    /// [`Refusal::NotAtAnEnd`], [`Refusal::Full`].
    pub fn approve(&mut self, service: &ServiceKey, edge: &Edge, now: Timestamp) -> Result<bool, Refusal> {
        if !ends(edge).any(|end| end == service) {
            return Err(Refusal::NotAtAnEnd);
        }
        if let Some(known) = self.edges.get_mut(edge) {
            known.origin = Origin::Approved;
            return Ok(false);
        }
        if self.edges.len() >= MAX_LEARNED {
            return Err(Refusal::Full);
        }
        let seen = Seen { first: now, last: now, connections: 0, origin: Origin::Approved };
        self.edges.insert(edge.clone(), seen);
        Ok(true)
    }

    /// Removes an edge. Once the model is active it is an anomaly; before, it is learned again when it is seen again.
    ///
    /// # Errors
    /// [`Refusal::NotKnown`].
    pub fn forget(&mut self, edge: &Edge) -> Result<(), Refusal> {
        let seen = self.edges.remove(edge).ok_or(Refusal::NotKnown)?;
        self.connections = self.connections.saturating_sub(seen.connections);
        Ok(())
    }

    /// Sets what an anomaly does; `None` for the global setting.
    pub fn set_effect(&mut self, effect: Option<Effect>) {
        self.anomaly_effect = effect;
    }

    fn begin(&mut self, now: Timestamp) {
        self.lead_to(Phase::Learning, now);
        self.runs = u32::from(self.live);
        self.live_since = now;
    }

    /// Enters a phase, or has it entered when the service returns.
    fn lead_to(&mut self, phase: Phase, now: Timestamp) {
        if self.phase == Phase::Archived {
            self.resume = phase;
            self.observed_ms = 0;
        } else {
            self.enter(phase, now);
        }
    }
}
