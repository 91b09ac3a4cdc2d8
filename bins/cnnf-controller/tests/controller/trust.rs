//! Certificates are renewed, and the CA changes, while everybody stays connected.

use std::time::{Duration, Instant};

use cnnf_rpc::tls::{self, ClientTls, Validity, is_issued_by, pin_of};
use cnnf_rpc::v1;
use cnnf_rpc::v1::audit_service_client::AuditServiceClient;
use cnnf_rpc::v1::controller_message::Body as Down;
use cnnf_rpc::v1::defender_service_client::DefenderServiceClient;
use cnnf_rpc::v1::fleet_service_client::FleetServiceClient;
use tonic::Code;

use crate::place::{Defender, Place, Stream, controller, inventory};

/// Hosts that live through a change of the CA.
const HOSTS: usize = 200;

async fn renew(place: &Place, host: &Defender) -> Result<ClientTls, tonic::Status> {
    let key = rcgen::KeyPair::generate().expect("key");
    let csr = rcgen::CertificateParams::default().serialize_request(&key).expect("request").der().to_vec();
    let mut client = DefenderServiceClient::new(host.channel(place).await);
    let certificate = client.renew(v1::RenewRequest { csr }).await?.into_inner().certificate;
    Ok(ClientTls { cas: host.tls.cas.clone(), identity: Some((certificate, key.serialize_der())) })
}

/// The CAs that a stream is told of next.
async fn told(stream: &mut Stream) -> Vec<Vec<u8>> {
    loop {
        if let Down::Trust(trust) = stream.next().await {
            return trust.cas;
        }
    }
}

fn rotate(place: &Place, arguments: &[&str]) -> (Option<i32>, String) {
    let folder = place.path().display().to_string();
    let output = controller(&[&["rotate-ca", "--data-dir", &folder], arguments].concat());
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&text).into_owned())
}

#[tokio::test]
async fn a_host_renews_its_certificate_beside_its_stream() {
    let place = Place::new();
    let mut web = place.enrol("web").await;
    let mut stream = web.attach(&place).await;
    stream.deliver(1, inventory("10.9.0.1", &[])).await;
    let renewed = renew(&place, &web).await.expect("renewed");
    let (old, new) = (web.tls.identity.clone().expect("a certificate").0, renewed.identity.clone().expect("one").0);
    assert_ne!(tls::serial(&old), tls::serial(&new));
    assert_eq!(tls::PeerIdentity::from_certificate(&new), tls::PeerIdentity::from_certificate(&old));
    let week = Validity::of(&new).expect("validity").not_after.duration_since(std::time::SystemTime::now());
    assert!(week.expect("to come") > Duration::from_secs(7 * 24 * 3600 - 60));
    stream.deliver(2, inventory("10.9.0.2", &[])).await;
    web.tls = renewed;
    web.attach(&place).await.deliver(3, inventory("10.9.0.3", &[])).await;

    let mut fleet = FleetServiceClient::new(place.admin().await);
    let hosts = fleet.list_defenders(v1::ListDefendersRequest::default()).await.expect("hosts").into_inner().defenders;
    assert!(hosts[0].certificate_expires.starts_with("20"), "{:?}", hosts[0]);
    fleet.revoke_defender(v1::RevokeDefenderRequest { host: "web".to_owned() }).await.expect("revoked");
    let refused = renew(&place, &web).await.err().expect("refused");
    assert_eq!(refused.code(), Code::PermissionDenied, "{refused:?}");
}

#[tokio::test]
async fn a_tokens_labels_are_its_hosts() {
    let place = Place::new();
    let mut fleet = FleetServiceClient::new(place.admin().await);
    let labels = [("env".to_owned(), "prod".to_owned()), ("rack".to_owned(), "7".to_owned())].into();
    let request = v1::CreateTokenRequest { ttl_seconds: 0, uses: 1, labels };
    let token = fleet.create_token(request).await.expect("a token").into_inner().token.parse().expect("a token");
    // It says env=test of itself, when it enrols and whenever it connects.
    let web = place.enrol_with(&token, "web").await.expect("let in");
    for _ in 0..2 {
        let hosts = fleet.list_defenders(v1::ListDefendersRequest::default()).await.expect("hosts").into_inner();
        let labels = &hosts.defenders[0].labels;
        assert_eq!((labels["env"].as_str(), labels["rack"].as_str()), ("prod", "7"));
        web.attach(&place).await.policy().await;
    }
}

