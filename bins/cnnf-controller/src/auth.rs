//! Who may call what. One table, which is also the test's; what is not in it is refused.

use std::sync::Arc;
use std::task::{Context, Poll};

use cnnf_rpc::tls::{PeerConnection, PeerIdentity};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tower::{Layer, Service};

use crate::controller::Controller;

/// What a caller must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Anybody.
    Anyone,
    /// A defender whose host is known and not revoked.
    Defender,
    /// An administrator.
    Admin,
}

/// Service → role, for all of its calls.
pub(crate) const TABLE: &[(&str, Role)] = &[
    ("cnnf.v1.EnrollmentService", Role::Anyone),
    ("cnnf.v1.DefenderService", Role::Defender),
    ("cnnf.v1.StatusService", Role::Admin),
    ("cnnf.v1.TopologyService", Role::Admin),
    ("cnnf.v1.PolicyService", Role::Admin),
    ("cnnf.v1.ModelService", Role::Admin),
    ("cnnf.v1.EventService", Role::Admin),
    ("cnnf.v1.FleetService", Role::Admin),
    ("cnnf.v1.SettingsService", Role::Admin),
    ("cnnf.v1.DefinitionService", Role::Admin),
    ("grpc.health.v1.Health", Role::Anyone),
    ("grpc.reflection.v1.ServerReflection", Role::Anyone),
];

/// The role that a path such as `/cnnf.v1.StatusService/GetStatus` needs; `None` if it is not in the table.
pub(crate) fn role_of(path: &str) -> Option<Role> {
    let (service, _) = path.strip_prefix('/')?.split_once('/')?;
    TABLE.iter().find(|(name, _)| *name == service).map(|(_, role)| *role)
}

/// Lets a call pass or says why not.
fn check(controller: &Controller, path: &str, peer: Option<&PeerConnection>) -> Result<(), Status> {
    let role = role_of(path).ok_or_else(|| Status::unimplemented(format!("there is no {path}")))?;
    let identity = peer.map_or(&PeerIdentity::Anonymous, |peer| &peer.identity);
    match (role, identity) {
        (Role::Anyone, _) | (Role::Admin, PeerIdentity::Admin(_)) => Ok(()),
        (Role::Defender, PeerIdentity::Defender(id)) => match controller.state().hosts.get(id) {
            Some(known) if !known.row.revoked => Ok(()),
            Some(_) => Err(Status::permission_denied(format!("host {id} is revoked: enrol it again with a new token"))),
            None => {
                Err(Status::permission_denied(format!("host {id} is not known here: enrol it again with a new token")))
            }
        },
        (_, PeerIdentity::Anonymous) => {
            Err(Status::unauthenticated("this call needs a client certificate: use the credential of admin.toml"))
        }
        (Role::Admin, identity) => Err(Status::permission_denied(format!(
            "{identity} may not call {path}: it needs an administrator's certificate"
        ))),
        (Role::Defender, identity) => {
            Err(Status::permission_denied(format!("{identity} may not call {path}: it needs a defender's certificate")))
        }
    }
}

/// Puts the check before every service.
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
        let path = request.uri().path();
        match check(&self.controller, path, request.extensions().get::<PeerConnection>()) {
            Ok(()) => Box::pin(self.inner.call(request)),
            Err(status) => {
                tracing::warn!(path, status = status.message(), "a call was refused");
                Box::pin(std::future::ready(Ok(status.into_http())))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;

    #[test]
    fn every_service_has_a_role() {
        let files = prost_types::FileDescriptorSet::decode(cnnf_rpc::DESCRIPTORS).expect("descriptors");
        let mut services = 0;
        for file in files.file {
            let package = file.package().to_owned();
            for service in file.service {
                let path = format!("/{package}.{}/Any", service.name());
                assert!(role_of(&path).is_some(), "{path} is in no line of TABLE: say who may call it");
                services += 1;
            }
        }
        assert_eq!(
            services,
            TABLE.iter().filter(|(name, _)| name.starts_with("cnnf.")).count(),
            "a line of TABLE is of no use"
        );
    }

    #[test]
    fn what_is_not_in_the_table_is_refused() {
        for path in ["", "/", "/cnnf.v1.StatusService", "/cnnf.v1.NoService/X", "cnnf.v1.StatusService/GetStatus"] {
            assert_eq!(role_of(path), None, "{path}");
        }
    }
}
