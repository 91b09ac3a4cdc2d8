//! The probe matrix: services, protocols, address families and both directions under many policies. What `evaluate` means is held against
//! what processes can do, in every cell.

pub(crate) mod agent;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use agent::{Agent, Probe};
use cnnf_core::directory::{Directory, Endpoint, Host, Instance};
use cnnf_core::failsafe::Failsafes;
use cnnf_core::id::{HostId, ServiceKey};
use cnnf_core::label::Labels;
use cnnf_core::model::{Model, Origin, Phase, Seen};
use cnnf_core::net::{Ports, Protocol};
use cnnf_core::policy::{
    AddressObject, Connection, Effect, End, Mode, OnFailure, Party, PolicySet, Rule, RuleId, ServicePattern, Vantage,
    evaluate, resolve,
};
use cnnf_core::ruleset::{HostFacts, LocalService, QueueBackend, Slot, compile};
use cnnf_core::time::Timestamp;
use cnnf_core::topology::{Edge, Peer};
use cnnf_host::dataplane::{Found, Reconciler};
use cnnf_host::kernel::LabelPlace;

use crate::bed::{Bed, run, with_bed};

pub(crate) const NOW: Timestamp = Timestamp(1_000);
/// Services of this host; `nobody` runs in a control group that is no service's.
const SERVICES: [&str; 3] = ["client", "server", "other"];
/// What a probe waits for. What does not come although it should is tried again with more patience.
pub(crate) const PATIENCE: Duration = Duration::from_millis(250);
pub(crate) const MORE: Duration = Duration::from_secs(2);

/// What is served on this host, by whom.
const HERE: [(&str, &str); 2] =
    [("server", "tcp/22,tcp/82,tcp/83,udp/55,udp/56,sctp/3868"), ("other", "tcp/85,udp/57")];
/// What the far host serves at both of its addresses of a family. One belongs to a defended host with the service `db`, one to nobody.
const THERE: &str = "tcp/80,tcp/8080,udp/53,udp/54,udp/5353,sctp/3868";
const ADDRESSES: [&str; 8] =
    ["10.98.0.1", "fd98::1", "127.0.0.1", "::1", "10.98.0.2", "fd98::2", "10.98.0.3", "fd98::3"];

/// The body of an agent's process.
pub(crate) fn be_agent(serves: &str, first: &str) -> std::io::Result<()> {
    agent::be(&ADDRESSES.map(|a| a.parse().expect("address")), serves, first.parse().expect("port"))
}

/// One thing that is tried, by a service here or from the far host.
#[derive(Clone)]
pub(crate) struct Cell {
    /// Who opens the connection, if it is somebody here.
    pub(crate) client: Option<&'static str>,
    /// Who answers, if it is somebody here.
    pub(crate) server: Option<&'static str>,
    pub(crate) probe: Probe,
}

impl Cell {
    /// The column that it is in.
    fn column(&self) -> String {
        let way = match (self.client, self.server) {
            (Some(_), None) => "out",
            (Some(_), Some(_)) => "lo",
            _ => "in",
        };
        format!("{way} {}{}", self.probe.protocol, if self.probe.to.is_ipv4() { "" } else { "6" })
    }
}

fn key(service: &str) -> ServiceKey {
    match service {
        "nobody" => ServiceKey::unknown(),
        "kernel" => ServiceKey::kernel(),
        name => ServiceKey::unit(name),
    }
}

fn ports(list: &str) -> impl Iterator<Item = (Protocol, u16)> {
    list.split(',').map(|text| {
        let (protocol, port) = text.split_once('/').expect("protocol/port");
        (protocol.parse().expect("protocol"), port.parse().expect("port"))
    })
}

/// A ping, and in IPv4 a question for the time.
fn requests(own: &str) -> impl Iterator<Item = (Protocol, u16)> {
    let v6 = own.contains(':');
    let kinds: &[u16] = if v6 { &[128] } else { &[8, 13] };
    kinds.iter().map(|kind| (Protocol::Icmp, *kind))
}

