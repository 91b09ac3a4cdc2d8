//! Hosts are shut out and forgotten.

use std::sync::Arc;

use cnnf_core::id::HostId;
use serde_json::json;
use tonic::Status;

use crate::auth::Caller;
use crate::changes::Topic;
use crate::clock::now;
use crate::controller::{Controller, refuse};

impl Controller {
    /// Shuts a host out: its stream ends at once and its certificates are refused from now on. It claims no addresses any more. What
    /// was learned of it stays.
    pub(crate) async fn revoke_host(self: &Arc<Self>, who: &Caller, id: &HostId) -> Result<(), Status> {
        let _guard = self.edits.lock().await;
        let record = who.record("host.revoke", &self.state().host_name(id), None, Some(json!({"id": id.as_str()})));
        self.store.set_host_revoked(id.clone(), true, record).await.map_err(refuse)?;
        let queued = {
            let mut state = self.state();
            if let Some(known) = state.hosts.get_mut(id) {
                known.row.revoked = true;
                known.live = None;
            }
            let learned = state.take_from_directory(id, now());
            self.queue(&state, learned)
        };
        tracing::info!(host = %id, "a host was revoked");
        self.changes.note(Topic::Fleet);
        self.settle(queued).await;
        Ok(())
    }

    /// Forgets a host that is revoked or not connected.
    pub(crate) async fn delete_host(self: &Arc<Self>, who: &Caller, id: &HostId) -> Result<(), Status> {
        let _guard = self.edits.lock().await;
        let (queued, deleted) = {
            let mut state = self.state();
            let Some(known) = state.hosts.get(id) else {
                return Err(Status::not_found(format!("host {id} is gone")));
            };
            if known.live.is_some() {
                let name = &known.row.name;
                return Err(Status::failed_precondition(format!(
                    "host '{name}' is connected: revoke it or stop its defender first"
                )));
            }
            let row = &known.row;
            let before = json!({"id": id.as_str(), "labels": row.labels, "mode": row.mode, "revoked": row.revoked});
            let record = who.record("host.delete", &row.name, Some(before), None);
            // Out of the state first and stored under the lock, so that no report and no stream of it comes in between.
            state.hosts.remove(id);
            let learned = state.take_from_directory(id, now());
            (self.queue(&state, learned), self.store.delete_host(id.clone(), record))
        };
        let deleted = deleted.await;
        self.settle(queued).await;
        if let Err(error) = deleted {
            self.take_back().await;
            return Err(refuse(error));
        }
        tracing::info!(host = %id, "a host was deleted");
        self.changes.note(Topic::Fleet);
        Ok(())
    }
}
