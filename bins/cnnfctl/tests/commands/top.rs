//! `cnnfctl top`: frames for scripts, and a person at a terminal.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::num::NonZeroU16;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, poll};
use nix::pty::{Winsize, openpty};

use crate::bed::Bed;

#[test]
fn a_frame_for_scripts() {
    let bed = Bed::start();
    let mut all = String::new();
    for args in [
        &["top", "--once"][..],
        &["top", "--once", "--view", "edges", "--sort", "connections"],
        &["top", "--once", "--view", "edges", "--sort=-connections", "--filter", "REDIS"],
        &["top", "--once", "--view", "events"],
        &["top", "--once", "--view", "hosts", "--filter", "no such host"],
        &["top", "--once", "--view", "hosts"],
    ] {
        let out = bed.ok(args);
        assert!(!out.contains(|c: char| c.is_control() && c != '\n'), "{out:?}");
        all.push_str(&format!("$ cnnfctl {}\n{out}\n", args.join(" ")));
    }
    let narrow = bed.command(&["top", "--once"]).env("COLUMNS", "40").output().expect("run");
    all.push_str(&format!("$ COLUMNS=40 cnnfctl top --once\n{}", String::from_utf8_lossy(&narrow.stdout)));
    insta::assert_snapshot!(all.replace(&bed.address.to_string(), "SERVER"));
}

#[test]
fn what_it_cannot_do_is_said() {
    let bed = Bed::start();
    for (args, part) in [
        (&["top"][..], "top needs a terminal: say --once for one frame"),
        (&["top", "--once", "-o", "json"], "top draws for people"),
        (&["top", "--once", "--sort", "weight"], "there is no column 'weight': services have SERVICE, HOSTS"),
        (&["top", "--once", "--interval", "10ms"], "write a time from 1s to 1h"),
    ] {
        let ran = bed.run(args);
        assert!(ran.code == 2 && ran.out.is_empty() && ran.err.contains(part), "{args:?}: {ran:?}");
    }
    assert!(bed.requests.lock().expect("lock").is_empty(), "nothing was asked");
    let gone = bed.ca.admin_toml("127.0.0.1:1", &cnnf_rpc::tls::PeerIdentity::Admin("root".into()));
    assert_eq!(bed.run(&["top", "--once", "--admin", &bed.file("gone.toml", &gone)]).code, 3);
}

/// A person before a screen on which a program runs.
struct Person {
    child: Child,
    pty: File,
    /// The other end, which a program of its own can name.
    name: String,
    screen: vt100::Parser,
}

fn size_of(lines: u16) -> NonZeroU16 {
    NonZeroU16::new(lines).expect("size")
}

