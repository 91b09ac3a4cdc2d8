//! A defender that hangs under load, until it is ended and started anew: who waits, what is lost, and what gets through.

use std::collections::HashSet;
use std::net::UdpSocket;
use std::time::{Duration, Instant};

use cnnf_core::policy::{Effect, Mode};
use nix::sys::signal::Signal;

use crate::bed::controller::Controller;
use crate::bed::with_bed;
use crate::{apply, enroll, policy};

/// How long datagrams are sent, and when the defender hangs and is ended meanwhile.
const SENDING: Duration = Duration::from_secs(6);
const HANGS_AT: Duration = Duration::from_millis(1500);
const ENDED_AT: Duration = Duration::from_millis(4500);
/// Packets that wait at most (`WAITING_MAX`).
const QUEUE: usize = 64;

/// The child's side: datagrams with numbers, each of a connection of its own; and who receives them.
pub(crate) fn act(words: &[&str]) -> Option<std::io::Result<String>> {
    match words {
        ["numbers", to] => Some(send(to)),
        ["sink", ports @ ..] => Some(sink(ports)),
        ["pour", to] => Some(pour(to)),
        _ => None,
    }
}

/// How many were sent, and how many milliseconds the slowest took. What is refused counts as sent.
fn send(to: &str) -> std::io::Result<String> {
    let (begin, mut sent, mut slowest) = (Instant::now(), 0_u32, Duration::ZERO);
    println!("probe:ready");
    // a socket lives on for a while, as a program does that waits for an answer
    let mut open = std::collections::VecDeque::new();
    while begin.elapsed() < SENDING {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        let start = Instant::now();
        let _ = socket.send_to(&sent.to_be_bytes(), to);
        slowest = slowest.max(start.elapsed());
        sent += 1;
        open.push_back(socket);
        if open.len() > 100 {
            open.pop_front();
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(format!("{sent} {}", slowest.as_millis()))
}

/// Some thousand datagrams a second, each of a connection of its own: more than wait in queues while a defender starts.
fn pour(to: &str) -> std::io::Result<String> {
    println!("probe:ready");
    loop {
        for _ in 0..10 {
            let _ = UdpSocket::bind("127.0.0.1:0")?.send_to(b"x", to);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// How many numbers came to each port, until nothing comes any more.
fn sink(ports: &[&str]) -> std::io::Result<String> {
    let sockets: Vec<UdpSocket> =
        ports.iter().map(|port| UdpSocket::bind(format!("127.0.0.1:{port}"))).collect::<Result<_, _>>()?;
    let mut came = vec![HashSet::new(); ports.len()];
    println!("probe:ready");
    let (begin, mut last) = (Instant::now(), Instant::now());
    while last.elapsed() < Duration::from_secs(2) || begin.elapsed() < SENDING {
        for (socket, came) in sockets.iter().zip(&mut came) {
            socket.set_nonblocking(true)?;
            let mut number = [0; 4];
            while socket.recv(&mut number).is_ok() {
                came.insert(number);
                last = Instant::now();
            }
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(came.iter().map(|came| came.len().to_string()).collect::<Vec<_>>().join(" "))
}

#[test]
fn root_a_defender_that_hangs_under_load_loses_a_queue_of_packets_at_most() {
    with_bed(|bed| {
        let controller = Controller::start();
        enroll(bed, &controller);
        bed.start();
        let mut sink = bed.server("server.service", "sink 8200 8201 8202");
        let rules = [(1, "unit:evil", "udp/8202", Effect::Prevent)];
        // both services are known to the kernel before they send
        for group in ["shop.service", "evil.service"] {
            assert_eq!(bed.probe(group, "tcp 127.0.0.1:1"), "refused");
        }
        apply(&controller, &policy(2, Mode::Enforce, &rules));
        let mut senders = [("session-1.scope", 8200), ("shop.service", 8201), ("evil.service", 8202)]
            .map(|(group, port)| bed.server(group, &format!("numbers 127.0.0.1:{port}")));
        let begin = Instant::now();
        std::thread::sleep(HANGS_AT);
        let before = bed.log();
        bed.signal(Signal::SIGSTOP);
        std::thread::sleep(ENDED_AT.saturating_sub(begin.elapsed()));
        // as the watchdog of the service manager does
        bed.signal(Signal::SIGKILL);
        bed.start();
        let answer = |child: &mut std::process::Child| {
            let mut text = String::new();
            std::io::Read::read_to_string(child.stdout.as_mut().expect("output"), &mut text).expect("read");
            child.wait().expect("wait");
            let line = text.lines().find_map(|line| line.split_once("probe:")).expect("an answer").1.to_owned();
            line.split(' ').map(|number| number.parse::<usize>().expect("a number")).collect::<Vec<_>>()
        };
        let sent = senders.each_mut().map(answer);
        let came = answer(&mut sink);
        for (who, (sent, came)) in
            ["a session's program", "an allowed service", "a prevented one"].iter().zip(sent.iter().zip(&came))
        {
            println!("{who}: {} datagrams sent, {came} came, the slowest took {} ms", sent[0], sent[1]);
        }
        assert!(sent.iter().all(|sent| sent[0] > 1000), "too few to be a load");
        let lost = sent[0][0] - came[0];
        println!("lost of those that wait for a name: {lost}, at most {QUEUE} may be");
        assert!(lost <= QUEUE, "{}", bed.log());
        assert_eq!(came[1], sent[1][0], "an allowed service lost packets: {}", bed.log());
        assert_eq!(came[2], 0, "what is prevented got through");
        assert!(sent.iter().all(|sent| sent[1] < 1000), "somebody was held up");
        let told = controller.wait("the notice", |heard| heard.notices.iter().find(|n| n.kind == "fail_open").cloned());
        assert!(told.count > 100, "{told:?}, before: {before}");
    });
}

#[test]
fn root_a_defender_that_is_killed_under_load_lets_nothing_prevented_through() {
    let kills: u32 = std::env::var("CNNF_KILLS").map_or(10, |text| text.parse().expect("a number"));
    with_bed(|bed| {
        let controller = Controller::start();
        enroll(bed, &controller);
        bed.start();
        let receiver = UdpSocket::bind("127.0.0.1:8300").expect("bind");
        receiver.set_read_timeout(Some(Duration::from_millis(300))).expect("timeout");
        let one = || receiver.recv(&mut [0]).is_ok();
        // known before it pours: a connection that was nobody's lives on for a while, and whoever has its port next is not refused
        for _ in 0..2 {
            assert_eq!(bed.probe("evil.service", "tcp 127.0.0.1:1"), "refused");
            std::thread::sleep(Duration::from_millis(500));
        }
        bed.begin("evil.service", "pour 127.0.0.1:8300");
        assert!(one(), "nothing prevents it yet");
        apply(&controller, &policy(2, Mode::Enforce, &[(1, "unit:evil", "udp/8300", Effect::Prevent)]));
        bed.wait_until_proved();
        while one() {}
        let mut through = 0;
        for n in 0..kills {
            bed.signal(Signal::SIGKILL);
            let before = through;
            while one() {
                through += 1;
            }
            let killed = through;
            bed.start();
            while one() {
                through += 1;
            }
            if through > before {
                println!("kill {n}: {} while nobody ran, {} while it started", killed - before, through - killed);
            }
        }
        println!("{kills} kills under load: {through} prevented datagrams got through");
        assert_eq!(through, 0, "{}", bed.log());
    });
}

#[test]
fn root_queues_say_how_full_they_are() {
    with_bed(|bed| {
        let controller = Controller::start();
        enroll(bed, &controller);
        bed.start();
        let mut sink = bed.server("server.service", "sink 8210");
        for _ in 0..5 {
            assert_eq!(bed.probe("session-1.scope", "tcp 127.0.0.1:1"), "refused");
        }
        let counter = |name: &str| {
            let out = bed.defender(&["status", "-o", "json"]);
            let status: serde_json::Value = serde_json::from_slice(&out.stdout).expect("status");
            status["counters"][name].as_u64()
        };
        let begin = Instant::now();
        while counter("queue_packets").is_none_or(|packets| packets < 5) {
            assert!(begin.elapsed() < Duration::from_secs(10), "{}", bed.log());
            std::thread::sleep(Duration::from_millis(50));
        }
        for name in ["queue_dropped", "queue_waiting", "evidence_dropped"] {
            assert_eq!(counter(name), Some(0), "{name}");
        }
        sink.kill().expect("kill");
        sink.wait().expect("wait");
    });
}
