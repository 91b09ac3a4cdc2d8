//! Two hosts in network namespaces, joined by a cable, and processes in control groups of services.

use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use cnnf_host::observe::cgroups::mount_point;
use nix::sched::{CloneFlags, setns, unshare};

/// Set for a child that is to be a probe and not a test.
const PROBE: &str = "CNNF_TEST_PROBE";
const TIMEOUT: Duration = Duration::from_millis(700);

/// The host with the table is the calling thread's namespace (10.98.0.1, fd98::1), the other one is a namespace that lives as long as this
/// (10.98.0.2, fd98::2).
pub(crate) struct Bed {
    groups: PathBuf,
    other: fs::File,
    children: Vec<Child>,
}

pub(crate) fn run(command: &str) {
    let out = Command::new("sh").args(["-ec", command]).output().expect("sh");
    assert!(out.status.success(), "{command}: {}", String::from_utf8_lossy(&out.stderr));
}

/// Runs `test` on a thread with a bed of its own.
pub(crate) fn with_bed(name: &str, test: impl FnOnce(&mut Bed) + Send) {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let mut bed = Bed::new(name);
            test(&mut bed);
        });
        if let Err(panic) = thread.join() {
            std::panic::resume_unwind(panic);
        }
    });
}

/// Runs something in a network namespace.
pub(crate) fn within<T: Send>(namespace: &fs::File, f: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            setns(namespace, CloneFlags::CLONE_NEWNET).expect("enter");
            f()
        });
        thread.join().expect("the other namespace")
    })
}

/// A network namespace that lives as long as the file, and its path.
pub(crate) fn namespace() -> (fs::File, String) {
    let maker = std::thread::spawn(|| {
        unshare(CloneFlags::CLONE_NEWNET).expect("a namespace");
        run("ip link set lo up");
        fs::File::open("/proc/thread-self/ns/net").expect("namespace")
    });
    let file = maker.join().expect("maker");
    let path = format!("/proc/{}/fd/{}", std::process::id(), std::os::fd::AsRawFd::as_raw_fd(&file));
    (file, path)
}

impl Bed {
    fn new(name: &str) -> Self {
        unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace: needs root");
        let (other, path) = namespace();
        let mountinfo = fs::read_to_string("/proc/self/mountinfo").expect("mountinfo");
        let groups = mount_point(&mountinfo).expect("cgroup2").join(format!("cnnf_{name}_{}", std::process::id()));
        fs::create_dir(&groups).expect("a control group");
        let bed = Self { groups, other, children: Vec::new() };
        run(&format!("ip link set lo up; ip link add v0 type veth peer name v1; ip link set v1 netns {path}"));
        run("ip addr add 10.98.0.1/24 dev v0; ip addr add fd98::1/64 dev v0 nodad; ip link set v0 up");
        bed.there(|| run("ip addr add 10.98.0.2/24 dev v1; ip addr add fd98::2/64 dev v1 nodad; ip link set v1 up"));
        let up = std::time::Instant::now();
        while TcpStream::connect_timeout(&SocketAddr::from(("fd98::2".parse::<IpAddr>().expect("address"), 9)), TIMEOUT)
            .is_err_and(|e| e.kind() != std::io::ErrorKind::ConnectionRefused)
        {
            assert!(up.elapsed() < Duration::from_secs(10), "the cable does not come up");
            std::thread::sleep(Duration::from_millis(20));
        }
        bed
    }

    /// Runs something on the other host.
    pub(crate) fn there<T: Send>(&self, f: impl FnOnce() -> T + Send) -> T {
        within(&self.other, f)
    }

    /// Makes a service's control group; returns its id.
    pub(crate) fn service(&self, name: &str) -> u64 {
        let path = self.groups.join(name);
        if !path.exists() {
            fs::create_dir(&path).expect("a control group");
        }
        fs::metadata(path).expect("stat").ino()
    }

    /// A process of a service here that does what `what` says; its output is the answer.
    pub(crate) fn probe(&self, service: &str, what: &str) -> String {
        let out = self.command(Some(service), what).output().expect("probe");
        answer(&out.stdout)
    }

    /// The same on the other host, of no service.
    pub(crate) fn probe_there(&self, what: &str) -> String {
        self.there(|| answer(&self.command(None, what).output().expect("probe").stdout))
    }

    /// A process of a service here that serves until the bed is gone: `tcp PORT`, `udp PORT`.
    pub(crate) fn serve(&mut self, service: &str, what: &str) {
        self.service(service);
        let child = self.command(Some(service), &format!("serve {what}")).spawn().expect("server");
        self.wait_for(child);
    }

    /// The same on the other host.
    pub(crate) fn serve_there(&mut self, what: &str) {
        let child = self.there(|| self.command(None, &format!("serve {what}")).spawn().expect("server"));
        self.wait_for(child);
    }

    /// A process of a service, or of none, in the calling thread's namespace: it is told more by its input and answers by its output.
    pub(crate) fn start(&self, service: Option<&str>, what: &str) -> Child {
        service.map(|name| self.service(name));
        self.command(service, what).stdin(Stdio::piped()).spawn().expect("a process")
    }

