//! What it costs to find the owner of a socket, beside the ways of others, on a host with many processes and sockets.
//!
//! Root: makes a network namespace and control groups of its own and removes them. Prints a table and writes
//! `target/bench/owner.json`. Times are of one look-up, in microseconds.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use cnnf_core::id::ServiceKey;
use cnnf_core::net::Protocol;
use cnnf_host::observe::cgroups;
use cnnf_host::observe::owner::Owners;

/// Processes that hold sockets and are asked nothing.
const CROWD: usize = 1000;
/// Sockets that each of them holds.
const SOCKETS_EACH: usize = 12;
/// Look-ups a row; the ways of others are slower and get fewer.
const ROUNDS: usize = 2000;

type Fallible<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> Fallible<()> {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.get(1).map(String::as_str) {
        Some("--hold") => hold(arguments[2].parse()?),
        Some("--connect") => connect(arguments[2].parse()?),
        _ => measure(),
    }
}

/// Waits to be put into its control group, opens sockets, and stays until its input ends.
fn hold(sockets: usize) -> Fallible<()> {
    let mut input = BufReader::new(std::io::stdin());
    input.read_line(&mut String::new())?;
    let held: Vec<_> = (0..sockets).map(|_| UdpSocket::bind("127.0.0.1:0")).collect::<Result<_, _>>()?;
    println!("{}", held.len());
    input.read_to_end(&mut Vec::new())?;
    Ok(())
}

/// Likewise with one connection; prints its local address.
fn connect(server: SocketAddr) -> Fallible<()> {
    let mut input = BufReader::new(std::io::stdin());
    input.read_line(&mut String::new())?;
    let stream = TcpStream::connect(server)?;
    println!("{}", stream.local_addr()?);
    input.read_to_end(&mut Vec::new())?;
    Ok(())
}

/// Control groups that go when this does.
struct Groups(PathBuf);

impl Groups {
    fn make() -> Fallible<Self> {
        let root =
            cgroups::mount_point(&fs::read_to_string("/proc/self/mountinfo")?).ok_or("cgroup2 is not mounted")?;
        let top = root.join(format!("cnnf-bench-{}", std::process::id()));
        for name in ["crowd.service", "probe.service", "session-1.scope"] {
            fs::create_dir_all(top.join(name))?;
        }
        Ok(Self(top))
    }
}

impl Drop for Groups {
    fn drop(&mut self) {
        for name in ["crowd.service", "probe.service", "session-1.scope", ""] {
            let path = self.0.join(name);
            let _ = fs::write(path.join("cgroup.kill"), "1");
            // Empty once the kernel has taken its processes away.
            for _ in 0..200 {
                if fs::remove_dir(&path).is_ok() {
                    break;
                }
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
        }
    }
}

/// A process that was in its control group before it had a socket, and what it said.
struct Member(Child, String);

impl Member {
    fn start(group: &Path, arguments: &[&str]) -> Fallible<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        fs::write(group.join("cgroup.procs"), child.id().to_string())?;
        writeln!(child.stdin.as_mut().ok_or("no input")?)?;
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().ok_or("no output")?).read_line(&mut line)?;
        Ok(Self(child, line.trim().to_owned()))
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn measure() -> Fallible<()> {
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET)?;
    if !Command::new("ip").args(["link", "set", "lo", "up"]).status()?.success() {
        return Err("ip(8) cannot bring loopback up".into());
    }
    let groups = Groups::make()?;
    let group = |name: &str| groups.0.join(name);
    let crowd: Vec<Member> = (0..CROWD)
        .map(|_| Member::start(&group("crowd.service"), &["--hold", &SOCKETS_EACH.to_string()]))
        .collect::<Result<_, _>>()?;
    let server = TcpListener::bind("127.0.0.1:0")?;
    let to = server.local_addr()?.to_string();
    let unit = Member::start(&group("probe.service"), &["--connect", &to])?;
    // The holder is the oldest of five: candidates are read newest first.
    let program = Member::start(&group("session-1.scope"), &["--connect", &to])?;
    let others: Vec<Member> =
        (0..4).map(|_| Member::start(&group("session-1.scope"), &["--hold", "4"])).collect::<Result<_, _>>()?;

