//! `cnnfctl rules history|rollback`.

use clap::Args;
use cnnf_rpc::v1;

use super::super::{Asker, page};
use super::Reason;
use super::plan::{changes, is_empty, people};
use crate::context::request;
use crate::failure::Failure;
use crate::output::{Cell, Output, Sheet, confirm, print};

#[derive(Debug, Args)]
pub(in crate::cmd) struct History {
    /// Show what this change was, field by field.
    revision: Option<u64>,
    /// Only the newest so many.
    #[arg(long, value_name = "N", conflicts_with = "revision")]
    limit: Option<usize>,
}

#[derive(Debug, Args)]
pub(in crate::cmd) struct Rollback {
    /// Rules and objects become what they were after this revision; 0 is before the first. That is a new revision.
    revision: u64,
    /// Only say what would change.
    #[arg(long)]
    dry_run: bool,
    /// Do not ask.
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    reason: Reason,
}

impl History {
    pub(super) async fn run(self, asker: &Asker) -> Result<(), Failure> {
        let (session, out) = (asker.connect().await?, &asker.out);
        if let Some(revision) = self.revision {
            let ask = v1::GetRevisionRequest { revision };
            let answer = session.answer(session.policy().get_revision(request(ask))).await?;
            return out.show(&answer, || show(&answer, out));
        }
        let limit = self.limit.unwrap_or(usize::MAX);
        let mut all = v1::ListRevisionsResponse::default();
        loop {
            let ask = v1::ListRevisionsRequest { page: page(&all.next_token) };
            let next = session.answer(session.policy().list_revisions(request(ask))).await?;
            all.revisions.extend(next.revisions);
            all.next_token = next.next_token;
            if all.next_token.is_empty() || all.revisions.len() >= limit {
                break;
            }
        }
        all.revisions.truncate(limit);
        all.next_token.clear();
        out.show(&all, || list(&all.revisions, out))
    }
}

fn list(revisions: &[v1::Revision], out: &Output) -> String {
    let mut sheet = Sheet::new(out, &["REVISION", "AT", "WHO", "CHANGE", "REASON"]);
    for revision in revisions {
        let mut row = vec![Cell::number(revision.revision)];
        row.extend([&revision.at, &revision.who, &revision.summary, &revision.reason].map(Cell::from));
        sheet.row(row);
    }
    sheet.render()
}

fn show(revision: &v1::Revision, out: &Output) -> String {
    let mut sheet = Sheet::of_fields(out);
    sheet.field("revision", revision.revision.to_string());
    sheet.field("at", &revision.at);
    sheet.field("who", &revision.who);
    sheet.field("reason", &revision.reason);
    sheet.field("change", &revision.summary);
    format!("{}\n\n{}", sheet.render(), changes(&revision.changes, out))
}

impl Rollback {
    pub(super) async fn run(self, asker: &Asker) -> Result<(), Failure> {
        let (session, out) = (asker.connect().await?, &asker.out);
        let ask = |base_revision, dry_run, reason| {
            request(v1::RollbackPolicyRequest { revision: self.revision, base_revision, dry_run, reason })
        };
        let plan = session.answer(session.policy().rollback_policy(ask(0, true, String::new()))).await?;
        if self.dry_run {
            return out.show(&plan, || people(&plan, out));
        }
        if is_empty(&plan) {
            return out.done(&plan, || format!("nothing to change, revision {}", plan.revision));
        }
        if !self.yes && !out.for_programs() {
            print(&people(&plan, out))?;
        }
        confirm(&format!("make the rules what they were after revision {}", self.revision), self.yes)?;
        let reason = match self.reason.text() {
            text if text.is_empty() => format!("back to revision {}", self.revision),
            text => text,
        };
        let done = session.answer(session.policy().rollback_policy(ask(plan.revision, false, reason))).await?;
        out.done(&done, || {
            format!("{}\nback to revision {}, as revision {}", people(&done, out), self.revision, done.revision)
        })
    }
}
