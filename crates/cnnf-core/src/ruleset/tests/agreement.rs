//! `interpret(compile(resolve(P))) == evaluate(P)`, as seen by either side.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::world::{CASES, Case, NOW, World, cases, slot_of};
use crate::id::ServiceKey;
use crate::net::{Protocol, icmp};
use crate::observation::{FlowSeen, Moment};
use crate::policy::{
    Connection, Effect, LocalMatch, Mode, OnFailure, Party, PolicySet, Reason, Vantage, evaluate, resolve,
};
use crate::ruleset::{
    FlowState, Label, LogPrefix, LogReason, Name, Opening, Outcome, Outcomes, Ruleset, Verdict, compile, counter_of,
    cut, judge_connection,
};

fn table(world: &World, case: &Case) -> Ruleset {
    let policy = resolve(&world.policy, &world.directory, &case.host, NOW, 1);
    compile(&policy, &world.facts(&case.host))
}

fn connection(case: &Case, vantage: Vantage) -> Connection {
    let near = Party { host: Some(case.host.clone()), service: Some(case.service.clone()), address: case.near };
    let far = Party { host: case.inside.then(|| case.host.clone()), service: None, address: case.far };
    let (client, server) = match vantage {
        Vantage::Client => (near, far),
        Vantage::Server => (far, near),
    };
    Connection { client, server, protocol: case.protocol, port: case.port }
}

/// What should be seen of a connection at one side, by the meaning of the policy, the host's mode and its failsafes.
fn expected(world: &World, case: &Case, vantage: Vantage) -> Option<LogPrefix> {
    let decision = evaluate(&world.policy, &world.directory, &connection(case, vantage), vantage, NOW);
    let mode = world.policy.mode_of(world.directory.host(&case.host).expect("there").mode, Some(&case.service));
    if world.failsafes.pass(vantage == Vantage::Client, case.protocol, case.port) {
        return None;
    }
    let outcome = Outcome::of(decision.effect, mode)?;
    let reason = LogReason::of(&decision.reason).expect("whoever objects is named");
    Some(LogPrefix { side: vantage, slot: slot_of(&case.service).number(), reason, outcome })
}

/// The counter that should count a connection at one side: of the rule that decides, whatever its effect.
fn counter(world: &World, case: &Case, vantage: Vantage) -> Option<Name> {
    let decision = evaluate(&world.policy, &world.directory, &connection(case, vantage), vantage, NOW);
    match decision.reason {
        Reason::Rule { id, .. } if !world.failsafes.pass(vantage == Vantage::Client, case.protocol, case.port) => {
            Some(counter_of(id))
        }
        _ => None,
    }
}

fn opening(world: &World, case: &Case, vantage: Vantage) -> Opening {
    let end = Some(world.end_of(&case.service));
    let (client, server, local_client, local_server) = match vantage {
        Vantage::Client => (case.near, case.far, end, None),
        Vantage::Server => (case.far, case.near, None, end),
    };
    let (protocol, server_port) = (case.protocol, case.port);
    Opening { client, server, protocol, client_port: 40_000, server_port, local_client, local_server }
}

/// The label under another epoch.
fn unsealed(flow: &FlowState) -> Label {
    let Label([client, server, flags, _]) = flow.label;
    Label([client, server, flags, 0])
}

fn refused(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::Drop | Verdict::Reject | Verdict::RejectTcp)
}

fn check(seen: &Outcomes, expected: &[LogPrefix]) -> Result<(), TestCaseError> {
    prop_assert_eq!(&seen.logs[..], expected);
    let prevented = expected.iter().any(|prefix| prefix.outcome == Outcome::Prevent);
    prop_assert_eq!(refused(seen.verdict), prevented, "{:?}", seen.verdict);
    Ok(())
}

fn config() -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::default() }
}

