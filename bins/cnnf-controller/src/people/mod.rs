//! Users, their sessions, and tokens for programs: what is asked at every call, in memory.
//!
//! **Invariant**: of passwords, cookies and tokens only hashes are held or stored.

mod attempts;
mod password;
mod refusals;

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cnnf_core::access::Role;
use cnnf_core::time::Timestamp;
use cnnf_store::{ApiTokenRow, SessionRow, Store, StoreError, UserRow};
use sha2::{Digest as _, Sha256};

pub(crate) use attempts::Attempts;
pub(crate) use password::{Hashing, hash_now};

use refusals::Refusals;

use crate::clock::now;

/// The session's cookie: of this host only, over TLS only, on every path.
pub(crate) const COOKIE: &str = "__Host-cnnf";
/// How long a session lasts that nobody uses.
pub(crate) const IDLE: Duration = Duration::from_secs(2 * 3600);
/// How long a session lasts at most.
pub(crate) const LIFE: Duration = Duration::from_secs(24 * 3600);
/// Sessions of one user at most; the one that was not used for longest ends.
pub(crate) const MAX_SESSIONS: usize = 32;

/// What is known of people and programs.
pub(crate) struct People {
    inner: Mutex<Known>,
    pub(crate) hashing: Hashing,
    pub(crate) attempts: Mutex<Attempts>,
    refusals: Mutex<Refusals>,
}

#[derive(Default)]
pub(crate) struct Known {
    /// By name.
    pub(crate) users: BTreeMap<String, UserRow>,
    /// Users by what a provider knows them by: issuer and subject.
    pub(crate) identities: HashMap<(String, String), String>,
    /// By the hash of what the cookie says.
    pub(crate) sessions: HashMap<String, SessionRow>,
    /// By the hash of the secret.
    pub(crate) tokens: HashMap<String, ApiTokenRow>,
}

impl Known {
    /// Whether somebody could still administer the controller from the page without this user.
    pub(crate) fn has_other_admin(&self, name: &str) -> bool {
        self.users.values().any(|user| user.name != name && user.role == Role::Admin && !user.disabled)
    }

    /// The user of a session that has not ended.
    fn user_of(&self, secret_hash: &str, at: Timestamp) -> Option<&UserRow> {
        let session = self.sessions.get(secret_hash).filter(|session| at < ends(session))?;
        self.users.get(&session.user).filter(|user| !user.disabled)
    }

    /// Whether a user signs in elsewhere, and by which provider.
    pub(crate) fn issuer_of(&self, user: &str) -> Option<&str> {
        self.identities.iter().find(|(_, name)| *name == user).map(|((issuer, _), _)| issuer.as_str())
    }

    /// Ends a user's sessions but the one of this hash.
    pub(crate) fn end_sessions(&mut self, user: &str, but: Option<&str>) {
        self.sessions.retain(|hash, session| session.user != user || but == Some(hash));
    }
}

impl People {
    /// With everything that the store has.
    pub(crate) fn restore(store: &Store) -> Result<Self, StoreError> {
        let known = Known {
            users: store.users()?.into_iter().map(|user| (user.name.clone(), user)).collect(),
            identities: store.identities()?.into_iter().map(|row| ((row.issuer, row.subject), row.user)).collect(),
            sessions: store.sessions()?.into_iter().map(|s| (s.secret_hash.clone(), s)).collect(),
            tokens: store.api_tokens()?.into_iter().map(|token| (token.secret_hash.clone(), token)).collect(),
        };
        Ok(Self {
            inner: Mutex::new(known),
            hashing: Hashing::default(),
            attempts: Mutex::default(),
            refusals: Mutex::default(),
        })
    }

