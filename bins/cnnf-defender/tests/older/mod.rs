//! Connections that began before the table: they are judged like others.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use cnnf_core::policy::{Effect, Mode};

use crate::bed::controller::Controller;
use crate::bed::{Bed, with_bed};
use crate::{apply, enroll, nft, policy};

/// How often a byte goes on its way.
const BEAT: Duration = Duration::from_millis(10);
/// How long a connection says nothing at first.
const LATE: Duration = Duration::from_secs(5);
/// The promise.
const WITHIN: Duration = Duration::from_secs(1);

/// The child's side.
pub(crate) fn act(words: &[&str]) -> Option<std::io::Result<String>> {
    Some(match words {
        ["push", port] => push(port.parse().expect("port")),
        ["pump", kind, to] => pump(kind, to),
        _ => return None,
    })
}

/// Sends a byte every [`BEAT`] to whoever connects, and to whoever has sent a datagram.
fn push(port: u16) -> std::io::Result<String> {
    let listener = TcpListener::bind(("::", port))?;
    let socket = UdpSocket::bind(("127.0.0.1", port))?;
    std::thread::spawn(move || {
        let Ok((_, from)) = socket.recv_from(&mut [0]) else { return };
        loop {
            // it goes on whatever comes of it
            let _ = socket.send_to(b".", from);
            std::thread::sleep(BEAT);
        }
    });
    println!("probe:ready");
    for mut stream in listener.incoming().flatten() {
        std::thread::spawn(move || {
            while stream.write_all(b".").is_ok() {
                std::thread::sleep(BEAT);
            }
        });
    }
    Ok("ok".into())
}

