//! Somebody who flushes all rules again and again: how long until the table is back, and what slips through meanwhile.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use cnnf_core::policy::{Effect, Mode};

use crate::bed::controller::Controller;
use crate::bed::with_bed;
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

#[test]
fn root_after_each_of_many_flushes_the_table_is_back_within_a_second() {
    with_bed(|bed| {
        let controller = Controller::start();
        enroll(bed, &controller);
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
        assert!(slipped > 0, "the flushes did nothing");
        assert!(longest < Duration::from_secs(1), "{}", bed.log());
    });
}
