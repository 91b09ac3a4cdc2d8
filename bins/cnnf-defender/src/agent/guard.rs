//! What the host's own guard has to tell: who changed the table, and what passed without a verdict.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use cnnf_core::event::{EventKind, Notice, Process};
use cnnf_core::time::Timestamp;

/// Repairs that are made at once in [`WINDOW`]; those after them come ever later.
const AT_ONCE: usize = 20;
const WINDOW: Duration = Duration::from_secs(60);
const FIRST_WAIT: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// How often packets without a verdict are told of.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// Remembers repairs and what is still to be told.
#[derive(Debug, Default)]
pub(super) struct Guard {
    repairs: VecDeque<Timestamp>,
    repair_at: Option<Timestamp>,
    passed: u64,
    lost: u64,
    told_at: Timestamp,
}

impl Guard {
    /// Somebody changed the table. Says what to tell, and whether to repair it now; if not, [`Guard::is_due`] says when.
    pub(super) fn tampered(&mut self, by: &[Culprit], now: Timestamp) -> (Notice, bool) {
        while self.repairs.front().is_some_and(|at| now.since(*at) > WINDOW) {
            self.repairs.pop_front();
        }
        self.repairs.push_back(now);
        let more = self.repairs.len().saturating_sub(AT_ONCE);
        let doubled = u32::try_from(more).unwrap_or(u32::MAX).saturating_sub(1).min(10);
        let wait = if more == 0 { Duration::ZERO } else { (FIRST_WAIT * 2_u32.pow(doubled)).min(LONGEST_WAIT) };
        self.repair_at = (!wait.is_zero()).then(|| now.plus(wait));
        (notice(by, wait, now), wait.is_zero())
    }

    /// Whether a repair that was put off is due.
    pub(super) fn is_due(&mut self, now: Timestamp) -> bool {
        self.repair_at.take_if(|at| now >= *at || at.since(now) > LONGEST_WAIT).is_some()
    }

    /// So many more packets passed without a verdict, or were lost while they waited for one.
    pub(super) fn unjudged(&mut self, passed: u64, lost: u64) {
        self.passed += passed;
        self.lost += lost;
    }

    /// What passed without a verdict, if it is time to tell.
    pub(super) fn tell(&mut self, now: Timestamp) -> Option<Notice> {
        if (self.passed == 0 && self.lost == 0) || (now >= self.told_at && now.since(self.told_at) < TELL_EVERY) {
            return None;
        }
        self.told_at = now;
        let (passed, lost) = (std::mem::take(&mut self.passed), std::mem::take(&mut self.lost));
        let message = match (passed, lost) {
            (_, 0) => "packets passed without a verdict: nobody answered for them in time".into(),
            (0, _) => "packets were lost while they waited for a verdict: the queue was full".into(),
            _ => format!("packets had no verdict in time: {passed} passed, {lost} were lost in a full queue"),
        };
        Some(Notice { at: now, kind: EventKind::FailOpen, message, process: Process::default(), count: passed + lost })
    }
}

/// Who changed rules while the table was changed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Culprit {
    /// The name of its thread.
    pub(crate) name: String,
    /// What could be read of it.
    pub(crate) process: Process,
}

fn notice(by: &[Culprit], wait: Duration, now: Timestamp) -> Notice {
    let names: BTreeSet<&str> = by.iter().map(|culprit| culprit.name.as_str()).collect();
    let names: Vec<String> = names.into_iter().map(|name| format!("'{}'", name.escape_debug())).collect();
    let who = match &names[..] {
        [] => "a process that ended".to_owned(),
        [one] => one.clone(),
        [names @ .., last] => format!("{} or {last}", names.join(", ")),
    };
    let then = if wait.is_zero() { "it was made anew" } else { "somebody keeps doing so: it is made anew ever later" };
    Notice {
        at: now,
        kind: EventKind::Tamper,
        message: format!("{who} changed the table inet cnnf; {then}"),
        process: by.first().map(|culprit| culprit.process.clone()).unwrap_or_default(),
        count: 1,
    }
}
