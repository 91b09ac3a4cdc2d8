//! How the whole is.

use cnnf_rpc::convert::common::time_text;
use cnnf_rpc::v1;
use cnnf_rpc::v1::status_service_server::StatusService;
use cnnf_store::EventQuery;
use tonic::{Request, Response, Status};

use super::Api;
use crate::controller::refuse;
use crate::downloads::is_outdated;

#[tonic::async_trait]
impl StatusService for Api {
    async fn get_status(&self, _: Request<v1::GetStatusRequest>) -> Result<Response<v1::Status>, Status> {
        let open = EventQuery { open: true, ..EventQuery::default() };
        let open_events = self.0.aside(move |controller| controller.store.count_events(&open).map_err(refuse)).await?;
        let known = self.0.snapshot();
        let services = size(known.services().len());
        let conflicts = known.directory.conflicts();
        let mut models = std::collections::BTreeMap::new();
        for model in known.policy.models.values() {
            *models.entry(model.phase.to_string()).or_insert(0) += 1;
        }
        let state = self.0.state();
        Ok(Response::new(v1::Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            defenders: size(state.hosts.values().filter(|known| !known.row.revoked).count()),
            connected: size(state.hosts.values().filter(|known| known.live.is_some()).count()),
            services,
            edges: size(state.topology.edges().len()),
            rules: size(state.policy.rules.len()),
            revision: state.policy.revision,
            models,
            open_events,
            started: time_text(state.started),
            conflicts: conflicts
                .into_iter()
                .map(|(address, hosts)| v1::AddressConflict {
                    address: address.to_string(),
                    hosts: hosts.into_iter().map(|id| state.host_name(id)).collect(),
                })
                .collect(),
            outdated: size(
                state.hosts.values().filter(|known| !known.row.revoked && is_outdated(&known.row.version)).count(),
            ),
            unconfirmed: state.unconfirmed.as_ref().map(Into::into),
        }))
    }
}

fn size(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
