//! A backup is one state, and becomes a store again.

use std::sync::atomic::{AtomicBool, Ordering};

use cnnf_core::id::HostId;
use cnnf_store::{Store, StoreError};

use crate::place::{Place, enrol, report};

#[test]
fn a_backup_under_load_is_one_state_and_holds_what_was_acknowledged() {
    let (place, store) = Place::new();
    enrol(&store, "h-1");
    let folder = tempfile::tempdir().expect("folder");
    let stop = AtomicBool::new(false);
    let files = vec![("ca.key".to_owned(), b"secret".to_vec())];
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut seq = 0;
            while !stop.load(Ordering::Relaxed) {
                seq += 1;
                store.take_in(report("h-1", "a", seq)).wait().expect("taken in");
            }
            seq
        });
        for n in 0..5 {
            let newest = || store.cursors().expect("cursors").get(&HostId::new("h-1")).map_or(0, |cursor| cursor.seq);
            while newest() < 20 * (n + 1) {
                std::thread::yield_now();
            }
            let before = newest();
            let (to, back) = (folder.path().join(format!("backup-{n}")), folder.path().join(format!("restored-{n}")));
            Store::backup(&place.path(), &to, &files).expect("backed up");
            let after = newest();
            assert_eq!(Store::restore(&to, &back).expect("restored"), files);
            let restored = Store::open(&back).expect("opens");
            restored.check().expect("whole");
            let cursor = restored.cursors().expect("cursors")[&HostId::new("h-1")].seq;
            assert!((before..=after + 1).contains(&cursor), "{before} {cursor} {after}");
            // The edge's count is the report's own number: cursor and content are of one state.
            let counted: Vec<u64> =
                restored.edges().expect("edges").iter().map(|(_, stats)| stats.connections).collect();
            assert_eq!(counted, [cursor]);
        }
        stop.store(true, Ordering::Relaxed);
        println!("{} reports were taken in beside five backups", writer.join().expect("the writer"));
    });
}

#[test]
fn what_is_no_backup_is_refused_and_nothing_is_overwritten() {
    let (place, store) = Place::new();
    enrol(&store, "h-1");
    drop(store);
    let folder = tempfile::tempdir().expect("folder");
    let at = |name: &str| folder.path().join(name);
    let refused = |from: &str| {
        let error = Store::restore(&at(from), &at("new")).expect_err(from);
        assert!(!at("new").exists(), "{from}: nothing is left");
        error
    };
    assert!(matches!(refused("absent"), StoreError::Missing(_)));
    std::fs::write(at("text"), "no database, but long enough to be looked at: ".repeat(100)).expect("written");
    assert!(matches!(refused("text"), StoreError::Corrupt(_)));
    std::fs::copy(place.path(), at("database")).expect("copied");
    assert!(matches!(refused("database"), StoreError::NoBackup(_)));

    Store::backup(&place.path(), &at("backup"), &[]).expect("backed up");
    assert!(matches!(Store::backup(&place.path(), &at("backup"), &[]), Err(StoreError::Exists(_))));
    let mut bytes = std::fs::read(at("backup")).expect("read");
    let middle = bytes.len() / 2;
    bytes[middle..middle + 4096].fill(0xff);
    std::fs::write(at("damaged"), &bytes).expect("written");
    assert!(matches!(refused("damaged"), StoreError::Corrupt(_)));
    std::fs::write(at("new"), "mine").expect("written");
    assert!(matches!(Store::restore(&at("backup"), &at("new")), Err(StoreError::Exists(_))));
    assert_eq!(std::fs::read(at("new")).expect("read"), b"mine");
}
