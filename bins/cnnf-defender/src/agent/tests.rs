use cnnf_core::net::Ports;
use cnnf_core::policy::{HostRule, LocalMatch, Mode, OnFailure, PeerMatch, Reason, RuleId, ServicePattern};
use cnnf_core::ruleset::Set;

use super::*;

fn agent() -> Agent {
    agent_with(None)
}

fn agent_with(policy: Option<HostPolicy>) -> Agent {
    let agent = Agent::new(Stamps::default(), None, policy, QueueBackend::Xt, Failsafes::with_controller(7443));
    Agent { begun: true, ..agent }
}

fn seen(path: &str, id: u64) -> Event {
    Event::Observed(vec![Observation::CgroupSeen { path: path.into(), id }])
}

fn table(effects: &[Effect]) -> Option<&Ruleset> {
    effects.iter().find_map(|e| if let Effect::Table(table) = e { Some(&**table) } else { None })
}

fn statuses(effects: &[Effect]) -> Vec<(u64, &str)> {
    effects
        .iter()
        .filter_map(|e| {
            if let Effect::Status { generation, outcome, .. } = e { Some((*generation, *outcome)) } else { None }
        })
        .collect()
}

#[test]
fn a_new_service_is_in_the_table_without_a_new_epoch() {
    let mut a = agent();
    let effects = a.handle(seen("/system.slice/web.service", 7), Timestamp(1));
    assert!(table(&effects).is_some());
    let epochs = a.epochs;
    let effects = a.handle(seen("/system.slice/db.service", 8), Timestamp(2));
    let Some(Set::Cgroups(cgroups)) = table(&effects).and_then(|t| t.sets.get("cgroups")) else {
        panic!("{effects:?}")
    };
    assert_eq!(cgroups.keys().copied().collect::<Vec<_>>(), [7, 8]);
    assert_eq!(a.epochs, epochs);
    assert!(a.handle(seen("/system.slice/db.service", 8), Timestamp(3)).is_empty());
}

#[test]
fn the_first_rule_for_a_known_service_has_its_live_connections_judged_again() {
    let mut a = agent();
    a.handle(seen("/system.slice/web.service", 7), Timestamp(1));
    let epochs = a.epochs;
    let rule = |service: &str| HostRule {
        reason: Reason::Rule { id: RuleId(1), name: "one".into(), revision: 1 },
        local: LocalMatch::Service(ServicePattern(service.into())),
        peer: PeerMatch::Any,
        ports: Ports::Any,
        effect: cnnf_core::policy::Effect::Prevent,
        on_failure: OnFailure::Open,
    };
    let policy = |generation, egress| HostPolicy { generation, egress, ..HostPolicy::default() };
    let mut take = |policy| a.handle(Event::Policy(Box::new(policy)), Timestamp(2));
    assert_eq!(table(&take(policy(1, vec![rule("unit:none")]))), None);
    assert!(table(&take(policy(2, vec![rule("unit:web")]))).is_some());
    assert_eq!(a.epochs, epochs + 1);
    // one that comes under that policy has no connections yet
    a.policy.egress.push(rule("unit:db"));
    assert!(table(&a.handle(seen("/system.slice/db.service", 8), Timestamp(3))).is_some());
    assert_eq!(a.epochs, epochs + 1);
}

#[test]
fn there_is_no_table_before_the_hosts_services_are_known() {
    let mut a = Agent { begun: false, ..agent() };
    let own = || ["10.0.0.1".parse().expect("address")].into();
    assert_eq!(table(&a.handle(Event::Addresses { own: own(), uplinks: own() }, Timestamp(1))), None);
    assert_eq!(table(&a.handle(seen("/system.slice/web.service", 7), Timestamp(1))), None);
    let effects = a.handle(Event::Begun, Timestamp(1));
    let Some(Set::Cgroups(cgroups)) = table(&effects).and_then(|table| table.sets.get("cgroups")) else {
        panic!("{effects:?}")
    };
    assert_eq!(cgroups.keys().copied().collect::<Vec<_>>(), [7]);
}

#[test]
fn the_first_table_knows_the_ports_of_udp_servers() {
    let mut a = agent().with_udp_ports([53].into());
    let effects = a.handle(seen("/system.slice/dns.service", 7), Timestamp(1));
    let ports = |effects: &[Effect]| table(effects).map(|table| table.sets.get("udp_ports").cloned());
    assert_eq!(ports(&effects), Some(Some(Set::Ports([(17, 53)].into()))));
    // a look at whose they are is newer
    assert_eq!(ports(&a.handle(Event::Listening(Vec::new()), Timestamp(2))), Some(None));
}

