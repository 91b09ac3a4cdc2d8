//! What was counted for edges by the hour and by the day.

use std::collections::BTreeMap;

use cnnf_core::flow::FlowStats;
use cnnf_core::id::ServiceKey;
use cnnf_core::time::Timestamp;
use cnnf_core::topology::{Edge, Peer};
use rusqlite::{Connection, Row, params};

use crate::column::{collect, count, read_count, read_edge, read_time, time};
use crate::writer::Class;
use crate::{Pending, Store, StoreError};

/// An hour, in milliseconds.
pub const HOUR: u64 = 3_600_000;
/// A day, in milliseconds.
pub const DAY: u64 = 24 * HOUR;

/// Spans that are made daily or deleted in one transaction, at most: other writers wait for it.
const BATCH: u64 = 20_000;

impl Store {
    /// What was counted between two times, both included: by whole hours, and by whole days where these are old, of which any part was
    /// in between. An hour in which the edge was last seen before `since`, or first after `until`, is left out.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn edges_between(&self, since: Timestamp, until: Timestamp) -> Result<BTreeMap<Edge, FlowStats>, StoreError> {
        self.read(|connection| {
            // A span is found by where it starts: the narrower of two conditions that the index knows.
            let sql = "SELECT client, server, protocol, port, connections, bytes, first_seen, last_seen FROM
                (SELECT edge, sum(connections) AS connections, sum(bytes) AS bytes, min(first_seen) AS first_seen,
                    max(last_seen) AS last_seen
                 FROM edge_spans WHERE ((width = ?3 AND start > ?5 AND start <= ?2) OR (width = ?4 AND start > ?6 AND start <= ?2))
                    AND last_seen >= ?1 AND first_seen <= ?2
                 GROUP BY edge) JOIN edge_names ON id = edge";
            let before = |width: u64| i64::try_from(since.0).unwrap_or(i64::MAX) - count(width);
            let all = collect(
                connection,
                sql,
                &[&time(since), &time(until), &count(HOUR), &count(DAY), &before(HOUR), &before(DAY)],
                |row| {
                    let stats = FlowStats {
                        connections: read_count(row, "connections")?,
                        bytes: read_count(row, "bytes")?,
                        first: read_time(row, "first_seen")?,
                        last: read_time(row, "last_seen")?,
                    };
                    Ok((read_edge(row)?, stats))
                },
            )?;
            Ok(all.into_iter().collect())
        })
    }

    /// What was counted for an edge between two times, by span and in their order; hours and days of which any part was in between.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn edge_history(&self, edge: &Edge, since: Timestamp, until: Timestamp) -> Result<Vec<Span>, StoreError> {
        let names = edge_columns(edge);
        self.read(|connection| {
            let sql = format!(
                "SELECT width, start, connections, bytes FROM edge_spans JOIN edge_names ON id = edge
                 WHERE client = ?3 AND server = ?4 AND protocol = ?5 AND port = ?6 AND {IN_TIME} ORDER BY start, width"
            );
            let (client, server, protocol) = &names;
            collect(connection, &sql, &[&time(since), &time(until), client, server, protocol, &edge.port], read_span)
        })
    }

    /// As [`Store::edge_history`], of all edges of a service: what it took, and what it opened.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn service_history(
        &self,
        service: &ServiceKey,
        since: Timestamp,
        until: Timestamp,
    ) -> Result<(Vec<Span>, Vec<Span>), StoreError> {
        let name = Peer::Service(service.clone()).to_string();
        self.read(|connection| {
            let side = |column: &str| {
                let sql = format!(
                    "SELECT width, start, sum(connections) AS connections, sum(bytes) AS bytes
                     FROM edge_spans JOIN edge_names ON id = edge
                     WHERE {column} = ?3 AND {IN_TIME} GROUP BY start, width ORDER BY start, width"
                );
                collect(connection, &sql, &[&time(since), &time(until), &name], read_span)
            };
            Ok((side("server")?, side("client")?))
        })
    }

    /// Makes hours that ended before `hours_until` into days, and forgets days that ended before `days_until`. Does a part of it if there
    /// is much: `false` if there is more.
    pub fn age_edges(&self, hours_until: Timestamp, days_until: Timestamp) -> Pending<bool> {
        self.writer.submit(Class::Observation, move |connection| {
            let old =
                "SELECT edge, start FROM edge_spans WHERE width = ?1 AND start <= ?2 ORDER BY start, edge LIMIT ?3";
            let limit = |until: Timestamp, width: u64| i64::try_from(until.0).unwrap_or(i64::MAX) - count(width);
            let parameters = params![count(HOUR), limit(hours_until, HOUR), count(BATCH), count(DAY)];
            let sum = format!(
                "INSERT INTO edge_spans (edge, width, start, connections, bytes, first_seen, last_seen)
                 SELECT edge, ?4, start - start % ?4, sum(connections), sum(bytes), min(first_seen), max(last_seen)
                 FROM edge_spans WHERE width = ?1 AND (edge, start) IN ({old}) GROUP BY edge, start - start % ?4
                 ON CONFLICT (edge, width, start) DO UPDATE SET {MERGE}"
            );
            connection.prepare_cached(&sum)?.execute(parameters)?;
            let delete = format!("DELETE FROM edge_spans WHERE width = ?1 AND (edge, start) IN ({old})");
            let parameters = params![count(HOUR), limit(hours_until, HOUR), count(BATCH)];
            let made = connection.prepare_cached(&delete)?.execute(parameters)?;
            let parameters = params![count(DAY), limit(days_until, DAY), count(BATCH)];
            let forgotten = connection.prepare_cached(&delete)?.execute(parameters)?;
            if forgotten > 0 {
                connection
                    .prepare_cached(
                        "DELETE FROM edge_names WHERE NOT EXISTS (SELECT 1 FROM edge_spans WHERE edge = id)",
                    )?
                    .execute([])?;
            }
            Ok(u64::try_from(made.max(forgotten)).unwrap_or(0) < BATCH)
        })
    }
}

