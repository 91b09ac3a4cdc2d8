//! A defender that is killed again and again, at whatever it does: what is prevented stays prevented. `CNNF_KILLS` says how often (50).

use std::net::{TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cnnf_core::policy::{Effect, Mode};
use nix::sys::signal::Signal;

use crate::bed::controller::Controller;
use crate::bed::with_bed;
use crate::{apply, enroll, policy};

/// How often a datagram is tried, each of a new connection.
const EVERY: Duration = Duration::from_micros(300);
/// The longest that a defender lives before it is killed: it is in force after a third of that where nothing else runs.
const LIVES: u64 = 400;
/// Every so many kills it may do what it has to do before.
const READY: u32 = 10;

/// The child's side.
pub(crate) fn act(words: &[&str]) -> Option<std::io::Result<String>> {
    let ["hammer", what, to] = words else { return None };
    let to = to.parse().expect("address");
    println!("probe:ready");
    loop {
        if *what == "tcp" {
            // refused, or lost with the queue of a process that was killed
            let _ = TcpStream::connect_timeout(&to, Duration::from_millis(20));
        } else {
            let _ = UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.send_to(b"x", to));
            std::thread::sleep(EVERY);
        }
    }
}

#[test]
fn root_a_defender_that_is_killed_again_and_again_lets_nothing_prevented_through() {
    let kills: u32 = std::env::var("CNNF_KILLS").ok().map_or(50, |n| n.parse().expect("a number"));
    with_bed(|bed| {
        let controller = Controller::start();
        enroll(bed, &controller);
        bed.start();
        let datagrams = UdpSocket::bind("127.0.0.1:8100").expect("bind");
        datagrams.set_read_timeout(Some(Duration::from_millis(100))).expect("timeout");
        let listener = TcpListener::bind("127.0.0.1:8101").expect("listen");
        listener.set_nonblocking(true).expect("nonblocking");
        let (came, accepted) = (AtomicU64::new(0), AtomicU64::new(0));
        let over = AtomicU64::new(0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while over.load(Ordering::Relaxed) == 0 {
                    came.fetch_add(u64::from(datagrams.recv(&mut [0]).is_ok()), Ordering::Relaxed);
                    while listener.accept().is_ok() {
                        accepted.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
            let all = || (came.load(Ordering::Relaxed), accepted.load(Ordering::Relaxed));
            bed.begin("client.service", "hammer udp 127.0.0.1:8100");
            bed.begin("client.service", "hammer tcp 127.0.0.1:8101");
            let began = Instant::now();
            while all().0 == 0 || all().1 == 0 {
                assert!(began.elapsed() < Duration::from_secs(10), "nothing prevents it yet");
                std::thread::sleep(Duration::from_millis(20));
            }
            let rules =
                [(1, "unit:client", "udp/8100", Effect::Prevent), (2, "unit:client", "tcp/8101", Effect::Prevent)];
            apply(&controller, &policy(2, Mode::Enforce, &rules));
            bed.wait_until_proved();
            // what was on its way
            std::thread::sleep(Duration::from_millis(500));
            let before = all();
            // any numbers do that are not the same
            let mut number = u64::from(std::process::id());
            let began = Instant::now();
            let mut first_leak = None;
            for n in 0..kills {
                bed.signal(Signal::SIGKILL);
                if n % READY == 0 {
                    bed.start();
                } else {
                    bed.launch("info");
                    number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    std::thread::sleep(Duration::from_millis((number >> 33) % LIVES));
                }
                if all() != before {
                    first_leak.get_or_insert(n);
                }
                if n % 100 == 99 {
                    println!("{} kills after {:?}", n + 1, began.elapsed());
                }
            }
            bed.signal(Signal::SIGKILL);
            bed.start();
            std::thread::sleep(Duration::from_millis(500));
            over.store(1, Ordering::Relaxed);
            let (datagrams, connections) = (all().0 - before.0, all().1 - before.1);
            println!(
                "{kills} kills in {:?}: {datagrams} datagrams and {connections} connections of a prevented edge came through, first at {first_leak:?}",
                began.elapsed()
            );
            assert_eq!((datagrams, connections), (0, 0));
            assert_eq!(bed.probe("client.service", "tcp 127.0.0.1:8101"), "refused");
        });
    });
}
