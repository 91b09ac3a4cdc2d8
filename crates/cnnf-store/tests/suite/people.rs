//! Users, sessions, tokens, and the record of changes.

use cnnf_core::access::Role;
use cnnf_core::time::Timestamp;
use cnnf_store::{ApiTokenRow, Audit, AuditQuery, Kept, MAX_AUDIT_TEXT, SessionRow, Store, StoreError, UserRow};

use crate::place::{Place, audit};

fn user(name: &str) -> UserRow {
    UserRow {
        name: name.to_owned(),
        role: Role::Operator,
        password: "$argon2id$…".to_owned(),
        must_change: true,
        disabled: false,
        created: Timestamp(5),
        last_sign_in: None,
    }
}

fn session(user: &str, hash: &str) -> SessionRow {
    let at = Timestamp(10);
    SessionRow { secret_hash: hash.to_owned(), user: user.to_owned(), created: at, last_used: at }
}

fn sessions(store: &Store) -> Vec<String> {
    let mut all: Vec<String> = store.sessions().expect("read").into_iter().map(|s| s.secret_hash).collect();
    all.sort();
    all
}

#[test]
fn users_and_their_sessions_come_back_and_go_together() {
    let (place, store) = Place::new();
    store.put_user(user("ann"), Kept::All, audit()).wait().expect("put");
    store.put_user(user("bob"), Kept::All, audit()).wait().expect("put");
    for (name, hash) in [("ann", "a1"), ("ann", "a2"), ("bob", "b1")] {
        store.add_session(session(name, hash), audit()).wait().expect("begun");
    }
    store.add_session(session("eve", "e1"), audit()).wait().expect_err("nobody of that name");
    drop(store);
    let store = place.reopen();
    let ann = UserRow { last_sign_in: Some(Timestamp(10)), ..user("ann") };
    assert_eq!(store.users().expect("users")[0], ann);
    store.note_uses(vec![("a1".to_owned(), Timestamp(99))], vec![], vec!["b1".to_owned()]).wait().expect("noted");
    assert_eq!(sessions(&store), ["a1", "a2"]);
    assert!(store.sessions().expect("read").iter().any(|s| s.last_used == Timestamp(99)));
    store.put_user(ann.clone(), Kept::Only("a2".to_owned()), audit()).wait().expect("put");
    assert_eq!(sessions(&store), ["a2"]);
    store.put_user(ann, Kept::None, audit()).wait().expect("put");
    assert_eq!(sessions(&store), Vec::<String>::new());
    store.add_session(session("bob", "b2"), audit()).wait().expect("begun");
    store.delete_user("bob".to_owned(), audit()).wait().expect("deleted");
    assert_eq!(sessions(&store), Vec::<String>::new());
    assert!(matches!(store.delete_user("bob".to_owned(), audit()).wait(), Err(StoreError::NotFound(_))));
}

#[test]
fn tokens_come_back_until_they_are_ended() {
    let (_place, store) = Place::new();
    let token = ApiTokenRow {
        name: "ci".to_owned(),
        secret_hash: "h".to_owned(),
        role: Role::Auditor,
        created_by: "ann".to_owned(),
        created: Timestamp(1),
        expires: Timestamp(100),
        last_used: None,
    };
    store.add_api_token(token.clone(), audit()).wait().expect("added");
    store.add_api_token(token.clone(), audit()).wait().expect_err("there is one");
    assert_eq!(store.api_tokens().expect("read"), std::slice::from_ref(&token));
    store.note_uses(vec![], vec![("ci".to_owned(), Timestamp(50))], vec![]).wait().expect("noted");
    assert_eq!(store.api_tokens().expect("read")[0].last_used, Some(Timestamp(50)));
    store.delete_api_token("ci".to_owned(), audit()).wait().expect("ended");
    assert!(matches!(store.delete_api_token("ci".to_owned(), audit()).wait(), Err(StoreError::NotFound(_))));
}

pub(crate) fn entry(actor: &str, action: &str, at: u64) -> Audit {
    let (actor, action, after) = (actor.to_owned(), action.to_owned(), "{\"x\":1}".to_owned());
    Audit { at: Timestamp(at), actor, action, after, subject: "s".to_owned(), ..Audit::default() }
}

#[test]
fn the_record_is_listed_newest_first_and_filtered() {
    let (_place, store) = Place::new();
    for (actor, action, at) in
        [("ann", "rule.add", 1), ("bob", "rule.delete", 2), ("ann", "rules", 3), ("ann", "user.add", 4)]
    {
        store.record(entry(actor, action, at)).wait().expect("recorded");
    }
    let ids = |query: AuditQuery| -> Vec<u64> {
        store.audit(&query, 10).expect("read").into_iter().map(|row| row.id).collect()
    };
    assert_eq!(ids(AuditQuery::default()), [4, 3, 2, 1]);
    assert_eq!(ids(AuditQuery { actor: Some("ann".to_owned()), ..AuditQuery::default() }), [4, 3, 1]);
    assert_eq!(ids(AuditQuery { action: Some("rule".to_owned()), ..AuditQuery::default() }), [2, 1]);
    assert_eq!(ids(AuditQuery { action: Some("rule.add".to_owned()), ..AuditQuery::default() }), [1]);
    assert!(ids(AuditQuery { action: Some("rule.%".to_owned()), ..AuditQuery::default() }).is_empty());
    assert_eq!(ids(AuditQuery { before: Some(3), ..AuditQuery::default() }), [2, 1]);
    let time = AuditQuery { since: Timestamp(2), until: Some(Timestamp(3)), ..AuditQuery::default() };
    assert_eq!(ids(time), [3, 2]);
    assert_eq!(store.audit(&AuditQuery::default(), 2).expect("read").len(), 2);
}

#[test]
fn a_change_and_its_record_are_both_there_or_neither() {
    let (_place, store) = Place::new();
    store.set_setting("learn_for".to_owned(), "5s".to_owned(), entry("ann", "settings.set", 1)).wait().expect("set");
    let gone = store.delete_user("nobody".to_owned(), entry("ann", "user.delete", 2));
    gone.wait().expect_err("nobody of that name");
    let all = store.audit(&AuditQuery::default(), 10).expect("read");
    assert_eq!(all.len(), 1);
    assert_eq!(all[0].entry, entry("ann", "settings.set", 1));
}

#[test]
fn long_values_are_cut_and_say_so() {
    let (_place, store) = Place::new();
    let long = Audit { before: "ä".repeat(MAX_AUDIT_TEXT), ..entry("ann", "rules.apply", 1) };
    store.record(long).wait().expect("recorded");
    let kept = &store.audit(&AuditQuery::default(), 1).expect("read")[0].entry;
    assert!(kept.before.len() < MAX_AUDIT_TEXT + 100 && kept.before.ends_with("bytes)"), "{}", kept.before.len());
    assert_eq!(store.check_audit().expect("checked").bad, None);
}
