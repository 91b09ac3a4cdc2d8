//! Running a command in a host: all its namespaces, then a cgroup, then the command.

use std::fs;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::Pid;

use crate::booted;
use crate::cgroup;
use crate::error::{Error, Result, Tried};
use crate::init::protocol::{Reply, Request, ask_init};
use crate::launch::{Launch, clean_environment};
use crate::layout::{State, WorldDir};

/// Where in a host's cgroup tree a command runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placement<'a> {
    /// As root's login session, a new one each time: `/user.slice/user-0.slice/session-N.scope`.
    Session,
    /// As (part of) the unit: `/system.slice/NAME.service`.
    Unit(&'a str),
}

/// The pid of a node's init as this process's pid namespace numbers it.
pub(crate) fn init_pid(state: &State, node: &str) -> Option<i32> {
    cgroup::processes(&state.node_root(node).join("init.scope"))
        .into_iter()
        .find(|pid| *pid > 0 && inner_pid(*pid) == Some(1))
}

/// The pid by which the innermost pid namespace knows a process.
pub(crate) fn inner_pid(pid: i32) -> Option<i32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
    line.split_whitespace().last()?.parse().ok()
}

/// A cgroup that is ours to use as long as this lives.
enum Held {
    Init { cgroup: String, _connection: UnixStream },
    Systemd(booted::Hold),
}

impl Held {
    fn begin(dir: &WorldDir, state: &State, host: &str, unit: Option<String>) -> Result<Held> {
        if state.is_booted(host) {
            return booted::Hold::begin(state, host, unit.as_deref()).map(Held::Systemd);
        }
        match ask_init(dir, host, &Request::Hold { unit })? {
            (Reply::Cgroup(cgroup), connection) => Ok(Held::Init { cgroup, _connection: connection }),
            _ => Err(Error::Failed(format!("the init of {host} gave no cgroup"))),
        }
    }

    fn cgroup(&self) -> &str {
        match self {
            Held::Init { cgroup, .. } | Held::Systemd(booted::Hold { cgroup, .. }) => cgroup,
        }
    }
}

/// Runs a command with this process's own input and output.
///
/// Returns its exit code, 128 + N if signal N ended it. SIGTERM, SIGHUP and SIGINT sent to this process are passed
/// on; the terminal's own Ctrl-C reaches the command anyway. For a process with one thread, and its last act: it is
/// left in the host's namespaces.
pub(crate) fn execute(
    dir: &WorldDir,
    state: &State,
    host: &str,
    placement: Placement<'_>,
    command: &[String],
) -> Result<u8> {
    let unit = match placement {
        Placement::Session => None,
        Placement::Unit(name) => Some(name.to_owned()),
    };
    let hold = Held::begin(dir, state, host, unit)?;
    let gone = || format!("cannot enter host {host}");
    let pid =
        init_pid(state, host).ok_or_else(|| Error::Unreachable(format!("{}: its init is not running", gone())))?;
    let signals = watch_signals().tried(|| "cannot watch signals".to_owned())?;
    let terminal = std::env::var_os("TERM");
    // The cgroup namespace is left to the child: it has to be in its cgroup first.
    booted::join(pid).tried(gone)?;
    let launch = Launch {
        cgroup: hold.cgroup().to_owned(),
        join_namespace: true,
        own_session: false,
        die_with_parent: true,
        user: None,
        folder: "/".into(),
        command: command.to_vec(),
    };
    let mut child = Command::new("/proc/self/exe");
    child.args(launch.arguments()).stdin(Stdio::inherit());
    clean_environment(&mut child, "/root");
    child.env("USER", "root");
    if let Some(terminal) = terminal {
        child.env("TERM", terminal);
    }
    let mut child = child.spawn().tried(|| format!("cannot start a command in {host}"))?;
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap_or(i32::MAX));
    loop {
        if let Some(status) = child.try_wait().tried(|| "cannot wait for the command".to_owned())? {
            use std::os::unix::process::ExitStatusExt;
            let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
            return Ok(u8::try_from(code).unwrap_or(u8::MAX));
        }
        let Ok(Some(found)) = signals.read_signal() else { continue };
        let from_somebody = found.ssi_code != nix::libc::SI_KERNEL;
        let signal = i32::try_from(found.ssi_signo).ok().and_then(|number| Signal::try_from(number).ok());
        if let Some(signal) = signal.filter(|signal| *signal != Signal::SIGCHLD && from_somebody) {
            let _ = kill(pid, signal);
        }
    }
}

fn watch_signals() -> nix::Result<SignalFd> {
    let mut mask = SigSet::empty();
    for signal in [Signal::SIGCHLD, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTERM, Signal::SIGHUP] {
        mask.add(signal);
    }
    mask.thread_block()?;
    SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC)
}
