use std::net::SocketAddr;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair, SanType};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tonic::{Request, Response, Status};

use super::places::Places;
use super::server::{Bounds, run};
use super::*;
use crate::v1::status_service_client::StatusServiceClient;
use crate::v1::status_service_server::{StatusService, StatusServiceServer};
use crate::v1::{GetStatusRequest, Status as Summary};

/// A CA, as the controller has one.
struct Ca(CertifiedIssuer<'static, KeyPair>);

impl Ca {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("params");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("key");
        Self(CertifiedIssuer::self_signed(params, key).expect("ca"))
    }

    fn der(&self) -> Vec<u8> {
        self.0.der().to_vec()
    }

    fn issue(&self, names: &[&str], uris: &[&str], purpose: ExtendedKeyUsagePurpose) -> (Vec<u8>, Vec<u8>) {
        let mut params =
            CertificateParams::new(names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>()).expect("san");
        for uri in uris {
            params.subject_alt_names.push(SanType::URI((*uri).try_into().expect("uri")));
        }
        params.extended_key_usages = vec![purpose];
        let key = KeyPair::generate().expect("key");
        let certificate = params.signed_by(&key, &self.0).expect("sign");
        (certificate.der().to_vec(), key.serialize_der())
    }

    fn client(&self, uris: &[&str]) -> ClientTls {
        ClientTls { cas: vec![self.der()], identity: Some(self.issue(&[], uris, ExtendedKeyUsagePurpose::ClientAuth)) }
    }

    fn server(&self, names: &[&str]) -> ServerTls {
        let (certificate, key) = self.issue(names, &[], ExtendedKeyUsagePurpose::ServerAuth);
        ServerTls { chain: vec![certificate, self.der()], key, client_cas: vec![self.der()] }
    }
}

/// Answers with who it thinks is calling.
struct WhoAmI;

#[tonic::async_trait]
impl StatusService for WhoAmI {
    async fn get_status(&self, request: Request<GetStatusRequest>) -> Result<Response<Summary>, Status> {
        let peer = request.extensions().get::<PeerConnection>().ok_or_else(|| Status::internal("no peer"))?;
        assert!(peer.address.ip().is_loopback());
        let version = format!("{} {}", peer.identity, peer.serial.as_deref().unwrap_or("-"));
        Ok(Response::new(Summary { version, ..Summary::default() }))
    }
}

async fn start(tls: &ServerTls) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = listener.local_addr().expect("address");
    let incoming = accept(listener, tls).expect("tls");
    tokio::spawn(server().add_service(StatusServiceServer::new(WhoAmI)).serve_with_incoming(incoming));
    address
}

async fn who(channel: tonic::transport::Channel) -> Result<String, Status> {
    Ok(StatusServiceClient::new(channel).get_status(GetStatusRequest {}).await?.into_inner().version)
}

#[tokio::test]
async fn handlers_see_who_calls() {
    let ca = Ca::new();
    let address = start(&ca.server(&["127.0.0.1", "localhost"])).await;
    for (uri, expected) in [("cnnf://defender/h-7", "defender h-7"), ("cnnf://admin/root", "admin root")] {
        let tls = ca.client(&[uri]);
        let expected = format!("{expected} {}", serial(&tls.identity.as_ref().expect("identity").0).expect("serial"));
        let channel = connect(&address.to_string(), &tls).await.expect("connect");
        assert_eq!(who(channel).await.expect("answer"), expected);
    }
    let named = format!("localhost:{}", address.port());
    let channel = connect(&named, &ClientTls { cas: vec![ca.der()], identity: None }).await.expect("connect");
    assert_eq!(who(channel).await.expect("answer"), "anonymous -");
}

