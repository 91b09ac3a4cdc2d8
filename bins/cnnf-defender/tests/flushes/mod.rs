//! Somebody who flushes all rules again and again: how long until the table is back, and what slips through meanwhile.

use std::net::UdpSocket;
use std::process::Command;
use std::time::{Duration, Instant};

use cnnf_core::policy::{Effect, Mode};
use cnnf_core::ruleset::{QueueBackend, Ruleset};
use cnnf_host::dataplane::{Reconciler, TableSocket};
use nix::sys::signal::Signal;

use crate::bed::controller::Controller;
use crate::bed::{Bed, with_bed};
use crate::{apply, enroll, nft, policy};

/// Fewer than the defender repairs at once in a minute.
const FLUSHES: u32 = 12;
/// How often a new connection is tried.
const EVERY: Duration = Duration::from_millis(1);
/// As long as nothing comes, the table is back.
const QUIET: Duration = Duration::from_millis(400);

/// The child's side: a datagram every millisecond, each of a connection of its own.
pub(crate) fn act(words: &[&str]) -> Option<std::io::Result<String>> {
    let ["drip", to] = words else { return None };
    println!("probe:ready");
    loop {
        // refused, or without a port for a moment: the next one
        let _ = UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.send_to(b"x", to));
        std::thread::sleep(EVERY);
    }
}

/// Flushes all rules again and again under a prober of a prevented edge; returns how many of its datagrams came through, and the longest
/// time for which some did. The bed tells of it.
fn flushed(bed: &mut Bed, config: &str) -> (u32, Duration) {
    let controller = Controller::start();
    enroll(bed, &controller);
    bed.configure(config);
    bed.start();
    let receiver = UdpSocket::bind("127.0.0.1:8100").expect("bind");
    receiver.set_read_timeout(Some(QUIET)).expect("timeout");
    let one = || receiver.recv(&mut [0]).is_ok();
    bed.begin("client.service", "drip 127.0.0.1:8100");
    assert!(one(), "nothing prevents it yet");
    apply(&controller, &policy(2, Mode::Enforce, &[(1, "unit:client", "udp/8100", Effect::Prevent)]));
    while one() {}
    let (mut slipped, mut longest, mut all) = (0, Duration::ZERO, Duration::ZERO);
    for _ in 0..FLUSHES {
        nft("flush ruleset");
        let flushed = Instant::now();
        let mut last = flushed;
        while one() && flushed.elapsed() < Duration::from_secs(10) {
            slipped += 1;
            last = Instant::now();
        }
        longest = longest.max(last - flushed);
        all += last - flushed;
    }
    println!(
        "{FLUSHES} flushes: {slipped} datagrams slipped through in {all:?} of one a millisecond; the longest gap {longest:?}"
    );
    (slipped, longest)
}

#[test]
fn root_after_each_of_many_flushes_the_table_is_back_within_a_second() {
    with_bed(|bed| {
        let (slipped, longest) = flushed(bed, "own_table = false\n");
        assert!(slipped > 0, "the flushes did nothing");
        assert!(longest < Duration::from_secs(1), "{}", bed.log());
    });
}

#[test]
fn root_an_owned_table_outlives_flushes_and_nothing_slips_through() {
    with_bed(|bed| {
        if !tables_have_owners(bed) {
            return;
        }
        let (slipped, _) = flushed(bed, "");
        assert_eq!(slipped, 0, "{}", bed.log());
        let delete = Command::new("nft").args(["delete", "table", "inet", "cnnf"]).output().expect("nft");
        let said = String::from_utf8_lossy(&delete.stderr).into_owned();
        assert!(!delete.status.success() && said.contains("Operation not permitted"), "{said}");
        let status = || String::from_utf8_lossy(&bed.defender(&["status"]).stdout).into_owned();
        assert!(status().contains("table       inet cnnf, owned, queue "), "{}", status());
        bed.signal(Signal::SIGKILL);
        assert!(bed.defender(&["release"]).status.success(), "what its owner left is anybody's");
        let tables = Command::new("nft").args(["list", "tables"]).output().expect("nft");
        assert!(!String::from_utf8_lossy(&tables.stdout).contains("cnnf"));
    });
}

#[test]
fn root_a_table_that_cannot_be_had_is_told_as_degraded_with_the_reason_until_it_can() {
    with_bed(|bed| {
        if !tables_have_owners(bed) {
            return;
        }
        let controller = Controller::start();
        enroll(bed, &controller);
        bed.configure("own_table = false\n");
        bed.start();
        bed.serve("server.service", 8000);
        apply(&controller, &policy(2, Mode::Enforce, &[(1, "unit:client", "tcp/8000", Effect::Prevent)]));
        let says = |what: &str| {
            let began = Instant::now();
            loop {
                let status = String::from_utf8_lossy(&bed.defender(&["status"]).stdout).into_owned();
                if status.lines().any(|line| line.starts_with(what)) {
                    return status;
                }
                assert!(began.elapsed() < Duration::from_secs(10), "{what}: {status}{}", bed.log());
                std::thread::sleep(Duration::from_millis(20));
            }
        };
        says("state       good");

        let mut thief = Reconciler::over(TableSocket::open(true).expect("a socket"), QueueBackend::None).expect("open");
        thief.set_desired(Ruleset::default());
        thief.reconcile().expect("it takes the table, which belongs to nobody, and no other may change it then");
        let status = says("state       degraded: what was in force before holds");
        let why = "table inet cnnf belongs to another process, by its netlink socket with port id ";
        assert!(status.contains(&format!("\ntrouble     {why}")), "{status}");
        let told = controller.wait("the outcome", |heard| {
            heard.statuses.iter().map(|(_, status)| status).find(|status| status.outcome == "failed").cloned()
        });
        assert!(told.generation == 2 && told.message.starts_with(why), "{told:?}");

        drop(thief);
        let status = says("state       good");
        assert!(!status.contains("\ntrouble"), "{status}");
        assert_eq!(bed.probe("client.service", "tcp 127.0.0.1:8000"), "refused");
        let outcomes = || controller.heard().statuses.into_iter().map(|(_, status)| status.outcome).collect::<Vec<_>>();
        assert_eq!(outcomes(), ["applied", "failed", "applied"]);
    });
}

/// Whether tables can have an owner here.
fn tables_have_owners(bed: &Bed) -> bool {
    let said = String::from_utf8_lossy(&bed.defender(&["doctor"]).stdout).into_owned();
    said.lines().any(|line| line.trim_start().starts_with("owned tables") && line.ends_with("yes"))
}
