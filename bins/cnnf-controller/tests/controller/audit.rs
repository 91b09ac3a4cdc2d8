//! API tokens, and the record of every change.

use std::time::Duration;

use cnnf_rpc::v1;
use cnnf_rpc::v1::api_token_service_client::ApiTokenServiceClient;
use cnnf_rpc::v1::audit_service_client::AuditServiceClient;
use cnnf_rpc::v1::event_service_client::EventServiceClient;
use cnnf_rpc::v1::fleet_service_client::FleetServiceClient;
use cnnf_rpc::v1::model_service_client::ModelServiceClient;
use cnnf_rpc::v1::policy_service_client::PolicyServiceClient;
use cnnf_rpc::v1::settings_service_client::SettingsServiceClient;
use cnnf_rpc::v1::status_service_client::StatusServiceClient;
use cnnf_rpc::v1::topology_service_client::TopologyServiceClient;
use tokio::time::timeout;
use tonic::{Code, Request};

use crate::place::{Place, flow, inventory, rule};
use crate::sessions::signed_in;
use crate::web::Page;

fn bearing<T>(secret: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", format!("Bearer {secret}").parse().expect("a header"));
    request
}

async fn entries(place: &Place, request: v1::ListAuditRequest) -> Vec<v1::AuditEntry> {
    let mut client = AuditServiceClient::new(place.admin().await);
    client.list_audit(request).await.expect("listed").into_inner().entries
}

#[tokio::test]
async fn a_token_speaks_for_its_role_on_both_ports_until_it_is_revoked() {
    let mut place = Place::new();
    let mut tokens = ApiTokenServiceClient::new(place.admin().await);
    let ask = |name: &str, role: &str, ttl_seconds| v1::CreateApiTokenRequest {
        name: name.to_owned(),
        role: role.to_owned(),
        ttl_seconds,
    };
    let made = tokens.create_token(ask("ci", "auditor", 0)).await.expect("made").into_inner();
    let secret = made.secret;
    assert!(secret.starts_with("cnnf_api_") && secret.len() > 50);
    assert_eq!(
        tokens.create_token(ask("ci", "auditor", 0)).await.expect_err("there is one").code(),
        Code::AlreadyExists
    );
    for (name, role, ttl) in [("c i", "auditor", 0), ("x", "root", 0), ("x", "auditor", u32::MAX)] {
        let error = tokens.create_token(ask(name, role, ttl)).await.expect_err(name);
        assert_eq!(error.code(), Code::InvalidArgument, "{error}");
    }
    let short = tokens.create_token(ask("short", "admin", 1)).await.expect("made").into_inner().secret;
    place.kill();
    place.start();
    let mut status = StatusServiceClient::new(place.anonymous().await);
    status.get_status(bearing(&secret, v1::GetStatusRequest {})).await.expect("a token lives over a restart");
    let mut page = Page::new(&place);
    page.headers = vec![format!("authorization: Bearer {secret}")];
    let session: v1::Session =
        page.call("SessionService/GetSession", &v1::GetSessionRequest {}).expect("on the web port");
    assert_eq!((session.user.as_str(), session.role.as_str()), ("ci", "auditor"));
    let set = v1::SetSettingRequest { name: "learn_for".to_owned(), value: "1h".to_owned() };
    assert_eq!(page.call::<v1::Settings>("SettingsService/SetSetting", &set), Err(Code::PermissionDenied));
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    for bad in [short.as_str(), "cnnf_api_nonsense", ""] {
        let error = status.get_status(bearing(bad, v1::GetStatusRequest {})).await.expect_err("none");
        assert_eq!(error.code(), Code::Unauthenticated, "{error}");
    }
    let mut tokens = ApiTokenServiceClient::new(place.admin().await);
    let known = tokens.list_tokens(v1::ListTokensRequest {}).await.expect("listed").into_inner().tokens;
    let names: Vec<_> = known.iter().map(|token| (token.name.as_str(), token.last_used.is_some())).collect();
    assert_eq!(names, [("ci", true), ("short", false)]);
    let revoke = v1::RevokeTokenRequest { name: "ci".to_owned() };
    tokens.revoke_token(revoke.clone()).await.expect("revoked");
    assert_eq!(tokens.revoke_token(revoke).await.expect_err("gone").code(), Code::NotFound);
    let error = status.get_status(bearing(&secret, v1::GetStatusRequest {})).await.expect_err("revoked");
    assert_eq!(error.code(), Code::Unauthenticated);
    for entry in entries(&place, v1::ListAuditRequest::default()).await {
        assert!(!format!("{entry:?}").contains("cnnf_api_"), "the record has no secrets: {entry:?}");
    }
}

