//! A defender's stream.

use std::time::{Duration, Instant};

use cnnf_rpc::v1;
use cnnf_rpc::v1::audit_service_client::AuditServiceClient;
use cnnf_rpc::v1::defender_message::Body as Up;
use cnnf_rpc::v1::event_service_client::EventServiceClient;
use cnnf_rpc::v1::fleet_service_client::FleetServiceClient;
use cnnf_rpc::v1::policy_service_client::PolicyServiceClient;
use cnnf_rpc::v1::report::Body;
use cnnf_rpc::v1::topology_service_client::TopologyServiceClient;
use tonic::Code;

use crate::cli::get;
use crate::place::{Place, flow, inventory, now_ms, rule, until};

async fn edges(place: &Place) -> Vec<v1::ObservedEdge> {
    let mut client = TopologyServiceClient::new(place.admin().await);
    client.list_edges(v1::ListEdgesRequest::default()).await.expect("edges").into_inner().edges
}

#[tokio::test]
async fn a_rule_is_pushed_within_a_second() {
    let place = Place::new();
    let host = place.enrol("web").await;
    let mut stream = host.attach(&place).await;
    let first = stream.policy().await;
    assert_eq!((first.generation, first.mode.as_str()), (1, "observe"));
    let mut rules = PolicyServiceClient::new(place.admin().await);
    let begin = Instant::now();
    let added = rules
        .add_rule(v1::AddRuleRequest { rule: Some(rule("watch", "unit:a", "any", "alert")), ..Default::default() })
        .await
        .expect("added");
    let pushed = stream.policy().await;
    let took = begin.elapsed();
    assert_eq!(pushed.generation, 2);
    assert!(pushed.egress.iter().any(|entry| entry.rule_name == "watch" && entry.effect == "alert"), "{pushed:?}");
    assert!(took < Duration::from_secs(1), "{took:?}");
    println!("a rule is at the host after {took:?}");
    assert_eq!(added.into_inner().position, 1);

    let status = v1::ApplyStatus {
        generation: 2,
        outcome: "applied".to_owned(),
        queue: "native".to_owned(),
        ..Default::default()
    };
    stream.say(Up::ApplyStatus(status)).await;
    let not_covered = vec!["é".repeat(1000); 100];
    let counters = [("flows", 7), ("fail_open", 5), ("queue_dropped", 3), ("queue_packets", 11)];
    let counters = counters.map(|(name, value)| (name.to_owned(), value)).into();
    stream.say(Up::Heartbeat(v1::Heartbeat { counters, not_covered, now_ms: 0 })).await;
    let listed = until(
        || async {
            let mut fleet = FleetServiceClient::new(place.admin().await);
            fleet.list_defenders(v1::ListDefendersRequest::default()).await.expect("hosts").into_inner().defenders
        },
        |hosts| hosts[0].applied_generation == 2 && hosts[0].counters.contains_key("flows"),
    )
    .await;
    assert_eq!((listed[0].connected, listed[0].desired_generation, listed[0].queue.as_str()), (true, 2, "native"));
    assert_eq!(listed[0].version, "1.2.3");
    assert_eq!(listed[0].not_covered, vec!["é".repeat(512); 64], "what a host says is bounded");
    let web = place.web;
    let metrics = tokio::task::spawn_blocking(move || get(web, "/metrics")).await.expect("the web port answers");
    for line in [
        "cnnf_unjudged_packets{fate=\"passed\"} 5",
        "cnnf_unjudged_packets{fate=\"lost\"} 3",
        "cnnf_unjudged_packets{fate=\"lost_evidence\"} 0",
        "cnnf_queued_packets 11",
    ] {
        assert!(metrics.lines().any(|told| told == line), "{line}: {metrics}");
    }

    assert!(metrics.contains("\ncnnf_defenders_degraded 0\n"), "{metrics}");
    let words = "table inet cnnf: add rule to chain out (seal): Operation not supported (message 7)";
    let refused =
        v1::ApplyStatus { generation: 2, outcome: "failed".into(), message: words.into(), ..Default::default() };
    stream.say(Up::ApplyStatus(refused)).await;
    let degraded = until(
        || async {
            let mut fleet = FleetServiceClient::new(place.admin().await);
            fleet.list_defenders(v1::ListDefendersRequest::default()).await.expect("hosts").into_inner().defenders
        },
        |hosts| hosts[0].outcome == "failed",
    )
    .await;
    assert_eq!((degraded[0].message.as_str(), degraded[0].applied_generation), (words, 0));
    let metrics = tokio::task::spawn_blocking(move || get(web, "/metrics")).await.expect("the web port answers");
    assert!(metrics.contains("\ncnnf_defenders_degraded 1\n"), "{metrics}");

    let mut fleet = FleetServiceClient::new(place.admin().await);
    let mode = v1::SetDefenderModeRequest { host: "web".to_owned(), mode: "enforce".to_owned() };
    fleet.set_defender_mode(mode).await.expect("set");
    assert_eq!(stream.policy().await.mode, "enforce");
}

