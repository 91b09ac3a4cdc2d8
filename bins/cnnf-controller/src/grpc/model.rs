//! Learned behaviour.

use std::time::Duration;

use cnnf_core::id::ServiceKey;
use cnnf_core::model::Model;
use cnnf_core::policy::Effect;
use cnnf_rpc::convert::common::time_text;
use cnnf_rpc::v1;
use cnnf_rpc::v1::model_service_server::ModelService;
use tonic::{Request, Response, Status};

use super::page::page;
use super::{Api, service};
use crate::settings::duration_text;

#[tonic::async_trait]
impl ModelService for Api {
    async fn list_models(
        &self,
        request: Request<v1::ListModelsRequest>,
    ) -> Result<Response<v1::ListModelsResponse>, Status> {
        let all = {
            let state = self.0.state();
            let effect = state.policy.anomaly_effect;
            state.policy.models.iter().map(|(key, model)| message(key, model, effect)).collect()
        };
        let (models, next_token) = page(all, request.into_inner().page.as_ref())?;
        Ok(Response::new(v1::ListModelsResponse { models, next_token }))
    }

    async fn get_model(&self, request: Request<v1::GetModelRequest>) -> Result<Response<v1::Model>, Status> {
        let state = self.0.state();
        let key = service(&state, "service", &request.into_inner().service)?;
        let model = state.policy.models.get(&key);
        let model =
            model.ok_or_else(|| Status::not_found(format!("{key} has no model: it has one once it runs or talks")))?;
        Ok(Response::new(whole(&key, model, state.policy.anomaly_effect)))
    }

    async fn activate_model(&self, request: Request<v1::ActivateModelRequest>) -> Result<Response<v1::Model>, Status> {
        let key = service(&self.0.state(), "service", &request.into_inner().service)?;
        let model = self.0.activate_model(&key).await?;
        let effect = self.0.state().policy.anomaly_effect;
        Ok(Response::new(whole(&key, &model, effect)))
    }
}

fn message(key: &ServiceKey, model: &Model, effect: Effect) -> v1::Model {
    // Whole seconds: a clock that is stored every ten seconds has no finer truth.
    let observed = Duration::from_secs(model.observed_ms / 1000);
    v1::Model {
        service: key.to_string(),
        phase: model.phase.to_string(),
        since: time_text(model.since),
        observed: duration_text(observed),
        edge_count: u32::try_from(model.edges.len()).unwrap_or(u32::MAX),
        connections: model.connections,
        anomaly_effect: model.anomaly_effect.unwrap_or(effect).to_string(),
        unseen_probability: model.unseen_probability(),
        edges: Vec::new(),
    }
}

fn whole(key: &ServiceKey, model: &Model, effect: Effect) -> v1::Model {
    let edges = model.edges.iter().map(|(edge, seen)| v1::LearnedEdge {
        edge: Some(edge.into()),
        first_seen: time_text(seen.first),
        last_seen: time_text(seen.last),
        connections: seen.connections,
    });
    v1::Model { edges: edges.collect(), ..message(key, model, effect) }
}
