//! Hosts, what they run, and the generations of their policies.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::Path;

use cnnf_core::directory::{Endpoint, Instance};
use cnnf_core::id::{HostId, ServiceKey};
use cnnf_core::label::Labels;
use cnnf_core::policy::Mode;
use cnnf_core::time::Timestamp;
use rusqlite::{Connection, OpenFlags, Row, params};

use crate::audit::Audit;
use crate::column::{
    collect, count, json, read_count, read_json, read_optional, read_small, read_text, read_time, time,
};
use crate::writer::Class;
use crate::{Pending, Store, StoreError};

/// What is kept of a host's newest certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Its serial number, in hex.
    pub serial: String,
    /// SHA-256 of the certificate of the CA that signed it, in hex; empty if it is older than the first change of the CA.
    pub issuer: String,
    /// Until when it holds.
    pub expires: Timestamp,
}

/// A host that has been let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostRow {
    /// Its id.
    pub id: HostId,
    /// Its name; unique.
    pub name: String,
    /// Its labels.
    pub labels: Labels,
    /// Those of them that its token gave it: it cannot change them.
    pub bound: Labels,
    /// Its mode.
    pub mode: Mode,
    /// Its newest certificate.
    pub certificate: Certificate,
    /// Whether its certificates are refused.
    pub revoked: bool,
    /// When it was let in.
    pub created: Timestamp,
    /// When it last spoke.
    pub last_seen: Timestamp,
    /// Its defender's version.
    pub version: String,
}

/// What a host is and runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inventory {
    /// Its global addresses.
    pub addresses: BTreeSet<IpAddr>,
    /// Its services.
    pub instances: BTreeMap<ServiceKey, Instance>,
}

/// The newest report of a host that was taken in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// Names the spool.
    pub epoch: String,
    /// Counts from 1 in it.
    pub seq: u64,
}

impl Store {
    /// All hosts, by id.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn hosts(&self) -> Result<Vec<HostRow>, StoreError> {
        self.read(all)
    }

    /// As [`Store::hosts`], of a database that somebody else writes to.
    ///
    /// # Errors
    /// If the database cannot be read, or is of an older version.
    pub fn hosts_beside(path: &Path) -> Result<Vec<HostRow>, StoreError> {
        all(&Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?)
    }

    /// What each host was last known to be and run.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn inventories(&self) -> Result<BTreeMap<HostId, Inventory>, StoreError> {
        self.read(|connection| {
            let mut all: BTreeMap<HostId, Inventory> = BTreeMap::new();
            let host = |row: &Row<'_>| Ok::<_, StoreError>(HostId::new(row.get::<_, String>("host")?));
            collect(connection, "SELECT * FROM host_addresses", &[], |row| {
                all.entry(host(row)?).or_default().addresses.insert(read_text(row, "address")?);
                Ok(())
            })?;
            collect(connection, "SELECT * FROM instances", &[], |row| {
                let natural = read_json(row, "natural")?;
                let instance = Instance { endpoints: BTreeSet::new(), live: row.get("live")?, natural };
                all.entry(host(row)?).or_default().instances.insert(read_text(row, "service")?, instance);
                Ok(())
            })?;
            collect(connection, "SELECT * FROM endpoints", &[], |row| {
                let endpoint = Endpoint {
                    protocol: read_text(row, "protocol")?,
                    address: read_optional(row, "address")?,
                    port: read_small(row, "port")?,
                };
                let instances = &mut all.entry(host(row)?).or_default().instances;
                instances.entry(read_text(row, "service")?).or_default().endpoints.insert(endpoint);
                Ok(())
            })?;
            Ok(all)
        })
    }

    /// The newest report of each host that was taken in.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn cursors(&self) -> Result<BTreeMap<HostId, Cursor>, StoreError> {
        self.read(|connection| {
            let rows = collect(connection, "SELECT * FROM cursors", &[], |row| {
                let cursor = Cursor { epoch: row.get("epoch")?, seq: read_count(row, "seq")? };
                Ok((HostId::new(row.get::<_, String>("host")?), cursor))
            })?;
            Ok(rows.into_iter().collect())
        })
    }

    /// The newest generation of each host's policy, with the hash of its content.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn generations(&self) -> Result<BTreeMap<HostId, (u64, String)>, StoreError> {
        self.read(|connection| {
            let rows = collect(connection, "SELECT * FROM generations", &[], |row| {
                let host = HostId::new(row.get::<_, String>("host")?);
                Ok((host, (read_count(row, "generation")?, row.get("content")?)))
            })?;
            Ok(rows.into_iter().collect())
        })
    }

    /// Sets new generations, each with the hash of its content. A generation never goes back: an older one changes nothing.
    pub fn set_generations(&self, new: Vec<(HostId, u64, String)>) -> Pending<()> {
        self.writer.submit(Class::Decision, move |connection| {
            let mut statement = connection.prepare_cached(
                // Of a host that was deleted meanwhile there is nothing to keep.
                "INSERT INTO generations (host, generation, content)
                 SELECT ?1, ?2, ?3 WHERE EXISTS (SELECT 1 FROM hosts WHERE id = ?1)
                 ON CONFLICT (host) DO UPDATE SET generation = excluded.generation, content = excluded.content
                 WHERE excluded.generation > generations.generation",
            )?;
            for (host, generation, content) in new {
                statement.execute(params![host.as_str(), count(generation), content])?;
            }
            Ok(())
        })
    }

    /// Notes that hosts spoke: their version and labels, and when.
    pub fn note_hosts(&self, heard: Vec<(HostId, String, Labels, Timestamp)>) -> Pending<()> {
        self.writer.submit(Class::Note, move |connection| {
            let mut statement = connection.prepare_cached(
                "UPDATE hosts SET version = ?2, labels = ?3, last_seen = max(last_seen, ?4) WHERE id = ?1",
            )?;
            for (host, version, labels, at) in heard {
                statement.execute(params![host.as_str(), version, json(&labels)?, time(at)])?;
            }
            Ok(())
        })
    }

    /// Sets a host's mode.
    pub fn set_host_mode(&self, host: HostId, mode: Mode, audit: Audit) -> Pending<()> {
        self.decide(audit, move |connection| {
            let changed = connection
                .execute("UPDATE hosts SET mode = ?2 WHERE id = ?1", params![host.as_str(), mode.as_str()])?;
            if changed == 0 { Err(StoreError::NotFound(format!("host {host}"))) } else { Ok(()) }
        })
    }

    /// Notes a host's next certificate.
    pub fn renew_host(&self, host: HostId, certificate: Certificate) -> Pending<()> {
        self.writer.submit(Class::Decision, move |connection| {
            let changed = connection.execute(
                "UPDATE hosts SET serial = ?2, issuer = ?3, certificate_ends = ?4 WHERE id = ?1",
                params![host.as_str(), certificate.serial, certificate.issuer, time(certificate.expires)],
            )?;
            if changed == 0 { Err(StoreError::NotFound(format!("host {host}"))) } else { Ok(()) }
        })
    }

    /// Refuses a host's certificates from now on, or lets them in again.
    pub fn set_host_revoked(&self, host: HostId, revoked: bool, audit: Audit) -> Pending<()> {
        self.decide(audit, move |connection| {
            let changed =
                connection.execute("UPDATE hosts SET revoked = ?2 WHERE id = ?1", params![host.as_str(), revoked])?;
            if changed == 0 { Err(StoreError::NotFound(format!("host {host}"))) } else { Ok(()) }
        })
    }

    /// Forgets a host with what it was and ran. What was learned of its services stays.
    pub fn delete_host(&self, host: HostId, audit: Audit) -> Pending<()> {
        self.decide(audit, move |connection| {
            let changed = connection.execute("DELETE FROM hosts WHERE id = ?1", [host.as_str()])?;
            if changed == 0 { Err(StoreError::NotFound(format!("host {host}"))) } else { Ok(()) }
        })
    }
}

