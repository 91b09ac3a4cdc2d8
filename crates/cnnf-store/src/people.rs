//! Users, their sessions, and tokens for programs. Secrets are kept as hashes only.

use cnnf_core::access::Role;
use cnnf_core::time::Timestamp;
use rusqlite::{Connection, Row, params};

use crate::audit::Audit;
use crate::column::{collect, read_text, read_time, time};
use crate::writer::Class;
use crate::{Pending, Store, StoreError};

/// Somebody who signs in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserRow {
    /// Their name.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// Their password's hash in the PHC form; empty for one who signs in elsewhere.
    pub password: String,
    /// Whether they must change it first.
    pub must_change: bool,
    /// Whether they cannot sign in.
    pub disabled: bool,
    /// When they were added.
    pub created: Timestamp,
    /// When they signed in last; `None` for never.
    pub last_sign_in: Option<Timestamp>,
}

/// A session of the page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRow {
    /// The hash of what the cookie says.
    pub secret_hash: String,
    /// Whose it is.
    pub user: String,
    /// When it began.
    pub created: Timestamp,
    /// When it was used last.
    pub last_used: Timestamp,
}

/// A token for programs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiTokenRow {
    /// Its name.
    pub name: String,
    /// The hash of its secret.
    pub secret_hash: String,
    /// What it may do.
    pub role: Role,
    /// Who made it.
    pub created_by: String,
    /// When.
    pub created: Timestamp,
    /// Until when it counts.
    pub expires: Timestamp,
    /// When it was used last; `None` for never.
    pub last_used: Option<Timestamp>,
}

