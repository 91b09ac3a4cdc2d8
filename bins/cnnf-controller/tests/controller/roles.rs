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
async fn call(channel: &Channel, path: &str) -> Option<Code> {
    let mut grpc = Grpc::new(channel.clone());
    grpc.ready().await.expect("ready");
    let path: PathAndQuery = path.parse().expect("a path");
    let answer = grpc.unary(Request::new(()), path, ProstCodec::<(), ()>::default());
    let answer = tokio::time::timeout(Duration::from_millis(300), answer).await.ok()?;
    Some(answer.map_or_else(|status| status.code(), |_| Code::Ok))
}

#[tokio::test]
async fn each_caller_may_call_only_what_is_theirs() {
    let place = Place::new();
    let host = place.enrol("web").await;
    let callers = [
        ("anonymous", place.anonymous().await),
        ("defender", host.channel(&place).await),
        ("admin", place.admin().await),
    ];
    let calls = calls();
    assert!(calls.len() >= 25, "{calls:?}");
    for path in &calls {
        let owner = match needs_of(path).expect("a line of the table") {
            Needs::Anyone => None,
            Needs::Defender => Some("defender"),
            _ => Some("admin"),
        };
        for (who, channel) in &callers {
            let code = call(channel, path).await;
            let refused = matches!(code, Some(Code::PermissionDenied | Code::Unauthenticated));
            // An enrolment with an empty request is refused for what it says, not for who says it; so is a sign-in.
            if path == "/cnnf.v1.SessionService/SignIn" {
                continue;
            }
            let allowed = owner.is_none_or(|owner| owner == *who);
            assert_eq!(!refused, allowed, "{who} calls {path}: {code:?}");
            if !allowed && *who == "anonymous" {
                assert_eq!(code, Some(Code::Unauthenticated), "{path}");
            }
        }
    }
    let (_, admin) = &callers[2];
    assert_eq!(call(admin, "/cnnf.v1.StatusService/NoCall").await, Some(Code::Unimplemented));
    assert_eq!(call(admin, "/cnnf.v1.NoService/NoCall").await, Some(Code::Unimplemented));
    let (_, anonymous) = &callers[0];
    assert_eq!(call(anonymous, "/grpc.health.v1.Health/Check").await, Some(Code::Ok));
}
