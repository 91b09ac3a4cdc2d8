//! A flood of new connections: what is prevented does not get through, and what is allowed does not wait.

use std::io::{ErrorKind, Read, Result};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cnnf_core::policy::{Effect, GroupId, HostPolicy, Mode};
use cnnf_core::ruleset::QueueBackend;
use cnnf_host::dataplane::{Counted, Reconciler};

use crate::bed::{Bed, with_bed};
use crate::{apply, facts, group, rule};

/// New connections from each side.
const FLOWS: u64 = 50_000;
/// Distinct source ports that are used in turn, each to two destination ports.
const SOURCES: u16 = 25_000;
/// Connections whose time is taken at once.
const TIMED: usize = 200;
/// Floods with our table, each beside one without a firewall.
const PAIRS: usize = 3;
/// The same where something else takes the machine.
const PAIRS_MAX: usize = 9;
/// How many times as long an allowed connection may take (p99) as under the same flood without a firewall, each in its quietest round: connection
/// tracking is part of it.
const UNCHANGED: f64 = 2.5;

/// Sends one datagram of each of [`FLOWS`] connections, with source ports from `first` on.
pub(crate) fn flood(to: SocketAddr, first: u16) -> Result<()> {
    let any: IpAddr = if to.is_ipv4() { "0.0.0.0" } else { "::" }.parse().expect("address");
    for port in first..first + SOURCES {
        let socket = UdpSocket::bind((any, port))?;
        for more in 0..2 {
            match socket.send_to(b"x", SocketAddr::new(to.ip(), to.port() + more)) {
                // refused here already
                Err(e) if e.kind() == ErrorKind::PermissionDenied => {}
                // what an earlier one was answered, or no room for now
                Err(e) if e.kind() == ErrorKind::ConnectionRefused || e.raw_os_error() == Some(105) => {}
                other => drop(other?),
            }
        }
    }
    Ok(())
}

/// Opens connections one after the other; prints the times' median and 99th percentile in microseconds.
pub(crate) fn latency(to: SocketAddr, count: usize) -> Result<()> {
    let mut times = Vec::with_capacity(count);
    for _ in 0..count {
        let start = Instant::now();
        drop(TcpStream::connect_timeout(&to, Duration::from_secs(5))?);
        times.push(start.elapsed().as_micros());
    }
    times.sort_unstable();
    println!("probe:{} {}", times[count / 2], times[count * 99 / 100]);
    std::process::exit(0);
}

