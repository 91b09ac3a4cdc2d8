//! What the defender costs its host: how soon after its start the table is in force, and what it takes of processor and memory
//! while known services make 1,000 connections a second, without and with many processes and sockets.
//!
//! Root: makes a network namespace and control groups of its own and removes them. Prints a table, says of each bar whether it holds,
//! and writes `target/bench/steady.json`. `conntrack -E` reads the same events beside the defender, if it is installed.

#[path = "../tests/bed/mod.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod bed;

use std::fs;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bed::controller::Controller;
use bed::{Bed, until_ready, with_bed};
use cnnf_core::net::Ports;
use cnnf_core::policy::{
    Effect, HostPolicy, HostRule, LocalMatch, Mode, OnFailure, PeerMatch, Reason, RuleId, ServicePattern,
};

/// Processes that hold sockets, and in how many services they are.
const CROWD: usize = 1000;
const CROWD_SERVICES: usize = 100;
/// Sockets that each of them holds: a listener, four connections with itself, three of UDP.
const SOCKETS_EACH: usize = 12;
/// New connections a second, and for how long.
const RATE: u32 = 1000;
const SECONDS: u32 = 20;
/// How often the defender is started for its time to be taken.
const STARTS: usize = 5;
/// Ticks of a processor's time in /proc: `USER_HZ`, see proc(5); 100 wherever Linux shows it.
const TICKS: f64 = 100.0;

fn main() {
    // This program is also the services.
    bed::be_probe(act);
    with_bed(measure);
}

fn act(_group: &str, words: &[&str]) -> Option<io::Result<String>> {
    Some(match words {
        ["hold"] => hold(),
        ["greet", port] => greet(port.parse().expect("port")),
        ["load", to] => load(to),
        _ => return None,
    })
}

/// Holds its sockets until it is killed.
fn hold() -> io::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut held = Vec::new();
    for _ in 0..4 {
        held.push((TcpStream::connect(listener.local_addr()?)?, listener.accept()?));
    }
    let datagrams: Vec<_> = (0..3).map(|_| UdpSocket::bind("127.0.0.1:0")).collect::<Result<_, _>>()?;
    assert_eq!(1 + 2 * held.len() + datagrams.len(), SOCKETS_EACH);
    println!("probe:ready");
    loop {
        std::thread::park();
    }
}

/// Takes each connection, says one byte and closes it.
fn greet(port: u16) -> io::Result<String> {
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    println!("probe:ready");
    for mut stream in listener.incoming().flatten() {
        let _ = stream.write_all(b"x");
    }
    Ok("ended".into())
}

/// Makes connections at a fixed rate; says how many and in how many seconds.
fn load(to: &str) -> io::Result<String> {
    let start = Instant::now();
    for n in 0..RATE * SECONDS {
        std::thread::sleep((start + Duration::from_secs(1) / RATE * n).saturating_duration_since(Instant::now()));
        let mut stream = TcpStream::connect(to)?;
        stream.read_to_end(&mut Vec::new())?;
    }
    Ok(format!("{} {}", RATE * SECONDS, start.elapsed().as_secs_f64()))
}

/// A process that ends with this value.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A figure, what it may be at most (nothing if it is only beside the others), and its unit.
struct Row {
    what: String,
    value: f64,
    bar: Option<f64>,
    unit: &'static str,
}

fn row(what: impl Into<String>, value: f64, bar: impl Into<Option<f64>>, unit: &'static str) -> Row {
    Row { what: what.into(), value, bar: bar.into(), unit }
}

fn measure(bed: &mut Bed) {
    let controller = Controller::start();
    let to = controller.address.to_string();
    let out = bed.defender(&["enroll", "--controller", &to, "--token", &controller.token]);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    bed.begin("server.service", "greet 8000");

    let (defender, _) = start(bed);
    enforce(&controller);
    let mut rows = steady(bed, &defender, "alone", 25.0);
    drop(defender);

    let crowd: Vec<Running> = (0..CROWD).map(|n| member(bed, n % CROWD_SERVICES)).collect();
    let mut starts: Vec<f64> = (1..STARTS).map(|_| start(bed).1).collect();
    let (defender, last) = start(bed);
    starts.push(last);
    starts.sort_by(f64::total_cmp);
    let crowded = format!("with {CROWD} processes, {} sockets", CROWD * SOCKETS_EACH);
    rows.push(row(format!("start to table in force, median, {crowded}"), starts[STARTS / 2], 400.0, "ms"));
    rows.push(row(format!("start to table in force, slowest of {STARTS}, {crowded}"), starts[STARTS - 1], None, "ms"));
    rows.extend(steady(bed, &defender, &crowded, 40.0));
    drop((defender, crowd));
    tell(&rows);
}

/// Has the defender keep a policy, so that each later start puts one in force.
fn enforce(controller: &Controller) {
    let rule = HostRule {
        reason: Reason::Rule { id: RuleId(1), name: "no mail from the client".into(), revision: 1 },
        local: LocalMatch::Service(ServicePattern("unit:client".into())),
        peer: PeerMatch::Any,
        ports: Ports::parse(&["tcp/25"]).expect("ports"),
        effect: Effect::Prevent,
        on_failure: OnFailure::Open,
    };
    controller.send(&HostPolicy { generation: 1, mode: Mode::Enforce, egress: vec![rule], ..HostPolicy::default() });
    controller.wait("the policy", |heard| heard.statuses.iter().find(|(_, s)| s.outcome == "applied").map(drop));
}

