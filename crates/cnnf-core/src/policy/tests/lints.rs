//! What is wrong with rules is said, and a rule that is called shadowed decides nothing.

use proptest::prelude::*;

use super::examples::{rule, service};
use crate::directory::Directory;
use crate::failsafe::Failsafes;
use crate::net::{Ports, Protocol};
use crate::policy::{Effect, End, Fault, Finding, PolicySet, Rule, Span, Vantage, evaluate, lint};
use crate::ruleset::tests::world::{NOW, meetings, rule as any_rule};
use crate::topology::{Edge, Peer};

const SHOP: &str = "unit:shop";
const DB: &str = "unit:db";

fn nothing() -> Failsafes {
    Failsafes { ingress: Ports::Only(Vec::new()), egress: Ports::Only(Vec::new()) }
}

fn edge(client: &str, server: &str, port: u16) -> Edge {
    let peer = |text: &str| text.parse::<Peer>().expect("peer");
    Edge { client: peer(client), server: peer(server), protocol: Protocol::Tcp, port }
}

fn found(rules: Vec<Rule>, seen: &[Edge]) -> Vec<Finding> {
    let mut policy = PolicySet { rules: rules.into(), ..PolicySet::default() };
    for key in [SHOP, DB, "unit:web"] {
        policy.models.insert(key.parse().expect("key"), crate::model::Model::new(NOW));
    }
    lint(&policy, &Directory::default(), &nothing(), seen, Span::Ever, NOW).all
}

fn faults(rules: Vec<Rule>, seen: &[Edge]) -> Vec<(u64, Fault)> {
    found(rules, seen).iter().map(|finding| (finding.rule.0, finding.fault)).collect()
}

fn owned(id: u64, source: End, destination: End, effect: Effect) -> Rule {
    Rule { owner: "ann".into(), ..rule(id, source, destination, effect) }
}

#[test]
fn each_fault_is_found_with_its_reason_and_fix() {
    let ports = |text: &str| Ports::parse(&[text]).expect("ports");
    let seen = [edge(SHOP, DB, 5432)];
    let narrow = || Rule { ports: ports("tcp/5432"), ..owned(1, service(SHOP), service(DB), Effect::Allow) };
    let rest = || owned(2, End::Any, service(DB), Effect::Prevent);
    assert_eq!(faults(vec![narrow(), rest()], &seen), [], "an exception first, then the rest: as it should be");
    let late = Rule { id: crate::policy::RuleId(3), ..narrow() };
    let all = found(vec![rest(), late.clone()], &seen);
    assert_eq!((all.len(), all[0].fault, all[0].other.as_deref()), (1, Fault::Shadowed, Some("rule 2")));
    assert!(all[0].fix.starts_with("move it before"), "{}", all[0].fix);
    let twice = found(vec![narrow(), Rule { name: "again".into(), ..late }], &seen);
    assert_eq!((twice.len(), twice[0].fix.as_str()), (1, "delete it"));

    let unknown = owned(1, service("unit:nobody"), service(DB), Effect::Prevent);
    assert_eq!(faults(vec![unknown], &[]), [(1, Fault::Inert)]);
    let nowhere =
        End::Service { pattern: crate::policy::ServicePattern(SHOP.into()), labels: "env=x".parse().expect("labels") };
    assert_eq!(faults(vec![owned(1, nowhere, service(DB), Effect::Prevent)], &[]), [(1, Fault::Inert)]);

    let from_shop = owned(1, service(SHOP), End::Any, Effect::Prevent);
    let to_db = owned(2, End::Any, service(DB), Effect::Alert);
    assert_eq!(faults(vec![from_shop, to_db], &[]), [(2, Fault::Contradicting)]);

    let wide = owned(1, End::Any, service(DB), Effect::Allow);
    let all = found(vec![wide.clone()], &seen);
    let said: Vec<_> = all.iter().map(|finding| (finding.fault, finding.fix.as_str())).collect();
    assert_eq!(said, [(Fault::Wide, "set its ports to tcp/5432"), (Fault::Wide, "name these in its source")]);
    assert_eq!(found(vec![wide.clone()], &[])[0].why, "nothing that it allows was ever seen");

    let over = Rule { expires_at: Some(NOW), ..owned(1, End::Any, service(DB), Effect::Allow) };
    assert_eq!(faults(vec![over], &seen), [(1, Fault::Expired)]);
    let nobodys = Rule { owner: String::new(), ..narrow() };
    assert_eq!(faults(vec![nobodys.clone()], &seen), [(1, Fault::Ownerless)]);
    assert_eq!(faults(vec![Rule { enabled: false, ..nobodys }], &seen), [], "what does not count is not looked at");
}

#[test]
fn an_earlier_rule_shadows_only_for_as_long_as_it_lasts() {
    let until = |id, expires_at, effect| Rule { expires_at, ..owned(id, End::Any, service(DB), effect) };
    let end = Some(crate::time::Timestamp(NOW.0 + 5));
    let later = Some(crate::time::Timestamp(NOW.0 + 9));
    let shadowed = |first, second| faults(vec![first, second], &[edge(SHOP, DB, 1)]).contains(&(2, Fault::Shadowed));
    assert!(!shadowed(until(1, end, Effect::Alert), until(2, None, Effect::Prevent)));
    assert!(!shadowed(until(1, end, Effect::Alert), until(2, later, Effect::Alert)));
    assert!(shadowed(until(1, later, Effect::Alert), until(2, end, Effect::Alert)));
    assert!(shadowed(until(1, end, Effect::Prevent), until(2, None, Effect::Alert)), "it alerts from then on");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn without_a_shadowed_rule_every_client_is_judged_the_same(
        (world, meetings) in meetings(),
        more in prop::collection::vec(any_rule(), 3..9),
    ) {
        let mut policy = world.policy.clone();
        policy.rules = policy.rules.iter().cloned().chain(more).collect();
        for (n, rule) in policy.rules.iter_mut().enumerate() {
            rule.id = crate::policy::RuleId(n as u64 + 1);
            rule.name = format!("rule {}", n + 1);
        }
        let findings = lint(&policy, &world.directory, &world.failsafes, [], Span::Ever, NOW).all;
        for finding in findings.iter().filter(|finding| finding.fault == Fault::Shadowed) {
            let mut without = policy.clone();
            without.rules = policy.rules.iter().filter(|rule| rule.id != finding.rule).cloned().collect();
            for connection in &meetings {
                let judge = |policy| evaluate(policy, &world.directory, connection, Vantage::Client, NOW);
                prop_assert_eq!(judge(&policy), judge(&without), "{:?} {:?}", finding, connection);
            }
        }
    }
}
