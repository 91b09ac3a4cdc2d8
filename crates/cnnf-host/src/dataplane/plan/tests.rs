use proptest::prelude::*;

use cnnf_core::net::{AddrRange, Protocol};
use cnnf_core::ruleset::{Family, Side};

use super::*;
use crate::dataplane::fake::Fake;

mod compiled;

const CHAINS: usize = 5;
const SETS: usize = 6;

fn chain_name(n: usize) -> Name {
    format!("c{n}")
}

fn set_name(n: usize) -> Name {
    format!("s{n}")
}

/// Draws a ruleset: base chains that are always there, some of the other chains and sets, rules that refer to what exists.
fn ruleset() -> impl Strategy<Value = Ruleset> {
    let chains = prop::collection::vec(prop::option::of(prop::collection::vec((0_u8..8, 0_usize..12), 0..4)), CHAINS);
    let sets = prop::collection::vec(prop::option::of((0_u8..7, prop::collection::vec(0_u8..20, 0..6))), SETS);
    let base = prop::collection::vec((0_u8..8, 0_usize..12), 0..4);
    (chains, sets, base).prop_map(|(chains, sets, base)| {
        let mut r = Ruleset::default();
        let present: Vec<usize> = (0..CHAINS).filter(|n| chains[*n].is_some()).collect();
        for (n, drawn) in sets.into_iter().enumerate() {
            if let Some((kind, elements)) = drawn {
                r.sets.insert(set_name(n), set(kind, &elements, &present));
            }
        }
        for (n, rules) in chains.into_iter().enumerate() {
            let Some(rules) = rules else { continue };
            let later: Vec<usize> = present.iter().copied().filter(|m| *m > n).collect();
            let rules = rules.into_iter().map(|(kind, target)| rule(&r, kind, target, &later)).collect();
            r.chains.insert(chain_name(n), Chain { base: None, rules });
        }
        let rules = base.into_iter().map(|(kind, target)| rule(&r, kind, target, &present)).collect();
        r.chains.insert("out".into(), Chain { base: Some((Hook::Output, -5)), rules });
        r.chains.insert("in".into(), Chain { base: Some((Hook::Input, -5)), rules: Vec::new() });
        r
    })
}

fn set(kind: u8, elements: &[u8], chains: &[usize]) -> Set {
    let address = |n: u8| std::net::IpAddr::from([10, 0, 0, n]);
    match kind {
        0 => Set::Addresses(Family::V4, {
            let ranges = elements.iter().filter_map(|n| AddrRange::new(address(n * 10), address(n * 10 + n % 5)));
            AddrRange::merge(ranges)
        }),
        1 => Set::Endpoints(Family::V4, elements.iter().map(|n| (address(*n), Protocol::Tcp, u16::from(*n))).collect()),
        2 => Set::Ports(elements.iter().map(|n| (6, u16::from(*n))).collect()),
        3 => Set::Cgroups(elements.iter().map(|n| (u64::from(n / 2), u32::from(*n) + 1)).collect()),
        4 if !chains.is_empty() => Set::Dispatch(
            elements.iter().map(|n| (u32::from(n / 2), chain_name(chains[usize::from(*n) % chains.len()]))).collect(),
        ),
        5 => Set::Flows(Family::V6),
        _ => Set::Pending(Family::V4),
    }
}

fn rule(r: &Ruleset, kind: u8, target: usize, chains: &[usize]) -> Rule {
    let set = set_name(target % SETS);
    let (matches, actions) = match (r.sets.get(&set), kind) {
        (Some(Set::Addresses(family, _)), 0..=4) => {
            (vec![Match::Address { side: Side::Client, family: *family, set }], vec![Action::Return])
        }
        (Some(Set::Endpoints(family, _)), 0..=4) => {
            (vec![Match::Endpoint { side: Side::Server, family: *family, set }], vec![Action::Return])
        }
        (Some(Set::Ports(_)), 0..=4) => (vec![Match::Port { set }], vec![Action::Counter, Action::Accept]),
        (Some(Set::Cgroups(_)), 0..=4) => (vec![], vec![Action::StampCgroup { level: 1, map: set, word: 0 }]),
        (Some(Set::Dispatch(_)), 0..=4) => (vec![], vec![Action::Branch { word: 0, map: set }]),
        (Some(Set::Pending(family)), 0..=4) => (vec![], vec![Action::StampFlow { family: *family, map: set }]),
        (Some(Set::Flows(family)), 0..=4) => (vec![Match::Flow { family: *family, set }], vec![Action::Drop]),
        _ if !chains.is_empty() => (vec![], vec![Action::Jump(chain_name(chains[target % chains.len()]))]),
        _ => (vec![Match::StateAny(8)], vec![Action::Counter]),
    };
    Rule { matches, actions, comment: String::new() }
}

