//! What the processes of the truth table do. Each runs in a control group of its own choosing and says `probe:…` when it is done or ready.

use std::io::{IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::unistd::{Uid, setuid};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketType, recvmsg, sendmsg,
};

use crate::bed::{self, TIMEOUT, groups_of, join};

type Done = std::io::Result<String>;

/// Does it; `None` if the word is none of the truth table's.
pub(crate) fn act(group: &str, words: &[&str]) -> Option<Done> {
    let port = |at: usize| words[at].parse::<u16>().expect("port");
    Some(match words[0] {
        "answer" => answer(port(1), port(2)),
        "senders" => senders(words[1], words[2].parse().expect("count"), port(3)),
        "send" => send(words[1], port(2), port(3)),
        "unconnected" => unconnected(words[1].parse().expect("count"), port(2)),
        "shared" => shared(words[1], port(2), words[3]),
        "ask" => ask(words[1], words[2].parse().expect("count"), port(3)),
        "hand-on" => hand_on(group, words[1], port(2)),
        "workers" => workers(group, words[1].parse().expect("count"), port(2)),
        "accept" => accept_on_input(),
        "pass" => pass(group, words[1], port(2)),
        "receive" => receive(port(1)),
        "drop-user" => drop_user(port(1)),
        "run" => Command::new(words[1]).stdout(Stdio::null()).status().and_then(|_| ok()),
        "move" => move_over(group, words[1], port(2)),
        _ => return None,
    })
}

fn ok() -> Done {
    Ok("ok".into())
}

fn local(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

/// Says that it is ready, and does nothing more.
fn ready() -> ! {
    println!("probe:ready");
    loop {
        std::thread::park();
    }
}

fn accepting(listener: TcpListener, answer: &'static [u8]) {
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut buffer = [0; 512];
                while stream.read(&mut buffer).is_ok_and(|n| n > 0) && stream.write_all(answer).is_ok() {}
            });
        }
    });
}

fn answering(socket: UdpSocket, answer: &'static [u8]) {
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

/// So many processes, each of which sends once and ends at once.
fn senders(protocol: &str, count: u16, port: u16) -> Done {
    for n in 0..count {
        // a port used twice would be one connection for conntrack
        let mut child = again("", &format!("send {protocol} {} {port}", 20_000 + n));
        child.stdout(Stdio::null()).status()?;
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

/// Sends by sockets that have no peer.
fn unconnected(count: usize, port: u16) -> Done {
    for _ in 0..count {
        let socket = UdpSocket::bind(local(0))?;
        socket.set_read_timeout(Some(TIMEOUT))?;
        socket.send_to(b"x", local(port))?;
        socket.recv_from(&mut [0; 8])?;
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
fn ask(protocol: &str, count: usize, port: u16) -> Done {
    let mut names = String::new();
    for _ in 0..count {
        let mut name = [0; 1];
        if protocol == "tcp" {
            let mut stream = TcpStream::connect(local(port))?;
            stream.set_read_timeout(Some(TIMEOUT))?;
            stream.write_all(b"x")?;
            stream.read_exact(&mut name)?;
        } else {
            let socket = UdpSocket::bind(local(0))?;
            socket.set_read_timeout(Some(TIMEOUT))?;
            socket.send_to(b"x", local(port))?;
            socket.recv_from(&mut name)?;
        }
        names.push(char::from(name[0]));
    }
    Ok(names)
}

/// This program again, told to do something else, in `group`, or where this one is.
fn again(group: &str, what: &str) -> Command {
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
fn workers(group: &str, count: usize, port: u16) -> Done {
    let listener = TcpListener::bind(local(port))?;
    for _ in 0..count {
        let listener = OwnedFd::from(listener.try_clone()?);
        wait_ready(&mut again(group, "accept").stdin(listener).spawn()?)?;
    }
    ready()
}

fn wait_ready(child: &mut std::process::Child) -> std::io::Result<()> {
    bed::until_ready(child.stdout.as_mut().expect("output"));
    Ok(())
}

/// Accepts on the listener that is its standard input.
fn accept_on_input() -> Done {
    accepting(std::io::stdin().as_fd().try_clone_to_owned()?.into(), b"x");
    ready()
}

/// Makes a UDP socket and passes it to a process in another group (`SCM_RIGHTS`), which sends by it.
fn pass(group: &str, other: &str, port: u16) -> Done {
    let (here, there) = UnixStream::pair()?;
    let other = groups_of(group).join(other);
    let child = again(&other.display().to_string(), &format!("receive {port}")).stdin(OwnedFd::from(there)).spawn()?;
    let socket = UdpSocket::bind(local(0))?;
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

fn exchange(socket: &UdpSocket, port: u16) -> Done {
    socket.set_read_timeout(Some(TIMEOUT))?;
    socket.send_to(b"x", local(port))?;
    socket.recv_from(&mut [0; 8])?;
    ok()
}

/// Makes a socket and becomes nobody before it sends.
fn drop_user(port: u16) -> Done {
    let socket = UdpSocket::bind(local(0))?;
    setuid(Uid::from_raw(65_534))?;
    exchange(&socket, port)
}

/// Makes a socket, goes to another group, makes another one, and sends by both: the first to `port`, the second to the next one.
fn move_over(group: &str, other: &str, port: u16) -> Done {
    let first = UdpSocket::bind(local(0))?;
    join(&groups_of(group).join(other).display().to_string());
    std::thread::sleep(Duration::from_millis(50));
    let second = UdpSocket::bind(local(0))?;
    exchange(&first, port)?;
    exchange(&second, port + 1)
}
