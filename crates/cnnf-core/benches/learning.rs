//! What learning costs: ten million connections into the topology and the models, and the picture of a large network.
//!
//! Prints a table and writes `target/bench/learning.json`. Memory is the process's peak of resident pages (`VmHWM`, proc(5)).

#![allow(clippy::disallowed_methods)] // a benchmark reads the clock, its memory and writes a file

#[path = "../../../integration/plot.rs"]
mod plot;
mod processor;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::time::{Duration, Instant};

use cnnf_core::directory::{Directory, Endpoint, Host, Instance};
use cnnf_core::flow::{FlowKey, FlowRecord, FlowStats};
use cnnf_core::id::{HostId, ServiceKey};
use cnnf_core::label::Labels;
use cnnf_core::model::{self, Model};
use cnnf_core::net::Protocol;
use cnnf_core::policy::{Effect, End, Mode, PolicySet, Rule, RuleId, ServicePattern};
use cnnf_core::time::Timestamp;
use cnnf_core::topology::{Edge, Grouping, Peer, Topology, View, view};
use plot::{Bar, Line, Titles, chart};
use processor::on_the_processor;

const CONNECTIONS: u64 = 10_000_000;
const HOSTS: usize = 100;
const SERVICES_EACH: usize = 5;

/// The bar for the picture.
const PICTURE: Duration = Duration::from_millis(50);
/// How often it is drawn; the median counts.
const ROUNDS: usize = 21;

fn main() {
    let mut rows = Vec::new();
    if !std::env::args().any(|argument| argument == "--picture") {
        learn(&mut rows);
    }
    let sizes = [(500, 5_000), (1_000, 10_000), (5_000, 50_000), (10_000, 100_000)];
    let points = sizes.map(|(services, edges)| (float(edges), picture(services, edges, &mut rows)));
    let mut json = String::from("[\n");
    for (n, (name, value, unit)) in rows.iter().enumerate() {
        println!("{name:<64} {value:>14.1} {unit}");
        let comma = if n + 1 == rows.len() { "" } else { "," };
        let _ = writeln!(json, "  {{\"name\": \"{name}\", \"value\": {value:.3}, \"unit\": \"{unit}\"}}{comma}");
    }
    json.push_str("]\n");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/bench");
    let written = std::fs::create_dir_all(&folder).and_then(|()| std::fs::write(folder.join("learning.json"), json));
    written.expect("target/bench can be written");
    let titles = Titles { chart: "Radar's view of all services", x: "edges", y: "ms" };
    let bar = Bar { name: "promised up to 50,000 edges: 50 ms", y: 50.0, until: 50_000.0 };
    let line = Line { name: "ten edges a service, 50 rules", points: points.to_vec(), to: None };
    chart(&folder.join("view.svg"), &titles, &[line], &[bar]).expect("a picture");
}

type Rows = Vec<(String, f64, &'static str)>;

/// Numbers without a pattern that repeat from run to run (xorshift64*).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16) % n
    }
}

fn address(host: usize) -> IpAddr {
    Ipv4Addr::from(0x0a00_0001 + u32::try_from(host).expect("few")).into()
}

fn service(host: usize, n: usize) -> ServiceKey {
    ServiceKey::unit(&format!("s{n}@{host}"))
}

fn port(n: usize) -> u16 {
    8000 + u16::try_from(n).expect("few")
}

fn network(hosts: usize, services_each: usize) -> Directory {
    let host = |n: usize| {
        let instance = |s: usize| {
            let endpoint = Endpoint { protocol: Protocol::Tcp, address: None, port: port(s) };
            (service(n, s), Instance { endpoints: [endpoint].into(), live: true, ..Instance::default() })
        };
        let host = Host {
            name: format!("h{n}"),
            labels: Labels([("rack".to_owned(), format!("{}", n % 20))].into()),
            addresses: [address(n)].into(),
            mode: Mode::Observe,
            instances: (0..services_each).map(instance).collect(),
        };
        (HostId::new(format!("h{n}")), host)
    };
    (0..hosts).map(host).collect()
}

/// Seven in ten between services, two from the whole internet to public ones, one to a new address on a new port; and a scanner that
/// tries every port of every neighbour.
fn connection(dice: &mut Dice, n: u64) -> (usize, FlowRecord) {
    let any = |dice: &mut Dice| usize::try_from(dice.roll(HOSTS as u64)).expect("few");
    let (a, b) = (any(dice), any(dice));
    let s = usize::try_from(dice.roll(SERVICES_EACH as u64)).expect("few");
    let internet = |dice: &mut Dice| {
        IpAddr::from(Ipv4Addr::from(0x0b00_0000 + u32::try_from(dice.roll(0x5f00_0000)).expect("32 bits")))
    };
    let (reporter, client, server, port) = match dice.roll(20) {
        0..=12 => (a, (Some(service(a, s)), address(a)), (None, address(b)), port(s)),
        13..=16 => (b, (None, internet(dice)), (Some(service(b, s)), address(b)), port(s)),
        17..=18 => {
            let port = u16::try_from(1024 + dice.roll(64_000)).expect("a port");
            (a, (Some(service(a, 0)), address(a)), (None, internet(dice)), port)
        }
        _ => {
            let port = u16::try_from(1 + n % 65_535).expect("a port");
            (0, (Some(service(0, 1)), address(0)), (None, address(b)), port)
        }
    };
    let key = FlowKey {
        client_service: client.0,
        client: client.1,
        server_service: server.0,
        server: server.1,
        protocol: Protocol::Tcp,
        port,
    };
    let at = Timestamp(1_700_000_000_000 + n);
    (reporter, FlowRecord { key, stats: FlowStats { connections: 1, bytes: 1000, first: at, last: at } })
}

