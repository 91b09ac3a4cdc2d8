//! What operators call services.

use cnnf_core::identity::Definition;
use cnnf_core::time::Timestamp;
use rusqlite::params;

use crate::audit::Audit;
use crate::column::{collect, count, json, read_json, read_time, time};
use crate::policy::{counter, set_counter};
use crate::{Pending, Store, StoreError};

/// A definition with its last change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DefinitionRow {
    /// What it says.
    pub definition: Definition,
    /// Who changed it last.
    pub changed_by: String,
    /// When.
    pub changed: Timestamp,
}

/// All definitions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DefinitionState {
    /// Number of the newest change.
    pub revision: u64,
    /// In order.
    pub rows: Vec<DefinitionRow>,
}

impl Store {
    /// The definitions.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn definitions(&self) -> Result<DefinitionState, StoreError> {
        self.read(|connection| {
            let rows = collect(connection, "SELECT * FROM definitions ORDER BY position", &[], |row| {
                Ok(DefinitionRow {
                    definition: read_json(row, "body")?,
                    changed_by: row.get("changed_by")?,
                    changed: read_time(row, "changed")?,
                })
            })?;
            Ok(DefinitionState { revision: counter(connection, "definitions")?, rows })
        })
    }

    /// Makes the definitions these, all or nothing. `seen` is the revision that the change was made from.
    ///
    /// [`StoreError::Stale`] if the store is not at it.
    pub fn save_definitions(&self, seen: u64, new: DefinitionState, audit: Audit) -> Pending<()> {
        self.decide(audit, move |connection| {
            let newest = counter(connection, "definitions")?;
            if newest != seen {
                return Err(StoreError::Stale { seen, newest });
            }
            set_counter(connection, "definitions", new.revision)?;
            connection.execute("DELETE FROM definitions", [])?;
            let mut insert = connection.prepare_cached(
                "INSERT INTO definitions (name, position, body, changed_by, changed) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?;
            for (position, row) in new.rows.iter().enumerate() {
                let DefinitionRow { definition, changed_by, changed } = row;
                let position = count(position as u64);
                insert.execute(params![definition.name, position, json(definition)?, changed_by, time(*changed)])?;
            }
            Ok(())
        })
    }
}
