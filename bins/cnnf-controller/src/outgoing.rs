//! HTTP requests that the controller makes itself: small, to places that the configuration or an administrator names.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{Request, Response, Uri};
use cnnf_rpc::limits;
use cnnf_rpc::tls::certificates_from_pem;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::{ClientConfig, RootCertStore};

/// How long a request may take in all if its answer is waited for, with its connection.
const DEADLINE: Duration = Duration::from_secs(10);
/// Bytes of an answer at most.
const MAX_ANSWER: usize = 1 << 20;

/// Makes requests, each over a connection of its own. Redirects are not followed.
#[derive(Clone)]
pub(crate) struct Outgoing(Client<HttpsConnector<HttpConnector>, Full<Bytes>>);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OutgoingError {
    /// No connection, no TLS, or half an answer.
    #[error("{0}")]
    Failed(String),
    /// It took too long.
    #[error("it has not answered within {} s", DEADLINE.as_secs())]
    Slow,
    /// The answer has no end.
    #[error("its answer is longer than {} KiB", MAX_ANSWER >> 10)]
    Long,
}

impl Outgoing {
    /// Believes these CAs.
    ///
    /// # Errors
    /// See [`tls`].
    pub(crate) fn new(cas: RootCertStore) -> io::Result<Self> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(limits::CONNECT));
        let connector =
            HttpsConnectorBuilder::new().with_tls_config(tls(cas)?).https_or_http().enable_http1().wrap_connector(tcp);
        // Nothing must be lost with a connection that was kept and that the other end has just let go.
        Ok(Self(Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector)))
    }

    /// Sends a request and waits for the whole answer.
    ///
    /// # Errors
    /// There is none; of whatever status is no error.
    pub(crate) async fn send(&self, request: Request<Vec<u8>>) -> Result<Response<Vec<u8>>, OutgoingError> {
        let answer = async {
            let (head, body) = self.head(request).await?.into_parts();
            let body = Limited::new(body, MAX_ANSWER).collect().await.map_err(|error| {
                if error.is::<LengthLimitError>() { OutgoingError::Long } else { OutgoingError::Failed(whole(&*error)) }
            })?;
            Ok(Response::from_parts(head, body.to_bytes().into()))
        };
        tokio::time::timeout(DEADLINE, answer).await.unwrap_or(Err(OutgoingError::Slow))
    }

    /// Sends a request and waits for the head of the answer, for as long as the caller does.
    ///
    /// # Errors
    /// There is none; of whatever status is no error.
    pub(crate) async fn head(&self, request: Request<Vec<u8>>) -> Result<Response<Incoming>, OutgoingError> {
        let request = request.map(|body| Full::new(Bytes::from(body)));
        self.0.request(request).await.map_err(|error| OutgoingError::Failed(whole(&error)))
    }
}

/// The CAs of this text (PEM), or those that the system believes, which may be none.
///
/// # Errors
/// The text has no certificate that can be used.
pub(crate) fn cas(pem: Option<&str>) -> io::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    match pem {
        Some(pem) => {
            let found = certificates_from_pem(pem).map_err(io::Error::other)?;
            roots.add_parsable_certificates(found.into_iter().map(Into::into));
            if roots.is_empty() {
                return Err(io::Error::other("there is no certificate in it"));
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    Ok(roots)
}

/// TLS with servers that these CAs vouch for.
///
/// # Errors
/// The cryptography has nothing that TLS can use.
pub(crate) fn tls(cas: RootCertStore) -> io::Result<ClientConfig> {
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?;
    Ok(config.with_root_certificates(cas).with_no_client_auth())
}

/// Whether secrets may be sent there: over TLS, or without leaving this machine.
pub(crate) fn is_safe(uri: &Uri) -> bool {
    let host = uri.host().unwrap_or_default();
    let loopback = || host.trim_matches(['[', ']']).parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback());
    match uri.scheme_str() {
        Some("https") => !host.is_empty(),
        Some("http") => host == "localhost" || loopback(),
        _ => false,
    }
}

/// An error with its causes: the outermost alone says only that a connection has failed.
fn whole(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_leave_the_machine_over_tls_only() {
        let safe = |uri: &str| is_safe(&uri.parse().expect("a URI"));
        for good in ["https://id.example.com", "http://127.0.0.1:8080/x", "http://[::1]/", "http://localhost:1"] {
            assert!(safe(good), "{good}");
        }
        for bad in ["http://id.example.com", "http://10.0.0.1", "ftp://id.example.com", "/x", "http://localhost.evil"] {
            assert!(!safe(bad), "{bad}");
        }
    }
}
