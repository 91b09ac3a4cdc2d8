//! The cases.

use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::Table;
use crate::bed::controller::Controller;
use crate::bed::{Bed, with_bed};
use crate::{enroll, exe};

/// Processes a case where each sends once.
const SENDERS: u64 = 200;
const SERVER: &str = "unit:server";

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

#[test]
fn root_truth_about_senders_that_exit() {
    table(|t| {
        let exe = exe();
        for (name, group, protocol, port, client, may_be_unknown) in [
            ("TCP senders that exit, in a unit", "short.service", "tcp", 8000, "unit:short", 0),
            ("UDP senders that exit, in a unit", "short.service", "udp", 8001, "unit:short", 0),
            // The socket goes with its process, and may be gone before it is asked for: unknown then, but never another's.
            ("TCP senders that exit, in a session", "session-1.scope", "tcp", 8002, exe.as_str(), SENDERS),
            ("UDP senders that exit, in a session", "session-1.scope", "udp", 8003, exe.as_str(), SENDERS),
        ] {
            assert_eq!(t.bed.probe(group, &format!("senders {protocol} {SENDERS} {port}")), "ok");
            t.row(name, port, &[(client, SERVER, SENDERS)], may_be_unknown);
        }
    });
}

#[test]
fn root_truth_about_sockets_that_change_hands() {
    table(|t| {
        let exe = exe();
        for (name, group, what, port, client, n, may_be_unknown) in [
            ("unconnected UDP, in a unit", "bare.service", "unconnected 20", 8000, "unit:bare", 20, 0),
            ("unconnected UDP, in a session", "session-1.scope", "unconnected 20", 8001, exe.as_str(), 20, 0),
            ("setuid after the socket was made, in a unit", "drops.service", "drop-user", 8002, "unit:drops", 1, 0),
            ("setuid after the socket was made, in a session", "session-1.scope", "drop-user", 8003, &exe, 1, 0),
            (
                "a socket passed from unit to unit: its maker's",
                "maker.service",
                "pass got.service",
                8004,
                "unit:maker",
                1,
                0,
            ),
            ("a socket passed from a session to a unit", "session-1.scope", "pass got.service", 8005, &exe, 1, 1),
            (
                "a socket made before its process moved",
                "before.service",
                "move after.service",
                8006,
                "unit:before",
                1,
                0,
            ),
            ("a socket made in a session before it moved", "session-1.scope", "move after.service", 8008, &exe, 1, 1),
        ] {
            assert_eq!(t.bed.probe(group, &format!("{what} {port}")), "ok", "{name}");
            t.row(name, port, &[(client, SERVER, n)], may_be_unknown);
        }
        t.row("a socket made after its process moved", 8007, &[("unit:after", SERVER, 1)], 0);
        t.row("a socket made after it moved out of a session", 8009, &[("unit:after", SERVER, 1)], 0);
    });
}

#[test]
fn root_truth_about_listeners() {
    table(|t| {
        let exe = exe();
        // the root is where a service manager makes listeners for others, when it has no group of its own
        t.bed.begin("..", "hand-on activated.service 9000");
        t.bed.begin("maker.service", "hand-on heir.service 9001");
        t.bed.begin("workers.service", "workers 3 9002");
        t.bed.begin("session-1.scope", "workers 3 9003");
        for (name, port, server) in [
            ("a listener that the service manager made", 9000, "unit:activated"),
            ("a listener inherited from another unit: its maker's", 9001, "unit:maker"),
            ("workers on one listener, in a unit", 9002, "unit:workers"),
            ("workers on one listener, in a session", 9003, exe.as_str()),
        ] {
            assert_eq!(t.bed.probe("client.service", &format!("ask tcp 20 {port}")), "x".repeat(20), "{name}");
            t.row(name, port, &[("unit:client", server, 20)], 0);
        }
        t.bed.begin("session-2.scope", "workers 2 9004");
        assert_eq!(t.bed.probe("session-1.scope", "ask tcp 20 9004"), "x".repeat(20));
        t.row("from one session to another", 9004, &[(&exe, &exe, 20)], 0);
        for (name, group, port, client) in [
            ("nobody listens, asked from a unit", "client.service", 9005, "unit:client"),
            ("nobody listens, asked from a session", "session-1.scope", 9006, exe.as_str()),
        ] {
            assert_eq!(t.bed.probe(group, &format!("tcp 127.0.0.1:{port}")), "refused");
            t.row(name, port, &[(client, "kernel", 1)], 0);
        }
        for (name, protocol, port, order) in [
            ("SO_REUSEPORT TCP, a before b", "tcp", 9010, ["a", "b"]),
            ("SO_REUSEPORT TCP, b before a", "tcp", 9011, ["b", "a"]),
            ("SO_REUSEPORT UDP, a before b", "udp", 9012, ["a", "b"]),
            ("SO_REUSEPORT UDP, b before a", "udp", 9013, ["b", "a"]),
        ] {
            for who in order {
                t.bed.begin(&format!("{who}.service"), &format!("shared {protocol} {port} {who}"));
            }
            let said = t.bed.probe("client.service", &format!("ask {protocol} 40 {port}"));
            let of = |who: char| u64::try_from(said.chars().filter(|c| *c == who).count()).expect("few");
            assert_eq!(of('a') + of('b'), 40, "{said}");
            let predicted = [("unit:client", "unit:a", of('a')), ("unit:client", "unit:b", of('b'))];
            t.row(name, port, &predicted, 0);
        }
        for (name, from, to, port) in [
            ("a dual-stack listener, by IPv4", "client.service", "127.0.0.1:8000", 8000),
            ("a dual-stack listener, by IPv6", "client.service", "[::1]:8001", 8001),
            ("a dual-stack listener, by IPv4 from a session", "session-1.scope", "127.0.0.1:8002", 8002),
            ("a dual-stack listener, by IPv6 from a session", "session-1.scope", "[::1]:8003", 8003),
        ] {
            assert_eq!(t.bed.probe(from, &format!("tcp {to}")), "ok", "{name}");
            let client = if from == "client.service" { "unit:client" } else { &exe };
            t.row(name, port, &[(client, SERVER, 1)], 0);
        }
    });
}

