//! Whose socket is it, where the kernel's stamp does not say.
//!
//! The socket's control group decides it if it is a service's. Else whoever holds the socket's inode does: the processes of that group,
//! newest first; for a socket that the service manager made (`init.scope`, or the root), every process, as it passes them on.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use cnnf_core::event;
use cnnf_core::id::ServiceKey;
use cnnf_core::identity::of_cgroup;
use cnnf_core::net::Protocol;
use cnnf_netlink::sock_diag::{self, Sock, SockDiag, State};

use super::cgroups;
use super::evidence::{described, unit};
use super::process::{self, Process};

/// Processes that are asked for one socket, at most.
const HOLDERS_MAX: usize = 2000;
/// The interface of a host's connections to itself: `lo` is the first of every network namespace.
const LOOPBACK: u32 = 1;
/// How long it is remembered who holds a socket that only a look at every process tells.
const REMEMBERED: Duration = Duration::from_secs(1);
/// Sockets that are remembered, at most.
const REMEMBERED_MAX: usize = 256;

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The owner; `unknown` or `ambiguous` where that is the truth.
    pub key: ServiceKey,
    /// The path of the socket's control group, if there is a socket and the group lives.
    pub cgroup: String,
    /// Its holder, where it had to be found.
    pub holder: Option<Process>,
    /// What is not known, and why; for `ambiguous` who could be meant. Empty if nothing is missing.
    pub missing: String,
}

/// Finds owners of sockets, in the network namespace of the thread that opened it.
#[derive(Debug)]
pub struct Owners {
    diag: SockDiag,
    root: PathBuf,
    paths: HashMap<u64, String>,
    /// By socket cookie.
    remembered: HashMap<u64, (Instant, Answer)>,
}

impl Owners {
    /// Opens it.
    ///
    /// # Errors
    /// No netlink socket, or no cgroup2.
    pub fn open() -> io::Result<Self> {
        let mountinfo = std::fs::read_to_string("/proc/self/mountinfo")?;
        let root = cgroups::mount_point(&mountinfo).ok_or_else(|| {
            io::Error::new(io::ErrorKind::NotFound, "cgroup2 is not mounted: services cannot be told apart")
        })?;
        let diag = SockDiag::open().map_err(io::Error::other)?;
        Ok(Self { diag, root, paths: HashMap::new(), remembered: HashMap::new() })
    }

    /// The owner of the local socket of a connection. Only packets that have one are asked for: if it is not there any more its owner is
    /// `unknown`, never the kernel. `ifindex` is where a packet came in, 0 for one that goes out.
    pub fn of_connection(&mut self, protocol: Protocol, local: SocketAddr, remote: SocketAddr, ifindex: u32) -> Answer {
        match self.socket(protocol, local, remote, ifindex) {
            Ok(Some(sock)) => self.of_socket(&sock),
            Ok(None) => unknown("its socket was closed before it was asked for: its process has ended".into()),
            Err(why) => unknown(why),
        }
    }

