//! The web port: the page, gRPC-web for it, what hosts install, and health and metrics for scripts.
//!
//! TLS and plain HTTP share the port: a TLS client speaks first, and its first byte is 22 (RFC 8446, section 5.1), which begins no HTTP
//! request. Plain HTTP has health and metrics; whoever wants more is sent to https.

mod headers;
mod oidc;
mod pages;
mod probes;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, Request, Response, StatusCode, header};
use axum::response::IntoResponse as _;
use cnnf_rpc::limits;
use cnnf_rpc::tls::{Http, PeerConnection, PeerIdentity, WebTls};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tonic::Status;
use tonic_web::{GrpcWebLayer, GrpcWebService};
use tower::{Layer as _, Service as _};

use crate::auth::{Guard, Guarded, OnWeb};
use crate::controller::Controller;
use crate::grpc::{Api, for_people};
use crate::writes::{Writes, Written};

/// The first byte of every TLS connection.
const TLS_HANDSHAKE: u8 = 22;
/// How long a request's head may take.
const HEAD: Duration = Duration::from_secs(10);
/// Bytes of a request's head at most.
const MAX_HEAD: usize = 32 << 10;

type Grpc = GrpcWebService<Guarded<Written>>;

/// What answers are made from.
#[derive(Clone)]
struct Web {
    controller: Arc<Controller>,
    grpc: Grpc,
}

/// Serves until the controller ends.
pub(crate) async fn serve(controller: Arc<Controller>, listener: TcpListener, tls: WebTls) {
    let web = Web::new(controller);
    let places = Arc::new(Semaphore::new(limits::MAX_WEB_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = web.controller.ended() => break,
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, address)) = accepted else {
            // Out of file descriptors or the like: accept(2) says to try again, and at once would spin.
            sleep(Duration::from_millis(100)).await;
            continue;
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
        let (web, tls) = (web.clone(), tls.clone());
        connections.spawn(async move {
            if let Err(error) = connection(web, stream, address, tls).await {
                tracing::debug!(%address, %error, "a web connection has ended");
            }
            drop(place);
        });
    }
    while connections.join_next().await.is_some() {}
}

async fn connection(web: Web, stream: TcpStream, address: SocketAddr, tls: WebTls) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut first = [0];
    if timeout(HEAD, stream.peek(&mut first)).await.map_err(|_| io::ErrorKind::TimedOut)?? == 0 {
        return Ok(());
    }
    if first == [TLS_HANDSHAKE] {
        let (stream, http) = tls.accept(stream).await?;
        speak(web, stream, address, http, true).await
    } else {
        speak(web, stream, address, Http::One, false).await
    }
}

/// Speaks HTTP until one of both ends, or the controller: then what is under way is still answered.
async fn speak(
    web: Web,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    address: SocketAddr,
    http: Http,
    secure: bool,
) -> io::Result<()> {
    let controller = Arc::clone(&web.controller);
    let service = service_fn(move |request| {
        let web = web.clone();
        async move {
            let answer = if secure { web.answer(request, address).await } else { web.answer_plain(&request) };
            Ok::<_, std::convert::Infallible>(answer)
        }
    });
    let stream = TokioIo::new(stream);
    let ended = controller.ended();
    let result = match http {
        Http::One => {
            let mut builder = hyper::server::conn::http1::Builder::new();
            builder.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(MAX_HEAD).keep_alive(secure);
            let mut connection = std::pin::pin!(builder.serve_connection(stream, service));
            tokio::select! {
                result = &mut connection => result,
                () = ended => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            }
        }
        Http::Two => {
            let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            builder
                .timer(TokioTimer::new())
                .keep_alive_interval(limits::KEEP_ALIVE)
                .keep_alive_timeout(limits::KEEP_ALIVE_ANSWER)
                .max_concurrent_streams(limits::MAX_STREAMS)
                .max_header_list_size(MAX_HEAD as u32);
            let mut connection = std::pin::pin!(builder.serve_connection(stream, service));
            tokio::select! {
                result = &mut connection => result,
                () = ended => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            }
        }
    };
    result.map_err(io::Error::other)
}

/// Speaks as over TLS with whoever is at the other end.
#[cfg(test)]
pub(crate) async fn speak_to(
    controller: Arc<Controller>,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    http2: bool,
) -> io::Result<()> {
    let http = if http2 { Http::Two } else { Http::One };
    speak(Web::new(controller), stream, ([10, 0, 0, 9], 1).into(), http, true).await
}