/// Everything that is tried; SCTP where the kernel tracks it.
pub(crate) fn cells() -> Vec<Cell> {
    let mut cells = Vec::new();
    let mut add = |client, server, protocol, from: &str, to: &str, port| {
        let from: IpAddr = from.parse().expect("address");
        let to = SocketAddr::new(to.parse().expect("address"), port);
        cells.push(Cell { client, server, probe: Probe { protocol, from, to } });
    };
    for (own, [loopback, far, stranger]) in
        [("10.98.0.1", ["127.0.0.1", "10.98.0.2", "10.98.0.3"]), ("fd98::1", ["::1", "fd98::2", "fd98::3"])]
    {
        for client in ["client", "other", "nobody"] {
            for to in [far, stranger] {
                for (protocol, port) in ports(THERE).chain(requests(own)) {
                    add(Some(client), None, protocol, own, to, port);
                }
            }
            for (server, serves) in HERE {
                // what no local socket takes, such as SCTP made by hand, belongs to the kernel
                for (protocol, port) in ports(serves) {
                    let server = if protocol == Protocol::Sctp { "kernel" } else { server };
                    add(Some(client), Some(server), protocol, loopback, loopback, port);
                }
            }
            for (protocol, kind) in requests(own) {
                add(Some(client), Some("kernel"), protocol, own, own, kind);
            }
        }
        for from in [far, stranger] {
            for (server, serves) in HERE {
                for (protocol, port) in ports(serves) {
                    let server = if protocol == Protocol::Sctp { "kernel" } else { server };
                    add(None, Some(server), protocol, from, own, port);
                }
            }
            for (protocol, kind) in requests(own) {
                add(None, Some("kernel"), protocol, from, own, kind);
            }
        }
    }
    let has_sctp = std::fs::exists("/proc/sys/net/netfilter/nf_conntrack_sctp_timeout_established").expect("proc");
    cells.retain(|cell| has_sctp || cell.probe.protocol != Protocol::Sctp);
    cells
}

fn host(name: &str, own: [&str; 2], mode: Mode, services: &[(&str, &str)]) -> (HostId, Host) {
    let instance = |serves: &str| {
        let serves = if serves.is_empty() { BTreeSet::new() } else { ports(serves).collect() };
        let endpoints = serves.into_iter().map(|(protocol, port)| Endpoint { protocol, address: None, port }).collect();
        Instance { endpoints, live: true, ..Instance::default() }
    };
    let host = Host {
        name: name.into(),
        labels: "env=prod".parse::<Labels>().expect("labels"),
        addresses: own.map(|a| a.parse().expect("address")).into(),
        mode,
        instances: services.iter().map(|(name, serves)| (ServiceKey::unit(name), instance(serves))).collect(),
    };
    (HostId::new(name), host)
}

/// A policy and the mode of this host.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    rules: Vec<Rule>,
    models: Vec<(ServiceKey, Model)>,
    service_modes: BTreeMap<ServiceKey, Mode>,
    mode: Mode,
}

fn end(text: &str) -> End {
    let service = |text: &str, labels: &str| End::Service {
        pattern: ServicePattern(text.into()),
        labels: labels.parse().expect("labels"),
    };
    match text {
        "any" => End::Any,
        "far" => End::Object("far".into()),
        _ if text.starts_with(|c: char| c.is_ascii_digit()) || text.starts_with("fd") => {
            End::Addresses(text.split('+').map(|range| range.parse().expect("range")).collect())
        }
        _ => text.split_once('@').map_or_else(|| service(text, ""), |(text, labels)| service(text, labels)),
    }
}

