//! Rules and objects.

use cnnf_core::event::EventKind;
use cnnf_core::id::ServiceKey;
use cnnf_core::identity::Definition;
use cnnf_core::net::Ports;
use cnnf_core::policy::{AddressObject, Effect, End, Mode, OnFailure, Rule, RuleHits, RuleId, ServicePattern};
use cnnf_core::time::Timestamp;
use cnnf_store::{
    DefinitionRow, DefinitionState, Intake, NewEvent, PolicyState, RuleUse, StoreError, Subject, Taken, Unconfirmed,
};

use crate::place::{Place, audit, author, enrol, report};

pub(crate) fn rule(id: u64, name: &str) -> Rule {
    Rule {
        id: RuleId(id),
        name: name.to_owned(),
        enabled: true,
        source: End::Any,
        destination: End::Service {
            pattern: ServicePattern("unit:postgresql@*".to_owned()),
            labels: "env=prod".parse().expect("labels"),
        },
        ports: Ports::parse(&["tcp/5432", "udp/53"]).expect("ports"),
        effect: Effect::Prevent,
        on_failure: OnFailure::Closed,
        learned_allow: true,
        expires_at: Some(Timestamp(123)),
        owner: "dba".to_owned(),
        ticket: "OPS-12".to_owned(),
        notes: "naïve\n\"quoted\"; DROP TABLE rules".to_owned(),
        revision: 1,
    }
}

pub(crate) fn state(revision: u64, rules: Vec<Rule>) -> PolicyState {
    PolicyState { revision, last_rule: 9, rules: rules.into(), ..PolicyState::default() }
}

#[test]
fn rules_keep_order_and_content() {
    let (place, store) = Place::new();
    let empty = store.policy().expect("policy");
    assert_eq!(empty, PolicyState::default());
    let mut one = state(1, vec![rule(1, "a"), rule(2, "b"), rule(3, "c")]);
    let office = AddressObject { name: "office".to_owned(), addresses: vec!["10.8.0.0/16".parse().expect("net")] };
    one.objects.insert("office".to_owned(), office);
    store.save_policy(&empty, &one, author(), Vec::new(), audit()).wait().expect("saved");
    let two = state(2, vec![rule(3, "c"), rule(4, "d"), Rule { effect: Effect::Allow, ..rule(1, "a") }]);
    store.save_policy(&one, &two, author(), Vec::new(), audit()).wait().expect("saved");
    drop(store);
    assert_eq!(place.reopen().policy().expect("policy"), two);
}

/// Rules are put in, moved, changed and taken out at places that a fixed sequence chooses, often the same ones: so often that there is no room
/// between two of them any more.
#[test]
fn the_order_holds_over_many_changes() {
    let (place, store) = Place::new();
    let mut now = PolicyState::default();
    let mut dice = 7_usize;
    for revision in 1..=200 {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let (what, at) = ((dice >> 33) % 4, (dice >> 40) % (now.rules.len() + 1));
        let mut next = PolicyState { revision, ..now.clone() };
        match what {
            0 => next.rules.insert(at, rule(revision, "at any place")),
            1 if at < next.rules.len() => {
                let moved = next.rules.remove(at).expect("it is there");
                next.rules.insert(next.rules.len() / 2, moved);
            }
            2 if next.rules.len() > 20 => drop(next.rules.remove(at)),
            _ => next.rules.insert(1, rule(revision, "always second")),
        }
        store.save_policy(&now, &next, author(), Vec::new(), audit()).wait().expect("saved");
        assert_eq!(store.policy().expect("policy"), next, "revision {revision}");
        now = next;
    }
    assert!(now.rules.len() > 60, "{}", now.rules.len());
    drop(store);
    assert_eq!(place.reopen().policy().expect("policy"), now);
}

#[test]
fn a_change_on_an_old_revision_is_refused_whole() {
    let (_place, store) = Place::new();
    let empty = PolicyState::default();
    let one = state(1, vec![rule(1, "a")]);
    store.save_policy(&empty, &one, author(), Vec::new(), audit()).wait().expect("saved");
    let late = store.save_policy(&empty, &state(1, vec![rule(2, "b")]), author(), Vec::new(), audit()).wait();
    assert!(matches!(late, Err(StoreError::Stale { seen: 0, newest: 1 })), "{late:?}");
    assert_eq!(store.policy().expect("policy"), one);
}

