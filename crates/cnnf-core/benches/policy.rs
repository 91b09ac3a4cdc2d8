//! What judging, simulating and resolving cost, and how they grow. Prints tables and writes `target/bench/policy.json`, and pictures of how
//! they grow beside it.
//!
//! One thread. The world: services on hosts, five instances a host; rules of which half name one service at each end, and the others a
//! glob, a network or any; models that know twenty edges each.

#![allow(clippy::disallowed_methods)] // a bench has a clock and writes its result

#[path = "../../../integration/plot.rs"]
mod plot;
mod processor;

use std::fmt::Write as _;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use cnnf_core::directory::{Directory, Endpoint, Host, Instance};
use cnnf_core::failsafe::Failsafes;
use cnnf_core::flow::FlowStats;
use cnnf_core::id::{HostId, ServiceKey};
use cnnf_core::label::Labels;
use cnnf_core::model::{Model, Phase, Seen};
use cnnf_core::net::{AddrRange, Ports, Protocol};
use cnnf_core::policy::{
    Connection, Effect, End, Index, Mode, Party, PolicySet, Resolver, Rule, RuleId, ServicePattern, Vantage, evaluate,
    simulate,
};
use cnnf_core::time::Timestamp;
use cnnf_core::topology::{Edge, Peer};
use plot::{Bar, Line, Titles, chart};
use processor::on_the_processor;

const NOW: Timestamp = Timestamp(1_000_000_000);

/// Numbers that look random and are the same in every run (xorshift64*, Vigna 2016).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let high = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32;
        usize::try_from(high).unwrap_or(0) % limit
    }
}

fn key(n: usize) -> ServiceKey {
    ServiceKey::unit(&format!("service-{:02}-{n}", n % 100))
}

fn port(n: usize) -> u16 {
    u16::try_from(1_000 + n % 60_000).unwrap_or(1_000)
}

fn address(host: usize) -> IpAddr {
    Ipv4Addr::from(0x0a00_0001 + u32::try_from(host).unwrap_or(0)).into()
}

fn host_id(n: usize) -> HostId {
    HostId::new(format!("host-{n}"))
}

/// A service runs on every host whose number is the same modulo.
fn runs_on(service: usize, hosts: usize, services: usize, pick: usize) -> usize {
    let span = (services / 5).max(1);
    (service % span + span * pick) % hosts
}

fn directory(hosts: usize, services: usize) -> Directory {
    let span = (services / 5).max(1);
    let host = |n: usize| {
        let running = (0..5).map(|k| (n % span + k * span) % services);
        let instance = |service: usize| {
            let endpoint = Endpoint { protocol: Protocol::Tcp, address: None, port: port(service) };
            (key(service), Instance { endpoints: [endpoint].into(), live: true, ..Instance::default() })
        };
        let labels: Labels = format!("env={},site=s{}", ["prod", "test"][n % 2], n % 7).parse().unwrap_or_default();
        let host = Host {
            name: format!("host-{n}"),
            labels,
            addresses: [address(n)].into(),
            mode: Mode::Enforce,
            instances: running.map(instance).collect(),
        };
        (host_id(n), host)
    };
    (0..hosts).map(host).collect()
}

fn policy(rules: usize, services: usize, models: bool) -> PolicySet {
    let mut random = Numbers(7);
    let service = |n: usize| End::Service { pattern: ServicePattern::of(&key(n)), labels: Labels::default() };
    let rule = |n: usize| {
        let (a, b) = (random.below(services), random.below(services));
        let (source, destination) = match n % 8 {
            0..4 => (service(a), service(b)),
            4 => (End::Any, service(b)),
            5 => {
                let pattern = ServicePattern(format!("unit:service-{:02}-*", a % 100));
                (End::Service { pattern, labels: "env=prod".parse().unwrap_or_default() }, service(b))
            }
            6 => {
                let low = Ipv4Addr::from(0x0a00_0000 + (u32::try_from(a).unwrap_or(0) << 4));
                let high = Ipv4Addr::from(u32::from(low) + 15);
                let range = AddrRange::new(low.into(), high.into()).unwrap_or_else(|| AddrRange::single(low.into()));
                (End::Addresses(vec![range]), service(b))
            }
            _ => (service(a), End::Any),
        };
        Rule {
            // "any" as a server must leave most ports alone, or nothing would come to the rules after it
            ports: Ports::parse(&[format!("tcp/{}", port(b))]).unwrap_or_default(),
            owner: "bench".to_owned(),
            revision: 1,
            ..Rule::new(RuleId(n as u64 + 1), format!("rule {n}"), source, destination, Effect::ALL[random.below(3)])
        }
    };
    let rules = (0..rules).map(rule).collect();
    let mut policy = PolicySet { rules, ..PolicySet::default() };
    for n in (0..services).filter(|_| models) {
        let seen = Seen { first: NOW, last: NOW, connections: 9, ..Seen::default() };
        let edges = (0..20).map(|k| {
            let (other, own) = (Peer::Service(key((n + k * 7 + 1) % services)), Peer::Service(key(n)));
            let (client, server, at) =
                if k % 2 == 0 { (own, other, (n + k * 7 + 1) % services) } else { (other, own, n) };
            (Edge { client, server, protocol: Protocol::Tcp, port: port(at) }, seen)
        });
        policy.models.insert(key(n), Model { phase: Phase::Active, edges: edges.collect(), ..Model::new(NOW) });
    }
    policy
}

