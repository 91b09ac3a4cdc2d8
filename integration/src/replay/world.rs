//! The recording as hosts, services and reports.
//!
//! A local address is a defended host. What it opens is one service, its client, as a recording knows no programs; what listens is a
//! service a port, from the first connection to it that was answered. Other attempts are edges to `kernel`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use cnnf_core::directory::{Directory, Endpoint, Host, Instance};
use cnnf_core::flow::{FlowKey, FlowRecord, FlowStats};
use cnnf_core::id::{HostId, ServiceKey};
use cnnf_core::label::Labels;
use cnnf_core::model::{self, LearnSettings, Model, Phase};
use cnnf_core::net::{AddrRange, is_private};
use cnnf_core::policy::{self, Effect, Mode, Party, PolicySet, Reason, Vantage, evaluate};
use cnnf_core::time::Timestamp;
use cnnf_core::topology::{Edge, Peer, Topology};

use super::report::{Judged, Report, Totals};
use super::zeek::Connection;

/// How much of the recording's time passes between two looks at the models' clocks, at least.
const TICK: Duration = Duration::from_secs(1);

/// A replay under way.
pub(super) struct Replay {
    hosts: BTreeSet<IpAddr>,
    directory: Directory,
    policy: PolicySet,
    topology: Topology,
    settings: LearnSettings,
    live: BTreeMap<ServiceKey, u32>,
    /// Whether learning ends at a moment that was asked for, and has not yet.
    by_hand: bool,
    ticked: Option<Timestamp>,
    now: Timestamp,
    totals: Totals,
    judged: Judged,
}

impl Replay {
    /// `by_hand` if learning ends by [`end_learning`](Self::end_learning) rather than by the models' own clocks.
    pub(super) fn new(connections: &[Connection], local: &[AddrRange], by_hand: bool) -> Self {
        let policy = PolicySet { anomaly_effect: Effect::Alert, ..PolicySet::default() };
        Self {
            hosts: hosts(connections, local),
            directory: Directory::default(),
            policy,
            topology: Topology::default(),
            settings: LearnSettings::default(),
            live: BTreeMap::new(),
            by_hand,
            ticked: None,
            now: Timestamp::default(),
            totals: Totals::default(),
            judged: Judged::default(),
        }
    }

    /// Makes every model active.
    pub(super) fn end_learning(&mut self, at: Timestamp) {
        self.pass(at);
        self.by_hand = false;
        for model in self.policy.models.values_mut() {
            model.activate(at);
        }
        self.judged.begin(at, &self.policy.models);
    }

    /// Counts, learns from and judges a connection.
    pub(super) fn take(&mut self, connection: &Connection) {
        self.pass(connection.at);
        self.totals.count(connection.answered);
        let (client_local, server_local) =
            (self.hosts.contains(&connection.client), self.hosts.contains(&connection.server));
        if !client_local && !server_local {
            self.totals.foreign += 1;
            return;
        }
        let client = client_local.then(|| self.client_of(connection.client));
        let server = server_local.then(|| self.server_of(connection));
        let reporter = host_id(if client_local { connection.client } else { connection.server });
        // Judged before it is learned, as on a host.
        let verdict = self.judge(connection, client.as_ref(), server.as_ref());
        let record = FlowRecord {
            key: FlowKey {
                client_service: client,
                client: connection.client,
                server_service: server,
                server: connection.server,
                protocol: connection.protocol,
                port: connection.port,
            },
            stats: FlowStats { connections: 1, bytes: connection.bytes, first: connection.at, last: connection.at },
        };
        let Some(absorbed) = self.topology.absorb(&reporter, &record, &self.directory, &self.policy.objects) else {
            return;
        };
        match verdict {
            Some(by_model) => self.judged.count(connection, &absorbed.edge, by_model),
            None => self.judged.pass_over(connection),
        }
        self.learn(&absorbed.edge, &absorbed.stats);
    }

    /// What came of it.
    pub(super) fn finish(mut self) -> Report {
        self.totals.services = self.live.len();
        self.totals.edges = self.topology.edges().len();
        let phases = self.policy.models.values().map(|model| model.phase.as_str());
        for phase in phases {
            *self.totals.models.entry(phase).or_default() += 1;
        }
        self.judged.report(self.totals, self.now, &self.policy.models)
    }