#[tokio::test]
async fn the_ca_changes_under_two_hundred_streams() {
    let place = Place::new();
    let before = place.admin_tls();
    let (old_token, token) = (place.token(600, 1).await, place.token(600, u32::try_from(HOSTS).expect("small")).await);
    let mut hosts = Vec::new();
    for n in 0..HOSTS {
        let host = place.enrol_with(&token, &format!("web-{n}")).await.expect("let in");
        let mut stream = host.attach(&place).await;
        assert_eq!(told(&mut stream).await, host.tls.cas);
        stream.deliver(1, inventory(&format!("10.9.{}.{}", n / 200, n % 200 + 1), &[])).await;
        hosts.push((host, stream));
    }
    assert_eq!(rotate(&place, &["--finish"]).0, Some(1), "nothing to finish");
    let begin = Instant::now();
    let (code, text) = rotate(&place, &[]);
    assert_eq!(code, Some(0), "{text}");
    assert_eq!(rotate(&place, &[]).0, Some(1), "one change at a time");

    // All are told on their streams, which live.
    let mut cas = Vec::new();
    for (host, stream) in &mut hosts {
        cas = told(stream).await;
        assert_eq!(cas.len(), 2);
        assert_eq!(cas[1], host.tls.cas[0]);
    }
    println!("{HOSTS} streams are told of the new CA within {:?}", begin.elapsed());
    assert_ne!(pin_of(&cas[0]), pin_of(&cas[1]));

    // Who knows only the old one gets in by the old one's word: an administrator, a host that was away, an old token.
    let (_, away) = (hosts.pop(), hosts.pop().expect("a host").0);
    tls::connect(&place.grpc.to_string(), &before).await.expect("the old credential");
    let admin = place.admin_tls();
    assert_eq!(admin.cas, cas, "the credential on the disk believes both");
    tls::connect(&place.grpc.to_string(), &admin).await.expect("the new credential");
    away.channel(&place).await;
    let late = place.enrol_with(&old_token, "late").await.expect("an old token");
    assert!(is_issued_by(&late.tls.identity.as_ref().expect("one").0, &cas[0]).expect("readable"));
    assert!(rotate(&place, &["--status"]).1.contains("have not renewed yet"));

    for (host, _) in &mut hosts {
        host.tls = renew(&place, host).await.expect("renewed");
        host.tls.cas.clone_from(&cas);
        assert!(is_issued_by(&host.tls.identity.as_ref().expect("one").0, &cas[0]).expect("readable"));
    }
    let (code, text) = rotate(&place, &["--finish"]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("2 hosts have not renewed yet"), "{text}");
    assert_eq!(rotate(&place, &["--finish", "--force"]).0, Some(0));
    for (_, stream) in &mut hosts {
        assert_eq!(told(stream).await, cas[..1]);
        stream.deliver(2, inventory("10.9.9.9", &[])).await;
    }
    println!("the change of the CA took {:?}; {} of {} streams live", begin.elapsed(), hosts.len(), hosts.len());
    for tls in [&before, &away.tls] {
        assert!(tls::connect(&place.grpc.to_string(), tls).await.is_err(), "the old CA is out of use");
    }
    hosts[0].0.attach(&place).await.policy().await;
    place.admin().await;
}

#[tokio::test]
async fn there_is_a_way_back_to_the_old_ca() {
    let mut place = Place::new();
    let host = place.enrol("web").await;
    assert_eq!(rotate(&place, &[]).0, Some(0));
    place.kill();
    place.start();
    let other = place.enrol("new").await;
    assert_eq!(rotate(&place, &["--back"]).0, Some(0));
    place.kill();
    place.start();
    let place_ca = host.tls.cas[0].clone();
    for host in [&host, &other] {
        let mut stream = host.attach(&place).await;
        let cas = told(&mut stream).await;
        assert_eq!(cas, [place_ca.clone(), other.tls.cas[0].clone()]);
    }
    // Each step is in the record, also one that was made while the controller did not run.
    let ask = v1::ListAuditRequest { action: "ca".to_owned(), ..v1::ListAuditRequest::default() };
    let list = AuditServiceClient::new(place.admin().await).list_audit(ask).await.expect("listed").into_inner();
    let told: Vec<_> = list.entries.iter().map(|entry| entry.action.as_str()).collect();
    assert_eq!(told, ["ca.back", "ca.begin", "ca.first"]);
    assert_eq!(list.entries[0].before, list.entries[1].after);
    assert_ne!(list.entries[0].after, list.entries[1].after);
}
