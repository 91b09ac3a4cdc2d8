//! Events, folded and counted.

use std::time::Duration;

use cnnf_core::event::{EventKind, EventParty, Process};
use cnnf_core::id::{HostId, ServiceKey};
use cnnf_core::net::Protocol;
use cnnf_core::policy::{Reason, Vantage};
use cnnf_core::time::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params, params_from_iter};
use serde::{Deserialize, Serialize};

use crate::audit::Audit;
use crate::column::{collect, count, json, read_count, read_json, read_text, read_time, time};
use crate::policy::{counter, set_counter};
use crate::writer::Class;
use crate::{Pending, Store, StoreError};

/// Equal events are folded while the newest is no older than this and nobody has seen to it.
pub const FOLD_WINDOW: Duration = Duration::from_secs(3600);

/// Different processes that are kept of an event.
pub const MAX_SAMPLES: usize = 10;

/// What an event tells of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Subject {
    /// A connection that the policy speaks of.
    Connection {
        /// Who opened it.
        client: EventParty,
        /// Who was addressed.
        server: EventParty,
        /// Its protocol; the port is the server's.
        protocol: Protocol,
        /// Why.
        reason: Reason,
        /// Which side decided.
        side: Vantage,
    },
    /// Something of the system's own.
    System {
        /// On or of this host.
        host: Option<HostId>,
        /// In words.
        message: String,
    },
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEvent {
    /// What.
    pub kind: EventKind,
    /// To whom.
    pub subject: Subject,
    /// The process on the deciding host, if it is known.
    pub process: Option<Process>,
    /// How many equal ones this stands for.
    pub count: u64,
    /// When.
    pub at: Timestamp,
}

/// An event as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEvent {
    /// Its number; grows.
    pub id: u64,
    /// What happened.
    pub kind: EventKind,
    /// To whom; of the newest of the folded.
    pub subject: Subject,
    /// Different processes, newest first; at most [`MAX_SAMPLES`].
    pub samples: Vec<Process>,
    /// How many it stands for.
    pub count: u64,
    /// The first of them.
    pub first: Timestamp,
    /// The newest of them.
    pub last: Timestamp,
    /// Whether somebody has seen to it.
    pub acknowledged: bool,
    /// What they noted.
    pub note: String,
    /// Which change of all events made it what it is; grows with each.
    pub change: u64,
}

/// Which events are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventQuery {
    /// Only of this kind.
    pub kind: Option<EventKind>,
    /// Only with one of these services at an end or as the model's; `None` for all.
    pub services: Option<Vec<ServiceKey>>,
    /// Only with something since then.
    pub since: Timestamp,
    /// Only with something until then; `None` for no end.
    pub until: Option<Timestamp>,
    /// Only those that nobody has seen to.
    pub open: bool,
    /// Only older ones than this: the last-seen time and id that a page ended with.
    pub before: Option<(Timestamp, u64)>,
}

impl Subject {
    /// What equal events have in common beside their kind: the ends (services by key, others by address), protocol, port and reason;
    /// for the system's own the host and the message.
    fn fold(&self, kind: EventKind) -> String {
        match self {
            Self::Connection { client, server, protocol, reason, .. } => {
                let end = |party: &EventParty| match &party.service {
                    Some(key) => key.to_string(),
                    None => party.address.to_string(),
                };
                let reason = match reason {
                    Reason::Rule { id, .. } => format!("rule {}", id.0),
                    Reason::Model(key) => format!("model {key}"),
                    Reason::OtherSide => "other side".to_owned(),
                    Reason::Default => String::new(),
                };
                // Keys may hold any printable character, so a control character separates.
                [kind.as_str(), &end(client), &end(server), &protocol.to_string(), &server.port.to_string(), &reason]
                    .join("\u{1f}")
            }
            Self::System { host, message } => {
                [kind.as_str(), host.as_ref().map_or("", HostId::as_str), message].join("\u{1f}")
            }
        }
    }
}

impl Store {
    /// Adds events outside of a report; answers with them as they are kept now.
    pub fn add_events(&self, events: Vec<NewEvent>) -> Pending<Vec<StoredEvent>> {
        self.writer.submit(Class::Note, move |connection| add(connection, &events))
    }

