//! Cases of sockets that change hands, and of those that several hold.

use std::process::Command;
use std::time::{Duration, Instant};

use super::{SERVER, each, some, table};
use crate::exe;

/// Waits until conntrack has nothing of a client's UDP port any more: until then whoever takes it goes on with its connection.
fn until_ended(port: u64) {
    let began = Instant::now();
    let list = ["-L", "-p", "udp", "--orig-port-src", &port.to_string()];
    while !Command::new("conntrack").args(list).output().expect("conntrack").stdout.is_empty() {
        assert!(began.elapsed() < Duration::from_secs(5), "the connections of port {port} stay");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn root_truth_about_sockets_that_change_hands() {
    table(|t| {
        let (exe, n, m) = (exe(), each(), some());
        for (name, group, what, port, client) in [
            ("unconnected UDP, in a unit", "bare.service", "unconnected", 8000, "unit:bare"),
            ("unconnected UDP, in a session", "session-1.scope", "unconnected", 8001, exe.as_str()),
        ] {
            assert_eq!(t.bed.probe(group, &format!("{what} {n} {port} 20000")), "ok", "{name}");
            t.row(name, port, &[(client, SERVER, n)], 0);
        }
        // What a session's socket is passed to is outside the session: nobody of the session holds it any more.
        for (name, group, what, port, client) in [
            ("setuid after the socket was made, in a unit", "drops.service", "drop-user", 8002, "unit:drops"),
            ("setuid after the socket was made, in a session", "session-1.scope", "drop-user", 8003, exe.as_str()),
            ("a socket passed from unit to unit: its maker's", "maker.service", "pass got.service", 8004, "unit:maker"),
            (
                "a socket passed from a session to a unit: unknown",
                "session-1.scope",
                "pass got.service",
                8005,
                "unknown",
            ),
            (
                "a socket made before its process moved: its maker's",
                "before.service",
                "move after.service",
                8006,
                "unit:before",
            ),
            (
                "a socket made in a session before it moved: unknown",
                "session-1.scope",
                "move after.service",
                8008,
                "unknown",
            ),
        ] {
            assert_eq!(t.bed.probe(group, &format!("times {m} {what} {port} #")), "ok", "{name}");
            t.row(name, port, &[(client, SERVER, m)], 0);
        }
        t.row("a socket made after its process moved", 8007, &[("unit:after", SERVER, m)], 0);
        t.row("a socket made after it moved out of a session", 8009, &[("unit:after", SERVER, m)], 0);
    });
}

#[test]
fn root_truth_about_listeners() {
    table(|t| {
        let (exe, n) = (exe(), each());
        let length = usize::try_from(n).expect("few");
        // the root is where a service manager makes listeners for others, when it has no group of its own
        t.bed.begin("..", "hand-on activated.service 9000");
        t.bed.begin("maker.service", "hand-on heir.service 9001");
        t.bed.begin("workers.service", "workers 3 9002");
        t.bed.begin("session-1.scope", "workers 3 9003");
        for (name, port, server, may_be_unknown) in [
            // every process may hold it: on a busy host asking all of them takes longer than a packet may wait
            ("a listener that the service manager made", 9000, "unit:activated", n),
            ("a listener inherited from another unit: its maker's", 9001, "unit:maker", 0),
            ("workers on one listener, in a unit", 9002, "unit:workers", 0),
            ("workers on one listener, in a session", 9003, exe.as_str(), 0),
        ] {
            assert_eq!(t.bed.probe("client.service", &format!("ask tcp {n} {port}")), "x".repeat(length), "{name}");
            t.row(name, port, &[("unit:client", server, n)], may_be_unknown);
        }
        t.bed.begin("session-2.scope", "workers 2 9004");
        assert_eq!(t.bed.probe("session-1.scope", &format!("ask tcp {n} 9004")), "x".repeat(length));
        t.row("from one session to another", 9004, &[(&exe, &exe, n)], 0);
        for (name, group, port, client) in [
            ("nobody listens, asked from a unit: the kernel", "client.service", 9005, "unit:client"),
            ("nobody listens, asked from a session: the kernel", "session-1.scope", 9006, exe.as_str()),
        ] {
            assert_eq!(t.bed.probe(group, &format!("knock {n} 127.0.0.1:{port}")), format!("0 answered, {n} refused"));
            t.row(name, port, &[(client, "kernel", n)], 0);
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
            let said = t.bed.probe("client.service", &format!("ask {protocol} {n} {port}"));
            let of = |who: char| u64::try_from(said.chars().filter(|c| *c == who).count()).expect("few");
            assert_eq!(of('a') + of('b'), n, "{said}");
            let predicted = [("unit:client", "unit:a", of('a')), ("unit:client", "unit:b", of('b'))];
            t.row(name, port, &predicted, 0);
        }
        for (name, from, to, port) in [
            ("a dual-stack listener, by IPv4", "client.service", "127.0.0.1:8000", 8000),
            ("a dual-stack listener, by IPv6", "client.service", "[::1]:8001", 8001),
            ("a dual-stack listener, by IPv4 from a session", "session-1.scope", "127.0.0.1:8002", 8002),
            ("a dual-stack listener, by IPv6 from a session", "session-1.scope", "[::1]:8003", 8003),
        ] {
            assert_eq!(t.bed.probe(from, &format!("knock {n} {to}")), format!("{n} answered, 0 refused"), "{name}");
            let client = if from == "client.service" { "unit:client" } else { &exe };
            t.row(name, port, &[(client, SERVER, n)], 0);
        }
    });
}

/// A new binary takes a listener over from an old one while both run, as nginx does: master and workers.
#[test]
fn root_truth_about_a_program_that_replaces_itself() {
    table(|t| {
        let (old, new, n) = (t.named("old"), t.named("new"), each());
        for (name, group, port) in [
            ("a graceful re-exec, in a unit: always the unit", "graceful.service", 9000),
            ("a graceful re-exec, in a session: old, then ambiguous, then new", "session-1.scope", 9001),
        ] {
            let answer = t.bed.probe(group, &format!("replace {old} {new} {port} client.service {n}"));
            assert_eq!(answer, format!("{n} {n} {n}"), "every connection is answered, before, meanwhile and after");
            let (old, new) = (format!("exe:{old}"), format!("exe:{new}"));
            let predicted = match group {
                "graceful.service" => vec![("unit:client", "unit:graceful", 3 * n)],
                _ => vec![
                    ("unit:client", old.as_str(), n),
                    ("unit:client", "ambiguous", n),
                    ("unit:client", new.as_str(), n),
                ],
            };
            t.row(name, port, &predicted, 0);
        }
    });
}

/// What was found out of a program's connection must not be said of the next one between the same ports.
#[test]
fn root_truth_about_ports_used_again() {
    table(|t| {
        let (first, second, n) = (t.named("first"), t.named("second"), some());
        for n in 0..n {
            for program in [&first, &second] {
                let what = format!("as {program} connect-from {} 9000", 20_000 + n);
                assert_eq!(t.bed.probe("session-1.scope", &what), "ok");
            }
        }
        let (first, second) = (format!("exe:{first}"), format!("exe:{second}"));
        let predicted = [(first.as_str(), "kernel", n), (second.as_str(), "kernel", n)];
        t.row("a TCP port used again at once by another program", 9000, &predicted, 0);

        t.bed.begin("server.service", "answer 9002 9002");
        let n = some();
        for n in 0..n {
            for service in ["first.service", "second.service"] {
                assert_eq!(t.bed.probe(service, &format!("say-hello 9002 {}", 20_000 + n)), "ok");
                until_ended(20_000 + n);
            }
        }
        let predicted = [("unit:first", "unit:server", n), ("unit:second", "unit:server", n)];
        t.row("a UDP port used again by another service", 9002, &predicted, 0);

        let n = some() / 2;
        for n in 0..n {
            for service in ["old.service", "new.service"] {
                let mut server = t.bed.server(service, "answer 9004 9004");
                assert_eq!(t.bed.probe("client.service", &format!("say-hello 9004 {}", 20_000 + n)), "ok");
                server.kill().expect("kill");
                server.wait().expect("wait");
                until_ended(20_000 + n);
            }
        }
        let predicted = [("unit:client", "unit:old", n), ("unit:client", "unit:new", n)];
        t.row("a UDP port that another service takes over", 9004, &predicted, 0);
    });
}
