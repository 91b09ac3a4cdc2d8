//! Watching for changes, counts over time, and what errors and tokens tell.

use std::time::{Duration, Instant};

use cnnf_rpc::v1;
use cnnf_rpc::v1::event_service_client::EventServiceClient;
use cnnf_rpc::v1::fleet_service_client::FleetServiceClient;
use cnnf_rpc::v1::policy_service_client::PolicyServiceClient;
use cnnf_rpc::v1::report::Body;
use cnnf_rpc::v1::settings_service_client::SettingsServiceClient;
use cnnf_rpc::v1::topology_service_client::TopologyServiceClient;
use cnnf_rpc::v1::watch_service_client::WatchServiceClient;
use tonic::{Code, Streaming};
use tonic_types::StatusExt as _;

use crate::place::{PATIENCE, Place, flow, inventory, now_ms, rule};

async fn watch(place: &Place, seen: Option<&v1::Changes>) -> Streaming<v1::Changes> {
    let seen = seen.cloned().unwrap_or_default();
    let request = v1::WatchChangesRequest { epoch: seen.epoch, revisions: seen.revisions };
    WatchServiceClient::new(place.admin().await).watch_changes(request).await.expect("watched").into_inner()
}

async fn next(stream: &mut Streaming<v1::Changes>) -> v1::Changes {
    let message = tokio::time::timeout(PATIENCE, stream.message()).await.expect("in time");
    message.expect("no error").expect("not the end")
}

fn set(value: &str) -> v1::SetSettingRequest {
    v1::SetSettingRequest { name: "learn_for".to_owned(), value: value.to_owned() }
}

#[tokio::test]
async fn changes_are_told_by_topic_soon_and_together_and_resumed() {
    let mut place = Place::new();
    let mut stream = watch(&place, None).await;
    assert_eq!(next(&mut stream).await.changed.len(), 9, "who has seen nothing has missed everything");
    let mut settings = SettingsServiceClient::new(place.admin().await);
    let began = Instant::now();
    settings.set_setting(set("2h")).await.expect("set");
    let seen = next(&mut stream).await;
    assert_eq!(seen.changed, ["settings"]);
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    let mut policy = PolicyServiceClient::new(place.admin().await);
    let add =
        |name: &str| v1::AddRuleRequest { rule: Some(rule(name, "any", "unit:a", "alert")), reason: String::new() };
    for n in 0..20 {
        policy.add_rule(add(&format!("r{n}"))).await.expect("added");
        settings.set_setting(set(&format!("{}h", n + 3))).await.expect("set");
    }
    let (began, mut answers) = (Instant::now(), 0);
    loop {
        let seen = next(&mut stream).await;
        answers += 1;
        assert!(seen.changed.iter().all(|topic| matches!(topic.as_str(), "policy" | "settings")), "{seen:?}");
        if seen.revisions["settings"] == 22 && seen.revisions["policy"] == 21 {
            break;
        }
    }
    assert!(answers <= 2 + 4 * (began.elapsed().as_secs() + 1), "{answers} answers in {:?}", began.elapsed());
    let host = place.enrol("web").await;
    assert_eq!(next(&mut stream).await.changed, ["fleet"]);
    drop(stream);
    policy.add_rule(add("later")).await.expect("added");
    // What is missed while nobody watches is told when somebody goes on from there.
    let mut stream = watch(&place, Some(&seen)).await;
    let all = next(&mut stream).await;
    assert_eq!(all.changed, ["policy", "fleet", "settings"]);
    let mut live = host.attach(&place).await;
    live.deliver(1, inventory("10.0.0.1", &[("unit:a", 80)])).await;
    let mut topics = std::collections::BTreeSet::new();
    while !(topics.contains("topology") && topics.contains("fleet")) {
        topics.extend(next(&mut stream).await.changed);
    }
    let last = all;
    place.kill();
    assert!(stream.message().await.is_err());
    place.start();
    let mut stream = watch(&place, Some(&last)).await;
    let anew = next(&mut stream).await;
    assert_ne!(anew.epoch, last.epoch);
    assert_eq!(anew.changed.len(), 9, "after a restart everything may have changed");
}