/// `from -> to ports effect`, one a line; a line `model KEY` gives an active model without a single edge but to `db`'s tcp/80.
pub(crate) fn case(name: &'static str, lines: &[&str]) -> Case {
    let mut case =
        Case { name, rules: Vec::new(), models: Vec::new(), service_modes: BTreeMap::new(), mode: Mode::Enforce };
    for line in lines {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["model", of] => {
                let key: ServiceKey = of.parse().expect("key");
                let seen = Seen { first: NOW, last: NOW, connections: 1, origin: Origin::default() };
                let edge = Edge {
                    client: Peer::Service(key.clone()),
                    server: Peer::Service(ServiceKey::unit("db")),
                    protocol: Protocol::Tcp,
                    port: 80,
                };
                let model = Model {
                    phase: Phase::Active,
                    edges: [(edge, seen)].into(),
                    anomaly_effect: Some(Effect::Prevent),
                    ..Model::new(NOW)
                };
                case.models.push((key, model));
            }
            ["observe"] => case.mode = Mode::Observe,
            ["observe", of] => {
                case.service_modes.insert(of.parse().expect("key"), Mode::Observe);
            }
            [from, "->", to, ref rest @ ..] => {
                let (effect, list) = rest.split_last().expect("an effect");
                let id = case.rules.len() as u64 + 1;
                case.rules.push(Rule {
                    id: RuleId(id),
                    name: format!("rule {id}"),
                    enabled: true,
                    source: end(from),
                    destination: end(to),
                    ports: Ports::parse(list).expect("ports"),
                    effect: effect.parse().expect("effect"),
                    on_failure: OnFailure::Open,
                    learned_allow: effect == &"prevent" && list.contains(&"tcp/70-90"),
                    expires_at: None,
                    owner: String::new(),
                    ticket: String::new(),
                    notes: String::new(),
                    revision: 1,
                });
            }
            _ => panic!("no case's line: {line}"),
        }
    }
    case
}

fn policies() -> Vec<Case> {
    vec![
        case("nothing is said", &[]),
        case("a service may do nothing", &["unit:client -> any any prevent"]),
        case("services to a service's ports", &["unit:* -> unit:db tcp/8080 udp/54 prevent"]),
        case("ranges that overlap", &["unit:client -> any tcp/1-81 tcp/75-84 udp/50-53 udp/53-55 prevent"]),
        case("echo and SCTP", &["unit:* -> far icmp sctp prevent", "unknown -> 10.98.0.0/30 sctp prevent"]),
        case(
            "types of ICMP",
            &["unit:client -> any icmp/echo-request prevent", "unit:other -> far icmp/13 icmpv6/139 prevent"],
        ),
        case("no time for anybody", &["any -> kernel icmp/timestamp-request prevent"]),
        case("by the stranger's address", &["unit:client -> 10.98.0.3+fd98::3 any prevent"]),
        case("by the client's address", &["10.98.0.0/24+fd98::/64 -> unit:server tcp/82 udp/56 prevent"]),
        case("strangers to a service", &["far -> unit:server any prevent", "far -> unit:other tcp/85 prevent"]),
        case("nobody to a service", &["any -> unit:server tcp udp/50-60 prevent"]),
        case("only one to a service", &["unit:client -> unit:server any allow", "any -> unit:server any prevent"]),
        case("nothing to the kernel", &["any -> kernel any prevent"]),
        case("programs of no service", &["unknown -> any any prevent"]),
        case("labels", &["unit:other@env=prod -> any udp prevent", "unit:client@env=dev -> any any prevent"]),
        case("an alert before a refusal", &["unit:client -> any tcp alert", "unit:client -> any tcp/80 udp prevent"]),
        case("a model", &["model unit:client"]),
        case("learned passes", &["model unit:client", "unit:client -> any tcp/70-90 prevent"]),
        case("a service is observed", &["observe unit:client", "* -> any tcp prevent"]),
        case("the host is observed", &["observe", "any -> unit:* any prevent", "unit:* -> any any prevent"]),
    ]
}

/// A host with its policy, as the controller has it and as the host has it.
pub(crate) struct World {
    pub(crate) policy: PolicySet,
    pub(crate) directory: Directory,
    pub(crate) facts: HostFacts,
    pub(crate) this: HostId,
    mode: Mode,
}

