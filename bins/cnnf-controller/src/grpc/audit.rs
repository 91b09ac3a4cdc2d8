//! The record of every change.

use cnnf_rpc::convert::common::{page_size, stamp, time_range};
use cnnf_rpc::v1;
use cnnf_rpc::v1::audit_service_server::AuditService;
use cnnf_store::{AuditQuery, AuditRow};
use tonic::{Request, Response, Status};

use super::Api;
use super::page::bad;
use crate::controller::refuse;

#[tonic::async_trait]
impl AuditService for Api {
    async fn list_audit(
        &self,
        request: Request<v1::ListAuditRequest>,
    ) -> Result<Response<v1::ListAuditResponse>, Status> {
        let v1::ListAuditRequest { actor, action, subject, time, page } = request.into_inner();
        let (since, until) = time_range("time", time.as_ref())?;
        let some = |text: String| Some(text).filter(|text| !text.is_empty());
        let before = match page.as_ref().map_or("", |page| page.token.as_str()) {
            "" => None,
            token => Some(token.parse().map_err(|_| bad())?),
        };
        let query =
            AuditQuery { actor: some(actor), action: some(action), subject: some(subject), since, until, before };
        let size = page_size(page.as_ref());
        let mut found = self
            .0
            .aside(move |controller| controller.store.audit(&query, size.saturating_add(1)).map_err(refuse))
            .await?;
        let mut next_token = String::new();
        if found.len() > size {
            found.truncate(size);
            next_token = found.last().map(|row| row.id.to_string()).unwrap_or_default();
        }
        let entries = found.into_iter().map(message).collect();
        Ok(Response::new(v1::ListAuditResponse { entries, next_token }))
    }

    async fn verify_audit(
        &self,
        _: Request<v1::VerifyAuditRequest>,
    ) -> Result<Response<v1::VerifyAuditResponse>, Status> {
        let check = self.0.aside(|controller| controller.store.check_audit().map_err(refuse)).await?;
        let intact = check.bad.is_none();
        let (first_bad, problem) = check.bad.unwrap_or_default();
        Ok(Response::new(v1::VerifyAuditResponse {
            intact,
            entries: check.entries,
            first_bad,
            problem,
            head: check.head,
        }))
    }
}

fn message(row: AuditRow) -> v1::AuditEntry {
    let AuditRow { id, entry, hash } = row;
    v1::AuditEntry {
        id,
        at: Some(stamp(entry.at)),
        actor: entry.actor,
        via: entry.via,
        address: entry.address,
        action: entry.action,
        subject: entry.subject,
        before: entry.before,
        after: entry.after,
        hash,
    }
}