#[tokio::test]
async fn a_stream_ends_with_its_token() {
    let place = Place::new();
    let secret = place.api_token("ci", "auditor").await;
    let ask = v1::WatchEventsRequest::default;
    let mut client = EventServiceClient::new(place.anonymous().await);
    let mut watch = client.watch_events(bearing(&secret, ask())).await.expect("watched").into_inner();
    let mut admin = EventServiceClient::new(place.admin().await);
    let mut goes_on = admin.watch_events(ask()).await.expect("watched").into_inner();
    assert!(timeout(Duration::from_millis(2500), watch.message()).await.is_err(), "it lasts as long as the token");
    let mut tokens = ApiTokenServiceClient::new(place.admin().await);
    tokens.revoke_token(v1::RevokeTokenRequest { name: "ci".to_owned() }).await.expect("revoked");
    let end = timeout(Duration::from_secs(2), watch.message()).await.expect("in time").expect_err("revoked");
    assert_eq!(end.code(), Code::Unauthenticated, "{end}");
    assert!(timeout(Duration::from_millis(100), goes_on.message()).await.is_err(), "a certificate's goes on");
}

#[tokio::test]
async fn every_change_is_recorded_with_who_from_where_before_and_after() {
    let place = Place::new();
    let host = place.enrol("web").await;
    let mut stream = host.attach(&place).await;
    stream.deliver(1, inventory("10.0.0.1", &[("unit:a", 80), ("unit:b", 81)])).await;
    stream.deliver(2, flow("unit:a", "10.0.0.1", "10.0.0.1", 81)).await;
    let admin = place.admin().await;
    let mut policy = PolicyServiceClient::new(admin.clone());
    let add =
        |name: &str| v1::AddRuleRequest { rule: Some(rule(name, "any", "unit:a", "alert")), reason: String::new() };
    policy.add_rule(add("watch")).await.expect("added");
    let values = v1::Rule { effect: "prevent".to_owned(), ..v1::Rule::default() };
    let update = v1::UpdateRuleRequest {
        rule: "watch".to_owned(),
        values: Some(values),
        fields: vec!["effect".to_owned()],
        reason: String::new(),
    };
    policy.update_rule(update).await.expect("changed");
    policy.add_rule(add("second")).await.expect("added");
    let request = v1::MoveRuleRequest { rule: "second".to_owned(), position: 1, reason: String::new() };
    policy.move_rule(request).await.expect("moved");
    let request = v1::DeleteRuleRequest { rule: "second".to_owned(), reason: String::new() };
    policy.delete_rule(request).await.expect("deleted");
    let object = v1::AddressObject {
        name: "office".to_owned(),
        addresses: vec!["10.8.0.0/16".to_owned()],
        ..Default::default()
    };
    let request = v1::AddObjectRequest { object: Some(object), replace: false, reason: String::new() };
    policy.add_object(request).await.expect("added");
    policy.apply_policy(v1::ApplyPolicyRequest::default()).await.expect("applied");
    let request = v1::RollbackPolicyRequest { revision: 1, confirm_within_seconds: 60, ..Default::default() };
    policy.rollback_policy(request).await.expect("back");
    policy.confirm_policy(v1::ConfirmPolicyRequest::default()).await.expect("confirmed");
    let mut settings = SettingsServiceClient::new(admin.clone());
    let request = v1::SetSettingRequest { name: "learn_for".to_owned(), value: "2h".to_owned() };
    settings.set_setting(request).await.expect("set");
    let mut topology = TopologyServiceClient::new(admin.clone());
    let request = v1::SetServiceModeRequest { service: "unit:a".to_owned(), mode: "observe".to_owned() };
    topology.set_service_mode(request).await.expect("set");
    let mut models = ModelServiceClient::new(admin.clone());
    models
        .activate_model(v1::ActivateModelRequest { service: "unit:a".to_owned(), ..Default::default() })
        .await
        .expect("active");
    let mut events = EventServiceClient::new(admin.clone());
    let none = v1::AcknowledgeEventRequest { id: 999, note: String::new() };
    assert_eq!(events.acknowledge_event(none).await.expect_err("none").code(), Code::NotFound);
    let mut fleet = FleetServiceClient::new(admin);
    let request = v1::SetDefenderModeRequest { host: "web".to_owned(), mode: "enforce".to_owned() };
    fleet.set_defender_mode(request).await.expect("set");
    fleet.revoke_defender(v1::RevokeDefenderRequest { host: "web".to_owned() }).await.expect("revoked");
    fleet.delete_defender(v1::DeleteDefenderRequest { host: "web".to_owned() }).await.expect("deleted");

    let all = entries(&place, v1::ListAuditRequest::default()).await;
    let mut seen: Vec<(&str, &str)> = all.iter().map(|e| (e.action.as_str(), e.subject.as_str())).collect();
    seen.reverse();
    assert_eq!(
        seen,
        [
            ("user.add", "admin"),
            ("ca.first", "ca"),
            ("enrolment_token.create", ""),
            ("host.enrol", "web"),
            ("rule.add", "watch"),
            ("rule.update", "watch"),
            ("rule.add", "second"),
            ("rule.move", "second"),
            ("rule.delete", "second"),
            ("object.add", "office"),
            ("rules.apply", "revision 7"),
            ("rules.rollback", "watch"),
            ("rules.confirm", "revision 8"),
            ("settings.set", "learn_for"),
            ("service.mode", "unit:a"),
            ("model.activate", "unit:a"),
            ("host.mode", "web"),
            ("host.revoke", "web"),
            ("host.delete", "web"),
        ]
    );
    let one = |action: &str| all.iter().find(|entry| entry.action == action).expect("recorded");
    let update = one("rule.update");
    assert!(update.before.contains("\"alert\"") && update.after.contains("\"prevent\""), "{update:?}");
    assert_eq!(
        (update.actor.as_str(), update.via.as_str(), update.address.as_str()),
        ("admin", "certificate", "127.0.0.1")
    );
    assert!(one("rule.add").before.is_empty() && one("rule.delete").after.is_empty());
    assert_eq!((one("settings.set").before.as_str(), one("settings.set").after.as_str()), ("\"1h\"", "\"2h\""));
    assert_eq!((one("host.mode").before.as_str(), one("host.mode").after.as_str()), ("\"observe\"", "\"enforce\""));
    assert!(one("host.enrol").after.contains("\"env\":\"test\""));
    let only = |action: &str| v1::ListAuditRequest { action: action.to_owned(), ..v1::ListAuditRequest::default() };
    assert_eq!(entries(&place, only("rule")).await.len(), 5);
    let page = Some(v1::PageRequest { size: 2, ..v1::PageRequest::default() });
    let mut client = AuditServiceClient::new(place.admin().await);
    let first = client.list_audit(v1::ListAuditRequest { page, ..only("") }).await.expect("listed").into_inner();
    assert_eq!(first.entries.len(), 2);
    let page = Some(v1::PageRequest { size: 1000, token: first.next_token });
    let rest = client.list_audit(v1::ListAuditRequest { page, ..only("") }).await.expect("listed").into_inner();
    assert_eq!(rest.entries.len(), all.len() - 2);
    let check = client.verify_audit(v1::VerifyAuditRequest {}).await.expect("checked").into_inner();
    assert!(check.intact && check.entries == all.len() as u64 && check.head == all[0].hash, "{check:?}");
}