impl Store {
    /// All users.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn users(&self) -> Result<Vec<UserRow>, StoreError> {
        self.read(|connection| {
            collect(connection, "SELECT * FROM users ORDER BY name", &[], |row| {
                Ok(UserRow {
                    name: row.get("name")?,
                    role: read_text(row, "role")?,
                    password: row.get("password")?,
                    must_change: row.get("must_change")?,
                    disabled: row.get("disabled")?,
                    created: read_time(row, "created")?,
                    last_sign_in: read_some_time(row, "last_sign_in")?,
                })
            })
        })
    }

    /// Adds a user, or replaces the one of that name; `sessions` says which of their sessions go on.
    pub fn put_user(&self, user: UserRow, sessions: Kept, audit: Audit) -> Pending<()> {
        self.decide(audit, move |connection| {
            let replacing = "ON CONFLICT (name) DO UPDATE SET role = excluded.role, password = excluded.password,
                 must_change = excluded.must_change, disabled = excluded.disabled, last_sign_in = excluded.last_sign_in";
            insert_user(connection, &user, replacing)?;
            let kept = match sessions {
                Kept::All => return Ok(()),
                Kept::None => String::new(),
                Kept::Only(hash) => hash,
            };
            connection.execute("DELETE FROM sessions WHERE user = ?1 AND secret_hash <> ?2", [user.name, kept])?;
            Ok(())
        })
    }

    /// Deletes a user with their sessions.
    pub fn delete_user(&self, name: String, audit: Audit) -> Pending<()> {
        self.decide(audit, move |connection| {
            let gone = connection.execute("DELETE FROM users WHERE name = ?1", [&name])?;
            if gone == 0 { Err(StoreError::NotFound(format!("user '{name}'"))) } else { Ok(()) }
        })
    }

    /// All sessions.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn sessions(&self) -> Result<Vec<SessionRow>, StoreError> {
        self.read(|connection| {
            collect(connection, "SELECT * FROM sessions", &[], |row| {
                Ok(SessionRow {
                    secret_hash: row.get("secret_hash")?,
                    user: row.get("user")?,
                    created: read_time(row, "created")?,
                    last_used: read_time(row, "last_used")?,
                })
            })
        })
    }

    /// Begins a session.
    pub fn add_session(&self, session: SessionRow, audit: Audit) -> Pending<()> {
        self.decide(audit, move |connection| {
            let SessionRow { secret_hash, user, created, last_used } = session;
            connection.execute("UPDATE users SET last_sign_in = ?2 WHERE name = ?1", params![user, time(created)])?;
            connection.execute(
                "INSERT INTO sessions (secret_hash, user, created, last_used) VALUES (?1, ?2, ?3, ?4)",
                params![secret_hash, user, time(created), time(last_used)],
            )?;
            Ok(())
        })
    }

    /// Ends a session because its user says so.
    pub fn end_session(&self, secret_hash: String, audit: Audit) -> Pending<()> {
        self.decide(audit, move |connection| {
            connection.execute("DELETE FROM sessions WHERE secret_hash = ?1", [secret_hash])?;
            Ok(())
        })
    }

    /// Notes when sessions and tokens were used last, and forgets sessions that are over.
    pub fn note_uses(
        &self,
        sessions: Vec<(String, Timestamp)>,
        tokens: Vec<(String, Timestamp)>,
        over: Vec<String>,
    ) -> Pending<()> {
        self.writer.submit(Class::Note, move |connection| {
            for (hash, at) in sessions {
                connection
                    .prepare_cached("UPDATE sessions SET last_used = max(last_used, ?2) WHERE secret_hash = ?1")?
                    .execute(params![hash, time(at)])?;
            }
            for (name, at) in tokens {
                connection
                    .prepare_cached("UPDATE api_tokens SET last_used = max(last_used, ?2) WHERE name = ?1")?
                    .execute(params![name, time(at)])?;
            }
            for hash in over {
                connection.execute("DELETE FROM sessions WHERE secret_hash = ?1", [hash])?;
            }
            Ok(())
        })
    }

    /// All tokens for programs.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn api_tokens(&self) -> Result<Vec<ApiTokenRow>, StoreError> {
        self.read(|connection| {
            collect(connection, "SELECT * FROM api_tokens ORDER BY name", &[], |row| {
                Ok(ApiTokenRow {
                    name: row.get("name")?,
                    secret_hash: row.get("secret_hash")?,
                    role: read_text(row, "role")?,
                    created_by: row.get("created_by")?,
                    created: read_time(row, "created")?,
                    expires: read_time(row, "expires")?,
                    last_used: read_some_time(row, "last_used")?,
                })
            })
        })
    }

    /// Adds a token for programs.
    pub fn add_api_token(&self, token: ApiTokenRow, audit: Audit) -> Pending<()> {
        self.decide(audit, move |connection| {
            let ApiTokenRow { name, secret_hash, role, created_by, created, expires, last_used } = token;
            connection.execute(
                "INSERT INTO api_tokens (name, secret_hash, role, created_by, created, expires, last_used)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                params![
                    name,
                    secret_hash,
                    role.as_str(),
                    created_by,
                    time(created),
                    time(expires),
                    time(last_used.unwrap_or_default())
                ],
            )?;
            Ok(())
        })
    }

    /// Ends a token for programs.
    pub fn delete_api_token(&self, name: String, audit: Audit) -> Pending<()> {
        self.decide(audit, move |connection| {
            let gone = connection.execute("DELETE FROM api_tokens WHERE name = ?1", [&name])?;
            if gone == 0 { Err(StoreError::NotFound(format!("API token '{name}'"))) } else { Ok(()) }
        })
    }
}

/// Inserts a user; `otherwise` says what to do if there is one of that name.
pub(crate) fn insert_user(connection: &Connection, user: &UserRow, otherwise: &str) -> Result<(), StoreError> {
    let UserRow { name, role, password, must_change, disabled, created, last_sign_in } = user;
    let last_sign_in = time(last_sign_in.unwrap_or_default());
    connection.execute(
        &format!(
            "INSERT INTO users (name, role, password, must_change, disabled, created, last_sign_in)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) {otherwise}"
        ),
        params![name, role.as_str(), password, must_change, disabled, time(*created), last_sign_in],
    )?;
    Ok(())
}

/// Which of a user's sessions go on when the user is changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// All of them.
    All,
    /// The one of this hash.
    Only(String),
    /// None.
    None,
}

fn read_some_time(row: &Row<'_>, column: &str) -> Result<Option<Timestamp>, StoreError> {
    let at = read_time(row, column)?;
    Ok((at != Timestamp::default()).then_some(at))
}