fn learn(rows: &mut Rows) {
    let (directory, objects) = (network(HOSTS, SERVICES_EACH), BTreeMap::new());
    let ids: Vec<HostId> = (0..HOSTS).map(|n| HostId::new(format!("h{n}"))).collect();
    let mut topology = Topology::default();
    let mut models: BTreeMap<ServiceKey, Model> = BTreeMap::new();
    let mut dice = Dice(1);
    let mut spent = Duration::ZERO;
    for n in 0..CONNECTIONS {
        let (reporter, record) = connection(&mut dice, n);
        let start = Instant::now();
        if let Some(absorbed) = topology.absorb(&ids[reporter], &record, &directory, &objects) {
            model::absorb(&mut models, &absorbed.edge, &absorbed.stats, record.stats.last);
        }
        spent += start.elapsed();
        if n + 1 == CONNECTIONS / 10 || n + 1 == CONNECTIONS {
            let known: usize = models.values().map(|model| model.edges.len()).sum();
            let after = format!("after {} million connections", (n + 1) / 1_000_000);
            rows.push((format!("edges {after}"), float(topology.edges().len()), "edges"));
            rows.push((format!("edges that {} models know {after}", models.len()), float(known), "edges"));
            rows.push((format!("peak memory {after}"), peak_memory(), "MiB"));
        }
    }
    #[allow(clippy::cast_precision_loss)] // ten million
    let rate = CONNECTIONS as f64 / spent.as_secs_f64();
    rows.push((format!("connections learned, {HOSTS} hosts"), rate, "/s"));
}

/// Measures the view of so many edges; gives the median in milliseconds.
fn picture(services: usize, wanted: usize, rows: &mut Rows) -> f64 {
    const EACH: usize = 10;
    let hosts = services / EACH;
    let directory = network(hosts, EACH);
    let mut dice = Dice(7);
    let mut topology = BTreeMap::new();
    let mut policy = PolicySet::default();
    let pick = |dice: &mut Dice| {
        let n = usize::try_from(dice.roll(services as u64)).expect("few");
        (n / EACH, n % EACH)
    };
    let stats = FlowStats { connections: 9, bytes: 9000, first: Timestamp(1), last: Timestamp(2) };
    while topology.len() < wanted {
        let (a, s) = pick(&mut dice);
        // Every fifth edge is to one service that all use, every tenth from the internet.
        let (b, t) = if dice.roll(5) == 0 { (0, 0) } else { pick(&mut dice) };
        let client = if dice.roll(10) == 0 {
            let net = Ipv4Addr::from(0x0b00_0000 + (u32::try_from(dice.roll(20_000)).expect("few") << 8));
            Peer::Address(format!("{net}/24").parse().expect("a network"))
        } else {
            Peer::Service(service(a, s))
        };
        let server = Peer::Service(service(b, t));
        topology.insert(Edge { client, server, protocol: Protocol::Tcp, port: port(t) }, stats);
    }
    for (n, edge) in topology.keys().enumerate() {
        // One in a hundred is unknown to the models.
        if n % 100 != 0 {
            model::absorb(&mut policy.models, edge, &stats, Timestamp(2));
        }
    }
    policy.models.values_mut().for_each(|model| model.activate(Timestamp(3)));
    let rule = |n: usize| Rule {
        revision: 1,
        ..Rule::new(
            RuleId(n as u64 + 1),
            format!("rule {n}"),
            End::Any,
            End::Service { pattern: ServicePattern::of(&service(n, 1)), labels: Labels::default() },
            Effect::Allow,
        )
    };
    policy.rules = (0..50).map(rule).collect();
    let view_of = View { grouping: Grouping::Label("rack".into()), ..View::default() };
    let used = on_the_processor();
    let mut times: Vec<Duration> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            let radar = view(&topology, &directory, &policy, &BTreeMap::new(), &view_of, Timestamp(10));
            let spent = start.elapsed();
            assert_eq!((radar.edges.len(), radar.nodes.len() >= services), (wanted, true));
            spent
        })
        .collect();
    let used = (on_the_processor() - used) / u32::try_from(ROUNDS).expect("few");
    times.sort();
    let median = times[ROUNDS / 2];
    let name = format!("picture of {services} services and {wanted} edges, 50 rules");
    rows.push((name.clone(), median.as_secs_f64() * 1000.0, "ms"));
    rows.push((format!("{name}, on the processor"), used.as_secs_f64() * 1000.0, "ms"));
    if wanted == 50_000 && median.min(used) > PICTURE {
        println!("OVER THE BAR: the picture takes {median:?}, {used:?} on the processor, more than {PICTURE:?}");
    }
    median.as_secs_f64() * 1000.0
}

#[allow(clippy::cast_precision_loss)] // small counts
fn float(n: usize) -> f64 {
    n as f64
}

/// MiB; 0 where the kernel does not say.
fn peak_memory() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    peak.and_then(|text| text.trim().trim_end_matches(" kB").trim().parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
}