#[test]
fn root_truth_about_names() {
    table(|t| {
        for instance in ["a", "b"] {
            assert_eq!(t.bed.probe(&format!("shop@{instance}.service"), "unconnected 10 8000"), "ok");
        }
        let both = [("unit:shop@a", SERVER, 10), ("unit:shop@b", SERVER, 10)];
        t.row("two instances of a template", 8000, &both, 0);

        assert_eq!(t.bed.probe("server.service", "unconnected 5 8001"), "ok");
        t.row("a service that talks to itself", 8001, &[(SERVER, SERVER, 5)], 0);

        let script = t.bed.dir.path().join("job");
        for (group, port) in [("session-1.scope", 8002), ("job.service", 8003), ("cron.service", 8004)] {
            // the echo is no HTTP: what counts is the connection
            let text = format!("#!/bin/sh\ncurl -s -m 0.3 --noproxy '*' http://127.0.0.1:{port}/\ntrue\n");
            std::fs::write(&script, text).expect("script");
            std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).expect("mode");
            assert_eq!(t.bed.probe(group, &format!("run {}", script.display())), "ok");
        }
        let curl = String::from_utf8(
            Command::new("sh").args(["-c", "readlink -f \"$(command -v curl)\""]).output().expect("sh").stdout,
        );
        let curl = format!("exe:{}", curl.expect("path").trim());
        t.row("a session's shell script that runs curl", 8002, &[(&curl, SERVER, 1)], 0);
        t.row("a unit's shell script that runs curl", 8003, &[("unit:job", SERVER, 1)], 0);
        t.row("a cron job that runs curl", 8004, &[(&curl, SERVER, 1)], 0);
    });
}

#[test]
fn root_truth_about_restarts() {
    table(|t| {
        for _ in 0..SENDERS {
            assert_eq!(t.bed.probe("again.service", "tcp 127.0.0.1:8000"), "ok");
            t.bed.remove_group("again.service");
        }
        t.row("a group made anew for each connection", 8000, &[("unit:again", SERVER, SENDERS)], 0);

        let (stop, answered, failed) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
        std::thread::scope(|scope| {
            let bed = &*t.bed;
            for _ in 0..2 {
                scope.spawn(|| {
                    while !stop.load(Ordering::Relaxed) {
                        match bed.probe("client.service", "tcp 127.0.0.1:8001").as_str() {
                            "ok" => answered.fetch_add(1, Ordering::Relaxed),
                            other => {
                                println!("a connection failed: {other}");
                                failed.fetch_add(1, Ordering::Relaxed)
                            }
                        };
                    }
                });
            }
            let end = |mut child: Child| {
                child.kill().expect("kill");
                child.wait().expect("wait");
                bed.remove_group("other.service");
            };
            // the load goes to a service that stays while another one comes and goes
            for _ in 0..SENDERS / 2 {
                end(bed.server("other.service", "serve 9001"));
            }
            stop.store(true, Ordering::Relaxed);
        });
        assert_eq!(failed.into_inner(), 0, "nothing is lost while services restart");
        let answered = answered.into_inner();
        println!("{answered} connections while another service restarted {} times", SENDERS / 2);
        t.row("a service under load while another one restarts", 8001, &[("unit:client", SERVER, answered)], 0);

        let mut heard = 0;
        for _ in 0..SENDERS {
            let mut child = t.bed.server("restarted.service", "serve 9002");
            heard += u64::from(t.bed.probe("client.service", "tcp 127.0.0.1:9002") == "ok");
            child.kill().expect("kill");
            child.wait().expect("wait");
            t.bed.remove_group("restarted.service");
        }
        assert_eq!(heard, SENDERS, "a restarted service is never blocked");
        t.row("a server restarted before each connection", 9002, &[("unit:client", "unit:restarted", SENDERS)], 0);
    });
}