fn connections(many: usize, hosts: usize, services: usize) -> Vec<Connection> {
    let mut random = Numbers(3);
    // as in a controller, where one text of a name is shared
    let keys: Vec<ServiceKey> = (0..services).map(key).collect();
    let ids: Vec<HostId> = (0..hosts).map(host_id).collect();
    let mut party = |known: bool| {
        let service = random.below(services);
        let host = runs_on(service, hosts, services, random.below(hosts));
        let party = Party {
            host: known.then(|| ids[host].clone()),
            service: known.then(|| keys[service].clone()),
            address: address(host),
        };
        (party, service)
    };
    let connection = |_| {
        let (client, _) = party(true);
        let (server, service) = party(false);
        Connection { client, server, protocol: Protocol::Tcp, port: port(service) }
    };
    (0..many).map(connection).collect()
}

fn edges(many: usize, services: usize) -> Vec<(Edge, FlowStats)> {
    let mut random = Numbers(5);
    let stats = FlowStats { connections: 3, bytes: 0, first: NOW, last: NOW };
    let edge = |n: usize| {
        let server = random.below(services);
        let client = match n % 10 {
            0 => {
                let low = Ipv4Addr::from(0xcb00_7100 + u32::try_from(random.below(1 << 16)).unwrap_or(0) * 256);
                Peer::Address(AddrRange::single(low.into()))
            }
            _ => Peer::Service(key(random.below(services))),
        };
        (Edge { client, server: Peer::Service(key(server)), protocol: Protocol::Tcp, port: port(server) }, stats)
    };
    (0..many).map(edge).collect()
}

/// Time on a core: others may run on it too.
fn time<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = on_the_processor();
    let result = black_box(work());
    (result, on_the_processor().saturating_sub(start))
}

/// The median of five.
fn median<T>(mut work: impl FnMut() -> T) -> Duration {
    let mut times: Vec<Duration> = (0..5).map(|_| time(&mut work).1).collect();
    times.sort_unstable();
    times[2]
}

fn rate(many: usize, took: Duration) -> f64 {
    #[allow(clippy::cast_precision_loss)]
    let many = many as f64;
    many / took.as_secs_f64()
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut json = String::from("{\n");
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/bench");
    std::fs::create_dir_all(&folder)?;
    let only = |part: &str| {
        std::env::args().all(|argument| !argument.starts_with("--only") || argument == format!("--only-{part}"))
    };
    if only("judge") {
        let lines = judging(&mut json)?;
        let titles = Titles { chart: "Judging connections, one core", x: "rules", y: "connections a second" };
        let bar = Bar { name: "promised with 1,000 rules: 2,000,000 a second", y: 2e6, until: 1_000.0 };
        chart(&folder.join("judge.svg"), &titles, &lines, &[bar])?;
    }
    if only("simulate") {
        let lines = simulating(&mut json)?;
        let titles = Titles { chart: "Simulating a draft, 1,000 rules", x: "recorded edges", y: "ms" };
        let bar = Bar { name: "promised up to 1,000,000 edges: 2 s", y: 2_000.0, until: 1e6 };
        chart(&folder.join("simulate.svg"), &titles, &lines, &[bar])?;
    }
    if only("resolve") && std::env::args().all(|argument| argument != "--short") {
        let lines = resolving(&mut json)?;
        let titles = Titles { chart: "Resolving one host of 10,000, 2,000 services", x: "rules", y: "ms" };
        let bar = Bar { name: "promised up to 5,000 rules: 20 ms", y: 20.0, until: 5_000.0 };
        chart(&folder.join("resolve.svg"), &titles, &lines, &[bar])?;
    }
    writeln!(json, "  \"unit\": \"connections or edges a second, and milliseconds\"\n}}")?;
    std::fs::write(folder.join("policy.json"), json)?;
    Ok(())
}

