//! What processes of the truth table do that take each other's place: programs, ports, process ids.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketType};

use super::actors::{Done, again, exchange, local, ok, ready, wait_ready};
use crate::bed::{self, groups_of};

/// Does it; `None` if the word is none of the truth table's.
pub(super) fn act(group: &str, words: &[&str]) -> Option<Done> {
    let port = |at: usize| words[at].parse::<u16>().expect("port");
    let number = |at: usize| words[at].parse::<u64>().expect("number");
    Some(match words[0] {
        "replace" => replace(group, [words[1], words[2]], port(3), words[4], number(5)),
        "master" => master(words[1], words[2]),
        "connect-from" => connect_from(port(1), port(2)),
        "say-hello" => exchange(&UdpSocket::bind(local(port(2))).expect("bind"), port(1)),
        "same-pid" => same_pid([words[1], words[2]], number(3), port(4)),
        "same-pid-waiting" => same_pid_waiting(group, [words[1], words[2]], words[3], port(4), port(5)),
        "when-told" => {
            std::io::stdin().read_exact(&mut [0]).and_then(|()| super::act(group, &words[1..]).expect("known"))
        }
        "storm" => storm(words[1], number(2), port(3)),
        _ => return None,
    })
}

/// The group of this name beside `group`.
fn beside(group: &str, other: &str) -> String {
    groups_of(group).join(other).display().to_string()
}

/// An old program with workers on a listener, then a new one beside it, then the new one alone. Each time clients connect so often; says
/// how many were answered.
fn replace(group: &str, [old, new]: [&str; 2], port: u16, clients: &str, count: u64) -> Done {
    let place = tempfile::tempdir()?;
    let control = place.path().join("control");
    mkfifo(&control, Mode::S_IRWXU)?;
    let control = control.display().to_string();
    let listener = OwnedFd::from(TcpListener::bind(local(port))?);
    let mut master = bed::told_by(old.as_ref(), "", &format!("master {control} {new}")).stdin(listener).spawn()?;
    wait_ready(&mut master)?;
    let clients = beside(group, clients);
    let mut answers = Vec::new();
    for word in ["next", "quit", ""] {
        let out = again(&clients, &format!("knock {count} 127.0.0.1:{port}")).output()?;
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        let answered = text.split_once("probe:").map_or("none", |(_, said)| said.split(' ').next().unwrap_or("none"));
        answers.push(answered.to_owned());
        if !word.is_empty() {
            fs::write(&control, word)?;
        }
        match word {
            "next" => wait_ready(&mut master)?,
            "quit" => drop(master.wait()?),
            _ => {}
        }
    }
    Ok(answers.join(" "))
}

/// Runs two workers on the listener that is its input; starts the next program on a word, and ends with its workers on another.
fn master(control: &str, next: &str) -> Done {
    let listener = || std::io::stdin().as_fd().try_clone_to_owned();
    let mut workers: Vec<Child> = Vec::new();
    for _ in 0..2 {
        let mut worker = again("", "accept").stdin(listener()?).spawn()?;
        wait_ready(&mut worker)?;
        workers.push(worker);
    }
    println!("probe:ready");
    while !control.is_empty() {
        let mut word = String::new();
        fs::File::open(control)?.read_to_string(&mut word)?;
        if word == "next" {
            // it outlives this program, as a daemon does
            let mut new =
                bed::told_by(Path::new(next), "", "master  -").stdin(listener()?).env(bed::STAYS, "1").spawn()?;
            wait_ready(&mut new)?;
            println!("probe:ready");
        } else {
            for mut worker in workers {
                worker.kill()?;
                worker.wait()?;
            }
            return ok();
        }
    }
    ready()
}

/// Opens a connection from a port that was just used, to one where nobody listens.
fn connect_from(from: u16, port: u16) -> Done {
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None)?;
    rustix::net::sockopt::set_socket_reuseaddr(&socket, true)?;
    rustix::net::bind(&socket, &local(from))?;
    match rustix::net::connect(&socket, &local(port)) {
        Err(Errno::CONNREFUSED) => ok(),
        other => other.map(|()| "answered".into()).map_err(Into::into),
    }
}

/// Starts a process that does `what`, with this id if one is given: needs a PID namespace with few other forks.
fn start_as(pid: Option<u32>, program: &str, group: &str, what: &str) -> std::io::Result<Child> {
    let mut command = bed::told_by(program.as_ref(), group, &format!("when-told {what}"));
    // somebody's thread may have it for a moment, such as the one that reads a large executable for evidence
    for _ in 0..1000 {
        if let Some(pid) = pid {
            fs::write("/proc/sys/kernel/ns_last_pid", (pid - 1).to_string())?;
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?;
        if pid.is_none_or(|pid| pid == child.id()) {
            child.stdin.take().expect("input").write_all(b"x")?;
            return Ok(child);
        }
        child.kill()?;
        child.wait()?;
        std::thread::sleep(Duration::from_millis(10));
    }
    Err(std::io::Error::other(format!("process id {pid:?} cannot be had")))
}

/// A program connects and ends, then another one of the same process id; so often.
fn same_pid(programs: [&str; 2], count: u64, port: u16) -> Done {
    for _ in 0..count {
        let what = format!("send tcp 0 {port}");
        let mut first = start_as(None, programs[0], "", &what)?;
        first.wait()?;
        start_as(Some(first.id()), programs[1], "", &what)?.wait()?;
    }
    ok()
}

/// Ten times: a program sends a datagram to `port` and ends, and a program in `other` that gets its process id sends one to the next port.
/// Is ready when all of these have begun.
fn same_pid_waiting(group: &str, programs: [&str; 2], other: &str, from: u16, port: u16) -> Done {
    let other = beside(group, other);
    let mut alive = Vec::new();
    for n in 0..10 {
        let from = from + 2 * n;
        let mut first = start_as(None, programs[0], "", &format!("send udp {from} {port}"))?;
        first.wait()?;
        let what = format!("say-hello {} {}", port + 1, from + 1);
        alive.push(start_as(Some(first.id()), programs[1], &other, &what)?);
    }
    std::thread::sleep(Duration::from_millis(50));
    println!("probe:ready");
    for mut child in alive {
        child.wait()?;
    }
    ok()
}

/// Forks so many processes as fast as it can, each of which connects or sends once and ends; says how many could not.
fn storm(protocol: &str, count: u64, port: u16) -> Done {
    // each to another address of the loopback's: a port used twice would be one connection for conntrack
    let script = format!(
        "for ((i = 0; i < {count}; i++)); do \
         (echo x >/dev/{protocol}/127.0.$((i / 200)).$((1 + i % 200))/{port} || printf . >&3) & \
         ((i % 20 == 19)) && wait; done 3>&1; wait"
    );
    let out = Command::new("bash").args(["-c", &script]).stdin(Stdio::null()).stderr(Stdio::null()).output()?;
    if out.stdout.is_empty() { ok() } else { Ok(format!("{} of {count} failed", out.stdout.len())) }
}
