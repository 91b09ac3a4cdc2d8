//! The CA: who may speak to the controller, and as whom.

mod folder;
pub(crate) mod rotation;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use cnnf_core::id::HostId;
use cnnf_core::time::Timestamp;
use cnnf_rpc::tls::{PeerIdentity, ServerTls, Validity, certificates_from_pem, key_from_pem, pin_of, serial};
use cnnf_store::Certificate;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType, DnValue,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData as _, SanType, SerialNumber,
};
use x509_parser::asn1_rs::Tag;
use x509_parser::prelude::{FromDer as _, X509Certificate};

pub(crate) use folder::Folder;

/// The life of the CA and of what is made together with it.
const CA_LIFE: Duration = Duration::from_secs(3650 * 24 * 3600);
/// The server's certificate ends soon if no more than this is left.
const SERVER_LEFT: Duration = Duration::from_secs(30 * 24 * 3600);

/// Why there is no usable CA or certificate; says of what.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct PkiError(String);

impl PkiError {
    fn new(what: impl std::fmt::Display) -> Self {
        Self(what.to_string())
    }
}

impl From<rcgen::Error> for PkiError {
    fn from(error: rcgen::Error) -> Self {
        Self(format!("cannot make a certificate: {error}"))
    }
}

/// A certificate and its key, PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pair {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Pair {
    fn der(&self) -> Result<Vec<u8>, PkiError> {
        let all = certificates_from_pem(&self.certificate).map_err(PkiError::new)?;
        all.into_iter().next().ok_or_else(|| PkiError::new("there is no certificate"))
    }
}

/// A CA with its key.
pub(crate) struct Ca {
    issuer: Issuer<'static, KeyPair>,
    /// Its certificate, DER.
    pub(crate) der: Vec<u8>,
}

/// The certificate of a host.
pub(crate) struct HostCertificate {
    pub(crate) der: Vec<u8>,
    /// What is kept of it.
    pub(crate) kept: Certificate,
}

impl Ca {
    /// A new CA. Its name is its own, so that certificates tell which CA they are from.
    pub(crate) fn create() -> Result<Pair, PkiError> {
        let key = KeyPair::generate()?;
        let mut params = fresh(CA_LIFE)?;
        params.distinguished_name.push(DnType::CommonName, format!("cnnf CA {:08x}", rand::random::<u32>()));
        // One below it: by that a new CA is believed by those who know only the old one.
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(1));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key)?;
        Ok(Pair { certificate: certificate.pem(), key: key.serialize_pem() })
    }

    /// That of a pair, which may be made elsewhere.
    pub(crate) fn of(pair: &Pair) -> Result<Self, PkiError> {
        let der = pair.der()?;
        let key = KeyPair::from_pem(&pair.key)
            .map_err(|error| PkiError::new(format_args!("the CA's key is not usable: {error}")))?;
        let parsed = parse(&der)?;
        if parsed.public_key().raw != key.subject_public_key_info() {
            return Err(PkiError::new("the CA's key is not the one of its certificate"));
        }
        if !parsed.is_ca() {
            return Err(PkiError::new("the certificate is not one of a CA"));
        }
        let issuer = Issuer::from_ca_cert_der(&der.clone().into(), key)
            .map_err(|error| PkiError::new(format_args!("the CA's certificate is not usable: {error}")))?;
        Ok(Self { issuer, der })
    }

    /// A certificate for the controller itself under these DNS names and addresses.
    pub(crate) fn server(&self, names: &[String]) -> Result<Pair, PkiError> {
        let mut params = fresh(CA_LIFE)?;
        params.subject_alt_names = CertificateParams::new(names)?.subject_alt_names;
        params.distinguished_name.push(DnType::CommonName, "cnnf controller");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.pair(&params)
    }

    /// An administrator's certificate.
    pub(crate) fn admin(&self, name: &str) -> Result<Pair, PkiError> {
        self.pair(&client(&PeerIdentity::Admin(name.to_owned()), CA_LIFE)?)
    }

    fn pair(&self, params: &CertificateParams) -> Result<Pair, PkiError> {
        let key = KeyPair::generate()?;
        Ok(Pair { certificate: params.signed_by(&key, &self.issuer)?.pem(), key: key.serialize_pem() })
    }

    /// A certificate for a host's own key. Of the request only the key counts, once its signature has been checked.
    ///
    /// # Errors
    /// If the request cannot be parsed or its signature is wrong.
    pub(crate) fn defender(
        &self,
        host: &HostId,
        request: &[u8],
        life: Duration,
    ) -> Result<HostCertificate, rcgen::Error> {
        let request = CertificateSigningRequestParams::from_der(&request.to_vec().into())?;
        let params = client(&PeerIdentity::Defender(host.clone()), life)?;
        let der = params.signed_by(&request.public_key, &self.issuer)?.der().to_vec();
        let unreadable = |_| rcgen::Error::CouldNotParseCertificate;
        let (serial, validity) = (serial(&der).map_err(unreadable)?, Validity::of(&der).map_err(unreadable)?);
        let expires = Timestamp::of(validity.not_after);
        Ok(HostCertificate { der, kept: Certificate { serial, issuer: self.pin(), expires } })
    }

    /// The certificate by which `new` is believed by whoever believes this CA. PEM.
    fn vouch(&self, new: &Self) -> Result<String, PkiError> {
        let mut params = fresh(CA_LIFE)?;
        params.distinguished_name = name_of(&parse(&new.der)?)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Ok(params.signed_by(new.issuer.key(), &self.issuer)?.pem())
    }

    /// SHA-256 of its certificate, in lower-case hexadecimal.
    pub(crate) fn pin(&self) -> String {
        pin_text(&self.der)
    }
}

