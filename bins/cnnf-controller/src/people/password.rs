//! Passwords as argon2id hashes. One takes 19 MiB and some 20 ms, so few are computed at once.

use std::sync::LazyLock;
use std::time::Duration;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use tokio::sync::Semaphore;
use tonic::Status;

/// Hashes that are computed at once.
const AT_ONCE: usize = 2;
/// How long one waits for its turn.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is computed when there is no such user, so that the answer takes as long.
static NOBODY: LazyLock<String> = LazyLock::new(|| hash_now("nobody has this password").unwrap_or_default());

/// Computes hashes, few at once.
pub(crate) struct Hashing(Semaphore);

impl Default for Hashing {
    fn default() -> Self {
        Self(Semaphore::new(AT_ONCE))
    }
}

/// A password's hash in the PHC form, with a salt of its own. Blocks.
pub(crate) fn hash_now(password: &str) -> Result<String, String> {
    // RFC 9106 and OWASP: argon2id with 19 MiB, 2 rounds, 1 lane, which are the library's defaults.
    let hash: PasswordHash = Argon2::default().hash_password(password.as_bytes()).map_err(|error| error.to_string())?;
    Ok(hash.to_string())
}

impl Hashing {
    /// A new password's hash.
    pub(crate) async fn hash(&self, password: String) -> Result<String, Status> {
        let _turn = self.turn().await?;
        let hash = tokio::task::spawn_blocking(move || hash_now(&password)).await;
        hash.map_err(|error| error.to_string())
            .and_then(|hash| hash)
            .map_err(|error| Status::internal(format!("the password could not be hashed: {error}")))
    }

    /// Whether a password is the one behind `hash`; `None` is nobody's, and takes as long.
    pub(crate) async fn fits(&self, password: String, hash: Option<String>) -> Result<bool, Status> {
        let _turn = self.turn().await?;
        let fits = tokio::task::spawn_blocking(move || {
            let known = hash.is_some();
            let hash = hash.unwrap_or_else(|| NOBODY.clone());
            let parsed = PasswordHash::new(&hash);
            known & parsed.is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
        });
        fits.await.map_err(|error| Status::internal(format!("the password could not be checked: {error}")))
    }

    async fn turn(&self) -> Result<tokio::sync::SemaphorePermit<'_>, Status> {
        match tokio::time::timeout(PATIENCE, self.0.acquire()).await {
            Ok(Ok(turn)) => Ok(turn),
            _ => Err(Status::resource_exhausted("too many sign in at once: try again in a moment")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_right_password_fits() {
        let hashing = Hashing::default();
        let hash = hashing.hash("correct horse".to_owned()).await.expect("hashed");
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert_ne!(hash, hashing.hash("correct horse".to_owned()).await.expect("hashed"), "a salt of its own");
        let fits = async |password: &str, hash: Option<&str>| {
            hashing.fits(password.to_owned(), hash.map(str::to_owned)).await.expect("checked")
        };
        assert!(fits("correct horse", Some(&hash)).await);
        assert!(!fits("correct horsf", Some(&hash)).await);
        assert!(!fits("", Some(&hash)).await);
        assert!(!fits("", Some("")).await, "who signs in elsewhere has no password");
        assert!(!fits("nobody has this password", None).await);
    }
}
