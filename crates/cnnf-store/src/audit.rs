//! The record of every change: only ever added to, each entry chained to the one before it.

use cnnf_core::time::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row, ToSql, params};
use sha2::{Digest as _, Sha256};

use crate::column::{collect, count, read_count, read_time, time};
use crate::once::{self, Once};
use crate::policy::{counter, set_counter};
use crate::writer::Class;
use crate::{Pending, Store, StoreError};

/// Bytes of `before` and of `after` at most; what is longer is cut at a character and says so.
pub const MAX_AUDIT_TEXT: usize = 64 << 10;

/// A change: who made it, from where, and what it was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Audit {
    /// When.
    pub at: Timestamp,
    /// Who: a name.
    pub actor: String,
    /// How they came in: "certificate", "session", "token", or "" for what happens by itself.
    pub via: String,
    /// From which IP address; empty for what happens by itself.
    pub address: String,
    /// What was done, such as `rule.add`.
    pub action: String,
    /// On what.
    pub subject: String,
    /// How it was, as JSON; empty if there was nothing.
    pub before: String,
    /// How it is, as JSON; empty if there is nothing any more.
    pub after: String,
    /// The call that makes the change, if its caller may send it again: written with it, and no part of the record.
    pub once: Option<Once>,
}

/// An entry of the record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRow {
    /// Its number, from 1 without gaps.
    pub id: u64,
    /// What was recorded.
    pub entry: Audit,
    /// SHA-256 over the previous entry's hash and this one, in lower-case hexadecimal.
    pub hash: String,
}

/// Which entries are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditQuery {
    /// By this actor.
    pub actor: Option<String>,
    /// Of this action, or of those that begin with it and a dot.
    pub action: Option<String>,
    /// On this subject.
    pub subject: Option<String>,
    /// Not older.
    pub since: Timestamp,
    /// Not newer.
    pub until: Option<Timestamp>,
    /// Before this number.
    pub before: Option<u64>,
}

/// What a check of the record says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditCheck {
    /// Entries there are.
    pub entries: u64,
    /// The first that is wrong or missing, and why.
    pub bad: Option<(u64, String)>,
    /// The newest one's hash.
    pub head: String,
}

impl Store {
    /// Entries, newest first.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn audit(&self, query: &AuditQuery, limit: usize) -> Result<Vec<AuditRow>, StoreError> {
        let mut sql = "SELECT * FROM audit WHERE at >= ?1 AND at <= ?2".to_owned();
        let (since, until) = (time(query.since), query.until.map_or(i64::MAX, time));
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut values: Vec<Box<dyn ToSql>> = vec![Box::new(since), Box::new(until)];
        let mut also = |condition: &str, value: Box<dyn ToSql>| {
            values.push(value);
            sql.push_str(&condition.replace('?', &format!("?{}", values.len())));
        };
        if let Some(actor) = &query.actor {
            also(" AND actor = ?", Box::new(actor.clone()));
        }
        if let Some(action) = &query.action {
            also(" AND (action = ? OR substr(action, 1, length(?) + 1) = ? || '.')", Box::new(action.clone()));
        }
        if let Some(subject) = &query.subject {
            also(" AND subject = ?", Box::new(subject.clone()));
        }
        if let Some(before) = query.before {
            also(" AND id < ?", Box::new(count(before)));
        }
        also(" ORDER BY id DESC LIMIT ?", Box::new(limit));
        let values: Vec<&dyn ToSql> = values.iter().map(AsRef::as_ref).collect();
        self.read(|connection| collect(connection, &sql, &values, read))
    }

    /// Computes the whole chain anew; slow where it is long.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn check_audit(&self) -> Result<AuditCheck, StoreError> {
        self.read(|connection| {
            let newest = counter(connection, "audit")?;
            let mut check = AuditCheck::default();
            let mut statement = connection.prepare("SELECT * FROM audit ORDER BY id")?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let AuditRow { id, entry, hash } = read(row)?;
                check.entries += 1;
                if check.bad.is_some() {
                    continue;
                }
                if id != check.entries {
                    check.bad = Some((check.entries, "the entry is missing".to_owned()));
                } else if chained(&check.head, id, &entry) != hash {
                    check.bad = Some((id, "the entry, or one before it, is not what was recorded".to_owned()));
                }
                check.head = hash;
            }
            if check.bad.is_none() && check.entries < newest {
                check.bad = Some((check.entries + 1, "the entry is missing at the end".to_owned()));
            }
            Ok(check)
        })
    }

    /// Records what is no change of the store, such as a sign-in that was refused.
    pub fn record(&self, audit: Audit) -> Pending<()> {
        self.writer.submit(Class::Note, move |connection| add(connection, &audit))
    }

    /// Queues a change that an operator made, and its record: both or neither.
    pub(crate) fn decide<T: Send + 'static>(
        &self,
        audit: Audit,
        change: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Pending<T> {
        self.writer.submit(Class::Decision, move |connection| {
            let answer = change(connection)?;
            add(connection, &audit)?;
            Ok(answer)
        })
    }
}

/// Adds an entry.
pub(crate) fn add(connection: &Connection, audit: &Audit) -> Result<(), StoreError> {
    let id = counter(connection, "audit")? + 1;
    let last: Option<String> = connection
        .prepare_cached("SELECT hash FROM audit ORDER BY id DESC LIMIT 1")?
        .query_row([], |row| row.get(0))
        .optional()?;
    let entry = Audit { before: cut(&audit.before), after: cut(&audit.after), ..audit.clone() };
    let hash = chained(&last.unwrap_or_default(), id, &entry);
    let Audit { at, actor, via, address, action, subject, before, after, once } = entry;
    if let Some(once) = &once {
        once::add(connection, once)?;
    }
    connection
        .prepare_cached(
            "INSERT INTO audit (id, at, actor, via, address, action, subject, before, after, hash)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        )?
        .execute(params![count(id), time(at), actor, via, address, action, subject, before, after, hash])?;
    set_counter(connection, "audit", id)
}

fn read(row: &Row<'_>) -> Result<AuditRow, StoreError> {
    Ok(AuditRow {
        id: read_count(row, "id")?,
        entry: Audit {
            at: read_time(row, "at")?,
            actor: row.get("actor")?,
            via: row.get("via")?,
            address: row.get("address")?,
            action: row.get("action")?,
            subject: row.get("subject")?,
            before: row.get("before")?,
            after: row.get("after")?,
            once: None,
        },
        hash: row.get("hash")?,
    })
}

/// SHA-256 over the previous hash and the entry. Every part has its length before it, so that no two entries read the same.
fn chained(previous: &str, id: u64, entry: &Audit) -> String {
    let Audit { at, actor, via, address, action, subject, before, after, once: _ } = entry;
    let (id, at) = (id.to_string(), at.0.to_string());
    let mut hasher = Sha256::new();
    for part in [previous, &id, &at, actor, via, address, action, subject, before, after] {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part.as_bytes());
    }
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn cut(text: &str) -> String {
    if text.len() <= MAX_AUDIT_TEXT {
        return text.to_owned();
    }
    let kept = &text[..text.floor_char_boundary(MAX_AUDIT_TEXT)];
    format!("{kept}… (cut: {} bytes)", text.len())
}
