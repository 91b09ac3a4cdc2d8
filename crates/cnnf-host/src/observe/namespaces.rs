//! The other network namespaces of this host: which there are, and who lives there.
//!
//! A table judges the connections of its own namespace only, so whoever lives in another is not covered. They are found by a look at every
//! process now and then, which costs two system calls for each; never for a connection.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::time::Duration;

use cnnf_core::directory::Endpoint;
use cnnf_core::id::ServiceKey;
use cnnf_core::identity::Naming;
use cnnf_core::identity::{CgroupOwner, of_cgroup};
use cnnf_netlink::sock_diag::SockDiag;
use nix::sched::{CloneFlags, setns};

use super::activation::SocketUnits;
use super::containers::Containers;
use super::owner::Owners;
use super::process::{self, Process};
use super::{addresses, listeners};

/// Namespaces that are told of, at most; the rest is counted.
const NAMESPACES_MAX: usize = 256;
/// Services of one that are told of, at most; the rest is counted.
const SERVICES_MAX: usize = 16;
/// How long processes may be asked for one socket in another namespace: no packet waits for it.
const PATIENCE: Duration = Duration::from_secs(2);
/// Processes of which it is found out in one look whose they are, at most: one of a service's group, each of a group of programs.
const ASKED_MAX: usize = 2048;
/// How much of a list of interfaces is read, in bytes.
const INTERFACES_MAX: u64 = 64 * 1024;

/// What a look found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Namespaces {
    /// Those beside the one that this thread is in, the most populous first.
    pub others: Vec<Namespace>,
    /// How many there are beside those.
    pub more: usize,
    /// Processes that did not let themselves be looked at: `CAP_SYS_PTRACE` is missing.
    pub hidden: usize,
}

/// A network namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Namespace {
    /// The kernel's number for it.
    pub id: u64,
    /// Who lives there.
    pub services: BTreeSet<ServiceKey>,
    /// How many services there are beside those.
    pub more: usize,
    /// How many processes live there.
    pub processes: usize,
    /// Whether it has an interface beside loopback.
    pub is_connected: bool,
    /// A process in it.
    pub member: u32,
}

/// Looks at every process. What services they belong to is what `owners` says.
///
/// # Errors
/// This thread's own namespace could not be read.
pub fn read(owners: &Owners) -> io::Result<Namespaces> {
    let own = id_of("thread-self")?;
    let mut found: BTreeMap<u64, (Namespace, BTreeSet<String>)> = BTreeMap::new();
    let (mut hidden, mut asked) = (0, 0);
    for pid in process::all() {
        let id = match id_of(pid) {
            Ok(id) if id == own => continue,
            Ok(id) => id,
            Err(error) => {
                hidden += usize::from(error.kind() == io::ErrorKind::PermissionDenied);
                continue;
            }
        };
        let (namespace, seen) = found.entry(id).or_default();
        (namespace.id, namespace.member) = (id, pid);
        namespace.processes += 1;
        let Some(group) = process::group(pid) else { continue };
        let by_program = of_cgroup(&group) == CgroupOwner::ByProgram;
        if asked < ASKED_MAX && (seen.insert(group) || by_program) {
            asked += 1;
            let owner = Process::read(pid).map(|process| owners.of_process(&process));
            namespace.services.extend(owner.filter(ServiceKey::is_named));
        }
    }
    let mut others: Vec<Namespace> = found.into_values().map(|(namespace, _)| namespace).collect();
    others.sort_by(|a, b| b.processes.cmp(&a.processes).then(a.id.cmp(&b.id)));
    let more = others.len().saturating_sub(NAMESPACES_MAX);
    others.truncate(NAMESPACES_MAX);
    for namespace in &mut others {
        namespace.more = namespace.services.len().saturating_sub(SERVICES_MAX);
        namespace.services = std::mem::take(&mut namespace.services).into_iter().take(SERVICES_MAX).collect();
        namespace.is_connected = is_connected(&interfaces(namespace.member));
    }
    Ok(Namespaces { others, more, hidden })
}

