//! The last step before a command: enter its cgroup, shed what it must not inherit, become it.
//!
//! A process of its own (a hidden subcommand), as it cannot be done between fork and exec without `unsafe`.

use std::ffi::{CString, OsString};
use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sched::{CloneFlags, setns};
use nix::sys::signal::SigSet;
use nix::sys::stat::{Mode, umask};
use nix::unistd::{User, initgroups, setgid, setsid, setuid};

use crate::cgroup;
use crate::error::{Error, Result, Tried};
use crate::init::CGROUPS;
use crate::plan::SEARCH_PATH;

/// How a command is launched inside a node.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Launch {
    /// The cgroup as the node sees it; made if it is missing.
    #[arg(long)]
    pub(crate) cgroup: String,
    /// Join the cgroup namespace of the node's PID 1 (a command from outside is not in it yet).
    #[arg(long)]
    pub(crate) join_namespace: bool,
    /// Become the leader of a session of its own, as services are.
    #[arg(long)]
    pub(crate) own_session: bool,
    /// SIGKILL when the launching process ends.
    #[arg(long)]
    pub(crate) die_with_parent: bool,
    /// Run as this user with its groups.
    #[arg(long)]
    pub(crate) user: Option<String>,
    /// Working folder.
    #[arg(long)]
    pub(crate) folder: PathBuf,
    /// Program and arguments.
    #[arg(last = true, required = true)]
    pub(crate) command: Vec<String>,
}

impl Launch {
    /// The arguments of `cnnf-lab` that lead to [`Launch::become_command`].
    pub(crate) fn arguments(&self) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = vec!["launch".into(), "--cgroup".into(), self.cgroup.clone().into()];
        for (flag, set) in [
            ("--join-namespace", self.join_namespace),
            ("--own-session", self.own_session),
            ("--die-with-parent", self.die_with_parent),
        ] {
            if set {
                arguments.push(flag.into());
            }
        }
        if let Some(user) = &self.user {
            arguments.push("--user".into());
            arguments.push(user.clone().into());
        }
        arguments.push("--folder".into());
        arguments.push(self.folder.clone().into());
        arguments.push("--".into());
        arguments.extend(self.command.iter().map(OsString::from));
        arguments
    }

    /// Does not return unless something fails; the error's exit code is that of a shell: 127 for a program that
    /// is not there, 126 for one that cannot be run.
    pub(crate) fn become_command(&self) -> (Error, u8) {
        if let Err(error) = self.prepare() {
            return (error, 126);
        }
        let [program, arguments @ ..] = self.command.as_slice() else {
            return (Error::Usage("there is no command to run".to_owned()), 126);
        };
        let error = Command::new(program).args(arguments).exec();
        let code = if error.kind() == io::ErrorKind::NotFound { 127 } else { 126 };
        (Error::Failed(format!("cannot run `{program}` ({error}), it is looked for in {SEARCH_PATH}")), code)
    }

    fn prepare(&self) -> Result<()> {
        if self.die_with_parent {
            rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))
                .map_err(io::Error::from)
                .tried(|| "cannot tie the command to its parent".to_owned())?;
        }
        let folder = Path::new(CGROUPS).join(self.cgroup.trim_start_matches('/'));
        enter_made(&folder).tried(|| format!("cannot enter the cgroup {}", self.cgroup))?;
        if self.join_namespace {
            let namespace =
                File::open("/proc/1/ns/cgroup").tried(|| "cannot find the host's cgroup namespace".to_owned())?;
            setns(namespace, CloneFlags::CLONE_NEWCGROUP)
                .tried(|| "cannot join the host's cgroup namespace".to_owned())?;
        }
        if self.own_session {
            setsid().tried(|| "cannot begin a session".to_owned())?;
        }
        SigSet::empty().thread_set_mask().tried(|| "cannot unblock signals".to_owned())?;
        umask(Mode::from_bits_truncate(0o022));
        std::env::set_current_dir(&self.folder).tried(|| format!("cannot enter {}", self.folder.display()))?;
        if let Some(name) = &self.user {
            become_user(name)?;
        }
        Ok(())
    }
}

// Somebody may remove the empty directory between mkdir and our entry; then it is made again.
fn enter_made(folder: &Path) -> io::Result<()> {
    let mut tries = 0;
    loop {
        match fs::create_dir_all(folder).and_then(|()| cgroup::enter(folder)) {
            Err(_) if tries < 20 => tries += 1,
            outcome => return outcome,
        }
    }
}

fn become_user(name: &str) -> Result<()> {
    let unknown = || Error::Failed(format!("there is no user `{name}` on this machine"));
    let user = User::from_name(name).map_err(|_| unknown())?.ok_or_else(unknown)?;
    let c_name = CString::new(name).map_err(|_| unknown())?;
    initgroups(&c_name, user.gid)
        .and_then(|()| setgid(user.gid))
        .and_then(|()| setuid(user.uid))
        .tried(|| format!("cannot become user {name}"))
}

/// The environment every command in a node starts from.
pub(crate) fn clean_environment(command: &mut Command, home: &str) {
    command.env_clear().env("PATH", SEARCH_PATH).env("HOME", home).env("LANG", "C.UTF-8");
}
