//! What is said with the provider: its discovery document, its keys, and codes for tokens.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::{Request, Uri, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::jwk::Jwk;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use tokio::sync::Mutex;
use url::form_urlencoded;

use super::OidcError;
use crate::outgoing::{Outgoing, is_safe};

/// How long a provider's documents are taken for what they were.
const FRESH: Duration = Duration::from_secs(600);
/// How long a provider that failed is not asked again.
const PAUSE: Duration = Duration::from_secs(2);

/// The provider as it describes itself (OpenID Connect Discovery 1.0, section 3).
#[derive(Deserialize)]
pub(super) struct Metadata {
    issuer: String,
    pub(super) authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
    userinfo_endpoint: Option<String>,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    /// Whether answers must name the issuer (RFC 9207).
    #[serde(default)]
    pub(super) authorization_response_iss_parameter_supported: bool,
}

/// The provider's description with its keys.
pub(super) struct Known {
    pub(super) metadata: Metadata,
    pub(super) keys: Vec<Jwk>,
}

/// What a code is changed for.
#[derive(Deserialize)]
pub(super) struct Tokens {
    pub(super) id_token: String,
    pub(super) access_token: Option<String>,
}

/// When it was asked last, and what came of it.
type Last = (Instant, Result<Arc<Known>, String>);

/// Speaks with the provider.
pub(super) struct Provider {
    pub(super) issuer: String,
    pub(super) client_id: String,
    secret: Option<String>,
    outgoing: Outgoing,
    /// Held while it is asked: by one at a time.
    known: Mutex<Option<Last>>,
}

impl Provider {
    pub(super) fn new(issuer: String, client_id: String, secret: Option<String>, outgoing: Outgoing) -> Self {
        Self { issuer, client_id, secret, outgoing, known: Mutex::default() }
    }

    /// What is known of it, asked for anew now and then; at once if these keys are those that do not fit any more.
    pub(super) async fn known(&self, outdated: Option<&Arc<Known>>) -> Result<Arc<Known>, OidcError> {
        let mut known = self.known.lock().await;
        if let Some((at, last)) = &*known {
            match last {
                Ok(last) if at.elapsed() < FRESH && outdated.is_none_or(|old| !Arc::ptr_eq(old, last)) => {
                    return Ok(Arc::clone(last));
                }
                Err(error) if at.elapsed() < PAUSE => return Err(OidcError::Provider(error.clone())),
                _ => {}
            }
        }
        let found = self.discover().await.map(Arc::new);
        *known = Some((Instant::now(), found.clone()));
        found.map_err(OidcError::Provider)
    }

    async fn discover(&self) -> Result<Known, String> {
        let at = format!("{}/.well-known/openid-configuration", self.issuer.trim_end_matches('/'));
        let metadata: Metadata = self.fetch(&at, None).await?;
        if metadata.issuer != self.issuer {
            let said: String = metadata.issuer.escape_debug().take(200).collect();
            return Err(format!("{at} is of issuer '{said}': write exactly that as oidc.issuer"));
        }
        let Metadata { authorization_endpoint, token_endpoint, jwks_uri, userinfo_endpoint, .. } = &metadata;
        let all = [authorization_endpoint, token_endpoint, jwks_uri].into_iter().chain(userinfo_endpoint);
        for one in all {
            if !one.parse().is_ok_and(|uri: Uri| is_safe(&uri)) {
                return Err(format!("{at} names '{}', which is not https", one.escape_debug()));
            }
        }
        #[derive(Deserialize)]
        struct Set {
            keys: Vec<Value>,
        }
        let set: Set = self.fetch(&metadata.jwks_uri, None).await?;
        // Keys of kinds that nobody here knows are for others.
        let keys = set.keys.into_iter().filter_map(|key| serde_json::from_value(key).ok()).collect();
        Ok(Known { metadata, keys })
    }

    /// Changes a code for tokens.
    pub(super) async fn redeem(
        &self,
        known: &Known,
        code: &str,
        redirect: &str,
        verifier: &str,
    ) -> Result<Tokens, OidcError> {
        let request = self.token_request(known, code, redirect, verifier).map_err(OidcError::Provider)?;
        self.answer(request).await.map_err(OidcError::Provider)
    }

    fn token_request(
        &self,
        known: &Known,
        code: &str,
        redirect: &str,
        verifier: &str,
    ) -> Result<Request<Vec<u8>>, String> {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", "authorization_code").append_pair("code", code);
        form.append_pair("redirect_uri", redirect).append_pair("code_verifier", verifier);
        let request = Request::post(&known.metadata.token_endpoint);
        let methods = known.metadata.token_endpoint_auth_methods_supported.as_deref();
        // What holds where the provider says nothing (OpenID Connect Discovery 1.0, section 3).
        let basic = methods.is_none_or(|all| all.iter().any(|one| one == "client_secret_basic"));
        let request = match &self.secret {
            Some(secret) if basic => {
                // Both are form-encoded first (RFC 6749, section 2.3.1).
                let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
                let pair = STANDARD.encode(format!("{}:{}", encode(&self.client_id), encode(secret)));
                request.header(header::AUTHORIZATION, format!("Basic {pair}"))
            }
            secret => {
                form.append_pair("client_id", &self.client_id);
                if let Some(secret) = secret {
                    form.append_pair("client_secret", secret);
                }
                request
            }
        };
        let request = request
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(header::ACCEPT, "application/json")
            .body(form.finish().into_bytes());
        request.map_err(|error| format!("{}: {error}", known.metadata.token_endpoint))
    }

    /// What the provider tells of the user whose access token this is; `None` if it has no place for that.
    pub(super) async fn user_info(&self, known: &Known, token: &str) -> Result<Option<Map<String, Value>>, OidcError> {
        let Some(at) = &known.metadata.userinfo_endpoint else { return Ok(None) };
        self.fetch(at, Some(token)).await.map(Some).map_err(OidcError::Provider)
    }

    async fn fetch<T: DeserializeOwned>(&self, at: &str, bearer: Option<&str>) -> Result<T, String> {
        let mut request = Request::get(at).header(header::ACCEPT, "application/json");
        if let Some(token) = bearer {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        self.answer(request.body(Vec::new()).map_err(|error| format!("{at}: {error}"))?).await
    }

    /// Never repeats what was sent, as that has secrets.
    async fn answer<T: DeserializeOwned>(&self, request: Request<Vec<u8>>) -> Result<T, String> {
        let at = request.uri().to_string();
        let answer = self.outgoing.send(request).await.map_err(|error| format!("{at}: {error}"))?;
        if !answer.status().is_success() {
            return Err(format!("{at}: {}{}", answer.status(), said(answer.body())));
        }
        serde_json::from_slice(answer.body())
            .map_err(|error| format!("{at}: its answer is not what it should be: {error}"))
    }
}

/// What a provider says about its refusal (RFC 6749, section 5.2).
fn said(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Refusal {
        error: String,
        error_description: Option<String>,
    }
    let Ok(refusal) = serde_json::from_slice::<Refusal>(body) else { return String::new() };
    let text = match refusal.error_description {
        Some(more) => format!(": {}: {more}", refusal.error),
        None => format!(": {}", refusal.error),
    };
    text.escape_debug().take(300).collect()
}
