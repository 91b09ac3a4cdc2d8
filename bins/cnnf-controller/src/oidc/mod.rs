//! Signing in elsewhere: OpenID Connect, by the authorization code flow with PKCE, state and nonce.
//!
//! **Invariant**: who somebody is, issuer and subject alone say. A name or an e-mail address never makes two people one.

mod config;
mod flow;
mod provider;
mod token;

use std::io;

use axum::http::StatusCode;
use cnnf_core::access::{Role, check_name};
use serde_json::{Map, Value};
use url::Url;

pub(crate) use config::{OidcArgs, OidcConfig};
use flow::Flow;
use provider::{Known, Provider};
use token::{Expected, TokenError};

use crate::outgoing::{Outgoing, cas};

/// The cookie of a sign-in under way.
pub(crate) const FLOW_COOKIE: &str = "__Host-cnnf-oidc";
/// Where the provider sends the browser back to.
pub(crate) const CALLBACK: &str = "/auth/oidc/callback";

/// Signs people in by a provider.
pub(crate) struct Oidc {
    config: OidcConfig,
    provider: Provider,
}

/// Who has signed in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Person {
    /// By whom they are known.
    pub(crate) issuer: String,
    /// What the provider knows them by; never another's.
    pub(crate) subject: String,
    /// What they are to be called.
    pub(crate) name: String,
    /// What they may do.
    pub(crate) role: Role,
}

/// Why somebody is not let in.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OidcError {
    /// The browser is not the one that began, or it took too long.
    #[error("this sign-in was not begun in this browser, or more than ten minutes ago: begin again")]
    Stray,
    /// The provider says no.
    #[error("the identity provider has refused: {0}")]
    Denied(String),
    /// The provider cannot be spoken with, or not understood.
    #[error("the identity provider cannot be asked: {0}")]
    Provider(String),
    /// The provider's token is not believed.
    #[error("the identity provider's token is not believed: {0}")]
    Token(String),
    /// Who they are is known, and they may not.
    #[error("{0}")]
    Refused(String),
}

impl OidcError {
    /// As HTTP says it.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Stray => StatusCode::BAD_REQUEST,
            Self::Denied(_) | Self::Refused(_) => StatusCode::FORBIDDEN,
            Self::Provider(_) | Self::Token(_) => StatusCode::BAD_GATEWAY,
        }
    }
}

/// How a sign-in begins.
pub(crate) struct Begun {
    /// Where to send the browser.
    pub(crate) to: String,
    /// What its cookie is to say.
    pub(crate) cookie: String,
}

impl Oidc {
    /// Reads the files that the configuration names, now and never again.
    ///
    /// # Errors
    /// One of them cannot be read.
    pub(crate) fn new(config: &OidcConfig) -> io::Result<Self> {
        let named = |file: &std::path::Path, error: io::Error| io::Error::other(format!("{}: {error}", file.display()));
        let secret = match &config.client_secret_file {
            Some(file) => Some(std::fs::read_to_string(file).map_err(|error| named(file, error))?.trim().to_owned()),
            None => None,
        };
        let cas = match &config.ca_file {
            Some(file) => {
                let pem = std::fs::read_to_string(file);
                pem.and_then(|pem| cas(Some(&pem))).map_err(|error| named(file, error))?
            }
            None => cas(None)?,
        };
        let outgoing = Outgoing::new(cas)?;
        let provider = Provider::new(config.issuer.clone(), config.client_id.clone(), secret, outgoing);
        Ok(Self { config: config.clone(), provider })
    }

    /// What the page calls it.
    pub(crate) fn name(&self) -> &str {
        &self.config.name
    }

