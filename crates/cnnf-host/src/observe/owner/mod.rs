//! Whose socket is it, where the kernel's stamp does not say.
//!
//! The socket's control group decides it if it is a service's, or a socket unit's: that service's which systemd starts for it. Else
//! whoever holds the socket's inode does: the processes of that group, newest first; for a socket that a service manager made, every
//! process that it may have passed it to.

mod groups;
mod known;

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cnnf_core::event;
use cnnf_core::id::ServiceKey;
use cnnf_core::identity::{CgroupOwner, Naming, of_cgroup};
use cnnf_core::net::Protocol;
use cnnf_netlink::sock_diag::{self, Sock, SockDiag, State};

use super::activation::SocketUnits;
use super::cgroups;
use super::containers::Containers;
use super::evidence::{described, unit};
use super::process::Process;
use groups::{Candidates, Groups};
use known::Known;

/// How long it may take to ask processes for one socket while a packet waits.
const PATIENCE: Duration = Duration::from_millis(40);
/// The interface of a host's connections to itself: `lo` is the first of every network namespace.
const LOOPBACK: u32 = 1;
/// How long it is remembered who holds a socket that only a look at many processes tells, at least.
const REMEMBERED: Duration = Duration::from_secs(1);
/// Sockets that are remembered, at most.
const REMEMBERED_MAX: usize = 256;

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The owner; `unknown` or `ambiguous` where that is the truth.
    pub key: ServiceKey,
    /// What it is called without an operator's definitions.
    pub natural: ServiceKey,
    /// The path of the socket's control group, if there is a socket and the group lives.
    pub cgroup: String,
    /// Its holder, where it had to be found.
    pub holder: Option<Process>,
    /// Whether processes had to be asked.
    pub asked: bool,
    /// What is not known, and why; for `ambiguous` who could be meant. Empty if nothing is missing.
    pub missing: String,
}

/// An answer that holds for a while, as long as this process has the socket and is what it was.
#[derive(Debug)]
struct Remembered {
    at: Instant,
    /// How long it took to find.
    took: Duration,
    holder: Process,
    answer: Answer,
}

/// Finds owners of sockets, in the network namespace of the thread that opened it.
#[derive(Debug)]
pub struct Owners {
    diag: SockDiag,
    groups: Groups,
    known: Known,
    units: Arc<SocketUnits>,
    containers: Arc<Containers>,
    naming: Arc<Naming>,
    patience: Duration,
    /// Finding the holder of one socket again and again takes at most one part in so many of the time; 0 without that bound.
    share: u32,
    /// By socket cookie.
    remembered: HashMap<u64, Remembered>,
}

impl Owners {
    /// Opens it; `units` are those of this host's systemd, `containers` those of its container runtimes. Where cgroup2 is not mounted only the holder of a socket tells its owner.
    ///
    /// # Errors
    /// No netlink socket.
    pub fn open(units: Arc<SocketUnits>, containers: Arc<Containers>) -> io::Result<Self> {
        let mountinfo = std::fs::read_to_string("/proc/self/mountinfo")?;
        let root = cgroups::mount_point(&mountinfo);
        let diag = SockDiag::open().map_err(io::Error::other)?;
        let (groups, known, naming) = (Groups::new(root), Known::default(), Arc::default());
        Ok(Self {
            diag,
            groups,
            known,
            units,
            containers,
            naming,
            patience: PATIENCE,
            share: 0,
            remembered: HashMap::new(),
        })
    }

    /// Names by these definitions from now on.
    pub fn name_by(&mut self, naming: Arc<Naming>) {
        if !Arc::ptr_eq(&self.naming, &naming) {
            self.naming = naming;
            self.remembered.clear();
        }
    }

    /// With so much time to ask processes for one socket, as no packet waits for it.
    #[must_use]
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// For one who looks at the same sockets again and again, and for whom no packet waits: what it took long to find is remembered so long
    /// that finding it anew takes at most one part in `share` of the time. Meanwhile its holder is asked each time whether it still has
    /// the socket; that another process has it as well is noticed later.
    #[must_use]
    pub fn with_share(self, share: u32) -> Self {
        Self { share, ..self }
    }

