//! Enrolment tokens and what they are traded for.

use cnnf_core::id::HostId;
use cnnf_core::label::Labels;
use cnnf_core::policy::Mode;
use cnnf_core::time::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

use crate::audit::{self, Audit};
use crate::column::{count, json, parse_json, time};
use crate::host::{self, Certificate, HostRow};
use crate::writer::Class;
use crate::{Pending, Store, StoreError};

/// Why a token lets nobody in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It was never made here, or so long ago that it is forgotten.
    #[error("this token is not known here: make one with 'cnnfctl defenders token create' on this controller")]
    Unknown,
    /// Its time is over.
    #[error("this token has expired: make a new one with 'cnnfctl defenders token create'")]
    Expired,
    /// It was used as often as it may be.
    #[error("this token is used up: make a new one with 'cnnfctl defenders token create'")]
    Used,
}

/// A host that asks to be let in; its certificate is already made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewHost {
    /// Its id, chosen at random.
    pub id: HostId,
    /// The name it wishes for; gets `-2` and so on if it is taken.
    pub name: String,
    /// Its labels; those of the token are added and come first.
    pub labels: Labels,
    /// Its mode.
    pub mode: Mode,
    /// Its certificate.
    pub certificate: Certificate,
}

/// What became of an enrolment. The store worked either way.
pub type Enrolled = Result<HostRow, TokenError>;

/// A token that lets hosts in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewToken {
    /// The hash of its secret.
    pub secret_hash: String,
    /// When it was made.
    pub created: Timestamp,
    /// Until when it is good.
    pub expires: Timestamp,
    /// For how many hosts.
    pub uses: u32,
    /// Labels that it gives to its hosts, whatever they say themselves.
    pub labels: Labels,
}

/// Tokens that expired so long ago are forgotten, in milliseconds.
const REMEMBERED_MS: u64 = 30 * 24 * 3600 * 1000;

impl Store {
    /// Keeps a token by the hash of its secret.
    pub fn add_token(&self, token: NewToken, audit: Audit) -> Pending<()> {
        self.decide(audit, move |connection| {
            let NewToken { secret_hash, created, expires, uses, labels } = token;
            let forgotten = Timestamp(created.0.saturating_sub(REMEMBERED_MS));
            connection.execute("DELETE FROM tokens WHERE expires < ?1", [time(forgotten)])?;
            connection.execute(
                "INSERT INTO tokens (secret_hash, created, expires, uses_left, labels) VALUES (?1, ?2, ?3, ?4, ?5)",
                params![secret_hash, time(created), time(expires), count(uses.into()), json(&labels)?],
            )?;
            Ok(())
        })
    }

    /// Trades one use of a token for a host's place, both or neither. `audit` gets the host's name and id.
    pub fn enrol(&self, secret_hash: String, new: NewHost, now: Timestamp, audit: Audit) -> Pending<Enrolled> {
        self.writer.submit(Class::Decision, move |connection| {
            let token: Option<(i64, i64, String)> = connection
                .query_row(
                    "SELECT expires, uses_left, labels FROM tokens WHERE secret_hash = ?1",
                    [&secret_hash],
                    |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
                )
                .optional()?;
            let bound: Labels = match token {
                None => return Ok(Err(TokenError::Unknown)),
                Some((_, uses, _)) if uses <= 0 => return Ok(Err(TokenError::Used)),
                Some((expires, ..)) if expires <= time(now) => return Ok(Err(TokenError::Expired)),
                Some((.., labels)) => parse_json(&labels)?,
            };
            connection.execute("UPDATE tokens SET uses_left = uses_left - 1 WHERE secret_hash = ?1", [&secret_hash])?;
            let row = HostRow {
                name: free_name(connection, &new.name)?,
                id: new.id,
                labels: new.labels.with(&bound),
                bound,
                mode: new.mode,
                certificate: new.certificate,
                revoked: false,
                created: now,
                last_seen: now,
                version: String::new(),
            };
            host::insert(connection, &row)?;
            audit::add(connection, &Audit { subject: row.name.clone(), ..audit })?;
            Ok(Ok(row))
        })
    }
}

fn free_name(connection: &Connection, wish: &str) -> Result<String, StoreError> {
    let mut taken = connection.prepare_cached("SELECT 1 FROM hosts WHERE name = ?1")?;
    let mut name = wish.to_owned();
    let mut number = 2u64;
    while taken.exists([&name])? {
        name = format!("{wish}-{number}");
        number += 1;
    }
    Ok(name)
}
