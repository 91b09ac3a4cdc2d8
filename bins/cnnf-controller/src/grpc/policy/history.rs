//! What was changed, and changing it back.

use std::time::Duration;

use cnnf_rpc::convert::ConvertError;
use cnnf_rpc::convert::common::time_text;
use cnnf_rpc::convert::history::{applied, changes, left_out};
use cnnf_rpc::v1;
use cnnf_store::{Revision, Unconfirmed};
use tonic::Status;

use super::super::Api;
use super::super::page::page;
use crate::controller::refuse;
use crate::edit::{By, Edited};
use crate::state::Waiting;

/// A week.
const MAX_CONFIRM_SECONDS: u32 = 7 * 24 * 60 * 60;

impl Api {
    pub(super) async fn revisions(
        &self,
        wanted: v1::ListRevisionsRequest,
    ) -> Result<v1::ListRevisionsResponse, Status> {
        let all = self.0.aside(|controller| controller.store.revisions().map_err(refuse)).await?;
        let (revisions, next_token) = page(all, wanted.page.as_ref())?;
        let unconfirmed = self.0.state().unconfirmed.as_ref().map(Into::into);
        Ok(v1::ListRevisionsResponse {
            revisions: revisions.into_iter().map(message).collect(),
            next_token,
            unconfirmed,
        })
    }

    pub(super) async fn revision(&self, number: u64) -> Result<v1::Revision, Status> {
        let found = self.0.aside(move |controller| controller.store.revision(number).map_err(refuse)).await?;
        let (revision, delta) = found.ok_or_else(|| gone(number))?;
        Ok(v1::Revision { changes: changes(&delta), changes_left_out: left_out(&delta), ..message(revision) })
    }

    pub(super) async fn rollback(
        &self,
        by: By,
        wanted: v1::RollbackPolicyRequest,
    ) -> Result<v1::ApplyPolicyResponse, Status> {
        let v1::RollbackPolicyRequest { revision: to, base_revision, dry_run, reason: _, confirm_within_seconds } =
            wanted;
        let within = within(confirm_within_seconds)?;
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
            draft.takes_back = draft.old.unconfirmed.as_ref().is_some_and(|waiting| waiting.base == to);
            if draft.takes_back && within.is_some() {
                return Err(ConvertError::new(
                    "confirm_within_seconds",
                    "what was in force before is in force at once",
                )
                .into());
            }
            draft.confirm_within = within;
            draft.go_back(after)
        };
        let edited = self.0.edit_policy(Some(by).filter(|_| !dry_run), back).await?;
        Ok(self.applied(&edited))
    }

    /// What an edit did, for who made it.
    pub(super) fn applied<T>(&self, edited: &Edited<T>) -> v1::ApplyPolicyResponse {
        let waits = |waiting: &&Waiting| edited.unconfirmed() == Some(&waiting.change);
        let unconfirmed = self.0.state().unconfirmed.as_ref().filter(waits).map(Into::into);
        v1::ApplyPolicyResponse { unconfirmed, ..applied(&edited.delta, edited.revision) }
    }
}

/// How long a change may wait to be confirmed; `None` if it need not be.
pub(super) fn within(seconds: u32) -> Result<Option<Duration>, ConvertError> {
    if seconds > MAX_CONFIRM_SECONDS {
        return Err(ConvertError::new("confirm_within_seconds", format_args!("at most a week: {MAX_CONFIRM_SECONDS}")));
    }
    Ok((seconds > 0).then(|| Duration::from_secs(u64::from(seconds))))
}

impl From<&Waiting> for v1::UnconfirmedChange {
    fn from(waiting: &Waiting) -> Self {
        let Unconfirmed { revision, base, who, at, until } = waiting.change.clone();
        Self {
            revision,
            base_revision: base,
            who,
            at: time_text(at),
            until: time_text(until),
            left_ms: u64::try_from(waiting.left().as_millis()).unwrap_or(u64::MAX),
        }
    }
}

fn gone(revision: u64) -> Status {
    Status::not_found(format!("revision {revision} is not kept: 'cnnfctl rules history' shows which are"))
}

fn message(revision: Revision) -> v1::Revision {
    let Revision { revision, author, summary, note } = revision;
    v1::Revision {
        revision,
        at: time_text(author.at),
        who: author.who,
        reason: author.why,
        summary,
        changes: Vec::new(),
        note,
        changes_left_out: 0,
    }
}