    /// The owner of the local socket of a connection. Only packets that have one are asked for: if it is not there any more its owner is
    /// `unknown`, never the kernel. `ifindex` is where a packet came in, 0 for one that goes out.
    pub fn of_connection(&mut self, protocol: Protocol, local: SocketAddr, remote: SocketAddr, ifindex: u32) -> Answer {
        match self.socket(protocol, local, remote, ifindex) {
            Ok(Some(sock)) => self.of_socket(protocol, &sock),
            Ok(None) => unknown("its socket was closed before it was asked for: its process has ended".into()),
            Err(why) => unknown(why),
        }
    }

    /// The owner of the server's end of a connection that a process here is about to open to this host: `kernel` if nobody listens.
    pub fn of_server(&mut self, protocol: Protocol, server: SocketAddr, client: SocketAddr) -> ServiceKey {
        match self.socket(protocol, server, client, LOOPBACK) {
            Ok(Some(sock)) => self.of_socket(protocol, &sock).key,
            Ok(None) => ServiceKey::kernel(),
            // a protocol whose sockets cannot be looked up, such as a ping's
            Err(_) => ServiceKey::unknown(),
        }
    }

    /// Whether a socket here waits for connections at `local`, from `remote` among others: a TCP listener, or a UDP socket that has no peer.
    pub fn listens(&mut self, protocol: Protocol, local: SocketAddr, remote: IpAddr) -> bool {
        let found = self.socket(protocol, local, SocketAddr::new(remote, 0), 0).ok().flatten();
        found.is_some_and(|sock| match protocol {
            Protocol::Udp => sock.remote.port() == 0,
            _ => sock.state == State::Listen,
        })
    }

    /// The socket of a connection; `None` if there is none.
    fn socket(
        &mut self,
        protocol: Protocol,
        local: SocketAddr,
        remote: SocketAddr,
        ifindex: u32,
    ) -> Result<Option<Sock>, String> {
        let kind = match protocol {
            Protocol::Tcp => sock_diag::Protocol::Tcp,
            Protocol::Udp => sock_diag::Protocol::Udp,
            other => return Err(format!("{other} sockets cannot be looked up")),
        };
        self.diag.find(kind, local, remote, ifindex).map_err(|error| error.to_string())
    }

    /// The service that a socket's control group decides, and what it is called without an operator's definitions: all sockets of the group
    /// are its. `None` where processes have to be asked, or the group is gone.
    pub fn decided_by_group(&mut self, sock: &Sock) -> Option<(ServiceKey, ServiceKey)> {
        let path = self.group(sock)?;
        self.of_group(&path)
    }

    /// The owner of a socket.
    pub fn of_socket(&mut self, protocol: Protocol, sock: &Sock) -> Answer {
        let path = self.group(sock);
        if let Some(path) = &path
            && let Some((key, natural)) = self.of_group(path)
        {
            return Answer { key, natural, cgroup: path.clone(), holder: None, asked: false, missing: String::new() };
        }
        if let Some(known) = self.remembered.get(&sock.cookie)
            && known.at.elapsed() < REMEMBERED.max(known.took.saturating_mul(self.share))
            && known.holder.still_holds(sock.inode)
        {
            return known.answer.clone();
        }
        let began = Instant::now();
        let by_manager = path.as_deref().is_none_or(|path| passed_on(path).is_some());
        let found = if by_manager { self.of_socket_unit(protocol, sock, path.clone()) } else { None };
        let (answer, holder) = found.unwrap_or_else(|| match path {
            None => (unknown("the socket's control group is gone".into()), None),
            Some(path) => {
                let answer = self.of_holders(path, sock.inode);
                let holder = answer.holder.clone();
                (answer, holder)
            }
        });
        if let Some(holder) = holder.filter(|_| by_manager) {
            if self.remembered.len() >= REMEMBERED_MAX {
                self.remembered.clear();
            }
            let (at, answer) = (Instant::now(), answer.clone());
            self.remembered.insert(sock.cookie, Remembered { at, took: at - began, holder, answer });
        }
        answer
    }

    /// The path of the group in which a socket was made; the root's where the kernel does not say (before Linux 5.8). `None` if it is gone.
    fn group(&mut self, sock: &Sock) -> Option<String> {
        sock.cgroup_id.map_or(Some("/".into()), |id| self.groups.path(id))
    }