    let (remote, unit_at, program_at) = (server.local_addr()?, unit.1.parse()?, program.1.parse::<SocketAddr>()?);
    // the machine may be busy, and a round that gave up would measure nothing
    let owners = Owners::open(std::sync::Arc::default(), std::sync::Arc::default())?;
    let mut owners = owners.with_patience(std::time::Duration::from_secs(5));
    let rows = [
        row("cnnf: the control group decides", ROUNDS, || {
            let found = owners.of_connection(Protocol::Tcp, unit_at, remote, 0);
            assert_eq!(found.key, ServiceKey::unit("probe"), "{}", found.missing);
        }),
        row("cnnf: the holder is the oldest of five in a session", ROUNDS, || {
            let found = owners.of_connection(Protocol::Tcp, program_at, remote, 0);
            assert!(found.holder.is_some_and(|p| p.pid == program.0.id()), "{}", found.missing);
        }),
        row("others: read /proc/net/tcp", ROUNDS / 20, || {
            let table = fs::read_to_string("/proc/thread-self/net/tcp").expect("the table of sockets");
            assert!(inode_in(&table, program_at.port()).is_some());
        }),
        row("others: the same, then walk /proc/*/fd", 20, || {
            let table = fs::read_to_string("/proc/thread-self/net/tcp").expect("the table of sockets");
            let inode = inode_in(&table, program_at.port()).expect("the socket is listed");
            assert_eq!(walk(inode), Some(program.0.id()));
        }),
    ];
    println!("\n{CROWD} processes, {} sockets; one look-up in µs", CROWD * SOCKETS_EACH);
    println!("{:<56} {:>10} {:>10}", "", "p50", "p99");
    for (what, p50, p99) in &rows {
        println!("{what:<56} {p50:>10.1} {p99:>10.1}");
    }
    let out = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/bench");
    fs::create_dir_all(&out)?;
    let lines: Vec<String> = rows
        .iter()
        .map(|(what, p50, p99)| format!("  {{\"what\": \"{what}\", \"p50_us\": {p50:.1}, \"p99_us\": {p99:.1}}}"))
        .collect();
    fs::write(out.join("owner.json"), format!("[\n{}\n]\n", lines.join(",\n")))?;
    drop((crowd, unit, program, others));
    Ok(())
}

/// Times `look` so often; p50 and p99 in microseconds.
fn row(what: &'static str, rounds: usize, mut look: impl FnMut()) -> (&'static str, f64, f64) {
    let mut times: Vec<f64> = (0..rounds)
        .map(|_| {
            let start = Instant::now();
            look();
            start.elapsed().as_secs_f64() * 1e6
        })
        .collect();
    times.sort_by(f64::total_cmp);
    (what, times[rounds / 2], times[rounds * 99 / 100])
}

/// The inode of the socket with this local port, in the text of `/proc/net/tcp`.
fn inode_in(table: &str, port: u16) -> Option<u64> {
    let suffix = format!(":{port:04X}");
    let line =
        table.lines().find(|line| line.split_whitespace().nth(1).is_some_and(|local| local.ends_with(&suffix)))?;
    line.split_whitespace().nth(9)?.parse().ok()
}

/// The process that holds the socket, found as most tools do: every descriptor of every process.
fn walk(inode: u64) -> Option<u32> {
    let wanted = format!("socket:[{inode}]");
    let mut found = None;
    for process in fs::read_dir("/proc").ok()?.flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        for file in fs::read_dir(process.path().join("fd")).into_iter().flatten().flatten() {
            if fs::read_link(file.path()).is_ok_and(|target| target.as_os_str() == wanted.as_str()) {
                found = Some(pid);
            }
        }
    }
    found
}
