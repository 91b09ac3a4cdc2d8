use cnnf_core::policy::Mode;
use cnnf_core::ruleset::Set;

use super::*;

fn agent() -> Agent {
    Agent::new(Stamps::default(), None, None, QueueBackend::Xt, Failsafes::with_controller(7443))
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
fn epochs_move_on_with_the_policy_and_their_bits_are_cleared_before_they_come_again() {
    let mut a = agent();
    a.handle(seen("/system.slice/web.service", 7), Timestamp(1));
    a.epochs = 31;
    a.table = Some(Ruleset::default());
    a.table.as_mut().expect("set").chains.insert("old".into(), cnnf_core::ruleset::Chain::default());
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
    assert!(a.handle(Event::Tampered, Timestamp(4)).is_empty());
}
