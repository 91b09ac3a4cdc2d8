//! Rules that end by themselves.

use std::time::Duration;

use super::rule::Rule;
use super::rules::Rules;
use crate::event::EventKind;
use crate::time::Timestamp;

/// How long before its end a rule is told of.
pub const WARNING: Duration = Duration::from_secs(24 * 60 * 60);

/// What is to be told after `told` and up to `now`: rules that are about to expire, and rules that have. A rule that was given its expiry
/// later than [`WARNING`] before it is told of once.
pub fn expiries(rules: &Rules, told: Timestamp, now: Timestamp) -> impl Iterator<Item = (EventKind, &Rule)> {
    moments(rules).filter(move |(at, ..)| told < *at && *at <= now).filter_map(move |(_, kind, rule)| {
        // who was away for longer is not told of what is over as if it were to come
        let over = rule.expires_at.is_some_and(|end| end <= now);
        (kind == EventKind::RuleExpired || !over).then_some((kind, rule))
    })
}

/// The next moment after `now` at which a rule expires or is to be told of.
#[must_use]
pub fn next_expiry(rules: &Rules, now: Timestamp) -> Option<Timestamp> {
    moments(rules).map(|(at, ..)| at).filter(|at| *at > now).min()
}

fn moments(rules: &Rules) -> impl Iterator<Item = (Timestamp, EventKind, &Rule)> {
    let ends = rules.iter().filter(|rule| rule.enabled).filter_map(|rule| Some((rule.expires_at?, rule)));
    ends.flat_map(|(end, rule)| {
        [(end.minus(WARNING), EventKind::RuleExpiring, rule), (end, EventKind::RuleExpired, rule)]
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Effect, End, RuleId};

    fn ending(id: u64, end: u64) -> Rule {
        Rule {
            expires_at: Some(Timestamp(end)),
            revision: 1,
            ..Rule::new(RuleId(id), format!("rule {id}"), End::Any, End::Any, Effect::Prevent)
        }
    }

    #[test]
    fn a_rule_is_told_of_a_day_before_and_when_it_ends_and_each_once() {
        let day = 86_400_000;
        let rules = [ending(1, 10 * day), Rule { enabled: false, ..ending(2, 10 * day) }, ending(3, 12 * day + 1)];
        let rules = Rules::from(rules.to_vec());
        let told = |from, to| {
            let all = expiries(&rules, Timestamp(from), Timestamp(to));
            all.map(|(kind, rule)| (kind, rule.id.0)).collect::<Vec<_>>()
        };
        assert_eq!(told(0, 9 * day - 1), []);
        assert_eq!(told(9 * day - 1, 9 * day), [(EventKind::RuleExpiring, 1)]);
        assert_eq!(told(9 * day, 10 * day - 1), []);
        assert_eq!(told(10 * day - 1, 10 * day), [(EventKind::RuleExpired, 1)]);
        assert_eq!(told(0, 11 * day + 1), [(EventKind::RuleExpired, 1), (EventKind::RuleExpiring, 3)]);
        assert_eq!(told(20 * day, 30 * day), []);
        let next = |now| next_expiry(&rules, Timestamp(now)).map(|at| at.0);
        assert_eq!((next(0), next(9 * day), next(10 * day)), (Some(9 * day), Some(10 * day), Some(11 * day + 1)));
        assert_eq!(next(12 * day + 1), None);
    }
}