#[test]
fn uses_are_counted_and_survive_changes() {
    let (_place, store) = Place::new();
    let empty = PolicyState::default();
    let one = state(1, vec![rule(1, "a"), rule(2, "b")]);
    store.save_policy(&empty, &one, author(), Vec::new(), audit()).wait().expect("saved");
    let hits = |last| RuleHits { rule: RuleId(1), connections: 1, last: Timestamp(last) };
    let gone = RuleHits { rule: RuleId(77), ..hits(9) };
    enrol(&store, "h-1");
    let take = |seq| store.take_in(Intake { hits: vec![hits(501 - seq), gone], ..report("h-1", "a", seq) }).wait();
    assert_eq!(take(1).expect("taken"), Taken::Fresh(Vec::new()));
    assert_eq!(take(100).expect("taken"), Taken::Fresh(Vec::new()));
    assert_eq!(take(100).expect("taken"), Taken::Again);
    let two = state(2, vec![rule(2, "b"), Rule { enabled: false, ..rule(1, "a") }]);
    store.save_policy(&one, &two, author(), Vec::new(), audit()).wait().expect("saved");
    let uses = store.rule_uses().expect("uses");
    assert_eq!(uses[&RuleId(1)], RuleUse { hits: 2, last_used: Some(Timestamp(500)) });
    assert_eq!(uses[&RuleId(2)], RuleUse::default());
}

#[test]
fn a_change_waits_to_be_confirmed_over_a_restart_and_is_settled_once() {
    let (place, store) = Place::new();
    let empty = PolicyState::default();
    let waiting =
        Unconfirmed { revision: 1, base: 0, who: "admin a".to_owned(), at: Timestamp(10), until: Timestamp(20) };
    let one = PolicyState { unconfirmed: Some(waiting.clone()), ..state(1, vec![rule(1, "a")]) };
    store.save_policy(&empty, &one, author(), Vec::new(), audit()).wait().expect("saved");
    drop(store);
    let store = place.reopen();
    assert_eq!(store.policy().expect("policy"), one, "in the transaction that changes the rules");
    let other = store.confirm_policy(2, &author(), audit()).wait();
    assert!(matches!(other, Err(StoreError::NotFound(_))), "{other:?}");
    store.confirm_policy(1, &author(), audit()).wait().expect("confirmed");
    store.confirm_policy(1, &author(), audit()).wait().expect_err("only once");
    let confirmed = PolicyState { unconfirmed: None, ..one };
    assert_eq!(store.policy().expect("policy"), confirmed);

    let waiting = Unconfirmed { revision: 2, base: 1, ..waiting };
    let two = PolicyState { unconfirmed: Some(waiting), ..state(2, Vec::new()) };
    store.save_policy(&confirmed, &two, author(), Vec::new(), audit()).wait().expect("saved");
    let three = state(3, vec![rule(1, "a")]);
    let told = NewEvent {
        kind: EventKind::Reverted,
        subject: Subject::System { host: None, message: "undone".to_owned() },
        process: None,
        count: 1,
        at: Timestamp(20),
    };
    let told = store.save_policy(&two, &three, author(), vec![told], audit()).wait().expect("undone");
    assert_eq!(told.len(), 1);
    assert_eq!(store.policy().expect("policy"), three);
    let notes: Vec<String> = store.revisions().expect("history").into_iter().map(|revision| revision.note).collect();
    let who = author().who;
    assert_eq!(notes, [String::new(), "not confirmed: undone by revision 3".to_owned(), format!("confirmed by {who}")]);
}

#[test]
fn services_keep_their_modes() {
    let (place, store) = Place::new();
    let key = ServiceKey::unit("nginx");
    store.set_service_mode(key.clone(), Mode::Enforce, audit()).wait().expect("set");
    store.set_service_mode(key.clone(), Mode::Observe, audit()).wait().expect("set");
    drop(store);
    assert_eq!(place.reopen().service_modes().expect("modes"), [(key, Mode::Observe)].into());
}

#[test]
fn definitions_keep_order_and_who_changed_them() {
    let (place, store) = Place::new();
    assert_eq!(store.definitions().expect("read"), DefinitionState::default());
    let row = |name: &str, unit: &str| DefinitionRow {
        definition: Definition {
            name: name.to_owned(),
            units: [unit.to_owned()].into(),
            ports: Ports::parse(&["tcp/80,443"]).expect("ports"),
            labels: "env=prod".parse().expect("labels"),
            ..Definition::default()
        },
        changed_by: "admin \"x\"".to_owned(),
        changed: Timestamp(5),
    };
    let one = DefinitionState { revision: 1, rows: vec![row("b", "x"), row("a", "y")] };
    store.save_definitions(0, one.clone(), audit()).wait().expect("saved");
    drop(store);
    let store = place.reopen();
    assert_eq!(store.definitions().expect("read"), one);
    let two = DefinitionState { revision: 2, rows: vec![row("a", "z")] };
    let stale = store.save_definitions(0, two.clone(), audit()).wait();
    assert!(matches!(stale, Err(StoreError::Stale { seen: 0, newest: 1 })));
    assert_eq!(store.definitions().expect("read"), one);
    store.save_definitions(1, two.clone(), audit()).wait().expect("saved");
    assert_eq!(store.definitions().expect("read"), two);
}
