//! Every old schema becomes the fresh one, with what was in it. `schemas/v1.sql` is what the first version wrote; those between are what became of it.

use std::path::Path;

use cnnf_core::id::ServiceKey;
use cnnf_store::{EventQuery, Store, StoreError};
use refinery::{Migration, Runner, Target, load_sql_migrations};
use rusqlite::Connection;

use crate::place::{Place, audit};

/// Tables and indices as the database has them, but for the history of migrations.
fn schema(path: &Path) -> Vec<String> {
    let connection = Connection::open(path).expect("open");
    let mut statement = connection
        .prepare("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'refinery%' ORDER BY name")
        .expect("prepare");
    let rows = statement.query_map([], |row| row.get::<_, String>(0)).expect("query");
    rows.map(|sql| sql.expect("text").split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

/// A database as version 1 wrote it, brought to `version` as the programs of then did.
fn old(path: &Path, version: &Migration) {
    let mut connection = Connection::open(path).expect("open");
    connection.execute_batch(include_str!("../../schemas/v1.sql")).expect("the old dump loads");
    let all = load_sql_migrations(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations")).expect("migrations");
    Runner::new(&all).set_target(Target::Version(version.version())).run(&mut connection).expect("migrated");
}

#[test]
fn every_version_becomes_the_fresh_one_with_what_was_in_it() {
    let (fresh, store) = Place::new();
    drop(store);
    let all = load_sql_migrations(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations")).expect("migrations");
    assert!(all.len() >= 11, "{}", all.len());
    for version in &all {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("old.db");
        old(&path, version);
        let store = Store::open(&path).unwrap_or_else(|error| panic!("version {version}: {error}"));
        store.check().expect("whole");
        assert_eq!(schema(&path), schema(&fresh.path()), "version {version}");
        assert_eq!(store.hosts().expect("hosts").len(), 1);
        assert_eq!(store.inventories().expect("inventories").len(), 1);
        assert_eq!(store.policy().expect("policy").rules.len(), 1);
        assert_eq!(store.edges().expect("edges").len(), 1);
        assert_eq!(store.models().expect("models")[&ServiceKey::unit("b")].edges.len(), 1);
        assert_eq!(store.events(&EventQuery::default(), 10).expect("events")[0].count, 3);
        let seen_to = store.acknowledge_event(1, "old".to_owned(), audit()).wait().expect("an old event takes a note");
        assert_eq!(seen_to.note, "old");
        assert_eq!(store.settings().expect("settings")["learn_for"], "5s");
        assert_eq!(store.check_audit().expect("read").bad, None);
    }
}

#[test]
fn a_migration_that_fails_changes_nothing() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("old.db");
    let old = Connection::open(&path).expect("open");
    // some migrations later there is a table of this name
    old.execute_batch(concat!(include_str!("../../schemas/v1.sql"), "CREATE TABLE users (x);")).expect("loads");
    drop(old);
    let before = schema(&path);
    assert!(matches!(Store::open(&path), Err(StoreError::Migration(_))));
    assert_eq!(schema(&path), before);
}

#[test]
fn a_newer_schema_is_refused() {
    let (place, store) = Place::new();
    drop(store);
    let connection = Connection::open(place.path()).expect("open");
    let newer = "INSERT INTO refinery_schema_history (version, name, applied_on, checksum) VALUES (9999, 'x', '2026-01-01T00:00:00Z', '1')";
    connection.execute_batch(newer).expect("insert");
    drop(connection);
    assert!(matches!(Store::open(&place.path()), Err(StoreError::Newer { found: 9999, .. })));
}
