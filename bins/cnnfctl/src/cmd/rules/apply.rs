//! `cnnfctl rules diff|apply`.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::Args;
use cnnf_rpc::v1;

use super::super::Asker;
use super::Reason;
use super::confirm::waits;
use super::dare::live_cut;
use super::plan::{is_empty, people};
use crate::context::{Session, request};
use crate::failure::Failure;
use crate::output::{confirm, count, print, printable};
use crate::policy_file::{self, Policy};
use crate::since::parse_within;

#[derive(Debug, Args)]
pub(in crate::cmd) struct Diff {
    /// The policy file; - for standard input.
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,
}

#[derive(Debug, Args)]
pub(in crate::cmd) struct Apply {
    /// The policy file; - for standard input.
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,
    /// Only say what would change, and how many live connections each host would cut.
    #[arg(long)]
    dry_run: bool,
    /// Do not ask before rules are deleted.
    #[arg(short, long)]
    yes: bool,
    /// Refuse if the rules are at another revision than this, which the file was made from.
    #[arg(long, value_name = "REVISION", value_parser = clap::value_parser!(u64).range(1..))]
    base: Option<u64>,
    /// Undo it after this time unless 'rules confirm' says by then that all is well.
    #[arg(long, value_name = "TIME", value_parser = parse_within, conflicts_with = "dry_run")]
    confirm_within: Option<u32>,
    #[command(flatten)]
    reason: Reason,
}

/// What applying `policy` to `base_revision` would do; if `live`, also to connections that live.
async fn plan(
    session: &Session,
    policy: &Policy,
    base_revision: u64,
    live: bool,
) -> Result<v1::ApplyPolicyResponse, Failure> {
    let (rules, objects) = (policy.rules.clone(), policy.objects.clone());
    let ask = v1::ApplyPolicyRequest { rules, objects, base_revision, dry_run: true, live, ..Default::default() };
    session.answer(session.policy().apply_policy(request(ask))).await
}

impl Diff {
    pub(super) async fn run(self, asker: &Asker) -> Result<(), Failure> {
        let out = &asker.out;
        let policy = read_policy(&self.file)?;
        let plan = plan(&asker.connect().await?, &policy, 0, false).await?;
        out.show(&plan, || people(&plan, out))?;
        if is_empty(&plan) { Ok(()) } else { Err(Failure::Differs) }
    }
}

impl Apply {
    pub(super) async fn run(self, asker: &Asker) -> Result<(), Failure> {
        let out = &asker.out;
        let policy = read_policy(&self.file)?;
        let session = asker.connect().await?;
        let plan = plan(&session, &policy, self.base.unwrap_or_default(), self.dry_run).await?;
        if self.dry_run {
            let live = || plan.live.as_ref().map(|cut| format!("\n\n{}", live_cut(cut, out)));
            return out.show(&plan, || people(&plan, out) + &live().unwrap_or_default());
        }
        if is_empty(&plan) {
            return out.done(&plan, || format!("nothing to change, revision {}", plan.revision));
        }
        if !plan.deleted.is_empty() {
            if !self.yes && !out.for_programs() {
                print(&people(&plan, out))?;
            }
            let what = count(plan.deleted.len(), "rule");
            confirm(&format!("delete {what} ({})", printable(&plan.deleted.join(", "))), self.yes)?;
        }
        // The plan that was agreed to, or nothing. Before the first change there is no revision to name.
        let ask = v1::ApplyPolicyRequest {
            rules: policy.rules,
            objects: policy.objects,
            base_revision: plan.revision,
            dry_run: false,
            live: false,
            reason: self.reason.text(),
            confirm_within_seconds: self.confirm_within.unwrap_or_default(),
        };
        let done = session.answer(session.policy().apply_policy(request(ask))).await?;
        out.done(&done, || {
            format!("{}\napplied, revision {}{}", people(&done, out), done.revision, waits(done.unconfirmed.as_ref()))
        })
    }
}

pub(super) fn read_policy(file: &Path) -> Result<Policy, Failure> {
    let (text, name) = read(file)?;
    policy_file::read(&text, &name)
}

fn read(file: &Path) -> Result<(String, String), Failure> {
    let mut text = String::new();
    let (result, name) = if file == Path::new("-") {
        (std::io::stdin().read_to_string(&mut text).map(drop), "standard input".to_owned())
    } else {
        (std::fs::read_to_string(file).map(|read| text = read), file.display().to_string())
    };
    result.map_err(|error| Failure::Usage(format!("cannot read {name}: {error}: check -f")))?;
    Ok((text, name))
}
