//! What the processes of the truth table do. Each runs in a control group of its own choosing and says `probe:…` when it is done or ready.

use std::io::{ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::unistd::{Uid, setuid};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketType, recvmsg, sendmsg,
};

use super::changing;
use crate::bed::{self, TIMEOUT, groups_of, join};

pub(super) type Done = std::io::Result<String>;

/// Does it; `None` if the word is none of the truth table's.
pub(crate) fn act(group: &str, words: &[&str]) -> Option<Done> {
    let port = |at: usize| words[at].parse::<u16>().expect("port");
    let number = |at: usize| words[at].parse::<u64>().expect("number");
    Some(match words[0] {
        "answer" => answer(port(1), port(2)),
        "times" => times(group, number(1), &words[2..]),
        "as" => run_as(words[1], &words[2..]),
        "senders" => senders(words[1], number(2), port(3)),
        "send" => send(words[1], port(2), port(3)),
        "unconnected" => unconnected(port(1), port(2), port(3)),
        "shared" => shared(words[1], port(2), words[3]),
        "ask" => ask(words[1], port(2), port(3)),
        "knock" => knock(number(1), words[2].parse().expect("address")),
        "load" => load(port(1)),
        "hand-on" => hand_on(group, words[1], port(2)),
        "workers" => workers(group, number(1), port(2)),
        "accept" => accept_on_input(),
        "pass" => pass(group, words[1], port(2), port(3)),
        "receive" => receive(port(1)),
        "drop-user" => drop_user(port(1), port(2)),
        "run" => (0..number(1)).try_for_each(|_| quietly(&mut Command::new(words[2]))).and_then(|()| ok()),
        "sudo" => sudo(number(1), port(2)),
        "move" => move_over(group, words[1], port(2), port(3)),
        _ => return changing::act(group, words),
    })
}

pub(super) fn ok() -> Done {
    Ok("ok".into())
}

pub(super) fn local(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

/// Says that it is ready, and does nothing more.
pub(super) fn ready() -> ! {
    println!("probe:ready");
    loop {
        std::thread::park();
    }
}

pub(super) fn accepting(listener: TcpListener, answer: &'static [u8]) {
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut buffer = [0; 512];
                while stream.read(&mut buffer).is_ok_and(|n| n > 0) && stream.write_all(answer).is_ok() {}
            });
        }
    });
}

pub(super) fn answering(socket: UdpSocket, answer: &'static [u8]) {
    std::thread::spawn(move || {
        let mut buffer = [0; 64];
        loop {
            if let Ok((_, from)) = socket.recv_from(&mut buffer) {
                let _ = socket.send_to(answer, from);
            }
        }
    });
}

/// Answers on all of these ports, TCP and UDP, both families.
fn answer(from: u16, to: u16) -> Done {
    for port in from..=to {
        accepting(TcpListener::bind(("::", port))?, b"x");
        answering(UdpSocket::bind(("::", port))?, b"x");
    }
    ready()
}

/// So many processes, one after the other; `#` in what they do is another number for each.
fn times(group: &str, count: u64, what: &[&str]) -> Done {
    for n in 0..count {
        // a port used twice would be one connection for conntrack
        let out = again(group, &what.join(" ").replace('#', &(20_000 + n).to_string())).output()?;
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        if !text.contains("probe:ok") {
            return Ok(text);
        }
    }
    ok()
}

/// So many processes, each of which sends once and ends at once.
fn senders(protocol: &str, count: u64, port: u16) -> Done {
    for n in 0..count {
        quietly(&mut again("", &format!("send {protocol} {} {port}", 20_000 + n)))?;
    }
    ok()
}

pub(super) fn quietly(command: &mut Command) -> std::io::Result<()> {
    command.stdout(Stdio::null()).status().map(drop)
}