    /// Begins a sign-in of a browser that knows this controller as `host` and wants to come back to the page `back`.
    ///
    /// # Errors
    /// The provider cannot be asked.
    pub(crate) async fn begin(&self, host: &str, back: &str) -> Result<Begun, OidcError> {
        let known = self.provider.known(None).await?;
        let flow = Flow::begin(back);
        let mut to =
            Url::parse(&known.metadata.authorization_endpoint).map_err(|e| OidcError::Provider(e.to_string()))?;
        let scopes: Vec<&str> =
            std::iter::once("openid").chain(self.config.scopes.iter().map(String::as_str)).collect();
        to.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.provider.client_id)
            .append_pair("redirect_uri", &redirect(host))
            .append_pair("scope", &scopes.join(" "))
            .append_pair("state", &flow.state())
            .append_pair("nonce", &flow.nonce())
            .append_pair("code_challenge", &flow.challenge())
            .append_pair("code_challenge_method", "S256");
        Ok(Begun { to: to.into(), cookie: flow.cookie() })
    }

    /// Ends a sign-in: what the provider sent the browser back with, and the browser's cookie. Who it is, and where they want to go.
    ///
    /// # Errors
    /// Why they are not let in.
    pub(crate) async fn end(
        &self,
        host: &str,
        query: &str,
        cookie: Option<&str>,
    ) -> Result<(Person, String), OidcError> {
        let flow = cookie.and_then(Flow::resume).ok_or(OidcError::Stray)?;
        let answer: std::collections::HashMap<String, String> =
            url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let get = |key: &str| answer.get(key).map(String::as_str);
        if get("state") != Some(&flow.state()) {
            return Err(OidcError::Stray);
        }
        let mut known = self.provider.known(None).await?;
        let from = get("iss");
        let unnamed = known.metadata.authorization_response_iss_parameter_supported;
        if from.map_or(unnamed, |from| from != self.provider.issuer) {
            return Err(OidcError::Token("the answer is from another issuer".to_owned()));
        }
        if let Some(error) = get("error") {
            let more = get("error_description").unwrap_or_default();
            return Err(OidcError::Denied(format!("{error} {more}").escape_debug().take(300).collect()));
        }
        let code = get("code").ok_or(OidcError::Stray)?;
        let tokens = self.provider.redeem(&known, code, &redirect(host), &flow.verifier()).await?;
        let nonce = flow.nonce();
        let expected = Expected { issuer: &self.provider.issuer, client_id: &self.provider.client_id, nonce: &nonce };
        let mut checked = token::check(&tokens.id_token, &known.keys, &expected);
        if checked == Err(TokenError::NoKey) {
            // It has new ones.
            known = self.provider.known(Some(&known)).await?;
            checked = token::check(&tokens.id_token, &known.keys, &expected);
        }
        let (subject, claims) = checked.map_err(|error| OidcError::Token(error.to_string()))?;
        let claims = self.complete(&known, claims, &subject, tokens.access_token.as_deref()).await?;
        Ok((self.person(subject, &claims)?, flow.back))
    }

    /// What the token leaves out, the provider tells who asks with the access token.
    async fn complete(
        &self,
        known: &Known,
        mut claims: Map<String, Value>,
        subject: &str,
        access: Option<&str>,
    ) -> Result<Map<String, Value>, OidcError> {
        let complete = self.user_name(&claims).is_some()
            && found(&claims, self.groups_claim()).is_some()
            && (self.config.domains.is_empty() || claims.contains_key("email"));
        let Some(access) = access.filter(|_| !complete) else { return Ok(claims) };
        let Some(more) = self.provider.user_info(known, access).await? else { return Ok(claims) };
        // OpenID Connect Core 1.0, section 5.3.2: another's must not be used.
        if more.get("sub").and_then(Value::as_str) != Some(subject) {
            return Err(OidcError::Token("what it tells of the user is of another one".to_owned()));
        }
        for (key, value) in more {
            claims.entry(key).or_insert(value);
        }
        Ok(claims)
    }

    fn person(&self, subject: String, claims: &Map<String, Value>) -> Result<Person, OidcError> {
        let refused = |why: String| Err(OidcError::Refused(why));
        if !self.config.domains.is_empty() {
            let email = claims.get("email").and_then(Value::as_str).unwrap_or_default();
            let domain = email.rsplit_once('@').map(|(_, domain)| domain).unwrap_or_default();
            let verified = claims.get("email_verified") == Some(&Value::Bool(true));
            if !verified || !self.config.domains.iter().any(|one| one.eq_ignore_ascii_case(domain)) {
                return refused(
                    "your identity provider has verified no e-mail address of a domain that may sign in here"
                        .to_owned(),
                );
            }
        }
        let groups = found(claims, self.groups_claim()).map(texts).unwrap_or_default();
        let Some(role) = self.config.role(&groups) else {
            return refused(format!(
                "you are in no group that may sign in here (claim '{}'): ask an administrator",
                self.groups_claim()
            ));
        };
        let claim = self.config.user_claim.as_deref().unwrap_or("preferred_username");
        let Some(name) = self.user_name(claims) else {
            return refused(format!("your identity provider does not say what you are called (claim '{claim}')"));
        };
        if let Err(error) = check_name(name) {
            let name: String = name.escape_debug().take(100).collect();
            return refused(format!("what your identity provider calls you, '{name}', {error}"));
        }
        Ok(Person { issuer: self.provider.issuer.clone(), subject, name: name.to_owned(), role })
    }

    fn user_name<'a>(&self, claims: &'a Map<String, Value>) -> Option<&'a str> {
        let text = |claim: &str| found(claims, claim).and_then(Value::as_str).filter(|name| !name.is_empty());
        match &self.config.user_claim {
            Some(claim) => text(claim),
            None => text("preferred_username").or_else(|| text("email")),
        }
    }

    fn groups_claim(&self) -> &str {
        self.config.groups_claim.as_deref().unwrap_or("groups")
    }
}

