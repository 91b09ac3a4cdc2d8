//! What hosts are sent, and which of them, after a change.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::{Index, select};

use crate::directory::{Directory, Endpoint, Host, Instance};
use crate::id::{HostId, ServiceKey};
use crate::label::Labels;
use crate::model::Phase;
use crate::net::Protocol;
use crate::policy::concern::may_meet;
use crate::policy::{
    Concern, Effect, End, Group, GroupId, HostDelta, HostPolicy, HostRule, LocalMatch, MANY_RULES, Mismatch, Mode,
    PeerMatch, PolicySet, Rule, RuleId, ServicePattern, basis, concerned, resolve,
};
use crate::ruleset::tests::world::{NOW, World, world};

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { failure_persistence: None, cases, ..ProptestConfig::default() }
}

fn first(world: &World, generation: u64) -> HostPolicy {
    let id = world.directory.ids().next().expect("a host");
    resolve(&world.policy, &world.directory, id, NOW, generation)
}

proptest! {
    #![proptest_config(config(256))]

    #[test]
    fn a_delta_leads_from_one_policy_to_the_other_or_nowhere(a in world(), b in world(), c in world()) {
        let (a, b, c) = (first(&a, 7), first(&b, 8), first(&c, 7));
        let delta = HostDelta::between(&a, &b);
        prop_assert_eq!(&delta.apply(&a), &Ok(b.clone()));
        if let Ok(made) = delta.apply(&c) {
            prop_assert_eq!(made, b.clone());
        }
        let elsewhere = HostPolicy { generation: 6, ..a.clone() };
        prop_assert_eq!(delta.apply(&elsewhere), Err(Mismatch::From { from: 7, have: 6 }));
        let same = HostDelta::between(&a, &HostPolicy { generation: 9, ..a.clone() });
        prop_assert_eq!(same.size(), 0);
        prop_assert_eq!(a.digest() == b.digest(), HostPolicy { generation: 8, ..a } == b);
    }

    // a host hears of whatever changes for it, and at once of what is about services that it has
    #[test]
    fn whoever_a_move_concerns_is_named(a in world(), b in world(), taken in any::<u8>()) {
        let ids: BTreeSet<&HostId> = a.directory.ids().chain(b.directory.ids()).collect();
        let mixed = ids.into_iter().enumerate().filter_map(|(n, id)| {
            let from = if taken >> n & 1 == 1 { &b } else { &a };
            Some((id.clone(), from.directory.host(id)?.clone()))
        });
        let after: Directory = mixed.collect();
        let named = concerned(&a.policy, &a.directory, &after, NOW);
        for (id, host) in after.hosts() {
            let old = resolve(&a.policy, &a.directory, id, NOW, 1);
            let new = resolve(&a.policy, &after, id, NOW, 1);
            match named.get(id) {
                None => prop_assert_eq!(&old, &new, "{}", id),
                Some(Concern::Later) => prop_assert_eq!(heard(host, &old), heard(host, &new), "{}", id),
                Some(Concern::Now) => {}
            }
        }
    }

    #[test]
    fn what_decides_for_no_host_leaves_the_basis_as_it_was(
        world in world(), what in 0..10, which: Index, later in select(&[0_u64, 50, 200][..]),
    ) {
        let mut policy = world.policy.clone();
        let rule = (!policy.rules.is_empty()).then(|| which.index(policy.rules.len()));
        let model = (!policy.models.is_empty()).then(|| which.index(policy.models.len()));
        let model = model.and_then(|n| policy.models.values_mut().nth(n));
        match (what, rule, model) {
            (0, Some(n), _) => policy.rules[n].notes.push_str("more"),
            (1, Some(n), _) => policy.rules[n].enabled ^= true,
            (2, Some(n), _) => { policy.rules.remove(n); }
            (3, Some(n), _) => policy.rules[n].learned_allow ^= true,
            (4, Some(n), _) => {
                let mut rules = policy.rules.shared().to_vec();
                rules.swap(0, n);
                policy.rules = rules.into();
            }
            (5, _, Some(model)) => model.edges.values_mut().for_each(|seen| seen.connections += 1),
            (6, _, Some(model)) => { model.edges.pop_first(); }
            (7, _, Some(model)) => model.phase = Phase::Learning,
            (8, _, _) => policy.learning_off ^= true,
            (9, _, _) => policy.objects.values_mut().for_each(|object| object.addresses.truncate(1)),
            _ => {}
        }
        let then = NOW.plus(Duration::from_millis(later));
        if basis(&world.policy, NOW) == basis(&policy, then) {
            for id in world.directory.ids() {
                let old = resolve(&world.policy, &world.directory, id, NOW, 1);
                prop_assert_eq!(old, resolve(&policy, &world.directory, id, then, 1), "{}", id);
            }
        } else {
            prop_assert!(what != 0 && what != 5 || later > 0, "what no host is told of changes nothing");
        }
    }
}

