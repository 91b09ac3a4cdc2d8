//! The CA: who may speak to the controller, and as whom.

use std::path::Path;
use std::time::{Duration, SystemTime};

use cnnf_core::id::HostId;
use cnnf_rpc::tls::{PeerIdentity, ServerTls, certificates_from_pem, key_from_pem, serial};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PublicKeyData, SanType, SerialNumber,
};

use crate::failure::Failure;

const DAY: Duration = Duration::from_secs(24 * 3600);
/// The life of the CA and of what is made together with it.
const CA_LIFE: Duration = Duration::from_secs(3650 * 24 * 3600);
/// The life of a host's certificate.
const DEFENDER_LIFE: Duration = Duration::from_secs(7 * 24 * 3600);
/// Clocks may go wrong by as much.
const SKEW: Duration = Duration::from_secs(2 * 3600);

const CA_CERTIFICATE: &str = "ca.crt";
const CA_KEY: &str = "ca.key";
const SERVER_CERTIFICATE: &str = "server.crt";
const SERVER_KEY: &str = "server.key";

/// A new certificate and its key, PEM.
pub(crate) struct Pair {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

/// The certificate of a new host.
pub(crate) struct HostCertificate {
    /// DER.
    pub(crate) der: Vec<u8>,
    /// In lower-case hexadecimal.
    pub(crate) serial: String,
}

/// The CA with its key.
pub(crate) struct Ca {
    issuer: Issuer<'static, KeyPair>,
    /// Its certificate, DER.
    pub(crate) der: Vec<u8>,
}

impl Ca {
    /// A new CA, with its files' contents.
    pub(crate) fn create() -> Result<(Self, Pair), rcgen::Error> {
        let key = KeyPair::generate()?;
        let mut params = fresh(CA_LIFE)?;
        params.distinguished_name.push(DnType::CommonName, "cnnf CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key)?;
        let pair = Pair { certificate: certificate.pem(), key: key.serialize_pem() };
        Ok((Self { issuer: Issuer::new(params, key), der: certificate.der().to_vec() }, pair))
    }

    /// The CA that `init` has made in `folder`.
    pub(crate) fn load(folder: &Path) -> Result<Self, Failure> {
        let bad = |error: &dyn std::fmt::Display| {
            Failure::refused(format_args!("the CA in {} is not usable: {error}: restore a backup", folder.display()))
        };
        let der = first(certificates_from_pem(&read(folder, CA_CERTIFICATE)?).map_err(|error| bad(&error))?);
        let key = KeyPair::from_pem(&read(folder, CA_KEY)?).map_err(|error| bad(&error))?;
        let issuer = Issuer::from_ca_cert_der(&der.clone().into(), key).map_err(|error| bad(&error))?;
        Ok(Self { issuer, der })
    }

    /// A certificate for the controller itself under these DNS names and addresses.
    pub(crate) fn server(&self, names: &[String]) -> Result<Pair, rcgen::Error> {
        let mut params = fresh(CA_LIFE)?;
        params.subject_alt_names = CertificateParams::new(names)?.subject_alt_names;
        params.distinguished_name.push(DnType::CommonName, "cnnf controller");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.pair(params)
    }

    /// An administrator's certificate.
    pub(crate) fn admin(&self, name: &str) -> Result<Pair, rcgen::Error> {
        self.pair(client(&PeerIdentity::Admin(name.to_owned()), CA_LIFE)?)
    }

    fn pair(&self, params: CertificateParams) -> Result<Pair, rcgen::Error> {
        let key = KeyPair::generate()?;
        Ok(Pair { certificate: params.signed_by(&key, &self.issuer)?.pem(), key: key.serialize_pem() })
    }

    /// A certificate for a host's own key. Of the request only the key counts, once its signature has been checked.
    ///
    /// # Errors
    /// If the request cannot be parsed or its signature is wrong.
    pub(crate) fn defender(&self, host: &HostId, request: &[u8]) -> Result<HostCertificate, rcgen::Error> {
        let request = CertificateSigningRequestParams::from_der(&request.to_vec().into())?;
        let params = client(&PeerIdentity::Defender(host.clone()), DEFENDER_LIFE)?;
        let der = sign(&params, &request.public_key, &self.issuer)?;
        let serial = serial(&der).map_err(|_| rcgen::Error::CouldNotParseCertificate)?;
        Ok(HostCertificate { der, serial })
    }
}

fn sign(
    params: &CertificateParams,
    key: &impl PublicKeyData,
    by: &Issuer<'static, KeyPair>,
) -> Result<Vec<u8>, rcgen::Error> {
    Ok(params.signed_by(key, by)?.der().to_vec())
}

fn client(identity: &PeerIdentity, life: Duration) -> Result<CertificateParams, rcgen::Error> {
    let mut params = fresh(life)?;
    params.distinguished_name.push(DnType::CommonName, identity.to_string());
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    if let Some(uri) = identity.to_uri() {
        params.subject_alt_names = vec![SanType::URI(uri.try_into()?)];
    }
    Ok(params)
}

fn fresh(life: Duration) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    let now = SystemTime::now();
    params.not_before = (now - SKEW).into();
    params.not_after = (now + life).into();
    // RFC 5280, 4.1.2.2: positive and at most 20 octets.
    let mut number: [u8; 16] = rand::random();
    number[0] = number[0] & 0x7f | 0x40;
    params.serial_number = Some(SerialNumber::from_slice(&number));
    Ok(params)
}

/// What `init` writes of the CA and the server, by file name.
pub(crate) fn files(ca: Pair, server: Pair) -> [(&'static str, String); 4] {
    [
        (CA_CERTIFICATE, ca.certificate),
        (CA_KEY, ca.key),
        (SERVER_CERTIFICATE, server.certificate),
        (SERVER_KEY, server.key),
    ]
}

/// What the server shows and whom it believes.
pub(crate) fn server_tls(folder: &Path, ca: &Ca) -> Result<ServerTls, Failure> {
    let bad = |error: &dyn std::fmt::Display| {
        Failure::refused(format_args!("the server's certificate in {} is not usable: {error}", folder.display()))
    };
    let certificate = first(certificates_from_pem(&read(folder, SERVER_CERTIFICATE)?).map_err(|error| bad(&error))?);
    if let Ok((_, parsed)) = x509_parser::parse_x509_certificate(&certificate) {
        let left = parsed.validity().time_to_expiration().map_or(Duration::ZERO, |left| left.unsigned_abs());
        if left < 30 * DAY {
            tracing::warn!(days = left.as_secs() / DAY.as_secs(), "the server's certificate ends soon");
        }
    }
    let key = key_from_pem(&read(folder, SERVER_KEY)?).map_err(|error| bad(&error))?;
    Ok(ServerTls { chain: vec![certificate, ca.der.clone()], key, client_cas: vec![ca.der.clone()] })
}

fn first(certificates: Vec<Vec<u8>>) -> Vec<u8> {
    certificates.into_iter().next().unwrap_or_default()
}

fn read(folder: &Path, name: &str) -> Result<String, Failure> {
    let path = folder.join(name);
    std::fs::read_to_string(&path).map_err(|error| {
        Failure::refused(format_args!("cannot read {}: {error}: run 'cnnf-controller init' first", path.display()))
    })
}
