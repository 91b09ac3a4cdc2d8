//! Values of the core as columns: numbers as numbers, everything else in its text form or as JSON.

use std::str::FromStr;

use cnnf_core::time::Timestamp;
use cnnf_core::topology::Edge;
use rusqlite::Row;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::StoreError;

/// A count as a signed column; counts beyond 2^63 are cut.
pub(crate) fn count(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// A count from a column.
pub(crate) fn read_count(row: &Row<'_>, column: &str) -> Result<u64, StoreError> {
    let value: i64 = row.get(column)?;
    Ok(u64::try_from(value).unwrap_or(0))
}

/// A small number from a column.
pub(crate) fn read_small<T: TryFrom<i64>>(row: &Row<'_>, column: &str) -> Result<T, StoreError> {
    let value: i64 = row.get(column)?;
    T::try_from(value).map_err(|_| StoreError::Corrupt(format!("{value} in {column}")))
}

/// A time as a column.
pub(crate) fn time(at: Timestamp) -> i64 {
    count(at.0)
}

/// A time from a column.
pub(crate) fn read_time(row: &Row<'_>, column: &str) -> Result<Timestamp, StoreError> {
    read_count(row, column).map(Timestamp)
}

/// A value in its text form from a column.
pub(crate) fn read_text<T: FromStr>(row: &Row<'_>, column: &str) -> Result<T, StoreError>
where
    T::Err: std::fmt::Display,
{
    let text: String = row.get(column)?;
    text.parse().map_err(|error| StoreError::Corrupt(format!("'{text}' in {column}: {error}")))
}

/// A value in its text form from a column that may be empty.
pub(crate) fn read_optional<T: FromStr>(row: &Row<'_>, column: &str) -> Result<Option<T>, StoreError>
where
    T::Err: std::fmt::Display,
{
    let text: String = row.get(column)?;
    if text.is_empty() { Ok(None) } else { read_text(row, column).map(Some) }
}

/// A value as JSON.
pub(crate) fn json<T: Serialize>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Engine(error.to_string()))
}

/// A value from JSON in a column.
pub(crate) fn read_json<T: DeserializeOwned>(row: &Row<'_>, column: &str) -> Result<T, StoreError> {
    let text: String = row.get(column)?;
    serde_json::from_str(&text).map_err(|error| StoreError::Corrupt(format!("{column}: {error}")))
}

/// A value from JSON.
pub(crate) fn parse_json<T: DeserializeOwned>(text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|error| StoreError::Corrupt(error.to_string()))
}

/// An edge from the columns client, server, protocol and port.
pub(crate) fn read_edge(row: &Row<'_>) -> Result<Edge, StoreError> {
    Ok(Edge {
        client: read_text(row, "client")?,
        server: read_text(row, "server")?,
        protocol: read_text(row, "protocol")?,
        port: read_small(row, "port")?,
    })
}

/// All rows of a query, each turned by `read`.
pub(crate) fn collect<T>(
    connection: &rusqlite::Connection,
    sql: &str,
    parameters: &[&dyn rusqlite::ToSql],
    mut read: impl FnMut(&Row<'_>) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(parameters)?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        all.push(read(row)?);
    }
    Ok(all)
}