    /// Ends a process with the bed.
    pub(crate) fn keep(&mut self, child: Child) {
        self.children.push(child);
    }

    fn wait_for(&mut self, mut child: Child) {
        let out = child.stdout.as_mut().expect("output");
        let (mut seen, mut byte) = (String::new(), [0]);
        while !seen.contains("probe:ready") && out.read(&mut byte).expect("read") == 1 {
            seen.push(char::from(byte[0]));
        }
        self.children.push(child);
        assert!(seen.contains("probe:ready"), "a server did not start: {seen}");
    }

    fn command(&self, service: Option<&str>, what: &str) -> Command {
        let group = service.map(|name| self.groups.join(name).display().to_string()).unwrap_or_default();
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.args(["--exact", "probe", "--nocapture"]).env(PROBE, format!("{group}|{what}"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        command
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
        for entry in fs::read_dir(&self.groups).into_iter().flatten().flatten() {
            let _ = fs::remove_dir(entry.path());
        }
        let _ = fs::remove_dir(&self.groups);
    }
}

fn answer(out: &[u8]) -> String {
    let text = String::from_utf8_lossy(out);
    let line = text.lines().find_map(|line| line.split_once("probe:")).map(|(_, answer)| answer);
    line.unwrap_or("no answer").to_owned()
}

/// The child's side: does what it is told, if this process is a probe.
pub(crate) fn be_probe() {
    let Ok(told) = std::env::var(PROBE) else { return };
    let (group, what) = told.split_once('|').expect("group|what");
    if !group.is_empty() {
        fs::write(format!("{group}/cgroup.procs"), "0").expect("join the group");
    }
    let words: Vec<&str> = what.split(' ').collect();
    let result = match words[..] {
        ["tcp", to] => tcp(to.parse().expect("address")),
        ["udp", to, port] => udp(to.parse().expect("address"), port.parse().expect("port")),
        ["udp", to] => udp(to.parse().expect("address"), 0),
        ["serve", "tcp", port] => serve_tcp(port.parse().expect("port")),
        ["serve", "udp", port] => serve_udp(port.parse().expect("port")),
        ["serve", "push", port] => crate::streams::serve_push(port.parse().expect("port")),
        ["serve", "bulk", port] => crate::alive::serve_bulk(port.parse().expect("port")),
        ["pump", kind, to] => crate::streams::pump(kind, to.parse().expect("address")),
        ["flood", to, first] => crate::flood::flood(to.parse().expect("address"), first.parse().expect("port")),
        ["latency", to, count] => crate::flood::latency(to.parse().expect("address"), count.parse().expect("count")),
        ["agent", serves, first] => crate::matrix::be_agent(serves, first),
        _ => panic!("unknown probe {what}"),
    };
    println!("probe:{}", result.map_or_else(|error| word(&error), |()| "ok".to_owned()));
    std::process::exit(0);
}

pub(crate) fn word(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::ConnectionRefused => "refused".into(),
        std::io::ErrorKind::TimedOut | std::io::ErrorKind::WouldBlock => "timeout".into(),
        std::io::ErrorKind::PermissionDenied => "not permitted".into(),
        _ => error.to_string(),
    }
}

fn tcp(to: SocketAddr) -> std::io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&to, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.write_all(b"x")?;
    stream.read_exact(&mut [0])
}

fn udp(to: SocketAddr, port: u16) -> std::io::Result<()> {
    let socket = UdpSocket::bind((if to.is_ipv4() { "0.0.0.0" } else { "::" }, port))?;
    socket.set_read_timeout(Some(TIMEOUT))?;
    socket.send_to(b"x", to)?;
    socket.recv_from(&mut [0; 9]).map(drop)
}

fn serve_tcp(port: u16) -> std::io::Result<()> {
    let listener = TcpListener::bind(("::", port))?;
    println!("probe:ready");
    for stream in listener.incoming().flatten() {
        std::thread::spawn(move || {
            let mut stream = stream;
            let mut buffer = [0; 64];
            while let Ok(n) = stream.read(&mut buffer) {
                if n == 0 || stream.write_all(&buffer[..n]).is_err() {
                    break;
                }
            }
        });
    }
    Ok(())
}

fn serve_udp(port: u16) -> std::io::Result<()> {
    let sockets = [
        UdpSocket::bind(("10.98.0.1", port)).or_else(|_| UdpSocket::bind(("10.98.0.2", port))),
        UdpSocket::bind(("::1", port)),
    ];
    println!("probe:ready");
    let mut threads = Vec::new();
    for socket in sockets.into_iter().flatten() {
        threads.push(std::thread::spawn(move || {
            let mut buffer = [0; 64];
            while let Ok((n, from)) = socket.recv_from(&mut buffer) {
                let _ = socket.send_to(&buffer[..n], from);
            }
        }));
    }
    for thread in threads {
        let _ = thread.join();
    }
    Ok(())
}
