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
    let request = |service: &str| v1::ActivateModelRequest { service: service.to_owned(), ..Default::default() };
    assert_eq!(client.activate_model(request("client")).await.expect("active").into_inner().phase, "active");
    stream.policy_with(|policy| judges(policy, "alert")).await;
    let missing = client.activate_model(request("unit:none")).await.expect_err("none");
    assert_eq!(missing.code(), Code::NotFound);
    let all = client.list_models(v1::ListModelsRequest::default()).await.expect("models").into_inner().models;
    assert_eq!(all.len(), 1);
    assert!(all[0].edges.is_empty() && all[0].edge_count == 1);
}

fn written(direction: &str, peer: &str, port: &str) -> Option<v1::EdgeOfService> {
    Some(v1::EdgeOfService { direction: direction.into(), peer: peer.into(), port: port.into() })
}

/// Whether the client's own model lets it reach this server.
fn allows(policy: &v1::HostPolicy, address: &str, port: u32) -> bool {
    let groups = policy.egress.iter().filter(|e| e.model == "unit:client" && e.effect == "allow").map(|e| e.peer_group);
    let groups: Vec<u32> = groups.collect();
    let members = policy.groups.iter().filter(|group| groups.contains(&group.id)).flat_map(|group| &group.entries);
    members.into_iter().any(|entry| entry.addresses == address && entry.protocol == "tcp" && entry.port == port)
}

#[tokio::test]
async fn what_is_decided_about_a_model_reaches_the_host_and_outlives_a_restart() {
    let mut place = Place::new();
    let host = place.enrol("app").await;
    let mut stream = host.attach(&place).await;
    stream.deliver(1, inventory("10.9.0.1", &[("unit:client", 0)])).await;
    stream.deliver(2, flow("unit:client", "10.9.0.1", "10.9.0.2", 80)).await;
    let mut client = ModelServiceClient::new(place.admin().await);
    let service = || "client".to_owned();
    client
        .activate_model(v1::ActivateModelRequest { service: service(), reason: "known since 2019".into() })
        .await
        .expect("active");
    stream.policy_with(|policy| allows(policy, "10.9.0.2", 80) && judges(policy, "alert")).await;

    let approve = |edge, event| v1::ApproveEdgeRequest { service: service(), edge, event, reason: "OPS-7".into() };
    let model = client.approve_edge(approve(written("to", "10.9.0.3", "tcp/dynamic"), 0)).await.expect("approved");
    let origins: Vec<String> = model.into_inner().edges.into_iter().map(|edge| edge.origin).collect();
    assert_eq!(origins, ["learned", "approved"]);
    stream.policy_with(|policy| allows(policy, "10.9.0.3", 0)).await;
    let forget = |edge| v1::ForgetEdgeRequest { service: service(), edge, ..Default::default() };
    client.forget_edge(forget(written("to", "10.9.0.2", "tcp/80"))).await.expect("forgotten");
    stream.policy_with(|policy| !allows(policy, "10.9.0.2", 80) && allows(policy, "10.9.0.3", 0)).await;
    let effect = v1::SetAnomalyEffectRequest { service: service(), effect: "prevent".into(), ..Default::default() };
    client.set_anomaly_effect(effect).await.expect("set");
    stream.policy_with(|policy| judges(policy, "prevent")).await;

    for (edge, event, code, part) in [
        (written("to", "10.9.0.2", "tcp/0"), 0, Code::InvalidArgument, "edge.port"),
        (written("at", "10.9.0.2", "tcp/80"), 0, Code::InvalidArgument, "to, from"),
        (written("to", "object:none", "tcp/80"), 0, Code::InvalidArgument, "no address object"),
        (written("to", "nobody", "tcp/80"), 0, Code::NotFound, "no service"),
        (None, 99, Code::NotFound, "no event 99"),
        (None, 0, Code::InvalidArgument, "exactly one"),
    ] {
        let refused = client.approve_edge(approve(edge, event)).await.expect_err(part);
        assert_eq!(refused.code(), code, "{refused:?}");
        assert!(refused.message().contains(part), "{refused:?}");
    }
    let again = client.forget_edge(forget(written("to", "10.9.0.2", "tcp/80"))).await.expect_err("gone");
    assert_eq!(again.code(), Code::NotFound);
    let stop = v1::StopLearningRequest { service: service(), ..Default::default() };
    let not_by_hand = client.stop_learning(stop.clone()).await.expect_err("not begun");
    assert_eq!(not_by_hand.code(), Code::FailedPrecondition);
    client.start_learning(v1::StartLearningRequest { service: service(), ..Default::default() }).await.expect("begun");

    drop(stream);
    place.kill();
    place.start();
    let known = model_of(&place).await;
    assert_eq!((known.phase.as_str(), known.manual, known.edge_count), ("learning", true, 1));
    assert_eq!((known.anomaly_effect.as_str(), known.edges[0].origin.as_str()), ("prevent", "approved"));
    let mut client = ModelServiceClient::new(place.admin().await);
    assert_eq!(client.stop_learning(stop).await.expect("ended").into_inner().phase, "dry_run");
    let relearn = v1::RelearnModelRequest { service: service(), ..Default::default() };
    let relearnt = client.relearn_model(relearn).await.expect("relearn").into_inner();
    assert_eq!((relearnt.phase.as_str(), relearnt.edge_count), ("learning", 1));
    let reset = client
        .reset_model(v1::ResetModelRequest { service: service(), ..Default::default() })
        .await
        .expect("reset")
        .into_inner();
    assert_eq!((reset.phase.as_str(), reset.edge_count, reset.expected_events), ("learning", 0, None));

    let history = model_of(&place).await.decisions;
    assert_eq!(history, reset.decisions, "the same wherever one model is shown");
    let short: Vec<_> = history.iter().map(|one| format!("{} {} {}", one.action, one.edge, one.reason)).collect();
    let edge = |peer: &str, port: &str| format!("unit:client → {peer} {port}");
    let told = [
        "reset  ".to_owned(),
        "relearn  ".to_owned(),
        "learn_stop  ".to_owned(),
        "learn_start  ".to_owned(),
        "effect  ".to_owned(),
        format!("forget {} ", edge("10.9.0.2", "tcp/80")),
        format!("approve {} OPS-7", edge("10.9.0.3", "tcp/dynamic")),
        "activate  known since 2019".to_owned(),
    ];
    assert_eq!(short, told, "newest first; what was refused is not there");
    let (first, last) = (&history[7], &history[0]);
    assert_eq!((first.phase_before.as_str(), first.phase.as_str(), first.edges), ("learning", "active", 1));
    assert_eq!((last.edges_before, last.edges, history[4].anomaly_effect.as_str()), (1, 0, "prevent"));
    assert!(history.iter().all(|one| !one.who.is_empty() && !one.at.is_empty() && one.audit_id > 0));
    let too_long = v1::RelearnModelRequest { service: service(), reason: "x".repeat(5_000) };
    assert_eq!(client.relearn_model(too_long).await.expect_err("too long").code(), Code::InvalidArgument);
}

async fn model_of(place: &Place) -> v1::Model {
    model(place, "client").await.expect("a model")
}
