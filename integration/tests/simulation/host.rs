//! A host: its kernel, its defender, its clock, and what it remembers over both.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use cnnf_core::directory::Endpoint;
use cnnf_core::id::{HostId, ServiceKey};
use cnnf_core::net::Protocol;
use cnnf_core::observation::{FlowSeen, Moment, Observation};
use cnnf_core::ruleset::{FlowState, LocalEnd, Opening, Outcomes, Ruleset, Slot, Verdict, judge_connection};
use cnnf_core::time::Timestamp;
use cnnf_defender::simulation::{Defender, Kernel};
use cnnf_rpc::v1::report::Body;

use crate::numbers::Numbers;
use crate::rules::SERVICES;

/// A host of the world.
pub(crate) struct Host {
    pub(crate) id: HostId,
    pub(crate) name: String,
    pub(crate) address: IpAddr,
    folder: PathBuf,
    pub(crate) kernel: Kernel,
    pub(crate) defender: Option<Defender>,
    boots: u32,
    starts: u32,
    /// How far its clock is ahead, in milliseconds.
    pub(crate) skew: i64,
    /// Until when nothing comes through.
    pub(crate) parted_until: u64,
    /// The stream that its defender holds.
    pub(crate) stream: Option<u64>,
    /// When it tries to connect again.
    pub(crate) retry_at: u64,
    /// The newest generation that it ever had.
    pub(crate) newest: u64,
    /// Connections and bytes that it put into its spool.
    pub(crate) reported: (u64, u64),
    /// The table and the generation that were looked at last.
    pub(crate) checked: Option<(Ruleset, Option<u64>)>,
    /// Connections that have not ended.
    open: Vec<FlowSeen>,
}

/// The group of all services.
const SLICE: u64 = 1;

impl Host {
    pub(crate) fn new(id: HostId, n: u8, folder: &Path) -> Self {
        let folder = folder.join(id.as_str());
        std::fs::create_dir_all(&folder).expect("a folder");
        let address = Ipv4Addr::new(10, 0, 0, n).into();
        let kernel = Kernel { addresses: [address].into(), ..Kernel::default() };
        Self {
            name: id.to_string(),
            id,
            address,
            folder,
            kernel,
            defender: None,
            boots: 1,
            starts: 0,
            skew: 0,
            parted_until: 0,
            stream: None,
            retry_at: 0,
            newest: 0,
            reported: (0, 0),
            checked: None,
            open: Vec::new(),
        }
    }

    /// The time as this host sees it.
    pub(crate) fn time(&self, now: u64) -> Timestamp {
        Timestamp(now.saturating_add_signed(self.skew))
    }

    pub(crate) fn start(&mut self, now: u64) {
        self.starts += 1;
        let (boot, epoch) = (format!("boot-{}", self.boots), format!("epoch-{}-{}", self.boots, self.starts));
        let at = self.time(now);
        self.defender = Some(Defender::start(&self.folder, &boot, &epoch, &mut self.kernel, at).expect("it starts"));
        self.note();
    }

    /// The defender is killed; what it had not put into its spool is gone.
    pub(crate) fn kill(&mut self) {
        self.note();
        self.defender = None;
        self.stream = None;
    }

    /// The whole host goes down and comes up: its table is gone.
    pub(crate) fn reboot(&mut self, now: u64) {
        self.kill();
        self.boots += 1;
        self.open.clear();
        let Kernel { groups, listening, addresses, .. } = std::mem::take(&mut self.kernel);
        self.kernel = Kernel { groups, listening, addresses, ..Kernel::default() };
        self.start(now);
    }

    /// Lets the defender do something with its kernel at its time.
    pub(crate) fn with<T>(
        &mut self,
        now: u64,
        act: impl FnOnce(&mut Defender, &mut Kernel, Timestamp) -> T,
    ) -> Option<T> {
        let at = self.time(now);
        let result = self.defender.as_mut().map(|defender| act(defender, &mut self.kernel, at));
        self.note();
        result
    }

    /// Counts what was put into the spool, and looks at the generation.
    fn note(&mut self) {
        let Some(defender) = &mut self.defender else { return };
        for body in defender.reported() {
            if let Body::Flows(flows) = body {
                for flow in flows.flows {
                    self.reported.0 += flow.connections;
                    self.reported.1 += flow.bytes;
                }
            }
        }
        let generation = defender.policy().generation;
        assert!(generation >= self.newest, "{}: generation {} after {}", self.name, generation, self.newest);
        self.newest = generation;
    }