#[test]
fn what_people_do_on_the_page_is_recorded_too() {
    let place = Place::new();
    let mut page = signed_in(&place, "admin", &place.password);
    let user = v1::AddUserRequest {
        name: "jo".to_owned(),
        role: "auditor".to_owned(),
        password: "first password of jo".to_owned(),
    };
    page.call::<v1::User>("UserService/AddUser", &user).expect("added");
    let list: v1::ListAuditResponse =
        page.call("AuditService/ListAudit", &v1::ListAuditRequest::default()).expect("listed");
    let seen: Vec<_> = list.entries.iter().map(|e| (e.action.as_str(), e.actor.as_str(), e.via.as_str())).collect();
    assert_eq!(
        seen,
        [
            ("user.add", "admin", "session"),
            ("user.password", "admin", "session"),
            ("session.sign_in", "admin", "session"),
            ("ca.first", "controller", ""),
            ("user.add", "controller", ""),
        ]
    );
    let text = format!("{list:?}");
    assert!(!text.contains("argon2") && !text.contains("first password"), "{text}");
}

#[tokio::test]
async fn who_is_not_let_in_is_recorded_and_does_not_fill_the_record() {
    let mut place = Place::new();
    let mut page = Page::new(&place);
    for n in 0..12 {
        let request = v1::SignInRequest { user: format!("user{n}"), password: "wrong".to_owned() };
        page.call::<v1::Session>("SessionService/SignIn", &request).expect_err("refused");
    }
    let token = place.token(3600, 1).await;
    place.enrol_with(&token, "web").await.expect("let in");
    place.enrol_with(&token, "thief").await.map(|_| ()).expect_err("it was for one");
    place.terminate();
    place.start();
    let of = |action: &str| v1::ListAuditRequest { action: action.to_owned(), ..v1::ListAuditRequest::default() };
    let refused = entries(&place, of("session.refused")).await;
    assert_eq!(refused.len(), 2, "{refused:?}");
    assert!(refused[1].subject == "user0" && refused[1].address == "127.0.0.1", "{refused:?}");
    let after: serde_json::Value = serde_json::from_str(&refused[0].after).expect("JSON");
    assert_eq!(after["times"], 11, "{after}");
    assert_eq!(after["why"], "too many attempts");
    let hosts = entries(&place, of("host")).await;
    let told: Vec<_> = hosts.iter().map(|entry| (entry.action.as_str(), entry.subject.as_str())).collect();
    assert_eq!(told, [("host.refused", "thief"), ("host.enrol", "web")]);
}
