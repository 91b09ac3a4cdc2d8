//! First packets whose owner nobody could tell, where a rule says that they must not pass.

use super::super::label::Slot;
use super::super::log::{LogPrefix, LogReason, Outcome};
use super::super::{Action, Rule};
use super::Compiler;
use super::services::{comment, entries_of, selects_all};
use super::skeleton::{IN, OUT, Way};
use crate::policy::{Effect, HostRule, LocalMatch, Mode, OnFailure};

impl Compiler<'_> {
    /// Fills the chains of [`Way::closed`] where some rule is closed on failure. Such a packet could be any local service's: one that a closed
    /// rule would refuse of some service is refused, unless what comes before lets every service pass.
    pub(super) fn closed(&mut self) {
        for way in [OUT, IN] {
            let rules = self.closed_rules(way);
            if !rules.is_empty() {
                self.ruleset.chains.entry(way.closed.into()).or_default().rules = rules;
            }
        }
    }

    /// Whether some rule refuses what user space cannot answer for.
    pub(super) fn is_closed(&self, way: Way) -> bool {
        entries_of(self.policy, way).iter().any(|entry| self.refuses(entry))
    }

    fn refuses(&self, entry: &HostRule) -> bool {
        let observed = match &entry.local {
            LocalMatch::Service(pattern) | LocalMatch::ServiceAt(pattern, _) => {
                let mut modes = self.policy.service_modes.iter();
                modes.any(|(key, mode)| key.as_str() == pattern.0 && *mode == Mode::Observe)
            }
            LocalMatch::Any | LocalMatch::Addresses(_) => false,
        };
        entry.on_failure == OnFailure::Closed
            && entry.effect == Effect::Prevent
            && self.policy.mode == Mode::Enforce
            && !observed
    }

    fn closed_rules(&mut self, way: Way) -> Vec<Rule> {
        let policy = self.policy;
        let entries = entries_of(policy, way);
        // what comes after the last one that is closed passes as well
        let Some(last) = entries.iter().rposition(|entry| self.refuses(entry)) else { return Vec::new() };
        let mut rules = Vec::new();
        for entry in &entries[..=last] {
            let closed = self.refuses(entry);
            if !closed && !selects_all(&entry.local) {
                continue;
            }
            let Some(action) = (if closed { self.refuse(way, entry) } else { Some(Action::Return) }) else { continue };
            for matches in self.alternatives(way, entry) {
                rules.push(Rule { matches, actions: vec![action.clone()], comment: comment(&entry.reason) });
            }
        }
        rules
    }

    /// As for an unknown owner, who has the event's client or server then.
    fn refuse(&mut self, way: Way, entry: &HostRule) -> Option<Action> {
        let reason = LogReason::of(&entry.reason)?;
        let prefix = LogPrefix { side: way.side(), slot: Slot::UNKNOWN.number(), reason, outcome: Outcome::Prevent };
        Some(Action::Goto(self.tell(way, prefix, &entry.reason)))
    }
}
