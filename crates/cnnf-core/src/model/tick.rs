//! Time passes.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{LearnSettings, MAX_OBSERVERS, MIN_RUNS, Model, Phase};
use crate::id::ServiceKey;
use crate::time::Timestamp;

/// What became of a model in a tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It was made.
    Made,
    /// It went to this phase.
    Entered(Phase),
    /// It was archived for so long that it is deleted.
    Deleted,
}

impl Model {
    /// Counts the time since the last tick, in which there were so many instances with a process.
    fn pass(&mut self, instances: u32, elapsed: Duration, now: Timestamp) {
        let live = instances > 0;
        if live {
            if !self.live {
                self.runs = self.runs.saturating_add(1);
                self.live_since = now;
            }
            self.last_live = now;
            let elapsed = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
            let observed = elapsed.saturating_mul(u64::from(instances.min(MAX_OBSERVERS)));
            self.observed_ms = self.observed_ms.saturating_add(observed);
            self.exposed_ms = self.exposed_ms.saturating_add(elapsed);
        }
        self.live = live;
    }

    /// Whether enough was seen to end learning. A service comes and goes if no run of it lasts as long as learning takes: then three
    /// are needed, as one may do what the others do not.
    fn has_learned(&self, settings: &LearnSettings, now: Timestamp) -> bool {
        let steady = self.live && (self.runs <= 1 || now.since(self.live_since) >= settings.learn_for);
        Duration::from_millis(self.observed_ms) >= settings.learn_for && (steady || self.runs >= MIN_RUNS)
    }

    /// The phase that time moves it to.
    fn due(&self, instances: u32, settings: &LearnSettings, now: Timestamp) -> Option<Phase> {
        match self.phase {
            Phase::Archived => (instances > 0).then_some(self.resume),
            _ if now.since(self.last_live) >= settings.archive_after && instances == 0 => Some(Phase::Archived),
            Phase::Learning => (!self.manual && self.has_learned(settings, now)).then_some(Phase::DryRun),
            Phase::DryRun => (now.since(self.since) >= settings.dry_run_for).then_some(Phase::Active),
            Phase::Active => None,
        }
    }

    fn move_to(&mut self, phase: Phase, now: Timestamp) {
        if phase == Phase::Archived || self.phase == Phase::Archived {
            // Nothing of what was observed is lost by being away.
            let observed = self.observed_ms;
            if phase == Phase::Archived {
                self.resume = self.phase;
            }
            self.enter(phase, now);
            self.observed_ms = observed;
        } else {
            self.enter(phase, now);
        }
    }
}

/// Lets time pass: `live` has the number of instances with a process for each service, `elapsed` is the time since the last tick.
pub fn tick(
    models: &mut BTreeMap<ServiceKey, Model>,
    live: &BTreeMap<ServiceKey, u32>,
    elapsed: Duration,
    settings: &LearnSettings,
    now: Timestamp,
) -> Vec<(ServiceKey, Change)> {
    let mut changes = Vec::new();
    for key in live.keys().filter(|key| key.is_named()) {
        if !models.contains_key(key) {
            models.insert(key.clone(), Model::new(now));
            changes.push((key.clone(), Change::Made));
        }
    }
    let mut deleted = Vec::new();
    for (key, model) in models.iter_mut() {
        let instances = live.get(key).copied().unwrap_or(0);
        model.pass(instances, elapsed, now);
        if let Some(phase) = model.due(instances, settings, now) {
            model.move_to(phase, now);
            changes.push((key.clone(), Change::Entered(phase)));
        } else if model.phase == Phase::Archived && now.since(model.last_live) >= settings.delete_after {
            deleted.push(key.clone());
        }
    }
    for key in deleted {
        models.remove(&key);
        changes.push((key, Change::Deleted));
    }
    changes
}
