//! A policy that newly refuses something is on trial until the controller was reached anew under it.
//!
//! Whoever is locked out cannot say so. A stream that lives proves nothing, as it may live on what was decided before.

use std::time::Duration;

use cnnf_core::policy::{HostPolicy, newly_prevents};
use cnnf_core::time::Timestamp;

/// How the host stands with its newest policy. Kept over a restart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It holds.
    #[default]
    Good,
    /// It is undone unless it proves itself in time.
    OnTrial(Trial),
    /// It was undone: what was before it holds under its number.
    Reverted {
        /// Its generation.
        generation: u64,
    },
}

/// A policy on trial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trial {
    /// Its generation.
    pub(crate) generation: u64,
    /// What holds if it fails: the last one that was good.
    pub(crate) previous: HostPolicy,
    /// When it is undone.
    pub(crate) until: Timestamp,
}

impl Standing {
    /// Where a host stands that replaces `old` by `new`, another policy; `patience` is how long a trial lasts, none if there are no trials.
    pub(super) fn after(self, old: &HostPolicy, new: &HostPolicy, patience: Duration, now: Timestamp) -> Self {
        let (previous, until) = match self {
            // More of the same, such as a service that moved: the time goes on.
            Self::OnTrial(trial) if !newly_prevents(old, new) => (trial.previous, trial.until),
            Self::OnTrial(trial) => (trial.previous, now.plus(patience)),
            Self::Good | Self::Reverted { .. } => (old.clone(), now.plus(patience)),
        };
        if patience.is_zero() || !newly_prevents(&previous, new) {
            return Self::Good;
        }
        Self::OnTrial(Trial { generation: new.generation, previous, until })
    }

    /// The generation that has to prove itself.
    pub(crate) fn on_trial(&self) -> Option<u64> {
        match self {
            Self::OnTrial(trial) => Some(trial.generation),
            _ => None,
        }
    }

    /// What to go back to, if the time is up. A clock that was set back gives no more than the whole time again.
    pub(super) fn failed(&mut self, patience: Duration, now: Timestamp) -> Option<HostPolicy> {
        let Self::OnTrial(trial) = self else { return None };
        trial.until = trial.until.min(now.plus(patience));
        if now < trial.until {
            return None;
        }
        let policy = HostPolicy { generation: trial.generation, ..trial.previous.clone() };
        *self = Self::Reverted { generation: policy.generation };
        Some(policy)
    }
}
