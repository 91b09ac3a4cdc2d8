//! Enrolment tokens: a secret that the controller knows, and a pin by which the host knows the controller.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

/// SHA-256 of a CA certificate's DER form.
pub type Pin = [u8; 32];

/// The pin of a CA certificate in DER.
#[must_use]
pub fn pin_of(ca_der: &[u8]) -> Pin {
    Sha256::digest(ca_der).into()
}

/// What an administrator gives to a new host. Text form: `cnnf1.SECRET.PIN`, both in unpadded base64url (RFC 4648, section 5).
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// 32 random bytes that the controller has drawn.
    pub secret: [u8; 32],
    /// The CA that signed the controller's certificate.
    pub pin: Pin,
}

/// Why a text is no token. Never repeats the text: it may be a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It has another form.
    #[error("this is no token: a token reads cnnf1.SECRET.PIN and comes from 'cnnfctl defenders token create'")]
    Form,
    /// A part is cut off or damaged.
    #[error("the token's {0} is damaged: copy the whole token, without spaces or line breaks")]
    Part(&'static str),
    /// It is of a newer kind.
    #[error("the token is of a kind this version does not know: update this program")]
    Version,
}

impl Token {
    /// The secret as text: what `EnrollRequest.token` carries.
    #[must_use]
    pub fn secret_text(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.secret)
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cnnf1.{}.{}", self.secret_text(), URL_SAFE_NO_PAD.encode(self.pin))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("pin", &URL_SAFE_NO_PAD.encode(self.pin)).finish_non_exhaustive()
    }
}

impl FromStr for Token {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        let mut parts = text.trim().split('.');
        let (Some(version), Some(secret), Some(pin), None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(TokenError::Form);
        };
        match version.strip_prefix("cnnf") {
            Some("1") => {}
            Some(other) if !other.is_empty() && other.bytes().all(|b| b.is_ascii_digit()) => {
                return Err(TokenError::Version);
            }
            _ => return Err(TokenError::Form),
        }
        Ok(Self { secret: part(secret, "secret")?, pin: part(pin, "pin")? })
    }
}

fn part(text: &str, name: &'static str) -> Result<[u8; 32], TokenError> {
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| TokenError::Part(name))?;
    bytes.try_into().map_err(|_| TokenError::Part(name))
}
