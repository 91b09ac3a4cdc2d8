//! Every call × every kind of caller.

use std::time::Duration;

use prost::Message as _;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;
use tonic::{Code, Request};
use tonic_prost::ProstCodec;

use crate::place::Place;
use table::{Needs, needs_of};

#[allow(dead_code)]
#[path = "../../src/auth/table.rs"]
mod table;

/// Paths of all calls in the protocol.
fn calls() -> Vec<String> {
    let files = prost_types::FileDescriptorSet::decode(cnnf_rpc::DESCRIPTORS).expect("descriptors");
    let mut paths = Vec::new();
    for file in files.file {
        let package = file.package().to_owned();
        for service in file.service {
            paths
                .extend(service.method.iter().map(|method| format!("/{package}.{}/{}", service.name(), method.name())));
        }
    }
    paths
}

/// Calls with an empty message; `None` if there is no answer soon, as of a stream.
async fn call(channel: &Channel, token: Option<&str>, path: &str) -> Option<Code> {
    let mut grpc = Grpc::new(channel.clone());
    grpc.ready().await.expect("ready");
    let path: PathAndQuery = path.parse().expect("a path");
    let mut request = Request::new(());
    if let Some(token) = token {
        request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().expect("a header"));
    }
    let answer = grpc.unary(request, path, ProstCodec::<(), ()>::default());
    let answer = tokio::time::timeout(Duration::from_millis(300), answer).await.ok()?;
    Some(answer.map_or_else(|status| status.code(), |_| Code::Ok))
}

/// What a caller is, and what the table lets such a one do.
fn may(role: &str, needs: Needs) -> bool {
    match needs {
        Needs::Anyone => true,
        Needs::Defender => role == "defender",
        Needs::Auditor => matches!(role, "auditor" | "operator" | "admin"),
        Needs::Operator => matches!(role, "operator" | "admin"),
        Needs::Admin => role == "admin",
    }
}

#[tokio::test]
async fn each_caller_may_call_only_what_is_theirs() {
    let place = Place::new();
    let host = place.enrol("web").await;
    let mut callers = vec![
        ("nobody", place.anonymous().await, None),
        ("defender", host.channel(&place).await, None),
        ("admin", place.admin().await, None),
    ];
    for role in ["auditor", "operator", "admin"] {
        callers.push((role, place.anonymous().await, Some(place.api_token(role, role).await)));
    }
    let calls = calls();
    assert!(calls.len() >= 60, "{calls:?}");
    for path in &calls {
        // An enrolment or a sign-in with an empty request is refused for what it says, not for who says it.
        if matches!(path.as_str(), "/cnnf.v1.EnrollmentService/Enroll" | "/cnnf.v1.SessionService/SignIn") {
            continue;
        }
        let needs = needs_of(path).expect("a line of the table");
        for (role, channel, token) in &callers {
            let code = call(channel, token.as_deref(), path).await;
            let refused = matches!(code, Some(Code::PermissionDenied | Code::Unauthenticated));
            assert_eq!(!refused, may(role, needs), "{role} calls {path}: {code:?}");
            if refused && *role == "nobody" {
                assert_eq!(code, Some(Code::Unauthenticated), "{path}");
            }
        }
    }
    let (_, admin, _) = &callers[2];
    assert_eq!(call(admin, None, "/cnnf.v1.StatusService/NoCall").await, Some(Code::Unimplemented));
    assert_eq!(call(admin, None, "/cnnf.v1.NoService/NoCall").await, Some(Code::Unimplemented));
    let (_, anonymous, _) = &callers[0];
    assert_eq!(call(anonymous, None, "/grpc.health.v1.Health/Check").await, Some(Code::Ok));
}
