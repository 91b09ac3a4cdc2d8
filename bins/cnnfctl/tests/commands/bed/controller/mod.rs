//! The controller's services. Rules are kept and judged with the real conversions, everything else is fixed.

mod events;
mod fleet;
mod models;
mod people;
mod policy;
mod topology;
mod watch;

use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use cnnf_core::id::ServiceKey;
use cnnf_rpc::convert::policy::resolve_among;
use cnnf_rpc::tls::{PeerConnection, PeerIdentity};
use cnnf_rpc::v1::api_token_service_server::ApiTokenServiceServer;
use cnnf_rpc::v1::audit_service_server::AuditServiceServer;
use cnnf_rpc::v1::channel_service_server::ChannelServiceServer;
use cnnf_rpc::v1::definition_service_server::DefinitionServiceServer;
use cnnf_rpc::v1::event_service_server::EventServiceServer;
use cnnf_rpc::v1::fleet_service_server::FleetServiceServer;
use cnnf_rpc::v1::model_service_server::ModelServiceServer;
use cnnf_rpc::v1::policy_service_server::PolicyServiceServer;
use cnnf_rpc::v1::settings_service_server::SettingsServiceServer;
use cnnf_rpc::v1::status_service_server::{StatusService, StatusServiceServer};
use cnnf_rpc::v1::topology_service_server::TopologyServiceServer;
use cnnf_rpc::v1::user_service_server::UserServiceServer;
use cnnf_rpc::v1::watch_service_server::WatchServiceServer;
use cnnf_rpc::v1::{self, *};
use tonic::transport::server::{Router, Server};
use tonic::{Request, Response, Status};

use super::answers;

pub(super) type Answer<T> = Result<Response<T>, Status>;

#[derive(Clone)]
pub(crate) struct Controller {
    requests: Arc<Mutex<Vec<String>>>,
    policy: Arc<Mutex<ListRulesResponse>>,
    /// The keys of the calls that came.
    keys: Arc<Mutex<Vec<String>>>,
    /// So many calls are told to come again.
    busy: Arc<Mutex<u32>>,
    /// How often the streams of changes were cut.
    cuts: Arc<tokio::sync::watch::Sender<u32>>,
}

impl Controller {
    pub(crate) fn new(requests: Arc<Mutex<Vec<String>>>) -> Self {
        let policy = ListRulesResponse {
            rules: answers::rules(),
            objects: answers::objects(),
            revision: 7,
            unconfirmed: None,
            next_token: String::new(),
        };
        Self {
            requests,
            policy: Arc::new(Mutex::new(policy)),
            keys: Arc::default(),
            busy: Arc::default(),
            cuts: Arc::default(),
        }
    }

    /// Tells so many calls to come again.
    pub(crate) fn busy(&self, calls: u32) {
        *self.busy.lock().expect("lock") = calls;
    }

    /// The keys of the calls that came since this was asked last.
    pub(crate) fn keys(&self) -> Vec<String> {
        std::mem::take(&mut self.keys.lock().expect("lock"))
    }

    /// Whether a call has come.
    pub(crate) fn came(&self) -> bool {
        !self.keys.lock().expect("lock").is_empty()
    }

    /// Ends the streams of changes.
    pub(crate) fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    pub(crate) fn routes(self, mut server: Server) -> Router {
        server
            .add_service(StatusServiceServer::new(self.clone()))
            .add_service(TopologyServiceServer::new(self.clone()))
            .add_service(PolicyServiceServer::new(self.clone()))
            .add_service(ModelServiceServer::new(self.clone()))
            .add_service(EventServiceServer::new(self.clone()))
            .add_service(FleetServiceServer::new(self.clone()))
            .add_service(SettingsServiceServer::new(self.clone()))
            .add_service(UserServiceServer::new(self.clone()))
            .add_service(ApiTokenServiceServer::new(self.clone()))
            .add_service(AuditServiceServer::new(self.clone()))
            .add_service(ChannelServiceServer::new(self.clone()))
            .add_service(WatchServiceServer::new(self.clone()))
            .add_service(DefinitionServiceServer::new(self))
    }

    /// Lets administrators in, and notes what they ask.
    pub(super) fn admit<T: Debug>(&self, request: Request<T>) -> Result<T, Status> {
        let peer = request.extensions().get::<PeerConnection>().ok_or_else(|| Status::internal("no peer"))?;
        let bearer = request.metadata().get("authorization").and_then(|value| value.to_str().ok());
        let known = bearer == Some("Bearer cnnf_api_good") && peer.identity == PeerIdentity::Anonymous;
        if !known && !matches!(peer.identity, PeerIdentity::Admin(_)) {
            return Err(Status::permission_denied(format!("{} is no administrator", peer.identity)));
        }
        let key = request.metadata().get("idempotency-key").and_then(|value| value.to_str().ok());
        self.keys.lock().expect("lock").push(key.unwrap_or_default().to_owned());
        let mut busy = self.busy.lock().expect("lock");
        if *busy > 0 {
            *busy -= 1;
            return Err(Status::unavailable("ask again in a moment"));
        }
        drop(busy);
        let message = request.into_inner();
        self.requests.lock().expect("lock").push(format!("{message:?}"));
        Ok(message)
    }
}

/// Two entries a page, so that every list has several; the token is the next entry's number.
fn page<T: Clone>(all: &[T], page: Option<PageRequest>) -> (Vec<T>, String) {
    let page = page.unwrap_or_default();
    let start: usize = page.token.parse().unwrap_or(0);
    let size = if page.size == 0 { 2 } else { page.size.min(2) as usize };
    let end = (start + size).min(all.len());
    (all[start..end].to_vec(), if end < all.len() { end.to_string() } else { String::new() })
}

fn known() -> Vec<ServiceKey> {
    ["unit:nginx", "unit:fetch", "unit:redis", "container:redis"].map(|key| key.parse().expect(key)).to_vec()
}

fn named(name: &str) -> Result<String, Status> {
    let keys = known();
    let full = keys.iter().any(|key| key.as_str() == name);
    match keys.iter().filter(|key| key.name() == name).collect::<Vec<_>>().as_slice() {
        _ if full => Ok(name.to_owned()),
        [key] => Ok(key.to_string()),
        [] => Err(Status::not_found(format!("there is no service '{name}': see 'cnnfctl services list'"))),
        _ => Err(Status::failed_precondition(resolve_among(name, &keys).expect_err("several").to_string())),
    }
}

#[tonic::async_trait]
impl StatusService for Controller {
    async fn get_status(&self, request: Request<GetStatusRequest>) -> Answer<v1::Status> {
        self.admit(request)?;
        let unconfirmed = self.policy.lock().expect("lock").unconfirmed.clone();
        Ok(Response::new(v1::Status { unconfirmed, ..answers::status() }))
    }
}
