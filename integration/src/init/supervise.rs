//! What an init does to a unit's processes.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::CGROUPS;
use super::protocol::UnitReport;
use super::unit::Unit;
use crate::cgroup;
use crate::error::{Result, Tried};
use crate::launch;
use crate::plan::{HOME, UnitPlan};

pub(super) struct Supervised {
    pub(super) plan: UnitPlan,
    pub(super) machine: Unit,
    /// Its cgroup as the node sees it.
    pub(super) cgroup: String,
    pub(super) last_exit: Option<String>,
    /// A socket of its own for each unit, so that nobody can speak for another.
    notify: Option<(UnixDatagram, PathBuf)>,
}

impl Supervised {
    pub(super) fn new(plan: UnitPlan) -> Result<Self> {
        let notify = match plan.watchdog_ms {
            Some(_) => {
                let path = Path::new("/run/systemd/notify").join(&plan.name);
                let bind = || -> io::Result<UnixDatagram> {
                    fs::create_dir_all("/run/systemd/notify")?;
                    let socket = UnixDatagram::bind(&path)?;
                    socket.set_nonblocking(true)?;
                    Ok(socket)
                };
                Some((bind().tried(|| format!("cannot listen on {}", path.display()))?, path.clone()))
            }
            None => None,
        };
        let machine = Unit::new(plan.watchdog_ms.map(Duration::from_millis));
        let cgroup = cgroup::unit_path(&plan.name);
        Ok(Supervised { plan, machine, cgroup, last_exit: None, notify })
    }

    pub(super) fn notify_fd(&self) -> Option<BorrowedFd<'_>> {
        self.notify.as_ref().map(|(socket, _)| socket.as_fd())
    }

    /// Whether READY=1 or WATCHDOG=1 came in since the last call (sd_notify(3)).
    pub(super) fn heard_from(&self) -> bool {
        let Some((socket, _)) = &self.notify else { return false };
        let mut buffer = [0; 4096];
        let mut heard = false;
        while let Ok(length) = socket.recv(&mut buffer) {
            heard |=
                buffer[..length].split(|byte| *byte == b'\n').any(|line| line == b"READY=1" || line == b"WATCHDOG=1");
        }
        heard
    }

    fn folder(&self) -> PathBuf {
        Path::new(CGROUPS).join(self.cgroup.trim_start_matches('/'))
    }

    fn log_file(&self) -> PathBuf {
        Path::new(HOME).join("log").join(format!("{}.log", self.plan.name))
    }

    fn open_log(&self) -> io::Result<File> {
        OpenOptions::new().create(true).append(true).open(self.log_file())
    }

    pub(super) fn cut_log(&self, limit: u64) {
        if fs::metadata(self.log_file()).is_ok_and(|found| found.len() > limit)
            && let Ok(mut log) = self.open_log()
        {
            let _ = log.set_len(0).and_then(|()| writeln!(log, "cnnf-lab: older lines were cut"));
        }
    }

    /// Starts the unit; it enters its cgroup before it becomes the unit's program.
    pub(super) fn spawn(&mut self) -> io::Result<i32> {
        let log = self.open_log()?;
        let launch = launch::Launch {
            cgroup: self.cgroup.clone(),
            join_namespace: false,
            own_session: true,
            die_with_parent: false,
            user: self.plan.user.clone(),
            folder: self.plan.folder.clone(),
            command: self.plan.command.clone(),
        };
        let mut command = Command::new("/proc/self/exe");
        command.args(launch.arguments());
        launch::clean_environment(&mut command, "/");
        command.envs(&self.plan.env);
        if let (Some((_, path)), Some(millis)) = (&self.notify, self.plan.watchdog_ms) {
            command.env("NOTIFY_SOCKET", path).env("WATCHDOG_USEC", (millis * 1000).to_string());
        }
        let child = command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn()?;
        i32::try_from(child.id()).map_err(io::Error::other)
    }

    pub(super) fn signal_all(&self, signal: Signal) {
        // The main process may be on its way into the cgroup.
        let mut pids = cgroup::processes(&self.folder());
        pids.extend(self.machine.pid().filter(|main| !pids.contains(main)));
        for pid in pids.into_iter().filter(|pid| *pid > 0) {
            let _ = kill(Pid::from_raw(pid), signal);
        }
    }

    pub(super) fn abort(&self) {
        if let Some(pid) = self.machine.pid() {
            let _ = kill(Pid::from_raw(pid), Signal::SIGABRT);
        }
    }

    pub(super) fn kill_all(&self) {
        // A main process that never reached its cgroup is not found by the tree.
        if let Some(pid) = self.machine.pid() {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        cgroup::kill_all(&self.folder());
    }

    pub(super) fn remove_cgroup(&self) -> io::Result<()> {
        cgroup::remove_tree(&self.folder())
    }

    pub(super) fn report(&self, port_bound: bool) -> UnitReport {
        let pid = self.machine.pid();
        let mut state = self.machine.state_word();
        if state == "running" && pid.is_some_and(is_still_the_lab) {
            state = "starting";
        }
        UnitReport {
            name: self.plan.name.clone(),
            cgroup: self.cgroup.clone(),
            state: state.to_owned(),
            pid,
            host_pid: None,
            ready: state == "running" && port_bound,
            starts: self.machine.starts,
            restarts: self.machine.restarts,
            last_exit: self.last_exit.clone(),
        }
    }
}

/// Between spawn and exec a unit's process still runs the lab's program.
fn is_still_the_lab(pid: i32) -> bool {
    match (fs::read_link(format!("/proc/{pid}/exe")), fs::read_link("/proc/self/exe")) {
        (Ok(program), Ok(own)) => program == own,
        _ => true,
    }
}
