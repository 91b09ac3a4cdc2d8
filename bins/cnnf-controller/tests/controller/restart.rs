//! Killed and started again: everything is there.

use cnnf_rpc::v1;
use cnnf_rpc::v1::event_service_client::EventServiceClient;
use cnnf_rpc::v1::fleet_service_client::FleetServiceClient;
use cnnf_rpc::v1::model_service_client::ModelServiceClient;
use cnnf_rpc::v1::policy_service_client::PolicyServiceClient;
use cnnf_rpc::v1::report::Body;
use cnnf_rpc::v1::settings_service_client::SettingsServiceClient;
use cnnf_rpc::v1::topology_service_client::TopologyServiceClient;
use cnnf_rpc::v1::{EventReport, FlowReport};

use crate::cli::get;
use crate::place::{Place, flow, inventory, rule, until};

/// All that an administrator can see and that does not change by itself.
pub(crate) async fn picture(place: &Place) -> String {
    let channel = place.admin().await;
    let rules =
        PolicyServiceClient::new(channel.clone()).list_rules(v1::ListRulesRequest::default()).await.expect("rules");
    let edges =
        TopologyServiceClient::new(channel.clone()).list_edges(v1::ListEdgesRequest::default()).await.expect("edges");
    let services = TopologyServiceClient::new(channel.clone())
        .list_services(v1::ListServicesRequest::default())
        .await
        .expect("services");
    let events =
        EventServiceClient::new(channel.clone()).list_events(v1::ListEventsRequest::default()).await.expect("events");
    let settings =
        SettingsServiceClient::new(channel.clone()).get_settings(v1::GetSettingsRequest {}).await.expect("settings");
    let hosts = FleetServiceClient::new(channel.clone())
        .list_defenders(v1::ListDefendersRequest::default())
        .await
        .expect("hosts");
    let hosts: Vec<_> = hosts
        .into_inner()
        .defenders
        .into_iter()
        .map(|h| (h.host, h.id, h.mode, h.desired_generation, h.addresses))
        .collect();
    let request = v1::GetModelRequest { service: "unit:client".to_owned() };
    let model = ModelServiceClient::new(channel).get_model(request).await.expect("a model").into_inner();
    let model = (model.phase, model.edges, model.connections);
    format!(
        "{:#?}\n{:#?}\n{:#?}\n{:#?}\n{:#?}\n{hosts:#?}\n{model:#?}",
        rules.into_inner(),
        edges.into_inner(),
        services.into_inner(),
        events.into_inner(),
        settings.into_inner().values,
    )
}

fn event(seq: u64) -> Body {
    let party = |service: &str, address: &str, port| {
        Some(v1::EventParty { service: service.to_owned(), address: address.to_owned(), port, ..Default::default() })
    };
    Body::Events(EventReport {
        events: vec![v1::ConnectionEvent {
            at_ms: crate::place::now_ms(),
            kind: "rule_alert".to_owned(),
            client: party("unit:client", "10.9.0.1", 1),
            server: party("", "10.9.0.2", 80),
            protocol: "tcp".to_owned(),
            rule_id: 1,
            rule_name: "watch".to_owned(),
            rule_revision: 1,
            side: "client".to_owned(),
            count: seq,
            ..Default::default()
        }],
    })
}

#[tokio::test]
async fn a_kill_loses_nothing() {
    let mut place = Place::new();
    let host = place.enrol("app").await;
    let mut stream = host.attach(&place).await;
    let mut rules = PolicyServiceClient::new(place.admin().await);
    rules
        .add_rule(v1::AddRuleRequest { rule: Some(rule("watch", "unit:client", "any", "alert")), ..Default::default() })
        .await
        .expect("added");
    let setting = v1::SetSettingRequest { name: "dry_run_for".to_owned(), value: "7s".to_owned() };
    SettingsServiceClient::new(place.admin().await).set_setting(setting).await.expect("set");
    stream.deliver(1, inventory("10.9.0.1", &[("unit:client", 0)])).await;
    stream.deliver(2, flow("unit:client", "10.9.0.1", "10.9.0.2", 80)).await;
    stream.deliver(3, event(3)).await;
    let activate = v1::ActivateModelRequest { service: "client".to_owned(), ..Default::default() };
    ModelServiceClient::new(place.admin().await).activate_model(activate).await.expect("active");
    let last = stream.policy_with(|policy| policy.egress.iter().any(|entry| entry.model == "unit:client")).await;
    let mut before = picture(&place).await;
    for round in 0..3u64 {
        place.kill();
        place.start();
        assert_eq!(picture(&place).await, before, "round {round}");
        let mut stream = host.attach_having(&place, last.generation).await;
        let policy = stream.policy().await;
        assert_eq!(policy, last, "the same content is the same generation");
        stream.deliver(3, event(3)).await;
        assert_eq!(picture(&place).await, before, "a report from before counts no second time");
        stream.deliver(4 + round, event(1)).await;
        stream.deliver(4 + round, event(1)).await;
        before = picture(&place).await;
    }
    let events = EventServiceClient::new(place.admin().await).list_events(v1::ListEventsRequest::default()).await;
    assert_eq!(events.expect("events").into_inner().events[0].count, 6);
}

