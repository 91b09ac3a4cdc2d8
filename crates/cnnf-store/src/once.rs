//! Calls that are made once, however often their caller sends them.
//!
//! What a call changes and that it was made are written together, or neither: a call of which nothing is known has changed nothing. What
//! it was answered with follows, so after a crash in between it is known to be made, and no more.

use std::time::Duration;

use cnnf_core::time::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::column::time;
use crate::writer::Class;
use crate::{Pending, Store, StoreError};

/// For so long it is known that a call was made.
pub const ONCE_KEPT: Duration = Duration::from_secs(24 * 3600);
/// So many calls of one caller are known at most; the oldest are forgotten first.
pub const ONCE_PER_CALLER: usize = 1_000;

/// A call that its caller may send again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Once {
    /// Who calls. Others may have the same key.
    pub caller: String,
    /// The hash of the key that they gave.
    pub key: String,
    /// The hash of what they ask for.
    pub request: String,
    /// When it came first.
    pub at: Timestamp,
}

/// A call that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// The hash of what was asked for.
    pub request: String,
    /// What it was answered with, if that is known.
    pub answer: Option<Vec<u8>>,
}

impl Store {
    /// The call that this one repeats; `None` if it has changed nothing so far.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn made(&self, once: &Once) -> Result<Option<Made>, StoreError> {
        self.read(|connection| {
            let mut statement = connection
                .prepare_cached("SELECT request, answer FROM once WHERE caller = ?1 AND key = ?2 AND at >= ?3")?;
            let found = statement.query_row(params![once.caller, once.key, forgotten(once.at)], |row| {
                Ok(Made { request: row.get(0)?, answer: row.get(1)? })
            });
            Ok(found.optional()?)
        })
    }

    /// Keeps that a call was made that is answered; `answer` is `None` if that is not to be kept.
    pub fn keep_answer(&self, once: Once, answer: Option<Vec<u8>>) -> Pending<()> {
        self.writer.submit(Class::Decision, move |connection| {
            add(connection, &once)?;
            answered(connection, &once, answer)
        })
    }

    /// Keeps what a call was refused with, if it has changed something all the same. One that has not may be made anew.
    pub fn keep_refusal(&self, once: Once, answer: Vec<u8>) -> Pending<()> {
        self.writer.submit(Class::Decision, move |connection| answered(connection, &once, Some(answer)))
    }
}

/// Writes down that a call is made: to be called in the transaction of what it changes.
pub(crate) fn add(connection: &Connection, once: &Once) -> Result<(), StoreError> {
    let Once { caller, key, request, at } = once;
    connection.prepare_cached("DELETE FROM once WHERE at < ?1")?.execute([forgotten(*at)])?;
    connection
        .prepare_cached("INSERT INTO once (caller, key, request, at) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING")?
        .execute(params![caller, key, request, time(*at)])?;
    connection
        .prepare_cached(
            "DELETE FROM once WHERE caller = ?1 AND id <= (SELECT id FROM once WHERE caller = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)",
        )?
        .execute(params![caller, i64::try_from(ONCE_PER_CALLER).unwrap_or(i64::MAX)])?;
    Ok(())
}

fn answered(connection: &Connection, once: &Once, answer: Option<Vec<u8>>) -> Result<(), StoreError> {
    connection
        .prepare_cached("UPDATE once SET answer = ?4 WHERE caller = ?1 AND key = ?2 AND request = ?3")?
        .execute(params![once.caller, once.key, once.request, answer])?;
    Ok(())
}

/// What came before this is not known any more.
fn forgotten(now: Timestamp) -> i64 {
    time(Timestamp(now.0.saturating_sub(u64::try_from(ONCE_KEPT.as_millis()).unwrap_or(u64::MAX))))
}
