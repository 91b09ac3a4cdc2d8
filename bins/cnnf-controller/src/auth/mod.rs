//! Who may call what: a caller is identified, then measured by one table.

mod caller;
#[cfg(test)]
mod reference;
mod revocable;
mod table;

use std::sync::Arc;
use std::task::{Context, Poll};

use cnnf_core::access::Role;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::{HeaderValue, Request, Response};
use tower::{Layer, Service};
use tracing::Instrument as _;

use crate::controller::Controller;

pub(crate) use caller::{Caller, OnWeb, Who};
use revocable::Revocable;
use table::{BEFORE_A_NEW_PASSWORD, Needs, needs_of};
pub(crate) use table::{answers_with_a_secret, is_write};

/// Lets a call pass or says why not.
fn check(controller: &Controller, path: &str, caller: &Caller) -> Result<(), Status> {
    let needs = needs_of(path).ok_or_else(|| Status::unimplemented(format!("there is no {path}")))?;
    if let Who::Session { must_change: true, .. } = caller.who
        && !BEFORE_A_NEW_PASSWORD.contains(&path)
    {
        return Err(Status::permission_denied("change the password first"));
    }
    let least = match needs {
        Needs::Anyone => return Ok(()),
        Needs::Defender => return check_defender(controller, path, caller),
        Needs::Auditor => Role::Auditor,
        Needs::Operator => Role::Operator,
        Needs::Admin => Role::Admin,
    };
    match caller.role() {
        Some(role) if role >= least => Ok(()),
        Some(role) => Err(Status::permission_denied(format!(
            "{caller} may not call {path}: it needs the role {least}, not {role}"
        ))),
        None if caller.who == Who::Nobody => Err(Status::unauthenticated(
            "this call needs to know who calls: sign in, or use the credential of admin.toml or an API token",
        )),
        None => Err(Status::permission_denied(format!("{caller} may not call {path}: it needs the role {least}"))),
    }
}

fn check_defender(controller: &Controller, path: &str, caller: &Caller) -> Result<(), Status> {
    match &caller.who {
        Who::Defender(id) => match controller.state().hosts.get(id) {
            Some(known) if !known.row.revoked => Ok(()),
            Some(_) => Err(Status::permission_denied(format!("host {id} is revoked: enrol it again with a new token"))),
            None => {
                Err(Status::permission_denied(format!("host {id} is not known here: enrol it again with a new token")))
            }
        },
        Who::Nobody => Err(Status::unauthenticated("this call needs a defender's certificate")),
        _ => Err(Status::permission_denied(format!("{caller} may not call {path}: it needs a defender's certificate"))),
    }
}

/// Puts the check before every service; what a session or token was let into ends with it.
#[derive(Clone)]
pub(crate) struct Guard(pub(crate) Arc<Controller>);

impl<S> Layer<S> for Guard {
    type Service = Guarded<S>;

    fn layer(&self, inner: S) -> Guarded<S> {
        Guarded { inner, controller: Arc::clone(&self.0) }
    }
}

/// A service behind the check.
#[derive(Clone)]
pub(crate) struct Guarded<S> {
    inner: S,
    controller: Arc<Controller>,
}

type Answer<S> =
    std::pin::Pin<Box<dyn Future<Output = Result<Response<Body>, <S as Service<Request<Body>>>::Error>> + Send>>;

impl<S> Service<Request<Body>> for Guarded<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Answer<S>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (mut parts, body) = request.into_parts();
        let path = parts.uri.path().to_owned();
        let id = request_id();
        let span = tracing::info_span!("call", id, path);
        let _inside = span.clone().entered();
        let checked = caller::identify(&self.controller, &parts)
            .and_then(|caller| check(&self.controller, &path, &caller).map(|()| caller));
        match checked {
            Ok(caller) => {
                let secret = caller.secret_hash().map(str::to_owned);
                parts.extensions.insert(caller);
                let answer = self.inner.call(Request::from_parts(parts, body)).instrument(span.clone());
                let controller = Arc::clone(&self.controller);
                Box::pin(async move {
                    let answer = numbered(answer.await?, &id);
                    Ok(match secret {
                        None => answer,
                        Some(secret) => answer.map(|body| Revocable::body(body, controller, secret)),
                    })
                })
            }
            Err(status) => {
                tracing::warn!(path, status = status.message(), "a call was refused");
                Box::pin(std::future::ready(Ok(numbered(status.into_http(), &id))))
            }
        }
    }
}