    /// The owner of the server's end of a connection that a process here is about to open to this host: `kernel` if nobody listens.
    pub fn of_server(&mut self, protocol: Protocol, server: SocketAddr, client: SocketAddr) -> ServiceKey {
        match self.socket(protocol, server, client, LOOPBACK) {
            Ok(Some(sock)) => self.of_socket(&sock).key,
            Ok(None) => ServiceKey::kernel(),
            // a protocol whose sockets cannot be looked up, such as a ping's
            Err(_) => ServiceKey::unknown(),
        }
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

    /// The owner of a socket.
    pub fn of_socket(&mut self, sock: &Sock) -> Answer {
        let Some(path) = sock.cgroup_id.and_then(|id| self.path(id)) else {
            return unknown("the socket's control group is gone".into());
        };
        if let Some(key) = of_cgroup(&path).service() {
            return Answer { key: key.clone(), cgroup: path, holder: None, missing: String::new() };
        }
        let by_manager = by_manager(&path);
        if let Some((at, answer)) = self.remembered.get(&sock.cookie)
            && at.elapsed() < REMEMBERED
            && answer.holder.as_ref().is_some_and(|holder| holder.still_holds(sock.inode))
        {
            return answer.clone();
        }
        let answer = self.of_holders(path, sock.inode, by_manager);
        if by_manager && answer.key.is_named() {
            if self.remembered.len() >= REMEMBERED_MAX {
                self.remembered.clear();
            }
            self.remembered.insert(sock.cookie, (Instant::now(), answer.clone()));
        }
        answer
    }

    /// The owner of a socket whose group at `path` does not tell it.
    fn of_holders(&self, path: String, inode: u32, by_manager: bool) -> Answer {
        let mut holders = self.holders(&path, inode);
        if by_manager {
            // the service manager keeps a copy of what it listens on for others
            let others: Vec<Process> = holders.iter().filter(|p| p.pid != 1).cloned().collect();
            if !others.is_empty() {
                holders = others;
            }
        }
        let keys: BTreeSet<ServiceKey> = holders.iter().map(|p| self.of_process(p)).collect();
        let mut keys = keys.into_iter();
        match (keys.next(), keys.next()) {
            (None, _) => Answer { cgroup: path, ..unknown("no process holds the socket any more".into()) },
            (Some(key), None) => {
                Answer { key, cgroup: path, holder: holders.into_iter().next(), missing: String::new() }
            }
            (Some(first), Some(second)) => {
                let names: Vec<String> = [first, second].into_iter().chain(keys).map(|key| key.to_string()).collect();
                Answer {
                    key: ServiceKey::ambiguous(),
                    cgroup: path,
                    holder: None,
                    missing: format!("held by {}", names.join(", ")),
                }
            }
        }
    }

    /// What service a process belongs to.
    #[must_use]
    pub fn of_process(&self, process: &Process) -> ServiceKey {
        of_cgroup(&process.cgroup).service().cloned().unwrap_or_else(|| process.program())
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
        let path = sock.cgroup_id.and_then(|id| self.path(id)).unwrap_or_default();
        let mut holders = self.holders(&path, sock.inode);
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
        let mut evidence = described(process);
        if holders.len() > 1 {
            let one_of = format!("one of {} processes that hold the socket", holders.len());
            evidence.missing =
                if evidence.missing.is_empty() { one_of } else { format!("{one_of}; {}", evidence.missing) };
        }
        evidence
    }

    /// The oldest process of the group at `path`, for when the one that is looked for has ended.
    #[must_use]
    pub fn oldest(&self, path: &str) -> Option<Process> {
        let pids = cgroups::processes(&self.root.join(path.trim_start_matches('/')));
        pids.into_iter().rev().find_map(Process::read)
    }

    /// The processes that hold `inode`, newest first: of the group at `path`, or of all for the service manager's own.
    fn holders(&self, path: &str, inode: u32) -> Vec<Process> {
        if inode == 0 || path.is_empty() {
            return Vec::new();
        }
        let mut pids = cgroups::processes(&self.root.join(path.trim_start_matches('/')));
        if by_manager(path) {
            pids = process::all();
            pids.sort_unstable_by(|a, b| b.cmp(a));
        }
        pids.truncate(HOLDERS_MAX);
        pids.into_iter().filter_map(|pid| Process::read_holder(pid, inode)).collect()
    }

    /// The path of the control group of this id; looks through the tree if it is a new one.
    fn path(&mut self, id: u64) -> Option<String> {
        let is =
            |path: &str| std::fs::metadata(self.root.join(path.trim_start_matches('/'))).is_ok_and(|m| m.ino() == id);
        if let Some(path) = self.paths.get(&id).filter(|path| is(path)) {
            return Some(path.clone());
        }
        self.paths.clear();
        let root = self.root.clone();
        self.walk(&root, "");
        self.paths.get(&id).cloned()
    }

    fn walk(&mut self, directory: &Path, path: &str) {
        let Ok(id) = std::fs::metadata(directory).map(|m| m.ino()) else { return };
        self.paths.insert(id, if path.is_empty() { "/".into() } else { path.to_owned() });
        let Ok(entries) = std::fs::read_dir(directory) else { return };
        for entry in entries.filter_map(Result::ok).filter(|e| e.file_type().is_ok_and(|t| t.is_dir())) {
            if let Some(name) = entry.file_name().to_str() {
                self.walk(&entry.path(), &format!("{path}/{name}"));
            }
        }
    }
}

/// Whether sockets of this group are the service manager's, which makes them for others.
fn by_manager(path: &str) -> bool {
    path == "/init.scope" || path == "/"
}

fn unknown(why: String) -> Answer {
    Answer { key: ServiceKey::unknown(), cgroup: String::new(), holder: None, missing: why }
}

fn missing(why: &str) -> event::Process {
    event::Process { missing: why.to_owned(), ..event::Process::default() }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream, UdpSocket};

    use super::*;
    use crate::testbed::in_namespace;

    #[test]
    fn root_the_holder_of_a_socket_is_found() {
        in_namespace(|| {
            let listener = TcpListener::bind("127.0.0.1:0").expect("listen");
            let client = TcpStream::connect(listener.local_addr().expect("address")).expect("connect");
            let (local, remote) = (client.local_addr().expect("address"), client.peer_addr().expect("address"));
            let mut owners = Owners::open().expect("owners");
            let me = Process::read(std::process::id()).expect("this process");
            let answer = owners.of_connection(Protocol::Tcp, local, remote, 0);
            assert_eq!(answer.key, owners.of_process(&me), "{answer:?}");
            let evidence = owners.evidence(Protocol::Tcp, local, remote, 0);
            assert_eq!((evidence.pid, evidence.exe, evidence.user.as_str()), (me.pid, me.exe.clone(), "root"));
            let unconnected = UdpSocket::bind("127.0.0.1:0").expect("bind");
            let there = "127.0.0.1:9".parse().expect("address");
            let answer = owners.of_connection(Protocol::Udp, unconnected.local_addr().expect("address"), there, 0);
            assert_eq!(answer.key, owners.of_process(&me), "{answer:?}");
        });
    }

    #[test]
    fn root_a_socket_that_is_gone_is_nobodys() {
        in_namespace(|| {
            let mut owners = Owners::open().expect("owners");
            let (a, b) = ("127.0.0.1:1".parse().expect("address"), "127.0.0.1:2".parse().expect("address"));
            assert_eq!(owners.of_connection(Protocol::Tcp, a, b, 0).key, ServiceKey::unknown());
            assert_eq!(owners.of_connection(Protocol::Sctp, a, b, 0).key, ServiceKey::unknown());
            assert!(!owners.evidence(Protocol::Tcp, a, b, 0).missing.is_empty());
        });
    }
}
