//! The process is killed at any moment: what was acknowledged is there.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use cnnf_core::id::HostId;
use cnnf_store::{Store, Taken};

use crate::place::{Place, enrol, report};

const CHILD: &str = "CNNF_STORE_KILL_CHILD";
const ROUNDS: u64 = 25;

/// The process that is killed: takes reports in as fast as it can and says which ones are durable. Only its parent's environment makes
/// it do anything.
#[test]
fn child_takes_reports_in() {
    let Ok(path) = std::env::var(CHILD) else { return };
    let store = Store::open(Path::new(&path)).expect("the store opens");
    let done = store.cursors().expect("cursors").get(&HostId::new("h-1")).map_or(0, |cursor| cursor.seq);
    let mut out = std::io::stdout().lock();
    let mut waiting = std::collections::VecDeque::new();
    for seq in done + 1.. {
        waiting.push_back((seq, store.take_in(report("h-1", "a", seq))));
        while waiting.len() > 50 {
            let Some((seq, taken)) = waiting.pop_front() else { break };
            assert!(matches!(taken.wait(), Ok(Taken::Fresh(_))));
            writeln!(out, "\nacknowledged {seq}").expect("the parent reads");
            out.flush().expect("the parent reads");
        }
    }
}

#[test]
fn what_was_acknowledged_survives_kills() {
    let (place, store) = Place::new();
    enrol(&store, "h-1");
    drop(store);
    let mut all = 0;
    for round in 0..ROUNDS {
        let mut child = Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", "kill::child_takes_reports_in", "--nocapture"])
            .env(CHILD, place.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the child starts");
        let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let mut acknowledged = 0;
        let mut end = None;
        for line in lines.map_while(Result::ok) {
            let Some(seq) = line.strip_prefix("acknowledged ") else { continue };
            acknowledged = seq.parse().expect("a number");
            // Each round a little later after the first acknowledgement, so that different moments are hit.
            let end = *end.get_or_insert_with(|| Instant::now() + Duration::from_micros(round * 731));
            if Instant::now() >= end {
                child.kill().expect("killed");
            }
        }
        child.wait().expect("reaped");
        assert!(acknowledged > all, "round {round}: the child did nothing");
        let store = place.reopen();
        let cursor = store.cursors().expect("cursors")[&HostId::new("h-1")].seq;
        let edges = store.edges().expect("edges");
        assert!(cursor >= acknowledged, "round {round}: {acknowledged} was acknowledged, {cursor} is there");
        assert_eq!(edges[0].1.connections, cursor, "round {round}: a report is there whole or not at all");
        all = cursor;
    }
}
