//! Edges over time.

use cnnf_rpc::v1;
use cnnf_rpc::v1::report::Body;
use cnnf_rpc::v1::topology_service_client::TopologyServiceClient;
use tonic::Code;

use crate::place::{Place, flow, inventory, now_ms, rule};

const MINUTE: u64 = 60_000;

/// So many connections of `unit:client`, this long ago.
fn ago(minutes: u64, port: u32, connections: u64) -> v1::FlowRecord {
    let Body::Flows(mut report) = flow("unit:client", "10.9.0.1", "10.9.0.2", port) else { unreachable!() };
    let at = now_ms() - minutes * MINUTE;
    v1::FlowRecord { connections, first_ms: at, last_ms: at, ..report.flows.remove(0) }
}

fn since(minutes: u64) -> Option<v1::TimeRange> {
    Some(v1::TimeRange { since_ms: now_ms() - minutes * MINUTE, until_ms: 0 })
}

fn counts(edges: &[v1::ObservedEdge]) -> Vec<(u32, u64)> {
    edges.iter().map(|edge| (edge.port, edge.connections)).collect()
}

#[tokio::test]
async fn a_time_has_its_own_connections_and_two_times_compare() {
    let mut place = Place::new();
    let host = place.enrol("app").await;
    let mut stream = host.attach(&place).await;
    stream.deliver(1, inventory("10.9.0.1", &[("unit:client", 0)])).await;
    let flows = vec![
        ago(300, 81, 7),
        ago(300, 82, 3),
        ago(180, 80, 20),
        ago(180, 81, 1),
        ago(0, 80, 50),
        ago(0, 82, 2),
        ago(0, 83, 1),
    ];
    stream.deliver(2, Body::Flows(v1::FlowReport { flows })).await;
    let ask = |time| v1::ListEdgesRequest { time, ..v1::ListEdgesRequest::default() };
    let mut topology = TopologyServiceClient::new(place.admin().await);
    let all = topology.list_edges(ask(None)).await.expect("edges").into_inner().edges;
    assert_eq!(counts(&all), [(80, 70), (81, 8), (82, 5), (83, 1)]);
    let late = topology.list_edges(ask(since(100))).await.expect("edges").into_inner().edges;
    assert_eq!(counts(&late), [(80, 50), (82, 2), (83, 1)], "what was before is not counted");
    let radar = v1::GetRadarRequest { time: since(100), ports: vec!["tcp/82-90".into()], ..Default::default() };
    let drawn = topology.get_radar(radar).await.expect("radar").into_inner();
    assert_eq!(counts(&drawn.edges), [(82, 2), (83, 1)]);
    assert_eq!(drawn.nodes.len(), 2, "and who has them");

    let diff =
        topology.diff_edges(v1::DiffEdgesRequest { time: since(100), before_ms: 0 }).await.expect("diff").into_inner();
    assert_eq!(counts(&diff.new), [(82, 2), (83, 1)], "82 was not seen in the 100 minutes before");
    assert_eq!(counts(&diff.gone), [(81, 1)]);
    let changed: Vec<_> = diff.changed.iter().map(|c| (c.edge.clone().expect("edge"), c.connections_before)).collect();
    assert_eq!((changed.len(), changed[0].0.port, changed[0].0.connections, changed[0].1), (1, 80, 50, 20));
    // Against an hour that is over since long: what was between them counts in neither.
    let against = |before| v1::DiffEdgesRequest { time: since(60), before_ms: now_ms() - before * MINUTE };
    let diff = topology.diff_edges(against(310)).await.expect("diff").into_inner();
    assert_eq!((counts(&diff.new), counts(&diff.gone)), (vec![(80, 50), (83, 1)], vec![(81, 7)]));
    assert!(diff.before < diff.before_until && diff.before_until < diff.since, "{diff:?}");
    let late = topology.diff_edges(against(90)).await.expect_err("both times have the same half hour");
    assert!(late.code() == Code::InvalidArgument && late.message().contains("before_ms: is too late"), "{late}");
    let close = v1::Rule { ports: vec!["any".into()], ..rule("close", "unit:client", "any", "prevent") };
    let draft = |time| v1::SimulatePolicyRequest { rules: vec![close.clone()], time, ..Default::default() };
    let mut policy = v1::policy_service_client::PolicyServiceClient::new(place.admin().await);
    let whole = policy.simulate_policy(draft(None)).await.expect("simulated").into_inner();
    assert_eq!((whole.edges, whole.connections, whole.prevented.map(|t| t.connections)), (4, 84, Some(84)));
    let late = policy.simulate_policy(draft(since(100))).await.expect("simulated").into_inner();
    assert_eq!((late.edges, late.connections, late.prevented.map(|t| t.connections)), (3, 53, Some(53)));
    let middle = v1::TimeRange { since_ms: now_ms() - 200 * MINUTE, until_ms: now_ms() - 100 * MINUTE };
    let middle = policy.simulate_policy(draft(Some(middle))).await.expect("simulated").into_inner();
    let ports: Vec<_> =
        middle.shifts.iter().map(|shift| (shift.edge.clone().expect("edge").port, shift.connections)).collect();
    assert_eq!(ports, [(80, 20), (81, 1)], "though both were seen before, and one of them since");

    let missing = topology.diff_edges(v1::DiffEdgesRequest::default()).await.expect_err("no time");
    assert_eq!(missing.code(), Code::InvalidArgument);

    drop(stream);
    place.kill();
    place.start();
    let mut topology = TopologyServiceClient::new(place.admin().await);
    let late = topology.list_edges(ask(since(100))).await.expect("edges").into_inner().edges;
    assert_eq!(counts(&late), [(80, 50), (82, 2), (83, 1)], "and after a kill");

    let other = place.enrol("other").await;
    let mut stream = other.attach(&place).await;
    stream.deliver(1, inventory("10.9.0.1", &[("unit:other", 80)])).await;
    let mut status = v1::status_service_client::StatusServiceClient::new(place.admin().await);
    let conflicts = status.get_status(v1::GetStatusRequest {}).await.expect("status").into_inner().conflicts;
    assert_eq!((conflicts[0].address.as_str(), conflicts[0].hosts.len()), ("10.9.0.1", 2));
}