/// Prints a dot for each byte that comes.
fn pump(kind: &str, to: &str) -> std::io::Result<String> {
    let mut out = std::io::stdout();
    let mut dot = || {
        let _ = out.write_all(b".").and_then(|()| out.flush());
    };
    if kind == "udp" {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.send_to(b"x", to)?;
        println!("probe:ready");
        while socket.recv(&mut [0]).is_ok() {
            dot();
        }
        return Ok("ended".into());
    }
    if kind == "again" {
        println!("probe:ready");
        let to = to.parse().expect("address");
        loop {
            // a packet that waits in a queue is lost when its table is
            if let Ok(stream) = TcpStream::connect_timeout(&to, BEAT) {
                // one that was cut says nothing
                stream.set_read_timeout(Some(WITHIN / 4))?;
                beat(kind, stream, &mut dot);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    let stream = TcpStream::connect(to)?;
    println!("probe:ready");
    if kind == "late" {
        std::thread::sleep(LATE);
    }
    beat(kind, stream, &mut dot);
    Ok("ended".into())
}

/// Reads until the connection ends; each byte is sent first where the server answers only.
fn beat(kind: &str, mut stream: TcpStream, dot: &mut impl FnMut()) {
    loop {
        if matches!(kind, "echo" | "late") {
            std::thread::sleep(BEAT);
            if stream.write_all(b".").is_err() {
                return;
            }
        }
        match stream.read(&mut [0]) {
            Ok(1) => dot(),
            _ => return,
        }
    }
}

/// A connection, as seen by who opened it.
struct Stream {
    what: String,
    last: Arc<Mutex<Instant>>,
}

impl Stream {
    fn open(bed: &mut Bed, kind: &str, to: &str) -> Self {
        let mut child = bed.server("client.service", &format!("pump {kind} {to}"));
        let mut out = child.stdout.take().expect("output");
        bed.keep(child);
        let stream = Self { what: format!("{kind} {to}"), last: Arc::new(Mutex::new(Instant::now())) };
        let last = Arc::clone(&stream.last);
        std::thread::spawn(move || {
            let mut byte = [0];
            while out.read(&mut byte).is_ok_and(|n| n == 1) {
                if byte == *b"." {
                    *last.lock().expect("last") = Instant::now();
                }
            }
        });
        stream
    }

    fn last(&self) -> Instant {
        *self.last.lock().expect("last")
    }

    #[track_caller]
    fn lives(&self) {
        let (since, until) = (Instant::now(), Instant::now() + WITHIN);
        while self.last() <= since {
            assert!(Instant::now() < until, "{} is dead", self.what);
            std::thread::sleep(BEAT);
        }
    }
}

/// Opens streams, starts the defender, prevents half of them: these are cut within a second, the others go on.
fn streams_that_are_older(tracked: bool) {
    with_bed(|bed| {
        let controller = Controller::start();
        enroll(bed, &controller);
        if tracked {
            // somebody else's rule has conntrack see the streams begin, and their entries have no room for labels
            nft("add table inet other; add chain inet other o { type filter hook output priority 0; }");
            nft("add rule inet other o ct state new counter");
        }
        for port in [8000, 8002] {
            bed.begin("server.service", &format!("push {port}"));
            bed.serve("server.service", port + 1);
        }
        let mut open = |port: u16| {
            let to = |n: u16| format!("127.0.0.1:{}", port + n);
            [("push", to(0)), ("push", format!("[::1]:{port}")), ("echo", to(1)), ("udp", to(0))]
                .map(|(kind, to)| Stream::open(bed, kind, &to))
        };
        let (prevented, allowed) = (open(8000), open(8002));
        prevented.iter().chain(&allowed).for_each(Stream::lives);
        // conntrack may hear of these only when they are forbidden already
        let opened = Instant::now();
        let [silent, silent_and_allowed] = ["127.0.0.1:8001", "127.0.0.1:8003"].map(|to| Stream::open(bed, "late", to));
        bed.start();
        // as if time had passed: the defender has nothing to do any more
        std::thread::sleep(Duration::from_secs(2));
        prevented.iter().chain(&allowed).for_each(Stream::lives);
        let rules =
            [(1, "unit:client", "tcp/8000-8001", Effect::Prevent), (2, "unit:client", "udp/8000", Effect::Prevent)];
        apply(&controller, &policy(9, Mode::Enforce, &rules));
        let tightened = Instant::now();
        std::thread::sleep(WITHIN + WITHIN / 2);
        for stream in &prevented {
            let went_on = stream.last().saturating_duration_since(tightened);
            println!("{}: bytes came for {went_on:?}", stream.what);
            assert!(went_on < WITHIN, "{} was cut only after {went_on:?}: {}", stream.what, bed.log());
        }
        allowed.iter().for_each(Stream::lives);
        std::thread::sleep((LATE + WITHIN + WITHIN / 2).saturating_sub(opened.elapsed()));
        let went_on = silent.last().saturating_duration_since(opened).saturating_sub(LATE);
        println!("{} after {LATE:?}: bytes came for {went_on:?}", silent.what);
        assert!(went_on < WITHIN, "{}", bed.log());
        silent_and_allowed.lives();
    });
}

#[test]
fn root_streams_that_began_before_the_defender_are_cut_when_a_rule_forbids_them() {
    streams_that_are_older(false);
}

#[test]
fn root_streams_that_conntrack_saw_begin_before_the_table_are_cut_too() {
    streams_that_are_older(true);
}

#[test]
fn root_a_connection_that_slipped_through_a_flush_is_cut() {
    with_bed(|bed| {
        let controller = Controller::start();
        enroll(bed, &controller);
        bed.configure("own_table = false\n");
        bed.start();
        bed.begin("server.service", "push 8000");
        apply(&controller, &policy(2, Mode::Enforce, &[(1, "unit:client", "tcp/8000", Effect::Prevent)]));
        let stream = Stream::open(bed, "again", "127.0.0.1:8000");
        // what came before its control group was known
        std::thread::sleep(WITHIN);
        let mut slipped = 0;
        for _ in 0..5 {
            nft("flush ruleset");
            let flushed = Instant::now();
            std::thread::sleep(WITHIN + WITHIN / 4);
            let went_on = stream.last().saturating_duration_since(flushed);
            println!("a connection that began while there was no table went on for {went_on:?}");
            slipped += u32::from(!went_on.is_zero());
            assert!(went_on < WITHIN, "{}", bed.log());
        }
        assert!(slipped > 0, "the flushes did nothing");
    });
}

#[test]
fn root_streams_that_live_while_labels_move_are_judged_too() {
    with_bed(|bed| {
        let controller = Controller::start();
        enroll(bed, &controller);
        bed.start();
        for port in [8000, 8002] {
            bed.serve("server.service", port);
        }
        apply(&controller, &policy(2, Mode::Enforce, &[]));
        let [prevented, allowed] = ["127.0.0.1:8000", "127.0.0.1:8002"].map(|to| Stream::open(bed, "echo", to));
        for stream in [&prevented, &allowed] {
            stream.lives();
        }
        bed.signal(nix::sys::signal::Signal::SIGTERM);
        bed.configure("first_free_label_bit = 0\n");
        bed.start();
        assert!(bed.log().contains("labels were cleared"), "{}", bed.log());
        // as if time had passed: the defender has nothing to do any more
        std::thread::sleep(Duration::from_secs(2));
        allowed.lives();
        apply(&controller, &policy(3, Mode::Enforce, &[(1, "unit:client", "tcp/8000", Effect::Prevent)]));
        let tightened = Instant::now();
        std::thread::sleep(WITHIN + WITHIN / 2);
        assert!(prevented.last().saturating_duration_since(tightened) < WITHIN, "{}", bed.log());
        allowed.lives();
        assert_eq!(bed.probe("client.service", "tcp 127.0.0.1:8000"), "refused");
        assert_eq!(bed.probe("client.service", "tcp 127.0.0.1:8002"), "ok");
    });
}