#[tokio::test]
async fn certificates_of_others_or_without_one_identity_are_turned_away() {
    let (ca, other) = (Ca::new(), Ca::new());
    let address = start(&ca.server(&["127.0.0.1"])).await.to_string();
    let stranger = ClientTls { cas: vec![ca.der()], identity: other.client(&["cnnf://admin/root"]).identity };
    let server_as_client = {
        let (certificate, key) = ca.issue(&["127.0.0.1"], &["cnnf://admin/root"], ExtendedKeyUsagePurpose::ServerAuth);
        ClientTls { cas: vec![ca.der()], identity: Some((certificate, key)) }
    };
    let nobody = ca.client(&[]);
    let two = ca.client(&["cnnf://admin/a", "cnnf://admin/b"]);
    let odd = ca.client(&["cnnf://admin/a/b"]);
    for (n, tls) in [stranger, server_as_client, nobody, two, odd].into_iter().enumerate() {
        let error = connect(&address, &tls).await.expect_err("turned away");
        assert!(matches!(error, TlsError::Handshake { .. }), "case {n}: {error}");
    }
}

#[tokio::test]
async fn servers_of_another_ca_or_name_are_refused() {
    let (ca, other) = (Ca::new(), Ca::new());
    let tls = ca.client(&["cnnf://admin/root"]);
    let address = start(&other.server(&["127.0.0.1"])).await.to_string();
    assert!(matches!(connect(&address, &tls).await, Err(TlsError::Handshake { .. })));
    let address = start(&ca.server(&["controller.example"])).await.to_string();
    let error = connect(&address, &tls).await.expect_err("name").to_string();
    assert!(error.contains("controller.example"), "{error}");
}

#[tokio::test]
async fn a_pin_finds_its_controller_and_no_other() {
    let (ca, other) = (Ca::new(), Ca::new());
    let address = start(&ca.server(&["127.0.0.1"])).await.to_string();
    let pinned = connect_pinned(&address, pin_of(&ca.der())).await.expect("pinned");
    assert_eq!(pinned.ca, ca.der());
    assert_eq!(who(pinned.channel).await.expect("answer"), "anonymous -");

    let error = connect_pinned(&address, pin_of(&other.der())).await.expect_err("pin");
    assert_eq!(
        error.to_string(),
        format!(
            "the controller at {address} is not the one this token is from: check the address, or make a new token there"
        )
    );
    // The right CA is shown, but it has not signed the server.
    let mut liar = other.server(&["127.0.0.1"]);
    liar.chain = vec![liar.chain[0].clone(), ca.der()];
    let address = start(&liar).await.to_string();
    assert!(matches!(connect_pinned(&address, pin_of(&ca.der())).await, Err(TlsError::Handshake { .. })));
    // A defender's certificate does not make a controller, though the CA has signed it.
    let (certificate, key) = ca.issue(&["127.0.0.1"], &["cnnf://defender/x"], ExtendedKeyUsagePurpose::ClientAuth);
    let address =
        start(&ServerTls { chain: vec![certificate, ca.der()], key, client_cas: vec![ca.der()] }).await.to_string();
    assert!(matches!(connect_pinned(&address, pin_of(&ca.der())).await, Err(TlsError::Handshake { .. })));
}

#[tokio::test]
async fn a_channel_comes_back_after_the_server_did() {
    let ca = Ca::new();
    let tls = ca.server(&["127.0.0.1"]);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = listener.local_addr().expect("address");
    let serve = |listener| {
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let incoming = accept(listener, &tls).expect("tls");
        let done = tokio::spawn(server().add_service(StatusServiceServer::new(WhoAmI)).serve_with_incoming_shutdown(
            incoming,
            async {
                let _ = stopped.await;
            },
        ));
        (stop, done)
    };
    let (stop, done) = serve(listener);
    let channel = connect(&address.to_string(), &ca.client(&["cnnf://admin/root"])).await.expect("connect");
    who(channel.clone()).await.expect("first");
    drop(stop);
    done.await.expect("task").expect("serve");
    let mut bound = TcpListener::bind(address).await;
    for _ in 0..50 {
        if bound.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        bound = TcpListener::bind(address).await;
    }
    let _running = serve(bound.expect("bind again"));
    let mut answer = who(channel.clone()).await;
    for _ in 0..50 {
        if answer.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        answer = who(channel.clone()).await;
    }
    answer.expect("second");
}

