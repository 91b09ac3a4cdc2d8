//! From the controller's policy to the one in force, and what the controller is told of it.

use cnnf_core::event::{EventKind, Notice, Process};
use cnnf_core::policy::HostPolicy;
use cnnf_core::time::Timestamp;
use cnnf_rpc::v1::report::Body;

use super::{Agent, Effect, Standing};

/// Why a policy is undone.
const UNREACHED: &str = "the controller could not be reached anew under it, so what was before it holds";

impl Agent {
    pub(super) fn take_policy(&mut self, policy: HostPolicy, now: Timestamp, effects: &mut Vec<Effect>) {
        if policy.generation < self.policy.generation {
            let message = format!("generation {} is in force: a policy never goes back", self.policy.generation);
            effects.push(Effect::Status { generation: policy.generation, outcome: "refused", message });
            return;
        }
        if self.standing == (Standing::Reverted { generation: policy.generation }) {
            self.told = None;
            self.announce("reverted", UNREACHED.into(), effects);
            return;
        }
        if policy != self.policy {
            let standing = self.standing.clone().after(&self.policy, &policy, self.patience, now);
            let keep = Effect::KeepPolicy(Box::new(policy.clone()));
            // a crash in between must not make a policy good that has to prove itself
            if standing.on_trial().is_some() {
                self.stand(standing, effects);
                effects.push(keep);
            } else {
                effects.push(keep);
                self.stand(standing, effects);
            }
            self.set_policy(policy, effects);
        }
        // whoever sends it does not know yet what became of it
        self.told = None;
        if !self.rebuild(effects) && self.refused.is_none() {
            self.in_force(effects);
        }
    }

    /// The kernel has the policy.
    pub(super) fn in_force(&mut self, effects: &mut Vec<Effect>) {
        match self.standing {
            Standing::Reverted { .. } => self.announce("reverted", UNREACHED.into(), effects),
            _ => self.announce("applied", String::new(), effects),
        }
        if self.standing.on_trial() != self.proving {
            self.proving = self.standing.on_trial();
            effects.push(Effect::Prove(self.proving));
        }
    }

    pub(super) fn stand(&mut self, standing: Standing, effects: &mut Vec<Effect>) {
        if self.standing == standing {
            return;
        }
        effects.push(Effect::KeepStanding(standing.clone()));
        self.standing = standing;
    }

    /// Goes back to what was before a policy that did not prove itself.
    pub(super) fn revert(&mut self, policy: HostPolicy, now: Timestamp, effects: &mut Vec<Effect>) {
        let notice = Notice {
            at: now,
            kind: EventKind::Reverted,
            message: format!("generation {}: {UNREACHED}", policy.generation),
            process: Process::default(),
            count: 1,
        };
        effects.push(Effect::KeepPolicy(Box::new(policy.clone())));
        effects.push(Effect::KeepStanding(self.standing.clone()));
        self.set_policy(policy, effects);
        self.told = None;
        if !self.rebuild(effects) {
            self.in_force(effects);
        }
        effects.push(Effect::Report(Body::Notice((&notice).into())));
    }

    fn set_policy(&mut self, policy: HostPolicy, effects: &mut Vec<Effect>) {
        self.policy = policy;
        let before = self.resolver.naming().clone();
        self.resolver.define(&self.policy.definitions);
        self.renamed(&before, effects);
    }

    fn announce(&mut self, outcome: &'static str, message: String, effects: &mut Vec<Effect>) {
        let now = (self.policy.generation, outcome, message);
        if now.0 != 0 && self.told.as_ref() != Some(&now) {
            self.told = Some(now.clone());
            effects.push(Effect::Status { generation: now.0, outcome, message: now.2 });
        }
    }

    pub(super) fn applied(&mut self, result: Result<(), String>, now: Timestamp, effects: &mut Vec<Effect>) {
        match result {
            Ok(()) => {
                self.refused = None;
                self.in_force(effects);
            }
            Err(message) => {
                self.refused = Some(now);
                self.announce("failed", message, effects);
            }
        }
    }
}