    /// The service that a group decides, and what it is called without definitions.
    fn of_group(&self, path: &str) -> Option<(ServiceKey, ServiceKey)> {
        let natural = match of_cgroup(path) {
            CgroupOwner::Service(key) => key,
            CgroupOwner::SocketUnit(name) => self.units.started_by(&name, self.patience)?,
            CgroupOwner::Container(container) => self.containers.key(&container),
            CgroupOwner::ByProgram => {
                // one name for all programs of it
                let key = self.naming.of_programs(path).service()?.clone();
                return Some((key.clone(), key));
            }
        };
        Some((self.naming.of_service(&natural).service()?.clone(), natural))
    }

    /// Where systemd makes no group for a socket unit, it holds the socket itself, and its address tells which unit's it is.
    fn of_socket_unit(
        &mut self,
        protocol: Protocol,
        sock: &Sock,
        path: Option<String>,
    ) -> Option<(Answer, Option<Process>)> {
        let manager = self.known.holder(1, sock.inode)?;
        let Some(natural) = self.units.started_at(protocol, sock.local) else {
            // a new one, for the next that asks
            self.units.want();
            return None;
        };
        let key = self.naming.of_service(&natural).service()?.clone();
        let answer = Answer {
            key,
            natural,
            cgroup: path.unwrap_or_default(),
            holder: None,
            asked: true,
            missing: String::new(),
        };
        Some((answer, Some(manager)))
    }

    /// The owner of a socket whose group at `path` does not tell it.
    fn of_holders(&mut self, path: String, inode: u32) -> Answer {
        let Some(holders) = self.holders(whole(&path), inode) else {
            let why = "there are more processes than can be asked in time";
            return Answer { cgroup: path, asked: true, ..unknown(why.into()) };
        };
        let mut naturals = holders.iter().map(|p| self.natural_service(p).unwrap_or_else(|| p.program()));
        let natural = naturals.next().unwrap_or_else(ServiceKey::unknown);
        let natural = if naturals.all(|other| other == natural) { natural } else { ServiceKey::ambiguous() };
        let keys: BTreeSet<ServiceKey> = holders.iter().map(|p| self.of_process(p)).collect();
        let mut keys = keys.into_iter();
        match (keys.next(), keys.next()) {
            (None, _) => {
                let why = match passed_on(&path) {
                    None => "no process holds the socket any more",
                    Some(_) => "no process but the service manager holds the socket",
                };
                Answer { cgroup: path, asked: true, ..unknown(why.into()) }
            }
            (Some(key), None) => Answer {
                key,
                natural,
                cgroup: path,
                holder: holders.into_iter().next(),
                asked: true,
                missing: String::new(),
            },
            (Some(first), Some(second)) => {
                let names: Vec<String> = [first, second].into_iter().chain(keys).map(|key| key.to_string()).collect();
                Answer {
                    key: ServiceKey::ambiguous(),
                    natural,
                    cgroup: path,
                    holder: None,
                    asked: true,
                    missing: format!("held by {}", names.join(", ")),
                }
            }
        }
    }

    /// What service a process belongs to.
    #[must_use]
    pub fn of_process(&self, process: &Process) -> ServiceKey {
        process.named_by(&self.naming, self.natural_service(process).as_ref())
    }

    /// The service that a process's group decides without definitions.
    fn natural_service(&self, process: &Process) -> Option<ServiceKey> {
        match of_cgroup(&process.cgroup) {
            CgroupOwner::Service(key) => Some(key),
            CgroupOwner::Container(container) => Some(self.containers.key(&container)),
            CgroupOwner::SocketUnit(_) | CgroupOwner::ByProgram => None,
        }
    }

    /// The process behind a connection's local end, as far as it can be read now.
    pub fn evidence(
        &mut self,
        protocol: Protocol,
        local: SocketAddr,
        remote: SocketAddr,
        ifindex: u32,
    ) -> event::Process {
        let sock = match self.socket(protocol, local, remote, ifindex) {
            Ok(Some(sock)) => sock,
            Ok(None) => return missing("its socket was gone when the packet's copy came"),
            Err(why) => return missing(&why),
        };
        let path = self.group(&sock).unwrap_or_default();
        let holders = self.of_started(&path, sock.inode).or_else(|| self.holders(&path, sock.inode));
        let Some(mut holders) = holders else {
            return event::Process { cgroup: path, ..missing("there are more processes than can be asked in time") };
        };
        if sock.state == State::Listen {
            // of workers that share a listener the oldest is the one that people know
            holders.reverse();
        }
        let Some(process) = holders.first() else {
            return event::Process {
                cgroup: path.clone(),
                unit: unit(&path),
                ..missing("no process holds the socket any more")
            };
        };
        let mut evidence = described(process, &self.containers);
        if holders.len() > 1 {
            let one_of = format!("one of {} processes that hold the socket", holders.len());
            evidence.missing =
                if evidence.missing.is_empty() { one_of } else { format!("{one_of}; {}", evidence.missing) };
        }
        evidence
    }

