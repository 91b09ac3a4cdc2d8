//! What an ID token must be before it is believed (OpenID Connect Core 1.0, section 3.1.3.7).

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::jwk::{Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde::Deserialize;
use serde_json::{Map, Value};

/// Signatures that only the provider can make. A provider that signs with the client's secret (HS256) is not believed.
const SIGNATURES: [Algorithm; 9] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];
/// How much clocks may differ, in seconds.
const LEEWAY: u64 = 60;

/// What the token must be made for.
pub(super) struct Expected<'a> {
    pub(super) issuer: &'a str,
    pub(super) client_id: &'a str,
    pub(super) nonce: &'a str,
}

/// Why a token is not believed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum TokenError {
    /// Perhaps the provider has new keys.
    #[error("no key of the provider fits its signature")]
    NoKey,
    /// Anything else.
    #[error("{0}")]
    Wrong(String),
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: Audience,
    azp: Option<String>,
    iat: f64,
    nonce: Option<String>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

/// The subject and what else a token says of its user.
///
/// # Errors
/// It is not signed by one of `keys`, not for this sign-in, or not any more.
pub(super) fn check(
    token: &str,
    keys: &[Jwk],
    expected: &Expected<'_>,
) -> Result<(String, Map<String, Value>), TokenError> {
    let wrong = |why: String| TokenError::Wrong(why);
    let header = decode_header(token).map_err(|error| wrong(format!("it is no token: {error}")))?;
    if !SIGNATURES.contains(&header.alg) {
        return Err(wrong(format!("it is signed with {:?}, which is not believed", header.alg)));
    }
    let mut validation = Validation::new(header.alg);
    validation.leeway = LEEWAY;
    validation.validate_nbf = true;
    validation.set_issuer(&[expected.issuer]);
    validation.set_audience(&[expected.client_id]);
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    let fits = |key: &&Jwk| {
        let named = header.kid.is_none() || key.common.key_id == header.kid;
        let signs = matches!(key.common.public_key_use, None | Some(PublicKeyUse::Signature));
        let as_said = key.common.key_algorithm.is_none_or(|alg| alg.to_string() == format!("{:?}", header.alg));
        named && signs && as_said
    };
    for key in keys.iter().filter(fits) {
        let Ok(key) = DecodingKey::from_jwk(key) else { continue };
        match decode::<Claims>(token, &key, &validation) {
            Ok(data) => return believe(data.claims, expected),
            Err(error) => match error.kind() {
                // Of another kind, or of another signature: the next one may fit.
                ErrorKind::InvalidSignature | ErrorKind::InvalidAlgorithm | ErrorKind::InvalidKeyFormat => {}
                ErrorKind::ExpiredSignature => return Err(wrong("it has expired: is a clock wrong?".to_owned())),
                ErrorKind::ImmatureSignature => return Err(wrong("it is not valid yet: is a clock wrong?".to_owned())),
                ErrorKind::InvalidAudience => return Err(wrong("it is for another client".to_owned())),
                ErrorKind::InvalidIssuer => return Err(wrong("it is from another issuer".to_owned())),
                _ => return Err(wrong(error.to_string())),
            },
        }
    }
    Err(TokenError::NoKey)
}

/// What the library does not check.
fn believe(claims: Claims, expected: &Expected<'_>) -> Result<(String, Map<String, Value>), TokenError> {
    let wrong = |why: &str| Err(TokenError::Wrong(why.to_owned()));
    let Claims { iss, sub, aud, azp, iat, nonce, rest } = claims;
    if iss != expected.issuer {
        return wrong("it is from another issuer");
    }
    if nonce.as_deref() != Some(expected.nonce) {
        return wrong("it is for another sign-in (nonce)");
    }
    let several = matches!(&aud, Audience::Many(all) if all.len() > 1);
    let meant = match &aud {
        Audience::One(one) => one == expected.client_id,
        Audience::Many(all) => all.iter().any(|one| one == expected.client_id),
    };
    // With several audiences the token says for whom it was made, and so it does wherever it says it at all.
    if !meant || azp.as_deref().map_or(several, |azp| azp != expected.client_id) {
        return wrong("it is for another client");
    }
    if iat > (jsonwebtoken::get_current_timestamp() + LEEWAY) as f64 {
        return wrong("it was made in the future: is a clock wrong?");
    }
    // The standard's bound.
    if sub.is_empty() || sub.len() > 255 {
        return wrong("it names nobody, or with more than 255 letters");
    }
    Ok((sub, rest))
}

#[cfg(test)]
#[path = "token_tests.rs"]
mod tests;
