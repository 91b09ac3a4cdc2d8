//! Rules, address objects and modes of services.

use std::collections::BTreeMap;

use cnnf_core::id::ServiceKey;
use cnnf_core::policy::{AddressObject, Mode, Rule, RuleId};
use cnnf_core::time::Timestamp;
use rusqlite::{Connection, params};

use crate::column::{collect, count, json, read_count, read_json, read_text, read_time, time};
use crate::writer::Class;
use crate::{Pending, Store, StoreError};

/// What operators decided.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyState {
    /// Number of the newest change.
    pub revision: u64,
    /// The newest rule's number; numbers are never used again.
    pub last_rule: u64,
    /// In order.
    pub rules: Vec<Rule>,
    /// By name.
    pub objects: BTreeMap<String, AddressObject>,
}

/// How often a rule alerted or prevented.
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
            let rules =
                collect(connection, "SELECT body FROM rules ORDER BY position", &[], |row| read_json(row, "body"))?;
            let objects = collect(connection, "SELECT * FROM objects", &[], |row| {
                let name: String = row.get("name")?;
                Ok((name.clone(), AddressObject { name, addresses: read_json(row, "addresses")? }))
            })?;
            Ok(PolicyState {
                revision: counter(connection, "revision")?,
                last_rule: counter(connection, "rule")?,
                rules,
                objects: objects.into_iter().collect(),
            })
        })
    }

    /// How often each rule alerted or prevented.
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

    /// Replaces `old` by `new`, all or nothing; only the difference is written.
    ///
    /// [`StoreError::Stale`] if the store is not at `old`'s revision.
    pub fn save_policy(&self, old: &PolicyState, new: &PolicyState) -> Pending<()> {
        let seen = old.revision;
        let (revision, last_rule) = (new.revision, new.last_rule);
        let before: BTreeMap<RuleId, (usize, &Rule)> =
            old.rules.iter().enumerate().map(|(n, r)| (r.id, (n, r))).collect();
        let mut kept = std::collections::BTreeSet::new();
        let mut moved = Vec::new();
        let mut put = Vec::new();
        for (position, rule) in new.rules.iter().enumerate() {
            kept.insert(rule.id);
            match before.get(&rule.id) {
                Some((at, known)) if *known == rule && *at == position => {}
                Some((_, known)) if *known == rule => moved.push((rule.id, position)),
                _ => put.push((position, rule.clone())),
            }
        }
        let gone: Vec<RuleId> = before.keys().filter(|id| !kept.contains(id)).copied().collect();
        let lost: Vec<String> = old.objects.keys().filter(|name| !new.objects.contains_key(*name)).cloned().collect();
        let objects: Vec<AddressObject> =
            new.objects.values().filter(|object| old.objects.get(&object.name) != Some(object)).cloned().collect();
        self.writer.submit(Class::Decision, move |connection| {
            let newest = counter(connection, "revision")?;
            if newest != seen {
                return Err(StoreError::Stale { seen, newest });
            }
            set_counter(connection, "revision", revision)?;
            set_counter(connection, "rule", last_rule)?;
            for id in gone {
                connection.execute("DELETE FROM rules WHERE id = ?1", [count(id.0)])?;
            }
            let mut position_of = connection.prepare_cached("UPDATE rules SET position = ?2 WHERE id = ?1")?;
            for (id, position) in moved {
                position_of.execute(params![count(id.0), count(position as u64)])?;
            }
            let mut put_rule = connection.prepare_cached(
                "INSERT INTO rules (id, position, body, hits, last_used) VALUES (?1, ?2, ?3, 0, 0)
                 ON CONFLICT (id) DO UPDATE SET position = excluded.position, body = excluded.body",
            )?;
            for (position, rule) in put {
                put_rule.execute(params![count(rule.id.0), count(position as u64), json(&rule)?])?;
            }
            for name in lost {
                connection.execute("DELETE FROM objects WHERE name = ?1", [name])?;
            }
            let mut put_object = connection.prepare_cached(
                "INSERT INTO objects (name, addresses) VALUES (?1, ?2)
                 ON CONFLICT (name) DO UPDATE SET addresses = excluded.addresses",
            )?;
            for object in objects {
                put_object.execute(params![object.name, json(&object.addresses)?])?;
            }
            Ok(())
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
    pub fn set_service_mode(&self, service: ServiceKey, mode: Mode) -> Pending<()> {
        self.writer.submit(Class::Decision, move |connection| {
            connection.execute(
                "INSERT INTO service_modes (service, mode) VALUES (?1, ?2)
                 ON CONFLICT (service) DO UPDATE SET mode = excluded.mode",
                params![service.as_str(), mode.as_str()],
            )?;
            Ok(())
        })
    }
}

/// Counts what a rule did.
pub(crate) fn count_use(
    connection: &Connection,
    rule: RuleId,
    connections: u64,
    at: Timestamp,
) -> Result<(), StoreError> {
    connection
        .prepare_cached("UPDATE rules SET hits = hits + ?2, last_used = max(last_used, ?3) WHERE id = ?1")?
        .execute(params![count(rule.0), count(connections), time(at)])?;
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