#[test]
fn a_policy_is_kept_applied_and_announced_and_never_goes_back() {
    let mut a = agent();
    a.handle(seen("/system.slice/web.service", 7), Timestamp(1));
    a.handle(Event::Applied(Ok(())), Timestamp(1));
    let policy = |generation, mode| Event::Policy(Box::new(HostPolicy { generation, mode, ..HostPolicy::default() }));
    let effects = a.handle(policy(5, Mode::Enforce), Timestamp(2));
    assert!(matches!(effects[0], Effect::KeepPolicy(_)));
    assert_eq!(statuses(&effects), [(5, "applied")], "it says nothing that the table does not say already");
    let effects = a.handle(policy(4, Mode::Observe), Timestamp(3));
    assert_eq!(statuses(&effects), [(4, "refused")]);
    assert_eq!(a.policy().generation, 5);
}

#[test]
fn a_table_that_is_refused_is_tried_again() {
    let mut a = agent();
    a.policy.generation = 3;
    a.handle(seen("/system.slice/web.service", 7), Timestamp(1));
    let effects = a.handle(Event::Applied(Err("no".into())), Timestamp(1000));
    assert_eq!(statuses(&effects), [(3, "failed")]);
    assert!(!a.handle(Event::Tick, Timestamp(2000)).contains(&Effect::Repair));
    assert!(a.handle(Event::Tick, Timestamp(6001)).contains(&Effect::Repair));
    assert!(a.handle(Event::Applied(Err("no".into())), Timestamp(6001)).is_empty(), "said once");
    assert_eq!(statuses(&a.handle(Event::Applied(Ok(())), Timestamp(6002))), [(3, "applied")]);
}

#[test]
fn the_queue_is_answered_after_the_table_knows_the_service() {
    let mut a = agent();
    let key = ServiceKey::program("/usr/bin/curl");
    let effects = a.handle(Event::Identified { key: key.clone(), answer: 9 }, Timestamp(1));
    let at = |wanted: fn(&Effect) -> bool| effects.iter().position(wanted);
    assert!(at(|e| matches!(e, Effect::Table(_))) < at(|e| matches!(e, Effect::Answer { .. })));
    let slot = a.resolver().slots().get(&key).expect("a slot");
    assert_eq!(a.handle(Event::Identified { key, answer: 10 }, Timestamp(2)), [Effect::Answer { answer: 10, slot }]);
}

#[test]
fn a_slot_is_kept_before_a_label_carries_it() {
    let mut a = agent();
    a.handle(seen("/system.slice/web.service", 7), Timestamp(1));
    let program = |name: &str| ServiceKey::program(&format!("/usr/bin/{name}"));
    let listening = Observation::Listening { service: program("listens"), endpoints: Vec::new() };
    a.handle(Event::Listening(vec![listening]), Timestamp(2));
    for (key, answer) in [(program("sends"), 1), (program("listens"), 2)] {
        a.resolver.learn(&program(&format!("another-{answer}")));
        let effects = a.handle(Event::Identified { key, answer }, Timestamp(3));
        let at = |wanted: fn(&Effect) -> bool| effects.iter().position(wanted);
        let kept = at(|e| matches!(e, Effect::KeepStamps { .. }));
        assert!(kept.is_some() && kept < at(|e| matches!(e, Effect::Answer { .. })), "{effects:?}");
    }
}

#[test]
fn epochs_move_on_with_the_policy_and_their_bits_are_cleared_before_they_come_again() {
    let mut a = agent();
    a.handle(seen("/system.slice/web.service", 7), Timestamp(1));
    a.epochs = 31;
    let mut old = Ruleset::default();
    old.chains.insert("old".into(), cnnf_core::ruleset::Chain::default());
    a.table = Some(old.into());
    let mut effects = Vec::new();
    assert!(a.rebuild(&mut effects));
    assert_eq!(effects[0], Effect::ClearEpoch(0));
    assert_eq!(a.epochs, 32);
}

#[test]
fn a_loss_is_dumped_for_and_reported() {
    let mut a = agent();
    let lost = || Event::Observed(vec![Observation::Lost { at: Timestamp(50) }]);
    assert_eq!(a.handle(lost(), Timestamp(50)), [Effect::Dump]);
    assert!(a.handle(lost(), Timestamp(51)).is_empty(), "one dump for both");
    let effects = a.handle(Event::Dumped(Vec::new()), Timestamp(60));
    let [Effect::Report(Body::Gap(gap))] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!((gap.from_ms, gap.until_ms), (50, 60));
}

#[test]
fn the_time_between_two_runs_is_a_gap() {
    let earlier = |resumed, alive| {
        let stamps = Stamps { resumed, ..Stamps::default() };
        let mut a = Agent::new(stamps, alive, None, QueueBackend::Xt, Failsafes::with_controller(7443));
        a.handle(Event::Dumped(Vec::new()), Timestamp(60))
    };
    let effects = earlier(true, Some(Timestamp(20)));
    let [Effect::Report(Body::Gap(gap))] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!((gap.from_ms, gap.until_ms), (20, 60));
    assert!(earlier(false, Some(Timestamp(20))).is_empty(), "another boot's connections are none of this one's");
}

