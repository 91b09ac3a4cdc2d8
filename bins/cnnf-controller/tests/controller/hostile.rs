//! Clients that mean harm: the controller stays small, and honest clients hardly notice.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cnnf_rpc::v1;
use cnnf_rpc::v1::status_service_client::StatusServiceClient;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tonic::transport::Channel;

use crate::place::Place;

/// Streams that are opened and reset at once.
const RESETS: usize = 20_000;
/// Memory that the controller may take, in MiB.
const MEMORY: u64 = 256;

/// The slowest but one in a hundred of calls made one after the other.
async fn p99(channel: &Channel, calls: usize) -> Duration {
    let mut client = StatusServiceClient::new(channel.clone());
    let mut took = Vec::new();
    for _ in 0..calls {
        let begin = Instant::now();
        client.get_status(v1::GetStatusRequest {}).await.expect("an answer");
        took.push(begin.elapsed());
    }
    took.sort();
    took[calls * 99 / 100]
}

/// The most memory that the controller ever took, in MiB.
fn peak(place: &Place) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{}/status", place.pid())).expect("it runs");
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("VmHWM");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") / 1024
}

/// A TLS connection without a certificate.
async fn connection(place: &Place) -> tokio_rustls::client::TlsStream<TcpStream> {
    let mut roots = rustls::RootCertStore::empty();
    for ca in place.admin_tls().cas {
        roots.add(CertificateDer::from(ca)).expect("a CA");
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config =
        rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().expect("TLS");
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let stream = TcpStream::connect(place.grpc).await.expect("connect");
    let name = ServerName::try_from("127.0.0.1").expect("a name");
    tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await.expect("handshake")
}

fn request(place: &Place) -> http::Request<()> {
    http::Request::post(format!("https://{}/cnnf.v1.EnrollmentService/Enroll", place.grpc))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())
        .expect("a request")
}

/// Opens streams and resets them at once, on a new connection whenever the server ends one.
async fn resets(place: &Place) -> (usize, usize) {
    let (mut reset, mut connections) = (0, 0);
    while reset < RESETS {
        connections += 1;
        let (mut client, driver) = h2::client::handshake(connection(place).await).await.expect("HTTP/2");
        let driver = tokio::spawn(driver);
        while reset < RESETS {
            let Ok(ready) = client.ready().await else { break };
            client = ready;
            let Ok((_, mut stream)) = client.send_request(request(place), false) else { break };
            stream.send_reset(h2::Reason::CANCEL);
            reset += 1;
        }
        driver.abort();
    }
    (reset, connections)
}

/// A message that says of itself that it is as large as can be, or compressed.
async fn message(place: &Place, flag: u8, encoding: &'static str) -> Option<String> {
    let (mut client, driver) = h2::client::handshake(connection(place).await).await.expect("HTTP/2");
    let driver = tokio::spawn(driver);
    let mut request = request(place);
    request.headers_mut().insert("grpc-encoding", http::HeaderValue::from_static(encoding));
    let (answer, mut stream) = client.send_request(request, false).expect("sent");
    let mut bytes = vec![flag];
    bytes.extend(u32::MAX.to_be_bytes());
    bytes.resize(1 << 20, 0);
    stream.reserve_capacity(bytes.len());
    let _ = stream.send_data(bytes.into(), false);
    let answer = tokio::time::timeout(Duration::from_secs(10), answer).await.ok()?.ok()?;
    driver.abort();
    Some(answer.headers().get("grpc-status")?.to_str().ok()?.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_thousand_resets_and_half_handshakes_hold_up_nobody() {
    let place = Place::new();
    let channel = place.admin().await;
    p99(&channel, 200).await;
    let before = p99(&channel, 1000).await;

    let ((reset, connections), during) = tokio::join!(resets(&place), p99(&channel, 1000));
    // Half of a handshake, and then nothing.
    let mut half = Vec::new();
    for _ in 0..400 {
        let mut stream = TcpStream::connect(place.grpc).await.expect("connect");
        stream.write_all(&[0x16, 3, 1, 2, 0]).await.expect("written");
        half.push(stream);
    }
    let held = p99(&channel, 1000).await;
    let begin = Instant::now();
    place.admin().await;
    let fresh = begin.elapsed();
    println!(
        "p99 of honest calls: {before:?} alone, {during:?} beside {reset} resets on {connections} connections, {held:?} beside 400 half \
         handshakes, then a new connection in {fresh:?}; at most {} MiB",
        peak(&place)
    );
    assert!(peak(&place) < MEMORY, "{} MiB", peak(&place));
    // A few milliseconds are this machine's own noise.
    for after in [during, held] {
        assert!(after < before * 2 + Duration::from_millis(15), "{before:?} alone, {after:?} beside them");
    }
    assert!(fresh < Duration::from_secs(2), "{fresh:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn giants_and_bombs_are_refused_before_they_are_taken_in() {
    let place = Place::new();
    for _ in 0..50 {
        // OUT_OF_RANGE for its length; UNIMPLEMENTED for a compression that nobody offered.
        assert_eq!(message(&place, 0, "identity").await.as_deref(), Some("11"));
        assert_eq!(message(&place, 1, "gzip").await.as_deref(), Some("12"));
    }
    assert!(peak(&place) < MEMORY, "{} MiB", peak(&place));
    place.enrol("web").await;
}