/// What was counted in an hour or a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// When it begins.
    pub start: Timestamp,
    /// [`HOUR`] or [`DAY`], in milliseconds.
    pub width: u64,
    /// Connections.
    pub connections: u64,
    /// Bytes both ways.
    pub bytes: u64,
}

/// Of spans that overlap the time from ?1 to ?2.
const IN_TIME: &str = "start + width > ?1 AND start <= ?2";

fn read_span(row: &Row<'_>) -> Result<Span, StoreError> {
    Ok(Span {
        start: read_time(row, "start")?,
        width: read_count(row, "width")?,
        connections: read_count(row, "connections")?,
        bytes: read_count(row, "bytes")?,
    })
}

fn edge_columns(edge: &Edge) -> (String, String, String) {
    (edge.client.to_string(), edge.server.to_string(), edge.protocol.to_string())
}

/// How a span takes in another of the same edge and time.
const MERGE: &str = "connections = connections + excluded.connections, bytes = bytes + excluded.bytes,
    first_seen = min(first_seen, excluded.first_seen), last_seen = max(last_seen, excluded.last_seen)";

/// Adds what a report counted, in the hour of its last sign. Not a whole value: only to be called once a report.
pub(crate) fn add(connection: &Connection, counted: &[(Edge, FlowStats)]) -> Result<(), StoreError> {
    let sql = format!(
        "INSERT INTO edge_spans (edge, width, start, connections, bytes, first_seen, last_seen)
         SELECT id, ?5, ?6, ?7, ?8, ?9, ?10 FROM edge_names
         WHERE client = ?1 AND server = ?2 AND protocol = ?3 AND port = ?4
         ON CONFLICT (edge, width, start) DO UPDATE SET {MERGE}"
    );
    let mut put = connection.prepare_cached(&sql)?;
    for (edge, stats) in counted {
        let (client, server, protocol) = (edge.client.to_string(), edge.server.to_string(), edge.protocol.to_string());
        let parameters = params![
            client,
            server,
            protocol,
            edge.port,
            count(HOUR),
            count(stats.last.0 - stats.last.0 % HOUR),
            count(stats.connections),
            count(stats.bytes),
            time(stats.first),
            time(stats.last),
        ];
        if put.execute(parameters)? == 0 {
            name(connection, edge)?;
            put.execute(parameters)?;
        }
    }
    Ok(())
}

/// Gives spans of edges to what these are called now.
pub(crate) fn rename(connection: &Connection, renamed: &[(Edge, Edge)]) -> Result<(), StoreError> {
    const ID: &str = "(SELECT id FROM edge_names WHERE client = ? AND server = ? AND protocol = ? AND port = ?)";
    for (old, new) in renamed {
        name(connection, new)?;
        let parameters = params![
            new.client.to_string(),
            new.server.to_string(),
            new.protocol.to_string(),
            new.port,
            old.client.to_string(),
            old.server.to_string(),
            old.protocol.to_string(),
            old.port,
        ];
        let sql = format!(
            "INSERT INTO edge_spans (edge, width, start, connections, bytes, first_seen, last_seen)
             SELECT {ID}, width, start, connections, bytes, first_seen, last_seen FROM edge_spans WHERE edge = {ID}
             ON CONFLICT (edge, width, start) DO UPDATE SET {MERGE}"
        );
        connection.prepare_cached(&sql)?.execute(parameters)?;
        connection
            .prepare_cached("DELETE FROM edge_names WHERE client = ?1 AND server = ?2 AND protocol = ?3 AND port = ?4")?
            .execute(params![old.client.to_string(), old.server.to_string(), old.protocol.to_string(), old.port])?;
    }
    Ok(())
}

fn name(connection: &Connection, edge: &Edge) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "INSERT INTO edge_names (client, server, protocol, port) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (client, server, protocol, port) DO NOTHING",
        )?
        .execute(params![edge.client.to_string(), edge.server.to_string(), edge.protocol.to_string(), edge.port])?;
    Ok(())
}
