//! Settings, by name. What they mean is the controller's business.

use std::collections::BTreeMap;

use rusqlite::params;

use crate::audit::Audit;
use crate::column::collect;
use crate::{Pending, Store, StoreError};

impl Store {
    /// The settings that were ever set.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn settings(&self) -> Result<BTreeMap<String, String>, StoreError> {
        self.read(|connection| {
            let rows = collect(connection, "SELECT name, value FROM settings", &[], |row| {
                Ok((row.get("name")?, row.get("value")?))
            })?;
            Ok(rows.into_iter().collect())
        })
    }

    /// Sets one.
    pub fn set_setting(&self, name: String, value: String, audit: Audit) -> Pending<()> {
        self.decide(audit, move |connection| {
            connection.execute(
                "INSERT INTO settings (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                params![name, value],
            )?;
            Ok(())
        })
    }
}
