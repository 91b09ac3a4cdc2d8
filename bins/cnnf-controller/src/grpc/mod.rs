//! The API: one file a service. Form is checked in `cnnf-rpc`, meaning in the core; here one is brought to the other.

mod api_token;
mod audit;
mod channel;
pub(crate) mod defender;
mod definition;
mod enrollment;
pub(crate) mod event;
mod explain;
mod fleet;
mod history;
mod model;
mod page;
mod policy;
mod reach;
mod recorded;
mod session;
mod setting;
mod status;
mod topology;
mod user;
mod watch;

use std::collections::BTreeMap;
use std::sync::Arc;

use cnnf_core::failsafe::Failsafes;
use cnnf_rpc::convert::ConvertError;
use cnnf_rpc::v1::api_token_service_server::ApiTokenServiceServer;
use cnnf_rpc::v1::audit_service_server::AuditServiceServer;
use cnnf_rpc::v1::channel_service_server::ChannelServiceServer;
use cnnf_rpc::v1::defender_service_server::DefenderServiceServer;
use cnnf_rpc::v1::definition_service_server::DefinitionServiceServer;
use cnnf_rpc::v1::enrollment_service_server::EnrollmentServiceServer;
use cnnf_rpc::v1::event_service_server::EventServiceServer;
use cnnf_rpc::v1::fleet_service_server::FleetServiceServer;
use cnnf_rpc::v1::model_service_server::ModelServiceServer;
use cnnf_rpc::v1::policy_service_server::PolicyServiceServer;
use cnnf_rpc::v1::session_service_server::SessionServiceServer;
use cnnf_rpc::v1::settings_service_server::SettingsServiceServer;
use cnnf_rpc::v1::status_service_server::StatusServiceServer;
use cnnf_rpc::v1::topology_service_server::TopologyServiceServer;
use cnnf_rpc::v1::user_service_server::UserServiceServer;
use cnnf_rpc::v1::watch_service_server::WatchServiceServer;
use cnnf_rpc::{limits, tls};
use tonic::Status;
use tonic::service::RoutesBuilder;

use crate::auth::{Caller, Guard, Who};
use crate::controller::Controller;
use crate::writes::Writes;

/// All services' handlers.
#[derive(Clone)]
pub(crate) struct Api(pub(crate) Arc<Controller>);

/// Serves the gRPC port until the controller ends.
pub(crate) async fn serve(
    controller: Arc<Controller>,
    incoming: tls::Incoming,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let api = Api(Arc::clone(&controller));
    let (health, health_service) = tonic_health::server::health_reporter();
    let asked = Arc::clone(&controller);
    tokio::spawn(async move {
        let mut unready = asked.health.subscribe();
        loop {
            let status = match asked.health.unready() {
                None => tonic_health::ServingStatus::Serving,
                Some(_) => tonic_health::ServingStatus::NotServing,
            };
            health.set_service_status("", status).await;
            tokio::select! {
                () = asked.ended() => return,
                _ = unready.changed() => {}
            }
        }
    });
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(cnnf_rpc::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let max = limits::MAX_MESSAGE;
    let mut services = for_people(&api);
    services
        .add_service(health_service)
        .add_service(reflection().build_v1()?)
        // The same under its older name: all that grpcio-reflection for Python asks for.
        .add_service(reflection().build_v1alpha()?)
        .add_service(EnrollmentServiceServer::new(api.clone()).max_decoding_message_size(max))
        .add_service(DefenderServiceServer::new(api).max_decoding_message_size(max));
    tls::server()
        .layer(Guard(Arc::clone(&controller)))
        .layer(Writes(Arc::clone(&controller)))
        .add_routes(services.routes())
        .serve_with_incoming_shutdown(incoming, async move { controller.ended().await })
        .await?;
    Ok(())
}

/// What people and programs call, on either port.
pub(crate) fn for_people(api: &Api) -> RoutesBuilder {
    let max = limits::MAX_MESSAGE;
    let max_policy = limits::MAX_POLICY_MESSAGE;
    let mut services = RoutesBuilder::default();
    services
        .add_service(StatusServiceServer::new(api.clone()).max_decoding_message_size(max))
        .add_service(TopologyServiceServer::new(api.clone()).max_decoding_message_size(max))
        .add_service(PolicyServiceServer::new(api.clone()).max_decoding_message_size(max_policy))
        .add_service(ModelServiceServer::new(api.clone()).max_decoding_message_size(max))
        .add_service(EventServiceServer::new(api.clone()).max_decoding_message_size(max))
        .add_service(FleetServiceServer::new(api.clone()).max_decoding_message_size(max))
        .add_service(SettingsServiceServer::new(api.clone()).max_decoding_message_size(max))
        .add_service(DefinitionServiceServer::new(api.clone()).max_decoding_message_size(max))
        .add_service(SessionServiceServer::new(api.clone()).max_decoding_message_size(max))
        .add_service(UserServiceServer::new(api.clone()).max_decoding_message_size(max))
        .add_service(ApiTokenServiceServer::new(api.clone()).max_decoding_message_size(max))
        .add_service(AuditServiceServer::new(api.clone()).max_decoding_message_size(max))
        .add_service(ChannelServiceServer::new(api.clone()).max_decoding_message_size(max))
        .add_service(WatchServiceServer::new(api.clone()).max_decoding_message_size(max));
    services
}

/// Who calls.
fn caller<T>(request: &tonic::Request<T>) -> Caller {
    // The guard puts it there; without it nobody calls.
    request.extensions().get::<Caller>().cloned().unwrap_or(Caller { who: Who::Nobody, address: None, once: None })
}

/// Hosts can have other failsafes; these they have unless they are told otherwise.
fn failsafes() -> Failsafes {
    Failsafes::with_controller(7443)
}

/// Labels as a message has them.
fn labels(labels: &cnnf_core::label::Labels) -> BTreeMap<String, String> {
    labels.0.clone()
}

/// A word of a closed vocabulary.
fn word<T: std::str::FromStr<Err: std::fmt::Display>>(field: &str, text: &str) -> Result<T, Status> {
    text.parse().map_err(|error| ConvertError::new(field, error).into())
}
