//! What can go wrong with the store.

use std::path::PathBuf;

/// Why the store did not do what was asked. Nothing is half-done.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is something where a new database should be.
    #[error("{} exists already: choose another data directory, or remove it if its contents are not needed", .0.display())]
    Exists(PathBuf),
    /// There is no database.
    #[error("there is no database at {}: run 'cnnf-controller init' first", .0.display())]
    Missing(PathBuf),
    /// It is a database, but no backup.
    #[error("this is no backup: make one with 'cnnf-controller backup'")]
    NoBackup(PathBuf),
    /// The database was written by a newer version.
    #[error(
        "the database has schema {found} and this version knows {known}: install the newer version again, or restore a backup"
    )]
    Newer {
        /// What it has.
        found: i64,
        /// What this version knows.
        known: i64,
    },
    /// The library has known defects.
    #[error("SQLite {0} can lose data in WAL mode: build with 3.51.3 or newer")]
    Library(String),
    /// The content is not what was written.
    #[error("the database is damaged ({0}): restore a backup")]
    Corrupt(String),
    /// Somebody else changed the rules in between.
    #[error("the rules have changed: they are at revision {newest}, not {seen}")]
    Stale {
        /// What the caller has seen.
        seen: u64,
        /// The newest.
        newest: u64,
    },
    /// No space or an I/O error.
    #[error("the database cannot be written ({0}): free space on its disk and check the disk's health")]
    Disk(String),
    /// The schema could not be made.
    #[error("the schema could not be brought up to date: {0}")]
    Migration(String),
    /// What is named is not there.
    #[error("{0} does not exist")]
    NotFound(String),
    /// An observation before this one could not be stored.
    #[error("an observation before this one could not be stored: count from what is stored again")]
    Suspended,
    /// The store is shut.
    #[error("the store is shut")]
    Shut,
    /// Anything else the database says.
    #[error("the database refuses: {0}")]
    Engine(String),
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode;
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull | ErrorCode::SystemIoFailure | ErrorCode::ReadOnly | ErrorCode::CannotOpen) => {
                Self::Disk(error.to_string())
            }
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Corrupt(error.to_string()),
            _ => match error {
                rusqlite::Error::FromSqlConversionFailure(..) | rusqlite::Error::InvalidColumnType(..) => {
                    Self::Corrupt(error.to_string())
                }
                other => Self::Engine(other.to_string()),
            },
        }
    }
}

impl StoreError {
    /// For every command of a transaction that failed as one.
    pub(crate) fn from_reference(error: &rusqlite::Error) -> Self {
        let text = error.to_string();
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DatabaseCorrupt) => Self::Corrupt(text),
            _ => Self::Disk(text),
        }
    }
}