    /// What is known. Never held over an await.
    pub(crate) fn known(&self) -> MutexGuard<'_, Known> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whose token this is, and what it may do; notes its use.
    pub(crate) fn token(&self, secret_hash: &str) -> Option<(String, Role)> {
        let at = now();
        let mut known = self.known();
        let token = known.tokens.get_mut(secret_hash).filter(|token| at < token.expires)?;
        token.last_used = Some(at);
        Some((token.name.clone(), token.role))
    }

    /// Whose session this is, what they may do, and whether they must change their password first; notes its use.
    pub(crate) fn session(&self, secret_hash: &str) -> Option<(String, Role, bool)> {
        let at = now();
        let mut known = self.known();
        let user = known.user_of(secret_hash, at)?;
        let answer = (user.name.clone(), user.role, user.must_change);
        known.sessions.get_mut(secret_hash)?.last_used = at;
        Some(answer)
    }

    /// Whether a session or token has not ended. To look is no use of it.
    pub(crate) fn counts(&self, secret_hash: &str) -> bool {
        let (at, known) = (now(), self.known());
        known.user_of(secret_hash, at).is_some()
            || known.tokens.get(secret_hash).is_some_and(|token| at < token.expires)
    }

    /// Records that somebody who called themselves `name` was not let in.
    pub(crate) fn refused(&self, store: &Store, kind: &'static str, from: IpAddr, name: &str, why: &str) {
        tracing::warn!(kind, %from, name = %name.escape_debug(), why, "somebody was refused");
        let entry = self.refusals().note(kind, from, name, why, now());
        if let Some(entry) = entry {
            // Nobody waits for it: who was refused gets their answer in any case.
            drop(store.record(entry));
        }
    }

    /// Records what was refused besides, and waits until it is stored.
    pub(crate) async fn store_refusals(&self, store: &Store) {
        let entries = self.refusals().take(now());
        for entry in entries {
            if let Err(error) = store.record(entry).await {
                tracing::error!(%error, "refusals could not be recorded");
            }
        }
    }

    fn refusals(&self) -> MutexGuard<'_, Refusals> {
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stores uses since `since`, and forgets sessions that are over.
    pub(crate) async fn store_uses(&self, store: &Store, since: Timestamp) {
        let at = now();
        let (sessions, tokens, over) = {
            let mut known = self.known();
            let over: Vec<String> =
                known.sessions.values().filter(|s| at >= ends(s)).map(|s| s.secret_hash.clone()).collect();
            for hash in &over {
                known.sessions.remove(hash);
            }
            let sessions = known.sessions.values().filter(|s| s.last_used >= since);
            let sessions: Vec<_> = sessions.map(|s| (s.secret_hash.clone(), s.last_used)).collect();
            let tokens = known.tokens.values().filter_map(|t| Some((t.name.clone(), t.last_used?)));
            let tokens: Vec<_> = tokens.filter(|(_, used)| *used >= since).collect();
            (sessions, tokens, over)
        };
        if sessions.is_empty() && tokens.is_empty() && over.is_empty() {
            return;
        }
        if let Err(error) = store.note_uses(sessions, tokens, over).await {
            tracing::error!(%error, "when sessions and tokens were used could not be stored");
        }
    }
}

/// When a session ends if it is not used.
pub(crate) fn ends(session: &SessionRow) -> Timestamp {
    session.last_used.plus(IDLE).min(session.created.plus(LIFE))
}

/// A secret of 256 random bits, in unpadded base64url.
pub(crate) fn new_secret() -> String {
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>())
}

/// A one-time password for people to type: 100 random bits, as `abcde-fghij-klmno-pqrst`.
pub(crate) fn first_password() -> String {
    let alphabet = b"abcdefghijklmnopqrstuvwxyz234567";
    let letters: Vec<char> =
        rand::random::<[u8; 20]>().iter().map(|byte| char::from(alphabet[usize::from(byte & 31)])).collect();
    letters.chunks(5).map(|group| group.iter().collect::<String>()).collect::<Vec<_>>().join("-")
}

