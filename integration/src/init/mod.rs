//! The process with number 1 of a node: it reaps, supervises the node's units and answers over a socket.
//!
//! One thread, one poll(2) loop. What a unit does next is decided by [`unit::Unit`]; here it is carried out.

pub(crate) mod network;
pub(crate) mod protocol;
pub(crate) mod rootfs;
mod supervise;
pub(crate) mod unit;

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};

use crate::cgroup;
use crate::error::{Result, Tried};
use crate::plan::{HOME, Plan};
use crate::worldfile::full_unit_name;
use protocol::{NodeReport, Reply, Request, SOCKET, UnitReport};
use supervise::Supervised;
use unit::{Effect, Event};

/// The node's own cgroup tree, as it sees it.
pub(crate) const CGROUPS: &str = "/sys/fs/cgroup";

/// A log is cut when it grows beyond this, as the world's folder may be in memory.
const LOG_LIMIT: u64 = 32 << 20;

/// Runs as PID 1 of a node until it is killed; says `ready` on stdout once the node can be used.
pub(crate) fn run(plan_file: &Path) -> Result<()> {
    let plan = Plan::read(plan_file)?;
    rootfs::build(&plan)?;
    // Started by way of /proc/self/exe, it would be called `exe`.
    fs::write("/proc/self/comm", "cnnf-lab-init").tried(|| "cannot name the init".to_owned())?;
    network::apply_sysctls(&plan.sysctls);
    let own = Path::new(CGROUPS).join("init.scope");
    fs::create_dir_all(&own).and_then(|()| cgroup::enter(&own)).tried(|| format!("cannot enter {}", own.display()))?;
    let mut mask = SigSet::empty();
    mask.add(Signal::SIGCHLD);
    mask.thread_block().tried(|| "cannot block SIGCHLD".to_owned())?;
    let signals = SignalFd::with_flags(&mask, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)
        .tried(|| "cannot make a signalfd".to_owned())?;
    let socket = Path::new(HOME).join(SOCKET);
    let listener = UnixListener::bind(&socket).tried(|| format!("cannot listen on {}", socket.display()))?;
    listener.set_nonblocking(true).tried(|| "cannot prepare the init's socket".to_owned())?;
    let units = plan.units.into_iter().map(Supervised::new).collect::<Result<Vec<_>>>()?;
    println!("ready");
    Init { units, signals, listener, holds: Vec::new(), ended: Vec::new(), sessions: 0 }.serve()
}

/// A cgroup that a command from outside uses, as long as its connection lives.
struct Hold {
    cgroup: String,
    connection: UnixStream,
}

struct Init {
    units: Vec<Supervised>,
    signals: SignalFd,
    listener: UnixListener,
    holds: Vec<Hold>,
    /// Cgroups whose command has ended but in which something may live on; removed once empty.
    ended: Vec<String>,
    sessions: u32,
}

impl Init {
    fn serve(mut self) -> Result<()> {
        let mut logs_checked = Instant::now();
        loop {
            self.wait()?;
            while let Ok(Some(_)) = self.signals.read_signal() {}
            self.reap();
            let now = Instant::now();
            for index in 0..self.units.len() {
                if self.units[index].heard_from() {
                    self.feed(index, &Event::Alive);
                }
                self.feed(index, &Event::Tick);
            }
            while let Ok((stream, _)) = self.listener.accept() {
                self.answer(stream);
            }
            self.drop_holds();
            if now.duration_since(logs_checked) > Duration::from_secs(2) {
                logs_checked = now;
                self.units.iter().for_each(|unit| unit.cut_log(LOG_LIMIT));
            }
        }
    }

    /// Sleeps until there is something to do.
    fn wait(&self) -> Result<()> {
        let mut timeout = Duration::from_secs(2);
        let now = Instant::now();
        for unit in &self.units {
            if let Some(deadline) = unit.machine.deadline() {
                timeout = timeout.min(deadline.saturating_duration_since(now));
            }
        }
        if !self.ended.is_empty() {
            timeout = timeout.min(Duration::from_millis(200));
        }
        // poll(2) counts whole milliseconds: round up, or the loop spins through the last one.
        let millis = u16::try_from(timeout.as_micros().div_ceil(1000)).unwrap_or(u16::MAX);
        let mut fds = vec![
            PollFd::new(self.signals.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.listener.as_fd(), PollFlags::POLLIN),
        ];
        fds.extend(self.holds.iter().map(|hold| PollFd::new(hold.connection.as_fd(), PollFlags::POLLIN)));
        fds.extend(self.units.iter().filter_map(Supervised::notify_fd).map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
        match poll(&mut fds, PollTimeout::from(millis)) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
            Err(error) => Err(error).tried(|| "poll failed".to_owned()),
        }
    }

