//! What was changed, and changing it back.

use cnnf_rpc::convert::common::time_text;
use cnnf_rpc::convert::history::{applied, changes};
use cnnf_rpc::v1;
use cnnf_store::{Author, Revision};
use tonic::Status;

use super::super::Api;
use super::super::page::page;
use crate::controller::refuse;

impl Api {
    pub(super) async fn revisions(
        &self,
        wanted: v1::ListRevisionsRequest,
    ) -> Result<v1::ListRevisionsResponse, Status> {
        let all = self.0.aside(|controller| controller.store.revisions().map_err(refuse)).await?;
        let (revisions, next_token) = page(all, wanted.page.as_ref())?;
        Ok(v1::ListRevisionsResponse { revisions: revisions.into_iter().map(message).collect(), next_token })
    }

    pub(super) async fn revision(&self, number: u64) -> Result<v1::Revision, Status> {
        let found = self.0.aside(move |controller| controller.store.revision(number).map_err(refuse)).await?;
        let (revision, delta) = found.ok_or_else(|| gone(number))?;
        Ok(v1::Revision { changes: changes(&delta), ..message(revision) })
    }

    pub(super) async fn rollback(
        &self,
        author: Author,
        wanted: v1::RollbackPolicyRequest,
    ) -> Result<v1::ApplyPolicyResponse, Status> {
        let v1::RollbackPolicyRequest { revision: to, base_revision, dry_run, reason: _ } = wanted;
        let newest = self.0.state().policy.revision;
        if to > newest {
            return Err(Status::not_found(format!("there is no revision {to}: the newest is {newest}")));
        }
        let after = self.0.aside(move |controller| controller.store.changes_after(to).map_err(refuse)).await?;
        let after = after.ok_or_else(|| gone(to))?;
        let seen = to + after.len() as u64;
        let back = |draft: &mut crate::edit::Draft| {
            draft.check_base(base_revision)?;
            // what was changed since the history was read is not in it
            draft.check_base(seen)?;
            for delta in after {
                let fits = delta.reversed().apply(&mut draft.new.rules, &mut draft.new.objects);
                fits.map_err(|error| Status::internal(error.to_string()))?;
            }
            Ok(())
        };
        let edited = self.0.edit_policy(Some(author).filter(|_| !dry_run), back).await?;
        Ok(applied(&edited.delta, edited.revision))
    }
}

fn gone(revision: u64) -> Status {
    Status::not_found(format!("revision {revision} is not kept: 'cnnfctl rules history' shows which are"))
}

fn message(revision: Revision) -> v1::Revision {
    let Revision { revision, author, summary } = revision;
    v1::Revision {
        revision,
        at: time_text(author.at),
        who: author.who,
        reason: author.why,
        summary,
        changes: Vec::new(),
    }
}