impl Namespace {
    /// Enters it, in a thread of its own that ends before this returns, as a namespace lives for as long as a thread is in it; says where its
    /// services listen. Only addresses at which others can reach them count. Needs `CAP_SYS_ADMIN`.
    ///
    /// # Errors
    /// It is gone, it may not be entered, or its sockets could not be read.
    pub fn endpoints(
        &self,
        units: &Arc<SocketUnits>,
        containers: &Arc<Containers>,
        naming: Arc<Naming>,
    ) -> io::Result<BTreeMap<ServiceKey, BTreeSet<Endpoint>>> {
        let namespace = File::open(format!("/proc/{}/ns/net", self.member))?;
        if namespace.metadata()?.ino() != self.id {
            return Err(io::Error::new(io::ErrorKind::NotFound, "its process has ended"));
        }
        let (units, containers) = (units.clone(), containers.clone());
        let inside = move || {
            setns(namespace, CloneFlags::CLONE_NEWNET)?;
            let own = addresses::read()?.own;
            let mut owners = Owners::open(units, containers)?.with_patience(PATIENCE);
            owners.name_by(naming);
            let mut diag = SockDiag::open().map_err(io::Error::other)?;
            let found = listeners::read(&mut diag, &mut owners).map_err(io::Error::other)?;
            let reachable: Vec<_> = own.into_iter().filter(|address| addresses::is_global(*address)).collect();
            Ok(found.services.into_iter().map(|(key, all)| (key, from_outside(&all, &reachable))).collect())
        };
        let thread = std::thread::Builder::new().name("inside".into()).spawn(inside)?;
        thread.join().unwrap_or_else(|_| Err(io::Error::other("the thread inside has failed")))
    }
}

/// Endpoints as they are called outside their namespace: a wildcard there is each of these addresses, and none of this host's.
fn from_outside(endpoints: &BTreeSet<Endpoint>, reachable: &[std::net::IpAddr]) -> BTreeSet<Endpoint> {
    let named = |endpoint: &Endpoint| {
        let Endpoint { protocol, port, .. } = *endpoint;
        let mine = reachable.iter().filter(|address| endpoint.accepts(protocol, **address, port));
        mine.map(|address| Endpoint { address: Some(*address), ..*endpoint }).collect::<Vec<_>>()
    };
    endpoints.iter().flat_map(named).collect()
}

/// The number of a process's network namespace.
fn id_of(process: impl std::fmt::Display) -> io::Result<u64> {
    std::fs::metadata(format!("/proc/{process}/ns/net")).map(|metadata| metadata.ino())
}

/// The interfaces that a process sees, as in `/proc/net/dev`; empty if it is gone.
fn interfaces(pid: u32) -> String {
    let mut text = String::new();
    if let Ok(file) = File::open(format!("/proc/{pid}/net/dev")) {
        // a process that ends meanwhile leaves what was read
        let _ = file.take(INTERFACES_MAX).read_to_string(&mut text);
    }
    text
}