/// What of a policy is about services that a host has, or may have before it says so.
fn heard(host: &Host, policy: &HostPolicy) -> (Vec<HostRule>, Vec<(GroupId, Group)>) {
    let meets = |rule: &&HostRule| match &rule.local {
        LocalMatch::Service(pattern) | LocalMatch::ServiceAt(pattern, _) => may_meet(host, &pattern.0),
        LocalMatch::Any | LocalMatch::Addresses(_) => true,
    };
    let rules: Vec<HostRule> = policy.egress.iter().chain(&policy.ingress).filter(meets).cloned().collect();
    let of = |rule: &HostRule| {
        let local = match rule.local {
            LocalMatch::Addresses(id) | LocalMatch::ServiceAt(_, id) => Some(id),
            LocalMatch::Any | LocalMatch::Service(_) => None,
        };
        let peer = if let PeerMatch::Group(id) = rule.peer { Some(id) } else { None };
        local.into_iter().chain(peer)
    };
    let ids: BTreeSet<GroupId> = rules.iter().flat_map(of).collect();
    let groups = ids.into_iter().filter_map(|id| Some((id, policy.groups.get(&id)?.clone()))).collect();
    (rules, groups)
}

fn running(n: u8, labels: &str, services: &[(&str, Option<u16>)]) -> (HostId, Host) {
    let instance = |(key, port): &(&str, Option<u16>)| {
        let endpoint = port.map(|port| Endpoint { protocol: Protocol::Tcp, address: None, port });
        let endpoints = endpoint.into_iter().collect();
        (key.parse::<ServiceKey>().expect("key"), Instance { endpoints, live: true, ..Instance::default() })
    };
    let host = Host {
        name: format!("h{n}"),
        labels: labels.parse::<Labels>().expect("labels"),
        addresses: [[10, 0, 0, n].into()].into(),
        mode: Mode::Enforce,
        instances: services.iter().map(instance).collect(),
    };
    (HostId::new(format!("h{n}")), host)
}

fn fleet(port: u16) -> Directory {
    Directory::from_iter([
        running(1, "env=prod", &[("unit:db", Some(port))]),
        running(2, "env=prod", &[("unit:app", None)]),
        running(3, "env=prod", &[("unit:mail", None)]),
        running(4, "env=test", &[("unit:mail", None)]),
        running(5, "env=prod", &[("exe:/usr/bin/psql", None)]),
    ])
}

fn rule(n: u64, from: &str, labels: &str, to: &str) -> Rule {
    let service = |key: &str, labels: &str| End::Service {
        pattern: ServicePattern(key.into()),
        labels: labels.parse().expect("labels"),
    };
    Rule::new(RuleId(n), format!("rule {n}"), service(from, labels), service(to, ""), Effect::Prevent)
}

