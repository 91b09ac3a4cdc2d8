//! `cnnfctl rules history|rollback`.

use clap::Args;
use cnnf_rpc::v1;

use super::super::{Asker, page};
use super::Reason;
use super::confirm::waits;
use super::plan::{changes, is_empty, people};
use crate::context::{Session, request};
use crate::failure::Failure;
use crate::output::{Cell, Output, Sheet, Tone, confirm, print};
use crate::since::parse_within;

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
    /// Rules and objects become what they were after this revision; 0 is before the first. That is a new revision. If not given, the
    /// change that waits to be confirmed is taken back.
    revision: Option<u64>,
    /// Only say what would change.
    #[arg(long)]
    dry_run: bool,
    /// Do not ask.
    #[arg(short, long)]
    yes: bool,
    /// Undo it after this time unless 'rules confirm' says by then that all is well.
    #[arg(long, value_name = "TIME", value_parser = parse_within, conflicts_with = "dry_run")]
    confirm_within: Option<u32>,
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
            all.unconfirmed = all.unconfirmed.or(next.unconfirmed);
            if all.next_token.is_empty() || all.revisions.len() >= limit {
                break;
            }
        }
        all.revisions.truncate(limit);
        all.next_token.clear();
        out.show(&all, || list(&all, out))
    }
}

fn list(all: &v1::ListRevisionsResponse, out: &Output) -> String {
    let noted = all.unconfirmed.is_some() || all.revisions.iter().any(|revision| !revision.note.is_empty());
    let mut header = vec!["REVISION", "AT", "WHO", "CHANGE", "REASON"];
    header.extend(noted.then_some("NOTE"));
    let mut sheet = Sheet::new(out, &header);
    for revision in &all.revisions {
        let mut row = vec![Cell::number(revision.revision)];
        row.extend([&revision.at, &revision.who, &revision.summary, &revision.reason].map(Cell::from));
        let waits = all.unconfirmed.as_ref().filter(|change| change.revision == revision.revision);
        match waits {
            Some(change) => {
                row.push(Cell::from(format!("undone at {} unless confirmed", change.until)).tone(Tone::Warn))
            }
            None => row.extend(noted.then(|| Cell::from(&revision.note))),
        }
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
    if !revision.note.is_empty() {
        sheet.field("note", &revision.note);
    }
    format!("{}\n\n{}", sheet.render(), changes(&revision.changes, revision.changes_left_out, out))
}

impl Rollback {
    /// The revision that is meant.
    async fn meant(&self, session: &Session) -> Result<u64, Failure> {
        if let Some(revision) = self.revision {
            return Ok(revision);
        }
        let status = session.answer(session.status().get_status(request(v1::GetStatusRequest {}))).await?;
        status.unconfirmed.map(|change| change.base_revision).ok_or_else(|| {
            Failure::Usage("which revision? No change waits to be confirmed: see 'cnnfctl rules history'".into())
        })
    }

    pub(super) async fn run(self, asker: &Asker) -> Result<(), Failure> {
        let (session, out) = (asker.connect().await?, &asker.out);
        let revision = self.meant(&session).await?;
        let ask = v1::RollbackPolicyRequest { revision, ..Default::default() };
        let plan = v1::RollbackPolicyRequest { dry_run: true, ..ask.clone() };
        let plan = session.answer(session.policy().rollback_policy(request(plan))).await?;
        if self.dry_run {
            return out.show(&plan, || people(&plan, out));
        }
        if is_empty(&plan) {
            return out.done(&plan, || format!("nothing to change, revision {}", plan.revision));
        }
        if !self.yes && !out.for_programs() {
            print(&people(&plan, out))?;
        }
        confirm(&format!("make the rules what they were after revision {revision}"), self.yes)?;
        let reason = match self.reason.text() {
            text if text.is_empty() => format!("back to revision {revision}"),
            text => text,
        };
        let confirm_within_seconds = self.confirm_within.unwrap_or_default();
        let ask = v1::RollbackPolicyRequest { base_revision: plan.revision, reason, confirm_within_seconds, ..ask };
        let done = session.answer(session.policy().rollback_policy(request(ask))).await?;
        out.done(&done, || {
            let waits = waits(done.unconfirmed.as_ref());
            format!("{}\nback to revision {revision}, as revision {}{waits}", people(&done, out), done.revision)
        })
    }
}
