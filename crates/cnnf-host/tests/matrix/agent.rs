//! A process of a service that serves ports and carries probes out, many at once, until its input ends.

use std::io::{BufRead, BufReader, Error, ErrorKind, Read, Result, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::process::{Child, ChildStdin};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use cnnf_core::net::Protocol;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketType, bind, connect, ipproto, socket};

use crate::bed::word;

/// What one end tries with another.
#[derive(Clone, Debug)]
pub(crate) struct Probe {
    pub(crate) protocol: Protocol,
    pub(crate) from: IpAddr,
    pub(crate) to: SocketAddr,
}

/// The parent's side.
pub(crate) struct Agent {
    told: ChildStdin,
    says: std::io::Lines<BufReader<std::process::ChildStdout>>,
    child: Child,
}

impl Agent {
    pub(crate) fn new(mut child: Child) -> Self {
        let says = BufReader::new(child.stdout.take().expect("output")).lines();
        let mut agent = Self { told: child.stdin.take().expect("input"), says, child };
        assert_eq!(agent.next(), "ready");
        agent
    }

    fn next(&mut self) -> String {
        loop {
            let line = self.says.next().expect("an agent's answer").expect("text");
            if let Some((_, said)) = line.split_once("probe:") {
                return said.to_owned();
            }
        }
    }

    /// Carries all out at once; each answer is `ok` or what went wrong.
    pub(crate) fn ask(&mut self, probes: &[Probe], patience: Duration) -> Vec<String> {
        for (n, p) in probes.iter().enumerate() {
            let Probe { protocol, from, to } = p;
            writeln!(self.told, "{n} {} {protocol} {from} {to}", patience.as_millis()).expect("an agent that listens");
        }
        let mut answers = vec![String::new(); probes.len()];
        for _ in probes {
            let said = self.next();
            let (n, what) = said.split_once(' ').expect("number and answer");
            what.clone_into(&mut answers[n.parse::<usize>().expect("number")]);
        }
        answers
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The child's side: serves what `serves` lists (`tcp/80`, `sctp/3868`) at each of `addresses` that is here, and probes with ports and ids from
/// `first` on.
pub(crate) fn be(addresses: &[IpAddr], serves: &str, first: u16) -> Result<()> {
    NEXT.store(first, Ordering::Relaxed);
    for what in serves.split(',').filter(|what| *what != "-") {
        let (protocol, port) = what.split_once('/').expect("protocol/port");
        let port: u16 = port.parse().expect("port");
        match protocol {
            "tcp" => serve_tcp(TcpListener::bind(("::", port))?),
            "udp" => addresses.iter().filter_map(|a| UdpSocket::bind((*a, port)).ok()).for_each(serve_udp),
            "sctp" => {
                let at = |a: &IpAddr| {
                    let socket = raw(Protocol::Sctp, a.is_ipv6()).ok()?;
                    bind(&socket, &SocketAddr::new(*a, 0)).ok().map(|()| socket)
                };
                addresses.iter().filter_map(at).for_each(|socket| serve_sctp(socket, port));
            }
            _ => panic!("cannot serve {what}"),
        }
    }
    println!("probe:ready");
    for line in std::io::stdin().lines() {
        let line = line?;
        std::thread::spawn(move || {
            let words: Vec<&str> = line.split(' ').collect();
            let [n, patience, protocol, from, to] = words[..] else { panic!("cannot probe {line}") };
            let patience = Duration::from_millis(patience.parse().expect("milliseconds"));
            let (from, to) = (from.parse().expect("address"), to.parse().expect("address"));
            let result = match protocol.parse().expect("protocol") {
                Protocol::Tcp => tcp(from, to, patience),
                Protocol::Udp => udp(from, to, patience),
                Protocol::Icmp => request(from, to, patience),
                Protocol::Sctp => sctp(from, to, patience),
                Protocol::Other(_) => panic!("cannot probe {line}"),
            };
            println!("probe:{n} {}", result.map_or_else(|error| word(&error), |()| "ok".to_owned()));
        });
    }
    Ok(())
}

fn serve_tcp(listener: TcpListener) {
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut byte = [0];
                while stream.read_exact(&mut byte).and_then(|()| stream.write_all(&byte)).is_ok() {}
            });
        }
    });
}

fn serve_udp(socket: UdpSocket) {
    std::thread::spawn(move || {
        let mut buffer = [0; 64];
        loop {
            if let Ok((n, from)) = socket.recv_from(&mut buffer) {
                let _ = socket.send_to(&buffer[..n], from);
            }
        }
    });
}

/// Answers every INIT with an INIT ACK, as far as a conntrack needs it (RFC 9260).
fn serve_sctp(socket: UdpSocket, port: u16) {
    std::thread::spawn(move || {
        let mut buffer = [0; 256];
        while let Ok((n, from)) = socket.recv_from(&mut buffer) {
            let packet = without_ip(&buffer[..n], from.is_ipv6());
            if let Some((source, destination, tag)) = sctp_head(packet)
                && (destination, packet.get(12)) == (port, Some(&INIT))
            {
                let _ = socket.send_to(&sctp_packet(port, source, tag, INIT_ACK), SocketAddr::new(from.ip(), 0));
            }
        }
    });
}

