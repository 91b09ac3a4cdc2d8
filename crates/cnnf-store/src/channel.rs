//! Where operators are told of events, and how far each of these places is.

use cnnf_core::time::Timestamp;
use rusqlite::{Connection, Row, params};

use crate::audit::Audit;
use crate::column::{collect, count, read_count, read_time, time};
use crate::policy::counter;
use crate::writer::Class;
use crate::{Pending, Store, StoreError};

/// A channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelRow {
    /// Its name.
    pub name: String,
    /// What it is, with its secrets; what that means is the controller's business.
    pub body: String,
    /// Who changed it last.
    pub changed_by: String,
    /// When.
    pub changed: Timestamp,
    /// How far it is.
    pub progress: ChannelProgress,
}

/// How far a channel is in the sequence of events, and what became of its messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChannelProgress {
    /// Events up to this number are told, or do not concern it.
    pub told: u64,
    /// A message with events up to this number was begun: those after `told` may have arrived.
    pub tried: u64,
    /// Messages that arrived.
    pub sent: u64,
    /// Events that were told folded.
    pub folded: u64,
    /// When a message arrived last.
    pub last_success: Option<Timestamp>,
    /// Why the newest message did not arrive; empty once one did.
    pub last_error: String,
    /// When that was.
    pub last_failure: Option<Timestamp>,
}

impl Store {
    /// All channels, by name.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn channels(&self) -> Result<Vec<ChannelRow>, StoreError> {
        self.read(|connection| collect(connection, "SELECT * FROM channels ORDER BY name", &[], read))
    }

    /// Adds a channel, or makes the one of its name this. `skip`: what happened until now is not told; of a new one it never is. How far it is
    /// stays as it is otherwise, whatever `row` says.
    pub fn put_channel(&self, row: ChannelRow, skip: bool, audit: Audit) -> Pending<()> {
        self.decide(audit, move |connection| {
            let newest = count(counter(connection, "event")?);
            connection.execute(
                "INSERT INTO channels (name, body, changed_by, changed, told, tried, sent, folded, last_success, last_error, last_failure)
                 VALUES (?1, ?2, ?3, ?4, ?5, 0, 0, 0, 0, '', 0)
                 ON CONFLICT (name) DO UPDATE SET body = excluded.body, changed_by = excluded.changed_by, changed = excluded.changed,
                 told = CASE WHEN ?6 THEN excluded.told ELSE told END",
                params![row.name, row.body, row.changed_by, time(row.changed), newest, skip],
            )?;
            Ok(())
        })
    }

    /// How far a channel is, after everything that was queued before.
    ///
    /// [`StoreError::NotFound`] if there is none of that name.
    pub fn channel_progress(&self, name: String) -> Pending<ChannelProgress> {
        self.writer.submit(Class::Note, move |connection| {
            let found = collect(connection, "SELECT * FROM channels WHERE name = ?1", &[&name], read)?.pop();
            found.map(|row| row.progress).ok_or_else(|| StoreError::NotFound(format!("channel {name}")))
        })
    }

    /// Deletes a channel.
    ///
    /// [`StoreError::NotFound`] if there is none of that name.
    pub fn delete_channel(&self, name: String, audit: Audit) -> Pending<()> {
        self.decide(audit, move |connection| {
            match connection.execute("DELETE FROM channels WHERE name = ?1", [&name])? {
                0 => Err(StoreError::NotFound(format!("channel {name}"))),
                _ => Ok(()),
            }
        })
    }

    /// A message with events up to `tried` is about to be sent. Synced, so that who sends it again knows that it may have arrived.
    ///
    /// [`StoreError::NotFound`] if there is none of that name.
    pub fn try_channel(&self, name: String, progress: ChannelProgress) -> Pending<()> {
        self.writer.submit(Class::Decision, move |connection| set_progress(connection, &name, &progress))
    }

    /// Keeps how far a channel is. A power cut may undo it: then something is sent again.
    ///
    /// [`StoreError::NotFound`] if there is none of that name.
    pub fn note_channel(&self, name: String, progress: ChannelProgress) -> Pending<()> {
        self.writer.submit(Class::Note, move |connection| set_progress(connection, &name, &progress))
    }
}

fn set_progress(connection: &Connection, name: &str, progress: &ChannelProgress) -> Result<(), StoreError> {
    let ChannelProgress { told, tried, sent, folded, last_success, last_error, last_failure } = progress;
    let changed = connection
        .prepare_cached(
            "UPDATE channels SET told = ?2, tried = ?3, sent = ?4, folded = ?5, last_success = ?6, last_error = ?7, last_failure = ?8
             WHERE name = ?1",
        )?
        .execute(params![
            name,
            count(*told),
            count(*tried),
            count(*sent),
            count(*folded),
            time(last_success.unwrap_or_default()),
            last_error,
            time(last_failure.unwrap_or_default()),
        ])?;
    if changed == 0 { Err(StoreError::NotFound(format!("channel {name}"))) } else { Ok(()) }
}

fn read(row: &Row<'_>) -> Result<ChannelRow, StoreError> {
    let sometime = |column: &str| read_time(row, column).map(|at| Some(at).filter(|at| at.0 > 0));
    Ok(ChannelRow {
        name: row.get("name")?,
        body: row.get("body")?,
        changed_by: row.get("changed_by")?,
        changed: read_time(row, "changed")?,
        progress: ChannelProgress {
            told: read_count(row, "told")?,
            tried: read_count(row, "tried")?,
            sent: read_count(row, "sent")?,
            folded: read_count(row, "folded")?,
            last_success: sometime("last_success")?,
            last_error: row.get("last_error")?,
            last_failure: sometime("last_failure")?,
        },
    })
}
