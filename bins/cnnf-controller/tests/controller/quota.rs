//! One host that brings too much, and one identity on two machines.

use cnnf_rpc::v1;
use cnnf_rpc::v1::event_service_client::EventServiceClient;
use cnnf_rpc::v1::fleet_service_client::FleetServiceClient;
use cnnf_rpc::v1::topology_service_client::TopologyServiceClient;

use crate::place::{Place, flow, inventory, until};
use crate::web::ask;

async fn events(place: &Place, kind: &str) -> Vec<v1::Event> {
    let request = v1::ListEventsRequest { kind: kind.to_owned(), ..v1::ListEventsRequest::default() };
    EventServiceClient::new(place.admin().await).list_events(request).await.expect("listed").into_inner().events
}

#[tokio::test]
async fn what_a_host_brings_beyond_its_quota_is_counted_and_said_and_others_do_not_notice() {
    let place = Place::new();
    let (greedy, modest) = (place.enrol("greedy").await, place.enrol("modest").await);
    let (mut first, mut second) = (greedy.attach(&place).await, modest.attach(&place).await);
    let names: Vec<String> = (0..2_500).map(|n| format!("unit:s{n:04}")).collect();
    let services: Vec<(&str, u32)> = names.iter().map(|name| (name.as_str(), 80)).collect();
    first.deliver(1, inventory("10.0.0.1", &services)).await;
    second.deliver(1, inventory("10.0.0.2", &[("unit:a", 80)])).await;
    second.deliver(2, flow("unit:a", "10.0.0.2", "10.0.0.9", 443)).await;
    let mut fleet = FleetServiceClient::new(place.admin().await);
    let list = fleet.list_defenders(v1::ListDefendersRequest::default()).await.expect("listed").into_inner();
    let counter = |host: &str| {
        let defender = list.defenders.iter().find(|defender| defender.host == host).expect("a host");
        defender.counters.get("refused_services").copied()
    };
    assert_eq!((counter("greedy"), counter("modest")), (Some(500), None));
    let metrics = String::from_utf8(ask(&place, "/metrics", &[], &[]).body).expect("text");
    assert!(metrics.contains("cnnf_refused{what=\"services\"} 500"), "{metrics}");
    let gaps = events(&place, "gap").await;
    assert!(gaps.len() == 1 && gaps[0].count == 500 && gaps[0].message.contains("more was brought"), "{gaps:?}");
    let mut topology = TopologyServiceClient::new(place.admin().await);
    let edges = topology.list_edges(v1::ListEdgesRequest::default()).await.expect("listed").into_inner().edges;
    assert_eq!(edges.len(), 1, "{edges:?}");
}

#[tokio::test]
async fn two_machines_with_one_identity_are_told() {
    let place = Place::new();
    let host = place.enrol("web").await;
    let mut first = host.attach_with_spool(&place, "spool of one").await;
    let mut second = host.attach_with_spool(&place, "spool of the other").await;
    first.ended().await;
    assert!(events(&place, "cloned").await.is_empty(), "it may have been a start");
    let mut again = host.attach_with_spool(&place, "spool of one").await;
    second.ended().await;
    let told = until(|| events(&place, "cloned"), |events| !events.is_empty()).await;
    assert!(told.len() == 1 && told[0].message.contains("two machines use"), "{told:?}");
    host.attach_with_spool(&place, "spool of the other").await;
    again.ended().await;
    let told = until(|| events(&place, "cloned"), |events| events.iter().any(|event| event.count == 2)).await;
    assert_eq!(told.len(), 1, "equal ones are folded");
}
