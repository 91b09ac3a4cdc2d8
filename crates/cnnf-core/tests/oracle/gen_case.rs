//! Generated cases in the oracle's own small words, and what they are in the core's.

use std::net::{IpAddr, Ipv4Addr};

use cnnf_core::directory::{Directory, Endpoint, Host, Instance};
use cnnf_core::id::{HostId, ServiceKey};
use cnnf_core::model::{Model, Phase, Seen};
use cnnf_core::net::{AddrRange, PortRange, Ports, Protocol};
use cnnf_core::policy::{
    AddressObject, Connection, Effect, End, Mode, OnFailure, Party, PolicySet, Rule, RuleId, ServicePattern, Vantage,
};
use cnnf_core::time::Timestamp;
use cnnf_core::topology::{Edge, Peer};

/// Names of services; the last three have no model and are meant by no glob.
pub(crate) const SERVICES: [&str; 6] = ["unit:a", "unit:b", "exe:/c", "kernel", "unknown", "ambiguous"];
/// What a rule can write for services.
pub(crate) const PATTERNS: [&str; 7] = ["unit:a", "unit:*", "*", "exe:/c", "kernel", "unknown", "unit:b"];
const PORTS: [u16; 4] = [53, 80, 443, 40_000];

/// A generator of small numbers (xorshift64*, Vigna 2014).
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        let mut dice = Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        dice.roll(2);
        dice
    }

    /// From 0 up to but not including `n`.
    pub(crate) fn roll(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        usize::try_from((self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % n as u64).expect("small")
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.roll(n) == 0
    }

    fn of<T: Clone>(&mut self, all: &[T]) -> T {
        all[self.roll(all.len())].clone()
    }
}

/// Addresses are numbers: 0 to 9 are private (10.0.0.N), 10 to 19 on the internet (8.0.0.N), 255 loopback.
pub(crate) type Address = u8;

pub(crate) const LOOPBACK: Address = 255;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) low: Address,
    pub(crate) high: Address,
}

