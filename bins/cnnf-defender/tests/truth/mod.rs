//! The truth table: connections whose owners are known beforehand, against what the defender says of them.
//!
//! A socket belongs to the control group in which it was made, for its whole life: whoever gets it later sends in its maker's name. That is
//! what the kernel goes by, and it is a word that nobody can take from another service by passing a socket on.

mod actors;
mod cases;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::bed::Bed;
use crate::bed::controller::Controller;

pub(crate) use actors::act;

/// How long an answer may take.
const SETTLE: Duration = Duration::from_secs(10);

/// A client's service and a server's.
type Pair = (String, String);

/// A row: what is known, and what was said.
struct Row {
    name: &'static str,
    predicted: BTreeMap<Pair, u64>,
    observed: BTreeMap<Pair, u64>,
    /// How many may be `unknown`.
    unknown_max: u64,
}

impl Row {
    fn total(&self) -> u64 {
        self.predicted.values().sum()
    }

    /// Right, unknown and wrong ones. Who is `unknown` or `ambiguous` is named nothing; everything else that differs is wrong.
    fn score(&self) -> (u64, u64, u64) {
        let unnamed = |name: &str| name == "unknown" || name == "ambiguous";
        let fits = |said: &Pair, known: &Pair| {
            (said.0 == known.0 || unnamed(&said.0)) && (said.1 == known.1 || unnamed(&said.1))
        };
        let (mut right, mut unknown, mut wrong) = (0, 0, 0);
        for (pair, n) in &self.observed {
            match self.predicted.get(pair) {
                Some(known) => {
                    right += n.min(known);
                    wrong += n.saturating_sub(*known);
                }
                None if self.predicted.keys().any(|known| fits(pair, known)) => unknown += n,
                None => wrong += n,
            }
        }
        (right, unknown, wrong)
    }

    fn is_good(&self) -> bool {
        let (right, unknown, wrong) = self.score();
        wrong == 0 && unknown <= self.unknown_max && right + unknown == self.total()
    }
}

/// The rows so far.
struct Table<'a> {
    bed: &'a mut Bed,
    controller: Controller,
    rows: Vec<Row>,
}

impl Table<'_> {
    /// Waits until everything on this port is reported, and keeps the row. `may_be_unknown` of the connections need no name.
    fn row(&mut self, name: &'static str, port: u16, predicted: &[(&str, &str, u64)], may_be_unknown: u64) {
        let predicted = predicted.iter().map(|(c, s, n)| (((*c).to_owned(), (*s).to_owned()), *n)).collect();
        let mut row = Row { name, predicted, observed: BTreeMap::new(), unknown_max: may_be_unknown };
        let start = Instant::now();
        while row.observed.values().sum::<u64>() < row.total() && start.elapsed() < SETTLE {
            std::thread::sleep(Duration::from_millis(50));
            row.observed.clear();
            for flow in self.controller.heard().flows.iter().filter(|flow| flow.port == u32::from(port)) {
                let pair = (flow.client_service.clone(), flow.server_service.clone());
                *row.observed.entry(pair).or_default() += flow.connections;
            }
        }
        self.rows.push(row);
    }

    /// Prints it.
    fn finish(self) {
        println!("{:<52} {:>5} {:>6} {:>8} {:>6}", "case", "known", "right", "unknown", "wrong");
        for row in &self.rows {
            let (right, unknown, wrong) = row.score();
            println!("{:<52} {:>5} {right:>6} {unknown:>8} {wrong:>6}", row.name, row.total());
            if !row.is_good() || unknown > 0 {
                println!("    predicted {:?}\n    observed  {:?}", row.predicted, row.observed);
            }
        }
        let bad: Vec<_> = self.rows.iter().filter(|row| !row.is_good()).map(|row| row.name).collect();
        assert!(bad.is_empty(), "{bad:?}");
    }
}
