//! Models learn, become active, and are judged on the hosts.

use cnnf_rpc::v1;
use cnnf_rpc::v1::model_service_client::ModelServiceClient;
use cnnf_rpc::v1::settings_service_client::SettingsServiceClient;
use cnnf_rpc::v1::topology_service_client::TopologyServiceClient;
use tonic::Code;

use crate::place::{Place, flow, inventory, until};

async fn set(place: &Place, name: &str, value: &str) {
    let request = v1::SetSettingRequest { name: name.to_owned(), value: value.to_owned() };
    SettingsServiceClient::new(place.admin().await).set_setting(request).await.expect("set");
}

async fn model(place: &Place, service: &str) -> Result<v1::Model, tonic::Status> {
    let request = v1::GetModelRequest { service: service.to_owned() };
    ModelServiceClient::new(place.admin().await).get_model(request).await.map(tonic::Response::into_inner)
}

fn judges(policy: &v1::HostPolicy, effect: &str) -> bool {
    policy.egress.iter().any(|entry| entry.model == "unit:client" && entry.effect == effect)
}

#[tokio::test]
async fn a_model_becomes_active_by_itself_and_objects() {
    let place = Place::new();
    set(&place, "learn_for", "1s").await;
    set(&place, "dry_run_for", "0s").await;
    let host = place.enrol("app").await;
    let mut stream = host.attach(&place).await;
    stream.deliver(1, inventory("10.9.0.1", &[("unit:client", 0)])).await;
    stream.deliver(2, flow("unit:client", "10.9.0.1", "10.9.0.2", 80)).await;
    assert_eq!(model(&place, "client").await.expect("a model").phase, "learning");
    let policy = stream.policy_with(|policy| judges(policy, "alert")).await;
    assert!(judges(&policy, "allow"), "what was learned passes: {policy:?}");
    let learned = until(|| async { model(&place, "client").await.expect("a model") }, |m| m.phase == "active").await;
    assert_eq!((learned.edge_count, learned.edges.len(), learned.connections), (1, 1, 1));
    stream.deliver(3, flow("unit:client", "10.9.0.1", "10.9.0.3", 81)).await;
    let edges = TopologyServiceClient::new(place.admin().await).list_edges(v1::ListEdgesRequest::default()).await;
    let status: Vec<String> = edges.expect("edges").into_inner().edges.into_iter().map(|edge| edge.status).collect();
    assert_eq!(status, ["learned", "unlearned"]);
    set(&place, "anomaly_effect", "prevent").await;
    stream.policy_with(|policy| judges(policy, "prevent")).await;
    set(&place, "learning", "off").await;
    stream.policy_with(|policy| policy.egress.is_empty()).await;
}

#[tokio::test]
async fn learning_can_be_ended() {
    let place = Place::new();
    let host = place.enrol("app").await;
    let mut stream = host.attach(&place).await;
    stream.deliver(1, inventory("10.9.0.1", &[("unit:client", 0)])).await;
    stream.deliver(2, flow("unit:client", "10.9.0.1", "10.9.0.2", 80)).await;
    let mut client = ModelServiceClient::new(place.admin().await);
    let request = |service: &str| v1::ActivateModelRequest { service: service.to_owned() };
    assert_eq!(client.activate_model(request("client")).await.expect("active").into_inner().phase, "active");
    stream.policy_with(|policy| judges(policy, "alert")).await;
    let missing = client.activate_model(request("unit:none")).await.expect_err("none");
    assert_eq!(missing.code(), Code::NotFound);
    let all = client.list_models(v1::ListModelsRequest::default()).await.expect("models").into_inner().models;
    assert_eq!(all.len(), 1);
    assert!(all[0].edges.is_empty() && all[0].edge_count == 1);
}
