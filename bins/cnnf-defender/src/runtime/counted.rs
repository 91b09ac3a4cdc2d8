//! From the counters of the table's rules to those that `status` and the heartbeat show.

use std::collections::{BTreeMap, HashMap};

use cnnf_core::ruleset::PASSED;
use cnnf_host::dataplane::Counted;

/// A counter that is shown: what passed without a verdict.
pub(super) const FAIL_OPEN: &str = "fail_open";

/// Rules that count together: their chain and comment. Several may have the same comment, or none.
type Place = (String, String);

/// What was read of the table's rules.
pub(super) struct Seen(HashMap<Place, u64>);

impl Seen {
    /// As an earlier run left the table, which told of so much that passed.
    pub(super) fn resume(passed: u64) -> Self {
        Self(HashMap::from([(passing(), passed)]))
    }

    /// What passed without a verdict, as it was read last.
    pub(super) fn passed(&self) -> u64 {
        self.0.get(&passing()).copied().unwrap_or(0)
    }

    /// How much the wanted ones have grown since they were read last. A chain that was filled anew counts from 0 again.
    pub(super) fn more(
        &mut self,
        all: impl IntoIterator<Item = Counted>,
        is_wanted: impl Fn(&str) -> bool,
    ) -> Vec<(&'static str, u64)> {
        let mut sums: BTreeMap<(&'static str, Place), u64> = BTreeMap::new();
        for Counted { chain, comment, packets } in all {
            if let Some(name) = name_of(&chain, &comment).filter(|name| is_wanted(name)) {
                *sums.entry((name, (chain, comment))).or_default() += packets;
            }
        }
        let grown = |((name, place), packets): (_, u64)| {
            let before = self.0.insert(place, packets).unwrap_or(0);
            (name, packets.checked_sub(before).unwrap_or(packets))
        };
        sums.into_iter().map(grown).collect()
    }
}

fn passing() -> Place {
    (FAIL_OPEN.to_owned(), PASSED.to_owned())
}

/// What the rules of a chain are shown as.
fn name_of(chain: &str, comment: &str) -> Option<&'static str> {
    Some(match chain {
        "fail_open" => FAIL_OPEN,
        "untracked" => "untracked",
        "ask_out" | "ask_in" => "asked",
        "deny_out" | "deny_in" if comment == "failsafe" => "failsafe",
        "deny_out" | "deny_in" => "refused",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(chain: &str, comment: &str, packets: u64) -> Counted {
        Counted { chain: chain.to_owned(), comment: comment.to_owned(), packets }
    }

    #[test]
    fn what_rules_without_a_comment_count_is_told_of_once() {
        let mut seen = Seen::resume(0);
        let mut refused = |tcp, others, elsewhere| -> u64 {
            let all = [
                rule("deny_out", "failsafe", 7),
                rule("deny_out", "", tcp),
                rule("deny_out", "", others),
                rule("deny_in", "", elsewhere),
                rule("judge_out", "", 9),
            ];
            let more = seen.more(all, |_| true);
            more.into_iter().filter(|(name, _)| *name == "refused").map(|(_, more)| more).sum()
        };
        assert_eq!([refused(100, 0, 5), refused(100, 0, 5), refused(101, 2, 5)], [105, 0, 3]);
        assert_eq!(refused(4, 0, 5), 4, "filled anew");
    }

    #[test]
    fn what_passed_goes_on_where_an_earlier_run_left_it() {
        let mut seen = Seen::resume(3);
        let all = || [rule("fail_open", PASSED, 5), rule("untracked", "not tracked, so not judged", 2)];
        assert_eq!(seen.more(all(), |name| name == FAIL_OPEN), [(FAIL_OPEN, 2)]);
        assert_eq!((seen.passed(), seen.more(all(), |_| true)), (5, vec![(FAIL_OPEN, 0), ("untracked", 2)]));
    }
}
