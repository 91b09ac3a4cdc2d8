//! The controller's side: accepts connections and says who is at their other end.

use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::{Arc, PoisonError, RwLock};
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls_pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, Sleep, sleep, sleep_until, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::Connected;

use super::identity::{PeerConnection, PeerIdentity, serial};
use super::places::{Place, Places};
use super::{TlsError, key, provider, roots};
use crate::limits;

/// What the server shows and whom it believes. All DER.
#[derive(Clone)]
pub struct ServerTls {
    /// The server's certificate first, then the CA's, so that a new host can compare the CA with its token's pin. During a change of the
    /// CA also what leads from the one to the other.
    pub chain: Vec<Vec<u8>>,
    /// The server's private key.
    pub key: Vec<u8>,
    /// CAs that sign clients; during a change of the CA there are two.
    pub client_cas: Vec<Vec<u8>>,
}

impl ServerTls {
    pub(super) fn config(&self) -> Result<rustls::ServerConfig, TlsError> {
        let provider = provider();
        let clients = roots(self.client_cas.iter().map(Vec::as_slice))?;
        let verifier = WebPkiClientVerifier::builder_with_provider(clients, provider.clone())
            .allow_unauthenticated()
            .build()
            .map_err(|error| TlsError::Material(format!("clients cannot be verified: {error}")))?;
        let chain = self.chain.iter().map(|der| CertificateDer::from(der.clone())).collect();
        let unusable = |error| TlsError::Material(format!("the server's certificate or key is not usable: {error}"));
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(unusable)?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain, key(&self.key)?)
            .map_err(unusable)?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        Ok(config)
    }
}

/// The server's side of TLS as it is at present. What replaces it holds for connections that come later; those that live go on.
#[derive(Clone)]
pub struct LiveTls(Arc<RwLock<TlsAcceptor>>);

impl LiveTls {
    /// Begins with this.
    ///
    /// # Errors
    /// If a certificate or the key cannot be used.
    pub fn new(tls: &ServerTls) -> Result<Self, TlsError> {
        Ok(Self(Arc::new(RwLock::new(acceptor(tls)?))))
    }

    /// Goes on with this.
    ///
    /// # Errors
    /// As [`LiveTls::new`]; what held before goes on.
    pub fn replace(&self, tls: &ServerTls) -> Result<(), TlsError> {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = acceptor(tls)?;
        Ok(())
    }