    /// The oldest process of the group at `path`, for when the one that is looked for has ended.
    #[must_use]
    pub fn oldest(&mut self, path: &str) -> Option<Process> {
        self.groups.processes(&Candidates::Group(path)).into_iter().rev().find_map(Process::read)
    }

    /// The processes that hold a socket unit's socket among those of the service that it starts; `None` if that is not the question.
    fn of_started(&mut self, path: &str, inode: u32) -> Option<Vec<Process>> {
        let CgroupOwner::SocketUnit(name) = of_cgroup(path) else { return None };
        let groups = self.groups.of_service(&self.units.started_by(&name, self.patience)?);
        let pids = groups.iter().flat_map(|path| self.groups.processes(&Candidates::Group(path)));
        let holders: Vec<Process> = pids.filter_map(|pid| self.known.holder(pid, inode)).collect();
        // before it is started the manager has it
        (!holders.is_empty()).then_some(holders).or_else(|| Some(vec![self.known.holder(1, inode)?]))
    }

    /// The processes that hold `inode`, newest first: of the group at `path`, or of all to which a manager may have passed it. `None` if
    /// there are too many to ask.
    fn holders(&mut self, path: &str, inode: u32) -> Option<Vec<Process>> {
        if inode == 0 || path.is_empty() {
            return Some(Vec::new());
        }
        let passed_on = passed_on(path);
        let below = decides(&of_cgroup(path)).then_some(Candidates::Below(path));
        let mut holders = Vec::new();
        let began = Instant::now();
        let group = Candidates::Group(path);
        let candidates = passed_on.as_ref().or(below.as_ref()).unwrap_or(&group);
        for pid in self.groups.processes(candidates) {
            if began.elapsed() > self.patience {
                return None;
            }
            holders.extend(match candidates {
                // so many would drive those out that are asked again and again
                Candidates::All => Process::read_holder(pid, inode),
                _ => self.known.holder(pid, inode),
            });
        }
        // the manager keeps a copy of what it listens on for others, and alone it does not tell for whom
        let is_manager = |p: &Process| match passed_on {
            None | Some(Candidates::Group(_)) => false,
            Some(Candidates::Below(_)) => p.cgroup == path,
            Some(Candidates::All) => p.pid == 1,
        };
        if path != "/" || holders.iter().any(|p| !is_manager(p)) {
            holders.retain(|p| !is_manager(p));
        }
        Some(holders)
    }
}

/// To whom a service manager may have passed a socket of the group at `path`; `None` if the group is none of a manager's.
fn passed_on(path: &str) -> Option<Candidates<'_>> {
    if path == "/" || path == "/init.scope" || matches!(of_cgroup(path), CgroupOwner::SocketUnit(_)) {
        return Some(Candidates::All);
    }
    // a user's manager
    let above = path.strip_suffix("/init.scope")?;
    let unit = above.rsplit('/').next()?;
    (unit.starts_with("user@") && unit.ends_with(".service")).then_some(Candidates::Below(above))
}

/// The group of the whole service that the one at `path` is a part of: where definitions split it, a process may have moved since it made
/// its socket.
fn whole(path: &str) -> &str {
    let owner = of_cgroup(path);
    let mut whole = path;
    while let Some((above, _)) =
        whole.rsplit_once('/').filter(|(above, _)| decides(&owner) && of_cgroup(above) == owner)
    {
        whole = above;
    }
    whole
}

/// Whether a group decides its service where no definition splits it.
fn decides(owner: &CgroupOwner) -> bool {
    matches!(owner, CgroupOwner::Service(_) | CgroupOwner::Container(_))
}

fn unknown(why: String) -> Answer {
    Answer {
        key: ServiceKey::unknown(),
        natural: ServiceKey::unknown(),
        cgroup: String::new(),
        holder: None,
        asked: false,
        missing: why,
    }
}

fn missing(why: &str) -> event::Process {
    event::Process { missing: why.to_owned(), ..event::Process::default() }
}

#[cfg(test)]
mod tests;
