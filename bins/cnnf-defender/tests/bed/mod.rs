//! A host in a network namespace, with control groups as systemd makes them, and a defender that can be started, stopped and killed.

pub(crate) mod controller;

use std::ffi::OsStr;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const PROBE: &str = "CNNF_TEST_PROBE";
/// Set for a probe that outlives whoever started it; its control group ends it.
pub(crate) const STAYS: &str = "CNNF_TEST_STAYS";
pub(crate) const TIMEOUT: Duration = Duration::from_secs(2);

pub(crate) struct Bed {
    tree: Tree,
    groups: PathBuf,
    pub(crate) dir: tempfile::TempDir,
    children: Vec<Child>,
    defender: Option<Child>,
}

/// Which control groups a host has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tree {
    /// cgroup2.
    Unified,
    /// cgroup v1 alone, with the hierarchy of systemd's.
    Legacy,
}

/// Runs `test` on a thread in a network namespace of its own.
pub(crate) fn with_bed(test: impl FnOnce(&mut Bed) + Send) {
    with_bed_of(Tree::Unified, test);
}

/// The same on a host with such control groups.
pub(crate) fn with_bed_of(tree: Tree, test: impl FnOnce(&mut Bed) + Send) {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace: needs root");
            assert!(Command::new("ip").args(["link", "set", "lo", "up"]).status().expect("ip").success());
            test(&mut Bed::new(tree));
        });
        if let Err(panic) = thread.join() {
            std::panic::resume_unwind(panic);
        }
    });
}

impl Bed {
    fn new(tree: Tree) -> Self {
        let dir = tempfile::tempdir().expect("directory");
        let root = match tree {
            Tree::Unified => ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"]
                .into_iter()
                .find(|p| Path::new(p).join("cgroup.procs").exists())
                .expect("cgroup2")
                .into(),
            Tree::Legacy => {
                let root = dir.path().join("systemd");
                fs::create_dir(&root).expect("directory");
                let mount = ["-t", "cgroup", "-o", "none,name=systemd", "cgroup"];
                assert!(Command::new("mount").args(mount).arg(&root).status().expect("mount").success());
                root
            }
        };
        let groups = root.join(format!("cnnf_bed_{}.slice", std::process::id()));
        fs::create_dir(&groups).expect("a control group");
        let bed = Self { tree, groups, dir, children: Vec::new(), defender: None };
        bed.configure("");
        bed
    }

    /// Writes the defender's configuration, with this beside what the bed needs.
    pub(crate) fn configure(&self, more: &str) {
        let dir = self.dir.path();
        let config = format!("state_dir = \"{0}/state\"\nsocket = \"{0}/sock\"\n{more}", dir.display());
        fs::write(dir.join("defender.toml"), config).expect("config");
    }

    /// Runs a command of the defender's to its end.
    pub(crate) fn defender(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("defender")
    }

    fn command(&self, args: &[&str]) -> Command {
        let program = env!("CARGO_BIN_EXE_cnnf-defender");
        let mut command = Command::new(if self.tree == Tree::Unified { program } else { "unshare" });
        if self.tree == Tree::Legacy {
            command.args(["--mount", "sh", "-c", "umount -a -t cgroup2; exec \"$@\"", "sh", program]);
        }
        command.args(args).env("CNNF_CONFIG", self.dir.path().join("defender.toml"));
        command
    }

    /// Starts the defender; its log goes to a file.
    pub(crate) fn start(&mut self) {
        self.start_logging("info");
    }

    /// The same with a log of this level.
    pub(crate) fn start_logging(&mut self, level: &str) {
        self.launch(level);
        self.wait_until_started();
    }

    /// The same by another program, such as strace(1) with its options.
    pub(crate) fn start_by(&mut self, words: &[&str]) {
        let run = self.command(&["run"]);
        let mut by = Command::new(words[0]);
        by.args(&words[1..]).arg(run.get_program()).args(run.get_args());
        by.env("CNNF_CONFIG", self.dir.path().join("defender.toml"));
        self.launch_as(by, "info");
        self.wait_until_started();
    }

