//! Names that whoever runs a program chooses: nothing of them steers what reads the defender's words, none is without bound, and none takes
//! a program out of sight.

use std::ffi::{OsStr, OsString};
use std::net::SocketAddr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use cnnf_core::policy::{Effect, Mode};
use cnnf_rpc::v1::ConnectionEvent;

use crate::bed::controller::Controller;
use crate::bed::{self, Bed, with_bed};
use crate::{apply, enroll, policy};

/// A terminal's escape and its eight-bit form, a tab, what is no UTF-8, HTML, a formula, and what ends quotes.
const HOSTILE: &[u8] = b"\x1b[31m\tred\xc2\x9b\xff\x07<b>=cmd|'\"\\ ";

/// What probes do for these tests.
pub(crate) fn act(words: &[&str]) -> Option<std::io::Result<String>> {
    let ["deleted", to] = words else { return None };
    let to: SocketAddr = to.parse().expect("address");
    let gone = std::env::current_exe().and_then(std::fs::remove_file);
    Some(gone.and_then(|()| bed::tcp(to)).map(|()| "ok".into()))
}

/// `HOSTILE` with this before and behind it; a newline too, where the kernel takes one.
fn name(before: &str, newline: bool, behind: &str) -> OsString {
    let newline = if newline { "\n2026-01-01T00:00:00Z ERROR" } else { "" };
    OsString::from_vec([before.as_bytes(), HOSTILE, newline.as_bytes(), behind.as_bytes()].concat())
}

/// A copy of `program` under a path that is as hostile.
fn copy(bed: &Bed, program: &Path, called: &str) -> PathBuf {
    let path = bed.dir.path().join(name(called, true, ""));
    std::fs::copy(program, &path).expect("a copy");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("mode");
    path
}

fn program(name: &str) -> PathBuf {
    let found = Command::new("sh").args(["-c", "readlink -f \"$(command -v \"$0\")\"", name]).output().expect("sh");
    String::from_utf8(found.stdout).expect("a path").trim().into()
}

/// Runs curl, as this program in this group, with a command line of a megabyte that begins with hostile words.
fn fetch(curl: &Path, group: &Path, port: u16) {
    let mut command = Command::new("sh");
    command.args(["-c", "echo 0 >\"$0/cgroup.procs\" && exec \"$@\""]).arg(group).arg(curl);
    command.args(["-s", "-m", "0.5", "--noproxy", "*", "-A"]).arg(name("", true, ""));
    command.arg(format!("http://127.0.0.1:{port}/"));
    for _ in 0..9 {
        command.arg("-e").arg("a".repeat(120 * 1024));
    }
    // the server answers no HTTP: what counts is the connection
    command.stdout(Stdio::null()).status().expect("sh");
}

/// Text of lines, with nothing in it that steers a terminal.
#[track_caller]
fn harmless(what: &str, bytes: &[u8]) -> String {
    let text = std::str::from_utf8(bytes).unwrap_or_else(|error| panic!("{what} is no UTF-8: {error}"));
    let raw = text.chars().find(|c| c.is_control() && *c != '\n');
    assert!(raw.is_none(), "{what} has a raw {raw:?}: {text:?}");
    text.to_owned()
}

