//! The schema and how a connection is set up.

use std::time::Duration;

use rusqlite::{Connection, TransactionBehavior};

use crate::error::StoreError;

refinery::embed_migrations!("migrations");

/// The oldest SQLite without the WAL-reset defect (<https://sqlite.org/wal.html#walresetbug>), as its version number.
const OLDEST_SQLITE: i32 = 3_051_003;

/// Sets the writing connection up and brings the schema up to date.
pub(crate) fn prepare(connection: &mut Connection) -> Result<(), StoreError> {
    if rusqlite::version_number() < OLDEST_SQLITE {
        return Err(StoreError::Library(rusqlite::version().to_owned()));
    }
    connection.busy_timeout(Duration::from_secs(10))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", "ON")?;
    refuse_newer(connection)?;
    // All or nothing: a version that cannot bring it up to date leaves it to the one before.
    migrations::runner().set_grouped(true).run(connection).map_err(|error| StoreError::Migration(error.to_string()))?;
    // A first write now: a read-only disk or a second controller is told at the start, not at the first report.
    connection.transaction_with_behavior(TransactionBehavior::Immediate)?.commit()?;
    Ok(())
}

/// Sets a reading connection up.
pub(crate) fn tune_reader(connection: &Connection) -> Result<(), StoreError> {
    connection.busy_timeout(Duration::from_secs(10))?;
    Ok(())
}

fn refuse_newer(connection: &mut Connection) -> Result<(), StoreError> {
    let runner = migrations::runner();
    let known = runner.get_migrations().iter().map(refinery::Migration::version).max().unwrap_or(0);
    let fresh: bool = connection.query_row(
        "SELECT NOT EXISTS (SELECT 1 FROM sqlite_master WHERE name = 'refinery_schema_history')",
        [],
        |row| row.get(0),
    )?;
    if fresh {
        return Ok(());
    }
    let applied =
        runner.get_last_applied_migration(connection).map_err(|error| StoreError::Corrupt(error.to_string()))?;
    match applied.map(|m| m.version()) {
        Some(found) if found > known => Err(StoreError::Newer { found: i64::from(found), known: i64::from(known) }),
        _ => Ok(()),
    }
}
