//! How a host becomes defended.

use std::net::{IpAddr, Ipv4Addr};

use cnnf_core::id::HostId;
use cnnf_rpc::convert::{ConvertError, common};
use cnnf_rpc::v1::enrollment_service_server::EnrollmentService;
use cnnf_rpc::v1::{EnrollRequest, EnrollResponse};
use cnnf_store::{Audit, NewHost, TokenError};
use tonic::{Request, Response, Status};

use super::{Api, caller};
use crate::changes::Topic;
use crate::clock::now;
use crate::controller::{Controller, refuse};
use crate::people::secret_hash;
use crate::pki::{HostCertificate, Trust};

/// The largest certificate request that is looked at, in bytes.
const MAX_CSR: usize = 16 * 1024;

#[tonic::async_trait]
impl EnrollmentService for Api {
    async fn enroll(&self, request: Request<EnrollRequest>) -> Result<Response<EnrollResponse>, Status> {
        let who = caller(&request);
        let EnrollRequest { token, csr, host_name, labels } = request.into_inner();
        let labels = common::labels("labels", labels)?;
        let name = check_name(&host_name)?;
        let id = new_id();
        let trust = self.0.trust();
        let certificate = certify(&self.0, &trust, &id, &csr)?;
        // Held, so that the state gets hosts in the store's order and no edit meets half a host.
        let _guard = self.0.edits.lock().await;
        let mode = self.0.state().settings.default_mode;
        let after = serde_json::json!({"id": id.as_str(), "labels": labels, "mode": mode});
        // Whoever has the token: nobody is known by name yet.
        let record = Audit { via: "enrolment token".to_owned(), ..who.record("host.enrol", &name, None, Some(after)) };
        let new = NewHost { id: id.clone(), name, labels, mode, certificate: certificate.kept };
        let row = match self.0.store.enrol(secret_hash(&token), new, now(), record).await.map_err(refuse)? {
            Ok(row) => row,
            Err(error) => {
                let from = who.address.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
                self.0.people.refused(&self.0.store, "host.refused", from, &host_name, &error.to_string());
                return Err(match error {
                    TokenError::Unknown => Status::permission_denied(error.to_string()),
                    TokenError::Expired | TokenError::Used => Status::failed_precondition(error.to_string()),
                });
            }
        };
        tracing::info!(host = %id, name = row.name, "a host was let in");
        self.0.state().add_host(row, now());
        self.0.resolve_now.notify_one();
        self.0.changes.note(Topic::Fleet);
        Ok(Response::new(EnrollResponse {
            host_id: id.to_string(),
            certificate: certificate.der,
            ca_certificate: trust.ca.der.clone(),
        }))
    }
}

/// A certificate for a host's own key.
pub(super) fn certify(
    controller: &Controller,
    trust: &Trust,
    host: &HostId,
    csr: &[u8],
) -> Result<HostCertificate, Status> {
    if csr.len() > MAX_CSR {
        return Err(ConvertError::new("csr", "is too large").into());
    }
    trust
        .ca
        .defender(host, csr, *controller.certificate_life.borrow())
        .map_err(|error| ConvertError::new("csr", format_args!("is no usable certificate request: {error}")).into())
}

/// `h-` and 60 random bits in base32 (RFC 4648's alphabet in lower case).
fn new_id() -> HostId {
    let alphabet = b"abcdefghijklmnopqrstuvwxyz234567";
    let random: [u8; 12] = rand::random();
    let text: String = random.iter().map(|byte| char::from(alphabet[usize::from(byte & 31)])).collect();
    HostId::new(format!("h-{text}"))
}

fn check_name(name: &str) -> Result<String, ConvertError> {
    let usable = (1..=253).contains(&name.len()) && !name.chars().any(|c| c.is_control() || c.is_whitespace());
    let bad = || ConvertError::new("host_name", "is not usable: 1 to 253 bytes without spaces and control characters");
    usable.then(|| name.to_owned()).ok_or_else(bad)
}