    /// Marks an event as seen to; a later equal one starts anew. An empty note leaves the one that it has.
    ///
    /// [`StoreError::NotFound`] if there is no such event.
    pub fn acknowledge_event(&self, id: u64, note: String, audit: Audit) -> Pending<StoredEvent> {
        self.decide(audit, move |connection| {
            connection.execute(
                "UPDATE events SET acknowledged = 1, change = ?3, note = CASE ?2 WHEN '' THEN note ELSE ?2 END WHERE id = ?1",
                params![count(id), note, count(next_change(connection)?)],
            )?;
            one(connection, id)?.ok_or_else(|| StoreError::NotFound(format!("event {id}")))
        })
    }

    /// One event.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn event(&self, id: u64) -> Result<Option<StoredEvent>, StoreError> {
        self.read(|connection| one(connection, id))
    }

    /// Events, newest first, at most `limit`.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn events(&self, query: &EventQuery, limit: usize) -> Result<Vec<StoredEvent>, StoreError> {
        let (condition, values) = query.condition();
        self.read(|connection| {
            let sql = format!(
                "SELECT * FROM events WHERE {condition} ORDER BY last_seen DESC, id DESC LIMIT {}",
                limit.min(100_000)
            );
            let mut statement = connection.prepare_cached(&sql)?;
            let mut rows = statement.query(params_from_iter(&values))?;
            let mut events = Vec::new();
            while let Some(row) = rows.next()? {
                events.push(read_event(row)?);
            }
            Ok(events)
        })
    }

    /// Events with a greater number than this, in the order of their numbers, at most `limit`.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn events_after(&self, id: u64, limit: usize) -> Result<Vec<StoredEvent>, StoreError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.read(|connection| {
            let sql = "SELECT * FROM events WHERE id > ?1 ORDER BY id LIMIT ?2";
            collect(connection, sql, &[&count(id), &limit], read_event)
        })
    }

    /// Events that are new or have changed after this change, in the order of their newest changes, at most `limit`.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn events_changed_after(&self, change: u64, limit: usize) -> Result<Vec<StoredEvent>, StoreError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.read(|connection| {
            let sql = "SELECT * FROM events WHERE change > ?1 ORDER BY change LIMIT ?2";
            collect(connection, sql, &[&count(change), &limit], read_event)
        })
    }

    /// The newest change of events.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn newest_event_change(&self) -> Result<u64, StoreError> {
        self.read(|connection| counter(connection, CHANGE))
    }

    /// How many events match.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn count_events(&self, query: &EventQuery) -> Result<u64, StoreError> {
        let (condition, values) = query.condition();
        self.read(|connection| {
            let sql = format!("SELECT count(*) AS n FROM events WHERE {condition}");
            let mut statement = connection.prepare_cached(&sql)?;
            let mut rows = statement.query(params_from_iter(&values))?;
            rows.next()?.map_or(Ok(0), |row| read_count(row, "n"))
        })
    }
}

impl EventQuery {
    /// As a condition with its values.
    fn condition(&self) -> (String, Vec<rusqlite::types::Value>) {
        let mut terms = vec!["last_seen >= ?1".to_owned(), "first_seen <= ?2".to_owned()];
        let mut values = vec![time(self.since).into(), self.until.map_or(i64::MAX, time).into()];
        if let Some(kind) = self.kind {
            values.push(kind.as_str().to_owned().into());
            terms.push(format!("kind = ?{}", values.len()));
        }
        if let Some(services) = &self.services {
            let from = values.len() + 1;
            values.extend(services.iter().map(|key| rusqlite::types::Value::from(key.to_string())));
            let places: Vec<String> = (from..=values.len()).map(|n| format!("?{n}")).collect();
            let list = places.join(", ");
            terms.push(format!("(client_service IN ({list}) OR server_service IN ({list}) OR model IN ({list}))"));
        }
        if self.open {
            terms.push("acknowledged = 0".to_owned());
        }
        if let Some((last, id)) = self.before {
            values.push(time(last).into());
            values.push(count(id).into());
            let n = values.len();
            terms.push(format!("(last_seen < ?{} OR (last_seen = ?{} AND id < ?{n}))", n - 1, n - 1));
        }
        (terms.join(" AND "), values)
    }
}

/// Folds events into what is kept, and returns each changed event once.
pub(crate) fn add(connection: &Connection, events: &[NewEvent]) -> Result<Vec<StoredEvent>, StoreError> {
    let mut changed = std::collections::BTreeSet::new();
    for event in events {
        changed.insert(fold(connection, event)?);
    }
    changed.into_iter().filter_map(|id| one(connection, id).transpose()).collect()
}

