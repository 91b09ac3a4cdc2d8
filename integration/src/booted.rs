//! Hosts that are booted: Debian with systemd as PID 1, in a container of systemd-nspawn.
//!
//! What the lab's own init does on other hosts, systemd does here; requests to it become calls of systemctl(1).

mod answer;
mod boot;
mod hold;
mod unitfile;

use std::path::Path;
use std::process::{Command, Stdio};

use nix::sched::{CloneFlags, setns};
use rustix::process::PidfdFlags;

use crate::enter::init_pid;
use crate::error::{Error, Result, Tried};
use crate::init::protocol::{Reply, Request};
use crate::launch::clean_environment;
use crate::layout::State;
use crate::programs;

pub(crate) use answer::answer;
pub(crate) use boot::run as boot;
pub(crate) use hold::Hold;

/// Asks a host's systemd.
pub(crate) fn ask(state: &State, host: &str, request: &Request) -> Result<Reply> {
    let text = serde_json::to_string(request)
        .map_err(|error| Error::Failed(format!("cannot write the request to {host}: {error}")))?;
    let output = inside(state, host, &["/proc/self/exe", "answer", &text])?
        .stdin(Stdio::null())
        .output()
        .tried(|| format!("cannot ask {host}"))?;
    let complaint = String::from_utf8_lossy(&output.stderr).trim().trim_start_matches("error: ").to_owned();
    match output.status.code() {
        Some(0) => serde_json::from_slice(&output.stdout)
            .map_err(|error| Error::Failed(format!("{host} gave no answer to {request:?}: {error}"))),
        Some(2) => Err(Error::Usage(complaint)),
        Some(3) => Err(Error::Unreachable(complaint)),
        _ => Err(Error::Failed(complaint)),
    }
}

/// Whether the host has finished booting; failed units of Debian's own are no reason to wait.
pub(crate) fn is_up(state: &State, host: &str) -> bool {
    let Ok(mut command) = inside(state, host, &["systemctl", "is-system-running"]) else { return false };
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output();
    output.is_ok_and(|output| ["running", "degraded"].contains(&String::from_utf8_lossy(&output.stdout).trim()))
}

/// A command in the host's namespaces, but outside its cgroup tree; `/proc/self/exe` is the lab itself.
fn inside(state: &State, host: &str, command: &[&str]) -> Result<Command> {
    let pid = init_pid(state, host).ok_or_else(|| {
        Error::Unreachable(format!(
            "{host} is not running, take the world down and up again (cnnf-lab down, in {})",
            state.cgroup.display()
        ))
    })?;
    let mut inside = Command::new(programs::ours("cnnf-lab")?);
    inside.args(["inside", &pid.to_string(), "--"]).args(command);
    Ok(inside)
}

/// Joins the namespaces of a process, but for its cgroup namespace; children are in its pid namespace too.
pub(crate) fn join(pid: i32) -> std::io::Result<()> {
    let pid = rustix::process::Pid::from_raw(pid).ok_or(std::io::ErrorKind::InvalidInput)?;
    let handle = rustix::process::pidfd_open(pid, PidfdFlags::empty())?;
    setns(
        &handle,
        CloneFlags::CLONE_NEWNS
            | CloneFlags::CLONE_NEWNET
            | CloneFlags::CLONE_NEWUTS
            | CloneFlags::CLONE_NEWIPC
            | CloneFlags::CLONE_NEWPID,
    )?;
    Ok(())
}

/// Runs a command in the namespaces of a process and gives its exit code; for a process with one thread, and its
/// last act.
pub(crate) fn run_inside(pid: i32, command: &[String]) -> Result<u8> {
    join(pid).map_err(|error| Error::Unreachable(format!("cannot enter the host of process {pid}: {error}")))?;
    let [program, arguments @ ..] = command else {
        return Err(Error::Usage("there is no command to run".to_owned()));
    };
    let mut child = Command::new(program);
    clean_environment(&mut child, "/root");
    let status = child.args(arguments).current_dir(Path::new("/")).status();
    let status = status.tried(|| format!("cannot run `{program}` in the host"))?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}
