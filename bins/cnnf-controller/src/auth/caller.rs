//! Who calls: by certificate, by session or by token.

use std::fmt;
use std::net::IpAddr;

use cnnf_core::access::Role;
use cnnf_core::id::HostId;
use cnnf_rpc::tls::{PeerConnection, PeerIdentity};
use cnnf_store::{Audit, Once};
use serde_json::Value;
use tonic::Status;
use tonic::codegen::http::request::Parts;
use tonic::codegen::http::{HeaderMap, header};

use crate::clock::now;
use crate::controller::Controller;
use crate::people::{COOKIE, secret_hash};

/// Who calls, and from where. Handlers find it in `request.extensions()`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Caller {
    pub(crate) who: Who,
    /// From which address; `None` only in tests.
    pub(crate) address: Option<IpAddr>,
    /// The call, if it has a key by which it may be sent again.
    pub(crate) once: Option<Once>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    Nobody,
    /// A host's defender.
    Defender(HostId),
    /// An administrator's certificate.
    Certificate(String),
    /// A user of the page.
    Session {
        user: String,
        role: Role,
        /// The hash of what the cookie says.
        secret_hash: String,
        /// Whether the password must be changed first.
        must_change: bool,
    },
    /// A program with a token.
    Token {
        name: String,
        role: Role,
        /// The hash of the token.
        secret_hash: String,
    },
}

/// Marks what came in on the web port.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OnWeb {
    /// Whether it came as gRPC-web: behind that layer nobody can tell any more.
    pub(crate) grpc_web: bool,
}

impl Caller {
    /// What the caller may do; `None` for nobody and for defenders.
    pub(crate) fn role(&self) -> Option<Role> {
        match &self.who {
            Who::Nobody | Who::Defender(_) => None,
            Who::Certificate(_) => Some(Role::Admin),
            Who::Session { role, .. } | Who::Token { role, .. } => Some(*role),
        }
    }

    /// The caller's name alone.
    pub(crate) fn name(&self) -> &str {
        match &self.who {
            Who::Nobody => "",
            Who::Defender(host) => host.as_str(),
            Who::Certificate(name) | Who::Token { name, .. } => name,
            Who::Session { user, .. } => user,
        }
    }

    /// By which hash the caller's session or token is known, if there is one.
    pub(crate) fn secret_hash(&self) -> Option<&str> {
        match &self.who {
            Who::Session { secret_hash, .. } | Who::Token { secret_hash, .. } => Some(secret_hash),
            Who::Nobody | Who::Defender(_) | Who::Certificate(_) => None,
        }
    }

    /// The record of a change by this caller. `before` and `after` never have secrets.
    pub(crate) fn record(&self, action: &str, subject: &str, before: Option<Value>, after: Option<Value>) -> Audit {
        let text = |value: Option<Value>| value.map(|value| value.to_string()).unwrap_or_default();
        Audit {
            at: now(),
            actor: self.name().to_owned(),
            via: self.via().to_owned(),
            address: self.address.map(|address| address.to_string()).unwrap_or_default(),
            action: action.to_owned(),
            subject: subject.to_owned(),
            before: text(before),
            after: text(after),
            once: self.once.clone(),
        }
    }

    /// How the caller came in, as the record of changes says it.
    pub(crate) fn via(&self) -> &'static str {
        match &self.who {
            Who::Nobody => "",
            Who::Defender(_) | Who::Certificate(_) => "certificate",
            Who::Session { .. } => "session",
            Who::Token { .. } => "token",
        }
    }
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.who {
            Who::Nobody => f.write_str("anonymous"),
            Who::Defender(host) => write!(f, "defender {host}"),
            Who::Certificate(name) => write!(f, "admin {name}"),
            Who::Session { user, .. } => write!(f, "user {user}"),
            Who::Token { name, .. } => write!(f, "token {name}"),
        }
    }
}