fn all(connection: &Connection) -> Result<Vec<HostRow>, StoreError> {
    collect(connection, "SELECT * FROM hosts ORDER BY id", &[], read_host)
}

fn read_host(row: &Row<'_>) -> Result<HostRow, StoreError> {
    Ok(HostRow {
        id: HostId::new(row.get::<_, String>("id")?),
        name: row.get("name")?,
        labels: read_json(row, "labels")?,
        bound: read_json(row, "bound_labels")?,
        mode: read_text(row, "mode")?,
        certificate: Certificate {
            serial: row.get("serial")?,
            issuer: row.get("issuer")?,
            expires: read_time(row, "certificate_ends")?,
        },
        revoked: row.get("revoked")?,
        created: read_time(row, "created")?,
        last_seen: read_time(row, "last_seen")?,
        version: row.get("version")?,
    })
}

/// Adds a host whose name is already unique.
pub(crate) fn insert(connection: &Connection, host: &HostRow) -> Result<(), StoreError> {
    connection.execute(
        "INSERT INTO hosts (id, name, labels, mode, serial, revoked, created, last_seen, version, bound_labels, issuer, certificate_ends)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
        params![
            host.id.as_str(),
            host.name,
            json(&host.labels)?,
            host.mode.as_str(),
            host.certificate.serial,
            host.revoked,
            time(host.created),
            time(host.last_seen),
            host.version,
            json(&host.bound)?,
            host.certificate.issuer,
            time(host.certificate.expires),
        ],
    )?;
    Ok(())
}

/// Replaces what is known of a host.
pub(crate) fn replace_inventory(connection: &Connection, host: &HostId, new: &Inventory) -> Result<(), StoreError> {
    for table in ["host_addresses", "instances", "endpoints"] {
        connection.prepare_cached(&format!("DELETE FROM {table} WHERE host = ?1"))?.execute([host.as_str()])?;
    }
    let mut addresses = connection.prepare_cached("INSERT INTO host_addresses (host, address) VALUES (?1, ?2)")?;
    for address in &new.addresses {
        addresses.execute(params![host.as_str(), address.to_string()])?;
    }
    let mut instances =
        connection.prepare_cached("INSERT INTO instances (host, service, live, natural) VALUES (?1, ?2, ?3, ?4)")?;
    let mut endpoints = connection
        .prepare_cached("INSERT INTO endpoints (host, service, protocol, address, port) VALUES (?1, ?2, ?3, ?4, ?5)")?;
    for (service, instance) in &new.instances {
        instances.execute(params![host.as_str(), service.as_str(), instance.live, json(&instance.natural)?])?;
        for endpoint in &instance.endpoints {
            let address = endpoint.address.map(|a| a.to_string()).unwrap_or_default();
            let protocol = endpoint.protocol.to_string();
            endpoints.execute(params![host.as_str(), service.as_str(), protocol, address, endpoint.port])?;
        }
    }
    Ok(())
}
