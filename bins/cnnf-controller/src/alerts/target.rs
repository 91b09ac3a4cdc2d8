//! Where a channel's messages go.

use std::collections::BTreeMap;

use axum::http::{HeaderName, HeaderValue};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use cnnf_rpc::convert::ConvertError;
use cnnf_rpc::tls::certificates_from_pem;
use cnnf_rpc::v1;
use cnnf_rpc::v1::channel::To;
use lettre::message::Mailbox;
use serde::{Deserialize, Serialize};
use url::Url;

use super::channel::{KEPT, Secret};
use super::rate::Rate;
use super::template::Template;

/// Bytes of a URL, header or other text at most.
const MAX_URL: usize = 2048;
/// Bytes of CAs at most.
const MAX_PEM: usize = 64 << 10;
const MAX_HEADERS: usize = 16;
const MAX_RECIPIENTS: usize = 32;
/// Bytes of a signing secret at least.
const SHORTEST_SECRET: usize = 16;
/// What a signing secret in base64 begins with.
const WHSEC: &str = "whsec_";

/// A place that takes messages, and what it takes to get there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Target {
    Webhook { url: Secret, secret: Secret, headers: BTreeMap<String, Secret>, template: String, ca_pem: String },
    Slack { url: Secret, ca_pem: String },
    Syslog { server: Url, ca_pem: String },
    Cef { server: Url, ca_pem: String },
    Email { server: Url, user: String, password: Secret, from: String, to: Vec<String>, ca_pem: String },
}

impl Target {
    pub(super) fn read(to: To, old: Option<&Self>) -> Result<Self, ConvertError> {
        match to {
            To::Webhook(message) => webhook(message, old).map_err(|error| error.under("webhook")),
            To::Slack(message) => slack(message, old).map_err(|error| error.under("slack")),
            To::Syslog(v1::Syslog { server, ca_pem }) => collector(&server, &ca_pem)
                .map(|server| Self::Syslog { server, ca_pem })
                .map_err(|error| error.under("syslog")),
            To::Cef(v1::Syslog { server, ca_pem }) => collector(&server, &ca_pem)
                .map(|server| Self::Cef { server, ca_pem })
                .map_err(|error| error.under("cef")),
            To::Email(message) => email(message, old).map_err(|error| error.under("email")),
        }
    }

    pub(super) fn show(&self) -> To {
        match self {
            Self::Webhook { url, secret, headers, template, ca_pem } => To::Webhook(v1::Webhook {
                url: without_query(&url.0),
                secret: secret.shown().to_owned(),
                headers: headers.iter().map(|(name, value)| (name.clone(), value.shown().to_owned())).collect(),
                template: template.clone(),
                ca_pem: ca_pem.clone(),
            }),
            Self::Slack { url, ca_pem } => To::Slack(v1::Slack { url: url.shown().to_owned(), ca_pem: ca_pem.clone() }),
            Self::Syslog { server, ca_pem } => {
                To::Syslog(v1::Syslog { server: server.to_string(), ca_pem: ca_pem.clone() })
            }
            Self::Cef { server, ca_pem } => To::Cef(v1::Syslog { server: server.to_string(), ca_pem: ca_pem.clone() }),
            Self::Email { server, user, password, from, to, ca_pem } => To::Email(v1::Email {
                server: server.to_string(),
                user: user.clone(),
                password: password.shown().to_owned(),
                from: from.clone(),
                to: to.clone(),
                ca_pem: ca_pem.clone(),
            }),
        }
    }

    /// The rate unless another one is asked for.
    pub(super) fn usual_rate(&self) -> Rate {
        match self {
            Self::Webhook { .. } => Rate { messages: 60, seconds: 60 },
            Self::Slack { .. } => Rate { messages: 20, seconds: 60 },
            Self::Email { .. } => Rate { messages: 20, seconds: 600 },
            Self::Syslog { .. } | Self::Cef { .. } => Rate { messages: 0, seconds: 0 },
        }
    }
}

fn without_query(url: &str) -> String {
    url.split_once('?').map_or_else(|| url.to_owned(), |(before, _)| format!("{before}?{KEPT}"))
}

fn webhook(message: v1::Webhook, old: Option<&Target>) -> Result<Target, ConvertError> {
    let v1::Webhook { url, secret, headers, template, ca_pem } = message;
    let old = match old {
        Some(Target::Webhook { url, secret, headers, .. }) => Some((url, secret, headers)),
        _ => None,
    };
    let url = match old {
        Some((old, ..)) if url == without_query(&old.0) => old.clone(),
        _ if url.ends_with(KEPT) => {
            return Err(ConvertError::new("url", "is not the one that has a query: write it whole"));
        }
        _ => Secret(url),
    };
    let place = web_url("url", &url.0)?;
    let same = old.is_some_and(|(old, ..)| Url::parse(&old.0).is_ok_and(|old| old.origin() == place.origin()));
    let secret = Secret::read("secret", secret, old.map(|(_, secret, _)| secret), same)?;
    signing_key(&secret)?;
    if headers.len() > MAX_HEADERS {
        return Err(ConvertError::new("headers", format_args!("are too many: at most {MAX_HEADERS}")));
    }
    let mut read = BTreeMap::new();
    for (name, value) in headers {
        let name = name.to_ascii_lowercase();
        let field = format!("headers[{name}]");
        let ours =
            ["host", "connection", "content-length", "content-type", "transfer-encoding", "upgrade", "te", "trailer"];
        if HeaderName::try_from(&name).is_err() || ours.contains(&name.as_str()) || name.starts_with("webhook-") {
            return Err(ConvertError::new(field, "is no header that can be set"));
        }
        let value = Secret::read(&field, value, old.and_then(|(.., headers)| headers.get(&name)), same)?;
        if value.0.len() > MAX_URL || HeaderValue::try_from(&value.0).is_err() {
            return Err(ConvertError::new(field, "is no value of a header"));
        }
        if read.insert(name, value).is_some() {
            return Err(ConvertError::new(field, "is given twice: upper and lower case are the same"));
        }
    }
    if !template.is_empty() {
        Template::parse(&template).map_err(|error| ConvertError::new("template", error))?;
    }
    check_cas(&ca_pem)?;
    Ok(Target::Webhook { url, secret, headers: read, template, ca_pem })
}

