//! The side of defenders and of cnnfctl.

use std::sync::{Arc, Mutex, PoisonError};

use hyper_util::rt::TokioIo;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::{CertificateError, DigitallySignedStruct, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint, Uri};

use super::token::{Pin, pin_of};
use super::{TlsError, key, provider, roots};
use crate::limits;

/// Whom a client believes and what it shows. All DER.
#[derive(Clone)]
pub struct ClientTls {
    /// The CA that signs the controller; others of a change of the CA may follow.
    pub cas: Vec<Vec<u8>>,
    /// The client's certificate and private key.
    pub identity: Option<(Vec<u8>, Vec<u8>)>,
}

/// A connection to a controller that was known by its CA's pin only.
#[derive(Debug)]
pub struct Pinned {
    /// The connection.
    pub channel: Channel,
    /// The CA's certificate in DER: its pin is the one that was asked for.
    pub ca: Vec<u8>,
}

/// Connects to `address` ("host:port"). The server's certificate must be signed by a known CA and be for that host name or address.
///
/// The channel connects again by itself when the connection breaks, and asks the idle server every 10 s whether it is still there.
///
/// # Errors
/// If there is no connection now; says why.
pub async fn connect(address: &str, tls: &ClientTls) -> Result<Channel, TlsError> {
    let builder = client_builder()?.with_root_certificates(roots(tls.cas.iter().map(Vec::as_slice))?);
    let config = match &tls.identity {
        None => builder.with_no_client_auth(),
        Some((certificate, private)) => builder
            .with_client_auth_cert(vec![CertificateDer::from(certificate.clone())], key(private)?)
            .map_err(|error| TlsError::Material(format!("the client's certificate or key is not usable: {error}")))?,
    };
    Dialer::new(address, config)?.channel().await
}

/// Connects to `address` for enrolment, without a certificate. The server must show a CA certificate whose SHA-256 is `pin` and that has
/// signed its own, which must be for that host name or address.
///
/// # Errors
/// [`TlsError::WrongPin`] if the server's CA is another one; else as [`connect`].
pub async fn connect_pinned(address: &str, pin: Pin) -> Result<Pinned, TlsError> {
    let provider = provider();
    let verifier = Arc::new(PinVerifier { pin, provider: provider.clone(), seen: Mutex::new(Seen::default()) });
    let config = client_builder()?.dangerous().with_custom_certificate_verifier(verifier.clone()).with_no_client_auth();
    let result = Dialer::new(address, config)?.channel().await;
    let seen = std::mem::take(&mut *verifier.seen.lock().unwrap_or_else(PoisonError::into_inner));
    match (result, seen.ca) {
        (Ok(channel), Some(ca)) => Ok(Pinned { channel, ca }),
        (Ok(_), None) => Err(TlsError::WrongPin(address.to_owned())),
        (Err(_), _) if seen.wrong_pin => Err(TlsError::WrongPin(address.to_owned())),
        (Err(error), _) => Err(error),
    }
}

fn client_builder() -> Result<rustls::ConfigBuilder<rustls::ClientConfig, rustls::WantsVerifier>, TlsError> {
    rustls::ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| TlsError::Material(format!("TLS 1.3 is not usable: {error}")))
}

/// Makes connections to one place.
struct Dialer {
    address: String,
    name: ServerName<'static>,
    tls: TlsConnector,
}

impl Dialer {
    fn new(address: &str, mut config: rustls::ClientConfig) -> Result<Arc<Self>, TlsError> {
        config.alpn_protocols = vec![b"h2".to_vec()];
        config.resumption = Resumption::disabled();
        let bad = || TlsError::Address(address.escape_debug().take(200).collect());
        let (host, port) = address.rsplit_once(':').ok_or_else(bad)?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        // A colon without brackets is an IPv6 address whose port nobody can tell.
        if port.parse::<u16>().is_err() || (bare == host && host.contains(':')) {
            return Err(bad());
        }
        let name = ServerName::try_from(bare.to_owned()).map_err(|_| bad())?;
        Ok(Arc::new(Self { address: address.to_owned(), name, tls: TlsConnector::from(Arc::new(config)) }))
    }

    async fn dial(&self) -> Result<BufReader<TlsStream<TcpStream>>, TlsError> {
        let address = self.address.clone();
        let slow =
            |after: std::time::Duration| TlsError::Timeout { address: address.clone(), seconds: after.as_secs() };
        let stream = timeout(limits::CONNECT, TcpStream::connect(&self.address))
            .await
            .map_err(|_| slow(limits::CONNECT))?
            .and_then(|stream| stream.set_nodelay(true).map(|()| stream))
            .map_err(|source| TlsError::Unreachable { address: address.clone(), source })?;
        let secure = async {
            let mut stream = BufReader::new(self.tls.connect(self.name.clone(), stream).await?);
            // With TLS 1.3 this side is done before the server has judged its certificate. An HTTP/2 server speaks first (RFC 9113,
            // section 3.4), so what comes now is either its settings or its refusal.
            match stream.fill_buf().await {
                Ok([]) => Err(std::io::Error::other("it closes the connection: it may not accept this certificate")),
                Ok(_) => Ok(stream),
                Err(error) => Err(error),
            }
        };
        timeout(limits::HANDSHAKE, secure)
            .await
            .map_err(|_| slow(limits::HANDSHAKE))?
            .map_err(|source| TlsError::Handshake { address: address.clone(), source })
    }

    async fn channel(self: Arc<Self>) -> Result<Channel, TlsError> {
        // The first connection is made here, where its error still has a type; later ones by the channel.
        let first = Arc::new(Mutex::new(Some(self.dial().await?)));
        let dialer = self.clone();
        let connector = tower::service_fn(move |_: Uri| {
            let (first, dialer) = (first.clone(), dialer.clone());
            async move {
                let made = first.lock().unwrap_or_else(PoisonError::into_inner).take();
                match made {
                    Some(stream) => Ok::<_, TlsError>(TokioIo::new(stream)),
                    None => Ok(TokioIo::new(dialer.dial().await?)),
                }
            }
        });
        let http = |source| TlsError::Http { address: self.address.clone(), source };
        // "http" because the connector brings the TLS; tonic refuses "https" without its own.
        Endpoint::from_shared(format!("http://{}", self.address))
            .map_err(http)?
            .http2_keep_alive_interval(limits::KEEP_ALIVE)
            .keep_alive_timeout(limits::KEEP_ALIVE_ANSWER)
            .keep_alive_while_idle(true)
            .connect_with_connector(connector)
            .await
            .map_err(http)
    }
}

/// Believes the CA with this pin.
#[derive(Debug)]
struct PinVerifier {
    pin: Pin,
    provider: Arc<CryptoProvider>,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    ca: Option<Vec<u8>>,
    wrong_pin: bool,
}

impl ServerCertVerifier for PinVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(ca) = intermediates.iter().find(|der| pin_of(der) == self.pin) else {
            self.seen.lock().unwrap_or_else(PoisonError::into_inner).wrong_pin = true;
            return Err(CertificateError::ApplicationVerificationFailure.into());
        };
        let unusable = |_| rustls::Error::from(CertificateError::BadEncoding);
        let verifier =
            WebPkiServerVerifier::builder_with_provider(roots([ca.as_ref()]).map_err(unusable)?, self.provider.clone())
                .build()
                .map_err(|_| rustls::Error::from(CertificateError::BadEncoding))?;
        let verified = verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)?;
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).ca = Some(ca.to_vec());
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
