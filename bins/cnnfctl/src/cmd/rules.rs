//! `cnnfctl rules`.

mod apply;
mod change;
mod confirm;
mod dare;
mod history;
mod people;
mod plan;

use clap::{Args, Subcommand};
use cnnf_rpc::{limits, v1};

pub(super) use confirm::waiting;

use super::Asker;
use crate::context::{Session, request};
use crate::failure::Failure;
use crate::output::{confirm, print, printable};
use crate::policy_file;

/// Why something is changed.
#[derive(Debug, Args)]
pub(super) struct Reason {
    /// Why, for the history.
    #[arg(short = 'm', long, value_name = "TEXT")]
    reason: Option<String>,
}

impl Reason {
    /// As it is sent.
    pub(super) fn text(&self) -> String {
        self.reason.clone().unwrap_or_default()
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum Rules {
    /// The rules in order; the first that matches decides.
    List,
    /// One rule.
    Show {
        /// Its name or number.
        rule: String,
    },
    /// Add a rule.
    Add(Box<change::Add>),
    /// Change a rule: what is given is set, the rest stays.
    Set(Box<change::Set>),
    /// Move a rule to another place in the order.
    Move {
        /// Its name or number.
        rule: String,
        /// Its new place, from 1.
        #[arg(value_parser = clap::value_parser!(u32).range(1..))]
        position: u32,
        #[command(flatten)]
        reason: Reason,
    },
    /// Let a rule count again.
    Enable {
        /// Its name or number.
        rule: String,
        #[command(flatten)]
        reason: Reason,
    },
    /// Keep a rule but let it not count.
    Disable {
        /// Its name or number.
        rule: String,
        #[command(flatten)]
        reason: Reason,
    },
    /// Delete a rule.
    Delete {
        /// Its name or number.
        rule: String,
        /// Do not ask.
        #[arg(short, long)]
        yes: bool,
        #[command(flatten)]
        reason: Reason,
    },
    /// Print rules and objects as a policy file: applying it changes nothing.
    Export,
    /// What applying a policy file would change. Exits with 1 if it would change anything.
    Diff(apply::Diff),
    /// Make rules and objects equal to a policy file, all or nothing.
    Apply(apply::Apply),
    /// Keep a change that was applied with --confirm-within: without this word it is undone.
    Confirm(confirm::Confirm),
    /// What a policy file would do to the edges that were recorded. Exits with 1 if it would newly prevent anything.
    Simulate(dare::Simulate),
    /// What is wrong with rules that are right by themselves, and what to do. Exits with 1 if anything is.
    Lint(dare::Lint),
    /// The rules that a service's model amounts to; with -o yaml as a policy file, with what justifies each.
    Suggest(dare::Suggest),
    /// Who changed rules and objects, when, why and how.
    History(history::History),
    /// Make rules and objects what they were after a revision.
    Rollback(history::Rollback),
}

impl Rules {
    pub(super) async fn run(self, asker: &Asker) -> Result<(), Failure> {
        let out = &asker.out;
        match self {
            Self::List => {
                let rules = all(&asker.connect().await?).await?;
                out.show(&rules, || {
                    let waiting = rules.unconfirmed.as_ref().map(|change| format!("{}\n\n", confirm::waiting(change)));
                    waiting.unwrap_or_default() + &people::list(&rules.rules, out)
                })
            }
            Self::Show { rule } => {
                let rules = all(&asker.connect().await?).await?;
                let rule = find(&rules.rules, &rule)?;
                out.show(rule, || people::show(rule, out))
            }
            Self::Add(add) => add.run(asker).await,
            Self::Set(set) => set.run(asker).await,
            Self::Move { rule, position, reason } => {
                let session = asker.connect().await?;
                let ask = v1::MoveRuleRequest { rule, position, reason: reason.text() };
                let rule = session.answer(session.policy().move_rule(request(ask))).await?;
                out.done(&rule, || format!("rule '{}' is number {} in order", printable(&rule.name), rule.position))
            }
            Self::Enable { rule, reason } => change::switch(asker, rule, true, &reason).await,
            Self::Disable { rule, reason } => change::switch(asker, rule, false, &reason).await,
            Self::Delete { rule, yes, reason } => {
                let session = asker.connect().await?;
                let rules = all(&session).await?;
                let name = find(&rules.rules, &rule)?.name.clone();
                confirm(&format!("delete rule '{}'", printable(&name)), yes)?;
                let ask = v1::DeleteRuleRequest { rule: name.clone(), reason: reason.text() };
                let answer = session.answer(session.policy().delete_rule(request(ask))).await?;
                out.done(&answer, || format!("rule '{}' is deleted, revision {}", printable(&name), answer.revision))
            }
            Self::Export => {
                let rules = all(&asker.connect().await?).await?;
                print(policy_file::write(&rules.rules, &rules.objects)?.trim_end_matches('\n'))
            }
            Self::Diff(diff) => diff.run(asker).await,
            Self::Apply(apply) => apply.run(asker).await,
            Self::Confirm(confirm) => confirm.run(asker).await,
            Self::Simulate(simulate) => simulate.run(asker).await,
            Self::Lint(lint) => lint.run(asker).await,
            Self::Suggest(suggest) => suggest.run(asker).await,
            Self::History(history) => history.run(asker).await,
            Self::Rollback(rollback) => rollback.run(asker).await,
        }
    }
}

async fn all(session: &Session) -> Result<v1::ListRulesResponse, Failure> {
    let mut whole = v1::ListRulesResponse::default();
    loop {
        let page = Some(v1::PageRequest { size: limits::MAX_PAGE, token: std::mem::take(&mut whole.next_token) });
        let part = session.answer(session.policy().list_rules(request(v1::ListRulesRequest { page }))).await?;
        if part.revision != whole.revision && !whole.rules.is_empty() {
            // somebody has changed them meanwhile: from the beginning
            whole = v1::ListRulesResponse::default();
            continue;
        }
        let mut rules = std::mem::take(&mut whole.rules);
        rules.extend(part.rules);
        whole = v1::ListRulesResponse { rules, ..part };
        if whole.next_token.is_empty() {
            return Ok(whole);
        }
    }
}

/// The rule of this name, else of this number.
fn find<'a>(rules: &'a [v1::Rule], name: &str) -> Result<&'a v1::Rule, Failure> {
    let named = rules.iter().find(|rule| rule.name == name);
    named
        .or_else(|| name.parse().ok().and_then(|id: u64| rules.iter().find(|rule| rule.id == id)))
        .ok_or_else(|| Failure::No(format!("there is no rule '{name}': see 'cnnfctl rules list'")))
}
