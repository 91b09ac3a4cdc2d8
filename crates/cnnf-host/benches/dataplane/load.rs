//! The load: processes of their own that do little besides system calls, and their servers.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use rustix::thread::{CpuSet, sched_setaffinity};

use crate::Fallible;

/// Connections that a server holds before it lets the oldest go: by then its client has closed it.
const HELD: usize = 64;
/// Bytes of a datagram's contents that make an IPv4 packet of 64 bytes with their headers.
const PAYLOAD: usize = 64 - 28;
const BACKLOG: i32 = 4096;
/// Datagrams between two looks at the clock.
const AT_ONCE: u64 = 256;
const CHUNK: usize = 128 << 10;

/// Does what the arguments say: a control group to join first (`-` for none), and what.
pub(crate) fn run(arguments: &[String]) -> Fallible<()> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let [group, words @ ..] = &words[..] else { return Err("what load?".into()) };
    if *group != "-" {
        std::fs::write(format!("{group}/cgroup.procs"), "0")?;
    }
    match words {
        ["serve", "tcp", at] => serve_tcp(at.parse()?),
        ["serve", "udp", at] => serve_udp(at.parse()?),
        ["serve", "bulk", at] => serve_bulk(at.parse()?),
        ["connect", to, number] => connect(to.parse()?, number.parse()?),
        ["udp", to, milliseconds] => udp(to.parse()?, Duration::from_millis(milliseconds.parse()?), true),
        ["shout", to, milliseconds] => udp(to.parse()?, Duration::from_millis(milliseconds.parse()?), false),
        ["bulk", to, milliseconds] => bulk(to.parse()?, Duration::from_millis(milliseconds.parse()?)),
        _ => Err(format!("unknown load {words:?}").into()),
    }
}

fn ready() {
    println!("ready");
}

fn serve_tcp(at: SocketAddr) -> Fallible<()> {
    let listener = TcpListener::bind(at)?;
    // the default is short: a server that is not scheduled for a moment would refuse, and its clients wait for a second
    rustix::net::listen(&listener, BACKLOG)?;
    ready();
    let mut held = VecDeque::with_capacity(HELD + 1);
    for stream in listener.incoming() {
        held.push_back(stream?);
        if held.len() > HELD {
            held.pop_front();
        }
    }
    Ok(())
}

/// Answers a datagram of one byte; reads nothing else, so that the packets end in a full buffer.
fn serve_udp(at: SocketAddr) -> Fallible<()> {
    let socket = UdpSocket::bind(at)?;
    ready();
    let mut buffer = [0; 2];
    loop {
        let (length, from) = socket.recv_from(&mut buffer)?;
        if length == 1 {
            socket.send_to(b"x", from)?;
            std::thread::sleep(Duration::from_secs(3600));
        }
    }
}

/// On the last processor, and its client on the first: which of them shares its caches with whom would differ from run to run.
fn serve_bulk(at: SocketAddr) -> Fallible<()> {
    stay_on(std::thread::available_parallelism()?.get() - 1)?;
    let listener = TcpListener::bind(at)?;
    ready();
    let mut buffer = vec![0; CHUNK];
    for stream in listener.incoming() {
        let mut stream = stream?;
        while stream.read(&mut buffer)? > 0 {}
    }
    Ok(())
}

/// Opens and closes connections one after the other: prints p50 and p99 of both together in µs, how many a second, and
/// this process's own time in the kernel for one in µs, which is hardly touched by what else the machine does.
fn connect(to: SocketAddr, number: usize) -> Fallible<()> {
    let mut times = Vec::with_capacity(number);
    let (begin, before) = (Instant::now(), own_time());
    for _ in 0..number {
        let start = Instant::now();
        drop(TcpStream::connect(to)?);
        times.push(start.elapsed());
    }
    let (took, own) = (begin.elapsed().as_secs_f64(), own_time() - before);
    times.sort();
    let at = |share: usize| times[number * share / 100].as_secs_f64() * 1e6;
    println!("{:.2} {:.2} {:.0} {:.2}", at(50), at(99), number as f64 / took, own * 1e6 / number as f64);
    Ok(())
}

/// Seconds of processor time.
fn own_time() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

/// Sends datagrams from one socket, after one that was answered if that is waited for: prints how many a second.
fn udp(to: SocketAddr, time: Duration, answered: bool) -> Fallible<()> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.connect(to)?;
    socket.set_read_timeout(Some(Duration::from_secs(2)))?;
    if answered {
        socket.send(b"x")?;
        socket.recv(&mut [0])?;
    }
    let (begin, mut sent) = (Instant::now(), 0);
    while begin.elapsed() < time {
        for _ in 0..AT_ONCE {
            socket.send(&[0; PAYLOAD])?;
        }
        sent += AT_ONCE;
    }
    println!("{:.0}", sent as f64 / begin.elapsed().as_secs_f64());
    Ok(())
}

/// Keeps this process on one processor.
fn stay_on(processor: usize) -> Fallible<()> {
    let mut only = CpuSet::new();
    only.set(processor);
    Ok(sched_setaffinity(None, &only)?)
}

/// Writes into one connection: prints Gbit a second, and this process's own time for one in µs, with most of what its packets and their answers cost.
fn bulk(to: SocketAddr, time: Duration) -> Fallible<()> {
    stay_on(0)?;
    let mut stream = TcpStream::connect(to)?;
    // the usual one, which sends as fast as it can: BBR, which some machines have instead, finds a pace of its own, another in each run
    rustix::net::sockopt::set_tcp_congestion(&stream, "cubic")?;
    let chunk = vec![0; CHUNK];
    let (begin, before, mut sent) = (Instant::now(), own_time(), 0);
    while begin.elapsed() < time {
        stream.write_all(&chunk)?;
        sent += chunk.len();
    }
    let (took, own, gbit) = (begin.elapsed().as_secs_f64(), own_time() - before, sent as f64 * 8e-9);
    println!("{:.3} {:.1}", gbit / took, own * 1e6 / gbit);
    Ok(())
}
