//! Who a client is, by its certificate.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, SystemTime};

use cnnf_core::id::HostId;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// Who is at the other end. Stands in the certificate as its one URI subject alternative name, `cnnf://defender/HOST-ID` or
/// `cnnf://admin/NAME`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PeerIdentity {
    /// A defender of this host.
    Defender(HostId),
    /// A person or program with an administrator's certificate.
    Admin(String),
    /// No certificate was given.
    Anonymous,
}

/// Why a certificate says nobody.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// It cannot be parsed.
    #[error("the certificate is not readable: {0}")]
    Unreadable(String),
    /// It has no identity, or several.
    #[error("the certificate carries {0} identities instead of one")]
    Count(usize),
    /// Its identity is none of ours.
    #[error("'{0}' is no identity: cnnf://defender/HOST-ID or cnnf://admin/NAME")]
    Uri(String),
}

const DEFENDER: &str = "cnnf://defender/";
const ADMIN: &str = "cnnf://admin/";
const MAX_NAME: usize = 128;

impl PeerIdentity {
    /// Reads the identity from a certificate in DER whose signature has been verified.
    ///
    /// # Errors
    /// If it has none, several, or one of another kind.
    pub fn from_certificate(der: &[u8]) -> Result<Self, IdentityError> {
        let certificate = parse(der)?;
        let names = certificate
            .subject_alternative_name()
            .map_err(|error| IdentityError::Unreadable(error.to_string()))?
            .map(|extension| extension.value.general_names.as_slice())
            .unwrap_or_default();
        let uris: Vec<&str> = names
            .iter()
            .filter_map(|name| match name {
                GeneralName::URI(uri) => Some(*uri),
                _ => None,
            })
            .collect();
        match uris.as_slice() {
            [uri] => Self::from_uri(uri),
            _ => Err(IdentityError::Count(uris.len())),
        }
    }

    /// Reads the URI form.
    ///
    /// # Errors
    /// If it is none of ours, or its name has other characters than letters, digits, `.`, `_` and `-`, or more than 128.
    pub fn from_uri(uri: &str) -> Result<Self, IdentityError> {
        let bad = || IdentityError::Uri(uri.escape_debug().take(200).collect());
        let (make, name): (fn(&str) -> Self, _) = if let Some(id) = uri.strip_prefix(DEFENDER) {
            (|id| Self::Defender(HostId::new(id)), id)
        } else if let Some(name) = uri.strip_prefix(ADMIN) {
            (|name| Self::Admin(name.to_owned()), name)
        } else {
            return Err(bad());
        };
        let usable = (1..=MAX_NAME).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
        usable.then(|| make(name)).ok_or_else(bad)
    }

    /// The URI form for a certificate; `None` for [`PeerIdentity::Anonymous`].
    #[must_use]
    pub fn to_uri(&self) -> Option<String> {
        match self {
            Self::Defender(id) => Some(format!("{DEFENDER}{id}")),
            Self::Admin(name) => Some(format!("{ADMIN}{name}")),
            Self::Anonymous => None,
        }
    }
}

impl fmt::Display for PeerIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Defender(id) => write!(f, "defender {id}"),
            Self::Admin(name) => write!(f, "admin {name}"),
            Self::Anonymous => f.write_str("anonymous"),
        }
    }
}

/// What is known of a connection's other end. A handler finds it in `request.extensions()`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerConnection {
    /// Where it comes from.
    pub address: SocketAddr,
    /// Who it is.
    pub identity: PeerIdentity,
    /// Its certificate's serial number in lower-case hexadecimal, as [`serial`] gives it; `None` without a certificate.
    pub serial: Option<String>,
}

/// The serial number of a certificate in DER, in lower-case hexadecimal without separators.
///
/// # Errors
/// If the certificate cannot be parsed.
pub fn serial(der: &[u8]) -> Result<String, IdentityError> {
    Ok(parse(der)?.raw_serial().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// From when to when a certificate holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// From then on; [`Validity::BACKDATED`] before it was made, if it is one of ours.
    pub not_before: SystemTime,
    /// Until then.
    pub not_after: SystemTime,
}

impl Validity {
    /// How long before it is made a certificate begins to hold: clocks may go wrong by an hour.
    pub const BACKDATED: Duration = Duration::from_secs(2 * 3600);

    /// That of a certificate in DER.
    ///
    /// # Errors
    /// If the certificate cannot be parsed.
    pub fn of(der: &[u8]) -> Result<Self, IdentityError> {
        let validity = parse(der)?.validity().clone();
        let time = |at: i64| {
            let since = Duration::from_secs(at.unsigned_abs());
            if at < 0 { SystemTime::UNIX_EPOCH - since } else { SystemTime::UNIX_EPOCH + since }
        };
        Ok(Self { not_before: time(validity.not_before.timestamp()), not_after: time(validity.not_after.timestamp()) })
    }

    /// When half of its life is over: the time to renew it.
    #[must_use]
    pub fn half_life(&self) -> SystemTime {
        let made = self.not_before + Self::BACKDATED;
        made + self.not_after.duration_since(made).unwrap_or_default() / 2
    }
}

/// Whether a certificate names this CA as its issuer. Both DER. Nothing is said about the signature.
///
/// # Errors
/// If one of them cannot be parsed.
pub fn is_issued_by(der: &[u8], ca: &[u8]) -> Result<bool, IdentityError> {
    Ok(parse(der)?.issuer().as_raw() == parse(ca)?.subject().as_raw())
}

/// The names and addresses that a server's certificate in DER is for, in its order, as they stand in HOST:PORT: addresses of IPv6 in
/// brackets.
///
/// # Errors
/// If the certificate cannot be parsed.
pub fn server_names(der: &[u8]) -> Result<Vec<String>, IdentityError> {
    let certificate = parse(der)?;
    let names = certificate
        .subject_alternative_name()
        .map_err(|error| IdentityError::Unreadable(error.to_string()))?
        .map(|extension| extension.value.general_names.as_slice())
        .unwrap_or_default();
    let text = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => <[u8; 4]>::try_from(*bytes).ok().map(|bytes| Ipv4Addr::from(bytes).to_string()),
            _ => <[u8; 16]>::try_from(*bytes).ok().map(|bytes| format!("[{}]", Ipv6Addr::from(bytes))),
        },
        _ => None,
    };
    Ok(names.iter().filter_map(text).collect())
}

fn parse(der: &[u8]) -> Result<X509Certificate<'_>, IdentityError> {
    match X509Certificate::from_der(der) {
        Ok((_, certificate)) => Ok(certificate),
        Err(error) => Err(IdentityError::Unreadable(error.to_string())),
    }
}
