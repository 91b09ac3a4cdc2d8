//! The web port's side: browsers and scripts, which show no certificate.

use std::io;
use std::sync::{Arc, PoisonError, RwLock};

use rustls_pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::server::ServerTls;
use super::{TlsError, key, provider};
use crate::limits;

/// Makes TLS of connections to the web port. What replaces it holds for connections that come later.
#[derive(Clone)]
pub struct WebTls(Arc<RwLock<TlsAcceptor>>);

/// Which HTTP was agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Http {
    /// HTTP/1.1.
    One,
    /// HTTP/2.
    Two,
}

impl WebTls {
    /// Shows the same certificate as the gRPC port. TLS 1.3 only.
    ///
    /// # Errors
    /// If a certificate or the key cannot be used.
    pub fn new(tls: &ServerTls) -> Result<Self, TlsError> {
        Ok(Self(Arc::new(RwLock::new(acceptor(tls)?))))
    }

    /// Goes on with this.
    ///
    /// # Errors
    /// As [`WebTls::new`]; what held before goes on.
    pub fn replace(&self, tls: &ServerTls) -> Result<(), TlsError> {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = acceptor(tls)?;
        Ok(())
    }

    /// Shakes hands within [`limits::HANDSHAKE`].
    ///
    /// # Errors
    /// What went wrong, mostly that the other end does not trust the CA yet.
    pub async fn accept(
        &self,
        stream: TcpStream,
    ) -> io::Result<(impl AsyncRead + AsyncWrite + Unpin + Send + 'static, Http)> {
        let acceptor = self.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        let stream =
            timeout(limits::HANDSHAKE, acceptor.accept(stream)).await.map_err(|_| io::ErrorKind::TimedOut)??;
        let http = if stream.get_ref().1.alpn_protocol() == Some(b"h2") { Http::Two } else { Http::One };
        Ok((stream, http))
    }
}

fn acceptor(tls: &ServerTls) -> Result<TlsAcceptor, TlsError> {
    let unusable = |error| TlsError::Material(format!("the server's certificate or key is not usable: {error}"));
    let chain = tls.chain.iter().map(|der| CertificateDer::from(der.clone())).collect();
    let mut config = rustls::ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(unusable)?
        .with_no_client_auth()
        .with_single_cert(chain, key(&tls.key)?)
        .map_err(unusable)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
