//! Cases of one process, and of its name.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use super::{SERVER, each, late, some, table};
use crate::exe;

#[test]
fn root_truth_about_senders_that_exit() {
    table(|t| {
        let (exe, n) = (exe(), each());
        for (name, group, protocol, port, client, may_be_unknown) in [
            ("TCP senders that exit, in a unit", "short.service", "tcp", 8000, "unit:short", 0),
            ("UDP senders that exit, in a unit", "short.service", "udp", 8001, "unit:short", 0),
            // The socket goes with its process, and may be gone before it is asked for: unknown then, but never another's.
            ("TCP senders that exit, in a session", "session-1.scope", "tcp", 8002, exe.as_str(), n),
            ("UDP senders that exit, in a session", "session-1.scope", "udp", 8003, exe.as_str(), n),
        ] {
            assert_eq!(t.bed.probe(group, &format!("senders {protocol} {n} {port}")), "ok");
            t.row(name, port, &[(client, SERVER, n)], may_be_unknown);
        }
    });
}

#[test]
fn root_truth_about_names() {
    table(|t| {
        let n = each();
        for (instance, from) in [("a", 20_000), ("b", 20_000 + n)] {
            assert_eq!(t.bed.probe(&format!("shop@{instance}.service"), &format!("unconnected {n} 8000 {from}")), "ok");
        }
        let both = [("unit:shop@a", SERVER, n), ("unit:shop@b", SERVER, n)];
        t.row("two instances of a template", 8000, &both, 0);

        assert_eq!(t.bed.probe("server.service", &format!("unconnected {n} 8001 20000")), "ok");
        t.row("a service that talks to itself", 8001, &[(SERVER, SERVER, n)], 0);

        let n = some();

        let script = t.bed.dir.path().join("job");
        for (group, port) in [("session-1.scope", 8002), ("job.service", 8003), ("cron.service", 8004)] {
            // the echo is no HTTP: what counts is the connection
            let text = format!("#!/bin/sh\ncurl -s -m 0.3 --noproxy '*' http://127.0.0.1:{port}/\ntrue\n");
            std::fs::write(&script, text).expect("script");
            std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).expect("mode");
            assert_eq!(t.bed.probe(group, &format!("run {n} {}", script.display())), "ok");
        }
        let curl = String::from_utf8(
            Command::new("sh").args(["-c", "readlink -f \"$(command -v curl)\""]).output().expect("sh").stdout,
        );
        let curl = format!("exe:{}", curl.expect("path").trim());
        t.row("a session's shell script that runs curl", 8002, &[(&curl, SERVER, n)], 0);
        t.row("a unit's shell script that runs curl", 8003, &[("unit:job", SERVER, n)], 0);
        t.row("a cron job that runs curl", 8004, &[(&curl, SERVER, n)], 0);

        // sudo stays as the parent of what it runs, and looks names up itself
        let sudo = t.named("sudo");
        for (group, port, client) in [
            ("session-1.scope", 8005, curl.as_str()),
            ("cron.service", 8006, curl.as_str()),
            ("job.service", 8007, "unit:job"),
        ] {
            assert_eq!(t.bed.probe(group, &format!("as {sudo} sudo {n} {port}")), "ok");
            let itself = if client == curl { format!("exe:{sudo}") } else { client.to_owned() };
            let name = match port {
                8005 => "sudo in a session: what it runs, and itself",
                8006 => "sudo in a cron job: what it runs, and itself",
                _ => "sudo in a unit: the unit's",
            };
            let predicted = [(client, SERVER, n), (itself.as_str(), SERVER, n)];
            let predicted = if client == curl { predicted.to_vec() } else { vec![(client, SERVER, 2 * n)] };
            t.row(name, port, &predicted, late(n));
        }
    });
}
