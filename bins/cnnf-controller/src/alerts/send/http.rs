//! HTTP POST of JSON. One connection a message; redirects are not followed and answers not read: an administrator chooses where this machine
//! sends to, and learns of it no more than a status.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_lc_rs::hmac;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, USER_AGENT};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode, Uri};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rustls::RootCertStore;
use url::Url;

use super::super::channel::Secret;
use super::super::message::Alert;
use super::super::render;
use super::super::target::signing_key;
use super::super::template::Template;
use super::Failure;
use super::net::cas;
use crate::clock::now;
use crate::outgoing::Outgoing;

/// The longest that a receiver may ask us to wait.
const LONGEST_AFTER: Duration = Duration::from_secs(3600);

/// Where and what to post.
pub(in super::super) struct Post {
    outgoing: Outgoing,
    url: Uri,
    headers: HeaderMap,
    key: Option<hmac::Key>,
    form: Form,
}

enum Form {
    Slack,
    Whole,
    Template(Template),
}

impl Post {
    pub(super) fn webhook(
        url: &Secret,
        secret: &Secret,
        headers: &BTreeMap<String, Secret>,
        template: &str,
        ca_pem: &str,
    ) -> Result<Self, Failure> {
        let form = match template {
            "" => Form::Whole,
            text => Form::Template(Template::parse(text).map_err(Failure::away)?),
        };
        let mut post = Self::new(&url.0, ca_pem, form)?;
        for (name, value) in headers {
            let mut value = HeaderValue::try_from(&value.0).map_err(Failure::away)?;
            value.set_sensitive(true);
            post.headers.insert(HeaderName::try_from(name).map_err(Failure::away)?, value);
        }
        let key = signing_key(secret).map_err(Failure::away)?;
        post.key = key.map(|key| hmac::Key::new(hmac::HMAC_SHA256, &key));
        Ok(post)
    }

    pub(super) fn slack(url: &Secret, ca_pem: &str) -> Result<Self, Failure> {
        Self::new(&url.0, ca_pem, Form::Slack)
    }

    fn new(url: &str, ca_pem: &str, form: Form) -> Result<Self, Failure> {
        // As browsers read it: a name in any script, a space in a path.
        let url = Url::parse(url).map_err(Failure::away)?;
        let url: Uri = url.as_str().parse().map_err(Failure::away)?;
        let cas = if url.scheme_str() == Some("https") { cas(ca_pem)? } else { RootCertStore::empty() };
        let outgoing = Outgoing::new(cas).map_err(Failure::away)?;
        Ok(Self { outgoing, url, headers: HeaderMap::new(), key: None, form })
    }

    pub(super) async fn send(&self, alert: &Alert) -> Result<(), Failure> {
        let body = match &self.form {
            Form::Slack => render::slack(alert),
            Form::Whole => alert.payload(),
            Form::Template(template) => template.fill(&alert.payload()),
        };
        let request = self.request(&alert.id, body.to_string(), now().0 / 1000)?;
        let answer = self.outgoing.head(request).await.map_err(|error| {
            let at = self.url.authority().map_or("", |authority| authority.as_str());
            Failure::away(format_args!("{at} took no message: {error}"))
        })?;
        judge(answer.status(), answer.headers())
    }

    /// Signed as Standard Webhooks says: HMAC-SHA256 over `id.timestamp.body`.
    fn request(&self, id: &str, body: String, seconds: u64) -> Result<Request<Vec<u8>>, Failure> {
        let agent = concat!("cnnf/", env!("CARGO_PKG_VERSION"));
        let mut request = Request::post(&self.url).header(USER_AGENT, agent);
        request = request.header(CONTENT_TYPE, "application/json");
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        if !matches!(self.form, Form::Slack) {
            request = request.header("webhook-id", id).header("webhook-timestamp", seconds);
        }
        if let Some(key) = &self.key {
            let tag = hmac::sign(key, format!("{id}.{seconds}.{body}").as_bytes());
            request = request.header("webhook-signature", format!("v1,{}", BASE64_STANDARD.encode(tag)));
        }
        request.body(body.into_bytes()).map_err(Failure::away)
    }
}

fn judge(status: StatusCode, headers: &HeaderMap) -> Result<(), Failure> {
    if status.is_success() {
        return Ok(());
    }
    let seconds = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()).and_then(|text| text.parse().ok());
    let after = seconds.map(Duration::from_secs).map(|after| after.min(LONGEST_AFTER));
    // What says that the message is at fault, not who sends it or when.
    let refused = matches!(status.as_u16(), 400 | 406 | 413 | 415 | 422);
    let hint = match status.as_u16() {
        300..=399 => ": redirects are not followed, give the channel the place itself",
        401 | 403 => ": its secret or headers are not accepted",
        404 | 410 => ": there is nothing at its URL",
        _ => "",
    };
    Err(Failure { text: format!("the receiver answered {status}{hint}"), refused, after })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example that the libraries of standardwebhooks.com are tested with.
    #[test]
    fn the_signature_is_that_of_standard_webhooks() {
        let secret = Secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".into());
        let url = Secret("https://h.example:8443/p?a=b".into());
        let ca = rcgen::generate_simple_self_signed(["h.example".to_owned()]).expect("a certificate").cert.pem();
        let post = Post::webhook(&url, &secret, &BTreeMap::new(), "", &ca).expect("good");
        let request =
            post.request("msg_p5jXN8AQM9LWM0D4loKWxJek", "{\"test\": 2432232314}".into(), 1_614_265_330).expect("good");
        assert_eq!(request.headers()["webhook-signature"], "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert_eq!(request.uri().to_string(), "https://h.example:8443/p?a=b");
    }

    #[test]
    fn only_a_success_is_an_acknowledgement() {
        let judge = |code: u16| judge(StatusCode::from_u16(code).expect("a status"), &HeaderMap::new());
        assert!(judge(200).is_ok() && judge(204).is_ok());
        assert!(judge(302).expect_err("not followed").text.contains("not followed"));
        assert!(judge(422).expect_err("refused").refused && !judge(401).expect_err("not let in").refused);
    }
}
