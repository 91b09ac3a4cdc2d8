//! Somebody with the file changes the record.

use rusqlite::Connection;

use cnnf_store::AuditQuery;

use crate::people::entry;
use crate::place::Place;

#[test]
fn whoever_changes_the_record_is_found_out() {
    let forge = |sql: &str| {
        let (place, store) = Place::new();
        for at in 1..=5 {
            store.record(entry("ann", "rule.add", at)).wait().expect("recorded");
        }
        let whole = store.check_audit().expect("checked");
        assert_eq!((whole.entries, whole.bad), (5, None));
        assert_eq!(whole.head, store.audit(&AuditQuery::default(), 1).expect("read")[0].hash);
        drop(store);
        let connection = Connection::open(place.path()).expect("open");
        connection.execute_batch(sql).expect_err("the database refuses it");
        connection
            .execute_batch("DROP TRIGGER audit_is_not_changed; DROP TRIGGER audit_is_not_deleted")
            .expect("forced");
        connection.execute_batch(sql).expect("forged");
        drop(connection);
        place.reopen().check_audit().expect("checked").bad.map(|(id, _)| id)
    };
    assert_eq!(forge("UPDATE audit SET actor = 'bob' WHERE id = 3"), Some(3));
    assert_eq!(forge("UPDATE audit SET action = 'r', subject = 'ule.adds' WHERE id = 2"), Some(2));
    assert_eq!(forge("DELETE FROM audit WHERE id = 3"), Some(3));
    assert_eq!(forge("DELETE FROM audit WHERE id = 5"), Some(5));
    assert_eq!(forge("UPDATE audit SET hash = 'x' WHERE id = 4"), Some(4));
}