/// What is kept of a secret: 256 random bits need no salt, and a look-up by hash tells nothing by its timing.
pub(crate) fn secret_hash(secret: &str) -> String {
    Sha256::digest(secret.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The line that gives a browser its session.
pub(crate) fn set_cookie(secret: &str) -> String {
    format!("{COOKIE}={secret}; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age={}", LIFE.as_secs())
}

/// The line that takes it back.
pub(crate) fn clear_cookie() -> String {
    format!("{COOKIE}=; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=0")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn people() -> People {
        let known = Known::default();
        People {
            inner: Mutex::new(known),
            hashing: Hashing::default(),
            attempts: Mutex::default(),
            refusals: Mutex::default(),
        }
    }

    fn user(name: &str, role: Role) -> UserRow {
        UserRow {
            name: name.to_owned(),
            role,
            password: String::new(),
            must_change: false,
            disabled: false,
            created: Timestamp(1),
            last_sign_in: None,
        }
    }

    fn session(user: &str, hash: &str, created: Timestamp, last_used: Timestamp) -> SessionRow {
        SessionRow { secret_hash: hash.to_owned(), user: user.to_owned(), created, last_used }
    }

    #[test]
    fn a_session_ends_when_it_is_idle_or_old() {
        let at = Timestamp(LIFE.as_millis() as u64 * 10);
        assert_eq!(ends(&session("jo", "h", at, at)), at.plus(IDLE));
        let later = at.plus(LIFE).minus(Duration::from_secs(1));
        assert_eq!(ends(&session("jo", "h", at, later)), at.plus(LIFE));
        let people = people();
        people.known().users.insert("jo".to_owned(), user("jo", Role::Operator));
        let idle = now().minus(IDLE).minus(Duration::from_secs(1));
        for (hash, created, used) in [("idle", idle, idle), ("old", now().minus(LIFE), now()), ("good", now(), now())] {
            people.known().sessions.insert(hash.to_owned(), session("jo", hash, created, used));
        }
        let used = people.known().sessions["good"].last_used;
        assert!(people.counts("good") && !people.counts("idle") && !people.counts("old") && !people.counts("none"));
        assert_eq!(people.known().sessions["good"].last_used, used, "to look is no use");
        assert_eq!(people.session("idle"), None);
        assert_eq!(people.session("old"), None);
        assert_eq!(people.session("good"), Some(("jo".to_owned(), Role::Operator, false)));
        people.known().users.get_mut("jo").expect("jo").disabled = true;
        assert_eq!(people.session("good"), None);
        assert!(!people.counts("good"));
    }

    #[test]
    fn a_token_counts_until_it_expires() {
        let people = people();
        for (hash, expires) in [("over", now()), ("good", now().plus(Duration::from_secs(60)))] {
            let token = ApiTokenRow {
                name: hash.to_owned(),
                secret_hash: hash.to_owned(),
                role: Role::Auditor,
                created_by: "jo".to_owned(),
                created: Timestamp(1),
                expires,
                last_used: None,
            };
            people.known().tokens.insert(hash.to_owned(), token);
        }
        assert!(people.counts("good") && !people.counts("over"));
        assert!(people.known().tokens["good"].last_used.is_none(), "to look is no use");
        assert_eq!(people.token("over"), None);
        assert_eq!(people.token("none"), None);
        assert_eq!(people.token("good"), Some(("good".to_owned(), Role::Auditor)));
        assert!(people.known().tokens["good"].last_used.is_some() && people.known().tokens["over"].last_used.is_none());
    }

    #[test]
    fn the_last_administrator_is_known() {
        let mut known = Known::default();
        for (name, role) in [("a", Role::Admin), ("b", Role::Admin), ("c", Role::Operator)] {
            known.users.insert(name.to_owned(), user(name, role));
        }
        assert!(known.has_other_admin("a"));
        known.users.get_mut("b").expect("b").disabled = true;
        assert!(!known.has_other_admin("a") && known.has_other_admin("c"));
    }
}
