//! Changes that are undone unless they are confirmed.

use std::time::{Duration, Instant};

use cnnf_rpc::v1;
use cnnf_rpc::v1::event_service_client::EventServiceClient;
use cnnf_rpc::v1::policy_service_client::PolicyServiceClient;
use cnnf_rpc::v1::status_service_client::StatusServiceClient;
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::place::{Place, inventory, rule, until};

/// Applies rules of these names, all of `unit:a`.
async fn apply(client: &mut PolicyServiceClient<Channel>, names: &[&str], within: u32) -> v1::ApplyPolicyResponse {
    try_apply(client, names, within).await.expect("applied")
}

async fn try_apply(
    client: &mut PolicyServiceClient<Channel>,
    names: &[&str],
    within: u32,
) -> Result<v1::ApplyPolicyResponse, Status> {
    let rules = names.iter().map(|name| rule(name, "unit:a", "any", "prevent")).collect();
    let ask = v1::ApplyPolicyRequest { rules, confirm_within_seconds: within, ..Default::default() };
    client.apply_policy(ask).await.map(tonic::Response::into_inner)
}

async fn list(client: &PolicyServiceClient<Channel>) -> v1::ListRulesResponse {
    client.clone().list_rules(v1::ListRulesRequest::default()).await.expect("rules").into_inner()
}

fn names(list: &v1::ListRulesResponse) -> Vec<&str> {
    list.rules.iter().map(|rule| rule.name.as_str()).collect()
}

async fn history(client: &mut PolicyServiceClient<Channel>) -> Vec<v1::Revision> {
    client.list_revisions(v1::ListRevisionsRequest::default()).await.expect("history").into_inner().revisions
}

async fn reverted(place: &Place) -> Vec<v1::Event> {
    let ask = v1::ListEventsRequest { kind: "reverted".to_owned(), ..Default::default() };
    EventServiceClient::new(place.admin().await).list_events(ask).await.expect("events").into_inner().events
}

fn rollback(revision: u64) -> v1::RollbackPolicyRequest {
    v1::RollbackPolicyRequest { revision, ..Default::default() }
}

#[tokio::test]
async fn what_nobody_confirms_is_undone_on_every_host_and_told_of() {
    let place = Place::new();
    let host = place.enrol("app").await;
    let mut stream = host.attach(&place).await;
    stream.deliver(1, inventory("10.9.0.1", &[("unit:a", 0)])).await;
    let mut client = PolicyServiceClient::new(place.admin().await);
    apply(&mut client, &["keep"], 0).await;
    let began = Instant::now();
    let done = apply(&mut client, &["keep", "lock out"], 2).await;
    let waiting = done.unconfirmed.expect("it waits");
    assert_eq!((waiting.revision, waiting.base_revision), (2, 1));
    assert!(waiting.who.starts_with("admin ") && (1..=2000).contains(&waiting.left_ms), "{waiting:?}");
    stream.policy_with(|policy| policy.egress.len() == 2).await;

    let refused = client
        .add_rule(v1::AddRuleRequest { rule: Some(rule("more", "unit:a", "any", "alert")), ..Default::default() })
        .await
        .expect_err("nothing on top of it");
    assert_eq!(refused.code(), Code::FailedPrecondition);
    for part in ["revision 2 of admin ", &waiting.until, "rules confirm", "rules rollback 1"] {
        assert!(refused.message().contains(part), "{part}: {}", refused.message());
    }
    let object = v1::AddressObject { name: "o".into(), addresses: vec!["10.0.0.1".into()], ..Default::default() };
    let refused = client.add_object(v1::AddObjectRequest { object: Some(object), ..Default::default() }).await;
    assert_eq!(refused.expect_err("nor objects").code(), Code::FailedPrecondition);
    let refused = try_apply(&mut client, &[], 60).await.expect_err("nor another one to be confirmed");
    assert_eq!(refused.code(), Code::FailedPrecondition);
    let refused = client.rollback_policy(rollback(0)).await.expect_err("nor back beyond its base");
    assert_eq!(refused.code(), Code::FailedPrecondition);
    let status = StatusServiceClient::new(place.admin().await).get_status(v1::GetStatusRequest {}).await;
    assert_eq!(status.expect("status").into_inner().unconfirmed.expect("shown").revision, 2);
    assert_eq!(list(&client).await.unconfirmed.expect("shown").until, waiting.until);

    let after = until(|| list(&client), |list| list.rules.len() == 1).await;
    let took = began.elapsed();
    assert!((Duration::from_secs(2)..Duration::from_secs(4)).contains(&took), "{took:?}");
    assert_eq!((names(&after), after.revision, after.unconfirmed.as_ref()), (vec!["keep"], 3, None));
    stream.policy_with(|policy| policy.egress.len() == 1).await;
    let history = history(&mut client).await;
    assert_eq!((history[0].who.as_str(), history[0].summary.as_str()), ("the controller", "1 deleted"));
    assert!(history[0].reason.starts_with("revision 2 of admin "), "{}", history[0].reason);
    assert!(history[0].reason.ends_with("was not confirmed within 2s"), "{}", history[0].reason);
    assert_eq!(history[1].note, "not confirmed: undone by revision 3");
    let events = until(|| reverted(&place), |events| !events.is_empty()).await;
    assert!(events[0].message.contains("as after revision 1 again, as revision 3"), "{}", events[0].message);
    apply(&mut client, &[], 0).await;
}

