//! Cases of process ids that are used again, and of many processes that live shortly.

use std::process::Command;
use std::time::Instant;

use nix::sys::signal::Signal;

use super::{SERVER, each, late, some, table};

/// Set in a process that runs a test in a PID namespace of its own.
const INSIDE: &str = "CNNF_TEST_INSIDE";

/// Runs the test of this name again, as the first process of a PID namespace: there nobody else takes process ids.
fn in_pid_namespace(name: &str, test: impl FnOnce()) {
    if std::env::var_os(INSIDE).is_some() {
        return test();
    }
    let this = std::env::current_exe().expect("this program");
    let status = Command::new("unshare")
        .args(["--pid", "--fork", "--mount-proc", "--kill-child=KILL"])
        .arg(this)
        .args(["--exact", name, "--nocapture"])
        .env(INSIDE, "1")
        .status()
        .expect("unshare");
    assert!(status.success(), "the test failed in a PID namespace");
}

#[test]
fn root_truth_about_process_ids_used_again() {
    in_pid_namespace("truth::pids::root_truth_about_process_ids_used_again", || {
        table(|t| {
            let (first, second) = (t.named("first"), t.named("second"));
            let (first_key, second_key) = (format!("exe:{first}"), format!("exe:{second}"));
            let n = each();
            let answer = t.bed.probe("session-1.scope", &format!("same-pid {first} {second} {n} 8000"));
            assert_eq!(answer, "ok");
            let predicted = [(first_key.as_str(), SERVER, n), (second_key.as_str(), SERVER, n)];
            t.row("a process id used again at once, in a session", 8000, &predicted, 0);

            // The first one's packets wait while it ends and another process gets its id: unknown, whoever that is.
            let mut n = 0;
            for (round, group) in ["session-1.scope", "other.service"]
                .into_iter()
                .cycle()
                .take(usize::try_from(some()).expect("few"))
                .enumerate()
            {
                t.bed.signal(Signal::SIGSTOP);
                let what = format!(
                    "same-pid-waiting {first} {second} {group} {} {}",
                    20_000 + 20 * round,
                    8001 + 2 * (round % 2)
                );
                let child = t.bed.server("session-1.scope", &what);
                t.bed.signal(Signal::SIGCONT);
                assert!(child.wait_with_output().expect("wait").status.success());
                n += 10;
            }
            let (here, there) = (n - n / 20 * 10, n / 20 * 10);
            t.row(
                "its id used again in its session while its packet waits: unknown",
                8001,
                &[("unknown", SERVER, here)],
                0,
            );
            t.row("…whose own packets are its own", 8002, &[(&second_key, SERVER, here)], late(here));
            t.row(
                "its id used again by a unit while its packet waits: unknown",
                8003,
                &[("unknown", SERVER, there)],
                0,
            );
            t.row("…whose own packets are the unit's", 8004, &[("unit:other", SERVER, there)], 0);
        });
    });
}

#[test]
fn root_truth_about_processes_that_live_shortly() {
    table(|t| {
        // more of them, so that the rate means something
        let n = (5 * each()).min(5000);
        let bash = String::from_utf8(
            Command::new("sh").args(["-c", "readlink -f \"$(command -v bash)\""]).output().expect("sh").stdout,
        );
        let bash = format!("exe:{}", bash.expect("path").trim());
        for (name, group, protocol, port, client, may_be_unknown) in [
            (
                "a thousand short-lived processes a second, TCP, in a unit",
                "storm.service",
                "tcp",
                8000,
                "unit:storm",
                0,
            ),
            (
                "a thousand short-lived processes a second, UDP, in a unit",
                "storm.service",
                "udp",
                8001,
                "unit:storm",
                0,
            ),
            ("a thousand short-lived processes a second, TCP, in a session", "session-1.scope", "tcp", 8002, &bash, n),
            ("a thousand short-lived processes a second, UDP, in a session", "session-1.scope", "udp", 8003, &bash, n),
        ] {
            let began = Instant::now();
            assert_eq!(t.bed.probe(group, &format!("storm {protocol} {n} {port}")), "ok");
            println!("{n} processes at {:.0} a second", n as f64 / began.elapsed().as_secs_f64());
            t.row(name, port, &[(client, SERVER, n)], may_be_unknown);
        }
    });
}
