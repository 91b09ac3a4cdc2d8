//! Calls with a key are made once, also over a restart and a kill; and every write is made to its end.

use std::time::Duration;

use cnnf_rpc::v1;
use cnnf_rpc::v1::api_token_service_client::ApiTokenServiceClient;
use cnnf_rpc::v1::audit_service_client::AuditServiceClient;
use cnnf_rpc::v1::fleet_service_client::FleetServiceClient;
use cnnf_rpc::v1::policy_service_client::PolicyServiceClient;
use futures_util::future::join_all;
use tokio::time::{sleep, timeout};
use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status};

use crate::place::{PATIENCE, Place, rule};
use crate::sessions::signed_in;

const KEY: &str = "0d0f31c1-9d1a-4d2b-8e54-7a5d8f3c2b10";

fn keyed<T>(key: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("idempotency-key", key.parse().expect("a header"));
    request
}

fn add(name: &str) -> v1::AddRuleRequest {
    v1::AddRuleRequest { rule: Some(rule(name, "unit:client", "any", "alert")), ..Default::default() }
}

async fn policy(place: &Place) -> PolicyServiceClient<Channel> {
    PolicyServiceClient::new(place.admin().await)
}

async fn rules(place: &Place) -> Vec<String> {
    let answer = policy(place).await.list_rules(v1::ListRulesRequest::default()).await.expect("rules").into_inner();
    answer.rules.into_iter().map(|rule| rule.name).collect()
}

/// How often this was recorded.
async fn recorded(place: &Place, action: &str, subject: &str) -> usize {
    let ask = v1::ListAuditRequest { action: action.to_owned(), subject: subject.to_owned(), ..Default::default() };
    let mut client = AuditServiceClient::new(place.admin().await);
    client.list_audit(ask).await.expect("listed").into_inner().entries.len()
}

