//! Changes of rules that are undone unless they are confirmed.

use std::sync::Arc;
use std::time::Duration;

use cnnf_core::event::EventKind;
use cnnf_core::time::Timestamp;
use cnnf_rpc::convert::common::time_text;
use cnnf_store::{Audit, Author, NewEvent, PolicyState, Subject, Unconfirmed};
use tonic::Status;

use super::{By, Draft};
use crate::changes::Topic;
use crate::clock::now;
use crate::controller::{Controller, refuse};

/// Who undoes what nobody confirmed.
const WHO: &str = "the controller";

impl Draft {
    /// Refuses a change on top of one that may be undone, which would be undone with it.
    pub(super) fn check_confirmed(&self) -> Result<(), Status> {
        match &self.old.unconfirmed {
            Some(waiting) if !self.takes_back => Err(Status::failed_precondition(refusal(waiting))),
            _ => Ok(()),
        }
    }
}

fn refusal(waiting: &Unconfirmed) -> String {
    let Unconfirmed { revision, base, who, until, .. } = waiting;
    format!(
        "revision {revision} of {who} waits to be confirmed until {} and is undone then; until that is decided nothing else can be \
         changed: 'cnnfctl rules confirm' keeps it, 'cnnfctl rules rollback {base}' takes it back",
        time_text(*until)
    )
}

impl Controller {
    /// Keeps the change that waits; `revision` is the one that the caller has seen, 0 for any. Answers with its number.
    pub(crate) async fn confirm_policy(self: &Arc<Self>, revision: u64, by: By) -> Result<u64, Status> {
        let _guard = self.edits.lock().await;
        let (newest, waiting) = {
            let state = self.state();
            (state.policy.revision, state.unconfirmed.as_ref().map(|waiting| waiting.change.revision))
        };
        let waiting = waiting.ok_or_else(|| {
            Status::failed_precondition(format!(
                "nothing waits to be confirmed: the rules are at revision {newest}, 'cnnfctl rules history' shows what became of others"
            ))
        })?;
        if revision != 0 && revision != waiting {
            return Err(Status::aborted(format!(
                "revision {waiting} waits to be confirmed, not {revision}: 'cnnfctl rules history {waiting}' shows what it is"
            )));
        }
        let By { author, record } = by;
        let record = Audit { subject: format!("revision {waiting}"), ..record };
        self.store.confirm_policy(waiting, &author, record).await.map_err(refuse)?;
        self.state().unconfirmed = None;
        self.changes.note(Topic::Policy);
        tracing::info!(revision = waiting, who = author.who, "a change of rules is confirmed");
        Ok(waiting)
    }

    /// How long the change that waits has left; `None` if none waits.
    pub(crate) fn confirmation_left(&self) -> Option<Duration> {
        self.state().unconfirmed.as_ref().map(|waiting| waiting.left())
    }

    /// Undoes the change that waits, if its time is over.
    pub(crate) async fn undo_unconfirmed(self: &Arc<Self>) -> Result<(), Status> {
        let due = {
            let state = self.state();
            state.unconfirmed.as_ref().filter(|waiting| waiting.left().is_zero()).map(|waiting| waiting.change.clone())
        };
        let Some(change) = due else { return Ok(()) };
        let Unconfirmed { revision, base, who, at, until } = &change;
        let within = Duration::from_millis(until.0.saturating_sub(at.0));
        let why =
            format!("revision {revision} of {who} was not confirmed within {}", humantime::format_duration(within));
        let author = Author { at: now(), who: WHO.to_owned(), why: why.clone() };
        let (base, revision) = (*base, *revision);
        let after = self.aside(move |controller| controller.store.changes_after(base).map_err(refuse)).await?;
        let after = after.ok_or_else(|| Status::internal(format!("revision {base} is not kept any more")))?;
        let back = |draft: &mut Draft| {
            // somebody may have confirmed it, or taken it back, just now
            if draft.old.unconfirmed.as_ref().is_none_or(|waiting| waiting.revision != revision) {
                return Ok(());
            }
            draft.go_back(after)?;
            draft.takes_back = true;
            Ok(())
        };
        let at = author.at;
        let record = Audit { at, actor: "controller".to_owned(), action: "rules.undo".to_owned(), ..Audit::default() };
        let tell = |new: &PolicyState| {
            let message =
                format!("{why}: rules and objects are as after revision {base} again, as revision {}", new.revision);
            vec![event(message, at)]
        };
        self.edit_policy_and_tell(Some(By { author, record }), back, tell).await?;
        Ok(())
    }
}

fn event(message: String, at: Timestamp) -> NewEvent {
    let subject = Subject::System { host: None, message };
    NewEvent { kind: EventKind::Reverted, subject, process: None, count: 1, at }
}
