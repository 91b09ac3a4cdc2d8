//! Hosts come, speak, fall silent and go.

use std::collections::BTreeMap;
use std::sync::Arc;

use cnnf_core::directory::Host;
use cnnf_core::event::EventKind;
use cnnf_core::id::{HostId, ServiceKey};
use cnnf_core::time::Timestamp;
use cnnf_store::{HostRow, Inventory, NewEvent, Subject};

use super::{KnownHost, Learned, SILENCE, State};

impl State {
    /// Lets a host in.
    pub(crate) fn add_host(&mut self, row: HostRow, now: Timestamp) {
        let host = Host {
            name: row.name.clone(),
            labels: row.labels.clone(),
            addresses: Default::default(),
            mode: row.mode,
            instances: BTreeMap::new(),
        };
        Arc::make_mut(&mut self.directory).insert(row.id.clone(), host);
        self.hosts.insert(row.id.clone(), KnownHost::new(row, now));
    }

    /// Notes that a host spoke; `true` if it had been silent and claims its addresses again.
    pub(crate) fn heard(&mut self, id: &HostId, now: Timestamp) -> bool {
        let Some(known) = self.hosts.get_mut(id) else { return false };
        known.heard = known.heard.max(now);
        if !std::mem::take(&mut known.silent) {
            return false;
        }
        Arc::make_mut(&mut self.directory).change(id, |host| host.addresses.clone_from(&known.addresses));
        true
    }

    /// Takes the addresses of hosts that have become silent out of the directory; returns an event for each.
    pub(crate) fn fall_silent(&mut self, now: Timestamp) -> Vec<NewEvent> {
        let mut events = Vec::new();
        for (id, known) in &mut self.hosts {
            if known.silent || known.row.revoked || now.since(known.heard) < SILENCE {
                continue;
            }
            known.silent = true;
            Arc::make_mut(&mut self.directory).change(id, |host| host.addresses.clear());
            events.push(NewEvent {
                kind: EventKind::DefenderOffline,
                subject: Subject::System {
                    host: Some(id.clone()),
                    message: format!("the defender has been silent for {} s", SILENCE.as_secs()),
                },
                process: None,
                count: 1,
                at: now,
            });
        }
        events
    }

    /// Replaces what is known of a host; `None` if it is what was known. Returns events about addresses that two hosts claim.
    pub(crate) fn replace_inventory(&mut self, id: &HostId, new: &Inventory, now: Timestamp) -> Option<Vec<NewEvent>> {
        let known = self.hosts.get_mut(id)?;
        if self.directory.host(id)?.instances == new.instances && known.addresses == new.addresses {
            return None;
        }
        known.addresses.clone_from(&new.addresses);
        Arc::make_mut(&mut self.directory).change(id, |host| {
            host.addresses.clone_from(&new.addresses);
            host.instances.clone_from(&new.instances);
        });
        let conflicts = self.directory.conflicts();
        let events = conflicts
            .iter()
            .filter(|(address, _)| !self.conflicts.contains(address))
            .map(|(address, ids)| {
                let names: Vec<String> = ids.iter().map(|id| self.host_name(id)).collect();
                let message = format!("{address} is claimed by {}: no service is known behind it", names.join(" and "));
                NewEvent {
                    kind: EventKind::AddressConflict,
                    subject: Subject::System { host: Some(id.clone()), message },
                    process: None,
                    count: 1,
                    at: now,
                }
            })
            .collect();
        self.conflicts = conflicts.into_keys().collect();
        Some(events)
    }

    /// Takes a host that is no more out of the directory. An address that two hosts claimed may be one's alone now.
    pub(crate) fn take_from_directory(&mut self, id: &HostId, now: Timestamp) -> Learned {
        Arc::make_mut(&mut self.directory).remove(id);
        self.conflicts = self.directory.conflicts().into_keys().collect();
        self.reresolve(now)
    }

    /// How many instances with a process each service has, on hosts that speak.
    pub(crate) fn live_instances(&self) -> BTreeMap<ServiceKey, u32> {
        let mut live = BTreeMap::new();
        for (id, host) in self.directory.hosts() {
            if self.hosts.get(id).is_none_or(|known| known.silent) {
                continue;
            }
            for (key, _) in host.instances.iter().filter(|(_, instance)| instance.live) {
                *live.entry(key.clone()).or_insert(0) += 1;
            }
        }
        live
    }
}
