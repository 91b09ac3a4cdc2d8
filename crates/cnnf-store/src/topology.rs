//! Edges and what was counted for them.

use cnnf_core::flow::FlowStats;
use cnnf_core::topology::Edge;
use rusqlite::{Connection, params};

use crate::column::{collect, count, read_count, read_edge, read_time, time};
use crate::writer::Class;
use crate::{Pending, Store, StoreError, span};

/// What changed in the topology: whole new values, so that writing twice is once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EdgePatch {
    /// Edges with all that was ever counted for them.
    pub put: Vec<(Edge, FlowStats)>,
    /// Edges that are no more.
    pub gone: Vec<Edge>,
    /// What edges that are gone are called now: what was counted by the hour and the day goes with them.
    pub renamed: Vec<(Edge, Edge)>,
}

impl Store {
    /// All edges.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn edges(&self) -> Result<Vec<(Edge, FlowStats)>, StoreError> {
        self.read(|connection| {
            collect(connection, "SELECT * FROM edges", &[], |row| {
                let stats = FlowStats {
                    connections: read_count(row, "connections")?,
                    bytes: read_count(row, "bytes")?,
                    first: read_time(row, "first_seen")?,
                    last: read_time(row, "last_seen")?,
                };
                Ok((read_edge(row)?, stats))
            })
        })
    }

    /// Changes edges outside of a report.
    pub fn patch_edges(&self, patch: EdgePatch) -> Pending<()> {
        self.writer.submit(Class::Observation, move |connection| apply(connection, &patch))
    }
}

pub(crate) fn apply(connection: &Connection, patch: &EdgePatch) -> Result<(), StoreError> {
    span::rename(connection, &patch.renamed)?;
    let mut delete = connection
        .prepare_cached("DELETE FROM edges WHERE client = ?1 AND server = ?2 AND protocol = ?3 AND port = ?4")?;
    for edge in &patch.gone {
        let protocol = edge.protocol.to_string();
        delete.execute(params![edge.client.to_string(), edge.server.to_string(), protocol, edge.port])?;
    }
    let mut put = connection.prepare_cached(
        "INSERT INTO edges (client, server, protocol, port, connections, bytes, first_seen, last_seen)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
         ON CONFLICT (client, server, protocol, port) DO UPDATE SET
         connections = excluded.connections, bytes = excluded.bytes,
         first_seen = excluded.first_seen, last_seen = excluded.last_seen",
    )?;
    for (edge, stats) in &patch.put {
        put.execute(params![
            edge.client.to_string(),
            edge.server.to_string(),
            edge.protocol.to_string(),
            edge.port,
            count(stats.connections),
            count(stats.bytes),
            time(stats.first),
            time(stats.last),
        ])?;
    }
    Ok(())
}
