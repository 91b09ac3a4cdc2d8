//! What alerts arrive at: a web server, collectors of syslog, and a real SMTP server.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use axum::http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls_pki_types::PrivateKeyDer;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

use crate::place::PATIENCE;

/// A certificate for 127.0.0.1 that signs itself, and a server's configuration with it.
pub(super) struct Certificate {
    pub(super) pem: String,
    pub(super) key_pem: String,
    pub(super) acceptor: TlsAcceptor,
}

pub(super) fn certificate() -> Certificate {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .expect("a certificate");
    Certificate {
        pem: made.cert.pem(),
        key_pem: made.signing_key.serialize_pem(),
        acceptor: TlsAcceptor::from(Arc::new(config)),
    }
}

/// A request that arrived.
pub(super) struct Posted {
    pub(super) headers: HeaderMap,
    pub(super) text: String,
    pub(super) json: Value,
}

/// A web server that answers what it is told to, and 204 if nothing.
pub(super) struct Web {
    pub(super) address: SocketAddr,
    pub(super) answers: Arc<Mutex<VecDeque<u16>>>,
    posted: mpsc::UnboundedReceiver<Posted>,
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// Takes connections; over TLS if there is an acceptor.
async fn accept(listener: &TcpListener, tls: Option<&TlsAcceptor>) -> Option<Box<dyn Stream>> {
    let (stream, _) = listener.accept().await.expect("accepts");
    match tls {
        None => Some(Box::new(stream)),
        Some(tls) => tls.accept(stream).await.ok().map(|stream| Box::new(stream) as Box<dyn Stream>),
    }
}

impl Web {
    pub(super) async fn start(tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let answers = Arc::new(Mutex::new(VecDeque::new()));
        let (sender, posted) = mpsc::unbounded_channel();
        let shared = Arc::clone(&answers);
        tokio::spawn(async move {
            loop {
                let Some(stream) = accept(&listener, tls.as_ref()).await else { continue };
                let (answers, sender) = (Arc::clone(&shared), sender.clone());
                let service = service_fn(move |request: Request<Incoming>| {
                    let (answers, sender) = (Arc::clone(&answers), sender.clone());
                    async move {
                        let (head, body) = request.into_parts();
                        let body = body.collect().await?.to_bytes();
                        let text = String::from_utf8(body.to_vec()).expect("text");
                        let json = serde_json::from_str(&text).expect("JSON");
                        // The test may have ended.
                        let _ = sender.send(Posted { headers: head.headers, text, json });
                        let code = answers.lock().expect("no panic").pop_front().unwrap_or(204);
                        let mut answer = Response::new(Full::<Bytes>::default());
                        *answer.status_mut() = StatusCode::from_u16(code).expect("a status");
                        Ok::<_, hyper::Error>(answer)
                    }
                });
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { address, answers, posted }
    }

    pub(super) fn answer(&self, codes: &[u16]) {
        self.answers.lock().expect("no panic").extend(codes);
    }

    pub(super) async fn next(&mut self) -> Posted {
        tokio::time::timeout(PATIENCE, self.posted.recv()).await.expect("in time").expect("it listens")
    }

    /// Whether nothing has arrived that was not looked at.
    pub(super) fn is_empty(&self) -> bool {
        self.posted.is_empty()
    }
}

/// A collector that reads messages with their octets counted.
pub(super) async fn collector(tls: Option<TlsAcceptor>) -> (SocketAddr, mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let (sender, messages) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        loop {
            let Some(mut stream) = accept(&listener, tls.as_ref()).await else { continue };
            let sender = sender.clone();
            tokio::spawn(async move {
                let mut all = String::new();
                stream.read_to_string(&mut all).await.expect("text up to the end");
                let mut rest = all.as_str();
                while let Some((length, more)) = rest.split_once(' ') {
                    let (message, more) = more.split_at(length.parse().expect("a count"));
                    let _ = sender.send(message.to_owned());
                    rest = more;
                }
                assert_eq!(rest, "");
            });
        }
    });
    (address, messages)
}

/// aiosmtpd, which wants TLS and a password.
pub(super) struct Smtp {
    child: Child,
    pub(super) port: u16,
    lines: Arc<Mutex<std::sync::mpsc::Receiver<String>>>,
}

impl Smtp {
    /// `mode`: `starttls` or `tls`.
    pub(super) fn start(mode: &str, folder: &Path, certificate: &Certificate) -> Self {
        let (cert, key) = (folder.join("cert.pem"), folder.join("key.pem"));
        std::fs::write(&cert, &certificate.pem).expect("written");
        std::fs::write(&key, &certificate.key_pem).expect("written");
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/controller/channels/smtp.py");
        // Debian's Python, which has Debian's aiosmtpd.
        let mut command = Command::new("/usr/bin/python3");
        command.arg(script).arg(mode).arg(&cert).arg(&key).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("python3 runs");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines().map_while(Result::ok);
        let port = lines.next().and_then(|line| line.parse().ok());
        let port = port.expect("a port: is python3-aiosmtpd installed? ('make deps')");
        let (sender, receiver) = std::sync::mpsc::channel();
        std::thread::spawn(move || lines.try_for_each(|line| sender.send(line)));
        Self { child, port, lines: Arc::new(Mutex::new(receiver)) }
    }

    /// The next mail: from, to, and its text as it arrived.
    pub(super) async fn next(&self) -> Value {
        let lines = Arc::clone(&self.lines);
        let next = move || lines.lock().expect("no panic").recv_timeout(PATIENCE).expect("a mail in time");
        let line = tokio::task::spawn_blocking(next).await.expect("no panic");
        serde_json::from_str(&line).expect("JSON")
    }
}

impl Drop for Smtp {
    fn drop(&mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("reaped");
    }
}