    /// A service starts, moves, or stops listening.
    pub(crate) fn change_service(&mut self, numbers: &mut Numbers, now: u64) -> String {
        let (name, ports) = *numbers.pick(&SERVICES);
        let key = ServiceKey::unit(name);
        let path = format!("/system.slice/{name}.service");
        let n = SERVICES.iter().position(|(known, _)| *known == name).expect("it is one of them");
        if !self.kernel.groups.iter().any(|(known, _)| *known == path) {
            let id = 100 + n as u64;
            self.kernel.groups.push((path.clone(), id));
            self.with(now, |defender, kernel, at| {
                defender.observe(Observation::CgroupSeen { path, id }, kernel, at);
            });
        }
        self.kernel.listening.retain(|(known, _)| *known != key);
        let endpoints: Vec<Endpoint> = if ports.is_empty() || numbers.once_in(5) {
            Vec::new()
        } else {
            vec![Endpoint { protocol: Protocol::Tcp, address: None, port: *numbers.pick(ports) }]
        };
        let said = format!("{} runs {key} at {:?}", self.name, endpoints.first().map(|e| e.port));
        self.kernel.listening.push((key, endpoints));
        self.with(now, Defender::look);
        said
    }

    /// A service that runs here.
    pub(crate) fn any_service(&self, numbers: &mut Numbers) -> Option<ServiceKey> {
        (!self.kernel.listening.is_empty()).then(|| numbers.pick(&self.kernel.listening).0.clone())
    }

    /// A service that listens here, and its port.
    pub(crate) fn any_server(&self, numbers: &mut Numbers) -> Option<(ServiceKey, u16)> {
        let all: Vec<_> =
            self.kernel.listening.iter().filter_map(|(key, e)| Some((key.clone(), e.first()?.port))).collect();
        (!all.is_empty()).then(|| numbers.pick(&all).clone())
    }

    /// A local end of a connection.
    pub(crate) fn end(&self, key: &ServiceKey) -> LocalEnd {
        let id = self.kernel.groups.iter().find(|(path, _)| *path == format!("/system.slice/{}.service", key.name()));
        let slot = self.defender.as_ref().and_then(|defender| defender.slot(key)).unwrap_or(Slot::UNKNOWN);
        LocalEnd { cgroups: id.map(|(_, id)| vec![SLICE, *id]), found: slot }
    }

    /// What this host's table does with a connection.
    pub(crate) fn judge(&self, opening: &Opening) -> Outcomes {
        judge_connection(self.kernel.table.ruleset(), opening, &mut FlowState::default())
    }

    /// A connection comes to this host's hooks; true if it passes. The defender sees it if `seen`.
    pub(crate) fn meet(&mut self, opening: &Opening, id: u32, bytes: u64, seen: bool, now: u64) -> bool {
        let outcomes = self.judge(opening);
        let ends = (
            SocketAddr::new(opening.client, opening.client_port),
            SocketAddr::new(opening.server, opening.server_port),
        );
        let passes = outcomes.verdict == Verdict::Accept;
        for prefix in outcomes.logs {
            self.with(now, |defender, kernel, at| defender.logged(prefix, ends, opening.protocol, kernel, at));
        }
        if passes && seen {
            let flow = FlowSeen {
                at: self.time(now),
                id,
                moment: Moment::New,
                client: opening.client,
                client_port: opening.client_port,
                server: opening.server,
                server_port: opening.server_port,
                protocol: opening.protocol,
                label: outcomes.label,
                replied: true,
                bytes: Some((bytes / 2, bytes - bytes / 2)),
            };
            let begun = flow.clone();
            self.with(now, |defender, kernel, at| defender.flow(begun, kernel, at));
            self.open.push(flow);
        }
        passes
    }

    /// Some of the connections end, with more bytes than they had.
    pub(crate) fn end_some(&mut self, numbers: &mut Numbers, now: u64) {
        let mut still = Vec::new();
        for mut flow in std::mem::take(&mut self.open) {
            if numbers.once_in(3) {
                let (there, back) = flow.bytes.unwrap_or_default();
                (flow.moment, flow.at, flow.bytes) = (Moment::End, self.time(now), Some((there * 2, back + 7)));
                self.with(now, |defender, kernel, at| defender.flow(flow, kernel, at));
            } else {
                still.push(flow);
            }
        }
        self.open = still;
    }
}
