//! Services, edges and the picture.

use cnnf_rpc::v1::topology_service_server::TopologyService;
use cnnf_rpc::v1::*;
use tonic::{Request, Response, Status};

use super::super::answers;
use super::{Answer, Controller, named, page};

#[tonic::async_trait]
impl TopologyService for Controller {
    async fn list_services(&self, request: Request<ListServicesRequest>) -> Answer<ListServicesResponse> {
        let (services, next_token) = page(&answers::services(), self.admit(request)?.page);
        Ok(Response::new(ListServicesResponse { services, next_token }))
    }

    async fn get_service(&self, request: Request<GetServiceRequest>) -> Answer<Service> {
        let key = named(&self.admit(request)?.service)?;
        let found = answers::services().into_iter().find(|service| service.key == key);
        found.map(Response::new).ok_or_else(|| Status::not_found("no such service"))
    }

    async fn set_service_mode(&self, request: Request<SetServiceModeRequest>) -> Answer<Service> {
        let ask = self.admit(request)?;
        Ok(Response::new(Service { key: named(&ask.service)?, mode: ask.mode, ..Service::default() }))
    }

    async fn list_edges(&self, request: Request<ListEdgesRequest>) -> Answer<ListEdgesResponse> {
        let (edges, next_token) = page(&answers::edges(), self.admit(request)?.page);
        Ok(Response::new(ListEdgesResponse { edges, next_token }))
    }

    async fn get_history(&self, _: Request<GetHistoryRequest>) -> Answer<GetHistoryResponse> {
        Err(Status::unimplemented("no command asks for charts"))
    }

    async fn get_reach(&self, request: Request<GetReachRequest>) -> Answer<Reach> {
        let asked = self.admit(request)?;
        let whole = answers::reach();
        let (targets, next_token) = page(&whole.targets, asked.page);
        Ok(Response::new(Reach { targets, next_token, ..whole }))
    }

    async fn diff_edges(&self, request: Request<DiffEdgesRequest>) -> Answer<DiffEdgesResponse> {
        self.admit(request)?;
        Ok(Response::new(answers::differences()))
    }

    async fn get_radar(&self, request: Request<GetRadarRequest>) -> Answer<Radar> {
        Ok(Response::new(answers::radar(&self.admit(request)?.group_by)))
    }
}
