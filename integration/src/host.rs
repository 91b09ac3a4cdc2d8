//! The first step into a node: the hidden subcommand that makes its namespaces and starts its init in them.

use std::fs;
use std::io::{self, BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::sched::{CloneFlags, unshare};
use nix::unistd::setsid;

use crate::cgroup;
use crate::error::{Error, Result, Tried};
use crate::init;

/// Enters the node's cgroup, unshares everything and starts its init; returns once that one is ready.
/// The cgroup comes first, so that the cgroup namespace has it as its root.
pub(crate) fn start(cgroup_dir: &Path, plan_file: &Path) -> Result<()> {
    // Away from the caller's terminal: its Ctrl-C is not meant for the world.
    setsid().tried(|| "cannot begin a session".to_owned())?;
    fs::create_dir_all(cgroup_dir)
        .and_then(|()| cgroup::enter(cgroup_dir))
        .tried(|| format!("cannot enter the cgroup {}", cgroup_dir.display()))?;
    unshare(
        CloneFlags::CLONE_NEWCGROUP
            | CloneFlags::CLONE_NEWNS
            | CloneFlags::CLONE_NEWNET
            | CloneFlags::CLONE_NEWUTS
            | CloneFlags::CLONE_NEWIPC
            | CloneFlags::CLONE_NEWPID,
    )
    .tried(|| "cannot make namespaces (root is needed, and a kernel that allows them)".to_owned())?;
    let mut child = Command::new("/proc/self/exe")
        .arg0("cnnf-lab")
        .arg("init")
        .arg(plan_file)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .tried(|| "cannot start the init".to_owned())?;
    let Some(stdout) = child.stdout.take() else {
        return Err(Error::Failed("the init has no output".to_owned()));
    };
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line).tried(|| "cannot hear the init".to_owned())?;
    if line == "ready\n" {
        return Ok(());
    }
    let status = child.wait().tried(|| "cannot wait for the init".to_owned())?;
    Err(Error::Failed(format!("the init ended before it was ready ({status})")))
}

/// Runs as PID 1.
///
/// # Errors
/// What kept it from starting; it goes to the node's init log.
pub(crate) fn init(plan_file: &Path) -> Result<()> {
    init::run(plan_file)
}

/// Becomes a command in the network namespace of a process, everything else as it is.
pub(crate) fn become_in_network(pid: i32, cgroup_dir: Option<&Path>, command: &[String]) -> Error {
    let enter = || -> io::Result<()> {
        if let Some(dir) = cgroup_dir {
            fs::create_dir_all(dir)?;
            cgroup::enter(dir)?;
        }
        let namespace = fs::File::open(format!("/proc/{pid}/ns/net"))?;
        nix::sched::setns(namespace, CloneFlags::CLONE_NEWNET)?;
        nix::sys::signal::SigSet::empty().thread_set_mask()?;
        Ok(())
    };
    if let Err(error) = enter() {
        return Error::Unreachable(format!("cannot enter the network of process {pid}: {error}"));
    }
    let [program, arguments @ ..] = command else {
        return Error::Usage("there is no command to run".to_owned());
    };
    let error = Command::new(program).args(arguments).exec();
    Error::Failed(format!("cannot run `{program}`: {error}"))
}