    fn wait_until_started(&self) {
        let start = Instant::now();
        while !self.defender(&["status"]).status.success() {
            assert!(start.elapsed() < Duration::from_secs(10), "the defender does not start: {}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until the policy has proved itself. One that is on trial would be undone in the end, as a defender that is killed again and again does not
    /// live long enough to reach its controller anew.
    pub(crate) fn wait_until_proved(&self) {
        let start = Instant::now();
        while String::from_utf8_lossy(&self.defender(&["status"]).stdout).contains(", on trial") {
            assert!(start.elapsed() < Duration::from_secs(45), "the policy proves nothing: {}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Starts the defender and does not wait until it is ready.
    pub(crate) fn launch(&mut self, level: &str) {
        let command = self.command(&["run"]);
        self.launch_as(command, level);
    }

    fn launch_as(&mut self, mut command: Command, level: &str) {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.dir.path().join("log")).expect("log");
        self.defender = Some(command.env("CNNF_LOG", level).stderr(log).spawn().expect("defender"));
    }

    /// The process of a defender that another program has started.
    pub(crate) fn defender_pid(&self) -> i32 {
        *children_of(self.defender.as_ref().expect("running")).first().expect("a child")
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// Sends a signal to the running defender, and waits for its end if it ends.
    pub(crate) fn signal(&mut self, signal: Signal) {
        let child = self.defender.as_mut().expect("running");
        kill(Pid::from_raw(i32::try_from(child.id()).expect("pid")), signal).expect("kill");
        if matches!(signal, Signal::SIGKILL | Signal::SIGTERM) {
            child.wait().expect("wait");
            self.defender = None;
        } else if signal == Signal::SIGSTOP {
            // one thread takes the signal and stops the others: until it has a processor they run on
            let start = Instant::now();
            while !is_stopped(child.id()) {
                assert!(start.elapsed() < Duration::from_secs(10), "the defender does not stop");
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }

    /// A process in this control group that does what `what` says; its output is the answer.
    pub(crate) fn probe(&self, group: &str, what: &str) -> String {
        self.answer(self.child(group, what))
    }

    /// What a probe answers.
    pub(crate) fn answer(&self, mut probe: Command) -> String {
        let out = probe.output().expect("probe");
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        text.lines()
            .find_map(|line| line.split_once("probe:"))
            .map_or("no answer".into(), |(_, answer)| answer.to_owned())
    }

    /// A process in this control group that echoes on a TCP port until the bed is gone.
    pub(crate) fn serve(&mut self, group: &str, port: u16) {
        self.begin(group, &format!("serve {port}"));
    }

    /// A process in this control group that does what `what` says until the bed is gone; returns when it is ready.
    pub(crate) fn begin(&mut self, group: &str, what: &str) {
        let child = self.server(group, what);
        self.children.push(child);
    }

    /// Keeps a process of a caller's until the bed is gone.
    pub(crate) fn keep(&mut self, child: Child) {
        self.children.push(child);
    }

    /// The same with another program.
    pub(crate) fn begin_as(&mut self, program: &Path, group: &str, what: &str) {
        let mut child = self.child_as(program, group, what).spawn().expect("server");
        until_ready(child.stdout.as_mut().expect("output"));
        self.children.push(child);
    }

    /// The same for a caller that ends it.
    pub(crate) fn server(&self, group: &str, what: &str) -> Child {
        let mut child = self.child(group, what).spawn().expect("server");
        until_ready(child.stdout.as_mut().expect("output"));
        child
    }

    /// Removes an empty control group, as a service manager does when a service stops.
    pub(crate) fn remove_group(&self, group: &str) {
        remove(&self.groups.join(group));
    }

    /// Makes a control group of any name.
    pub(crate) fn group(&self, name: &OsStr) -> PathBuf {
        let path = self.groups.join(name);
        fs::create_dir_all(&path).expect("a control group");
        path
    }

    /// A process in this control group, to be started.
    pub(crate) fn child(&self, group: &str, what: &str) -> Command {
        told(&self.groups.join(group).display().to_string(), what)
    }

    /// A copy of this program as a probe in this control group.
    pub(crate) fn child_as(&self, program: &Path, group: &str, what: &str) -> Command {
        told_by(program, &self.groups.join(group).display().to_string(), what)
    }
}

/// This program as a probe that joins the group at this path (or stays where it is, if there is none) and does what it is told.
pub(crate) fn told(group: &str, what: &str) -> Command {
    told_by(&std::env::current_exe().expect("this program"), group, what)
}

/// The same by a copy of this program.
pub(crate) fn told_by(program: &Path, group: &str, what: &str) -> Command {
    let mut command = Command::new(program);
    command.args(["--exact", "probe", "--nocapture"]).env(PROBE, format!("{group}|{what}"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    command
}

/// Waits until a probe says that it is ready.
pub(crate) fn until_ready(out: &mut impl Read) {
    let (mut seen, mut byte) = (String::new(), [0]);
    while !seen.contains("probe:ready") && out.read(&mut byte).expect("read") == 1 {
        seen.push(char::from(byte[0]));
    }
    assert!(seen.contains("probe:ready"), "a server did not start: {seen}");
}

/// Moves this process to the group at this path, which is made if need be.
pub(crate) fn join(group: &str) {
    // Of two processes that come at once, one finds it made.
    fs::create_dir_all(group).expect("a control group");
    fs::write(format!("{group}/cgroup.procs"), "0").expect("join the group");
}

/// Where the group at this path has its siblings.
pub(crate) fn groups_of(group: &str) -> &Path {
    Path::new(group).parent().expect("below the root")
}

/// A process that was just killed may be in it for a moment.
fn remove(group: &Path) {
    for entry in fs::read_dir(group).into_iter().flatten().flatten().filter(|entry| entry.path().is_dir()) {
        remove(&entry.path());
    }
    for _ in 0..100 {
        if fs::remove_dir(group).is_ok() || !group.exists() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Whether every thread of a process is stopped: `T` in its `stat`, see proc(5).
fn is_stopped(pid: u32) -> bool {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("a running process");
    tasks.flatten().all(|task| {
        let stat = fs::read_to_string(task.path().join("stat")).unwrap_or_default();
        stat.rsplit_once(')').is_none_or(|(_, state)| state.starts_with(" T"))
    })
}

fn children_of(process: &Child) -> Vec<i32> {
    let pid = process.id();
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    children.split_whitespace().filter_map(|child| child.parse().ok()).collect()
}

impl Drop for Bed {
    fn drop(&mut self) {
        // a defender that another program has started does not end with that one
        for child in self.defender.iter().flat_map(children_of) {
            let _ = kill(Pid::from_raw(child), Signal::SIGKILL);
        }
        for child in self.children.iter_mut().chain(&mut self.defender) {
            let _ = child.kill();
            let _ = child.wait();
        }
        for entry in fs::read_dir(&self.groups).into_iter().flatten().flatten() {
            if entry.path().is_dir() {
                let _ = fs::write(entry.path().join("cgroup.kill"), "1");
                remove(&entry.path());
            }
        }
        remove(&self.groups);
        if self.tree == Tree::Legacy {
            let _ = Command::new("umount").arg(self.dir.path().join("systemd")).status();
        }
        if std::thread::panicking() {
            eprintln!("the defender's log:\n{}", self.log());
        }
    }
}

/// The child's side: does what it is told, if this process is a probe.
pub(crate) fn be_probe(act: impl FnOnce(&str, &[&str]) -> Option<std::io::Result<String>>) {
    let Ok(told) = std::env::var(PROBE) else { return };
    let (group, what) = told.split_once('|').expect("group|what");
    // whoever started it may be killed
    if std::env::var_os(STAYS).is_none() {
        nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).expect("prctl");
    }
    if !group.is_empty() {
        join(group);
    }
    let words: Vec<&str> = what.split(' ').collect();
    let result = match words[..] {
        ["tcp", to] => tcp(to.parse().expect("address")).map(|()| "ok".into()),
        ["serve", port] => serve(port.parse().expect("port")).map(|()| "ok".into()),
        _ => act(group, &words).unwrap_or_else(|| panic!("unknown probe {what}")),
    };
    let word = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::ConnectionRefused => "refused".into(),
        _ => error.to_string(),
    };
    println!("probe:{}", result.unwrap_or_else(word));
    std::process::exit(0);
}

pub(crate) fn tcp(to: SocketAddr) -> std::io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&to, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.write_all(b"x")?;
    stream.read_exact(&mut [0])
}

fn serve(port: u16) -> std::io::Result<()> {
    let listener = TcpListener::bind(("::", port))?;
    println!("probe:ready");
    for stream in listener.incoming().flatten() {
        std::thread::spawn(move || {
            let mut stream = stream;
            let mut buffer = [0; 64];
            while let Ok(n) = stream.read(&mut buffer) {
                if n == 0 || stream.write_all(&buffer[..n]).is_err() {
                    break;
                }
            }
        });
    }
    Ok(())
}
