//! One file with everything: a copy of the database as one committed state, with the caller's files beside its tables.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use rusqlite::backup::Backup;
use rusqlite::{Connection, OpenFlags, params};

use crate::column::collect;
use crate::{Store, StoreError, schema};

/// A small file that belongs to the database: its name and content.
pub type File = (String, Vec<u8>);

/// The table that a backup has and a database has not.
const FILES: &str = "backup_files";

impl Store {
    /// Copies the database at `from`, which somebody may be writing to, and `files` to a new file that only its owner reads. Writers do not wait.
    ///
    /// # Errors
    /// If `to` exists or cannot be written, or the database cannot be read; nothing is left at `to`.
    pub fn backup(from: &Path, to: &Path, files: &[File]) -> Result<(), StoreError> {
        let source = open(from, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        copy(&source, to, |copy| {
            copy.execute_batch(&format!(
                "CREATE TABLE {FILES} (name TEXT NOT NULL PRIMARY KEY, content BLOB NOT NULL)"
            ))?;
            for (name, content) in files {
                copy.execute(&format!("INSERT INTO {FILES} (name, content) VALUES (?1, ?2)"), params![name, content])?;
            }
            Ok(())
        })
    }

    /// Makes a new database at `to` of a backup, and returns the files that were in it. Its schema is brought up to date.
    ///
    /// # Errors
    /// If `from` is no backup, is damaged or of a newer version, or `to` exists; nothing is left at `to`.
    pub fn restore(from: &Path, to: &Path) -> Result<Vec<File>, StoreError> {
        let source = open(from, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        let answer: String = source.query_row("PRAGMA integrity_check", [], |row| row.get(0))?;
        if answer != "ok" {
            return Err(StoreError::Corrupt(answer));
        }
        let is_one: bool = source.query_row(
            "SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?1)",
            [FILES],
            |row| row.get(0),
        )?;
        if !is_one {
            return Err(StoreError::NoBackup(from.to_owned()));
        }
        let read = |row: &rusqlite::Row<'_>| Ok((row.get("name")?, row.get("content")?));
        let files = collect(&source, &format!("SELECT name, content FROM {FILES} ORDER BY name"), &[], read)?;
        copy(&source, to, |copy| Ok(copy.execute_batch(&format!("DROP TABLE {FILES}"))?))?;
        let current = open(to, OpenFlags::SQLITE_OPEN_READ_WRITE).and_then(|mut made| schema::prepare(&mut made));
        current.inspect_err(|_| remove(to))?;
        Ok(files)
    }
}

fn open(path: &Path, flags: OpenFlags) -> Result<Connection, StoreError> {
    if !path.exists() {
        return Err(StoreError::Missing(path.to_owned()));
    }
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(Duration::from_secs(10))?;
    Ok(connection)
}

/// Copies in one step, which reads one state however much is written meanwhile, and then makes the copy's own changes.
fn copy(
    source: &Connection,
    to: &Path,
    change: impl FnOnce(&Connection) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(to).map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => StoreError::Exists(to.to_owned()),
        _ => StoreError::Disk(format!("{}: {error}", to.display())),
    })?;
    let made = || -> Result<(), StoreError> {
        let mut copy =
            Connection::open_with_flags(to, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        Backup::new(source, &mut copy)?.run_to_completion(i32::MAX, Duration::ZERO, None)?;
        // One file alone, whole on the disk: no log beside it.
        copy.pragma_update(None, "journal_mode", "DELETE")?;
        copy.pragma_update(None, "synchronous", "FULL")?;
        let transaction = copy.unchecked_transaction()?;
        change(&transaction)?;
        Ok(transaction.commit()?)
    };
    made().inspect_err(|_| remove(to))
}

fn remove(path: &Path) {
    for end in ["", "-wal", "-shm", "-journal"] {
        let mut name = path.as_os_str().to_owned();
        name.push(end);
        let _ = std::fs::remove_file(name);
    }
}
