//! Users who sign in elsewhere.

use rusqlite::{Connection, params};

use crate::audit::Audit;
use crate::column::collect;
use crate::people::{UserRow, insert_user};
use crate::{Pending, Store, StoreError};

/// What a provider knows a user by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityRow {
    /// The provider.
    pub issuer: String,
    /// Whom it means; never used again for another one.
    pub subject: String,
    /// The user's name here.
    pub user: String,
}

impl Store {
    /// All that are known.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn identities(&self) -> Result<Vec<IdentityRow>, StoreError> {
        self.read(|connection| {
            collect(connection, "SELECT * FROM identities", &[], |row| {
                Ok(IdentityRow { issuer: row.get("issuer")?, subject: row.get("subject")?, user: row.get("user")? })
            })
        })
    }

    /// Adds a user who signs in elsewhere. It is an error if there is one of that name, or if the identity is another user's.
    pub fn add_identity(&self, user: UserRow, identity: IdentityRow, audit: Audit) -> Pending<()> {
        self.decide(audit, move |connection: &Connection| {
            insert_user(connection, &user, "")?;
            let IdentityRow { issuer, subject, user } = identity;
            connection.execute(
                "INSERT INTO identities (issuer, subject, user) VALUES (?1, ?2, ?3)",
                params![issuer, subject, user],
            )?;
            Ok(())
        })
    }
}