/// One of the crowd.
fn member(bed: &Bed, service: usize) -> Running {
    let mut child = bed.child(&format!("crowd{service}.service"), "hold").spawn().expect("a process");
    // Its output is closed here: a thousand open pipes are more than a shell allows.
    until_ready(&mut child.stdout.take().expect("output"));
    Running(child)
}

/// Starts the defender; milliseconds from before its exec until it said that it is ready, which is after the table is in force.
/// Nobody listens to what it says later: a queue that nobody reads would make it wait.
fn start(bed: &Bed) -> (Running, f64) {
    let path = bed.dir.path().join("notify");
    let _ = fs::remove_file(&path);
    let told = UnixDatagram::bind(&path).expect("a socket");
    told.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
    let log = fs::File::create(bed.dir.path().join("log")).expect("log");
    let before = Instant::now();
    let child = Command::new(env!("CARGO_BIN_EXE_cnnf-defender"))
        .arg("run")
        .env("CNNF_CONFIG", bed.dir.path().join("defender.toml"))
        .env("NOTIFY_SOCKET", &path)
        .stderr(log)
        .spawn()
        .expect("defender");
    let running = Running(child);
    let mut text = [0; 256];
    loop {
        let read = told.recv(&mut text).expect("the defender is ready within ten seconds");
        if text[..read].starts_with(b"READY=1") {
            let took = before.elapsed().as_secs_f64() * 1e3;
            // A defender without its table is ready as well.
            assert!(bed.log().contains("the table is in force"), "{}", bed.log());
            return (running, took);
        }
    }
}

/// What the defender takes while the load runs.
fn steady(bed: &Bed, defender: &Running, when: &str, memory: f64) -> Vec<Row> {
    let pid = defender.0.id();
    let peer =
        Command::new("conntrack").arg("-E").stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok().map(Running);
    // The start's work is not the steady state's.
    std::thread::sleep(Duration::from_secs(3));
    let (threads, peer_before) =
        (ticks_of_threads(pid), peer.as_ref().map(|p| ticks(&format!("/proc/{}/stat", p.0.id()))));
    let (before, begun) = (ticks(&format!("/proc/{pid}/stat")), Instant::now());
    let answer = bed.probe("client.service", "load 127.0.0.1:8000");
    let wall = begun.elapsed().as_secs_f64();
    let share = |ticks: f64| ticks / TICKS / wall * 100.0;
    let used = share(ticks(&format!("/proc/{pid}/stat")) - before);
    let (made, took) = answer.split_once(' ').unwrap_or_else(|| panic!("the load failed: {answer}"));
    let rate = made.parse::<f64>().expect("a number") / took.parse::<f64>().expect("seconds");
    assert!(rate >= f64::from(RATE) * 0.98, "only {rate:.0} connections a second were made: too busy a machine");
    let mut rows = vec![
        row(format!("processor, {when}"), used, 2.0, "%"),
        row(format!("most memory so far, {when}"), peak(pid), memory, "MB"),
    ];
    for (name, after) in ticks_of_threads(pid) {
        let before = threads.get(&name).copied().unwrap_or_default();
        if share(after - before) >= 0.1 {
            rows.push(row(format!("  of it the thread {name}"), share(after - before), None, "%"));
        }
    }
    if let (Some(peer), Some(before)) = (&peer, peer_before) {
        let used = share(ticks(&format!("/proc/{}/stat", peer.0.id())) - before);
        rows.push(row(format!("others: processor of conntrack -E, {when}"), used, None, "%"));
    }
    rows
}

/// Processor time in a `stat` of /proc, in ticks.
fn ticks(path: &str) -> f64 {
    let text = fs::read_to_string(path).expect("a running process");
    let fields: Vec<&str> = text.rsplit_once(')').expect("a name").1.split_whitespace().collect();
    // utime and stime are fields 14 and 15; the state, the first after the name, is 3.
    fields[11].parse::<f64>().expect("utime") + fields[12].parse::<f64>().expect("stime")
}

/// The same by the names of a process's threads.
fn ticks_of_threads(pid: u32) -> std::collections::BTreeMap<String, f64> {
    let mut all = std::collections::BTreeMap::new();
    for thread in fs::read_dir(format!("/proc/{pid}/task")).expect("a running process").flatten() {
        let name = fs::read_to_string(thread.path().join("comm")).expect("a name").trim().to_owned();
        *all.entry(name).or_default() += ticks(&thread.path().join("stat").display().to_string());
    }
    all
}

/// The most resident memory that a process had, in megabytes of 10^6 bytes.
fn peak(pid: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("a running process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("VmHWM");
    line.trim().trim_end_matches(" kB").parse::<f64>().expect("a number") * 1024.0 / 1e6
}

fn tell(rows: &[Row]) {
    println!("\n{RATE} connections a second for {SECONDS} s");
    for Row { what, value, bar, unit } in rows {
        let word = match bar {
            Some(bar) if value <= bar => format!("at most {bar} {unit}: holds"),
            Some(bar) => format!("at most {bar} {unit}: MISSED"),
            None => String::new(),
        };
        println!("{what:<76} {value:>8.2} {unit:<3} {word}");
    }
    let line = |Row { what, value, bar, unit }: &Row| serde_json::json!({ "what": what.trim(), "value": value, "unit": unit, "bar": bar, "holds": bar.map(|bar| *value <= bar) });
    let out = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/bench");
    fs::create_dir_all(&out).expect("target/bench");
    let text = serde_json::to_string_pretty(&rows.iter().map(line).collect::<Vec<_>>()).expect("json");
    fs::write(out.join("steady.json"), text + "\n").expect("target/bench/steady.json");
}