fn slack(message: v1::Slack, old: Option<&Target>) -> Result<Target, ConvertError> {
    let v1::Slack { url, ca_pem } = message;
    let old = if let Some(Target::Slack { url, .. }) = old { Some(url) } else { None };
    let url = Secret::read("url", url, old, true)?;
    web_url("url", &url.0)?;
    check_cas(&ca_pem)?;
    Ok(Target::Slack { url, ca_pem })
}

fn collector(server: &str, ca_pem: &str) -> Result<Url, ConvertError> {
    check_cas(ca_pem)?;
    place(
        "server",
        server,
        &["udp", "tcp", "tls"],
        "udp://HOST, tcp://HOST or tls://HOST, each with :PORT if it is another",
    )
}

fn email(message: v1::Email, old: Option<&Target>) -> Result<Target, ConvertError> {
    let v1::Email { server, user, password, from, to, ca_pem } = message;
    let old = match old {
        Some(Target::Email { server, password, .. }) => Some((server, password)),
        _ => None,
    };
    let form = "smtp://HOST, smtps://HOST or smtp+insecure://HOST, each with :PORT if it is another";
    let server = place("server", &server, &["smtp", "smtps", "smtp+insecure"], form)?;
    let same = old.is_some_and(|(old, _)| *old == server);
    let password = Secret::read("password", password, old.map(|(_, password)| password), same)?;
    if user.is_empty() != password.0.is_empty() {
        return Err(ConvertError::new("password", "goes with user: give both or none"));
    }
    if server.scheme() == "smtp+insecure" && !user.is_empty() {
        return Err(ConvertError::new("server", "would see the password go in the open: write smtp:// or smtps://"));
    }
    if user.len() > MAX_URL || password.0.len() > MAX_URL {
        return Err(ConvertError::new("user", "or password is too long"));
    }
    let mailbox = |field: String, text: &str| match text.parse::<Mailbox>() {
        Ok(_) if text.len() <= 320 => Ok(()),
        _ => Err(ConvertError::new(field, "is no address: write jo@example.org or Jo <jo@example.org>")),
    };
    mailbox("from".into(), &from)?;
    if to.is_empty() || to.len() > MAX_RECIPIENTS {
        return Err(ConvertError::new("to", format_args!("must be 1 to {MAX_RECIPIENTS} addresses")));
    }
    for (at, one) in to.iter().enumerate() {
        mailbox(format!("to[{at}]"), one)?;
    }
    check_cas(&ca_pem)?;
    Ok(Target::Email { server, user, password, from, to, ca_pem })
}

/// The key that a secret means.
///
/// # Errors
/// It is too short, or not base64 where it says so.
pub(super) fn signing_key(secret: &Secret) -> Result<Option<Vec<u8>>, ConvertError> {
    if secret.0.is_empty() {
        return Ok(None);
    }
    let key = match secret.0.strip_prefix(WHSEC) {
        None => secret.0.clone().into_bytes(),
        Some(text) => BASE64_STANDARD
            .decode(text)
            .map_err(|error| ConvertError::new("secret", format_args!("is no base64 after {WHSEC}: {error}")))?,
    };
    if key.len() < SHORTEST_SECRET || key.len() > MAX_URL {
        return Err(ConvertError::new("secret", format_args!("must have {SHORTEST_SECRET} to {MAX_URL} bytes")));
    }
    Ok(Some(key))
}

fn web_url(field: &str, text: &str) -> Result<Url, ConvertError> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "https" | "http") && url.has_host());
    match url {
        Some(url) if text.len() <= MAX_URL && is_open(&url) => Ok(url),
        _ => Err(ConvertError::new(
            field,
            "is no URL that can be used: write https://HOST/PATH, without user and password",
        )),
    }
}

/// Whether it names nobody, and a port that there can be.
fn is_open(url: &Url) -> bool {
    url.username().is_empty() && url.password().is_none() && url.port() != Some(0)
}

/// A server by scheme, host and port, and nothing else.
fn place(field: &str, text: &str, schemes: &[&str], form: &str) -> Result<Url, ConvertError> {
    let url = Url::parse(text).ok().filter(|url| schemes.contains(&url.scheme()));
    let bare = |url: &Url| {
        url.host_str().is_some_and(|host| !host.is_empty())
            && is_open(url)
            && matches!(url.path(), "" | "/")
            && url.query().is_none()
            && url.fragment().is_none()
    };
    url.filter(|url| text.len() <= MAX_URL && bare(url))
        .ok_or_else(|| ConvertError::new(field, format_args!("is no server: write {form}")))
}

fn check_cas(pem: &str) -> Result<(), ConvertError> {
    let good = pem.is_empty()
        || pem.len() <= MAX_PEM && certificates_from_pem(pem).is_ok_and(|certificates| !certificates.is_empty());
    if good { Ok(()) } else { Err(ConvertError::new("ca_pem", "has no certificate in PEM, or is too long")) }
}