/// A service, and where it listens: TCP ports with the address that each is bound to.
pub(crate) type SmallInstance = (&'static str, Vec<(u16, Option<Address>)>);

#[derive(Clone, Debug)]
pub(crate) struct SmallHost {
    pub(crate) addresses: Vec<Address>,
    pub(crate) prod: bool,
    pub(crate) instances: Vec<SmallInstance>,
}

#[derive(Clone, Debug)]
pub(crate) enum SmallEnd {
    Any,
    Service { pattern: &'static str, prod: bool },
    Office,
    Gone,
    Span(Span),
}

#[derive(Clone, Debug)]
pub(crate) struct SmallRule {
    pub(crate) enabled: bool,
    pub(crate) from: SmallEnd,
    pub(crate) to: SmallEnd,
    /// `None` for any.
    pub(crate) ports: Option<(u16, u16)>,
    pub(crate) effect: Effect,
    pub(crate) learned: bool,
    pub(crate) expires: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SmallPeer {
    Service(&'static str),
    Office,
    Span(Span),
    Private,
    Internet,
}

#[derive(Clone, Debug)]
pub(crate) struct SmallModel {
    pub(crate) service: &'static str,
    pub(crate) active: bool,
    pub(crate) effect: Option<Effect>,
    /// The other end, whether the service is the client, and the port; 0 for ephemeral ones.
    pub(crate) edges: Vec<(SmallPeer, bool, u16)>,
}

#[derive(Clone, Debug)]
pub(crate) struct SmallParty {
    pub(crate) host: Option<usize>,
    pub(crate) service: Option<&'static str>,
    pub(crate) address: Address,
}

/// A world and a TCP connection in it.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) now: u64,
    pub(crate) hosts: Vec<SmallHost>,
    pub(crate) office: Vec<Span>,
    pub(crate) rules: Vec<SmallRule>,
    pub(crate) models: Vec<SmallModel>,
    pub(crate) anomaly: Effect,
    pub(crate) learning_off: bool,
    pub(crate) client: SmallParty,
    pub(crate) server: SmallParty,
    pub(crate) port: u16,
}

impl Case {
    pub(crate) fn roll(dice: &mut Dice) -> Self {
        let hosts: Vec<SmallHost> = (0..1 + dice.roll(3)).map(|n| host(dice, n)).collect();
        let rules = (0..dice.roll(4)).map(|_| rule(dice)).collect();
        let models = SERVICES[..3].iter().filter_map(|key| (!dice.one_in(3)).then_some(*key)).collect::<Vec<_>>();
        let models = models.into_iter().map(|service| model(dice, service)).collect();
        let office = (0..dice.roll(3)).map(|_| span(dice)).collect();
        let client = party(dice, &hosts);
        let mut server = party(dice, &hosts);
        if dice.one_in(4) && client.host.is_some() {
            server = SmallParty { host: client.host, service: server.service, address: LOOPBACK };
        }
        Self {
            now: 1000,
            office,
            rules,
            models,
            anomaly: dice.of(&[Effect::Alert, Effect::Prevent, Effect::Alert, Effect::Allow]),
            learning_off: dice.one_in(12),
            port: dice.of(&PORTS),
            hosts,
            client,
            server,
        }
    }

    /// Whether there is such a side: a host that judges.
    pub(crate) fn is_at(&self, vantage: Vantage) -> bool {
        match vantage {
            Vantage::Client => self.client.host.is_some(),
            Vantage::Server => self.server.host.is_some(),
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        Timestamp(self.now)
    }

    pub(crate) fn to_core(&self) -> (PolicySet, Directory, Connection) {
        let hosts = self.hosts.iter().enumerate().map(|(n, host)| (id(n), core_host(host)));
        let directory = hosts.collect();
        let rules = self.rules.iter().enumerate().map(|(n, rule)| core_rule(n as u64 + 1, rule));
        let office = self.office.iter().map(|span| range(*span)).collect();
        let policy = PolicySet {
            rules: rules.collect(),
            objects: [("office".to_owned(), AddressObject { name: "office".into(), addresses: office })].into(),
            models: self.models.iter().map(core_model).collect(),
            anomaly_effect: self.anomaly,
            learning_off: self.learning_off,
            ..PolicySet::default()
        };
        let party = |party: &SmallParty| Party {
            host: party.host.map(id),
            service: party.service.map(key),
            address: address(party.address),
        };
        let (client, server) = (party(&self.client), party(&self.server));
        (policy, directory, Connection { client, server, protocol: Protocol::Tcp, port: self.port })
    }
}

fn host(dice: &mut Dice, n: usize) -> SmallHost {
    let own = [1, 3, 5][n];
    let mut addresses = vec![own];
    if dice.one_in(2) {
        addresses.push(own + 10);
    }
    if dice.one_in(8) {
        addresses.push(1); // claims the first one's
    }
    let mut instances: Vec<SmallInstance> = Vec::new();
    for service in &SERVICES[..3] {
        if dice.one_in(2) {
            continue;
        }
        let bound = [None, None, Some(own), Some(LOOPBACK)];
        let endpoints = (0..dice.roll(3)).map(|_| (dice.of(&PORTS), dice.of(&bound))).collect();
        instances.push((service, endpoints));
    }
    SmallHost { addresses, prod: dice.one_in(2), instances }
}

fn span(dice: &mut Dice) -> Span {
    let low = u8::try_from(dice.roll(20)).expect("small");
    // A range stays within the private or the internet half.
    let most = if low < 10 { 9 } else { 19 };
    Span { low, high: (low + u8::try_from(dice.roll(4)).expect("small")).min(most) }
}

fn end(dice: &mut Dice) -> SmallEnd {
    match dice.roll(9) {
        0 | 1 => SmallEnd::Any,
        2 => SmallEnd::Office,
        3 => SmallEnd::Gone,
        4 => SmallEnd::Span(span(dice)),
        _ => SmallEnd::Service { pattern: dice.of(&PATTERNS), prod: dice.one_in(3) },
    }
}

fn rule(dice: &mut Dice) -> SmallRule {
    let low = dice.of(&PORTS);
    SmallRule {
        enabled: !dice.one_in(8),
        from: end(dice),
        to: end(dice),
        ports: (!dice.one_in(2)).then(|| (low, low + [0, 500][dice.roll(2)])),
        effect: dice.of(&[Effect::Allow, Effect::Alert, Effect::Prevent]),
        learned: dice.one_in(2),
        expires: if dice.one_in(4) { Some(dice.of(&[999, 1000, 1001])) } else { None },
    }
}

fn model(dice: &mut Dice, service: &'static str) -> SmallModel {
    let edges = (0..dice.roll(6)).map(|_| {
        let peer = match dice.roll(9) {
            0 => SmallPeer::Private,
            1 => SmallPeer::Internet,
            2 => SmallPeer::Office,
            3 | 4 => SmallPeer::Span(span(dice)),
            _ => SmallPeer::Service(dice.of(&SERVICES)),
        };
        let port = if dice.one_in(6) { 0 } else { dice.of(&PORTS) };
        (peer, dice.one_in(2), port)
    });
    let edges = edges.collect();
    let effect = dice.of(&[None, None, Some(Effect::Alert), Some(Effect::Prevent)]);
    SmallModel { service, active: !dice.one_in(3), effect, edges }
}

fn party(dice: &mut Dice, hosts: &[SmallHost]) -> SmallParty {
    if dice.one_in(3) {
        // Somebody without a defender, though maybe at an address that a host claims.
        return SmallParty { host: None, service: None, address: u8::try_from(dice.roll(20)).expect("small") };
    }
    let n = dice.roll(hosts.len());
    let service = if dice.one_in(4) { None } else { Some(dice.of(&SERVICES)) };
    SmallParty { host: Some(n), service, address: dice.of(&hosts[n].addresses) }
}

fn id(n: usize) -> HostId {
    HostId::new(format!("h{n}"))
}

fn key(text: &str) -> ServiceKey {
    text.parse().expect("key")
}

pub(crate) fn address(address: Address) -> IpAddr {
    match address {
        LOOPBACK => Ipv4Addr::LOCALHOST,
        0..=9 => Ipv4Addr::new(10, 0, 0, address),
        _ => Ipv4Addr::new(8, 0, 0, address),
    }
    .into()
}

fn range(span: Span) -> AddrRange {
    AddrRange::new(address(span.low), address(span.high)).expect("in order")
}

fn core_host(host: &SmallHost) -> Host {
    let instance = |endpoints: &Vec<(u16, Option<Address>)>| Instance {
        endpoints: endpoints
            .iter()
            .map(|(port, bound)| Endpoint { protocol: Protocol::Tcp, address: bound.map(address), port: *port })
            .collect(),
        live: true,
        ..Instance::default()
    };
    Host {
        name: "h".into(),
        labels: if host.prod { "env=prod".parse().expect("labels") } else { Default::default() },
        addresses: host.addresses.iter().map(|a| address(*a)).collect(),
        mode: Mode::Enforce,
        instances: host.instances.iter().map(|(service, at)| (key(service), instance(at))).collect(),
    }
}

fn core_end(end: &SmallEnd) -> End {
    match end {
        SmallEnd::Any => End::Any,
        SmallEnd::Service { pattern, prod } => End::Service {
            pattern: ServicePattern((*pattern).to_owned()),
            labels: if *prod { "env=prod".parse().expect("labels") } else { Default::default() },
        },
        SmallEnd::Office => End::Object("office".into()),
        SmallEnd::Gone => End::Object("gone".into()),
        SmallEnd::Span(span) => End::Addresses(vec![range(*span)]),
    }
}

fn core_rule(id: u64, rule: &SmallRule) -> Rule {
    Rule {
        id: RuleId(id),
        name: format!("rule {id}"),
        enabled: rule.enabled,
        source: core_end(&rule.from),
        destination: core_end(&rule.to),
        ports: rule
            .ports
            .map_or(Ports::Any, |(low, high)| Ports::only([PortRange { protocol: Protocol::Tcp, low, high }])),
        effect: rule.effect,
        on_failure: OnFailure::Open,
        learned_allow: rule.learned,
        expires_at: rule.expires.map(Timestamp),
        owner: String::new(),
        ticket: String::new(),
        notes: String::new(),
        revision: 1,
    }
}

fn core_model(model: &SmallModel) -> (ServiceKey, Model) {
    let own = Peer::Service(key(model.service));
    let edges = model.edges.iter().map(|(peer, is_client, port)| {
        let far = match peer {
            SmallPeer::Service(service) => Peer::Service(key(service)),
            SmallPeer::Office => Peer::Object("office".into()),
            SmallPeer::Span(span) => Peer::Address(range(*span)),
            SmallPeer::Private => Peer::Private,
            SmallPeer::Internet => Peer::Internet,
        };
        let (client, server) = if *is_client { (own.clone(), far) } else { (far, own.clone()) };
        (Edge { client, server, protocol: Protocol::Tcp, port: *port }, Seen::default())
    });
    let edges = edges.collect();
    let phase = if model.active { Phase::Active } else { Phase::Learning };
    (key(model.service), Model { phase, edges, anomaly_effect: model.effect, ..Model::new(Timestamp(0)) })
}