/// The same program under another path.
fn run_as(program: &str, what: &[&str]) -> Done {
    let out = bed::told_by(program.as_ref(), "", &what.join(" ")).output()?;
    Ok(String::from_utf8_lossy(&out.stdout)
        .split_once("probe:")
        .map_or("no answer", |(_, answer)| answer.trim())
        .into())
}

/// Looks something up, and runs a command as another user; so often.
fn sudo(count: u64, port: u16) -> Done {
    for n in 0..count {
        exchange(&UdpSocket::bind(local(20_000 + u16::try_from(n).expect("few")))?, port)?;
        let url = format!("http://127.0.0.1:{port}/");
        // the echo is no HTTP: what counts is the connection
        quietly(Command::new("curl").args(["-s", "-m", "0.3", "--noproxy", "*", &url]).uid(65_534))?;
    }
    ok()
}

fn send(protocol: &str, from: u16, to: u16) -> Done {
    match protocol {
        "tcp" => drop(TcpStream::connect(local(to))?),
        _ => drop(UdpSocket::bind(local(from))?.send_to(b"x", local(to))?),
    }
    std::process::exit(0)
}

/// Sends by sockets that have no peer, from ports that begin with `from`.
fn unconnected(count: u16, port: u16, from: u16) -> Done {
    for n in 0..count {
        exchange(&UdpSocket::bind(local(from + n))?, port)?;
    }
    ok()
}

/// Answers with its name on a port that others answer on too.
fn shared(protocol: &str, port: u16, name: &str) -> Done {
    let kind = if protocol == "tcp" { SocketType::STREAM } else { SocketType::DGRAM };
    let socket = rustix::net::socket(AddressFamily::INET, kind, None)?;
    rustix::net::sockopt::set_socket_reuseport(&socket, true)?;
    rustix::net::bind(&socket, &local(port))?;
    let name: &'static [u8] = name.to_owned().leak().as_bytes();
    if protocol == "tcp" {
        rustix::net::listen(&socket, 128)?;
        accepting(socket.into(), name);
    } else {
        answering(socket.into(), name);
    }
    ready()
}

/// Asks so often who answers; says who did.
fn ask(protocol: &str, count: u16, port: u16) -> Done {
    let mut names = String::new();
    for n in 0..count {
        let mut name = [0; 1];
        if protocol == "tcp" {
            let mut stream = TcpStream::connect(local(port))?;
            stream.set_read_timeout(Some(TIMEOUT))?;
            stream.write_all(b"x")?;
            stream.read_exact(&mut name)?;
        } else {
            // a client's, from the kernel's range for them: one below it that is open while listeners are read counts as a server's
            let socket = UdpSocket::bind(local(40_000 + n))?;
            socket.set_read_timeout(Some(TIMEOUT))?;
            socket.send_to(b"x", local(port))?;
            socket.recv_from(&mut name)?;
        }
        names.push(char::from(name[0]));
    }
    Ok(names)
}

/// Connects and asks so often; says what came of it.
fn knock(count: u64, to: SocketAddr) -> Done {
    let mut refused = 0;
    for _ in 0..count {
        match bed::tcp(to) {
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => refused += 1,
            other => other?,
        }
    }
    Ok(format!("{} answered, {refused} refused", count - refused))
}