fn tcp(from: IpAddr, to: SocketAddr, patience: Duration) -> Result<()> {
    let family = if to.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let fd = socket(family, SocketType::STREAM, None)?;
    bind(&fd, &SocketAddr::new(from, 0))?;
    set_socket_timeout(&fd, Timeout::Send, Some(patience))?;
    // a connect that is still under way at the socket's timeout says so
    connect(&fd, &to).map_err(|e| match Error::from(e) {
        e if e.raw_os_error() == Some(rustix::io::Errno::INPROGRESS.raw_os_error()) => ErrorKind::TimedOut.into(),
        e => e,
    })?;
    let mut stream = TcpStream::from(fd);
    stream.set_read_timeout(Some(patience))?;
    stream.write_all(b"x")?;
    stream.read_exact(&mut [0])
}

fn udp(from: IpAddr, to: SocketAddr, patience: Duration) -> Result<()> {
    // never a port of an earlier probe: its connection would live on, with its service
    let socket = UdpSocket::bind((from, unique()))?;
    socket.connect(to)?;
    socket.set_read_timeout(Some(patience))?;
    socket.send(b"x")?;
    socket.recv(&mut [0; 9]).map(drop)
}

/// A socket of a protocol without ports of the kernel's, used as if it were of UDP.
fn raw(protocol: Protocol, v6: bool) -> Result<UdpSocket> {
    let (family, protocol) = match (v6, protocol) {
        (false, Protocol::Icmp) => (AddressFamily::INET, ipproto::ICMP),
        (true, Protocol::Icmp) => (AddressFamily::INET6, ipproto::ICMPV6),
        (false, _) => (AddressFamily::INET, ipproto::SCTP),
        (true, _) => (AddressFamily::INET6, ipproto::SCTP),
    };
    let fd: OwnedFd = socket(family, SocketType::RAW, Some(protocol))?;
    Ok(fd.into())
}

/// Sends a packet and waits for one from there that `answers`.
fn exchange(
    protocol: Protocol,
    from: IpAddr,
    to: IpAddr,
    packet: &[u8],
    patience: Duration,
    answers: impl Fn(&[u8]) -> bool,
) -> Result<()> {
    let socket = raw(protocol, to.is_ipv6())?;
    bind(&socket, &SocketAddr::new(from, 0))?;
    socket.send_to(packet, SocketAddr::new(to, 0))?;
    let until = Instant::now() + patience;
    let mut buffer = [0; 256];
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        socket.set_read_timeout(Some(left))?;
        let (n, source) = socket.recv_from(&mut buffer)?;
        if source.ip() == to && answers(without_ip(&buffer[..n], to.is_ipv6())) {
            return Ok(());
        }
    }
}

/// The next number for an id or a port that the kernel does not choose.
static NEXT: AtomicU16 = AtomicU16::new(0);

/// A number that no probe of the bed had before.
fn unique() -> u16 {
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// An ICMP request of the type that stands in the port's place, a ping or a question for the time.
fn request(from: IpAddr, to: SocketAddr, patience: Duration) -> Result<()> {
    let request = u8::try_from(to.port()).expect("a type");
    let reply = if request == 8 { 0 } else { request + 1 };
    let [high, low] = unique().to_be_bytes();
    let mut packet = vec![request, 0, 0, 0, high, low, 0, 1];
    packet.resize(if request == 13 { 20 } else { 8 }, 0);
    // the kernel fills ICMPv6's checksum in
    let sum: u32 = packet.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
    packet[2..4].copy_from_slice(&sum.to_be_bytes());
    exchange(Protocol::Icmp, from, to.ip(), &packet, patience, |p| {
        p.first() == Some(&reply) && p.get(4..6) == Some(&[high, low])
    })
}

const INIT: u8 = 1;
const INIT_ACK: u8 = 2;

fn sctp(from: IpAddr, to: SocketAddr, patience: Duration) -> Result<()> {
    let own = unique();
    let packet = sctp_packet(own, to.port(), 0, INIT);
    exchange(Protocol::Sctp, from, to.ip(), &packet, patience, |p| {
        sctp_head(p).is_some_and(|(source, destination, _)| (source, destination) == (to.port(), own))
            && p.get(12) == Some(&INIT_ACK)
    })
}

/// Ports, and the tag that the sender wants to be answered with.
fn sctp_head(packet: &[u8]) -> Option<(u16, u16, u32)> {
    let port = |at: usize| packet.get(at..at + 2).and_then(|b| b.first_chunk().copied()).map(u16::from_be_bytes);
    Some((port(0)?, port(2)?, u32::from_be_bytes(*packet.get(16..)?.first_chunk()?)))
}

/// An INIT or INIT ACK: common header, and a chunk with a tag of its own, a window, two counts of streams and a sequence number.
fn sctp_packet(source: u16, destination: u16, tag: u32, chunk: u8) -> Vec<u8> {
    let mut packet = [source.to_be_bytes(), destination.to_be_bytes()].concat();
    packet.extend(tag.to_be_bytes());
    packet.extend([0; 4]);
    packet.extend([chunk, 0, 0, 20]);
    for word in [0x1234_5678_u32, 65_536, 0x0001_0001, 1] {
        packet.extend(word.to_be_bytes());
    }
    let sum = crc32c(&packet).to_le_bytes();
    packet[8..12].copy_from_slice(&sum);
    packet
}

/// CRC-32C, reflected (RFC 9260, appendix A).
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ if crc & 1 == 1 { 0x82f6_3b78 } else { 0 })
    })
}

/// Raw sockets of IPv4 give the IP header too.
fn without_ip(packet: &[u8], v6: bool) -> &[u8] {
    let header = if v6 { 0 } else { packet.first().map_or(0, |first| usize::from(first & 15) * 4) };
    packet.get(header..).unwrap_or_default()
}
