//! What binds a sign-in's beginning and end to one browser: a secret in its cookie, from which all else follows. So nothing of sign-ins under
//! way is kept here, which somebody could fill up, and a restart ends none of them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use crate::people::new_secret;

/// Bytes of a path to come back to at most.
const MAX_PATH: usize = 1024;

/// A sign-in under way.
pub(super) struct Flow {
    secret: String,
    /// The page to come back to: a path of ours.
    pub(super) back: String,
}

impl Flow {
    /// A new one. What is no path of ours becomes `/`.
    pub(super) fn begin(back: &str) -> Self {
        Self { secret: new_secret(), back: ours(back).unwrap_or("/").to_owned() }
    }

    /// What the cookie is to say.
    pub(super) fn cookie(&self) -> String {
        format!("{}.{}", self.secret, URL_SAFE_NO_PAD.encode(&self.back))
    }

    /// As the cookie says it; `None` if that is none of ours.
    pub(super) fn resume(cookie: &str) -> Option<Self> {
        let (secret, back) = cookie.split_once('.')?;
        let back = String::from_utf8(URL_SAFE_NO_PAD.decode(back).ok()?).ok()?;
        // Weaker than what `begin` makes would not be ours.
        (secret.len() >= 43 && ours(&back).is_some()).then(|| Self { secret: secret.to_owned(), back })
    }

    /// `state`: says that the answer is for this browser (RFC 6749, section 10.12).
    pub(super) fn state(&self) -> String {
        self.derived("state")
    }

    /// `nonce`: says that the token is for this sign-in (OpenID Connect Core, section 3.1.2.1).
    pub(super) fn nonce(&self) -> String {
        self.derived("nonce")
    }

    /// `code_verifier`: proves that who has the code has begun the sign-in (RFC 7636, section 4.1).
    pub(super) fn verifier(&self) -> String {
        self.derived("verifier")
    }

    /// `code_challenge` with the method S256.
    pub(super) fn challenge(&self) -> String {
        URL_SAFE_NO_PAD.encode(Sha256::digest(self.verifier()))
    }

    /// None of them tells the secret or another one.
    fn derived(&self, what: &str) -> String {
        URL_SAFE_NO_PAD.encode(Sha256::digest(format!("cnnf oidc {what} {}", self.secret)))
    }
}

/// A path on this very host, as browsers read it: they take `\` for `/`, and `//x` leads to the host x.
fn ours(path: &str) -> Option<&str> {
    let plain = path.bytes().all(|b| b.is_ascii_graphic() && b != b'\\');
    (path.starts_with('/') && !path.starts_with("//") && plain && path.len() <= MAX_PATH).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_follows_from_the_cookie_and_differs() {
        let flow = Flow::begin("/rules?q=x");
        let again = Flow::resume(&flow.cookie()).expect("ours");
        assert_eq!((again.state(), again.back.as_str()), (flow.state(), "/rules?q=x"));
        let all = [flow.secret.clone(), flow.state(), flow.nonce(), flow.verifier(), flow.challenge()];
        assert_eq!(all.iter().collect::<std::collections::BTreeSet<_>>().len(), all.len());
        assert!(all.iter().all(|one| one.len() == 43), "as RFC 7636 wants a verifier: 43 to 128");
        assert_ne!(Flow::begin("/").state(), Flow::begin("/").state());
    }

    #[test]
    fn nobody_is_sent_elsewhere() {
        for bad in
            ["", "rules", "//evil.example", "/\\evil.example", "https://evil.example", "/a\nb", &"/".repeat(2000)]
        {
            assert_eq!(Flow::begin(bad).back, "/", "{bad:?}");
            let cookie = format!("{}.{}", new_secret(), URL_SAFE_NO_PAD.encode(bad));
            assert!(Flow::resume(&cookie).is_none(), "{bad:?}");
        }
        for bad in ["", ".", "short.Lw", "no dot at all"] {
            assert!(Flow::resume(bad).is_none(), "{bad:?}");
        }
    }
}
