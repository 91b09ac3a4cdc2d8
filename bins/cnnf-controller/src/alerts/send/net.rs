//! Connections to receivers.

use std::io;
use std::sync::Arc;

use cnnf_rpc::limits;
use cnnf_rpc::tls::certificates_from_pem;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use url::Url;

use super::Failure;

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
                Some((TlsConnector::from(Arc::new(config(ca_pem)?)), name))
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

/// Believes the CAs of `ca_pem`, or those of the system.
fn config(ca_pem: &str) -> Result<ClientConfig, Failure> {
    let mut roots = RootCertStore::empty();
    if ca_pem.is_empty() {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    } else {
        let cas = certificates_from_pem(ca_pem).map_err(Failure::away)?;
        roots.add_parsable_certificates(cas.into_iter().map(CertificateDer::from));
    }
    if roots.is_empty() {
        return Err(Failure::away(
            "this machine has no CA certificates: install ca-certificates, or give the channel the CAs to believe",
        ));
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    Ok(builder.map_err(Failure::away)?.with_root_certificates(roots).with_no_client_auth())
}
