//! Who gets in.

use std::time::Duration;

use cnnf_rpc::tls::{Token, connect_pinned};
use cnnf_rpc::v1;
use cnnf_rpc::v1::enrollment_service_client::EnrollmentServiceClient;
use cnnf_rpc::v1::fleet_service_client::FleetServiceClient;
use tonic::Code;

use crate::place::Place;

#[tokio::test]
async fn a_token_works_once_and_not_for_ever() {
    let place = Place::new();
    let token = place.token(0, 0).await;
    let first = place.enrol_with(&token, "web").await.expect("let in");
    assert!(first.id.starts_with("h-") && first.id.len() == 14, "{}", first.id);
    let again = place.enrol_with(&token, "web").await.err().expect("used up");
    assert_eq!(again.code(), Code::FailedPrecondition);
    assert!(again.message().contains("used up") && again.message().contains("token create"), "{}", again.message());

    let short = place.token(1, 5).await;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let late = place.enrol_with(&short, "web").await.err().expect("expired");
    assert!(late.message().contains("expired"), "{}", late.message());

    let invented = Token { secret: [7; 32], pin: token.pin };
    let unknown = place.enrol_with(&invented, "web").await.err().expect("unknown");
    assert_eq!(unknown.code(), Code::PermissionDenied);
    assert!(unknown.message().contains("not known here"), "{}", unknown.message());

    let list = FleetServiceClient::new(place.admin().await).list_defenders(v1::ListDefendersRequest::default()).await;
    let hosts = list.expect("a list").into_inner().defenders;
    assert_eq!(hosts.len(), 1);
    assert_eq!((hosts[0].host.as_str(), hosts[0].mode.as_str(), hosts[0].connected), ("web", "observe", false));
    assert_eq!(hosts[0].labels["env"], "test");
}

#[tokio::test]
async fn several_hosts_of_one_name_are_told_apart() {
    let place = Place::new();
    let token = place.token(60, 3).await;
    for _ in 0..3 {
        place.enrol_with(&token, "web").await.expect("let in");
    }
    let list = FleetServiceClient::new(place.admin().await).list_defenders(v1::ListDefendersRequest::default()).await;
    let names: Vec<String> = list.expect("a list").into_inner().defenders.into_iter().map(|host| host.host).collect();
    assert_eq!(names, ["web", "web-2", "web-3"]);
}

#[tokio::test]
async fn a_bad_request_leaves_the_token_good() {
    let place = Place::new();
    let token = place.token(0, 1).await;
    let pinned = connect_pinned(&place.grpc.to_string(), token.pin).await.expect("the pin holds");
    let mut client = EnrollmentServiceClient::new(pinned.channel);
    let mut csr = {
        let key = rcgen::KeyPair::generate().expect("key");
        rcgen::CertificateParams::default().serialize_request(&key).expect("request").der().to_vec()
    };
    // The last byte belongs to the signature.
    *csr.last_mut().expect("bytes") ^= 1;
    let good = |csr: Vec<u8>, name: &str| v1::EnrollRequest {
        token: token.secret_text(),
        csr,
        host_name: name.to_owned(),
        labels: Default::default(),
    };
    for (request, part) in [
        (good(csr.clone(), "web"), "csr:"),
        (good(b"nonsense".to_vec(), "web"), "csr:"),
        (good(vec![0; 100_000], "web"), "csr:"),
        (good(csr.clone(), "two words"), "host_name:"),
        (good(csr, "\u{1b}[31m"), "host_name:"),
    ] {
        let error = client.enroll(request).await.expect_err(part);
        assert_eq!(error.code(), Code::InvalidArgument);
        assert!(error.message().starts_with(part), "{}", error.message());
    }
    place.enrol_with(&token, "web").await.expect("the token is still good");
}
