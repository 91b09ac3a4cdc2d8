//! Laws of differences: there and back, and no more than needed.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;

use crate::label::Labels;
use crate::policy::{AddressObject, Delta, Effect, End, Misfit, Rule, RuleId, Rules, ServicePattern};

type Content = (Rules, BTreeMap<String, AddressObject>);

fn rule(id: u64, effect: Effect) -> Rule {
    Rule {
        revision: 1,
        ..Rule::new(
            RuleId(id),
            format!("rule {id}"),
            End::Any,
            End::Service { pattern: ServicePattern("unit:db".into()), labels: Labels::default() },
            effect,
        )
    }
}

fn content() -> impl Strategy<Value = Content> {
    let rules = prop::sample::subsequence((1_u64..12).collect::<Vec<_>>(), 0..11).prop_shuffle();
    let rules = rules.prop_flat_map(|ids| {
        ids.into_iter()
            .map(|id| prop::sample::select(Effect::ALL).prop_map(move |effect| rule(id, effect)))
            .collect::<Vec<_>>()
    });
    let rules = rules.prop_map(Rules::from);
    let objects = prop::collection::btree_map("[abc]", vec(0_u8..4, 1..3), 0..3).prop_map(|objects| {
        let object = |(name, nets): (String, Vec<u8>)| {
            let addresses = nets.iter().map(|n| format!("10.{n}.0.0/16").parse().expect("net")).collect();
            (name.clone(), AddressObject { name, addresses })
        };
        objects.into_iter().map(object).collect()
    });
    (rules, objects)
}

fn between(old: &Content, new: &Content) -> Delta {
    Delta::between((&old.0, &old.1), (&new.0, &new.1))
}

proptest! {
    #[test]
    fn a_difference_leads_there_and_back(old in content(), new in content()) {
        let delta = between(&old, &new);
        prop_assert_eq!(delta.is_empty(), old == new);
        let mut there = old.clone();
        prop_assert_eq!(delta.clone().apply(&mut there.0, &mut there.1), Ok(()));
        prop_assert_eq!(&there, &new);
        prop_assert_eq!(delta.reversed().apply(&mut there.0, &mut there.1), Ok(()));
        prop_assert_eq!(there, old);
    }

    #[test]
    fn one_rule_that_moves_is_one_difference(n in 2_usize..20, from in 0_usize..20, to in 0_usize..20) {
        let (from, to) = (from % n, to % n);
        let old: Content = ((1..=n as u64).map(|id| rule(id, Effect::Alert)).collect(), BTreeMap::new());
        let mut new = old.clone();
        let moved = new.0.remove(from).expect("it is there");
        new.0.insert(to, moved);
        let delta = between(&old, &new);
        prop_assert_eq!(delta.rules.len(), usize::from(from != to));
        let unshared: Content = (new.0.iter().cloned().collect(), BTreeMap::new());
        prop_assert_eq!(between(&old, &unshared), delta, "what is the same in memory is only found sooner");
    }
}

#[test]
fn a_difference_fits_only_what_it_was_made_of() {
    let old: Content = (vec![rule(1, Effect::Alert), rule(2, Effect::Alert)].into(), BTreeMap::new());
    let new: Content = (vec![rule(2, Effect::Prevent), rule(3, Effect::Allow)].into(), BTreeMap::new());
    let delta = between(&old, &new);
    assert_eq!(delta.to_string(), "1 added, 1 changed, 1 deleted");
    let mut other = (Rules::from(vec![rule(2, Effect::Alert)]), BTreeMap::new());
    assert_eq!(delta.apply(&mut other.0, &mut other.1), Err(Misfit));
}