/// 1,024 worlds a run, four times what `PROPTEST_CASES` says. With [`CASES`] connections in each and two sides that is 98,304 that are judged
/// in [`each_side_does_what_the_policy_means`], and as many halves in [`over_loopback_both_sides_judge`].
fn thorough() -> ProptestConfig {
    ProptestConfig { cases: config().cases * 4, ..config() }
}

proptest! {
    #![proptest_config(thorough())]

    #[test]
    fn each_side_does_what_the_policy_means((world, cases) in cases()) {
        let table = table(&world, &cases[0]);
        for (case, vantage) in both(&cases) {
            let expected: Vec<_> = expected(&world, case, vantage).into_iter().collect();
            let opening = opening(&world, case, vantage);
            let mut flow = FlowState::default();
            let first = judge_connection(&table, &opening, &mut flow);
            check(&first, &expected).map_err(|e| TestCaseError::fail(format!("{vantage:?} {case:?}: {e}\n{table}")))?;
            let counted: Vec<_> = counter(&world, case, vantage).into_iter().collect();
            prop_assert_eq!(&first.counted, &counted, "{:?} {:?}\n{}", vantage, case, table);
            if !refused(first.verdict) {
                let sealed = judge_connection(&table, &opening, &mut flow);
                prop_assert!(sealed.logs.is_empty() && !refused(sealed.verdict), "told of once, then sealed");
                let judged_again = judge_connection(&table, &opening, &mut FlowState { label: unsealed(&flow), ..flow });
                prop_assert_eq!(judged_again.counted, Vec::<Name>::new(), "counted once, also if it is judged again");
            }
        }
    }

    #[test]
    fn over_loopback_both_sides_judge((world, cases) in cases(), server: prop::sample::Index) {
        let table = table(&world, &cases[0]);
        let host = world.directory.host(&cases[0].host).expect("there");
        let servers: Vec<_> = host.instances.keys().cloned().chain([ServiceKey::unknown()]).collect();
        for mut case in cases {
            let own = |a: IpAddr| a.is_loopback() || host.addresses.contains(&a);
            if !(own(case.near) && own(case.far)) {
                (case.near, case.far) = (Ipv4Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into());
                if case.protocol == Protocol::Icmp {
                    case.port = icmp::echo_request(false);
                }
            }
            case.inside = true;
            let service = server.get(&servers).clone();
            let reverse = Case { service, near: case.far, far: case.near, ..case.clone() };
            let mut wanted: Vec<_> = expected(&world, &case, Vantage::Client).into_iter().collect();
            if !wanted.iter().any(|prefix| prefix.outcome == Outcome::Prevent) {
                wanted.extend(expected(&world, &reverse, Vantage::Server));
            }
            let opening = Opening {
                local_server: Some(world.end_of(&reverse.service)),
                ..opening(&world, &case, Vantage::Client)
            };
            let mut counted: Vec<_> = counter(&world, &case, Vantage::Client).into_iter().collect();
            if !wanted.iter().any(|prefix| prefix.outcome == Outcome::Prevent && prefix.side == Vantage::Client) {
                counted.extend(counter(&world, &reverse, Vantage::Server));
            }
            let seen = judge_connection(&table, &opening, &mut FlowState::default());
            prop_assert_eq!(&seen.counted, &counted, "{:?}\n{}", case, table);
            check(&seen, &wanted)
                .map_err(|e| TestCaseError::fail(format!("{case:?}: {e}\n{table}")))?;
        }
    }
}

