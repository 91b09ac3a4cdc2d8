//! Rules, address objects and modes of services.

use std::collections::BTreeMap;
use std::sync::Arc;

use cnnf_core::id::ServiceKey;
use cnnf_core::policy::{AddressObject, Delta, Mode, ObjectDelta, Placed, Rule, RuleDelta, RuleHits, RuleId, Rules};
use cnnf_core::time::Timestamp;
use rusqlite::{Connection, params};

use crate::audit::Audit;
use crate::column::{collect, count, json, read_count, read_json, read_text, read_time, time};
use crate::history::{self, Author};
use crate::place;
use crate::{NewEvent, Pending, Store, StoreError, StoredEvent};

/// What operators decided.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyState {
    /// Number of the newest change.
    pub revision: u64,
    /// The newest rule's number; numbers are never used again.
    pub last_rule: u64,
    /// In order.
    pub rules: Rules,
    /// By name.
    pub objects: BTreeMap<String, AddressObject>,
    /// The newest change, if it is undone unless it is confirmed.
    pub unconfirmed: Option<Unconfirmed>,
}

/// A change that is undone at its deadline unless it is confirmed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unconfirmed {
    /// Which; always the newest.
    pub revision: u64,
    /// Rules and objects become what they were after this one.
    pub base: u64,
    /// Whose it is.
    pub who: String,
    /// Since when it is in force.
    pub at: Timestamp,
    /// Its deadline.
    pub until: Timestamp,
}

/// How often a rule decided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RuleUse {
    /// Connections.
    pub hits: u64,
    /// The newest of them; `None` for never.
    pub last_used: Option<Timestamp>,
}

impl Store {
    /// Rules and objects.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn policy(&self) -> Result<PolicyState, StoreError> {
        self.read(|connection| {
            let rules: Vec<Arc<Rule>> =
                collect(connection, "SELECT body FROM rules ORDER BY position", &[], |row| read_json(row, "body"))?;
            let objects = collect(connection, "SELECT * FROM objects", &[], |row| {
                let name: String = row.get("name")?;
                Ok((name.clone(), AddressObject { name, addresses: read_json(row, "addresses")? }))
            })?;
            Ok(PolicyState {
                revision: counter(connection, "revision")?,
                last_rule: counter(connection, "rule")?,
                rules: rules.into(),
                objects: objects.into_iter().collect(),
                unconfirmed: unconfirmed(connection)?,
            })
        })
    }

    /// How often each rule decided.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn rule_uses(&self) -> Result<BTreeMap<RuleId, RuleUse>, StoreError> {
        self.read(|connection| {
            let rows = collect(connection, "SELECT id, hits, last_used FROM rules", &[], |row| {
                let last = read_time(row, "last_used")?;
                let last_used = (last.0 > 0).then_some(last);
                Ok((RuleId(read_count(row, "id")?), RuleUse { hits: read_count(row, "hits")?, last_used }))
            })?;
            Ok(rows.into_iter().collect())
        })
    }

    /// Replaces `old` by `new`, all or nothing; only the difference is written, and kept in the history as `author`'s. Answers with the events
    /// that tell of it as they are kept now.
    ///
    /// [`StoreError::Stale`] if the store is not at `old`'s revision.
    pub fn save_policy(
        &self,
        old: &PolicyState,
        new: &PolicyState,
        author: Author,
        events: Vec<NewEvent>,
        audit: Audit,
    ) -> Pending<Vec<StoredEvent>> {
        let seen = old.revision;
        let (revision, last_rule) = (new.revision, new.last_rule);
        let delta = Delta::between((&old.rules, &old.objects), (&new.rules, &new.objects));
        let order = new.rules.clone();
        let (was, is) = (old.unconfirmed.clone(), new.unconfirmed.clone());
        self.decide(audit, move |connection| {
            let newest = counter(connection, "revision")?;
            if newest != seen {
                return Err(StoreError::Stale { seen, newest });
            }
            set_counter(connection, "revision", revision)?;
            set_counter(connection, "rule", last_rule)?;
            history::add(connection, revision, &author, &delta)?;
            if let Some(was) = was {
                let what = format!("not confirmed: undone by revision {revision}");
                settle(connection, was.revision, &what)?;
            }
            if let Some(Unconfirmed { revision, base, who, at, until }) = is {
                connection.execute(
                    "INSERT INTO unconfirmed (revision, base, who, at, until) VALUES (?1, ?2, ?3, ?4, ?5)",
                    params![count(revision), count(base), who, time(at), time(until)],
                )?;
            }
            let places = place::assign(connection, &order, &delta)?;
            let mut delete_rule = connection.prepare_cached("DELETE FROM rules WHERE id = ?1")?;
            let mut put_rule = connection.prepare_cached(
                "INSERT INTO rules (id, position, body, hits, last_used) VALUES (?1, ?2, ?3, 0, 0)
                 ON CONFLICT (id) DO UPDATE SET position = excluded.position, body = excluded.body",
            )?;
            let mut change_rule = connection.prepare_cached("UPDATE rules SET body = ?2 WHERE id = ?1")?;
            for RuleDelta { before, after, .. } in delta.rules {
                match (before, after) {
                    (_, Some(Placed { rule, .. })) => {
                        match places.get(&rule.id) {
                            Some(place) => put_rule.execute(params![count(rule.id.0), place, json(&rule)?])?,
                            None => change_rule.execute(params![count(rule.id.0), json(&rule)?])?,
                        };
                    }
                    (Some(before), None) => {
                        delete_rule.execute([count(before.rule.id.0)])?;
                    }
                    (None, None) => {}
                }
            }
            let mut position_of = connection.prepare_cached("UPDATE rules SET position = ?2 WHERE id = ?1")?;
            for (id, place) in places {
                position_of.execute(params![count(id.0), place])?;
            }
            for ObjectDelta { before, after } in delta.objects {
                match (before, after) {
                    (_, Some(object)) => {
                        connection.execute(
                            "INSERT INTO objects (name, addresses) VALUES (?1, ?2)
                             ON CONFLICT (name) DO UPDATE SET addresses = excluded.addresses",
                            params![object.name, json(&object.addresses)?],
                        )?;
                    }
                    (Some(object), None) => {
                        connection.execute("DELETE FROM objects WHERE name = ?1", [object.name])?;
                    }
                    (None, None) => {}
                }
            }
            crate::event::add(connection, &events)
        })
    }

    /// Keeps the change that waits to be confirmed.
    ///
    /// [`StoreError::NotFound`] if this is not the one that waits.
    pub fn confirm_policy(&self, revision: u64, author: &Author, audit: Audit) -> Pending<()> {
        let what = format!("confirmed by {}", author.who);
        self.decide(audit, move |connection| {
            if unconfirmed(connection)?.is_none_or(|waiting| waiting.revision != revision) {
                return Err(StoreError::NotFound(format!("revision {revision} that waits to be confirmed")));
            }
            settle(connection, revision, &what)
        })
    }

    /// Modes of services that have one of their own.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn service_modes(&self) -> Result<BTreeMap<ServiceKey, Mode>, StoreError> {
        self.read(|connection| {
            let rows = collect(connection, "SELECT * FROM service_modes", &[], |row| {
                Ok((read_text(row, "service")?, read_text(row, "mode")?))
            })?;
            Ok(rows.into_iter().collect())
        })
    }

    /// Sets a service's mode.
    pub fn set_service_mode(&self, service: ServiceKey, mode: Mode, audit: Audit) -> Pending<()> {
        self.decide(audit, move |connection| {
            connection.execute(
                "INSERT INTO service_modes (service, mode) VALUES (?1, ?2)
                 ON CONFLICT (service) DO UPDATE SET mode = excluded.mode",
                params![service.as_str(), mode.as_str()],
            )?;
            Ok(())
        })
    }
}