impl World {
    pub(crate) fn new(case: &Case, bed: &Bed, epoch: u8) -> Self {
        let services: Vec<(&str, &str)> = [("client", "")].into_iter().chain(HERE).collect();
        let (this, here) = host("here", ["10.98.0.1", "fd98::1"], case.mode, &services);
        let (far, there) = host("there", ["10.98.0.2", "fd98::2"], Mode::Enforce, &[("db", THERE)]);
        let strangers = ["10.98.0.3", "fd98::3"].map(|a| a.parse().expect("range")).to_vec();
        let policy = PolicySet {
            revision: 1,
            rules: case.rules.clone().into(),
            objects: [("far".to_owned(), AddressObject { name: "far".into(), addresses: strangers })].into(),
            models: case.models.iter().cloned().collect(),
            anomaly_effect: Effect::Alert,
            learning_off: false,
            service_modes: case.service_modes.clone(),
            definitions: Vec::new(),
        };
        let local = (0..).zip(SERVICES).map(|(n, name)| LocalService {
            key: ServiceKey::unit(name),
            slot: Slot::new(Slot::FIRST + n).expect("slot"),
            cgroups: [bed.service(name)].into(),
        });
        let facts = HostFacts {
            services: local.collect(),
            cgroup_levels: 3,
            queue: QueueBackend::None,
            failsafes: Failsafes::with_controller(7443),
            addresses: here.addresses.clone(),
            udp_ports: [55, 56, 57].into(),
            epoch,
            log_group: 6402,
            identify_queue: 6402,
            identify_queues: 1,
            evidence_queue: 6403,
            counters: true,
        };
        let directory = Directory::from_iter([(this.clone(), here), (far, there)]);
        Self { policy, directory, facts, this, mode: case.mode }
    }

    /// Whether the policy means that this side lets the connection pass.
    fn passes(&self, cell: &Cell, vantage: Vantage) -> bool {
        let Probe { protocol, from, to } = &cell.probe;
        let party = |service: Option<&str>, address, near: bool| Party {
            host: service.map(|_| self.this.clone()),
            // the far end of a connection is known by its address alone
            service: service.filter(|_| near).map(key),
            address,
        };
        let connection = Connection {
            client: party(cell.client, *from, vantage == Vantage::Client),
            server: party(cell.server, to.ip(), vantage == Vantage::Server),
            protocol: *protocol,
            port: to.port(),
        };
        let near = if vantage == Vantage::Client { cell.client } else { cell.server };
        let Some(near) = near.map(key) else { return true };
        if self.facts.failsafes.pass(vantage == Vantage::Client, *protocol, to.port()) {
            return true;
        }
        let decision = evaluate(&self.policy, &self.directory, &connection, vantage, NOW);
        decision.effect != Effect::Prevent || self.policy.mode_of(self.mode, Some(&near)) == Mode::Observe
    }

    /// What a probe should say: `ok`, `refused` where TCP is told so, and otherwise anything but these.
    pub(crate) fn predicted(&self, cell: &Cell) -> &'static str {
        if self.passes(cell, Vantage::Client) && self.passes(cell, Vantage::Server) {
            "ok"
        } else if cell.client.is_some() && cell.probe.protocol == Protocol::Tcp {
            "refused"
        } else {
            "cut"
        }
    }
}

fn agrees(predicted: &str, said: &str) -> bool {
    match predicted {
        "cut" => ["timeout", "not permitted", "refused"].contains(&said),
        exact => exact == said,
    }
}

/// A process of each service, one of none, and one on the far host.
pub(crate) fn agents(bed: &Bed) -> BTreeMap<Option<&'static str>, Agent> {
    let mut agents = BTreeMap::new();
    for (service, first) in ["client", "server", "other", "nobody"].into_iter().zip((10_000..).step_by(4_000)) {
        let serves = HERE.into_iter().find(|(name, _)| *name == service).map_or("-", |(_, serves)| serves);
        agents.insert(Some(service), Agent::new(bed.start(Some(service), &format!("agent {serves} {first}"))));
    }
    agents.insert(None, Agent::new(bed.there(|| bed.start(None, &format!("agent {THERE} 26000")))));
    agents
}

/// Asks every cell of those who are meant, all at once.
pub(crate) fn asked(agents: &mut BTreeMap<Option<&str>, Agent>, cells: &[&Cell], patience: Duration) -> Vec<String> {
    let mut said = vec![String::new(); cells.len()];
    std::thread::scope(|scope| {
        let mut waiting = Vec::new();
        for (client, agent) in agents {
            let (at, probes): (Vec<usize>, Vec<Probe>) = cells
                .iter()
                .enumerate()
                .filter(|(_, cell)| cell.client == *client)
                .map(|(n, cell)| (n, cell.probe.clone()))
                .unzip();
            waiting.push((at, scope.spawn(move || agent.ask(&probes, patience))));
        }
        for (at, answers) in waiting {
            for (n, answer) in at.into_iter().zip(answers.join().expect("an agent")) {
                said[n] = answer;
            }
        }
    });
    said
}

