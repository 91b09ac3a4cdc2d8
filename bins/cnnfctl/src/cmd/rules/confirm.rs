//! `cnnfctl rules confirm`, and what waits for it.

use clap::Args;
use cnnf_rpc::v1;

use super::super::Asker;
use crate::context::request;
use crate::failure::Failure;
use crate::output::printable;

#[derive(Debug, Args)]
pub(in crate::cmd) struct Confirm {
    /// The change that you mean; refused if another one waits. The one that waits if not given.
    revision: Option<u64>,
}

impl Confirm {
    pub(super) async fn run(self, asker: &Asker) -> Result<(), Failure> {
        let session = asker.connect().await?;
        let ask = v1::ConfirmPolicyRequest { revision: self.revision.unwrap_or_default() };
        let answer = session.answer(session.policy().confirm_policy(request(ask))).await?;
        asker.out.done(&answer, || format!("revision {} is confirmed and stays", answer.revision))
    }
}

/// Beneath a change that was just made: until when it has to be confirmed.
pub(super) fn waits(change: Option<&v1::UnconfirmedChange>) -> String {
    change.map_or_else(String::new, |change| {
        format!(
            "\nundone at {} unless confirmed: 'cnnfctl rules confirm' keeps it, 'cnnfctl rules rollback' takes it back",
            change.until
        )
    })
}

/// Of a change that somebody made: whose, and how long it still waits.
pub(in crate::cmd) fn waiting(change: &v1::UnconfirmedChange) -> String {
    let left = std::time::Duration::from_secs(change.left_ms.div_ceil(1000));
    format!(
        "revision {} of {} is undone in {} (at {}) unless confirmed: 'cnnfctl rules confirm' keeps it, \
         'cnnfctl rules rollback' takes it back",
        change.revision,
        printable(&change.who),
        humantime::format_duration(left),
        change.until
    )
}