#[test]
fn release_removes_the_table_and_stays_out() {
    let mut a = agent();
    a.handle(seen("/system.slice/web.service", 7), Timestamp(1));
    assert_eq!(a.handle(Event::Release, Timestamp(2)), [Effect::Remove]);
    assert!(a.handle(seen("/system.slice/db.service", 8), Timestamp(3)).is_empty());
    assert!(a.handle(Event::Tampered { by: Vec::new() }, Timestamp(4)).is_empty());
}

fn denying(generation: u64, port: &str) -> HostPolicy {
    let rule = cnnf_core::policy::HostRule {
        reason: Reason::Rule { id: RuleId(1), name: "deny".into(), revision: 1 },
        local: LocalMatch::Any,
        peer: PeerMatch::Any,
        ports: Ports::parse(&[port]).expect("ports"),
        effect: cnnf_core::policy::Effect::Prevent,
        on_failure: OnFailure::Open,
    };
    HostPolicy { generation, mode: Mode::Enforce, egress: vec![rule], ..HostPolicy::default() }
}

/// An agent on which the kernel takes every table, with what it kept.
struct Trying {
    agent: Agent,
    kept: Standing,
}

impl Trying {
    fn new(agent: Agent, standing: Standing) -> Self {
        let agent = agent.with_trials(Duration::from_secs(45), standing.clone());
        Self { agent, kept: standing }
    }

    fn handle(&mut self, event: Event, seconds: u64) -> Vec<Effect> {
        let at = Timestamp(seconds * 1000);
        let mut effects = self.agent.handle(event, at);
        if table(&effects).is_some() {
            effects.extend(self.agent.handle(Event::Applied(Ok(())), at));
        }
        for effect in &effects {
            if let Effect::KeepStanding(standing) = effect {
                self.kept = standing.clone();
            }
        }
        effects
    }

    fn policy(&mut self, policy: &HostPolicy, seconds: u64) -> Vec<Effect> {
        self.handle(Event::Policy(Box::new(policy.clone())), seconds)
    }
}

fn notices(effects: &[Effect]) -> Vec<String> {
    let notice = |e: &Effect| match e {
        Effect::Report(Body::Notice(notice)) => Some(notice.kind.clone()),
        _ => None,
    };
    effects.iter().filter_map(notice).collect()
}

#[test]
fn a_policy_that_does_not_prove_itself_is_undone_once_and_for_all() {
    let mut t = Trying::new(agent(), Standing::Good);
    t.handle(seen("/system.slice/web.service", 7), 1);
    let effects = t.policy(&denying(5, "any"), 10);
    assert!(effects.contains(&Effect::Prove(Some(5))));
    let kept = effects.iter().position(|e| matches!(e, Effect::KeepStanding(_)));
    assert!(kept < effects.iter().position(|e| matches!(e, Effect::KeepPolicy(_))), "or a crash would make it good");
    assert_eq!(statuses(&effects), [(5, "applied")]);
    assert!(statuses(&t.handle(Event::Tick, 54)).is_empty());
    let effects = t.handle(Event::Tick, 55);
    assert_eq!((statuses(&effects), notices(&effects)), (vec![(5, "reverted")], vec!["reverted".to_owned()]));
    assert!(table(&effects).is_some() && effects.contains(&Effect::Prove(None)));
    assert_eq!(*t.agent.policy(), HostPolicy { generation: 5, ..HostPolicy::default() });
    assert!(statuses(&t.handle(Event::Tick, 500)).is_empty(), "once");

    // whoever sends it again learns what became of it, also after a restart; the next generation is tried anew
    assert_eq!(statuses(&t.policy(&denying(5, "any"), 501)), [(5, "reverted")]);
    let policy = t.agent.policy().clone();
    let mut t = Trying::new(agent_with(Some(policy)), t.kept);
    assert_eq!(statuses(&t.policy(&denying(5, "any"), 502)), [(5, "reverted")]);
    assert!(t.policy(&denying(6, "tcp/80"), 503).contains(&Effect::Prove(Some(6))));
}

