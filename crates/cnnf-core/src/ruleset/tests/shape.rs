//! What holds of every table, whatever it was compiled from.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::world::{NOW, world};
use crate::policy::resolve;
use crate::ruleset::{Action, Match, Name, Rule, Ruleset, Set, compile, state};

fn rules(table: &Ruleset) -> impl Iterator<Item = (&Name, &Rule)> {
    table.chains.iter().flat_map(|(name, chain)| chain.rules.iter().map(move |rule| (name, rule)))
}

fn targets(table: &Ruleset) -> BTreeSet<&Name> {
    let by_rule = rules(table).flat_map(|(_, rule)| &rule.actions).filter_map(|action| match action {
        Action::Jump(to) | Action::Goto(to) => Some(to),
        _ => None,
    });
    let by_map = table.sets.values().filter_map(|set| match set {
        Set::Dispatch(map) => Some(map.values()),
        _ => None,
    });
    by_rule.chain(by_map.flatten()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_table_is_well_formed(world in world()) {
        for id in world.directory.ids() {
            let policy = resolve(&world.policy, &world.directory, id, NOW, 1);
            let facts = world.facts(id);
            let table = compile(&policy, &facts);
            prop_assert_eq!(&table, &compile(&policy, &facts), "the same from the same");
            for (name, rule) in rules(&table) {
                let final_at = rule.actions.iter().position(Action::is_last);
                prop_assert!(final_at.is_none_or(|at| at + 1 == rule.actions.len()), "{}: {}", name, rule);
                let refuses = rule.actions.iter().any(|a| matches!(a, Action::Drop | Action::Reject | Action::RejectTcp));
                prop_assert!(!refuses || name.starts_with("deny_"), "only deny chains refuse: {}: {}", name, rule);
                for action in &rule.actions {
                    if let Action::Log { prefix, .. } = action {
                        prop_assert!(prefix.len() <= 127);
                    }
                }
            }
            for deny in ["deny_out", "deny_in"] {
                let rules = &table.chains[deny].rules;
                let safe = rules.iter().take_while(|r| r.actions == [Action::Counter, Action::Accept]).count();
                prop_assert!(rules[safe..].iter().all(|r| !r.actions.contains(&Action::Accept)), "failsafes come first");
            }
            // most packets are of connections that were judged: each has its seal and its state looked at, and nothing else
            for (base, late) in [("out", "late_out"), ("in", "late_in")] {
                let first = &table.chains[base].rules[0];
                prop_assert!(matches!(first.matches[..], [Match::LabelBits { word: 3, set: true, .. }]), "{}", first);
                prop_assert_eq!(&first.actions, &[Action::Accept]);
                let [only] = &table.chains[late].rules[..] else { return Err(TestCaseError::fail("one rule")) };
                prop_assert_eq!(&only.matches, &[Match::StateAny(state::NEW | state::RELATED)]);
            }
            let targets = targets(&table);
            for name in &targets {
                prop_assert!(table.chains.contains_key(*name), "{} is not there", name);
            }
            for (name, chain) in &table.chains {
                let used = chain.base.is_some() || targets.contains(name) || name.starts_with("deny_") || name == "hold";
                prop_assert!(used && name.len() <= 31, "chain {} is never reached", name);
            }
            for set in rules(&table).flat_map(|(_, rule)| rule.sets()) {
                prop_assert!(table.sets.contains_key(set), "set {} is not there", set);
            }
            for (name, set) in &table.sets {
                let used = rules(&table).any(|(_, rule)| rule.sets().any(|used| used == name));
                prop_assert!((used || name.starts_with("evd")) && name.len() <= 31, "set {} is never asked", name);
                if let Set::Addresses(_, ranges) = set {
                    prop_assert!(ranges.windows(2).all(|pair| pair[0].high() < pair[1].low()), "disjoint and sorted");
                }
            }
        }
    }
}