#[tokio::test]
async fn whoever_says_nothing_is_closed_after_the_handshake_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = listener.local_addr().expect("address");
    let tls = LiveTls::new(&Ca::new().server(&["127.0.0.1"])).expect("tls");
    let (sender, mut receiver) = tokio::sync::mpsc::channel(1);
    tokio::spawn(run(listener, tls, sender, Duration::from_millis(50), Bounds::usual()));
    let mut silent = TcpStream::connect(address).await.expect("connect");
    let read = tokio::time::timeout(Duration::from_secs(5), silent.read(&mut [0; 8])).await;
    assert_eq!(read.expect("closed in time").expect("end"), 0);
    assert!(receiver.try_recv().is_err());
}

#[tokio::test]
async fn errors_before_tls_say_what_is_wrong() {
    let tls = ClientTls { cas: vec![Ca::new().der()], identity: None };
    for text in ["", "controller", "controller:70000", "fd86::250:7443", "a b:1"] {
        let error = connect(text, &tls).await.expect_err(text);
        assert!(matches!(error, TlsError::Address(_)), "{text}: {error}");
    }
    let free = TcpListener::bind("127.0.0.1:0").await.expect("bind").local_addr().expect("address").to_string();
    let error = connect(&free, &tls).await.expect_err("nobody there");
    assert!(matches!(error, TlsError::Unreachable { .. }), "{error}");
    let empty = ClientTls { cas: Vec::new(), identity: None };
    assert!(matches!(connect(&free, &empty).await, Err(TlsError::Material(_))));
}

#[test]
fn tokens_round_trip_and_say_what_is_wrong() {
    let token = Token { secret: [7; 32], pin: pin_of(b"ca") };
    let text = token.to_string();
    assert_eq!(text.parse::<Token>(), Ok(token.clone()));
    assert_eq!(format!(" {text}\n").parse::<Token>(), Ok(token.clone()));
    assert!(!format!("{token:?}").contains(&token.secret_text()));
    for (bad, error) in [
        ("", TokenError::Form),
        ("hello", TokenError::Form),
        (&text[..text.len() - 3], TokenError::Part("pin")),
        (&text.replace("cnnf1", "cnnf2"), TokenError::Version),
        ("cnnf1.x.y", TokenError::Part("secret")),
    ] {
        assert_eq!(bad.parse::<Token>(), Err(error), "{bad}");
    }
}

#[test]
fn pem_is_read() {
    let ca = Ca::new();
    assert_eq!(certificates_from_pem(&ca.0.pem()).expect("pem"), [ca.der()]);
    assert!(certificates_from_pem("nothing").is_err());
    let key = KeyPair::generate().expect("key");
    assert_eq!(key_from_pem(&key.serialize_pem()).expect("pem"), key.serialize_der());
    assert!(key_from_pem(&ca.0.pem()).is_err());
}

#[tokio::test]
async fn another_certificate_holds_for_connections_that_come_later() {
    let (old, new) = (Ca::new(), Ca::new());
    let tls = LiveTls::new(&old.server(&["127.0.0.1"])).expect("tls");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = listener.local_addr().expect("address").to_string();
    let incoming = accept_live(listener, tls.clone());
    tokio::spawn(server().add_service(StatusServiceServer::new(WhoAmI)).serve_with_incoming(incoming));
    let before = connect(&address, &old.client(&["cnnf://admin/old"])).await.expect("connect");
    who(before.clone()).await.expect("an answer");
    tls.replace(&new.server(&["127.0.0.1"])).expect("replaced");
    assert!(who(before).await.expect("it lives").starts_with("admin old"));
    assert!(connect(&address, &old.client(&["cnnf://admin/old"])).await.is_err());
    let after = connect(&address, &new.client(&["cnnf://admin/new"])).await.expect("connect");
    assert!(who(after).await.expect("an answer").starts_with("admin new"));
}