impl Web {
    fn new(controller: Arc<Controller>) -> Self {
        let routes = for_people(&Api(Arc::clone(&controller))).routes();
        let grpc = GrpcWebLayer::new()
            .layer(Guard(Arc::clone(&controller)).layer(Writes(Arc::clone(&controller)).layer(routes)));
        Self { controller, grpc }
    }

    /// Over TLS there is everything.
    async fn answer(&self, mut request: Request<Incoming>, address: SocketAddr) -> Response<Body> {
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let mut answer = if kind.starts_with("application/grpc") {
            let grpc_web = kind.starts_with("application/grpc-web");
            request.extensions_mut().insert(OnWeb { grpc_web });
            let peer = PeerConnection { address, identity: PeerIdentity::Anonymous, serial: None };
            request.extensions_mut().insert(peer);
            self.call(request).await
        } else if let Some(answer) = self.probe(request.uri().path()) {
            answer
        } else if let Some(answer) = oidc::answer(&self.controller, &request, address).await {
            answer
        } else if let Some(answer) = self.download(request.method(), request.uri().path()) {
            answer
        } else {
            pages::answer(request.method(), request.uri().path(), request.headers())
        };
        headers::secure(answer.headers_mut());
        answer
    }

    async fn call(&self, request: Request<Incoming>) -> Response<Body> {
        // Of a stream only its beginning has a deadline.
        match timeout(limits::DEADLINE, self.grpc.clone().call(request)).await {
            Ok(Ok(answer)) => answer.map(Body::new),
            Ok(Err(never)) => match never {},
            Err(_) => {
                Status::deadline_exceeded("the call took too long").into_http::<tonic::body::Body>().map(Body::new)
            }
        }
    }

    /// Without TLS there is nothing secret.
    fn answer_plain(&self, request: &Request<Incoming>) -> Response<Body> {
        let mut answer = self.probe(request.uri().path()).unwrap_or_else(|| to_https(request));
        headers::secure(answer.headers_mut());
        answer
    }

    fn download(&self, method: &Method, path: &str) -> Option<Response<Body>> {
        self.controller.downloads.get()?.answer(method, path)
    }

    fn probe(&self, path: &str) -> Option<Response<Body>> {
        probes::answer(&self.controller, path)
    }
}

/// What the client calls us, with the port.
fn host<B>(request: &Request<B>) -> Option<&str> {
    let of_uri = request.uri().authority().map(|host| host.as_str());
    let host = of_uri.or_else(|| request.headers().get(header::HOST).and_then(|host| host.to_str().ok()));
    // What a host may be made of (RFC 3986, section 3.2.2, without user and password).
    let usable = |b: u8| b.is_ascii_alphanumeric() || b"-._~[]:%".contains(&b);
    host.filter(|host| !host.is_empty() && host.bytes().all(usable))
}

/// Sends a plain request to the same place over TLS.
fn to_https<B>(request: &Request<B>) -> Response<Body> {
    let host = host(request);
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    match host {
        Some(host) if path.starts_with('/') => {
            let location = [(header::LOCATION, format!("https://{host}{path}"))];
            (StatusCode::PERMANENT_REDIRECT, location, "the page is at https\n").into_response()
        }
        _ => (StatusCode::BAD_REQUEST, "speak https to this port\n").into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn location(host: &str, path: &str) -> (StatusCode, String) {
        let request = Request::get(path).header("host", host).body(()).expect("a request");
        let answer = to_https(&request);
        let location = answer.headers().get(header::LOCATION).map(|to| to.to_str().expect("text").to_owned());
        (answer.status(), location.unwrap_or_default())
    }

    #[test]
    fn plain_requests_are_sent_to_https_and_nowhere_else() {
        let moved = StatusCode::PERMANENT_REDIRECT;
        let to = |to: &str| (moved, to.to_owned());
        assert_eq!(location("c.example:8443", "/radar?x=1"), to("https://c.example:8443/radar?x=1"));
        assert_eq!(location("[fd86::250]:8443", "/"), to("https://[fd86::250]:8443/"));
        assert_eq!(location("c.example", "//evil.example/"), to("https://c.example//evil.example/"));
        for host in ["", "a b", "c.example/@evil", "user@evil.example", "c.example\\evil"] {
            assert_eq!(location(host, "/").0, StatusCode::BAD_REQUEST, "{host}");
        }
    }
}