fn judging(json: &mut String) -> Result<Vec<Line<'static>>, std::fmt::Error> {
    println!("judging: 2,000 hosts, 1,000 services with active models; connections a second, one core");
    println!("{:>9} {:>14} {:>14} {:>12}", "rules", "index", "plain loop", "built in ms");
    let directory = directory(2_000, 1_000);
    let all = connections(200_000, 2_000, 1_000);
    let (mut with_index, mut plainly) = (Vec::new(), Vec::new());
    for rules in [10, 100, 1_000, 10_000, 100_000] {
        let policy = policy(rules, 1_000, true);
        let (index, built) = time(|| Index::new(&policy, &directory));
        let run = || all.iter().filter(|c| index.evaluate(c, Vantage::Client, NOW).effect == Effect::Allow).count();
        let fast = rate(all.len(), median(run));
        let few = &all[..2_000.min(20_000_000 / rules / 10).max(20)];
        let (_, slow) = time(|| {
            let plain =
                |c: &&Connection| evaluate(&policy, &directory, c, Vantage::Client, NOW).effect == Effect::Allow;
            few.iter().filter(plain).count()
        });
        let (slow, built) = (rate(few.len(), slow), built.as_secs_f64() * 1e3);
        println!("{rules:>9} {fast:>14.0} {slow:>14.0} {built:>12.1}");
        with_index.push((rules as f64, fast));
        plainly.push((rules as f64, slow));
        writeln!(
            json,
            "  \"judge {rules} rules\": {{\"index\": {fast:.0}, \"plain\": {slow:.0}, \"build\": {built:.2}}},"
        )?;
    }
    Ok(vec![
        Line { name: "by the index", points: with_index, to: None },
        Line { name: "by the plain loop", points: plainly, to: None },
    ])
}

fn simulating(json: &mut String) -> Result<Vec<Line<'static>>, std::fmt::Error> {
    println!("\nsimulating: 1,000 rules against a draft with 10 more, 2,000 hosts, 1,000 services");
    println!("{:>9} {:>14} {:>12}", "edges", "edges/s", "ms");
    let directory = directory(2_000, 1_000);
    let old = policy(1_000, 1_000, true);
    let mut draft = old.clone();
    for (n, rule) in policy(10, 900, false).rules.iter().enumerate() {
        draft.rules.insert(n * 3, Rule { effect: Effect::Prevent, ..rule.clone() });
    }
    let failsafes = Failsafes::with_controller(7443);
    let mut points = Vec::new();
    for many in [10_000, 100_000, 1_000_000] {
        let seen = edges(many, 1_000);
        let seen = seen.iter().map(|(edge, stats)| (edge, stats));
        let (result, took) = time(|| simulate(&old, &draft, &directory, &failsafes, seen, NOW));
        assert!(result.edges == many as u64 && result.prevented.edges > 0, "the draft prevents something");
        let (per_second, ms) = (rate(many, took), took.as_secs_f64() * 1e3);
        println!("{many:>9} {per_second:>14.0} {ms:>12.1}");
        points.push((many as f64, ms));
        writeln!(json, "  \"simulate {many} edges\": {ms:.1},")?;
    }
    Ok(vec![Line { name: "all of them", points, to: None }])
}

fn resolving(json: &mut String) -> Result<Vec<Line<'static>>, std::fmt::Error> {
    println!("\nresolving one host");
    println!(
        "{:>9} {:>9} {:>9} {:>9} {:>12} {:>12} {:>12} {:>9} {:>9}",
        "hosts", "services", "rules", "models", "first, ms", "each, ms", "slowest, ms", "entries", "members"
    );
    let mut points = Vec::new();
    for (hosts, services, rules, models) in [
        (100, 100, 100, false),
        (1_000, 500, 1_000, false),
        (10_000, 2_000, 1_000, false),
        (10_000, 2_000, 2_500, false),
        (10_000, 2_000, 5_000, false),
        (10_000, 2_000, 10_000, false),
        (10_000, 2_000, 5_000, true),
    ] {
        let (directory, policy) = (directory(hosts, services), policy(rules, services, models));
        let (resolver, first) = time(|| {
            let resolver = Resolver::new(&policy, &directory);
            black_box(resolver.resolve(&host_id(16), NOW, 1));
            resolver
        });
        let mut host = 16;
        let mut times: Vec<Duration> = (0..21)
            .map(|_| {
                host += 1;
                time(|| resolver.resolve(&host_id(host), NOW, 1)).1
            })
            .collect();
        times.sort_unstable();
        let one = resolver.resolve(&host_id(17), NOW, 1);
        let (entries, members) =
            (one.egress.len() + one.ingress.len(), one.groups.values().map(|group| group.entries.len()).sum::<usize>());
        let millis = |took: Duration| took.as_secs_f64() * 1e3;
        let (first, ms, slowest) = (millis(first), millis(times[10]), millis(times[20]));
        println!(
            "{hosts:>9} {services:>9} {rules:>9} {models:>9} {first:>12.1} {ms:>12.2} {slowest:>12.2} {entries:>9} {members:>9}"
        );
        if hosts == 10_000 && !models {
            points.push((rules as f64, ms));
        }
        let with = if models { " with models" } else { "" };
        writeln!(json, "  \"resolve {hosts} hosts {services} services {rules} rules{with}\": {ms:.2},")?;
    }
    Ok(vec![Line { name: "each host after the first", points, to: None }])
}
