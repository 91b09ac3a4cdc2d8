//! Hosts are shut out and forgotten.

use std::time::{Duration, Instant};

use cnnf_rpc::v1;
use cnnf_rpc::v1::defender_service_client::DefenderServiceClient;
use cnnf_rpc::v1::fleet_service_client::FleetServiceClient;
use tonic::{Code, Status};

use crate::place::{PATIENCE, Place, Stream, inventory};

/// How a stream ends.
async fn end(stream: &mut Stream) -> Status {
    let end = async {
        loop {
            match stream.down.message().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("the stream ends without a reason"),
                Err(status) => break status,
            }
        }
    };
    tokio::time::timeout(PATIENCE, end).await.expect("in time")
}

async fn revoke(place: &Place, host: &str) -> Result<v1::Defender, Status> {
    let mut fleet = FleetServiceClient::new(place.admin().await);
    let request = v1::RevokeDefenderRequest { host: host.to_owned() };
    fleet.revoke_defender(request).await.map(tonic::Response::into_inner)
}

async fn delete(place: &Place, host: &str) -> Result<v1::DeleteDefenderResponse, Status> {
    let mut fleet = FleetServiceClient::new(place.admin().await);
    let request = v1::DeleteDefenderRequest { host: host.to_owned() };
    fleet.delete_defender(request).await.map(tonic::Response::into_inner)
}

async fn hosts(place: &Place) -> Vec<v1::Defender> {
    let mut fleet = FleetServiceClient::new(place.admin().await);
    fleet.list_defenders(v1::ListDefendersRequest::default()).await.expect("hosts").into_inner().defenders
}

#[tokio::test]
async fn a_revoked_host_is_out_at_once_and_stays_out() {
    let mut place = Place::new();
    let (web, app) = (place.enrol("web").await, place.enrol("app").await);
    let (mut web_stream, mut app_stream) = (web.attach(&place).await, app.attach(&place).await);
    web_stream.deliver(1, inventory("10.9.0.2", &[("unit:nginx", 80)])).await;
    // A connection that was let in before is no way around.
    let mut open = DefenderServiceClient::new(web.channel(&place).await);
    let begin = Instant::now();
    let answer = revoke(&place, "web").await.expect("revoked");
    assert!(answer.revoked && !answer.connected, "{answer:?}");
    let status = end(&mut web_stream).await;
    let took = begin.elapsed();
    assert_eq!(status.code(), Code::PermissionDenied, "{status:?}");
    assert!(status.message().contains("revoked"), "{status:?}");
    println!("a revoked host is out after {took:?}");
    assert!(took < Duration::from_secs(1), "{took:?}");
    let refused = open.attach(tokio_stream::empty()).await.expect_err("refused");
    assert_eq!(refused.code(), Code::PermissionDenied);
    app_stream.deliver(1, inventory("10.9.0.1", &[])).await;

    assert_eq!(revoke(&place, "none").await.expect_err("none").code(), Code::NotFound);
    place.kill();
    place.start();
    let mut again = DefenderServiceClient::new(web.channel(&place).await);
    let refused = again.attach(tokio_stream::empty()).await.expect_err("refused after a restart too");
    assert_eq!(refused.code(), Code::PermissionDenied);
    let anew = place.enrol("web").await;
    assert_ne!(anew.id, web.id, "a new token lets it in as a new host");
    anew.attach(&place).await.policy().await;
}

#[tokio::test]
async fn a_host_that_takes_nothing_is_put_out_too() {
    let place = Place::new();
    let host = place.enrol("web").await;
    let stream = host.attach(&place).await;
    for _ in 0..64 {
        // Nobody reads what comes down.
        let report = inventory("10.9.0.2", &[("unit:nginx", 80)]);
        if stream.try_report(1, report).await.is_err() {
            break;
        }
    }
    revoke(&place, "web").await.expect("revoked");
    let put_out = async { while stream.try_report(1, inventory("10.9.0.2", &[])).await.is_ok() {} };
    tokio::time::timeout(PATIENCE, put_out).await.expect("in time");
}

#[tokio::test]
async fn only_a_host_that_is_away_or_revoked_is_deleted() {
    let mut place = Place::new();
    let (web, app) = (place.enrol("web").await, place.enrol("app").await);
    let mut stream = web.attach(&place).await;
    stream.deliver(1, inventory("10.9.0.2", &[("unit:nginx", 80)])).await;
    let refused = delete(&place, "web").await.expect_err("connected");
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused:?}");
    assert_eq!(hosts(&place).await.len(), 2);
    revoke(&place, "web").await.expect("revoked");
    let gone = delete(&place, "web").await.expect("revoked");
    assert_eq!((gone.host.as_str(), gone.id.as_str()), ("web", web.id.as_str()));
    delete(&place, "app").await.expect("never connected");
    assert!(hosts(&place).await.is_empty());
    place.kill();
    place.start();
    assert!(hosts(&place).await.is_empty(), "over a restart too");
    let mut again = DefenderServiceClient::new(app.channel(&place).await);
    let refused = again.attach(tokio_stream::empty()).await.expect_err("unknown");
    assert_eq!(refused.code(), Code::PermissionDenied);
    assert_eq!(place.enrol("web").await.name, "web");
    assert_eq!(hosts(&place).await[0].host, "web", "the name is free again");
    assert_eq!(delete(&place, "none").await.expect_err("none").code(), Code::NotFound);
}