#[tokio::test]
async fn counts_over_time_are_of_an_edge_or_a_service() {
    let place = Place::new();
    let host = place.enrol("web").await;
    let mut live = host.attach(&place).await;
    live.deliver(1, inventory("10.0.0.1", &[("unit:a", 0), ("unit:b", 80)])).await;
    for seq in 2..5 {
        live.deliver(seq, flow("unit:a", "10.0.0.1", "10.0.0.1", 80)).await;
    }
    let mut topology = TopologyServiceClient::new(place.admin().await);
    let edges = topology.list_edges(v1::ListEdgesRequest::default()).await.expect("edges").into_inner().edges;
    let edge = &edges[0];
    let edge = v1::Edge {
        client: edge.client.clone(),
        server: edge.server.clone(),
        protocol: edge.protocol.clone(),
        port: edge.port,
    };
    let of_edge = v1::GetHistoryRequest { edge: Some(edge.clone()), ..v1::GetHistoryRequest::default() };
    let spans = topology.get_history(of_edge).await.expect("history").into_inner().spans;
    // Over a full hour there may be two.
    assert_eq!(spans.iter().map(|span| span.connections).sum::<u64>(), 3, "{spans:?}");
    assert!(spans.iter().all(|span| span.width_ms == 3_600_000 && span.start_ms % 3_600_000 == 0), "{spans:?}");
    let of_service =
        |name: &str| v1::GetHistoryRequest { service: name.to_owned(), ..v1::GetHistoryRequest::default() };
    let spans = topology.get_history(of_service("unit:b")).await.expect("history").into_inner().spans;
    let sum = |count: fn(&v1::CountedSpan) -> u64| spans.iter().map(count).sum::<u64>();
    assert_eq!((sum(|s| s.connections), sum(|s| s.connections_out), sum(|s| s.bytes)), (3, 0, 300), "{spans:?}");
    let spans = topology.get_history(of_service("unit:a")).await.expect("history").into_inner().spans;
    assert_eq!(
        spans.iter().map(|s| (s.connections, s.connections_out)).fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1)),
        (0, 3)
    );
    let old = v1::GetHistoryRequest { time: Some(v1::TimeRange { since_ms: 0, until_ms: 1 }), ..of_service("unit:a") };
    assert!(topology.get_history(old).await.expect("history").into_inner().spans.is_empty());
    assert_eq!(
        topology.get_history(v1::GetHistoryRequest::default()).await.expect_err("of what").code(),
        Code::InvalidArgument
    );
    let both = v1::GetHistoryRequest { edge: Some(edge), ..of_service("unit:a") };
    assert_eq!(topology.get_history(both).await.expect_err("of what").code(), Code::InvalidArgument);
}

#[tokio::test]
async fn errors_name_the_field_for_programs_too() {
    let place = Place::new();
    let mut policy = PolicyServiceClient::new(place.admin().await);
    let mut bad = rule("x", "any", "unit:a", "alert");
    bad.ports = vec!["tcp/99999".to_owned()];
    let rules = vec![rule("good", "any", "unit:a", "alert"), bad];
    let request = v1::ApplyPolicyRequest { rules, ..v1::ApplyPolicyRequest::default() };
    let status = policy.apply_policy(request).await.expect_err("no such port");
    let details = status.get_details_bad_request().expect("details");
    let fields: Vec<&str> = details.field_violations.iter().map(|one| one.field.as_str()).collect();
    assert_eq!(fields, ["rules[1].ports"]);
    assert!(status.message().contains(&details.field_violations[0].description), "{status}");
    let mut settings = SettingsServiceClient::new(place.admin().await);
    let status = settings.set_setting(set("soon")).await.expect_err("no duration");
    assert_eq!(status.get_details_bad_request().expect("details").field_violations[0].field, "value");
}

