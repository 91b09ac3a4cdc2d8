//! Services by their names, looked for outside the lock: there may be tens of thousands, on as many edges.

use std::collections::BTreeSet;
use std::sync::Arc;

use cnnf_core::directory::Directory;
use cnnf_core::id::ServiceKey;
use cnnf_core::policy::PolicySet;
use cnnf_core::topology::{Peer, Topology};
use cnnf_rpc::convert::ConvertError;
use cnnf_rpc::convert::policy::{NameError, resolve_among};
use tonic::Status;

use super::State;

/// The big values of one moment, to be looked at without keeping anybody waiting.
#[derive(Clone)]
pub(crate) struct Snapshot {
    pub(crate) directory: Arc<Directory>,
    pub(crate) policy: Arc<PolicySet>,
    pub(crate) topology: Arc<Topology>,
}

impl State {
    /// The big values as they are now.
    pub(crate) fn snapshot(&self) -> Snapshot {
        Snapshot {
            directory: Arc::clone(&self.directory),
            policy: Arc::clone(&self.policy),
            topology: Arc::clone(&self.topology),
        }
    }
}

impl Snapshot {
    /// Whether a service has a model or runs somewhere; one that only edges speak of may be known all the same.
    fn knows(&self, key: &ServiceKey) -> bool {
        self.policy.models.contains_key(key) || self.directory.hosts().any(|(_, host)| host.instances.contains_key(key))
    }

    /// All services that were ever heard of.
    pub(crate) fn services(&self) -> BTreeSet<&ServiceKey> {
        let running = self.directory.hosts().flat_map(|(_, host)| host.instances.keys());
        let on_edges =
            self.topology.edges().keys().flat_map(|edge| [&edge.client, &edge.server]).filter_map(|peer| match peer {
                Peer::Service(key) => Some(key),
                _ => None,
            });
        running.chain(self.policy.models.keys()).chain(on_edges).collect()
    }

    /// The service that a caller names by key or short name, among those that were ever heard of.
    pub(crate) fn service(&self, field: &str, name: &str) -> Result<ServiceKey, Status> {
        if let Some(key) = name.parse().ok().filter(|key| self.knows(key)) {
            return Ok(key);
        }
        let known = self.services();
        // a program may be called with blanks at the end
        let name = if known.iter().any(|key| key.as_str() == name) { name } else { name.trim() };
        if name.is_empty() {
            return Err(ConvertError::new(field, "is missing: write a service's key or short name").into());
        }
        resolve_among(name, known).map_err(|error| match error {
            NameError::Unknown(name) => {
                Status::not_found(format!("there is no service '{name}': 'cnnfctl services list' shows them"))
            }
            NameError::Ambiguous { .. } => Status::failed_precondition(error.to_string()),
        })
    }

    /// The services that a filter means: a key, also of one that is not known, or all with a short name.
    pub(crate) fn services_like(&self, name: &str) -> Vec<ServiceKey> {
        match name.parse::<ServiceKey>() {
            Ok(key) => vec![key],
            Err(_) => self.services().into_iter().filter(|key| key.name() == name).cloned().collect(),
        }
    }
}
