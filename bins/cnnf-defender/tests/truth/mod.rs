//! The truth table: connections whose owners are known beforehand, against what the defender says of them.
//!
//! A socket belongs to the control group in which it was made, for its whole life: whoever gets it later sends in its maker's name. That is
//! what the kernel goes by, and it is a word that nobody can take from another service by passing a socket on.

mod actors;
mod cases;
mod changing;
mod hands;
mod loads;
mod pids;

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use crate::bed::controller::Controller;
use crate::bed::{Bed, with_bed};
use crate::enroll;

pub(crate) use actors::act;

/// How long an answer may take.
const SETTLE: Duration = Duration::from_secs(10);

/// The service that answers on ports 8000 to 8040.
const SERVER: &str = "unit:server";
/// Says how many connections a case has; 200 without it.
const EACH: &str = "CNNF_TRUTH_EACH";
/// Says to which file each row is added, as its name and four numbers with tabs between them.
const ROWS: &str = "CNNF_TRUTH_ROWS";

/// Connections a case.
fn each() -> u64 {
    std::env::var(EACH).map_or(200, |text| text.parse().expect(EACH))
}

/// Connections of a case where each takes longer.
fn some() -> u64 {
    (each() / 10).max(1)
}

/// How many of so many packets that wait for their program's name may get none on a busy machine: they wait 40 ms at most.
fn late(connections: u64) -> u64 {
    connections / 50
}

/// Runs `test` on a host with a defender and a server; the table is printed and has to be right.
fn table(test: impl FnOnce(&mut Table<'_>) + Send) {
    with_bed(|bed: &mut Bed| {
        let controller = Controller::start();
        enroll(bed, &controller);
        bed.start();
        bed.begin("server.service", "answer 8000 8040");
        let mut table = Table { bed, controller, rows: Vec::new() };
        test(&mut table);
        table.finish();
    });
}

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
    /// The path of a program of this name that does what this one does.
    fn named(&self, name: &str) -> String {
        let path = self.bed.dir.path().join(name);
        let this = std::env::current_exe().expect("this program");
        std::fs::hard_link(&this, &path).or_else(|_| std::fs::copy(&this, &path).map(drop)).expect("a program");
        path.display().to_string()
    }

    /// Waits until everything on this port is reported, and keeps the row. `may_be_unknown` of the connections need no name.
    fn row(&mut self, name: &'static str, port: u16, predicted: &[(&str, &str, u64)], may_be_unknown: u64) {
        let predicted = predicted.iter().map(|(c, s, n)| (((*c).to_owned(), (*s).to_owned()), *n)).collect();
        let mut row = Row { name, predicted, observed: BTreeMap::new(), unknown_max: may_be_unknown };
        row.observed = self.observed(port, row.total());
        self.keep(row);
    }

    /// What is said of connections to this port, once there are so many, or no more come.
    fn observed(&self, port: u16, total: u64) -> BTreeMap<Pair, u64> {
        let start = Instant::now();
        loop {
            std::thread::sleep(Duration::from_millis(50));
            let mut observed: BTreeMap<Pair, u64> = BTreeMap::new();
            for flow in self.controller.heard().flows.iter().filter(|flow| flow.port == u32::from(port)) {
                let pair = (flow.client_service.clone(), flow.server_service.clone());
                *observed.entry(pair).or_default() += flow.connections;
            }
            if observed.values().sum::<u64>() >= total || start.elapsed() > SETTLE {
                return observed;
            }
        }
    }

    fn keep(&mut self, row: Row) {
        let (right, unknown, wrong) = row.score();
        if std::io::stderr().is_terminal() {
            eprintln!("{:<64} {right} right, {unknown} unknown, {wrong} wrong", row.name);
        }
        if let Ok(path) = std::env::var(ROWS) {
            let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path).expect(ROWS);
            writeln!(file, "{}\t{}\t{right}\t{unknown}\t{wrong}", row.name, row.total()).expect(ROWS);
        }
        self.rows.push(row);
    }

    /// Prints it.
    fn finish(self) {
        println!("{:<64} {:>6} {:>6} {:>8} {:>6}", "case", "known", "right", "unknown", "wrong");
        for row in &self.rows {
            let (right, unknown, wrong) = row.score();
            println!("{:<64} {:>6} {right:>6} {unknown:>8} {wrong:>6}", row.name, row.total());
            if !row.is_good() || unknown > 0 {
                println!("    predicted {:?}\n    observed  {:?}", row.predicted, row.observed);
            }
        }
        let bad: Vec<_> = self.rows.iter().filter(|row| !row.is_good()).map(|row| row.name).collect();
        if !bad.is_empty() {
            println!("{}", String::from_utf8_lossy(&self.bed.defender(&["status"]).stdout));
        }
        assert!(bad.is_empty(), "{bad:?}");
    }
}