/// The header that has a call's number in its answer.
const REQUEST_ID: &str = "x-request-id";

/// A number that tells a call from others, in its answer and in all that is logged of it. Never the caller's own: that could be anything.
fn request_id() -> String {
    format!("{:016x}", rand::random::<u64>())
}

fn numbered(mut answer: Response<Body>, id: &str) -> Response<Body> {
    if let Ok(value) = HeaderValue::from_str(id) {
        answer.headers_mut().insert(REQUEST_ID, value);
    }
    answer
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;
    use table::TABLE;

    #[test]
    fn every_call_has_a_line_in_the_table() {
        let files = prost_types::FileDescriptorSet::decode(cnnf_rpc::DESCRIPTORS).expect("descriptors");
        let mut calls = 0;
        for file in files.file {
            let package = file.package().to_owned();
            for service in file.service {
                for method in &service.method {
                    let path = format!("/{package}.{}/{}", service.name(), method.name());
                    assert!(needs_of(&path).is_some(), "{path} is in no line of TABLE: say who may call it");
                    calls += 1;
                }
            }
        }
        let ours = TABLE.iter().filter(|(name, _)| name.starts_with("cnnf.")).map(|(_, calls)| calls.len());
        assert_eq!(calls, ours.sum::<usize>(), "a line of TABLE is of no use");
    }

    #[test]
    fn what_its_name_says_to_change_something_is_a_write() {
        let reads = ["List", "Get", "Watch", "Diff", "Explain", "Simulate", "Lint", "Suggest", "Preview", "Verify"];
        // Hosts' own calls, and those that begin and end sessions.
        let others = ["Enroll", "Attach", "Renew", "SignIn", "SignOut"];
        for (service, calls) in TABLE.iter().filter(|(name, _)| name.starts_with("cnnf.")) {
            for (call, _) in *calls {
                let other = reads.iter().chain(&others).any(|word| call.starts_with(word));
                assert_eq!(is_write(&format!("/{service}/{call}")), !other, "{service}/{call}");
            }
        }
        assert!(!is_write("/grpc.health.v1.Health/Check") && !is_write("/cnnf.v1.PolicyService/NoCall"));
    }

    #[test]
    fn answers_with_a_secret_are_those_whose_messages_have_one() {
        let files = prost_types::FileDescriptorSet::decode(cnnf_rpc::DESCRIPTORS).expect("descriptors");
        let messages = || files.file.iter().flat_map(|file| &file.message_type);
        let has_secret = |name: &str| {
            let message = messages().find(|message| name.ends_with(&format!(".{}", message.name())));
            // A channel's secrets go in and never come out.
            message.is_some_and(|m| m.field.iter().any(|field| ["secret", "token"].contains(&field.name())))
        };
        for file in &files.file {
            for service in &file.service {
                for method in &service.method {
                    let path = format!("/{}.{}/{}", file.package(), service.name(), method.name());
                    if is_write(&path) {
                        assert_eq!(answers_with_a_secret(&path), has_secret(method.output_type()), "{path}");
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_not_in_the_table_is_refused() {
        for path in ["", "/", "/cnnf.v1.StatusService", "/cnnf.v1.NoService/X", "/cnnf.v1.StatusService/NoCall"] {
            assert_eq!(needs_of(path), None, "{path}");
        }
        assert_eq!(needs_of("cnnf.v1.StatusService/GetStatus"), None);
    }

    #[test]
    fn before_a_new_password_there_is_nothing_but_sessions() {
        for path in BEFORE_A_NEW_PASSWORD {
            assert!(path.starts_with("/cnnf.v1.SessionService/") && needs_of(path).is_some(), "{path}");
        }
    }
}