    fn reap(&mut self) {
        loop {
            let (pid, by_signal, how) = match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) => (pid, false, format!("exit code {code}")),
                Ok(WaitStatus::Signaled(pid, signal, _)) => (pid, true, format!("signal {signal}")),
                Ok(WaitStatus::StillAlive) | Err(_) => return,
                Ok(_) => continue,
            };
            let index = self.units.iter().position(|unit| unit.machine.pid() == Some(pid.as_raw()));
            if let Some(index) = index {
                self.units[index].last_exit = Some(how);
                self.feed(index, &Event::Exited { by_signal });
            }
        }
    }

    /// Gives an event to a unit and carries out what follows from it.
    fn feed(&mut self, index: usize, event: &Event) {
        let unit = &mut self.units[index];
        let mut event = event.clone();
        while let Some(effect) = unit.machine.handle(&event, Instant::now()) {
            event = match effect {
                Effect::Spawn => match unit.spawn() {
                    Ok(pid) => Event::Spawned(pid),
                    Err(error) => {
                        unit.last_exit = Some(error.to_string());
                        Event::Exited { by_signal: false }
                    }
                },
                Effect::Terminate => {
                    unit.signal_all(Signal::SIGTERM);
                    unit.signal_all(Signal::SIGCONT);
                    return;
                }
                Effect::Abort => {
                    unit.abort();
                    return;
                }
                Effect::Kill => {
                    unit.kill_all();
                    return;
                }
                Effect::Clear => {
                    unit.kill_all();
                    if unit.remove_cgroup().is_err() {
                        return;
                    }
                    Event::Cleared
                }
            };
        }
    }

    fn answer(&mut self, stream: UnixStream) {
        // The other side is the lab itself: it sends its line at once, or it is gone.
        let read = || -> io::Result<Request> {
            stream.set_nonblocking(false)?;
            stream.set_read_timeout(Some(Duration::from_millis(500)))?;
            let mut line = String::new();
            BufReader::new((&stream).take(65_536)).read_line(&mut line)?;
            Ok(serde_json::from_str(&line)?)
        };
        let Ok(request) = read() else { return };
        let reply = self.carry_out(request);
        let Ok(mut text) = serde_json::to_string(&reply) else { return };
        text.push('\n');
        let sent = (&stream).write_all(text.as_bytes()).is_ok();
        if let Reply::Cgroup(cgroup) = reply {
            if sent && stream.set_nonblocking(true).is_ok() {
                self.holds.push(Hold { cgroup, connection: stream });
            } else {
                self.ended.push(cgroup);
            }
        }
    }

    fn carry_out(&mut self, request: Request) -> Reply {
        match request {
            Request::Status => Reply::Node(NodeReport { links_up: network::links_up(), units: self.reports() }),
            Request::Start { unit } => self.feed_named(&unit, &Event::Start),
            Request::Stop { unit } => self.feed_named(&unit, &Event::Stop),
            Request::Restart { unit } => self.feed_named(&unit, &Event::Restart),
            Request::Kill { unit, signal } => match (self.find(&unit), Signal::try_from(signal)) {
                (Ok(index), Ok(signal)) => {
                    self.units[index].signal_all(signal);
                    Reply::Done
                }
                (Err(reply), _) => reply,
                (_, Err(_)) => Reply::Refused(format!("there is no signal {signal}, see kill -l")),
            },
            Request::Hold { unit: Some(unit) } => Reply::Cgroup(cgroup::unit_path(&unit)),
            Request::Hold { unit: None } => {
                self.sessions += 1;
                Reply::Cgroup(cgroup::session_path(self.sessions))
            }
        }
    }

    fn feed_named(&mut self, unit: &str, event: &Event) -> Reply {
        match self.find(unit) {
            Ok(index) => {
                self.feed(index, event);
                Reply::Done
            }
            Err(reply) => reply,
        }
    }

    fn find(&self, unit: &str) -> Result<usize, Reply> {
        let name = full_unit_name(unit);
        self.units.iter().position(|unit| unit.plan.name == name).ok_or_else(|| {
            let known: Vec<&str> = self.units.iter().map(|unit| unit.plan.name.as_str()).collect();
            Reply::Refused(format!("no unit `{name}` on this host, it has: {}", known.join(", ")))
        })
    }

    fn reports(&self) -> Vec<UnitReport> {
        let mut ports = BTreeMap::new();
        self.units
            .iter()
            .map(|unit| {
                let bound = unit
                    .plan
                    .ready
                    .is_none_or(|port| *ports.entry(port.to_string()).or_insert_with(|| network::is_bound(port)));
                unit.report(bound)
            })
            .collect()
    }

    /// Forgets the holds whose command has ended, and removes cgroups nobody uses any more.
    fn drop_holds(&mut self) {
        let mut byte = [0];
        let ended = &mut self.ended;
        self.holds.retain_mut(|hold| {
            let gone =
                !matches!(hold.connection.read(&mut byte), Err(error) if error.kind() == io::ErrorKind::WouldBlock);
            if gone {
                ended.push(hold.cgroup.clone());
            }
            !gone
        });
        let holds = &self.holds;
        let units = &self.units;
        self.ended.retain(|path| {
            let held = holds.iter().any(|hold| hold.cgroup == *path);
            let active = units.iter().any(|unit| unit.cgroup == *path && unit.machine.is_active());
            // rmdir(2) refuses (EBUSY) while anything lives in there: then it is tried again later.
            !held && !active && cgroup::remove_tree(&Path::new(CGROUPS).join(path.trim_start_matches('/'))).is_err()
        });
    }
}