fn unconfirmed(connection: &Connection) -> Result<Option<Unconfirmed>, StoreError> {
    let rows = collect(connection, "SELECT * FROM unconfirmed", &[], |row| {
        Ok(Unconfirmed {
            revision: read_count(row, "revision")?,
            base: read_count(row, "base")?,
            who: row.get("who")?,
            at: read_time(row, "at")?,
            until: read_time(row, "until")?,
        })
    })?;
    Ok(rows.into_iter().next())
}

/// Nothing waits any more; the history says what became of it.
fn settle(connection: &Connection, revision: u64, what: &str) -> Result<(), StoreError> {
    connection.execute("DELETE FROM unconfirmed", [])?;
    connection.execute("UPDATE revisions SET note = ?2 WHERE revision = ?1", params![count(revision), what])?;
    Ok(())
}

/// Counts what a rule did.
pub(crate) fn count_use(connection: &Connection, hits: &RuleHits) -> Result<(), StoreError> {
    connection
        .prepare_cached("UPDATE rules SET hits = hits + ?2, last_used = max(last_used, ?3) WHERE id = ?1")?
        .execute(params![count(hits.rule.0), count(hits.connections), time(hits.last)])?;
    Ok(())
}

/// Reads a counter.
pub(crate) fn counter(connection: &Connection, name: &str) -> Result<u64, StoreError> {
    let mut statement = connection.prepare_cached("SELECT value FROM counters WHERE name = ?1")?;
    let mut rows = statement.query([name])?;
    match rows.next()? {
        Some(row) => read_count(row, "value"),
        None => Err(StoreError::Corrupt(format!("the counter '{name}' is missing"))),
    }
}

/// Sets a counter.
pub(crate) fn set_counter(connection: &Connection, name: &str, value: u64) -> Result<(), StoreError> {
    connection
        .prepare_cached("UPDATE counters SET value = ?2 WHERE name = ?1")?
        .execute(params![name, count(value)])?;
    Ok(())
}
