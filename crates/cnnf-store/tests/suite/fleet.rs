//! Hosts, tokens, generations and settings.

use cnnf_core::id::HostId;
use cnnf_core::policy::Mode;
use cnnf_core::time::Timestamp;
use cnnf_store::{NewToken, StoreError, TokenError};

use crate::place::{Place, audit, certificate, enrol, host, no_labels, token};

#[test]
fn a_token_lets_in_as_often_as_it_may() {
    let (_place, store) = Place::new();
    store.add_token(token("two", 100, 2), audit()).wait().expect("token");
    let enrol = |hash: &str, id: &str, at| {
        store.enrol(hash.to_owned(), host(id), Timestamp(at), audit()).wait().expect("store")
    };
    assert_eq!(enrol("two", "h-1", 1).map(|row| row.name), Ok("h-1".to_owned()));
    assert_eq!(enrol("none", "h-2", 1), Err(TokenError::Unknown));
    assert_eq!(enrol("two", "h-2", 100), Err(TokenError::Expired));
    assert!(enrol("two", "h-2", 99).is_ok());
    assert_eq!(enrol("two", "h-3", 50), Err(TokenError::Used));
    assert_eq!(store.hosts().expect("hosts").len(), 2);
}

#[test]
fn one_use_is_one_use_however_many_try_at_once() {
    let (_place, store) = Place::new();
    store.add_token(token("one", 100, 1), audit()).wait().expect("token");
    let let_in = std::thread::scope(|scope| {
        let tries: Vec<_> = (0..8)
            .map(|n| {
                let store = &store;
                scope
                    .spawn(move || store.enrol("one".to_owned(), host(&format!("h-{n}")), Timestamp(1), audit()).wait())
            })
            .collect();
        tries.into_iter().map(|t| t.join().expect("thread").expect("store")).filter(Result::is_ok).count()
    });
    assert_eq!(let_in, 1);
}

#[test]
fn a_taken_name_gets_a_number() {
    let (_place, store) = Place::new();
    store.add_token(token("t", 100, 9), audit()).wait().expect("token");
    let names: Vec<String> = (0..3)
        .map(|n| {
            let new = cnnf_store::NewHost { name: "web".to_owned(), ..host(&format!("h-{n}")) };
            store.enrol("t".to_owned(), new, Timestamp(1), audit()).wait().expect("store").expect("let in").name
        })
        .collect();
    assert_eq!(names, ["web", "web-2", "web-3"]);
}

#[test]
fn hosts_and_settings_come_back() {
    let (place, store) = Place::new();
    enrol(&store, "h-1");
    store.set_host_mode(HostId::new("h-1"), Mode::Enforce, audit()).wait().expect("mode");
    store.set_host_revoked(HostId::new("h-1"), true, audit()).wait().expect("revoked");
    let heard = vec![(HostId::new("h-1"), "1.2.3".to_owned(), no_labels(), Timestamp(77))];
    store.note_hosts(heard).wait().expect("noted");
    store.set_setting("learn_for".to_owned(), "5s".to_owned(), audit()).wait().expect("setting");
    store.set_setting("learn_for".to_owned(), "6s".to_owned(), audit()).wait().expect("setting");
    let before = store.hosts().expect("hosts");
    drop(store);
    let store = place.reopen();
    assert_eq!(store.hosts().expect("hosts"), before);
    let row = &before[0];
    assert_eq!((row.mode, row.revoked, row.last_seen), (Mode::Enforce, true, Timestamp(77)));
    assert_eq!((row.version.as_str(), &row.labels), ("1.2.3", &no_labels()));
    assert_eq!(store.settings().expect("settings")["learn_for"], "6s");
    let missing = store.set_host_mode(HostId::new("h-9"), Mode::Observe, audit()).wait();
    assert!(matches!(missing, Err(StoreError::NotFound(_))), "{missing:?}");
}

#[test]
fn a_generation_never_goes_back() {
    let (place, store) = Place::new();
    enrol(&store, "h-1");
    let set = |store: &cnnf_store::Store, generation, content: &str| {
        store.set_generations(vec![(HostId::new("h-1"), generation, content.to_owned())]).wait().expect("set");
    };
    set(&store, 5, "five");
    set(&store, 4, "four");
    set(&store, 5, "another five");
    drop(store);
    let store = place.reopen();
    assert_eq!(store.generations().expect("read")[&HostId::new("h-1")], (5, "five".to_owned()));
    set(&store, 6, "six");
    assert_eq!(store.generations().expect("read")[&HostId::new("h-1")], (6, "six".to_owned()));
}

#[test]
fn a_deleted_host_leaves_nothing_and_its_name_is_free() {
    let (place, store) = Place::new();
    enrol(&store, "h-1");
    let generation = |n| store.set_generations(vec![(HostId::new("h-1"), n, "content".to_owned())]).wait();
    generation(1).expect("set");
    store.delete_host(HostId::new("h-1"), audit()).wait().expect("deleted");
    generation(2).expect("what comes late changes nothing");
    assert!(matches!(store.delete_host(HostId::new("h-1"), audit()).wait(), Err(StoreError::NotFound(_))));
    drop(store);
    let store = place.reopen();
    assert_eq!((store.hosts().expect("hosts").len(), store.generations().expect("generations").len()), (0, 0));
    store.add_token(token("t", 100, 1), audit()).wait().expect("token");
    let row = store.enrol("t".to_owned(), host("h-1"), Timestamp(1), audit()).wait().expect("store").expect("let in");
    assert_eq!(row.name, "h-1");
}

#[test]
fn nothing_is_overwritten_and_nothing_is_invented() {
    let (place, store) = Place::new();
    drop(store);
    assert!(matches!(cnnf_store::Store::create(&place.path()), Err(StoreError::Exists(_))));
    let nowhere = place.path().with_file_name("none.db");
    assert!(matches!(cnnf_store::Store::open(&nowhere), Err(StoreError::Missing(_))));
    assert!(!nowhere.exists());
    std::fs::write(&nowhere, "this is no database, but long enough to look at: ".repeat(100)).expect("write");
    assert!(matches!(cnnf_store::Store::open(&nowhere), Err(StoreError::Corrupt(_))));
}

#[test]
fn a_token_gives_labels_that_the_host_cannot_change() {
    let (place, store) = Place::new();
    let labels = "env=test,rack=1".parse().expect("labels");
    store.add_token(NewToken { labels, ..token("bound", 100, 1) }, audit()).wait().expect("token");
    let row =
        store.enrol("bound".to_owned(), host("h-1"), Timestamp(1), audit()).wait().expect("store").expect("let in");
    assert_eq!((row.labels.to_string(), row.bound.to_string()), ("env=test,rack=1".into(), "env=test,rack=1".into()));
    drop(store);
    assert_eq!(place.reopen().hosts().expect("hosts"), [row]);
}

#[test]
fn a_host_gets_its_next_certificate() {
    let (place, store) = Place::new();
    enrol(&store, "h-1");
    store.renew_host(HostId::new("h-1"), certificate("02cd")).wait().expect("renewed");
    let none = store.renew_host(HostId::new("h-2"), certificate("03ef")).wait();
    assert!(matches!(none, Err(StoreError::NotFound(_))), "{none:?}");
    assert_eq!(store.hosts().expect("hosts")[0].certificate, certificate("02cd"));
    let beside = cnnf_store::Store::hosts_beside(&place.path()).expect("read beside the writer");
    assert_eq!(beside, store.hosts().expect("hosts"));
}
