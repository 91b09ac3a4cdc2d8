//! Learned behaviour.

use cnnf_rpc::v1::model_service_server::ModelService;
use cnnf_rpc::v1::*;
use tonic::{Request, Response, Status};

use super::super::answers;
use super::{Answer, Controller, named, page};

#[tonic::async_trait]
impl ModelService for Controller {
    async fn list_models(&self, request: Request<ListModelsRequest>) -> Answer<ListModelsResponse> {
        let models: Vec<_> = answers::models().into_iter().map(|model| Model { edges: Vec::new(), ..model }).collect();
        let (models, next_token) = page(&models, self.admit(request)?.page);
        Ok(Response::new(ListModelsResponse { models, next_token }))
    }

    async fn get_model(&self, request: Request<GetModelRequest>) -> Answer<Model> {
        let key = named(&self.admit(request)?.service)?;
        let found = answers::models().into_iter().find(|model| model.service == key);
        found.map(Response::new).ok_or_else(|| Status::not_found(format!("{key} has no model")))
    }

    async fn relearn_model(&self, request: Request<RelearnModelRequest>) -> Answer<Model> {
        let service = named(&self.admit(request)?.service)?;
        Ok(Response::new(Model { service, phase: "learning".into(), ..Model::default() }))
    }

    async fn reset_model(&self, request: Request<ResetModelRequest>) -> Answer<Model> {
        let service = named(&self.admit(request)?.service)?;
        Ok(Response::new(Model { service, phase: "learning".into(), ..Model::default() }))
    }

    async fn start_learning(&self, request: Request<StartLearningRequest>) -> Answer<Model> {
        let service = named(&self.admit(request)?.service)?;
        Ok(Response::new(Model { service, phase: "learning".into(), ..Model::default() }))
    }

    async fn stop_learning(&self, request: Request<StopLearningRequest>) -> Answer<Model> {
        let service = named(&self.admit(request)?.service)?;
        Ok(Response::new(Model { service, phase: "dry_run".into(), ..Model::default() }))
    }

    async fn approve_edge(&self, request: Request<ApproveEdgeRequest>) -> Answer<Model> {
        let service = named(&self.admit(request)?.service)?;
        Ok(Response::new(Model { service, edge_count: 3, ..Model::default() }))
    }

    async fn forget_edge(&self, request: Request<ForgetEdgeRequest>) -> Answer<Model> {
        let service = named(&self.admit(request)?.service)?;
        Ok(Response::new(Model { service, edge_count: 1, ..Model::default() }))
    }

    async fn set_anomaly_effect(&self, request: Request<SetAnomalyEffectRequest>) -> Answer<Model> {
        let SetAnomalyEffectRequest { service, effect, .. } = self.admit(request)?;
        Ok(Response::new(Model { service: named(&service)?, anomaly_effect: effect, ..Model::default() }))
    }

    async fn activate_model(&self, request: Request<ActivateModelRequest>) -> Answer<Model> {
        let service = named(&self.admit(request)?.service)?;
        Ok(Response::new(Model { service, phase: "active".into(), anomaly_effect: "alert".into(), ..Model::default() }))
    }
}