#[test]
fn root_hostile_names_are_bounded_and_reach_no_terminal() {
    with_bed(|bed| {
        let controller = Controller::start();
        enroll(bed, &controller);
        bed.start_logging("cnnf=debug,cnnf_defender=debug,cnnf_host=debug,info");
        for port in 8000..=8004 {
            bed.serve("server.service", port);
        }
        let rules: Vec<_> = (1..).zip(["tcp/8000", "tcp/8001", "tcp/8002", "tcp/8003", "tcp/8004"]).collect();
        let rules: Vec<_> = rules.iter().map(|(id, port)| (*id, "*", *port, Effect::Alert)).collect();
        apply(&controller, &policy(1, Mode::Enforce, &rules));

        let curl = copy(bed, &program("curl"), "curl");
        let unit = bed.group(&name("", false, ".service"));
        fetch(&curl, &unit, 8000);
        let below = bed.group(&Path::new("session-1.scope").join(name("", false, "")).into_os_string());
        fetch(&curl, &below, 8001);

        let own = copy(bed, &std::env::current_exe().expect("this program"), "gone");
        // as long as a name may be, so that the path is longer than a key
        let mut deep = bed.dir.path().to_owned();
        for _ in 0..3 {
            deep.push(OsStr::from_bytes(&[0xff; 255]));
        }
        std::fs::create_dir_all(&deep).expect("directories");
        let deep = deep.join("long");
        std::fs::copy(&own, &deep).expect("a copy");
        let probe = |program: &Path, group: &str, what: &str| {
            let mut command = bed.child_as(program, group, what);
            // a test program takes no argument that is no UTF-8
            command.arg0("probe");
            bed.answer(command)
        };
        assert_eq!(probe(&own, "session-1.scope", "deleted 127.0.0.1:8002"), "ok");
        assert!(!own.exists());
        assert_eq!(probe(&deep, "session-1.scope", "tcp 127.0.0.1:8003"), "ok");

        let event = |port: u32| {
            let is = |event: &ConnectionEvent| event.server.as_ref().is_some_and(|server| server.port == port);
            controller.wait(&format!("the event of port {port}"), |heard| {
                heard.events.iter().map(|(_, event)| event).find(|event| is(event)).cloned()
            })
        };
        let shown = |path: &Path| format!("exe:{}", path.to_string_lossy());
        for (port, client) in [
            (8000, "unit:\u{1b}[31m\tred\u{9b}\u{fffd}ff\u{7}<b>=cmd|'\"\\ ".to_owned()),
            (8001, shown(&curl)),
            (8002, shown(&own)),
            (
                8003,
                shown(&deep)
                    .chars()
                    .scan(0, |length, c| {
                        *length += c.len_utf8();
                        (*length <= 512).then_some(c)
                    })
                    .collect(),
            ),
        ] {
            let event = event(port);
            let end = event.client.expect("client");
            assert_eq!(end.service, client, "{port}");
            assert!(end.service.len() <= 512);
            let process = event.process.expect("process");
            assert!(process.cmdline.len() <= 4096 && process.pid > 1, "{port}: {process:?}");
            for text in [&process.exe, &process.cgroup, &process.unit, &process.missing] {
                assert!(text.len() <= 4096, "{port}: {} bytes: {text}", text.len());
            }
            assert!(process.parents.len() <= 16 && process.parents.iter().all(|parent| parent.program.len() <= 256));
            if port < 8002 {
                assert!(process.cmdline.len() == 4096 && process.cmdline.contains("-A \u{1b}[31m"), "{process:?}");
            }
        }

        // it connects and ends without a word: there may be nothing left in /proc to read
        assert_eq!(probe(&deep, "short.service", "send tcp 0 8004"), "no answer");
        let event = event(8004);
        assert_eq!(event.client.expect("client").service, "unit:short");
        let told = event.process.unwrap_or_default();
        assert!(told.cmdline.len() <= 4096 && told.exe.len() <= 4096, "{told:?}");
        assert!(
            told.sha256.len() == 64 || told.pid == 0 || !told.missing.is_empty(),
            "what is not known is said: {told:?}"
        );

        let log = harmless("the log", bed.log().as_bytes());
        let foreign = log.lines().find(|line| !line.starts_with("20") || line.starts_with("2026-01-01"));
        assert_eq!(foreign, None, "every line is the defender's own");
        for args in [&["status"][..], &["doctor"], &["status", "-o", "json"]] {
            let out = bed.defender(args);
            let text = harmless(&format!("{args:?}"), &out.stdout);
            harmless(&format!("{args:?}"), &out.stderr);
            if args.contains(&"json") {
                serde_json::from_str::<serde_json::Value>(&text).expect("JSON");
            }
        }
    });
}