/// A connection that goes on, as conntrack has it.
fn live(opening: &Opening, label: Label) -> FlowSeen {
    FlowSeen {
        at: NOW,
        id: 1,
        moment: Moment::Alive,
        client: opening.client,
        client_port: opening.client_port,
        server: opening.server,
        server_port: opening.server_port,
        protocol: opening.protocol,
        label,
        replied: true,
        bytes: None,
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn what_another_table_would_cut_is_what_it_refuses((world, cases) in cases()) {
        let now = table(&world, &cases[0]);
        let mut other = world.clone();
        other.policy.rules = world.policy.rules.iter().rev().cloned().collect();
        let then = table(&other, &cases[0]);
        for (case, vantage) in both(&cases) {
            let opening = opening(&world, case, vantage);
            let mut flow = FlowState::default();
            let passed = !refused(judge_connection(&now, &opening, &mut flow).verdict);
            let flow = FlowState { label: unsealed(&flow), evidence: true, ..flow };
            let live = [live(&opening, flow.label)];
            let refuses = refused(judge_connection(&then, &opening, &mut flow.clone()).verdict);
            prop_assert_eq!(cut(&now, &then, &live).count() == 1, passed && refuses, "{:?} {:?}\n{}", vantage, case, then);
            prop_assert_eq!(cut(&now, &now, &live).count(), 0);
        }
    }

    #[test]
    fn failsafe_traffic_passes_under_every_policy((world, cases) in cases()) {
        let table = table(&world, &cases[0]);
        for (case, vantage) in both(&cases) {
            if world.failsafes.pass(vantage == Vantage::Client, case.protocol, case.port) {
                let seen = judge_connection(&table, &opening(&world, case, vantage), &mut FlowState::default());
                prop_assert_eq!(seen.verdict, Verdict::Accept);
            }
        }
    }

    #[test]
    fn observing_and_alerting_never_hold_or_drop((world, cases) in cases(), nobody_listens: bool) {
        let mut observing = world.clone();
        for id in world.directory.ids() {
            observing.directory.change(id, |host| host.mode = Mode::Observe);
        }
        let mut alerting = world;
        alerting.policy = without_prevent(alerting.policy);
        for world in [observing, alerting] {
            let table = table(&world, &cases[0]);
            for (case, vantage) in both(&cases) {
                let mut flow = FlowState { nobody_listens, ..FlowState::default() };
                let seen = judge_connection(&table, &opening(&world, case, vantage), &mut flow);
                prop_assert_eq!(seen.verdict, Verdict::Accept);
                prop_assert!(!flow.evidence);
            }
        }
    }

    #[test]
    fn with_nobody_at_the_queues_what_the_kernel_knows_is_judged((world, cases) in cases()) {
        let table = table(&world, &cases[0]);
        let facts = world.facts(&cases[0].host);
        for (case, vantage) in both(&cases) {
            let known = facts.services.iter().any(|s| s.key == case.service && !s.cgroups.is_empty());
            let mut flow = FlowState { nobody_listens: true, ..FlowState::default() };
            let seen = judge_connection(&table, &opening(&world, case, vantage), &mut flow);
            let prevented = expected(&world, case, vantage).is_some_and(|p| p.outcome == Outcome::Prevent);
            prop_assert!(!(known && prevented) || refused(seen.verdict), "{}", table);
            prop_assert!(prevented || !refused(seen.verdict), "{}", table);
        }
    }
}

proptest! {
    #![proptest_config(config())]

    /// What a closed rule would refuse never passes because user space is away, and nothing is refused that no closed rule speaks of.
    #[test]
    fn closed_rules_hold_what_nobody_can_tell_the_owner_of(
        (mut world, cases) in cases(), closed in prop::collection::vec(any::<bool>(), 8),
    ) {
        let failures = closed.iter().map(|closed| if *closed { OnFailure::Closed } else { OnFailure::Open });
        for (rule, on_failure) in world.policy.rules.iter_mut().zip(failures.cycle()) {
            rule.on_failure = on_failure;
        }
        let table = table(&world, &cases[0]);
        let host_policy = resolve(&world.policy, &world.directory, &cases[0].host, NOW, 1);
        let is_closed = |reason: LogReason| match reason {
            LogReason::Rule(id) => world.policy.rules.iter().any(|r| r.id == id && r.on_failure == OnFailure::Closed),
            LogReason::Model(_) => false,
        };
        for (case, vantage) in both(&cases) {
            let mut flow = FlowState { nobody_listens: true, evidence: true, ..FlowState::default() };
            let seen = judge_connection(&table, &opening(&world, case, vantage), &mut flow);
            let expected = expected(&world, case, vantage).filter(|prefix| prefix.outcome == Outcome::Prevent);
            if let Some(prefix) = expected {
                prop_assert!(!is_closed(prefix.reason) || refused(seen.verdict), "{:?} {:?}\n{}", vantage, case, table);
            } else if refused(seen.verdict) {
                let entries = if vantage == Vantage::Client { &host_policy.egress } else { &host_policy.ingress };
                let speaks = entries.iter().any(|e| e.on_failure == OnFailure::Closed && e.effect == Effect::Prevent);
                prop_assert!(speaks, "{:?} {:?}\n{}", vantage, case, table);
            }
        }
    }
}

fn both(cases: &[Case]) -> impl Iterator<Item = (&Case, Vantage)> {
    cases.iter().flat_map(|case| [Vantage::Client, Vantage::Server].map(|vantage| (case, vantage)))
}

fn without_prevent(mut policy: PolicySet) -> PolicySet {
    let soften = |effect: &mut Effect| *effect = (*effect).min(Effect::Alert);
    policy.rules.iter_mut().for_each(|rule| soften(&mut rule.effect));
    policy.models.values_mut().filter_map(|model| model.anomaly_effect.as_mut()).for_each(soften);
    soften(&mut policy.anomaly_effect);
    policy
}

/// What the properties above were shown: a generator that no longer reaches something would let them pass for nothing.
#[test]
fn the_worlds_reach_everything() {
    let mut runner = TestRunner::deterministic();
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    for _ in 0..thorough().cases {
        let (world, cases) = cases().new_tree(&mut runner).expect("a world").current();
        let policy = resolve(&world.policy, &world.directory, &cases[0].host, NOW, 1);
        let mut count = |what: String| *seen.entry(what).or_default() += 1;
        for entry in policy.egress.iter().chain(&policy.ingress) {
            count(format!("local {}", variant(&entry.local)));
        }
        for (case, vantage) in both(&cases) {
            let family = if case.near.is_ipv4() { "v4" } else { "v6" };
            let failsafe = world.failsafes.pass(vantage == Vantage::Client, case.protocol, case.port);
            let said = expected(&world, case, vantage);
            let outcome = match said {
                _ if failsafe => "failsafe",
                None => "allow",
                Some(prefix) => prefix.outcome.as_str(),
            };
            count(format!("{vantage:?} {family} {} {outcome}", case.protocol));
            if let Some(prefix) = said {
                count(format!(
                    "{vantage:?} by {}",
                    if matches!(prefix.reason, LogReason::Rule(_)) { "rule" } else { "model" }
                ));
            }
        }
    }
    let judged: u32 = seen.iter().filter(|(what, _)| what.contains(" v")).map(|(_, n)| n).sum();
    assert_eq!(judged as usize, 2 * CASES * thorough().cases as usize);
    let mut wanted: Vec<String> = ["Any", "Service", "Addresses", "ServiceAt"].map(|of| format!("local {of}")).into();
    for vantage in ["Client", "Server"] {
        wanted.extend(["rule", "model"].map(|by| format!("{vantage} by {by}")));
        for family in ["v4", "v6"] {
            for protocol in ["tcp", "udp", "sctp", "icmp", "ip47"] {
                let outcomes = ["failsafe", "allow", "alert", "would", "prevent"];
                wanted.extend(outcomes.map(|outcome| format!("{vantage} {family} {protocol} {outcome}")));
            }
        }
    }
    println!("{judged} connections: {seen:#?}");
    let rare: Vec<_> = wanted.iter().filter(|what| seen.get(*what).is_none_or(|n| *n < 5)).collect();
    assert!(rare.is_empty(), "seldom or never reached: {rare:?}");
}

fn variant(local: &LocalMatch) -> &'static str {
    match local {
        LocalMatch::Any => "Any",
        LocalMatch::Service(_) => "Service",
        LocalMatch::Addresses(_) => "Addresses",
        LocalMatch::ServiceAt(..) => "ServiceAt",
    }
}
