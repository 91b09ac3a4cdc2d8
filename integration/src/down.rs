//! Taking a world down: from its state file and its cgroup tree alone, so that it works after any crash.

use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::process::PidfdFlags;

use crate::cgroup;
use crate::error::{Error, Result, Tried};
use crate::layout::{State, WorldDir};

/// Ends every process of the world in this folder and removes what it left; true if there was one.
///
/// Namespaces, mounts and veth pairs have no life of their own: they go with the last process of their node.
pub(crate) fn down(dir: &WorldDir) -> Result<bool> {
    if !dir.path().is_dir() {
        return Ok(false);
    }
    let _lock = dir.lock()?;
    let state = dir.load()?;
    if let Some(state) = &state {
        end(dir, state)?;
    }
    dir.remove_shell();
    Ok(state.is_some())
}

/// Kills everything in the world's cgroup, removes that and what is in the world's folder; for the lock's holder.
pub(crate) fn end(dir: &WorldDir, state: &State) -> Result<()> {
    cgroup::clear(&state.cgroup, Duration::from_secs(15))?;
    dir.remove_contents()
}

/// Waits until process `pid` has ended, then takes the world down.
pub(crate) fn guard(dir: &WorldDir, pid: i32) -> Result<()> {
    nix::unistd::setsid().tried(|| "cannot begin a session".to_owned())?;
    let Some(state) = dir.load()? else { return Ok(()) };
    let own = state.cgroup.join("guard");
    std::fs::create_dir_all(&own)
        .and_then(|()| cgroup::enter(&own))
        .tried(|| "cannot enter the guard's cgroup".to_owned())?;
    let owner = rustix::process::Pid::from_raw(pid)
        .ok_or_else(|| Error::Usage(format!("{pid} is no process id, give that of a running process to --while")))?;
    match rustix::process::pidfd_open(owner, PidfdFlags::empty()) {
        Ok(handle) => {
            let mut fds = [PollFd::new(handle.as_fd(), PollFlags::POLLIN)];
            while matches!(poll(&mut fds, PollTimeout::NONE), Err(nix::errno::Errno::EINTR)) {}
        }
        Err(rustix::io::Errno::SRCH) => {}
        Err(error) => return Err(io::Error::from(error)).tried(|| format!("cannot watch process {pid}")),
    }
    // Out of the tree that is about to be killed.
    let outside = state.cgroup.parent().unwrap_or(Path::new("/"));
    cgroup::enter(outside).tried(|| "cannot leave the world's cgroup".to_owned())?;
    let end = Instant::now() + Duration::from_secs(120);
    loop {
        // An `up` in progress holds the lock for a while.
        match down(dir) {
            Err(Error::Unreachable(_)) if Instant::now() < end => {}
            outcome => return outcome.map(|_| ()),
        }
    }
}