#[tokio::test]
async fn reports_count_once_and_name_services() {
    let place = Place::new();
    let (app, web) = (place.enrol("app").await, place.enrol("web").await);
    let mut app_stream = app.attach(&place).await;
    let mut web_stream = web.attach(&place).await;
    app_stream.deliver(1, inventory("10.9.0.1", &[("unit:client", 0)])).await;
    app_stream.deliver(2, flow("unit:client", "10.9.0.1", "10.9.0.2", 80)).await;
    assert_eq!(edges(&place).await[0].server.as_ref().expect("a server").address, "10.9.0.2");
    web_stream.deliver(1, inventory("10.9.0.2", &[("unit:nginx", 80)])).await;
    for _ in 0..3 {
        app_stream.deliver(2, flow("unit:client", "10.9.0.1", "10.9.0.2", 80)).await;
    }
    drop(app_stream);
    let mut app_stream = app.attach(&place).await;
    app_stream.deliver(2, flow("unit:client", "10.9.0.1", "10.9.0.2", 80)).await;
    app_stream.deliver(3, flow("unit:client", "10.9.0.1", "10.9.0.2", 80)).await;
    let seen = edges(&place).await;
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert_eq!((seen[0].connections, seen[0].status.as_str()), (2, "learning"));
    let (client, server) = (seen[0].client.as_ref().expect("a client"), seen[0].server.as_ref().expect("a server"));
    assert_eq!((client.service.as_str(), server.service.as_str()), ("unit:client", "unit:nginx"));

    let mut topology = TopologyServiceClient::new(place.admin().await);
    let service =
        topology.get_service(v1::GetServiceRequest { service: "nginx".to_owned() }).await.expect("found").into_inner();
    assert_eq!((service.key.as_str(), service.instances[0].host.as_str()), ("unit:nginx", "web"));
    let missing = topology.get_service(v1::GetServiceRequest { service: "none".to_owned() }).await.expect_err("none");
    assert_eq!(missing.code(), Code::NotFound);
    let from = v1::ListEdgesRequest { from: "nginx".to_owned(), ..Default::default() };
    assert!(topology.list_edges(from).await.expect("edges").into_inner().edges.is_empty());
}

fn alert(rule: &v1::Rule, pid: u32, count: u64) -> v1::ConnectionEvent {
    let party = |service: &str, address: &str, port| {
        Some(v1::EventParty { service: service.to_owned(), host: String::new(), address: address.to_owned(), port })
    };
    v1::ConnectionEvent {
        at_ms: now_ms(),
        kind: "rule_alert".to_owned(),
        client: party("unit:client", "10.9.0.1", 40_000 + pid),
        server: party("", "10.9.0.2", 80),
        protocol: "tcp".to_owned(),
        rule_id: rule.id,
        rule_name: rule.name.clone(),
        rule_revision: rule.revision,
        side: "client".to_owned(),
        process: Some(v1::Process { pid, exe: "/usr/bin/curl".to_owned(), ..Default::default() }),
        count,
        ..Default::default()
    }
}