/// 2,048 a run, eight times what `PROPTEST_CASES` says.
fn many() -> ProptestConfig {
    let usual = ProptestConfig::default();
    ProptestConfig { failure_persistence: None, cases: usual.cases * 8, ..usual }
}

fn keeps_bases(applied: &Ruleset, plan: &[Operation]) -> bool {
    !plan.iter().any(|op| matches!(op, Operation::DeleteChain(name) if applied.chains[name].base.is_some()))
}

proptest! {
    #![proptest_config(many())]

    #[test]
    fn a_plan_leads_from_any_ruleset_to_any_other(a in ruleset(), b in ruleset()) {
        let mut fake = Fake::new(a.clone());
        let plan = plan(&a, &b);
        prop_assert_eq!(fake.apply(&plan), Ok(()));
        prop_assert_eq!(fake.ruleset(), &b);
        prop_assert!(keeps_bases(&a, &plan));
    }

    #[test]
    fn ranges_that_come_ahead_judge_nothing_and_lead_to_the_same(a in ruleset(), b in ruleset()) {
        let mut fake = Fake::new(a.clone());
        let (ahead, rest) = ranges_ahead(plan(&a, &b));
        prop_assert_eq!(fake.apply(&ahead), Ok(()));
        prop_assert_eq!(&fake.ruleset().chains, &a.chains);
        for (name, set) in &a.sets {
            prop_assert_eq!(fake.ruleset().sets.get(name), Some(set));
        }
        prop_assert_eq!(fake.apply(&rest), Ok(()));
        prop_assert_eq!(fake.ruleset(), &b);
    }

    #[test]
    fn busy_sets_are_made_before_others(a in ruleset()) {
        let (ahead, rest) = ranges_ahead(plan(&Ruleset::default(), &a));
        let made: Vec<bool> = ahead
            .iter()
            .chain(&rest)
            .filter_map(|op| match op {
                Operation::AddSet(_, set) => Some(is_busy(set)),
                _ => None,
            })
            .collect();
        prop_assert!(made.is_sorted_by(|a, b| a >= b), "{made:?}");
    }

    #[test]
    fn nothing_changes_nothing(a in ruleset()) {
        prop_assert_eq!(plan(&a, &a), vec![]);
    }

    #[test]
    fn other_elements_are_only_elements(a in ruleset(), b in ruleset()) {
        let mut c = a.clone();
        for (name, set) in &mut c.sets {
            if let Some(other) = b.sets.get(name).filter(|other| same_kind(set, other) && !matches!(other, Set::Dispatch(_))) {
                *set = other.clone();
            }
        }
        let only = plan(&a, &c).iter().all(|op| matches!(op, Operation::AddElements(..) | Operation::DeleteElements(..)));
        prop_assert!(only);
    }
}

#[test]
fn a_service_that_comes_or_goes_does_not_judge_live_connections_again() {
    let cgroups = |ids: &[u64]| Set::Cgroups(ids.iter().map(|id| (*id, 16)).collect());
    let mut a = Ruleset::default();
    a.chains.insert("out".into(), Chain { base: Some((Hook::Output, -5)), rules: Vec::new() });
    a.sets.insert("svc".into(), cgroups(&[1, 2]));
    a.sets.insert("eg".into(), Set::Dispatch(BTreeMap::new()));
    let mut b = a.clone();
    b.sets.insert("svc".into(), cgroups(&[2, 3]));
    b.chains.insert("eg_16".into(), Chain::default());
    b.sets.insert("eg".into(), Set::Dispatch([(16, "eg_16".into())].into()));
    assert!(!rejudges(&plan(&a, &b), |_| false));
    assert!(rejudges(&plan(&a, &b), |word| word == 16), "the first rule for a service that has connections");
    let mut c = b.clone();
    let deny = Rule { matches: vec![], actions: vec![Action::Drop], comment: String::new() };
    c.chains.insert("eg_16".into(), Chain { base: None, rules: vec![deny] });
    assert!(rejudges(&plan(&b, &c), |_| false));
    assert!(rejudges(&plan(&c, &b), |_| false));
}