#[tokio::test]
async fn a_token_comes_with_the_command_that_uses_it() {
    let place = Place::new();
    let request = v1::CreateTokenRequest { ttl_seconds: 0, uses: 1, ..v1::CreateTokenRequest::default() };
    let answer = FleetServiceClient::new(place.admin().await).create_token(request).await.expect("made").into_inner();
    assert_eq!(answer.controllers, [place.grpc.to_string()]);
    assert_eq!(answer.command, format!("cnnf-defender enroll --controller {} --token {}", place.grpc, answer.token));
    let pem = std::fs::read_to_string(place.path().join("pki/ca.crt")).expect("the CA's certificate");
    let der = cnnf_rpc::tls::certificates_from_pem(&pem).expect("PEM").remove(0);
    let pin: String = cnnf_rpc::tls::pin_of(&der).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(answer.ca_pin, pin);
}

/// Another watcher of events, from here on, and where it begins.
async fn events(place: &Place, cursor: &str) -> (Streaming<v1::Event>, String) {
    let ask = v1::WatchEventsRequest { kind: "tamper".to_owned(), cursor: cursor.to_owned(), ..Default::default() };
    let answer = EventServiceClient::new(place.admin().await).watch_events(ask).await.expect("watched");
    let begin = answer.metadata().get("cursor").expect("a cursor").to_str().expect("text").to_owned();
    (answer.into_inner(), begin)
}

async fn event(stream: &mut Streaming<v1::Event>) -> v1::Event {
    let message = tokio::time::timeout(PATIENCE, stream.message()).await.expect("in time");
    message.expect("no error").expect("not the end")
}

/// A host says this.
fn said(message: &str) -> Body {
    Body::Notice(v1::Notice {
        at_ms: now_ms(),
        kind: "tamper".to_owned(),
        message: message.to_owned(),
        ..Default::default()
    })
}

#[tokio::test]
async fn a_watcher_of_events_misses_none_and_gets_none_twice_also_over_a_restart() {
    let mut place = Place::new();
    let host = place.enrol("web").await;
    let mut live = host.attach(&place).await;
    let (mut stream, begin) = events(&place, "").await;
    live.deliver(1, said("first")).await;
    let first = event(&mut stream).await;
    assert_eq!(first.message, "first");
    drop(stream);

    // Nobody watches.
    live.deliver(2, said("second")).await;
    live.deliver(3, said("first")).await;
    live.deliver(4, said("third")).await;
    place.kill();
    place.start();
    let (mut stream, from) = events(&place, first.cursor.as_deref().expect("a cursor")).await;
    assert_eq!(Some(from), first.cursor);
    let mut seen = Vec::new();
    for _ in 0..3 {
        let event = event(&mut stream).await;
        seen.push((event.message, event.count));
    }
    let expected = [("second", 1), ("first", 2), ("third", 1)].map(|(message, count)| (message.to_owned(), count));
    assert_eq!(seen, expected);

    // What comes now follows, and an event that somebody has seen to has changed.
    let mut client = EventServiceClient::new(place.admin().await);
    let note = v1::AcknowledgeEventRequest { id: first.id, note: "seen".to_owned() };
    client.acknowledge_event(note).await.expect("acknowledged");
    let told = event(&mut stream).await;
    assert_eq!((told.id, told.note.as_str()), (first.id, "seen"));
    let (mut all, _) = events(&place, &begin).await;
    let ids = [event(&mut all).await.message, event(&mut all).await.message, event(&mut all).await.message];
    assert_eq!(ids, ["second", "third", "first"], "each once, by its newest change");
    // A list says where to go on from, too.
    let listed = client.list_events(v1::ListEventsRequest::default()).await.expect("listed").into_inner().events;
    assert!(listed.iter().any(|event| event.cursor == told.cursor));

    for (cursor, code) in [("999999", Code::OutOfRange), ("last", Code::InvalidArgument)] {
        let ask = v1::WatchEventsRequest { cursor: cursor.to_owned(), ..Default::default() };
        assert_eq!(client.watch_events(ask).await.expect_err(cursor).code(), code);
    }
}
