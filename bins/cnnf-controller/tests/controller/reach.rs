//! How far a service may reach.

use cnnf_rpc::v1;
use cnnf_rpc::v1::policy_service_client::PolicyServiceClient;
use cnnf_rpc::v1::topology_service_client::TopologyServiceClient;
use tonic::Code;

use crate::place::{Place, flow, inventory, now_ms, rule};

/// TARGET STANDING BY PORT.
fn said(reach: &v1::Reach) -> Vec<String> {
    let name = |peer: &v1::Peer| [peer.service.as_str(), &peer.object, &peer.address].concat();
    let ways = |target: &v1::ReachTarget| {
        let there = target.ways.iter().filter(|way| !(way.listening.is_empty() && way.seen.is_empty()));
        there.map(|way| format!(" {} {}", way.ports.join(","), way.rule)).collect::<String>()
    };
    let one = |target: &v1::ReachTarget| {
        format!("{} {}{}", name(target.peer.as_ref().expect("a peer")), target.standing, ways(target))
    };
    reach.targets.iter().map(one).collect()
}

#[tokio::test]
async fn what_a_service_may_reach_is_said_against_what_it_was_seen_to() {
    let place = Place::new();
    let (client, server) = (place.enrol("app").await, place.enrol("db").await);
    let mut stream = client.attach(&place).await;
    stream.deliver(1, inventory("10.9.0.1", &[("unit:client", 0)])).await;
    let mut far = server.attach(&place).await;
    far.deliver(1, inventory("10.9.0.2", &[("unit:db", 5432), ("unit:mail", 25)])).await;
    stream.deliver(2, flow("unit:client", "10.9.0.1", "10.9.0.2", 5432)).await;

    let mut topology = TopologyServiceClient::new(place.admin().await);
    let ask = |service: &str, time| v1::GetReachRequest { service: service.into(), time, page: None };
    let open = topology.get_reach(ask("client", None)).await.expect("reach").into_inner();
    assert_eq!(said(&open), ["unit:db used any ", "unit:mail unused any ", "private unused", "internet unused"]);
    assert_eq!(open.ports, Some(v1::ReachCount { all: 2, may: 2, seen: 1, unused: 1 }));
    assert_eq!((open.service.as_str(), open.phase.as_str()), ("unit:client", "learning"));

    let mut policy = PolicyServiceClient::new(place.admin().await);
    let no_mail = v1::Rule { ports: vec!["any".into()], ..rule("no mail", "unit:client", "unit:mail", "prevent") };
    let add = v1::AddRuleRequest { rule: Some(no_mail), ..v1::AddRuleRequest::default() };
    policy.add_rule(add).await.expect("added");
    let mut fleet = v1::fleet_service_client::FleetServiceClient::new(place.admin().await);
    let observing = topology.get_reach(ask("client", None)).await.expect("reach").into_inner();
    assert_eq!(said(&observing)[1], "unit:mail unused any no mail", "its host only observes");
    let enforce = v1::SetDefenderModeRequest { host: "app".into(), mode: "enforce".into() };
    fleet.set_defender_mode(enforce).await.expect("set");
    let closed = topology.get_reach(ask("client", None)).await.expect("reach").into_inner();
    assert_eq!(said(&closed)[1], "unit:mail refused any no mail");
    assert_eq!(closed.services, Some(v1::ReachCount { all: 2, may: 1, seen: 1, unused: 0 }));

    let earlier = v1::TimeRange { since_ms: 1, until_ms: now_ms() - 48 * 3_600_000 };
    let unseen = topology.get_reach(ask("client", Some(earlier))).await.expect("reach").into_inner();
    assert_eq!(said(&unseen)[0], "unit:db unused any ", "nothing was seen in that time");
    let first = v1::PageRequest { size: 1, token: String::new() };
    let first = v1::GetReachRequest { page: Some(first), ..ask("client", None) };
    let first = topology.get_reach(first).await.expect("reach").into_inner();
    assert_eq!((first.targets.len(), first.next_token.is_empty(), first.ports.map(|p| p.all)), (1, false, Some(2)));
    let nobody = topology.get_reach(ask("unit:none", None)).await.expect_err("none");
    assert_eq!(nobody.code(), Code::NotFound);
}