#[test]
fn a_policy_that_proves_itself_holds() {
    let mut t = Trying::new(agent(), Standing::Good);
    t.handle(seen("/system.slice/web.service", 7), 1);
    t.policy(&denying(5, "any"), 10);
    assert!(t.handle(Event::Proved { generation: 4 }, 11).is_empty(), "another one's proof is none");
    assert_eq!(t.handle(Event::Proved { generation: 5 }, 12), [Effect::KeepStanding(Standing::Good)]);
    assert!(statuses(&t.handle(Event::Tick, 100)).is_empty());
    assert_eq!(t.agent.policy().generation, 5);
    let effects = t.policy(&denying(6, "tcp/80"), 101);
    assert!(effects.contains(&Effect::Prove(Some(6))), "another rule is another trial");
    let fewer = HostPolicy { generation: 7, ..HostPolicy::default() };
    assert!(t.policy(&fewer, 102).contains(&Effect::Prove(None)), "what refuses nothing needs no proof");
}

#[test]
fn a_trial_ends_in_time_whatever_happens() {
    // services that move meanwhile do not put it off
    let mut t = Trying::new(agent(), Standing::Good);
    t.policy(&denying(5, "any"), 10);
    for generation in 6..40 {
        let mut moved = denying(generation, "any");
        moved.groups.insert(cnnf_core::policy::GroupId(u32::try_from(generation).expect("few")), Default::default());
        let effects = t.policy(&moved, 10 + generation);
        assert!(!statuses(&effects).contains(&(generation, "reverted")), "{generation}");
    }
    assert_eq!(statuses(&t.handle(Event::Tick, 55)), [(39, "reverted")]);

    // a restart, with a clock that was set back
    let mut t = Trying::new(agent(), Standing::Good);
    t.policy(&denying(5, "any"), 1000);
    let mut t = Trying::new(agent_with(Some(denying(5, "any"))), t.kept);
    assert!(t.handle(seen("/system.slice/web.service", 7), 20).contains(&Effect::Prove(Some(5))));
    assert!(statuses(&t.handle(Event::Tick, 20)).is_empty());
    assert_eq!(statuses(&t.handle(Event::Tick, 65)), [(5, "reverted")]);

    // killed between keeping the trial and keeping the policy: there is nothing to undo
    let on_trial = Standing::OnTrial(Trial { generation: 9, previous: denying(4, "tcp/1"), until: Timestamp(1) });
    let mut t = Trying::new(agent_with(Some(denying(8, "any"))), on_trial);
    assert!(statuses(&t.handle(Event::Tick, 99)).is_empty());
}

#[test]
fn a_changed_table_is_repaired_at_once_and_ever_later_where_somebody_keeps_on() {
    let mut a = agent();
    a.handle(seen("/system.slice/web.service", 7), Timestamp(1));
    let by = || vec![Culprit { name: "nft".into(), process: cnnf_core::event::Process::default() }];
    let mut waits = Vec::new();
    let mut now = 1000;
    for _ in 0..30 {
        let effects = a.handle(Event::Tampered { by: by() }, Timestamp(now));
        assert_eq!(notices(&effects), ["tamper"]);
        let began = now;
        let mut repaired = effects.contains(&Effect::Repair);
        while !repaired {
            now += 50;
            repaired = a.handle(Event::Tick, Timestamp(now)).contains(&Effect::Repair);
        }
        waits.push(now - began);
    }
    assert!(waits[..20].iter().all(|wait| *wait == 0), "{waits:?}");
    assert_eq!(waits[20..26], [250, 500, 1000, 2000, 4000, 5000]);
    let later = a.handle(Event::Tampered { by: by() }, Timestamp(now + 61_000));
    assert!(later.contains(&Effect::Repair), "it is forgotten after a minute");
}

#[test]
fn what_passed_without_a_verdict_is_told_with_its_number() {
    let mut a = agent();
    assert!(notices(&a.handle(Event::Tick, Timestamp(100_000))).is_empty());
    a.handle(Event::Unjudged { passed: 3, lost: 0 }, Timestamp(100_000));
    a.handle(Event::Unjudged { passed: 0, lost: 0 }, Timestamp(100_001));
    assert_eq!(notices(&a.handle(Event::Tick, Timestamp(100_002))), ["fail_open"]);
    a.handle(Event::Unjudged { passed: 4, lost: 0 }, Timestamp(100_003));
    assert!(notices(&a.handle(Event::Tick, Timestamp(100_004))).is_empty(), "not too often");
    let effects = a.handle(Event::Tick, Timestamp(110_002));
    let count = effects.iter().find_map(|e| if let Effect::Report(Body::Notice(n)) = e { Some(n.count) } else { None });
    assert_eq!(count, Some(4));
    a.handle(Event::Unjudged { passed: 2, lost: 5 }, Timestamp(110_003));
    let effects = a.handle(Event::Tick, Timestamp(120_003));
    let told = effects.iter().find_map(|e| if let Effect::Report(Body::Notice(n)) = e { Some(n) } else { None });
    let told = told.expect("a notice");
    assert!(told.count == 7 && told.message.contains("2 passed, 5 were lost"), "{told:?}");
}
