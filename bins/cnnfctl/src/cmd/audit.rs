//! `cnnfctl audit`.

use clap::Subcommand;
use cnnf_core::time::Timestamp;
use cnnf_rpc::convert::common::stamp_text;
use cnnf_rpc::v1;

use super::{Asker, page};
use crate::context::request;
use crate::failure::Failure;
use crate::output::{Cell, Output, Sheet, count, printable};
use crate::since::{parse_since, range};

#[derive(Debug, Subcommand)]
pub(super) enum Audit {
    /// Changes, newest first: who made them, from where, and with -o wide what was before and is after.
    List {
        /// Only by this user, certificate or token.
        #[arg(long, value_name = "NAME")]
        actor: Option<String>,
        /// Only of this kind, such as rule.add, or rule for all of rules.
        #[arg(long, value_name = "ACTION")]
        action: Option<String>,
        /// Only on this rule, host, user and so on.
        #[arg(long, value_name = "NAME")]
        subject: Option<String>,
        /// Only since then: how long ago (1h, 7d) or a time (RFC 3339).
        #[arg(long, value_name = "TIME", value_parser = parse_since)]
        since: Option<Timestamp>,
        /// Only until then.
        #[arg(long, value_name = "TIME", value_parser = parse_since)]
        until: Option<Timestamp>,
        /// At most so many.
        #[arg(long, default_value = "100", value_name = "N")]
        limit: usize,
    },
    /// Compute the chain of hashes anew: exit code 1 if an entry was changed or is missing.
    Verify,
}

impl Audit {
    pub(super) async fn run(self, asker: &Asker) -> Result<(), Failure> {
        let out = &asker.out;
        let session = asker.connect().await?;
        match self {
            Self::List { actor, action, subject, since, until, limit } => {
                let mut all = v1::ListAuditResponse::default();
                loop {
                    let ask = v1::ListAuditRequest {
                        actor: actor.clone().unwrap_or_default(),
                        action: action.clone().unwrap_or_default(),
                        subject: subject.clone().unwrap_or_default(),
                        time: range(since, until),
                        page: page(&all.next_token),
                    };
                    let next = session.answer(session.audit().list_audit(request(ask))).await?;
                    all.entries.extend(next.entries);
                    all.next_token = next.next_token;
                    if all.next_token.is_empty() || all.entries.len() >= limit {
                        break;
                    }
                }
                all.entries.truncate(limit);
                out.show(&all, || list(&all.entries, out))
            }
            Self::Verify => {
                let answer = session.answer(session.audit().verify_audit(request(v1::VerifyAuditRequest {}))).await?;
                let entries = usize::try_from(answer.entries).unwrap_or(usize::MAX);
                out.show(&answer, || match answer.intact {
                    true => format!(
                        "{} in an unbroken chain, the newest one's hash is {}",
                        entry(entries),
                        printable(&answer.head)
                    ),
                    false => format!("entry {} is wrong: {}", answer.first_bad, printable(&answer.problem)),
                })?;
                if answer.intact { Ok(()) } else { Err(Failure::Differs) }
            }
        }
    }
}

/// `1 entry`, `2 entries`.
fn entry(number: usize) -> String {
    if number == 1 { count(1, "entry") } else { format!("{number} entries") }
}

fn list(entries: &[v1::AuditEntry], out: &Output) -> String {
    let mut header = vec!["TIME", "WHO", "FROM", "ACTION", "ON"];
    if out.wide() {
        header = vec!["ID", "TIME", "WHO", "VIA", "FROM", "ACTION", "ON", "BEFORE", "AFTER"];
    }
    let mut sheet = Sheet::new(out, &header);
    for entry in entries {
        let v1::AuditEntry { id, at, actor, via, address, action, subject, before, after, hash: _ } = entry;
        let at = Cell::from(stamp_text(at.as_ref()));
        let mut row = vec![at, Cell::from(actor), Cell::from(address), Cell::from(action), Cell::from(subject)];
        if out.wide() {
            row.insert(0, Cell::number(id));
            row.insert(3, Cell::from(via));
            row.extend([Cell::from(before), Cell::from(after)]);
        }
        sheet.row(row);
    }
    sheet.render()
}