#[tokio::test]
async fn events_are_listed_at_once_folded_and_exactly_counted() {
    let place = Place::new();
    let (app, web) = (place.enrol("app").await, place.enrol("web").await);
    let mut app_stream = app.attach(&place).await;
    web.attach(&place).await.deliver(1, inventory("10.9.0.2", &[("unit:nginx", 80)])).await;
    app_stream.deliver(1, inventory("10.9.0.1", &[("unit:client", 0)])).await;
    app_stream.deliver(2, flow("unit:client", "10.9.0.1", "10.9.0.2", 80)).await;
    let mut rules = PolicyServiceClient::new(place.admin().await);
    let added = rules
        .add_rule(v1::AddRuleRequest { rule: Some(rule("watch", "client", "nginx", "alert")), ..Default::default() })
        .await;
    let added = added.expect("added").into_inner();
    assert_eq!((added.from.as_str(), added.to.as_str()), ("unit:client", "unit:nginx"), "short names become keys");

    let mut events = EventServiceClient::new(place.admin().await);
    let mut watch = events
        .watch_events(v1::WatchEventsRequest { service: "nginx".to_owned(), ..Default::default() })
        .await
        .expect("watching")
        .into_inner();
    let begin = Instant::now();
    let report = Body::Events(v1::EventReport { events: vec![alert(&added, 1, 1), alert(&added, 2, 4)] });
    app_stream.report(3, report.clone()).await;
    let told = tokio::time::timeout(Duration::from_secs(1), watch.message()).await.expect("in time").expect("no error");
    let told = told.expect("an event");
    let list = events.list_events(v1::ListEventsRequest::default()).await.expect("events").into_inner().events;
    assert!(begin.elapsed() < Duration::from_secs(1));
    println!("an event is listed after {:?}", begin.elapsed());
    assert_eq!(list, [told]);
    let event = &list[0];
    let (client, server) = (event.client.as_ref().expect("a client"), event.server.as_ref().expect("a server"));
    assert_eq!((client.service.as_str(), client.host.as_str()), ("unit:client", "app"));
    assert_eq!((server.service.as_str(), server.host.as_str(), server.port), ("unit:nginx", "web", 80));
    assert_eq!((event.count, event.rule.as_str(), event.samples.len()), (5, "watch", 2));
    assert_eq!(event.process.as_ref().map(|process| process.pid), Some(2));
    app_stream.deliver(3, report).await;
    let hits = |rule_id, connections| v1::RuleHits { rule_id, connections, last_ms: crate::place::now_ms() };
    let hits = Body::Hits(v1::HitReport { hits: vec![hits(added.id, 7), hits(77, 9)] });
    app_stream.deliver(4, hits.clone()).await;
    app_stream.deliver(4, hits).await;
    app_stream.deliver(5, Body::Events(v1::EventReport { events: vec![alert(&added, 3, 1)] })).await;
    let again = events.get_event(v1::GetEventRequest { id: event.id }).await.expect("there").into_inner();
    assert_eq!(again.count, 6);
    let listed = rules.list_rules(v1::ListRulesRequest::default()).await.expect("rules").into_inner().rules;
    assert_eq!(listed[0].hits, 7, "as the kernel counted, and a report counts once");
    assert!(!listed[0].last_used.is_empty());
    assert_eq!(edges(&place).await[0].status, "alerted");
    let radar = TopologyServiceClient::new(place.admin().await).get_radar(v1::GetRadarRequest::default()).await;
    let radar = radar.expect("a picture").into_inner();
    assert_eq!(radar.nodes.iter().map(|node| node.worst.as_str()).collect::<Vec<_>>(), ["alerted", "alerted"]);

    let acknowledge = v1::AcknowledgeEventRequest { id: event.id, note: "the backup".to_owned() };
    let seen_to = events.acknowledge_event(acknowledge).await.expect("there").into_inner();
    let wanted = v1::ListAuditRequest { action: "event.acknowledge".to_owned(), ..v1::ListAuditRequest::default() };
    let mut audit = AuditServiceClient::new(place.admin().await);
    let recorded = audit.list_audit(wanted).await.expect("listed").into_inner().entries;
    assert_eq!(recorded[0].subject, seen_to.id.to_string());
    assert_eq!((seen_to.acknowledged, seen_to.note.as_str(), seen_to.count), (true, "the backup", 6));
    let kept = events.get_event(v1::GetEventRequest { id: event.id }).await.expect("there").into_inner();
    assert_eq!(kept, seen_to);
    let told = async {
        loop {
            let event = watch.message().await.expect("no error").expect("an event");
            if event.acknowledged {
                break event;
            }
        }
    };
    let told = tokio::time::timeout(Duration::from_secs(1), told).await.expect("watchers are told");
    assert_eq!(told, seen_to);
    assert_ne!(edges(&place).await[0].status, "alerted", "what was seen to colours nothing");
    app_stream.deliver(6, Body::Events(v1::EventReport { events: vec![alert(&added, 4, 1)] })).await;
    let list = events.list_events(v1::ListEventsRequest::default()).await.expect("events").into_inner().events;
    let counts: Vec<(u64, bool)> = list.iter().map(|event| (event.count, event.acknowledged)).collect();
    assert_eq!(counts, [(1, false), (6, true)], "a later one is an event of its own");
    assert_eq!(edges(&place).await[0].status, "alerted");
    let none = v1::AcknowledgeEventRequest { id: 999, note: String::new() };
    assert_eq!(events.acknowledge_event(none).await.expect_err("none").code(), Code::NotFound);
}