#[tokio::test]
async fn a_controller_that_is_killed_meanwhile_undoes_it_all_the_same() {
    let mut place = Place::new();
    let mut client = PolicyServiceClient::new(place.admin().await);
    apply(&mut client, &["keep"], 0).await;
    apply(&mut client, &["lock out"], 3).await;
    place.kill();
    place.start();
    let client = PolicyServiceClient::new(place.admin().await);
    let waits = list(&client).await;
    assert_eq!((names(&waits), waits.unconfirmed.as_ref().expect("still").base_revision), (vec!["lock out"], 1));
    until(|| list(&client), |list| names(list) == ["keep"]).await;

    let mut client = PolicyServiceClient::new(place.admin().await);
    apply(&mut client, &["lock out"], 1).await;
    place.kill();
    tokio::time::sleep(Duration::from_millis(1200)).await;
    place.start();
    let mut client = PolicyServiceClient::new(place.admin().await);
    let late = until(|| list(&client), |list| names(list) == ["keep"]).await;
    assert_eq!((late.revision, late.unconfirmed), (5, None), "its time was over before the start");
    assert_eq!(history(&mut client).await[1].note, "not confirmed: undone by revision 5");
    assert_eq!(until(|| reverted(&place), |events| events.len() == 2).await.len(), 2, "each is told of once");
}

#[tokio::test]
async fn what_is_confirmed_stays_and_what_is_taken_back_is_gone_at_once() {
    let place = Place::new();
    let mut client = PolicyServiceClient::new(place.admin().await);
    let confirm = |revision| v1::ConfirmPolicyRequest { revision };
    let none = client.confirm_policy(confirm(0)).await.expect_err("nothing waits");
    assert_eq!(none.code(), Code::FailedPrecondition);
    let same = apply(&mut client, &[], 5).await;
    assert_eq!((same.revision, same.unconfirmed), (0, None), "what changes nothing need not be confirmed");
    apply(&mut client, &["one"], 1).await;
    let other = client.confirm_policy(confirm(9)).await.expect_err("another one than was seen");
    assert_eq!(other.code(), Code::Aborted);
    assert_eq!(client.confirm_policy(confirm(1)).await.expect("confirmed").into_inner().revision, 1);
    tokio::time::sleep(Duration::from_millis(2300)).await;
    assert_eq!((names(&list(&client).await), list(&client).await.revision), (vec!["one"], 1));
    assert!(history(&mut client).await[0].note.starts_with("confirmed by admin "));

    apply(&mut client, &["two"], 600).await;
    let both = v1::RollbackPolicyRequest { confirm_within_seconds: 5, ..rollback(1) };
    let both = client.rollback_policy(both).await.expect_err("taking back needs no word");
    assert_eq!(both.code(), Code::InvalidArgument);
    let back = client.rollback_policy(rollback(1)).await.expect("taken back").into_inner();
    assert_eq!((back.revision, back.unconfirmed), (3, None));
    assert_eq!((names(&list(&client).await), list(&client).await.unconfirmed), (vec!["one"], None));
    assert_eq!(history(&mut client).await[1].note, "not confirmed: undone by revision 3");

    let back = v1::RollbackPolicyRequest { confirm_within_seconds: 1, ..rollback(0) };
    let back = client.rollback_policy(back).await.expect("back, on trial").into_inner();
    assert_eq!(back.unconfirmed.expect("waits").base_revision, 3);
    until(|| list(&client), |list| list.revision == 5 && names(list) == ["one"]).await;
    let long = try_apply(&mut client, &[], u32::MAX).await.expect_err("longer than a week");
    assert_eq!(long.code(), Code::InvalidArgument);
}