/// Finds out who sends a request.
///
/// # Errors
/// A token that is none, or a cookie that comes from another page than ours.
pub(crate) fn identify(controller: &Controller, request: &Parts) -> Result<Caller, Status> {
    let peer = request.extensions.get::<PeerConnection>();
    let address = peer.map(|peer| peer.address.ip().to_canonical());
    let as_who = |who| Ok(Caller { who, address, once: None });
    match peer.map(|peer| &peer.identity) {
        Some(PeerIdentity::Admin(name)) => return as_who(Who::Certificate(name.clone())),
        Some(PeerIdentity::Defender(host)) => return as_who(Who::Defender(host.clone())),
        Some(PeerIdentity::Anonymous) | None => {}
    }
    if let Some(secret) = bearer(&request.headers)? {
        let secret_hash = secret_hash(secret);
        let (name, role) = controller.people.token(&secret_hash).ok_or_else(|| {
            Status::unauthenticated(
                "this API token is not known, was revoked or has expired: make one with 'cnnfctl tokens create'",
            )
        })?;
        return as_who(Who::Token { name, role, secret_hash });
    }
    let Some(OnWeb { grpc_web }) = request.extensions.get::<OnWeb>() else { return as_who(Who::Nobody) };
    let Some(secret) = cookie(&request.headers) else { return as_who(Who::Nobody) };
    check_origin(request, *grpc_web)?;
    let secret_hash = secret_hash(secret);
    as_who(match controller.people.session(&secret_hash) {
        Some((user, role, must_change)) => Who::Session { user, role, secret_hash, must_change },
        None => Who::Nobody,
    })
}

/// The token of `authorization: Bearer TOKEN`.
fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Status> {
    let Some(value) = headers.get(header::AUTHORIZATION) else { return Ok(None) };
    let parts = value.to_str().ok().and_then(|text| text.split_once(' '));
    match parts {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(Some(token.trim())),
        _ => Err(Status::unauthenticated("the authorization is not 'Bearer TOKEN'")),
    }
}

/// What our cookie says.
fn cookie(headers: &HeaderMap) -> Option<&str> {
    let all = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    all.flat_map(|line| line.split(';')).find_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        (name == COOKIE).then_some(value)
    })
}

/// A cookie counts only if our own page sent it: browsers say which page asks, and a gRPC-web call cannot be made by a form.
fn check_origin(request: &Parts, grpc_web: bool) -> Result<(), Status> {
    let text = |name| request.headers.get(name).and_then(|value| value.to_str().ok());
    let site = text("sec-fetch-site").map(|site| site == "same-origin");
    let origin = text("origin").map(|origin| {
        let host = request.uri.authority().map(|host| host.as_str()).or_else(|| text("host"));
        host.is_some_and(|host| origin.strip_prefix("https://").is_some_and(|from| from.eq_ignore_ascii_case(host)))
    });
    // At least one of them is there and none says otherwise.
    let ours = (site.is_some() || origin.is_some()) && site.unwrap_or(true) && origin.unwrap_or(true);
    if grpc_web && ours {
        return Ok(());
    }
    Err(Status::permission_denied("a call with the page's cookie must be gRPC-web and come from the page itself"))
}

#[cfg(test)]
mod tests {
    use tonic::codegen::http::Request;

    use super::*;

    fn parts(headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::post("https://c.example:8443/cnnf.v1.StatusService/GetStatus");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).expect("a request").into_parts().0
    }

    #[test]
    fn a_cookie_counts_from_our_own_page_only() {
        let ours = ("origin", "https://c.example:8443");
        let same = ("sec-fetch-site", "same-origin");
        for good in [&[ours][..], &[same], &[ours, same]] {
            assert!(check_origin(&parts(good), true).is_ok(), "{good:?}");
            assert!(check_origin(&parts(good), false).is_err(), "a form may send it: {good:?}");
        }
        for bad in [
            &[][..],
            &[("origin", "https://c.example")],
            &[("origin", "http://c.example:8443")],
            &[("origin", "https://evil.example"), same],
            &[("origin", "null"), same],
            &[ours, ("sec-fetch-site", "same-site")],
            &[ours, ("sec-fetch-site", "cross-site")],
            &[ours, ("sec-fetch-site", "none")],
        ] {
            assert!(check_origin(&parts(bad), true).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn our_cookie_is_found_among_others() {
        let found = |line| cookie(&parts(&[("cookie", line)]).headers).map(str::to_owned);
        assert_eq!(found("a=b; __Host-cnnf=xyz; c=d").as_deref(), Some("xyz"));
        assert_eq!(found("a=b; x__Host-cnnf=xyz"), None);
        assert_eq!(found(""), None);
    }

    #[test]
    fn a_token_is_a_bearer() {
        let found = |value| bearer(&parts(&[("authorization", value)]).headers).map(|t| t.map(str::to_owned));
        assert_eq!(found("Bearer abc").expect("good").as_deref(), Some("abc"));
        assert_eq!(found("bearer  abc").expect("good").as_deref(), Some("abc"));
        assert!(found("Basic YTpi").is_err());
        assert!(found("abc").is_err());
    }
}
