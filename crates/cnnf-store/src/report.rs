//! Reports: taken in once, whole.

use cnnf_core::flow::FlowStats;
use cnnf_core::id::HostId;
use cnnf_core::policy::RuleHits;
use cnnf_core::time::Timestamp;
use cnnf_core::topology::Edge;
use rusqlite::{Connection, OptionalExtension, params};

use crate::column::{count, time};
use crate::event::{self, NewEvent, StoredEvent};
use crate::host::{self, Cursor, Inventory};
use crate::model::{self, ModelPatch};
use crate::policy::count_use;
use crate::span;
use crate::topology::{self, EdgePatch};
use crate::writer::Class;
use crate::{Pending, Store, StoreError};

/// What a report amounts to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intake {
    /// Whose it is.
    pub host: HostId,
    /// Which it is.
    pub cursor: Cursor,
    /// When it came.
    pub at: Timestamp,
    /// What the host is and runs, if the report says so.
    pub inventory: Option<Inventory>,
    /// What changed in the topology.
    pub edges: EdgePatch,
    /// What the report itself counted; added to what is kept by the hour.
    pub counted: Vec<(Edge, FlowStats)>,
    /// What changed in the models.
    pub models: Vec<ModelPatch>,
    /// What happened.
    pub events: Vec<NewEvent>,
    /// How often rules decided; rules that are gone are passed over.
    pub hits: Vec<RuleHits>,
}

/// What became of a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It was taken in; the events that changed, as they are kept now.
    Fresh(Vec<StoredEvent>),
    /// It had been taken in before: nothing changed.
    Again,
}

impl Store {
    /// Takes a report in: the decision whether it is new and everything in it are one transaction.
    pub fn take_in(&self, intake: Intake) -> Pending<Taken> {
        self.writer.submit(Class::Observation, move |connection| {
            if !advance(connection, &intake)? {
                return Ok(Taken::Again);
            }
            if let Some(inventory) = &intake.inventory {
                host::replace_inventory(connection, &intake.host, inventory)?;
            }
            topology::apply(connection, &intake.edges)?;
            span::add(connection, &intake.counted)?;
            intake.models.iter().try_for_each(|patch| model::apply(connection, patch))?;
            intake.hits.iter().try_for_each(|hits| count_use(connection, hits))?;
            event::add(connection, &intake.events).map(Taken::Fresh)
        })
    }

    /// Says what the newest report of a host is called now that its reports are numbered anew.
    pub fn move_cursor(&self, host: HostId, cursor: Cursor) -> Pending<()> {
        self.writer.submit(Class::Observation, move |connection| set_cursor(connection, &host, &cursor))
    }
}

/// Moves the host's cursor; `false` if the report is not beyond it.
fn advance(connection: &Connection, intake: &Intake) -> Result<bool, StoreError> {
    let host = intake.host.as_str();
    let known: Option<(String, i64)> = connection
        .prepare_cached("SELECT epoch, seq FROM cursors WHERE host = ?1")?
        .query_row([host], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let seq = count(intake.cursor.seq);
    if known.is_some_and(|(epoch, newest)| epoch == intake.cursor.epoch && seq <= newest) {
        return Ok(false);
    }
    let heard = connection
        .prepare_cached("UPDATE hosts SET last_seen = max(last_seen, ?2) WHERE id = ?1")?
        .execute(params![host, time(intake.at)])?;
    if heard == 0 {
        return Err(StoreError::NotFound(format!("host {host}")));
    }
    set_cursor(connection, &intake.host, &intake.cursor)?;
    Ok(true)
}

fn set_cursor(connection: &Connection, host: &HostId, cursor: &Cursor) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "INSERT INTO cursors (host, epoch, seq) VALUES (?1, ?2, ?3)
             ON CONFLICT (host) DO UPDATE SET epoch = excluded.epoch, seq = excluded.seq",
        )?
        .execute(params![host.as_str(), cursor.epoch, count(cursor.seq)])?;
    Ok(())
}
