//! Connections to receivers that speak no HTTP.

use std::io;
use std::sync::Arc;

use cnnf_rpc::limits;
use rustls::RootCertStore;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use url::Url;

use super::Failure;
use crate::outgoing;

/// Bytes both ways.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// A host and port, and how to speak TLS with it.
pub(super) struct Place {
    pub(super) host: String,
    pub(super) port: u16,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

impl Place {
    /// # Errors
    /// The host is no name, or there is nobody to believe.
    pub(super) fn new(url: &Url, port: u16, tls: bool, ca_pem: &str) -> Result<Self, Failure> {
        let host = host(url);
        let tls = match tls {
            false => None,
            true => {
                let name = ServerName::try_from(host.clone())
                    .map_err(|_| Failure::away(format_args!("'{host}' is no name of a host")))?;
                let config = outgoing::tls(cas(ca_pem)?).map_err(Failure::away)?;
                Some((TlsConnector::from(Arc::new(config)), name))
            }
        };
        Ok(Self { host, port: url.port().unwrap_or(port), tls })
    }

    /// Connects; over TLS where that is asked for.
    pub(super) async fn connect(&self) -> Result<Box<dyn Stream>, Failure> {
        let at = format_args!("{}:{}", self.host, self.port).to_string();
        let failed = |error: io::Error| Failure::away(format_args!("cannot connect to {at}: {error}"));
        let stream = timeout(limits::CONNECT, TcpStream::connect((self.host.as_str(), self.port))).await;
        let stream = stream.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map_err(failed)?;
        match &self.tls {
            None => Ok(Box::new(stream)),
            Some((tls, name)) => {
                let secured = timeout(limits::HANDSHAKE, tls.connect(name.clone(), stream)).await;
                Ok(Box::new(secured.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map_err(failed)?))
            }
        }
    }
}

/// A URL's host, an IPv6 address without its brackets.
pub(super) fn host(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host).to_owned()
}

/// The CAs of `ca_pem`, or those of the system.
///
/// # Errors
/// There is nobody to believe.
pub(super) fn cas(ca_pem: &str) -> Result<RootCertStore, Failure> {
    let cas = outgoing::cas((!ca_pem.is_empty()).then_some(ca_pem)).map_err(Failure::away)?;
    if cas.is_empty() {
        return Err(Failure::away(
            "this machine has no CA certificates: install ca-certificates, or give the channel the CAs to believe",
        ));
    }
    Ok(cas)
}
