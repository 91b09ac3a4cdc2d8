//! The files of the state folder, over a corpus and mutations of it: a torn or spoilt one is refused or read in part, and never ends the
//! defender.

use crate::spool;

#[path = "../../../integration/fuzz/mutate.rs"]
mod mutate;
use mutate::fuzz;

#[test]
fn fuzz_spool() {
    fuzz("corpus/spool", |bytes| {
        if let Some(kept) = spool::parse(bytes) {
            let numbers: Vec<u64> = kept.reports.iter().map(|(seq, _)| *seq).collect();
            assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "{numbers:?}");
            assert!(
                numbers.last().is_none_or(|last| *last < kept.next) && kept.next <= i64::MAX as u64,
                "{}",
                kept.next
            );
        }
    });
}