/// Counts what comes to two ports until `stop`.
fn count(at: &str, port: u16, came: &AtomicU64, stop: &AtomicBool) {
    let sockets = [0, 1].map(|more| {
        let socket = UdpSocket::bind((at.parse::<IpAddr>().expect("address"), port + more)).expect("bind");
        socket.set_read_timeout(Some(Duration::from_millis(20))).expect("timeout");
        socket
    });
    while !stop.load(Ordering::Relaxed) {
        for socket in &sockets {
            while socket.recv(&mut [0; 8]).is_ok() {
                came.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

struct Flooded {
    /// Datagrams that came through: in, out.
    came: (u64, u64),
    /// The 99th percentile of the allowed connections in the quietest round, in microseconds, and of how many rounds. Who waits for user space
    /// waits in every round; who only waits for the machine does not.
    p99: u64,
    rounds: usize,
    took: Duration,
}

/// Floods in both directions, with source ports from `first` on, while a service's connections are timed.
fn flooded(bed: &Bed, first: u16) -> Flooded {
    let [came_in, came_out] = [AtomicU64::new(0), AtomicU64::new(0)];
    let (stop, start) = (AtomicBool::new(false), Instant::now());
    let mut p99s = Vec::new();
    std::thread::scope(|scope| {
        // Here: on a thread of this namespace, in the control group of no service; what it receives is judged by its address' rule.
        scope.spawn(|| count("10.98.0.1", 56, &came_in, &stop));
        scope.spawn(|| bed.there(|| count("10.98.0.2", 54, &came_out, &stop)));
        std::thread::sleep(Duration::from_millis(50));
        let mut out = bed.start(Some("client"), &format!("flood 10.98.0.2:54 {first}"));
        let inward =
            scope.spawn(|| bed.there(|| flood("10.98.0.1:56".parse().expect("address"), first).expect("flood")));
        while !inward.is_finished() || out.try_wait().expect("wait").is_none() {
            let said = bed.probe("client", &format!("latency 10.98.0.2:80 {TIMED}"));
            p99s.push(said.split_once(' ').expect("two times").1.parse::<u64>().expect("a time"));
        }
        let mut said = String::new();
        out.stdout.take().expect("output").read_to_string(&mut said).expect("read");
        assert!(said.contains("probe:ok"), "the flood: {said}");
        inward.join().expect("the flood");
        // what is on its way may still come
        std::thread::sleep(Duration::from_millis(200));
        stop.store(true, Ordering::Relaxed);
    });
    Flooded {
        came: (came_in.into_inner(), came_out.into_inner()),
        p99: p99s.iter().copied().min().expect("a round"),
        rounds: p99s.len(),
        took: start.elapsed(),
    }
}

/// Floods under the table of `policy`; says how many connections were refused, in and out, too. Nothing of the table is left.
fn flooded_under(bed: &Bed, policy: &HostPolicy, first: u16) -> (Flooded, (u64, u64)) {
    let mut reconciler = Reconciler::open(QueueBackend::None).expect("open");
    apply(&mut reconciler, policy, &facts(bed, 0));
    let flooded = flooded(bed, first);
    let counters = reconciler.counters().expect("counters");
    let refused = |chain: &str| {
        counters.iter().filter(|c| c.chain == chain && c.comment.is_empty()).map(|c: &Counted| c.packets).sum::<u64>()
    };
    let refused = (refused("deny_in"), refused("deny_out"));
    reconciler.release().expect("release");
    (flooded, refused)
}

#[test]
fn root_a_flood_of_new_connections_leaks_nothing_and_holds_up_nobody() {
    with_bed("flood", |bed| {
        bed.serve_there("tcp 80");
        bed.service("client");
        let policy = HostPolicy {
            generation: 1,
            mode: Mode::Enforce,
            egress: vec![rule(1, "unit:client", 1, &["udp/54-55"], Effect::Prevent)],
            ingress: vec![
                rule(2, "*", 1, &["udp/56-57"], Effect::Prevent),
                rule(3, "unknown", 1, &["udp"], Effect::Prevent),
            ],
            groups: [(GroupId(1), group(&["10.98.0.2", "fd98::2"]))].into(),
            ..HostPolicy::default()
        };
        let (mut p99, mut p99_of_bare, mut ratio) = (u64::MAX, u64::MAX, f64::INFINITY);
        for pair in 0..PAIRS_MAX {
            // the same flood without any firewall: whatever it takes of the machine is taken here too; whose turn comes first changes
            let before = (pair % 2 == 0).then(|| flooded(bed, 2_000));
            let (ours, refused) = flooded_under(bed, &policy, 2_000);
            let bare = before.unwrap_or_else(|| flooded(bed, 2_000));
            println!(
                "pair {pair}: {refused:?} connections refused in and out, {:?} came of {:?} without us; allowed p99 {} µs ({} rounds of {TIMED}, {:?}) against {} µs ({}, {:?}) without a firewall",
                ours.came, bare.came, ours.p99, ours.rounds, ours.took, bare.p99, bare.rounds, bare.took
            );
            // the rest found the receivers' buffers full
            assert!(
                bare.came.0.min(bare.came.1) > FLOWS / 10,
                "the flood comes where nothing prevents it: {:?}",
                bare.came
            );
            assert_eq!(ours.came, (0, 0), "prevented datagrams were delivered");
            assert!(refused.0.min(refused.1) >= FLOWS * 99 / 100, "the flood was less than it should be: {refused:?}");
            (p99, p99_of_bare) = (p99.min(ours.p99), p99_of_bare.min(bare.p99));
            ratio = p99 as f64 / p99_of_bare as f64;
            // whoever else takes the machine just now does not for ever
            if pair + 1 >= PAIRS && ratio <= UNCHANGED {
                break;
            }
        }
        println!("allowed p99 in the quietest round {p99} µs against {p99_of_bare} without a firewall: {ratio:.2}");
        assert!(ratio <= UNCHANGED, "allowed connections wait: {ratio:.2}");
    });
}