    /// `None` while nobody can object: no active model is at an end. Else the service whose model objects, if one does.
    fn judge(
        &self,
        connection: &Connection,
        client: Option<&ServiceKey>,
        server: Option<&ServiceKey>,
    ) -> Option<Option<ServiceKey>> {
        let is_active = |key: &&ServiceKey| self.policy.models.get(key).is_some_and(|m| m.phase == Phase::Active);
        [client, server].into_iter().flatten().find(is_active)?;
        let party = |address: IpAddr, service: Option<&ServiceKey>| Party {
            host: service.map(|_| host_id(address)),
            service: service.cloned(),
            address,
        };
        let asked = policy::Connection {
            client: party(connection.client, client),
            server: party(connection.server, server),
            protocol: connection.protocol,
            port: connection.port,
        };
        let vantage = if client.is_some() { Vantage::Client } else { Vantage::Server };
        let decision = evaluate(&self.policy, &self.directory, &asked, vantage, connection.at);
        Some(match decision.reason {
            Reason::Model(key) if decision.effect != Effect::Allow => Some(key),
            _ => None,
        })
    }

    fn learn(&mut self, edge: &Edge, stats: &FlowStats) {
        if self.by_hand {
            for peer in [&edge.client, &edge.server] {
                if let Peer::Service(key) = peer
                    && key.is_named()
                    && !self.policy.models.contains_key(key)
                {
                    let mut model = Model::new(stats.first);
                    model.start_learning(stats.first);
                    self.policy.models.insert(key.clone(), model);
                }
            }
        }
        let new = [&edge.client, &edge.server].into_iter().filter_map(|peer| match peer {
            Peer::Service(key) if key.is_named() && !self.policy.models.contains_key(key) => Some(key),
            _ => None,
        });
        self.judged.new_services += new.count();
        model::absorb(&mut self.policy.models, edge, stats, stats.last);
    }

    /// Lets the recording's time pass for the models.
    fn pass(&mut self, at: Timestamp) {
        self.now = self.now.max(at);
        let elapsed = self.ticked.map_or(Duration::ZERO, |last| at.since(last));
        if self.ticked.is_none() || elapsed >= TICK {
            model::tick(&mut self.policy.models, &self.live, elapsed, &self.settings, at);
            self.ticked = Some(at);
        }
    }

    fn client_of(&mut self, address: IpAddr) -> ServiceKey {
        let key = ServiceKey::unit(&format!("client@{address}"));
        self.seen(address, &key, None);
        key
    }

    fn server_of(&mut self, connection: &Connection) -> ServiceKey {
        let Connection { server: address, protocol, port, .. } = *connection;
        if !protocol.has_ports() {
            return ServiceKey::kernel();
        }
        let key = ServiceKey::unit(&format!("{protocol}-{port}@{address}"));
        if connection.answered {
            self.seen(address, &key, Some(Endpoint { protocol, address: None, port }));
        }
        if self.live.contains_key(&key) { key } else { ServiceKey::kernel() }
    }

    /// Notes a service on a host, and where it listens; both are made if this is the first that is seen of them.
    fn seen(&mut self, address: IpAddr, key: &ServiceKey, endpoint: Option<Endpoint>) {
        self.live.entry(key.clone()).or_insert(1);
        let id = host_id(address);
        let known = self.directory.host(&id).map(|host| host.instances.get(key));
        let told = |known: &Instance| endpoint.is_none_or(|endpoint| known.endpoints.contains(&endpoint));
        match known {
            Some(Some(known)) if told(known) => return,
            Some(_) => {}
            None => self.directory.insert(
                id.clone(),
                Host {
                    name: address.to_string(),
                    labels: Labels::default(),
                    addresses: [address].into(),
                    mode: Mode::Observe,
                    instances: BTreeMap::new(),
                },
            ),
        }
        self.directory.change(&id, |host| {
            let instance = host.instances.entry(key.clone());
            let instance = instance.or_insert_with(|| Instance { live: true, ..Instance::default() });
            instance.endpoints.extend(endpoint);
        });
    }
}

fn host_id(address: IpAddr) -> HostId {
    HostId::new(address.to_string())
}

/// The addresses that are hosts: those in `local`, else those that the log calls local, else private ones; of these, who opens or
/// answers a connection. A broadcast address never does.
fn hosts(connections: &[Connection], local: &[AddrRange]) -> BTreeSet<IpAddr> {
    let told = connections.iter().any(|connection| connection.local.0 || connection.local.1);
    let is_local = |address: IpAddr, says: bool| {
        if !local.is_empty() {
            local.iter().any(|range| range.contains(address))
        } else if told {
            says
        } else {
            is_private(address) && !address.is_loopback() && !address.is_unspecified()
        }
    };
    let mut hosts = BTreeSet::new();
    for connection in connections {
        if is_local(connection.client, connection.local.0) && !connection.client.is_unspecified() {
            hosts.insert(connection.client);
        }
        if connection.answered && is_local(connection.server, connection.local.1) {
            hosts.insert(connection.server);
        }
    }
    hosts
}
