//! Who is at the other end: TLS 1.3 with aws-lc-rs, a private CA, client certificates that carry an identity, and tokens that pin the CA.
//!
//! No session is ever resumed: every connection proves its identity anew, so a revoked certificate ends with its connection.

mod client;
mod identity;
mod places;
mod server;
#[cfg(test)]
mod tests;
mod token;
mod web;

pub use client::{ClientTls, Pinned, connect, connect_pinned};
pub use identity::{IdentityError, PeerConnection, PeerIdentity, Validity, is_issued_by, serial, server_names};
pub use server::{Connection, Incoming, LiveTls, ServerTls, accept, accept_live, server};
pub use token::{Pin, Token, TokenError, pin_of};
pub use web::{Http, WebTls};

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The address is not HOST:PORT.
    #[error("'{0}' is no address: write HOST:PORT, such as controller.example:7443 or [fd86::250]:7443")]
    Address(String),
    /// No TCP connection.
    #[error("cannot reach {address}: {source}")]
    Unreachable {
        /// Where to.
        address: String,
        /// The system's own words.
        source: std::io::Error,
    },
    /// No TCP connection or no handshake in time.
    #[error("{address} does not answer within {seconds} s")]
    Timeout {
        /// Where to.
        address: String,
        /// How long it was waited.
        seconds: u64,
    },
    /// The other end is there, but is no cnnf controller of this CA, or does not accept this client.
    #[error("no secure connection to {address}: {source}")]
    Handshake {
        /// Where to.
        address: String,
        /// What TLS says.
        source: std::io::Error,
    },
    /// The other end's CA is not the one that was pinned.
    #[error("the controller at {0} is not the one this token is from: check the address, or make a new token there")]
    WrongPin(String),
    /// A certificate or key cannot be used.
    #[error("{0}")]
    Material(String),
    /// HTTP/2 could not be started on the connection.
    #[error("no HTTP/2 with {address}: {source}")]
    Http {
        /// Where to.
        address: String,
        /// What HTTP/2 says.
        source: tonic::transport::Error,
    },
}

/// The only cryptography in use.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// The DER form of every certificate of a PEM text, in order.
///
/// # Errors
/// If the text is not PEM or has no certificate.
pub fn certificates_from_pem(pem: &str) -> Result<Vec<Vec<u8>>, TlsError> {
    let found: Vec<Vec<u8>> = CertificateDer::pem_slice_iter(pem.as_bytes())
        .map(|certificate| certificate.map(|der| der.to_vec()))
        .collect::<Result<_, _>>()
        .map_err(|error| TlsError::Material(format!("a certificate is not readable PEM: {error}")))?;
    if found.is_empty() {
        return Err(TlsError::Material("there is no certificate in the PEM text".into()));
    }
    Ok(found)
}

/// The DER form (PKCS#8, SEC1 or PKCS#1) of the first private key of a PEM text.
///
/// # Errors
/// If the text is not PEM or has no private key.
pub fn key_from_pem(pem: &str) -> Result<Vec<u8>, TlsError> {
    PrivateKeyDer::from_pem_slice(pem.as_bytes())
        .map(|key| key.secret_der().to_vec())
        .map_err(|error| TlsError::Material(format!("there is no readable private key in the PEM text: {error}")))
}

fn key(der: &[u8]) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::try_from(der.to_vec())
        .map_err(|error| TlsError::Material(format!("the private key is not usable: {error}")))
}

/// Trust in these CAs and nothing else.
fn roots<'a>(cas: impl IntoIterator<Item = &'a [u8]>) -> Result<Arc<rustls::RootCertStore>, TlsError> {
    let mut store = rustls::RootCertStore::empty();
    for ca in cas {
        store
            .add(CertificateDer::from(ca.to_vec()))
            .map_err(|error| TlsError::Material(format!("the CA's certificate is not usable: {error}")))?;
    }
    if store.is_empty() {
        return Err(TlsError::Material("there is no CA certificate to trust".into()));
    }
    Ok(Arc::new(store))
}
