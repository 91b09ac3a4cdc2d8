//! Whether a policy has to prove that it locks nobody out.

use super::host_policy::HostPolicy;
use super::rule::{Effect, Mode};

/// Whether `new` may refuse something that `old` let pass: it refuses at all, and its entries or modes are others, or other services are called as
/// they say. Who is in a group does not count, as that changes with every service that moves.
#[must_use]
pub fn newly_prevents(old: &HostPolicy, new: &HostPolicy) -> bool {
    let shape = |policy: &HostPolicy| (policy.mode, policy.service_modes.clone());
    let same = shape(old) == shape(new) && old.egress == new.egress && old.ingress == new.ingress;
    let same = same && old.definitions == new.definitions;
    !same && prevents(new)
}

fn prevents(policy: &HostPolicy) -> bool {
    let enforces = policy.mode == Mode::Enforce || policy.service_modes.values().any(|mode| *mode == Mode::Enforce);
    enforces && policy.egress.iter().chain(&policy.ingress).any(|rule| rule.effect == Effect::Prevent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Definition;
    use crate::net::Ports;
    use crate::policy::{Group, GroupId, HostRule, LocalMatch, OnFailure, PeerMatch, Reason, RuleId};

    #[test]
    fn what_refuses_more_has_to_prove_itself() {
        let rule = |effect| HostRule {
            reason: Reason::Rule { id: RuleId(1), name: "r".into(), revision: 1 },
            local: LocalMatch::Any,
            peer: PeerMatch::Any,
            ports: Ports::Any,
            effect,
            on_failure: OnFailure::Open,
        };
        let policy = |mode, rules: &[Effect]| HostPolicy {
            mode,
            egress: rules.iter().map(|effect| rule(*effect)).collect(),
            ..HostPolicy::default()
        };
        let nothing = HostPolicy::default();
        let deny = policy(Mode::Enforce, &[Effect::Prevent]);
        assert!(newly_prevents(&nothing, &deny));
        assert!(!newly_prevents(&deny, &deny) && !newly_prevents(&deny, &nothing));
        assert!(!newly_prevents(&nothing, &policy(Mode::Observe, &[Effect::Prevent])));
        assert!(!newly_prevents(&nothing, &policy(Mode::Enforce, &[Effect::Alert])));
        assert!(newly_prevents(&policy(Mode::Observe, &[Effect::Prevent]), &deny), "the mode");
        assert!(
            newly_prevents(&policy(Mode::Enforce, &[Effect::Allow, Effect::Prevent]), &deny),
            "an exception went away"
        );
        let grown = HostPolicy { groups: [(GroupId(1), Group::default())].into(), generation: 9, ..deny.clone() };
        assert!(!newly_prevents(&deny, &grown));
        let renamed = HostPolicy { definitions: vec![Definition::default()], ..deny.clone() };
        assert!(newly_prevents(&deny, &renamed), "a rule may mean what has a new name");
    }
}
