//! The history of rules and objects.

use cnnf_core::policy::Delta;
use cnnf_core::time::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use crate::column::{collect, count, json, read_count, read_json, read_time, time};
use crate::writer::Class;
use crate::{NewEvent, Pending, Store, StoreError, StoredEvent};

/// Changes that are kept at most; the oldest go.
pub const MAX_REVISIONS: u64 = 10_000;
/// Bytes of kept changes at most, the newest not counted: it stays whatever its size.
pub const MAX_REVISION_BYTES: u64 = 256 << 20;

/// Who changes rules, when and why.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Author {
    /// When.
    pub at: Timestamp,
    /// Who, as their certificate says.
    pub who: String,
    /// Why, as they say; may be empty.
    pub why: String,
}

/// A change that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revision {
    /// Its number, from 1 without gaps.
    pub revision: u64,
    /// Whose it is.
    pub author: Author,
    /// How much it is, in words.
    pub summary: String,
    /// What became of it, if it had to be confirmed.
    pub note: String,
}

impl Store {
    /// All changes that are kept, newest first.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn revisions(&self) -> Result<Vec<Revision>, StoreError> {
        self.read(|connection| {
            let sql = "SELECT revision, at, who, why, summary, note FROM revisions ORDER BY revision DESC";
            collect(connection, sql, &[], read_revision)
        })
    }

    /// One change, whole; `None` if it is not kept.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn revision(&self, revision: u64) -> Result<Option<(Revision, Delta)>, StoreError> {
        let revision = count(revision);
        self.read(|connection| {
            let rows = collect(connection, "SELECT * FROM revisions WHERE revision = ?1", &[&revision], |row| {
                Ok((read_revision(row)?, read_json(row, "change")?))
            })?;
            Ok(rows.into_iter().next())
        })
    }

    /// The changes from the newest back to the one that followed on `revision`; `None` if not all of them are kept.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn changes_after(&self, revision: u64) -> Result<Option<Vec<Delta>>, StoreError> {
        self.read(|connection| {
            let newest = crate::policy::counter(connection, "revision")?;
            let sql = "SELECT change FROM revisions WHERE revision > ?1 ORDER BY revision DESC";
            let changes = collect(connection, sql, &[&count(revision)], |row| read_json(row, "change"))?;
            Ok(newest.checked_sub(revision).filter(|n| *n == changes.len() as u64).map(|_| changes))
        })
    }
}

impl Store {
    /// Up to when operators were told of rules that expire; `None` for never.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn expiries_told(&self) -> Result<Option<Timestamp>, StoreError> {
        let told = self.read(|connection| crate::policy::counter(connection, "expiries"))?;
        Ok((told > 0).then_some(Timestamp(told)))
    }

    /// Tells of rules that expire, and that it was done up to `until`: both or neither.
    pub fn tell_expiries(&self, events: Vec<NewEvent>, until: Timestamp) -> Pending<Vec<StoredEvent>> {
        self.writer.submit(Class::Decision, move |connection| {
            crate::policy::set_counter(connection, "expiries", until.0)?;
            crate::event::add(connection, &events)
        })
    }
}

fn read_revision(row: &Row<'_>) -> Result<Revision, StoreError> {
    Ok(Revision {
        revision: read_count(row, "revision")?,
        author: Author { at: read_time(row, "at")?, who: row.get("who")?, why: row.get("why")? },
        summary: row.get("summary")?,
        note: row.get("note")?,
    })
}

/// Keeps a change, and lets go of what is too old.
pub(crate) fn add(connection: &Connection, revision: u64, author: &Author, delta: &Delta) -> Result<(), StoreError> {
    let change = json(delta)?;
    connection.execute(
        "INSERT INTO revisions (revision, at, who, why, summary, size, change) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![
            count(revision),
            time(author.at),
            author.who,
            author.why,
            delta.to_string(),
            count(change.len() as u64),
            change
        ],
    )?;
    let oldest = connection
        .query_row(
            "SELECT max(revision) FROM (
                 SELECT revision, sum(size) OVER (ORDER BY revision DESC) AS bytes FROM revisions WHERE revision < ?1
             ) WHERE bytes > ?2 OR revision <= ?1 - ?3",
            params![count(revision), count(MAX_REVISION_BYTES), count(MAX_REVISIONS)],
            |row| row.get::<_, Option<i64>>(0),
        )
        .optional()?;
    if let Some(Some(oldest)) = oldest {
        connection.execute("DELETE FROM revisions WHERE revision <= ?1", [oldest])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(connection: &Connection) -> Vec<u64> {
        let sql = "SELECT revision FROM revisions ORDER BY revision";
        collect(connection, sql, &[], |row| read_count(row, "revision")).expect("read")
    }

    #[test]
    fn the_oldest_changes_go_when_there_are_too_many_or_too_large_ones() {
        let connection = Connection::open_in_memory().expect("open");
        connection.execute_batch(include_str!("../migrations/V3__revisions.sql")).expect("table");
        let put = |revision: u64, size: u64| {
            add(&connection, revision, &Author::default(), &Delta::default()).expect("added");
            let sql = "UPDATE revisions SET size = ?2 WHERE revision = ?1";
            connection.execute(sql, [count(revision), count(size)]).expect("sized");
            kept(&connection)
        };
        let third = MAX_REVISION_BYTES / 3;
        for revision in 1..=4 {
            put(revision, third);
        }
        assert_eq!(put(5, third), [2, 3, 4, 5], "the newest, and three before it");
        assert_eq!(put(6, MAX_REVISION_BYTES * 2), [3, 4, 5, 6]);
        assert_eq!(put(7, 1), [7], "the one before is too large by itself");
        connection.execute("UPDATE revisions SET size = 0", []).expect("sized");
        assert_eq!(put(MAX_REVISIONS + 6, 1), [7, MAX_REVISIONS + 6]);
        assert_eq!(put(MAX_REVISIONS + 7, 1), [MAX_REVISIONS + 6, MAX_REVISIONS + 7]);
    }
}