impl Person {
    fn before(bed: &Bed, args: &[&str], rows: u16, cols: u16) -> Self {
        let size = Winsize { ws_row: rows, ws_col: cols, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = openpty(Some(&size), None).expect("pty");
        let inner = bed.command(args);
        // A session of its own, so that this is its terminal and not the one in which the tests run.
        let mut command = Command::new("setsid");
        command.args(["--ctty", "--wait"]).arg(inner.get_program()).args(inner.get_args()).env_clear();
        command.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?)))).env("TERM", "xterm-256color");
        let end = || pty.slave.try_clone().expect("clone");
        let child = command.stdin(end()).stdout(end()).stderr(end()).spawn().expect("spawn");
        let name = std::fs::read_link(format!("/proc/self/fd/{}", pty.slave.as_raw_fd())).expect("name");
        let name = name.display().to_string();
        Self { child, pty: File::from(pty.master), name, screen: vt100::Parser::new(size_of(rows), size_of(cols), 0) }
    }

    fn types(&mut self, keys: &str) {
        self.pty.write_all(keys.as_bytes()).expect("type");
    }

    /// Looks on until the screen is as it should be.
    fn sees(&mut self, what: &str, right: impl Fn(&str) -> bool) {
        let limit = Instant::now() + Duration::from_secs(60);
        let mut part = [0; 4096];
        while !right(&self.screen.screen().contents()) {
            assert!(Instant::now() < limit, "{what}:\n{}", self.screen.screen().contents());
            let mut ready = [PollFd::new(self.pty.as_fd(), PollFlags::POLLIN)];
            if poll(&mut ready, 100u8).expect("poll") > 0 {
                let n = self.pty.read(&mut part).unwrap_or_else(|_| {
                    panic!("it ended before {what}:\n{}", self.screen.screen().contents());
                });
                self.screen.process(&part[..n]);
            }
        }
    }

    fn resizes(&mut self, rows: u16, cols: u16) {
        let (rows_text, cols_text) = (rows.to_string(), cols.to_string());
        let args = ["-F", &self.name, "rows", &rows_text, "cols", &cols_text];
        assert!(Command::new("stty").args(args).status().expect("stty").success());
        self.screen.screen_mut().set_size(size_of(rows), size_of(cols));
    }

    /// Its exit code, once it has ended and the screen is the shell's again.
    fn ends(mut self) -> Option<i32> {
        let mut part = [0; 4096];
        // Linux says EIO when the other end is closed.
        while let Ok(n @ 1..) = self.pty.read(&mut part) {
            self.screen.process(&part[..n]);
        }
        assert!(!self.screen.screen().alternate_screen(), "the screen is given back");
        assert!(!self.screen.screen().hide_cursor(), "the cursor is given back");
        let code = self.child.wait().expect("wait").code();
        let settings = Command::new("stty").args(["-F", &self.name, "-a"]).output().expect("stty");
        let settings = String::from_utf8_lossy(&settings.stdout).into_owned();
        assert!(settings.contains(" icanon") && settings.contains(" echo "), "{settings}");
        code
    }
}

#[test]
fn a_person_looks_around_while_the_connection_breaks() {
    let bed = Bed::start();
    let mut person = Person::before(&bed, &["top"], 24, 100);
    person.sees("services", |screen| screen.contains("unit:nginx") && screen.contains("3 hosts, 1 not connected"));
    person.types("2");
    person.sees("edges", |screen| screen.contains("CLIENT") && screen.contains("192.0.2.0/24"));
    let asked = |bed: &Bed| {
        let asked = bed.requests.lock().expect("lock");
        asked.iter().filter(|ask| ask.starts_with("WatchChangesRequest")).cloned().collect::<Vec<_>>()
    };
    bed.cut();
    person.types("/redis\r");
    person.sees("the filter", |screen| screen.contains("1 of 4 with 'redis'") && !screen.contains("192.0.2.0/24"));
    person.types("\x1b");
    person.sees("no filter", |screen| screen.contains("192.0.2.0/24"));
    person.types("3");
    person.sees("events", |screen| screen.contains("anomaly_prevent"));
    person.types("\r");
    person.sees("an event", |screen| screen.contains("command line") && screen.contains("curl http://10.86.0.1/\\n"));
    person.types("q");
    person.sees("events", |screen| screen.contains("anomaly_prevent"));
    person.resizes(10, 40);
    person.sees("less", |screen| {
        screen.contains("KIND") && screen.contains("rule_alert") && !screen.contains("BECAUSE OF")
    });
    person.types("?");
    person.sees("help", |screen| screen.contains("services, edges, events"));
    person.types("\x1bq");
    // Escape and a letter are one key, which takes the help away; this one leaves.
    person.types("q");
    assert_eq!(person.ends(), Some(0));
    let asked = asked(&bed);
    assert!(asked.len() == 2 && asked[0].contains(r#"epoch: """#), "{asked:?}");
    assert!(asked[1].contains(r#"epoch: "first run""#) && asked[1].contains(r#""topology": 1"#), "{asked:?}");
}

#[test]
fn the_terminal_is_given_back_whatever_ends_it() {
    let bed = Bed::start();
    let mut person = Person::before(&bed, &["top", "--view", "hosts"], 24, 80);
    person.sees("hosts", |screen| screen.contains("web2"));
    person.types("\x03");
    assert_eq!(person.ends(), Some(0));
}