#[tokio::test]
async fn what_cannot_be_read_is_a_gap_and_not_the_end() {
    let place = Place::new();
    let host = place.enrol("web").await;
    let mut stream = host.attach(&place).await;
    stream.deliver(1, flow("no key", "10.9.0.1", "10.9.0.2", 80)).await;
    stream.deliver(2, flow("unit:a", "nowhere", "10.9.0.2", 80)).await;
    let gap = v1::GapReport { from_ms: 1, until_ms: 2, lost: 12, what: "conntrack events".to_owned() };
    stream.deliver(3, Body::Gap(gap)).await;
    let mut events = EventServiceClient::new(place.admin().await);
    let list = events.list_events(v1::ListEventsRequest { kind: "gap".to_owned(), ..Default::default() }).await;
    let list = list.expect("events").into_inner().events;
    let counts: Vec<u64> = list.iter().map(|event| event.count).collect();
    assert_eq!(counts, [12, 1, 1], "{list:?}");
    assert!(list.iter().all(|event| event.host == "web"));
}

#[tokio::test]
async fn the_second_stream_of_a_host_ends_the_first() {
    let place = Place::new();
    let host = place.enrol("web").await;
    let mut first = host.attach(&place).await;
    first.policy().await;
    let mut second = host.attach(&place).await;
    assert_eq!(second.policy().await.generation, 1, "the same policy is the same generation");
    let end = loop {
        match first.down.message().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the stream ends without a reason"),
            Err(status) => break status,
        }
    };
    assert_eq!(end.code(), Code::Aborted);
    second.deliver(1, inventory("10.9.0.1", &[])).await;
}

#[tokio::test]
async fn a_host_with_a_newer_generation_gets_one_that_is_newer_still() {
    let place = Place::new();
    let host = place.enrol("web").await;
    assert_eq!(host.attach(&place).await.policy().await.generation, 1);
    let mut stream = host.attach_having(&place, 41).await;
    assert_eq!(stream.policy_with(|policy| policy.generation > 1).await.generation, 42);
}

#[tokio::test]
async fn a_stream_begins_with_hello() {
    let place = Place::new();
    let host = place.enrol("web").await;
    let mut client = v1::defender_service_client::DefenderServiceClient::new(host.channel(&place).await);
    let beat = v1::DefenderMessage { body: Some(Up::Heartbeat(v1::Heartbeat::default())) };
    let error = client.attach(tokio_stream::iter([beat])).await.expect_err("no Hello");
    assert_eq!(error.code(), Code::InvalidArgument);
}