/// Whether the text of `/proc/net/dev` (proc(5): two lines of headings, then `NAME: numbers`) names an interface beside loopback.
fn is_connected(dev: &str) -> bool {
    dev.lines().skip(2).filter_map(|line| line.split_once(':')).any(|(name, _)| name.trim() != "lo")
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, TcpListener};
    use std::process::{Child, Command, Stdio};

    use cnnf_core::net::Protocol;

    use super::*;
    use crate::testbed::in_namespace;

    #[test]
    fn interfaces_are_read() {
        let head = "Inter-|   Receive  |  Transmit\n face |bytes    packets\n";
        assert!(!is_connected(&format!("{head}    lo: 0 0\n")));
        assert!(is_connected(&format!("{head}    lo: 0 0\n  eth0: 1 2\n")));
        assert!(!is_connected(""));
    }

    #[test]
    fn a_wildcard_is_called_by_each_address_that_others_can_reach() {
        let address = |text: &str| text.parse::<IpAddr>().expect("address");
        let endpoint = |address: Option<IpAddr>, port| Endpoint { protocol: Protocol::Tcp, address, port };
        let all = [
            endpoint(None, 1),
            endpoint(Some(address("0.0.0.0")), 2),
            endpoint(Some(address("127.0.0.1")), 3),
            endpoint(Some(address("10.0.0.2")), 4),
            endpoint(Some(address("10.0.0.9")), 5),
        ];
        let got = from_outside(&all.into(), &[address("10.0.0.2"), address("fd00::2")]);
        let (v4, v6) = (Some(address("10.0.0.2")), Some(address("fd00::2")));
        assert_eq!(got, [endpoint(v4, 1), endpoint(v6, 1), endpoint(v4, 2), endpoint(v4, 4)].into());
    }

    /// A process that sleeps in a namespace of its own, killed in the end.
    struct Elsewhere(Child);

    impl Elsewhere {
        /// `more` is a shell command for inside.
        fn new(more: &str) -> Self {
            let script = format!("ip link set lo up; {more}; echo ready; exec sleep 60");
            let mut child = Command::new("unshare")
                .args(["--net", "sh", "-c", &script])
                .stdout(Stdio::piped())
                .spawn()
                .expect("unshare");
            let mut ready = [0; 5];
            child.stdout.as_mut().expect("output").read_exact(&mut ready).expect("ready");
            Self(child)
        }
    }

    impl Drop for Elsewhere {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    #[test]
    fn root_other_namespaces_are_found_with_who_lives_there() {
        in_namespace(|| {
            let owners = Owners::open(Arc::default(), Arc::default()).expect("owners");
            let (alone, connected) =
                (Elsewhere::new("true"), Elsewhere::new("ip link add v type veth peer w; ip link set v up"));
            let began = std::time::Instant::now();
            let found = read(&owners).expect("a look");
            println!("a look at {} processes took {:?}", process::all().len(), began.elapsed());
            for (child, is_connected) in [(&alone, false), (&connected, true)] {
                let id = id_of(child.0.id()).expect("its namespace");
                let namespace = found.others.iter().find(|n| n.id == id).expect("found");
                assert_eq!((namespace.processes, namespace.is_connected), (1, is_connected));
                let process = Process::read(child.0.id()).expect("its process");
                assert_eq!(namespace.services, [owners.of_process(&process)].into());
            }
            let own = id_of("thread-self").expect("own");
            assert!(found.others.iter().all(|n| n.id != own), "this one is covered");
        });
    }

    #[test]
    fn root_a_namespace_is_entered_for_its_listeners_and_left() {
        in_namespace(|| {
            let own = id_of("thread-self").expect("own");
            let inside =
                Elsewhere::new("ip link add v type veth peer w; ip link set v up; ip address add 10.9.8.7/24 dev v");
            let there = File::open(format!("/proc/{}/ns/net", inside.0.id())).expect("its namespace");
            // a socket stays in the namespace in which it was made
            let bind = move || {
                setns(there, CloneFlags::CLONE_NEWNET).expect("setns");
                ["0.0.0.0:4711", "127.0.0.1:4712"].map(|address| TcpListener::bind(address).expect("listen"))
            };
            let _listeners = std::thread::spawn(bind).join().expect("listeners");
            let _outside = TcpListener::bind("0.0.0.0:4713").expect("listen");
            let owners = Owners::open(Arc::default(), Arc::default()).expect("owners");
            let id = id_of(inside.0.id()).expect("its namespace");
            let found = read(&owners).expect("a look");
            let namespace = found.others.iter().find(|n| n.id == id).expect("found");
            let endpoints = namespace.endpoints(&Arc::default(), &Arc::default(), Arc::default()).expect("entered");
            let ports: Vec<_> = endpoints.values().flatten().map(|e| (e.address, e.port)).collect();
            assert_eq!(ports, [(Some("10.9.8.7".parse().expect("address")), 4711)]);
            assert_eq!(id_of("thread-self").expect("own"), own, "this thread stays where it is");
            let gone = Namespace { id: own, ..namespace.clone() };
            assert!(
                gone.endpoints(&Arc::default(), &Arc::default(), Arc::default()).is_err(),
                "another namespace is not entered for it"
            );
        });
    }
}