#[test]
fn root_every_cell_of_the_probe_matrix_is_as_evaluate_means() {
    every_cell("matrix", || ());
}

/// The same where labels lie elsewhere, and somebody else sets every bit that is left to others.
#[test]
fn root_every_cell_is_so_beside_somebody_elses_label_bits() {
    LabelPlace::leaving(0).expect("a place").choose();
    every_cell("labels", || {
        run("nft 'add table inet other; add chain inet other o { type filter hook output priority -150; }'");
        run("nft 'add chain inet other i { type filter hook input priority -150; }'");
        for bit in 0..LabelPlace::FREE {
            run(&format!("nft 'add rule inet other o ct label set {bit}; add rule inet other i ct label set {bit}'"));
        }
    });
}

/// Asks over every cell under every policy, once `prepared`.
fn every_cell(name: &str, prepared: impl FnOnce() + Send) {
    with_bed(name, |bed| {
        prepared();
        bed.there(|| run("ip addr add 10.98.0.3/24 dev v1; ip addr add fd98::3/64 dev v1 nodad"));
        let mut agents = agents(bed);
        let cells = cells();
        let columns: BTreeSet<String> = cells.iter().map(Cell::column).collect();
        let mut reconciler = Reconciler::open(QueueBackend::None).expect("open");
        let mut wrong = Vec::new();
        let (mut rows, mut cut) = (String::new(), 0);
        for (epoch, case) in (0_u8..).zip(policies()) {
            let world = World::new(&case, bed, epoch);
            let policy = resolve(&world.policy, &world.directory, &world.this, NOW, 1);
            reconciler.set_desired(compile(&policy, &world.facts));
            reconciler.reconcile().expect("the kernel takes the table");
            // somebody else's commits make us read our own table back
            for _ in 0..2 {
                run("nft add table ip nobody; nft delete table ip nobody");
                assert_eq!(reconciler.check().expect("check"), Found::Intact, "{}", case.name);
            }
            let all: Vec<&Cell> = cells.iter().collect();
            let mut said = asked(&mut agents, &all, PATIENCE);
            let late: Vec<usize> =
                (0..cells.len()).filter(|n| said[*n] == "timeout" && world.predicted(&cells[*n]) != "cut").collect();
            let again: Vec<&Cell> = late.iter().map(|n| &cells[*n]).collect();
            for (n, answer) in late.into_iter().zip(asked(&mut agents, &again, MORE)) {
                said[n] = answer;
            }
            let mut counts: BTreeMap<String, (u32, u32)> = BTreeMap::new();
            for (cell, said) in cells.iter().zip(&said) {
                let predicted = world.predicted(cell);
                let count = counts.entry(cell.column()).or_default();
                count.0 += u32::from(predicted == "ok");
                count.1 += 1;
                cut += u32::from(predicted != "ok");
                if !agrees(predicted, said) {
                    wrong.push(format!(
                        "{}: {} to {}: {:?}: {said}, predicted {predicted}",
                        case.name,
                        cell.client.unwrap_or("from there"),
                        cell.server.unwrap_or("there"),
                        cell.probe
                    ));
                }
            }
            rows.push_str(&format!("{:<30}", case.name));
            for column in &columns {
                let (ok, of) = counts[column];
                rows.push_str(&format!("{:>10}", format!("{ok}/{of}")));
            }
            rows.push('\n');
        }
        let head: String = columns.iter().map(|column| format!("{column:>10}")).collect();
        let tried = cells.len() * policies().len();
        println!("{:<30}{head}\n{rows}{tried} cells, {cut} of them cut, {} wrong", "pass/of", wrong.len());
        assert!(wrong.is_empty(), "{wrong:#?}");
        assert!(tried > 1000 && cut > 200, "{tried} cells, {cut} cut");
    });
}
