//! From the store to the state.

use std::sync::Arc;

use cnnf_core::directory::{Directory, Host};
use cnnf_core::policy::PolicySet;
use cnnf_core::time::Timestamp;
use cnnf_core::topology::Topology;
use cnnf_store::{Store, StoreError};

use super::{Desired, KnownHost, State, Waiting};
use crate::settings::Settings;

/// Reads everything. Hosts are taken to have just spoken, so that a restart takes nobody's addresses away.
pub(crate) fn restore(store: &Store, now: Timestamp) -> Result<State, StoreError> {
    let mut settings = Settings::default();
    for (name, value) in store.settings()? {
        if let Err(error) = settings.set(&name, &value) {
            tracing::warn!(name, value, %error, "a stored setting is not used");
        }
    }
    let decided = store.policy()?;
    let definitions = store.definitions()?;
    let policy = PolicySet {
        revision: decided.revision,
        rules: decided.rules,
        objects: decided.objects,
        models: store.models()?,
        anomaly_effect: settings.anomaly_effect,
        learning_off: !settings.learning,
        service_modes: store.service_modes()?,
        definitions: definitions.rows.iter().map(|row| row.definition.clone()).collect(),
    };
    let mut inventories = store.inventories()?;
    let mut cursors = store.cursors()?;
    let mut generations = store.generations()?;
    let mut directory = Directory::default();
    let mut hosts = std::collections::BTreeMap::new();
    for row in store.hosts()? {
        let inventory = inventories.remove(&row.id).unwrap_or_default();
        let mut known = KnownHost::new(row.clone(), now);
        known.addresses.clone_from(&inventory.addresses);
        known.cursor = cursors.remove(&row.id);
        if let Some((generation, content)) = generations.remove(&row.id) {
            known.desired = Desired { generation, content, policy: None };
        }
        if !row.revoked {
            let host = Host {
                name: row.name.clone(),
                labels: row.labels.clone(),
                addresses: inventory.addresses,
                mode: row.mode,
                instances: inventory.instances,
            };
            directory.insert(row.id.clone(), host);
        }
        hosts.insert(row.id, known);
    }
    Ok(State {
        started: now,
        conflicts: directory.conflicts().into_keys().collect(),
        directory: Arc::new(directory),
        policy: Arc::new(policy),
        last_rule: decided.last_rule,
        unconfirmed: decided.unconfirmed.map(|change| Waiting::new(change, now)),
        expiries_told: store.expiries_told()?.unwrap_or(now),
        definitions,
        uses: store.rule_uses()?,
        topology: Arc::new(Topology::from_edges(store.edges()?)),
        settings,
        hosts,
    })
}