    fn acceptor(&self) -> TlsAcceptor {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn acceptor(tls: &ServerTls) -> Result<TlsAcceptor, TlsError> {
    Ok(TlsAcceptor::from(Arc::new(tls.config()?)))
}

/// A gRPC server with this crate's limits: to be given the services, then `serve_with_incoming(accept(…))`.
///
/// Message sizes are set on each service: `.max_decoding_message_size(limits::MAX_MESSAGE)`.
#[must_use]
pub fn server() -> tonic::transport::Server {
    tonic::transport::Server::builder()
        .timeout(limits::DEADLINE)
        .max_concurrent_streams(limits::MAX_STREAMS)
        .http2_keepalive_interval(Some(limits::KEEP_ALIVE))
        .http2_keepalive_timeout(Some(limits::KEEP_ALIVE_ANSWER))
}

/// Verified connections, for `tonic`'s `serve_with_incoming`. Dropping it stops accepting.
pub type Incoming = ReceiverStream<io::Result<Connection>>;

/// Accepts on `listener` from a task of its own, which ends when the result is dropped.
///
/// A client certificate is optional, but one that is given must be signed by a known CA and carry an identity, else the connection is
/// closed. What each kind of peer may call is the services' business. Handshakes that take too long and connections beyond the limits
/// are closed without a word.
///
/// # Errors
/// If a certificate or the key cannot be used.
pub fn accept(listener: TcpListener, tls: &ServerTls) -> Result<Incoming, TlsError> {
    Ok(accept_live(listener, LiveTls::new(tls)?))
}

/// As [`accept`], by TLS that may be replaced while it runs.
#[must_use]
pub fn accept_live(listener: TcpListener, tls: LiveTls) -> Incoming {
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(run(listener, tls, sender, limits::HANDSHAKE, Bounds::usual()));
    ReceiverStream::new(receiver)
}

/// Bounds that are counted apart: whoever says nothing, is slow or has no certificate cannot take the place of the others.
#[derive(Clone)]
pub(super) struct Bounds {
    pub(super) silent: Places,
    /// In the order in which they have begun. Who waits here costs little and loses nothing.
    pub(super) turns: Arc<Semaphore>,
    /// How long a turn is.
    pub(super) turn: Duration,
    pub(super) slow: Places,
    pub(super) anonymous: Places,
    pub(super) known: Arc<Semaphore>,
}

impl Bounds {
    pub(super) fn usual() -> Self {
        Self {
            silent: Places::new(limits::MAX_SILENT),
            turns: Arc::new(Semaphore::new(limits::HANDSHAKES_AT_ONCE)),
            turn: limits::HANDSHAKE_TURN,
            slow: Places::new(limits::MAX_SLOW),
            anonymous: Places::new(limits::MAX_ANONYMOUS),
            known: Arc::new(Semaphore::new(limits::MAX_CONNECTIONS)),
        }
    }
}

pub(super) async fn run(
    listener: TcpListener,
    tls: LiveTls,
    sender: mpsc::Sender<io::Result<Connection>>,
    patience: Duration,
    bounds: Bounds,
) {
    loop {
        let accepted = tokio::select! {
            () = sender.closed() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, address)) = accepted else {
            // Out of file descriptors or the like: accept(2) says to try again, and at once would spin.
            sleep(Duration::from_millis(100)).await;
            continue;
        };
        let (acceptor, sender, bounds) = (tls.acceptor(), sender.clone(), bounds.clone());
        tokio::spawn(async move {
            if let Some(connection) = meet(stream, address, acceptor, patience, &bounds).await {
                let _ = sender.send(Ok(connection)).await;
            }
        });
    }
}

/// A handshake, in three parts with bounds of their own: until the peer says something, while it is made, and, of a slow peer, the rest.
async fn meet(
    stream: TcpStream,
    address: SocketAddr,
    acceptor: TlsAcceptor,
    patience: Duration,
    bounds: &Bounds,
) -> Option<Connection> {
    let mut silent = bounds.silent.take();
    let mut first = [0];
    let said = tokio::select! {
        () = silent.lost() => return None,
        said = timeout(patience, stream.peek(&mut first)) => said.ok()?.ok()?,
    };
    drop(silent);
    if said == 0 {
        return None;
    }
    // Nobody closes the semaphore.
    let turn = Arc::clone(&bounds.turns).acquire_owned().await.ok()?;
    let mut handshake = pin!(timeout(patience, shake_hands(stream, address, acceptor, bounds)));
    if let Ok(connection) = timeout(bounds.turn, &mut handshake).await {
        return connection.ok().flatten();
    }
    drop(turn);
    let mut slow = bounds.slow.take();
    tokio::select! {
        () = slow.lost() => None,
        connection = handshake => connection.ok().flatten(),
    }
}

async fn shake_hands(
    stream: TcpStream,
    address: SocketAddr,
    acceptor: TlsAcceptor,
    bounds: &Bounds,
) -> Option<Connection> {
    stream.set_nodelay(true).ok()?;
    let stream = acceptor.accept(stream).await.ok()?;
    let (identity, serial) = match stream.get_ref().1.peer_certificates().and_then(<[_]>::first) {
        None => (PeerIdentity::Anonymous, None),
        Some(der) => (PeerIdentity::from_certificate(der).ok()?, Some(serial(der).ok()?)),
    };
    let held = if identity == PeerIdentity::Anonymous {
        Held::Until(Box::pin(sleep_until(Instant::now() + limits::ANONYMOUS_LIFE)), bounds.anonymous.take())
    } else {
        Held::Known { _place: bounds.known.clone().try_acquire_owned().ok()? }
    };
    Some(Connection { stream, peer: PeerConnection { address, identity, serial }, held })
}

/// An accepted connection.
pub struct Connection {
    stream: TlsStream<TcpStream>,
    peer: PeerConnection,
    held: Held,
}

/// What a connection takes up.
enum Held {
    Known {
        _place: OwnedSemaphorePermit,
    },
    /// Until then, and until another one needs the place.
    Until(Pin<Box<Sleep>>, Place),
}

impl Connected for Connection {
    type ConnectInfo = PeerConnection;

    fn connect_info(&self) -> PeerConnection {
        self.peer.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if let Held::Until(until, place) = &mut self.held
            && (until.as_mut().poll(cx).is_ready() || place.poll_lost(cx).is_ready())
        {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
