//! What the controller keeps over restarts.
//!
//! **Invariant**: this is the only crate with SQL, and its API speaks the core's words: who calls it cannot tell which database is
//! behind it.
//!
//! One thread writes. Every writing method queues a command and returns a [`Pending`] at once; the thread puts many commands into
//! one transaction and resolves each once that is committed. Commands take effect in the order of the calls. What operators decide
//! (rules, settings, tokens, hosts) is synced to the disk before it is acknowledged; observations survive a kill at any moment, and a
//! power cut costs at most the newest of them.

mod audit;
mod backup;
mod channel;
mod column;
mod definition;
mod error;
mod event;
mod history;
mod host;
mod identity;
mod model;
mod once;
mod pending;
mod people;
mod place;
mod policy;
mod report;
mod schema;
mod setting;
mod span;
mod token;
mod topology;
mod writer;

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use rusqlite::{Connection, OpenFlags};

pub use audit::{Audit, AuditCheck, AuditQuery, AuditRow, MAX_AUDIT_TEXT};
pub use backup::File;
pub use channel::{ChannelProgress, ChannelRow};
pub use definition::{DefinitionRow, DefinitionState};
pub use error::StoreError;
pub use event::{EventQuery, FOLD_WINDOW, MAX_SAMPLES, NewEvent, StoredEvent, Subject};
pub use history::{Author, MAX_REVISION_BYTES, MAX_REVISIONS, Revision};
pub use host::{Certificate, Cursor, HostRow, Inventory};
pub use identity::IdentityRow;
pub use model::ModelPatch;
pub use once::{Made, ONCE_KEPT, ONCE_PER_CALLER, Once};
pub use pending::Pending;
pub use people::{ApiTokenRow, Kept, SessionRow, UserRow};
pub use policy::{PolicyState, RuleUse, Unconfirmed};
pub use report::{Intake, Taken};
pub use span::{DAY, HOUR, Span};
pub use token::{Enrolled, NewHost, NewToken, TokenError};
pub use topology::EdgePatch;

use writer::{Class, Writer};

/// The database. Shared by reference; every method may be called from any thread.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    writer: Writer,
    readers: Mutex<Vec<Connection>>,
}

/// Idle reading connections that are kept.
const KEPT_READERS: usize = 8;

impl Store {
    /// Makes a new database at `path`, for the calling user only.
    ///
    /// # Errors
    /// If there is something at `path` already, or it cannot be written.
    pub fn create(path: &Path) -> Result<Self, StoreError> {
        let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        made.map_err(|error| match error.kind() {
            std::io::ErrorKind::AlreadyExists => StoreError::Exists(path.to_owned()),
            _ => StoreError::Disk(format!("{}: {error}", path.display())),
        })?;
        Self::start(path)
    }

    /// Opens the database at `path` and brings its schema up to date.
    ///
    /// # Errors
    /// If there is none, it is not ours, it was written by a newer version, or it cannot be read and written.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        if !path.exists() {
            return Err(StoreError::Missing(path.to_owned()));
        }
        Self::start(path)
    }

    fn start(path: &Path) -> Result<Self, StoreError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(path, flags)?;
        schema::prepare(&mut connection)?;
        Ok(Self { path: path.to_owned(), writer: Writer::start(connection)?, readers: Mutex::default() })
    }

    /// Resolves once everything queued before it is committed or refused.
    ///
    /// Observations carry values that the caller counted on top of the earlier ones. Once one of them is lost, for want of space or for
    /// another reason, those after it are refused with [`StoreError::Suspended`]; from here on they are taken again. So before it
    /// goes on observing, the caller reads what is stored.
    pub fn resume(&self) -> Pending<()> {
        self.writer.submit(Class::Resume, |_| Ok(()))
    }

    /// Writes, and changes nothing: resolves once everything queued before it is committed, if the database can be written.
    pub fn probe(&self) -> Pending<()> {
        self.writer.submit(Class::Note, |connection| {
            connection.execute("UPDATE counters SET value = value WHERE name = 'event'", [])?;
            Ok(())
        })
    }

    /// Checks the whole file; slow.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] with what is wrong.
    pub fn check(&self) -> Result<(), StoreError> {
        self.read(|connection| {
            let answer: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0))?;
            if answer == "ok" { Ok(()) } else { Err(StoreError::Corrupt(answer)) }
        })
    }

    /// Runs `query` on a connection that sees one committed state.
    fn read<T>(&self, query: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let kept = self.pool().pop();
        let connection = match kept {
            Some(connection) => connection,
            None => {
                let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
                let connection = Connection::open_with_flags(&self.path, flags)?;
                schema::tune_reader(&connection)?;
                connection
            }
        };
        let transaction = connection.unchecked_transaction()?;
        let answer = query(&transaction)?;
        transaction.finish()?;
        let mut pool = self.pool();
        if pool.len() < KEPT_READERS {
            pool.push(connection);
        }
        Ok(answer)
    }

    fn pool(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        // A panic while the lock is held leaves a whole list behind: nothing in between can be half-done.
        self.readers.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
