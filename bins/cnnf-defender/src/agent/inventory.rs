//! When to say what the host is and runs.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use cnnf_core::directory::Instance;
use cnnf_core::id::ServiceKey;
use cnnf_core::identity::Resolver;
use cnnf_core::time::Timestamp;
use cnnf_rpc::convert::flow;

/// How often it is said even if nothing changed.
const EVERY: Duration = Duration::from_secs(10);
/// How soon a change is said.
const SOON: Duration = Duration::from_millis(200);
/// How long a program lives on after its last connection, as far as is known.
const PROGRAM_LIVES: Duration = Duration::from_secs(60);

/// What is needed to say it.
#[derive(Debug, Default)]
pub(super) struct Inventory {
    addresses: BTreeSet<IpAddr>,
    programs: BTreeMap<ServiceKey, Timestamp>,
    said: Timestamp,
    changed: bool,
}

impl Inventory {
    /// Something changed.
    pub(super) fn touch(&mut self) {
        self.changed = true;
    }

    pub(super) fn set_addresses(&mut self, addresses: BTreeSet<IpAddr>) {
        self.changed |= self.addresses != addresses;
        self.addresses = addresses;
    }

    /// A service had a connection.
    pub(super) fn seen(&mut self, key: &ServiceKey, resolver: &Resolver, at: Timestamp) {
        if resolver.by_process(key) && self.programs.insert(key.clone(), at).is_none() {
            self.changed = true;
        }
    }

    /// What to say now, if it is time.
    pub(super) fn due(&mut self, resolver: &Resolver, now: Timestamp) -> Option<flow::Inventory> {
        let since = now.since(self.said);
        // a clock that was set back must not make us silent
        if now >= self.said && since < if self.changed { SOON } else { EVERY } {
            return None;
        }
        self.said = now;
        self.changed = false;
        let mut naturals = resolver.naturals();
        let instances = resolver
            .endpoints()
            .filter_map(|(key, endpoints)| {
                let recent = self.programs.get(key).is_some_and(|at| now.since(*at) < PROGRAM_LIVES);
                let live = resolver.has_cgroup(key) || !endpoints.is_empty() || recent;
                let natural = naturals.remove(key).unwrap_or_default();
                (live || !resolver.is_renamed(key))
                    .then(|| (key.clone(), Instance { endpoints: endpoints.clone(), live, natural }))
            })
            .collect();
        Some(flow::Inventory { addresses: self.addresses.clone(), instances, at: now })
    }
}