/// SHA-256 of a certificate, in lower-case hexadecimal.
fn pin_text(der: &[u8]) -> String {
    pin_of(der).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whom the controller believes, and by which CA it lets hosts in.
pub(crate) struct Trust {
    pub(crate) ca: Ca,
    /// The certificate of the CA that was there before, while its certificates still count. DER.
    pub(crate) other: Option<Vec<u8>>,
    /// What the server shows.
    pub(crate) server: ServerTls,
}

impl Trust {
    /// What a folder says.
    pub(crate) fn of(folder: &Folder) -> Result<Arc<Self>, PkiError> {
        let ca = Ca::of(&folder.ca)?;
        let certificate = folder.server.der()?;
        let key = key_from_pem(&folder.server.key).map_err(PkiError::new)?;
        warn_of_end(&certificate);
        let mut chain = vec![certificate, ca.der.clone()];
        let mut client_cas = vec![ca.der.clone()];
        let mut other = None;
        if let Some((pair, cross)) = &folder.other {
            let der = pair.der()?;
            chain.extend(certificates_from_pem(cross).map_err(PkiError::new)?);
            chain.push(der.clone());
            client_cas.push(der.clone());
            other = Some(der);
        }
        Ok(Arc::new(Self { ca, other, server: ServerTls { chain, key, client_cas } }))
    }

    /// The CAs that hosts are to believe; the first one signs. DER.
    pub(crate) fn cas(&self) -> Vec<Vec<u8>> {
        std::iter::once(&self.ca.der).chain(&self.other).cloned().collect()
    }
}

fn warn_of_end(server: &[u8]) {
    let Ok(validity) = Validity::of(server) else { return };
    let left = validity.not_after.duration_since(SystemTime::now()).unwrap_or_default();
    if left < SERVER_LEFT {
        tracing::warn!(days = left.as_secs() / 86_400, "the server's certificate ends soon: run 'rotate-ca'");
    }
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
    params.distinguished_name = DistinguishedName::new();
    let now = SystemTime::now();
    params.not_before = (now - Validity::BACKDATED).into();
    params.not_after = (now + life).into();
    // RFC 5280, 4.1.2.2: positive and at most 20 octets.
    let mut number: [u8; 16] = rand::random();
    number[0] = number[0] & 0x7f | 0x40;
    params.serial_number = Some(SerialNumber::from_slice(&number));
    Ok(params)
}

fn parse(der: &[u8]) -> Result<X509Certificate<'_>, PkiError> {
    let unreadable = |error| PkiError::new(format_args!("a certificate is not readable: {error}"));
    X509Certificate::from_der(der).map(|(_, certificate)| certificate).map_err(unreadable)
}

/// A certificate's subject, such that it is encoded the same again: names are compared by their bytes.
fn name_of(certificate: &X509Certificate<'_>) -> Result<DistinguishedName, PkiError> {
    let mut name = DistinguishedName::new();
    for attribute in certificate.subject().iter_attributes() {
        let unusual = || PkiError::new("the CA's name has a part that is no plain text");
        let oid: Vec<u64> = attribute.attr_type().iter().ok_or_else(unusual)?.collect();
        let text = attribute.as_str().map_err(|_| unusual())?;
        let value = match attribute.attr_value().tag() {
            Tag::PrintableString => DnValue::PrintableString(text.try_into()?),
            Tag::Ia5String => DnValue::Ia5String(text.try_into()?),
            Tag::Utf8String => DnValue::Utf8String(text.to_owned()),
            _ => return Err(unusual()),
        };
        name.push(DnType::from_oid(&oid), value);
    }
    Ok(name)
}

/// The DNS names and addresses of a server's certificate.
fn names_of(pair: &Pair) -> Result<Vec<String>, PkiError> {
    let der = pair.der()?;
    let params = parse(&der)?;
    let names = params.subject_alternative_name().ok().flatten();
    let names = names.map(|names| names.value.general_names.as_slice()).unwrap_or_default();
    let names = names.iter().filter_map(|name| match name {
        x509_parser::prelude::GeneralName::DNSName(name) => Some((*name).to_owned()),
        x509_parser::prelude::GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => <[u8; 4]>::try_from(*bytes).ok().map(|bytes| std::net::Ipv4Addr::from(bytes).to_string()),
            _ => <[u8; 16]>::try_from(*bytes).ok().map(|bytes| std::net::Ipv6Addr::from(bytes).to_string()),
        },
        _ => None,
    });
    Ok(names.collect())
}

#[cfg(test)]
mod tests;