#[test]
fn a_servers_names_are_read_as_one_connects_to_them() {
    let names = ["c.example", "10.0.0.5", "fd86::250"];
    let certificate = &Ca::new().server(&names).chain[0].clone();
    assert_eq!(server_names(certificate), Ok(vec!["c.example".into(), "10.0.0.5".into(), "[fd86::250]".into()]));
    assert!(server_names(b"none").is_err());
}

/// A server with these bounds, in a thread of its own: who asks it must not be slower than it is.
fn bounded(ca: &Ca, bounds: Bounds) -> String {
    let tls = LiveTls::new(&ca.server(&["127.0.0.1"])).expect("tls");
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let socket = tokio::net::TcpSocket::new_v4().expect("socket");
            socket.bind("127.0.0.1:0".parse().expect("an address")).expect("bind");
            let listener = socket.listen(crate::limits::MAX_QUEUED).expect("listen");
            tell.send(listener.local_addr().expect("address")).expect("somebody waits");
            let (sender, receiver) = tokio::sync::mpsc::channel(1);
            tokio::spawn(run(listener, tls, sender, Duration::from_secs(60), bounds));
            let incoming = tokio_stream::wrappers::ReceiverStream::new(receiver);
            server().add_service(StatusServiceServer::new(WhoAmI)).serve_with_incoming(incoming).await.expect("served");
        });
    });
    told.recv().expect("it listens").to_string()
}

/// Somebody else gets in soon.
async fn gets_in(ca: &Ca, address: &str) {
    let begin = std::time::Instant::now();
    let channel = connect(address, &ca.client(&["cnnf://admin/root"])).await.expect("it gets in");
    who(channel).await.expect("an answer");
    assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
}

async fn gave_way(oldest: &mut TcpStream) {
    let read = tokio::time::timeout(Duration::from_secs(5), oldest.read_to_end(&mut Vec::new())).await;
    let _closed = read.expect("closed in time");
}

#[tokio::test]
async fn whoever_takes_all_places_and_says_nothing_keeps_nobody_out() {
    let ca = Ca::new();
    let address = bounded(&ca, Bounds { silent: Places::new(32), ..Bounds::usual() });
    let mut silent = Vec::new();
    for _ in 0..32 + 50 {
        silent.push(TcpStream::connect(&address).await.expect("connect"));
    }
    gets_in(&ca, &address).await;
    gave_way(&mut silent[0]).await;
}

#[tokio::test]
async fn whoever_takes_all_turns_and_says_no_more_keeps_nobody_out() {
    let ca = Ca::new();
    let bounds = Bounds {
        turns: std::sync::Arc::new(tokio::sync::Semaphore::new(8)),
        turn: Duration::from_millis(20),
        slow: Places::new(8),
        ..Bounds::usual()
    };
    let address = bounded(&ca, bounds);
    let mut begun = Vec::new();
    for _ in 0..64 {
        let mut stream = TcpStream::connect(&address).await.expect("connect");
        // The head of a record, and not what it says is to come.
        stream.write_all(&[0x16, 3, 1, 2, 0]).await.expect("written");
        begun.push(stream);
    }
    gets_in(&ca, &address).await;
    gave_way(&mut begun[0]).await;
}

#[test]
fn whoever_comes_back_with_all_others_waits_and_is_not_turned_away() {
    const HERD: usize = 450;
    let ca = Ca::new();
    // Nobody here is silent or slow, and nobody may be taken for it.
    let bounds = Bounds {
        silent: Places::new(HERD),
        turns: std::sync::Arc::new(tokio::sync::Semaphore::new(16)),
        turn: Duration::from_secs(60),
        slow: Places::new(1),
        ..Bounds::usual()
    };
    let address = bounded(&ca, bounds);
    let client = std::sync::Arc::new(ca.client(&["cnnf://admin/root"]));
    let herd = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().expect("a runtime");
    herd.block_on(async {
        let mut herd = tokio::task::JoinSet::new();
        for _ in 0..HERD {
            let (client, address) = (client.clone(), address.clone());
            herd.spawn(async move { connect(&address, &client).await.map(drop) });
        }
        for one in herd.join_all().await {
            one.expect("none is turned away");
        }
    });
}