/// The counter of changes.
const CHANGE: &str = "event_change";

/// Counts a change.
fn next_change(connection: &Connection) -> Result<u64, StoreError> {
    let change = counter(connection, CHANGE)? + 1;
    set_counter(connection, CHANGE, change)?;
    Ok(change)
}

fn fold(connection: &Connection, event: &NewEvent) -> Result<u64, StoreError> {
    let fold = event.subject.fold(event.kind);
    let known: Option<(i64, String)> = connection
        .prepare_cached(
            "SELECT id, samples FROM events WHERE fold = ?1 AND acknowledged = 0 AND last_seen >= ?2
             ORDER BY last_seen DESC LIMIT 1",
        )?
        .query_row(params![fold, time(event.at.minus(FOLD_WINDOW))], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let (client, server, model, connection_text, host, message) = match &event.subject {
        Subject::Connection { client, server, reason, .. } => (
            client.service.as_ref().map(ToString::to_string).unwrap_or_default(),
            server.service.as_ref().map(ToString::to_string).unwrap_or_default(),
            if let Reason::Model(key) = reason { key.to_string() } else { String::new() },
            json(&event.subject)?,
            String::new(),
            String::new(),
        ),
        Subject::System { host, message } => (
            String::new(),
            String::new(),
            String::new(),
            String::new(),
            host.as_ref().map(ToString::to_string).unwrap_or_default(),
            message.clone(),
        ),
    };
    let change = next_change(connection)?;
    if let Some((id, samples)) = known {
        let samples: Vec<Process> =
            serde_json::from_str(&samples).map_err(|error| StoreError::Corrupt(format!("samples: {error}")))?;
        connection
            .prepare_cached(
                "UPDATE events SET count = count + ?2, samples = ?3, connection = ?4, message = ?5,
                 first_seen = min(first_seen, ?6), last_seen = max(last_seen, ?6), change = ?7 WHERE id = ?1",
            )?
            .execute(params![
                id,
                count(event.count),
                json(&with_sample(samples, event.process.as_ref()))?,
                connection_text,
                message,
                time(event.at),
                count(change),
            ])?;
        return Ok(u64::try_from(id).unwrap_or(0));
    }
    let id = counter(connection, "event")? + 1;
    set_counter(connection, "event", id)?;
    connection
        .prepare_cached(
            "INSERT INTO events (id, fold, kind, client_service, server_service, model, connection, host, message, samples,
             count, first_seen, last_seen, acknowledged, change)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?12, 0, ?13)",
        )?
        .execute(params![
            count(id),
            fold,
            event.kind.as_str(),
            client,
            server,
            model,
            connection_text,
            host,
            message,
            json(&with_sample(Vec::new(), event.process.as_ref()))?,
            count(event.count),
            time(event.at),
            count(change),
        ])?;
    Ok(id)
}

fn with_sample(mut samples: Vec<Process>, new: Option<&Process>) -> Vec<Process> {
    if let Some(new) = new {
        samples.retain(|known| known != new);
        samples.insert(0, new.clone());
        // What names its process comes before what came too late to.
        samples.sort_by_key(|process| !process.missing.is_empty());
        samples.truncate(MAX_SAMPLES);
    }
    samples
}

fn one(connection: &Connection, id: u64) -> Result<Option<StoredEvent>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT * FROM events WHERE id = ?1")?;
    let mut rows = statement.query([count(id)])?;
    rows.next()?.map(read_event).transpose()
}

fn read_event(row: &Row<'_>) -> Result<StoredEvent, StoreError> {
    let connection: String = row.get("connection")?;
    let subject = if connection.is_empty() {
        let host: String = row.get("host")?;
        Subject::System { host: (!host.is_empty()).then(|| HostId::new(host)), message: row.get("message")? }
    } else {
        read_json(row, "connection")?
    };
    Ok(StoredEvent {
        id: read_count(row, "id")?,
        kind: read_text(row, "kind")?,
        subject,
        samples: read_json(row, "samples")?,
        count: read_count(row, "count")?,
        first: read_time(row, "first_seen")?,
        last: read_time(row, "last_seen")?,
        acknowledged: row.get("acknowledged")?,
        note: row.get("note")?,
        change: read_count(row, "change")?,
    })
}