/// Where the provider is to send the browser.
fn redirect(host: &str) -> String {
    format!("https://{host}{CALLBACK}")
}

/// A claim by its name, or by its path: `realm_access.roles`.
fn found<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    claims.get(name).or_else(|| {
        let (outer, inner) = name.split_once('.')?;
        found(claims.get(outer)?.as_object()?, inner)
    })
}

/// One text or several.
fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::String(one) => vec![one.clone()],
        Value::Array(all) => all.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn oidc(config: OidcConfig) -> Oidc {
        let base = OidcConfig {
            issuer: "https://id.example".to_owned(),
            client_id: "cnnf".to_owned(),
            operators: vec!["ops".to_owned()],
            ..config
        };
        Oidc::new(&base).expect("no files")
    }

    fn person(oidc: &Oidc, claims: Value) -> Result<(String, Role), String> {
        let claims = claims.as_object().expect("an object");
        oidc.person("s1".to_owned(), claims).map(|p| (p.name, p.role)).map_err(|error| error.to_string())
    }

    #[test]
    fn claims_say_name_and_role() {
        let plain = oidc(OidcConfig::default());
        let jo = Ok(("jo".to_owned(), Role::Operator));
        assert_eq!(person(&plain, json!({"preferred_username": "jo", "groups": ["x", "ops"]})), jo);
        assert_eq!(person(&plain, json!({"email": "jo", "groups": "ops"})), jo);
        let nested = oidc(OidcConfig {
            groups_claim: Some("realm_access.roles".to_owned()),
            user_claim: Some("nick".to_owned()),
            ..OidcConfig::default()
        });
        assert_eq!(person(&nested, json!({"nick": "jo", "realm_access": {"roles": ["ops"]}})), jo);
        assert_eq!(person(&nested, json!({"nick": "jo", "realm_access.roles": ["ops"]})), jo);
        for (claims, part) in [
            (json!({"preferred_username": "jo"}), "in no group"),
            (json!({"preferred_username": "jo", "groups": ["op"]}), "in no group"),
            (json!({"preferred_username": "jo", "groups": {"ops": true}}), "in no group"),
            (json!({"groups": ["ops"]}), "what you are called"),
            (json!({"preferred_username": "<b>", "groups": ["ops"]}), "'<b>', is not usable"),
        ] {
            let error = person(&plain, claims).expect_err(part);
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn domains_are_of_verified_addresses() {
        let here = oidc(OidcConfig { domains: vec!["example.com".to_owned()], ..OidcConfig::default() });
        let with = |email: &str, verified: Value| {
            let claims =
                json!({"preferred_username": "jo", "groups": ["ops"], "email": email, "email_verified": verified});
            person(&here, claims).is_ok()
        };
        assert!(with("jo@example.com", json!(true)) && with("jo@Example.COM", json!(true)));
        assert!(!with("jo@example.com", json!(false)) && !with("jo@example.com", json!("true")));
        assert!(!with("jo@evil.example", json!(true)) && !with("jo@example.com@evil.example", json!(true)));
        assert!(!with("jo@sub.example.com", json!(true)) && !with("example.com", json!(true)));
    }
}
