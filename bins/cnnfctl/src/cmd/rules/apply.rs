//! `cnnfctl rules apply`.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::Args;
use cnnf_rpc::v1;

use super::super::Asker;
use crate::context::request;
use crate::failure::Failure;
use crate::output::{Output, Tone, confirm, count, print, printable};
use crate::policy_file;

#[derive(Debug, Args)]
pub(in crate::cmd) struct Apply {
    /// The policy file; - for standard input.
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,
    /// Only say what would change.
    #[arg(long)]
    dry_run: bool,
    /// Do not ask before rules are deleted.
    #[arg(short, long)]
    yes: bool,
}

impl Apply {
    pub(super) async fn run(self, asker: &Asker) -> Result<(), Failure> {
        let out = &asker.out;
        let (text, name) = read(&self.file)?;
        let policy = policy_file::read(&text, &name)?;
        let session = asker.connect().await?;
        let ask = |base_revision, dry_run| {
            let (rules, objects) = (policy.rules.clone(), policy.objects.clone());
            request(v1::ApplyPolicyRequest { rules, objects, base_revision, dry_run })
        };
        let plan = session.answer(session.policy().apply_policy(ask(0, true))).await?;
        if self.dry_run {
            return out.show(&plan, || people(&plan, out));
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
        // The plan that was agreed to, or nothing.
        let done = session.answer(session.policy().apply_policy(ask(plan.revision, false))).await?;
        out.done(&done, || format!("{}\napplied, revision {}", people(&done, out), done.revision))
    }
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

fn is_empty(plan: &v1::ApplyPolicyResponse) -> bool {
    plan.added.is_empty() && plan.changed.is_empty() && plan.deleted.is_empty() && plan.objects.is_empty()
}

/// The plan, a line each.
fn people(plan: &v1::ApplyPolicyResponse, out: &Output) -> String {
    if is_empty(plan) {
        return "nothing to change".into();
    }
    let mut lines = Vec::new();
    for (sign, tone, names) in
        [("+", Tone::Good, &plan.added), ("~", Tone::Warn, &plan.changed), ("-", Tone::Bad, &plan.deleted)]
    {
        lines.extend(names.iter().map(|name| tone.paint(&format!("{sign} {}", printable(name)), out)));
    }
    lines.extend(plan.objects.iter().map(|name| Tone::Warn.paint(&format!("~ object {}", printable(name)), out)));
    let numbers = [(&plan.added, "added"), (&plan.changed, "changed"), (&plan.deleted, "deleted")];
    lines.push(numbers.map(|(names, what)| format!("{} {what}", names.len())).join(", "));
    lines.join("\n")
}
