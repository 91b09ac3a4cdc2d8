//! Events are folded and exactly counted.

use cnnf_core::event::EventKind;
use cnnf_core::id::{HostId, ServiceKey};
use cnnf_core::time::Timestamp;
use cnnf_store::{EventQuery, FOLD_WINDOW, MAX_SAMPLES, NewEvent, Store, StoredEvent, Subject};

use crate::place::{Place, audit, event};

fn add(store: &Store, events: Vec<NewEvent>) -> Vec<StoredEvent> {
    store.add_events(events).wait().expect("added")
}

#[test]
fn equal_events_are_one_and_no_connection_is_lost() {
    let (place, store) = Place::new();
    let many: Vec<NewEvent> = (0..25).map(|n| NewEvent { count: 2, ..event(1000 + n, n as u32) }).collect();
    let kept = add(&store, many);
    assert_eq!(kept.len(), 1, "each changed event is told once");
    drop(store);
    let store = place.reopen();
    let kept = store.event(kept[0].id).expect("read").expect("there");
    assert_eq!((kept.count, kept.first, kept.last), (50, Timestamp(1000), Timestamp(1024)));
    let pids: Vec<u32> = kept.samples.iter().map(|process| process.pid).collect();
    assert_eq!(pids, (15..25).rev().collect::<Vec<u32>>(), "the newest {MAX_SAMPLES} processes");
    add(&store, vec![event(500, 24)]);
    let kept = store.event(kept.id).expect("read").expect("there");
    assert_eq!((kept.count, kept.first, kept.last), (51, Timestamp(500), Timestamp(1024)), "one that comes late");
    assert_eq!(kept.samples.len(), MAX_SAMPLES);
}

#[test]
fn what_differs_stays_apart() {
    let (_place, store) = Place::new();
    let prevented = NewEvent { kind: EventKind::RulePrevent, ..event(1000, 1) };
    let mut other_port = event(1000, 1);
    let Subject::Connection { server, .. } = &mut other_port.subject else { unreachable!("a connection's event") };
    server.port = 81;
    assert_eq!(add(&store, vec![event(1000, 1), prevented, other_port]).len(), 3);
}

#[test]
fn folding_ends_when_seen_to_or_old() {
    let (_place, store) = Place::new();
    let window = u64::try_from(FOLD_WINDOW.as_millis()).expect("small");
    let first = add(&store, vec![event(1000, 1)])[0].id;
    assert_eq!(add(&store, vec![event(1000 + window, 1)])[0].id, first);
    let second = add(&store, vec![event(1000 + 2 * window + 1, 1)])[0].id;
    assert_ne!(second, first, "an hour is over");
    let seen_to = store.acknowledge_event(second, "a test".to_owned(), audit()).wait().expect("there");
    assert_eq!((seen_to.acknowledged, seen_to.note.as_str()), (true, "a test"));
    let again = store.acknowledge_event(second, String::new(), audit()).wait().expect("there");
    assert_eq!(again.note, "a test", "a second acknowledgement forgets nothing");
    assert_eq!(store.event(first).expect("read").expect("there").note, "");
    assert_ne!(add(&store, vec![event(1000 + 2 * window + 2, 1)])[0].id, second);
    assert!(store.acknowledge_event(999, String::new(), audit()).wait().is_err());
    let open = EventQuery { open: true, ..EventQuery::default() };
    assert_eq!(store.count_events(&open).expect("count"), 2);
}

#[test]
fn lists_are_filtered_and_come_in_pages() {
    let (_place, store) = Place::new();
    let system = NewEvent {
        kind: EventKind::Gap,
        subject: Subject::System { host: Some(HostId::new("h-1")), message: "lost".to_owned() },
        process: None,
        count: 7,
        at: Timestamp(5000),
    };
    add(&store, vec![system.clone()]);
    for port in 1..=9 {
        let mut new = event(1000 + u64::from(port) / 2, 1);
        let Subject::Connection { server, .. } = &mut new.subject else { unreachable!("a connection's event") };
        server.port = port;
        add(&store, vec![new]);
    }
    let list = |query: &EventQuery, limit| store.events(query, limit).expect("events");
    let all = list(&EventQuery::default(), 100);
    assert_eq!(all.len(), 10);
    assert_eq!((all[0].kind, &all[0].subject, all[0].count), (EventKind::Gap, &system.subject, 7));
    assert!(all.is_sorted_by(|a, b| (a.last, a.id) > (b.last, b.id)));
    let mut paged = Vec::new();
    let mut query = EventQuery::default();
    loop {
        let part = list(&query, 3);
        let Some(last) = part.last() else { break };
        query.before = Some((last.last, last.id));
        paged.extend(part);
    }
    assert_eq!(paged, all);
    let of = |services: &[&str]| EventQuery {
        services: Some(services.iter().map(|key| key.parse::<ServiceKey>().expect("key")).collect()),
        ..EventQuery::default()
    };
    assert_eq!(list(&of(&["unit:b", "unit:z"]), 100).len(), 9);
    assert_eq!(list(&of(&["unit:z"]), 100).len(), 0);
    assert_eq!(list(&of(&[]), 100).len(), 0);
    assert_eq!(list(&EventQuery { kind: Some(EventKind::Gap), ..EventQuery::default() }, 100).len(), 1);
    let range = EventQuery { since: Timestamp(1003), until: Some(Timestamp(4000)), ..EventQuery::default() };
    assert_eq!(list(&range, 100).len(), 4);
}

#[test]
fn events_are_told_by_their_newest_change_in_order_and_none_is_left_out() {
    let (place, store) = Place::new();
    let add = |at, pid| store.add_events(vec![event(at, pid)]).wait().expect("added").remove(0);
    let tamper = NewEvent {
        kind: EventKind::Tamper,
        subject: Subject::System { host: None, message: "somebody".to_owned() },
        ..event(2_000, 1)
    };
    assert_eq!(store.newest_event_change().expect("read"), 0);
    let first = add(1_000, 1);
    let other = store.add_events(vec![tamper]).wait().expect("added").remove(0);
    let again = add(3_000, 2);
    assert_eq!((again.id, again.count), (first.id, 2), "folded");
    assert!(first.change < other.change && other.change < again.change);
    let after = |change| {
        let found = store.events_changed_after(change, 10).expect("read");
        found.into_iter().map(|event| event.change).collect::<Vec<_>>()
    };
    assert_eq!(store.events_changed_after(0, 10).expect("read"), [other.clone(), again.clone()]);
    assert_eq!(after(other.change), [again.change]);
    assert_eq!(store.events_changed_after(0, 1).expect("read").len(), 1);
    let seen_to = store.acknowledge_event(other.id, String::new(), audit()).wait().expect("acknowledged");
    assert_eq!(after(again.change), [seen_to.change]);
    assert_eq!(store.newest_event_change().expect("read"), seen_to.change);
    drop(store);
    let store = Store::open(&place.path()).expect("open");
    assert_eq!(store.newest_event_change().expect("read"), seen_to.change);
    let later = store.add_events(vec![event(4_000, 3)]).wait().expect("added").remove(0);
    assert!(later.change > seen_to.change, "it goes on over a restart");
}