/// Connects and asks without a pause until its input ends; says how many were answered, refused, cut, and got nothing.
fn load(port: u16) -> Done {
    println!("probe:ready");
    let stop = Arc::new(AtomicBool::new(false));
    let input = stop.clone();
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        input.store(true, Ordering::Relaxed);
    });
    let [mut answered, mut refused, mut cut, mut silent] = [0_u64; 4];
    while !stop.load(Ordering::Relaxed) {
        match bed::tcp(local(port)).map_err(|error| error.kind()) {
            Ok(()) => answered += 1,
            Err(ErrorKind::ConnectionRefused) => refused += 1,
            Err(ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::UnexpectedEof) => cut += 1,
            Err(_) => silent += 1,
        }
        if answered % 4 == 0 {
            // tens of thousands of connections that wait for their end would only fill conntrack
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    Ok(format!("{answered} {refused} {cut} {silent}"))
}

/// This program again, told to do something else, in `group`, or where this one is.
pub(super) fn again(group: &str, what: &str) -> Command {
    bed::told(group, what)
}

/// Makes a listener, hands it to a process in another group and keeps none of it.
fn hand_on(group: &str, other: &str, port: u16) -> Done {
    let listener = TcpListener::bind(local(port))?;
    let other = groups_of(group).join(other);
    let mut child = again(&other.display().to_string(), "accept").stdin(OwnedFd::from(listener)).spawn()?;
    wait_ready(&mut child)?;
    ready()
}

/// Makes a listener on which processes accept that it starts.
fn workers(group: &str, count: u64, port: u16) -> Done {
    let listener = TcpListener::bind(local(port))?;
    for _ in 0..count {
        let listener = OwnedFd::from(listener.try_clone()?);
        wait_ready(&mut again(group, "accept").stdin(listener).spawn()?)?;
    }
    ready()
}

pub(super) fn wait_ready(child: &mut std::process::Child) -> std::io::Result<()> {
    bed::until_ready(child.stdout.as_mut().expect("output"));
    Ok(())
}

/// Accepts on the listener that is its standard input.
fn accept_on_input() -> Done {
    accepting(std::io::stdin().as_fd().try_clone_to_owned()?.into(), b"x");
    ready()
}

/// Makes a UDP socket and passes it to a process in another group (`SCM_RIGHTS`), which sends by it.
fn pass(group: &str, other: &str, port: u16, from: u16) -> Done {
    let (here, there) = UnixStream::pair()?;
    let other = groups_of(group).join(other);
    let child = again(&other.display().to_string(), &format!("receive {port}")).stdin(OwnedFd::from(there)).spawn()?;
    let socket = UdpSocket::bind(local(from))?;
    {
        let fds = [socket.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut with = SendAncillaryBuffer::new(&mut space);
        assert!(with.push(SendAncillaryMessage::ScmRights(&fds)));
        sendmsg(&here, &[IoSlice::new(b"x")], &mut with, SendFlags::empty())?;
    }
    drop(socket);
    // it sends once nobody here has the socket
    (&here).write_all(b"x")?;
    let out = child.wait_with_output()?;
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    Ok(if text.contains("probe:ok") { "ok".into() } else { text })
}

fn receive(port: u16) -> Done {
    let from = std::io::stdin().as_fd().try_clone_to_owned()?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut with = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    recvmsg(&from, &mut [IoSliceMut::new(&mut byte)], &mut with, RecvFlags::empty())?;
    let mut passed = with.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    let socket = UdpSocket::from(passed.next().expect("a passed socket"));
    UnixStream::from(from).read_exact(&mut byte)?;
    exchange(&socket, port)
}

pub(super) fn exchange(socket: &UdpSocket, port: u16) -> Done {
    socket.set_read_timeout(Some(TIMEOUT))?;
    socket.send_to(b"x", local(port))?;
    socket.recv_from(&mut [0; 8])?;
    ok()
}

/// Makes a socket and becomes nobody before it sends.
fn drop_user(port: u16, from: u16) -> Done {
    let socket = UdpSocket::bind(local(from))?;
    setuid(Uid::from_raw(65_534))?;
    exchange(&socket, port)
}

/// Makes a socket, goes to another group, makes another one, and sends by both: the first to `port`, the second to the next one.
fn move_over(group: &str, other: &str, port: u16, from: u16) -> Done {
    let first = UdpSocket::bind(local(from))?;
    join(&groups_of(group).join(other).display().to_string());
    std::thread::sleep(Duration::from_millis(50));
    // another port for conntrack, whose flows the two share but for their ports
    let second = UdpSocket::bind(local(from - 10_000))?;
    exchange(&first, port)?;
    exchange(&second, port + 1)
}