fn is_again<T>(answer: &Response<T>) -> bool {
    answer.metadata().get("idempotency-replayed").is_some_and(|value| value == "true")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_sent_again_is_answered_again_and_made_once() {
    let mut place = Place::new();
    let mut client = policy(&place).await;
    let first = client.add_rule(keyed(KEY, add("one"))).await.expect("added");
    assert!(!is_again(&first));
    let again = client.add_rule(keyed(KEY, add("one"))).await.expect("answered");
    assert!(is_again(&again));
    assert_eq!(first.get_ref(), again.get_ref());

    let other = client.add_rule(keyed(KEY, add("two"))).await.expect_err("another request");
    assert_eq!(other.code(), Code::FailedPrecondition, "{other}");
    assert!(other.message().contains("give each call a fresh one"), "{other}");
    let elsewhere = v1::DeleteRuleRequest { rule: "one".to_owned(), ..Default::default() };
    let other = client.delete_rule(keyed(KEY, elsewhere)).await.expect_err("another call");
    assert_eq!(other.code(), Code::FailedPrecondition, "{other}");
    let short = client.add_rule(keyed("retry-1", add("two"))).await.expect_err("a key that others find");
    assert_eq!(short.code(), Code::InvalidArgument, "{short}");
    client.list_rules(keyed(KEY, v1::ListRulesRequest::default())).await.expect("what only reads needs no key");

    // Another caller's key is another key.
    let secret = place.api_token("ci", "operator").await;
    let mut request = keyed(KEY, add("two"));
    request.metadata_mut().insert("authorization", format!("Bearer {secret}").parse().expect("a header"));
    let theirs = PolicyServiceClient::new(place.anonymous().await).add_rule(request).await.expect("added");
    assert!(!is_again(&theirs));

    place.kill();
    place.start();
    let again = policy(&place).await.add_rule(keyed(KEY, add("one"))).await.expect("answered");
    assert!(is_again(&again));
    assert_eq!(first.get_ref(), again.get_ref());
    assert_eq!(rules(&place).await, ["one", "two"]);
    assert_eq!(recorded(&place, "rule.add", "one").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_refused_may_be_tried_again() {
    let place = Place::new();
    let mut client = policy(&place).await;
    client.add_rule(add("one")).await.expect("added");
    let refused = client.add_rule(keyed(KEY, add("one"))).await.expect_err("there is one");
    let delete = v1::DeleteRuleRequest { rule: "one".to_owned(), ..Default::default() };
    client.delete_rule(delete).await.expect("deleted");
    let added = client.add_rule(keyed(KEY, add("one"))).await.unwrap_or_else(|_| panic!("still {refused}"));
    assert!(!is_again(&added));
    assert_eq!(rules(&place).await, ["one"]);
}

#[test]
fn the_page_gives_keys_too() {
    let place = Place::new();
    let mut page = signed_in(&place, "admin", &place.password);
    page.headers.push(format!("idempotency-key: {KEY}"));
    let first: v1::Rule = page.call("PolicyService/AddRule", &add("one")).expect("added");
    let again: v1::Rule = page.call("PolicyService/AddRule", &add("one")).expect("answered");
    assert_eq!(first, again);
    assert_eq!(page.call::<v1::Rule>("PolicyService/AddRule", &add("two")), Err(Code::FailedPrecondition));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_given_again_and_never_written_down() {
    let mut place = Place::new();
    let ask = || v1::CreateApiTokenRequest { name: "ci".to_owned(), role: "auditor".to_owned(), ttl_seconds: 0 };
    let mut tokens = ApiTokenServiceClient::new(place.admin().await);
    let first = tokens.create_token(keyed(KEY, ask())).await.expect("made").into_inner();
    let again = tokens.create_token(keyed(KEY, ask())).await.expect("answered");
    assert!(is_again(&again));
    assert_eq!(first, again.into_inner());
    let hosts = v1::CreateTokenRequest { ttl_seconds: 60, uses: 1, labels: Default::default() };
    let let_in = FleetServiceClient::new(place.admin().await).create_token(keyed(KEY, hosts.clone())).await;
    assert_eq!(let_in.expect_err("another call").code(), Code::FailedPrecondition);
    let key = "another-key-of-the-same-caller";
    let mut fleet = FleetServiceClient::new(place.admin().await);
    let token = fleet.create_token(keyed(key, hosts.clone())).await.expect("made").into_inner();
    assert_eq!(fleet.create_token(keyed(key, hosts.clone())).await.expect("answered").into_inner(), token);

    place.kill();
    for part in ["cnnf.db", "cnnf.db-wal"] {
        let bytes = std::fs::read(place.path().join(part)).expect("a file of the database");
        for secret in [&first.secret, &token.token] {
            assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_bytes()), "{part} has a secret");
        }
    }
    place.start();
    let lost = ApiTokenServiceClient::new(place.admin().await).create_token(keyed(KEY, ask())).await;
    let lost = lost.expect_err("nobody knows the secret any more");
    assert_eq!(lost.code(), Code::FailedPrecondition);
    assert!(lost.message().contains("nothing was done a second time"), "{lost}");
    let lost = FleetServiceClient::new(place.admin().await).create_token(keyed(key, hosts)).await;
    assert_eq!(lost.expect_err("nor this one").code(), Code::FailedPrecondition);
    assert_eq!(recorded(&place, "api_token.create", "ci").await, 1);
}

/// Sends a call until it is not told to come again.
async fn insist<T>(mut call: impl AsyncFnMut() -> Result<Response<T>, Status>) -> Result<T, Status> {
    loop {
        match call().await {
            Err(status) if status.code() == Code::Unavailable => sleep(Duration::from_millis(20)).await,
            answer => return answer.map(Response::into_inner),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_twins_one_is_made() {
    let place = Place::new();
    let channel = place.admin().await;
    let twins = (0..16).map(|_| {
        let mut client = PolicyServiceClient::new(channel.clone());
        async move { insist(async || client.add_rule(keyed(KEY, add("one"))).await).await }
    });
    let answers: Vec<v1::Rule> = join_all(twins).await.into_iter().map(|answer| answer.expect("answered")).collect();
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    assert_eq!(recorded(&place, "rule.add", "one").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_in_between_makes_no_call_twice_and_loses_none() {
    let mut place = Place::new();
    let (mut unmade, mut answered, mut unknown) = (0, 0, 0);
    for round in 0..24_u64 {
        let (name, key) = (format!("rule {round}"), format!("the key of round {round}").replace(' ', "-"));
        let mut client = policy(&place).await;
        let pid = rustix::process::Pid::from_raw(place.pid().cast_signed()).expect("a pid");
        let kill = async {
            sleep(Duration::from_micros(round * 350)).await;
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("killed");
        };
        let (_, ()) = tokio::join!(timeout(PATIENCE, client.add_rule(keyed(&key, add(&name)))), kill);
        place.kill();
        place.start();
        let before = recorded(&place, "rule.add", &name).await;
        let again = policy(&place).await.add_rule(keyed(&key, add(&name))).await;
        match (before, again) {
            (0, Ok(made)) if !is_again(&made) => unmade += 1,
            (1, Ok(made)) if is_again(&made) => answered += 1,
            (1, Err(status)) if status.message().contains("nothing was done a second time") => unknown += 1,
            (before, again) => panic!("round {round}: recorded {before} times, then {again:?}"),
        }
        assert_eq!(recorded(&place, "rule.add", &name).await, 1, "round {round}");
    }
    println!(
        "of 24 calls {unmade} were made after the kill, {answered} answered again, of {unknown} the answer was lost"
    );
    assert_eq!(rules(&place).await.len(), 24);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_goes_away_leaves_a_call_that_is_made_or_not() {
    let mut place = Place::new();
    let mut client = policy(&place).await;
    for round in 0..60_u64 {
        // The stream is reset in the middle of the call.
        let _ = timeout(Duration::from_micros(round * 100), client.add_rule(add(&format!("left {round}")))).await;
        // With the state behind the store this would be refused.
        client.add_rule(add(&format!("kept {round}"))).await.unwrap_or_else(|error| panic!("round {round}: {error}"));
    }
    let before = rules(&place).await;
    place.kill();
    place.start();
    assert_eq!(rules(&place).await, before);
}