/// Sends flows until the stream ends; how far they were acknowledged.
async fn send_until_the_end(stream: &mut crate::place::Stream, from: u64) -> u64 {
    let mut acknowledged = from;
    for seq in from + 1..from + 100_000 {
        if stream.try_report(seq, flow("unit:client", "10.9.0.1", "10.9.0.2", 80)).await.is_err() {
            break;
        }
        match stream.try_acknowledged(seq).await {
            Ok(()) => acknowledged = seq,
            Err(_) => break,
        }
    }
    acknowledged
}

#[tokio::test]
async fn root_a_full_disk_loses_and_doubles_nothing() {
    let place = Place::on_a_small_disk();
    let host = place.enrol("app").await;
    let mut stream = host.attach(&place).await;
    stream.deliver(1, inventory("10.9.0.1", &[("unit:client", 0)])).await;
    stream.deliver(2, flow("unit:client", "10.9.0.1", "10.9.0.2", 80)).await;
    let filler = place.path().join("filler");
    let mut file = std::fs::File::create(&filler).expect("a file");
    while std::io::Write::write_all(&mut file, &[0; 512]).is_ok() {}
    let acknowledged = send_until_the_end(&mut stream, 2).await;
    let status = PolicyServiceClient::new(place.admin().await)
        .add_rule(v1::AddRuleRequest { rule: Some(rule("watch", "unit:client", "any", "alert")), ..Default::default() })
        .await
        .expect_err("no space for a rule");
    assert_eq!(status.code(), tonic::Code::Unavailable);
    assert!(status.message().contains("free space"), "{}", status.message());
    let ready = || async { get(place.web, "/readyz") };
    until(ready, |answer| answer.starts_with("HTTP/1.1 503") && answer.contains("cannot be written")).await;
    drop(file);
    std::fs::remove_file(&filler).expect("space again");
    until(ready, |answer| answer.starts_with("HTTP/1.1 200")).await;
    let mut stream = host.attach(&place).await;
    for seq in acknowledged.max(3) - 1..acknowledged + 20 {
        stream.deliver(seq, flow("unit:client", "10.9.0.1", "10.9.0.2", 80)).await;
    }
    let edges = TopologyServiceClient::new(place.admin().await).list_edges(v1::ListEdgesRequest::default()).await;
    let counted = edges.expect("edges").into_inner().edges[0].connections;
    // Each report but the first is one connection.
    assert_eq!(counted, acknowledged + 18, "{acknowledged} were acknowledged before the disk was full");
    let mut rules = PolicyServiceClient::new(place.admin().await);
    rules
        .add_rule(v1::AddRuleRequest { rule: Some(rule("watch", "unit:client", "any", "alert")), ..Default::default() })
        .await
        .expect("added");
}

#[tokio::test]
async fn what_was_acknowledged_under_load_is_there_after_a_kill() {
    let mut place = Place::new();
    let host = place.enrol("app").await;
    let mut sent = 0u64;
    let mut acknowledged = 0u64;
    for round in 1..=5u64 {
        let mut stream = host.attach(&place).await;
        // From the first that was not acknowledged, as a spool does.
        sent = sent.min(acknowledged);
        let stop = acknowledged + 20 * round;
        while acknowledged < stop {
            while sent < acknowledged + 30 {
                sent += 1;
                let Body::Flows(FlowReport { flows }) = flow("unit:client", "10.9.0.1", "10.9.0.2", 80) else {
                    continue;
                };
                stream.report(sent, Body::Flows(FlowReport { flows })).await;
            }
            stream.acknowledged(acknowledged + 1).await;
            acknowledged += 1;
        }
        place.kill();
        place.start();
        let mut topology = TopologyServiceClient::new(place.admin().await);
        let edges = topology.list_edges(v1::ListEdgesRequest::default()).await.expect("edges").into_inner().edges;
        let counted = edges.first().map_or(0, |edge| edge.connections);
        assert!(
            (acknowledged..=sent).contains(&counted),
            "round {round}: {counted} of {acknowledged} acknowledged, {sent} sent"
        );
    }
}
