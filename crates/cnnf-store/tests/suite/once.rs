//! Calls that are made once.

use cnnf_core::id::HostId;
use cnnf_core::time::Timestamp;
use cnnf_store::{Audit, Made, ONCE_KEPT, ONCE_PER_CALLER, Once, Store};

use crate::place::{Place, audit};

fn once(key: &str, at: u64) -> Once {
    Once { caller: "token ci".to_owned(), key: key.to_owned(), request: "asked".to_owned(), at: Timestamp(at) }
}

fn by(once: &Once) -> Audit {
    Audit { once: Some(once.clone()), ..audit() }
}

fn change(store: &Store, once: &Once) {
    store.set_setting("learn_for".to_owned(), "5s".to_owned(), by(once)).wait().expect("set");
}

fn made(answer: Option<&[u8]>) -> Option<Made> {
    Some(Made { request: "asked".to_owned(), answer: answer.map(<[u8]>::to_vec) })
}

#[test]
fn a_call_is_known_with_its_change_and_answered_over_a_restart() {
    let (place, store) = Place::new();
    let call = once("k1", 1_000);
    assert_eq!(store.made(&call).expect("read"), None);
    change(&store, &call);
    assert_eq!(store.made(&call).expect("read"), made(None), "made, and not answered yet");
    // As after a crash in between.
    drop(store);
    let store = Store::open(&place.path()).expect("open");
    assert_eq!(store.made(&call).expect("read"), made(None));
    store.keep_answer(call.clone(), Some(b"done".to_vec())).wait().expect("kept");
    drop(store);
    let store = Store::open(&place.path()).expect("open");
    assert_eq!(store.made(&call).expect("read"), made(Some(b"done")));
    for other in [Once { caller: "token cd".to_owned(), ..call.clone() }, once("k2", 1_000)] {
        assert_eq!(store.made(&other).expect("read"), None, "{other:?}");
    }
    assert_eq!(store.check_audit().expect("read").bad, None, "it is no part of the record");
}

#[test]
fn a_change_that_fails_leaves_no_trace_of_its_call() {
    let (_place, store) = Place::new();
    let call = once("k1", 1_000);
    store.delete_host(HostId::new("nobody"), by(&call)).wait().expect_err("there is none");
    assert_eq!(store.made(&call).expect("read"), None);
    store.keep_refusal(call.clone(), b"no".to_vec()).wait().expect("nothing to keep");
    assert_eq!(store.made(&call).expect("read"), None, "it may be made anew");
    // One that has changed something before it was refused may not.
    change(&store, &call);
    store.keep_refusal(call.clone(), b"no".to_vec()).wait().expect("kept");
    assert_eq!(store.made(&call).expect("read"), made(Some(b"no")));
}

#[test]
fn a_call_that_changes_nothing_is_known_too() {
    let (_place, store) = Place::new();
    let call = once("k1", 1_000);
    store.keep_answer(call.clone(), Some(b"as it was".to_vec())).wait().expect("kept");
    assert_eq!(store.made(&call).expect("read"), made(Some(b"as it was")));
}

#[test]
fn calls_are_forgotten_after_a_day_and_when_there_are_too_many() {
    let (_place, store) = Place::new();
    let day = u64::try_from(ONCE_KEPT.as_millis()).expect("small");
    change(&store, &once("old", 1_000));
    store.keep_answer(Once { caller: "admin ann".to_owned(), ..once("hers", 2_000) }, None).wait().expect("kept");
    assert_eq!(store.made(&once("old", 1_000 + day)).expect("read"), made(None));
    assert_eq!(store.made(&once("old", 1_001 + day)).expect("read"), None);
    let later: Vec<_> = (0..ONCE_PER_CALLER).map(|n| store.keep_answer(once(&format!("n{n}"), 3_000), None)).collect();
    for kept in later {
        kept.wait().expect("kept");
    }
    assert_eq!(store.made(&once("old", 3_000)).expect("read"), None, "the oldest is forgotten");
    assert_eq!(store.made(&once("n0", 3_000)).expect("read"), made(None), "the others are not");
    let hers = Once { caller: "admin ann".to_owned(), ..once("hers", 3_000) };
    assert_eq!(store.made(&hers).expect("read"), made(None), "nor are another's");
    // A key that is forgotten can be anew.
    change(&store, &once("n0", 3_001 + day));
    assert_eq!(store.made(&once("n0", 3_001 + day)).expect("read"), made(None));
}
