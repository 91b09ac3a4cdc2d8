//! Where a browser goes to sign in elsewhere, and where it comes back.

use std::net::SocketAddr;
use std::sync::{Arc, PoisonError};

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use axum::response::IntoResponse as _;
use hyper::body::Incoming;

use super::host;
use crate::clock::now;
use crate::controller::Controller;
use crate::grpc::Api;
use crate::oidc::{Begun, CALLBACK, FLOW_COOKIE, Oidc, OidcError};

const START: &str = "/auth/oidc/start";
/// How long a sign-in may take, in seconds.
const PATIENCE: u32 = 600;

/// The answer to these paths; `None` for others, and where nobody else signs people in.
pub(super) async fn answer(
    controller: &Arc<Controller>,
    request: &Request<Incoming>,
    address: SocketAddr,
) -> Option<Response<Body>> {
    let oidc = controller.oidc()?;
    let path = request.uri().path();
    if (path != START && path != CALLBACK) || request.method() != Method::GET {
        return None;
    }
    let Some(host) = host(request) else {
        return Some((StatusCode::BAD_REQUEST, "the request does not say which host it is for\n").into_response());
    };
    let query = request.uri().query().unwrap_or_default();
    let answer = if path == START {
        start(&oidc, host, query).await
    } else {
        end(controller, &oidc, host, query, request.headers(), address).await
    };
    Some(answer.unwrap_or_else(|error| {
        let from = address.ip().to_canonical();
        if let OidcError::Provider(_) = error {
            tracing::warn!(%from, %error, "nobody can sign in by OpenID Connect");
        } else {
            // Who it was is not believed yet, or of no use.
            controller.people.refused(&controller.store, "session.refused", from, "", &error.to_string());
        }
        refusal(&error)
    }))
}

async fn start(oidc: &Oidc, host: &str, query: &str) -> Result<Response<Body>, OidcError> {
    let back = url::form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == "to").map(|(_, to)| to);
    let Begun { to, cookie } = oidc.begin(host, back.as_deref().unwrap_or("/")).await?;
    // Lax: the browser must send it when the provider, another site, sends it back.
    let cookie = format!("{FLOW_COOKIE}={cookie}; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age={PATIENCE}");
    Ok(see(&to, [cookie]))
}

async fn end(
    controller: &Arc<Controller>,
    oidc: &Oidc,
    host: &str,
    query: &str,
    headers: &HeaderMap,
    address: SocketAddr,
) -> Result<Response<Body>, OidcError> {
    let from = address.ip().to_canonical();
    let attempts = || controller.people.attempts.lock().unwrap_or_else(PoisonError::into_inner);
    attempts().take(from, now()).map_err(|wait| {
        OidcError::Refused(format!("too many attempts from your address: wait {} s", wait.as_secs() + 1))
    })?;
    let (person, back) = oidc.end(host, query, flow_cookie(headers)).await?;
    let session = Api(Arc::clone(controller)).enter(person, Some(from)).await?;
    attempts().give_back(from);
    Ok(see(&back, [session, no_flow()]))
}

/// Sends the browser on. The session's cookie is for requests of our own page only, and the next request still counts as the provider's:
/// the page itself is for everybody, and what it asks for then comes from us.
fn see<const N: usize>(to: &str, cookies: [String; N]) -> Response<Body> {
    let mut answer = (StatusCode::SEE_OTHER, [(header::CACHE_CONTROL, "no-store")]).into_response();
    let headers = answer.headers_mut();
    match HeaderValue::from_str(to) {
        Ok(to) => headers.insert(header::LOCATION, to),
        Err(_) => return refusal(&OidcError::Provider("it has odd letters in its address".to_owned())),
    };
    for cookie in cookies {
        if let Ok(line) = HeaderValue::from_str(&cookie) {
            headers.append(header::SET_COOKIE, line);
        }
    }
    answer
}

/// A page that says why not.
fn refusal(error: &OidcError) -> Response<Body> {
    let why = escaped(&error.to_string());
    let page = format!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>cnnf: not signed in</title>\n\
         <h1>You are not signed in</h1>\n<p>{why}</p>\n<p><a href=\"/\">Back</a></p></html>\n"
    );
    let kind = [(header::CONTENT_TYPE, "text/html; charset=utf-8"), (header::CACHE_CONTROL, "no-store")];
    let mut answer = (error.status(), kind, page).into_response();
    if let Ok(line) = HeaderValue::from_str(&no_flow()) {
        answer.headers_mut().append(header::SET_COOKIE, line);
    }
    answer
}

/// Takes the cookie of a sign-in under way back: it is for one.
fn no_flow() -> String {
    format!("{FLOW_COOKIE}=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0")
}

fn flow_cookie(headers: &HeaderMap) -> Option<&str> {
    let all = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    all.flat_map(|line| line.split(';')).find_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        (name == FLOW_COOKIE).then_some(value)
    })
}

/// As text of a page: the provider has written some of it.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
