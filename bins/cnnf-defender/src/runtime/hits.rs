//! From the table's counters to how often rules decided.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use cnnf_core::policy::RuleHits;
use cnnf_core::ruleset::rule_of_counter;
use cnnf_core::time::Timestamp;
use cnnf_host::dataplane::Tally;

use crate::snapshot::{self, Told};

/// What was told of each counter. The counters live in the kernel's table and go on over a restart, so this does too.
pub(super) struct Hits {
    state_dir: PathBuf,
    boot: String,
    told: Told,
}

impl Hits {
    /// As an earlier run of this boot left it.
    pub(super) fn resume(state_dir: &Path, boot: &str) -> Self {
        Self { state_dir: state_dir.to_owned(), boot: boot.to_owned(), told: snapshot::load_hits(state_dir, boot) }
    }

    /// What the counters have counted beyond what was told of them, seen at `now`; from here on it is told. What is not among the table's
    /// `counters` any more, where these are known, is forgotten.
    ///
    /// It is kept before it is told: after a kill in between, some is missing rather than told twice.
    pub(super) fn more(
        &mut self,
        tallies: &[Tally],
        counters: Option<&BTreeSet<String>>,
        now: Timestamp,
    ) -> Vec<RuleHits> {
        let more = grown(&mut self.told, tallies, now);
        let known = self.told.len();
        if let Some(counters) = counters {
            self.told.retain(|name, _| counters.contains(name));
        }
        if (!more.is_empty() || self.told.len() != known)
            && let Err(error) = snapshot::keep_hits(&self.state_dir, &self.boot, &self.told)
        {
            tracing::warn!("how often rules decided may be told of twice: {error}");
        }
        more
    }
}

/// How much each rule's counter has grown. A counter of another handle is a new one and began at 0; one that is missing may have been
/// hidden from this look by a change of the table, and is in the next.
fn grown(told: &mut Told, tallies: &[Tally], now: Timestamp) -> Vec<RuleHits> {
    let mut more = Vec::new();
    for Tally { name, handle, packets } in tallies {
        let Some(rule) = rule_of_counter(name) else { continue };
        let base = told.get(name).filter(|(of, _)| of == handle).map_or(0, |(_, packets)| *packets);
        let connections = packets.saturating_sub(base);
        if connections > 0 {
            more.push(RuleHits { rule, connections, last: now });
            told.insert(name.clone(), (*handle, *packets));
        }
    }
    more
}

#[cfg(test)]
mod tests {
    use cnnf_core::policy::RuleId;

    use super::*;

    fn tally(name: &str, handle: u64, packets: u64) -> Tally {
        Tally { name: name.to_owned(), handle: (1, handle), packets }
    }

    #[test]
    fn each_connection_is_told_of_once_whatever_becomes_of_the_counter() {
        let mut told = Told::new();
        let mut look = |tallies: &[Tally]| -> Vec<(RuleId, u64)> {
            grown(&mut told, tallies, Timestamp(5)).into_iter().map(|hits| (hits.rule, hits.connections)).collect()
        };
        assert_eq!(look(&[tally("r1", 7, 3), tally("r2", 8, 0)]), [(RuleId(1), 3)]);
        assert_eq!(look(&[tally("r1", 7, 3)]), [], "nothing new");
        assert_eq!(look(&[]), [], "a look that missed it");
        assert_eq!(look(&[tally("r1", 7, 5)]), [(RuleId(1), 2)]);
        assert_eq!(look(&[tally("r1", 9, 6)]), [(RuleId(1), 6)], "another counter of its name began at 0");
        assert_eq!(look(&[tally("r1", 9, 6), tally("other", 1, 9)]), []);
    }

    #[test]
    fn another_run_goes_on_and_counters_that_are_gone_are_forgotten() {
        let dir = tempfile::tempdir().expect("directory");
        let count = |packets, counters: Option<&[&str]>| {
            let mut hits = Hits::resume(dir.path(), "boot");
            let counters = counters.map(|names| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>());
            let more = hits.more(&[tally("r1", 7, packets)], counters.as_ref(), Timestamp(5));
            more.iter().map(|hits| hits.connections).sum::<u64>()
        };
        assert_eq!((count(3, None), count(3, Some(&["r1"])), count(10, None)), (3, 0, 7));
        assert_eq!((count(10, Some(&["r2"])), Hits::resume(dir.path(), "boot").told), (0, Told::new()));
    }
}