/// Whom a move of the database concerns, by number.
fn of_a_move(rules: Vec<Rule>) -> Vec<(String, Concern)> {
    let policy = PolicySet { rules: rules.into(), ..PolicySet::default() };
    let named = concerned(&policy, &fleet(5432), &fleet(5433), NOW);
    named.into_iter().map(|(id, concern)| (id.to_string(), concern)).collect()
}

#[test]
fn a_service_that_moves_is_told_to_who_may_meet_it() {
    let now = |id: &str| (id.to_owned(), Concern::Now);
    let later = |id: &str| (id.to_owned(), Concern::Later);
    assert_eq!(of_a_move(vec![]), [now("h1")], "its own host");
    let app = rule(1, "unit:app", "env=prod", "unit:db");
    let all = [now("h1"), now("h2"), later("h3"), later("h5")];
    assert_eq!(of_a_move(vec![app.clone()]), all, "labels leave a host out");
    let psql = rule(2, "exe:/usr/bin/psql", "", "unit:db");
    let all = ["h1", "h2", "h3", "h4", "h5"].map(now);
    assert_eq!(of_a_move(vec![psql]), all, "a program may connect before anybody has heard of it");
    assert_eq!(of_a_move(vec![rule(3, "unit:app", "", "unit:web")]), [now("h1")], "it is about another service");
    assert_eq!(of_a_move(vec![Rule { enabled: false, ..app }]), [now("h1")]);
}

/// Beyond so many rules a host holds what is about its own services, and about what nobody is told of beforehand; it gets the rest when it
/// tells of more.
#[test]
fn of_many_rules_a_host_gets_its_own() {
    let policy = |rules: usize| {
        let about = ["unit:app", "unit:mail", "unit:ma*", "unit:other", "exe:/usr/bin/psql", "*", "unknown"];
        let rules = (0..rules).map(|n| rule(n as u64 + 1, about[n % about.len()], "", "unit:db"));
        PolicySet { rules: rules.collect(), ..PolicySet::default() }
    };
    let locals = |policy: &PolicySet, directory: &Directory| -> BTreeSet<String> {
        let resolved = resolve(policy, directory, &HostId::new("h3"), NOW, 1);
        let locals = resolved.egress.iter().map(|entry| match &entry.local {
            LocalMatch::Service(pattern) => pattern.0.clone(),
            other => format!("{other:?}"),
        });
        locals.collect()
    };
    let all = ["unit:app", "unit:mail", "unit:ma*", "unit:other", "exe:/usr/bin/psql", "*", "unknown"];
    assert_eq!(locals(&policy(MANY_RULES), &fleet(5432)), all.map(str::to_owned).into());
    let many = policy(MANY_RULES + 1);
    let own = ["unit:mail", "unit:ma*", "exe:/usr/bin/psql", "*", "unknown"];
    assert_eq!(locals(&many, &fleet(5432)), own.map(str::to_owned).into());
    let mut grown = fleet(5432);
    grown.change(&HostId::new("h3"), |host| {
        host.instances.insert("unit:app".parse().expect("key"), Instance { live: true, ..Instance::default() });
    });
    assert_eq!(concerned(&many, &fleet(5432), &grown, NOW).get(&HostId::new("h3")), Some(&Concern::Now));
    assert!(locals(&many, &grown).contains("unit:app"));
}

#[test]
fn a_move_is_a_small_change() {
    let rules = (0..100).map(|n| rule(n + 1, "unit:app", "", "unit:db")).collect();
    let policy = PolicySet { rules, ..PolicySet::default() };
    let app = HostId::new("h2");
    let old = resolve(&policy, &fleet(5432), &app, NOW, 1);
    let new = resolve(&policy, &fleet(5433), &app, NOW, 2);
    let delta = HostDelta::between(&old, &new);
    assert_eq!((delta.egress.as_ref(), delta.ingress.as_ref(), delta.size()), (None, None, 3));
    assert_eq!(delta.apply(&old), Ok(new));
}
