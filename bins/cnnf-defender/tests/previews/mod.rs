//! How many live connections a policy will cut is said beforehand, and exactly so many are cut then.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpStream, UdpSocket};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use cnnf_core::policy::{Effect, HostPolicy, Mode};
use cnnf_rpc::v1;

use crate::bed::controller::Controller;
use crate::bed::with_bed;
use crate::{apply, enroll, policy};

/// Connections to each port that are held.
const TCP: usize = 23;
const UDP: usize = 9;
/// How long an answer may take on a loaded machine.
const ANSWER: Duration = Duration::from_secs(3);

/// The child's side.
pub(crate) fn act(words: &[&str]) -> Option<std::io::Result<String>> {
    match words {
        ["hold", tcp, udp] => Some(hold(tcp, udp)),
        ["answer", port] => Some(answer(port.parse().expect("port"))),
        _ => None,
    }
}

/// Echoes datagrams.
fn answer(port: u16) -> std::io::Result<String> {
    let socket = UdpSocket::bind(("127.0.0.1", port))?;
    println!("probe:ready");
    let mut byte = [0];
    loop {
        let (_, from) = socket.recv_from(&mut byte)?;
        socket.send_to(&byte, from)?;
    }
}

/// Opens connections and keeps them; for each line that comes it asks over every one and says on how many an answer came.
fn hold(tcp: &str, udp: &str) -> std::io::Result<String> {
    let mut streams = Vec::new();
    let mut sockets = Vec::new();
    for _ in 0..TCP {
        let stream = TcpStream::connect(tcp)?;
        stream.set_read_timeout(Some(ANSWER))?;
        streams.push(stream);
    }
    for _ in 0..UDP {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.connect(udp)?;
        socket.set_read_timeout(Some(ANSWER))?;
        sockets.push(socket);
    }
    println!("probe:ready");
    for line in std::io::stdin().lock().lines() {
        line?;
        let over_tcp = |mut stream: &TcpStream| {
            // one that is refused is reset, or a datagram gets EPERM
            stream.write_all(b"x").is_ok() && std::io::Read::read_exact(&mut stream, &mut [0]).is_ok()
        };
        let over_udp = |socket: &UdpSocket| socket.send(b"x").is_ok() && socket.recv(&mut [0]).is_ok();
        let tcp = streams.iter().filter(|stream| over_tcp(stream)).count();
        let udp = sockets.iter().filter(|socket| over_udp(socket)).count();
        println!("alive {tcp} {udp}");
    }
    Ok("ok".into())
}

/// A process that holds connections.
struct Holder {
    child: Child,
    out: BufReader<ChildStdout>,
}

impl Holder {
    fn start(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).spawn().expect("a holder");
        let out = BufReader::new(child.stdout.take().expect("output"));
        let mut holder = Self { child, out };
        holder.line_with("probe:ready");
        holder
    }

    fn line_with(&mut self, what: &str) -> String {
        loop {
            let mut line = String::new();
            assert!(self.out.read_line(&mut line).expect("read") > 0, "the holder has ended");
            if line.contains(what) {
                return line;
            }
        }
    }

    /// How many connections over TCP and how many over UDP are alive.
    fn alive(&mut self) -> (usize, usize) {
        writeln!(self.child.stdin.as_mut().expect("input")).expect("asked");
        let line = self.line_with("alive ");
        let mut numbers = line.split_whitespace().skip(1).map(|number| number.parse().expect("a number"));
        (numbers.next().expect("tcp"), numbers.next().expect("udp"))
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the defender says `policy` would cut, over TCP, over UDP and in all.
fn asked(controller: &Controller, number: u64, policy: &HostPolicy) -> (u64, u64, u64) {
    controller.ask(number, policy);
    let answer =
        controller.wait("an answer", |heard| heard.previews.iter().find(|answer| answer.number == number).cloned());
    assert_eq!(answer.error, "");
    let of = |protocol: &str| -> u64 {
        let cut = answer.cut.iter().filter(|record: &&v1::FlowRecord| record.protocol == protocol);
        cut.inspect(|record| assert_eq!(record.client_service, "unit:holder", "{answer:?}"))
            .map(|r| r.connections)
            .sum()
    };
    (of("tcp"), of("udp"), answer.connections)
}

#[test]
fn root_as_many_live_connections_are_cut_as_were_said_beforehand() {
    with_bed(|bed| {
        let controller = Controller::start();
        enroll(bed, &controller);
        bed.start();
        for port in [8000, 8002] {
            bed.serve("server.service", port);
            bed.begin("server.service", &format!("answer {}", port + 1));
        }
        apply(&controller, &policy(2, Mode::Enforce, &[]));
        let holder = |tcp: u16| {
            let what = format!("hold 127.0.0.1:{tcp} 127.0.0.1:{}", tcp + 1);
            Holder::start(bed.child("holder.service", &what))
        };
        let (mut cut, mut spared) = (holder(8000), holder(8002));
        assert_eq!((cut.alive(), spared.alive()), ((TCP, UDP), (TCP, UDP)));
        // connections that have ended stay in conntrack's table for a while, and are none that could be cut
        assert_eq!(bed.probe("holder.service", "tcp 127.0.0.1:8000"), "ok");

        let rules = |effect| [(1, "unit:holder", "tcp/8000", effect), (2, "unit:holder", "udp/8001", effect)];
        let tightened = policy(3, Mode::Enforce, &rules(Effect::Prevent));
        assert_eq!(asked(&controller, 1, &policy(9, Mode::Enforce, &rules(Effect::Alert))), (0, 0, 0));
        assert_eq!(asked(&controller, 2, &policy(9, Mode::Observe, &rules(Effect::Prevent))), (0, 0, 0));
        let said = asked(&controller, 3, &tightened);
        assert_eq!((cut.alive(), spared.alive()), ((TCP, UDP), (TCP, UDP)), "a question changes nothing");

        apply(&controller, &tightened);
        let (tcp, udp) = cut.alive();
        let were_cut = ((TCP - tcp) as u64, (UDP - udp) as u64, (TCP + UDP - tcp - udp) as u64);
        println!("said {said:?}, cut {were_cut:?}");
        assert_eq!(said, were_cut);
        assert_eq!(spared.alive(), (TCP, UDP));
        assert_eq!(said, (TCP as u64, UDP as u64, (TCP + UDP) as u64));
        assert_eq!(asked(&controller, 4, &tightened), (0, 0, 0), "what is in force cuts nothing");
    });
}
