//! What a change of one rule writes.

use cnnf_store::PolicyState;
use rusqlite::Connection;

use crate::place::{Place, audit, author};
use crate::policy::{rule, state};

#[test]
fn one_rule_more_changes_no_other_rules_row() {
    let (place, store) = Place::new();
    let rows = || -> Vec<(i64, i64)> {
        let connection = Connection::open(place.path()).expect("open");
        let mut all = connection.prepare("SELECT id, position FROM rules ORDER BY id").expect("SQL");
        let all = all.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).expect("asked");
        all.collect::<Result<_, _>>().expect("read")
    };
    let mut now = state(1, (1..=100).map(|id| rule(id, &format!("rule {id}"))).collect());
    store.save_policy(&PolicyState::default(), &now, author(), Vec::new(), audit()).wait().expect("saved");
    let first = rows();
    for (id, at) in [(101, 0), (102, 50), (103, 102)] {
        let mut next = PolicyState { revision: now.revision + 1, ..now.clone() };
        next.rules.insert(at, rule(id, &format!("rule {id}")));
        store.save_policy(&now, &next, author(), Vec::new(), audit()).wait().expect("saved");
        assert_eq!(store.policy().expect("policy"), next);
        now = next;
    }
    assert_eq!(rows()[..100], first[..]);
}

/// As they stood before there was room between them.
#[test]
fn rules_that_stand_close_are_placed_anew() {
    let (place, store) = Place::new();
    let now = state(1, (1..=100).map(|id| rule(id, &format!("rule {id}"))).collect());
    store.save_policy(&PolicyState::default(), &now, author(), Vec::new(), audit()).wait().expect("saved");
    drop(store);
    Connection::open(place.path()).expect("open").execute("UPDATE rules SET position = id - 1", []).expect("close");
    let store = place.reopen();
    let mut next = PolicyState { revision: 2, ..now.clone() };
    next.rules.insert(50, rule(101, "between"));
    let moved = next.rules.remove(0).expect("it is there");
    next.rules.insert(90, moved);
    store.save_policy(&now, &next, author(), Vec::new(), audit()).wait().expect("saved");
    assert_eq!(store.policy().expect("policy"), next);
}
