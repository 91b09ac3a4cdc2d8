//! A defender without its machine, for simulations: the agent, the spool and what is kept on disk are the real ones, the kernel's table is the
//! dataplane's fake, and time, what is observed and what comes over the network are whoever drives it's.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use cnnf_core::directory::Endpoint;
use cnnf_core::event::Process;
use cnnf_core::failsafe::Failsafes;
use cnnf_core::id::ServiceKey;
use cnnf_core::net::Protocol;
use cnnf_core::observation::{FlowSeen, Observation};
use cnnf_core::policy::HostPolicy;
use cnnf_core::ruleset::{HostFacts, LogPrefix, QueueBackend, Ruleset, Slot, compile};
use cnnf_core::time::Timestamp;
use cnnf_host::dataplane::fake::Fake;
use cnnf_host::dataplane::plan::plan;
use cnnf_rpc::v1;
use cnnf_rpc::v1::defender_message::Body as Up;

pub use crate::agent::LINGERS;
use crate::agent::{Agent, Effect, Event, LoggedPacket};
use crate::received::{Answer, Received};
use crate::snapshot;
use crate::spool::Spool;

/// How much a spool may hold: more than a simulation says.
const SPOOL: u64 = 64 << 20;

/// How long a policy is on trial.
pub const PATIENCE: Duration = Duration::from_secs(45);

/// A host's kernel: it outlives the defender, and what runs on the host outlives it too.
#[derive(Debug, Default)]
pub struct Kernel {
    /// The table.
    pub table: Fake,
    /// Its control groups of services, with their ids.
    pub groups: Vec<(String, u64)>,
    /// Where services listen.
    pub listening: Vec<(ServiceKey, Vec<Endpoint>)>,
    /// Its addresses on its uplinks.
    pub addresses: BTreeSet<IpAddr>,
}

/// A running defender.
#[derive(Debug)]
pub struct Defender {
    agent: Agent,
    spool: Spool,
    received: Received,
    folder: PathBuf,
    boot: String,
    /// What it has to say beside reports.
    statuses: Vec<v1::ApplyStatus>,
    proving: Option<u64>,
    /// All that it ever put into its spool, in this run.
    reported: Vec<v1::report::Body>,
}

impl Defender {
    /// Starts one that finds `kernel` as it is and, in `folder`, what an earlier run kept. `epoch` names a new spool.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn start(folder: &Path, boot: &str, epoch: &str, kernel: &mut Kernel, now: Timestamp) -> io::Result<Self> {
        let stamps = snapshot::load_stamps(folder, boot);
        let alive = stamps.resumed.then_some(now);
        let standing = snapshot::load_standing(folder);
        let agent = Agent::new(stamps, alive, snapshot::load_policy(folder), QueueBackend::Native, failsafes());
        let mut defender = Self {
            agent: agent.with_trials(PATIENCE, standing),
            spool: Spool::open(folder, SPOOL, boot, epoch)?,
            received: Received::default(),
            folder: folder.to_owned(),
            boot: boot.to_owned(),
            statuses: Vec::new(),
            proving: None,
            reported: Vec::new(),
        };
        let addresses = kernel.addresses.clone();
        defender.handle(Event::Addresses { own: addresses.clone(), uplinks: addresses }, kernel, now);
        let groups = kernel.groups.iter().map(|(path, id)| Observation::CgroupSeen { path: path.clone(), id: *id });
        defender.handle(Event::Observed(groups.collect()), kernel, now);
        defender.look(kernel, now);
        defender.handle(Event::Begun, kernel, now);
        defender.handle(Event::Dumped(Vec::new()), kernel, now);
        Ok(defender)
    }

    /// Looks which services there are and where they listen.
    pub fn look(&mut self, kernel: &mut Kernel, now: Timestamp) {
        let listening = kernel.listening.iter().map(|(service, endpoints)| Observation::Listening {
            service: service.clone(),
            endpoints: endpoints.clone(),
        });
        let listening = listening.collect();
        self.handle(Event::Listening(listening), kernel, now);
    }

    /// Takes in what the host shows.
    pub fn observe(&mut self, observation: Observation, kernel: &mut Kernel, now: Timestamp) {
        self.handle(Event::Observed(vec![observation]), kernel, now);
    }

    /// Takes in a connection.
    pub fn flow(&mut self, flow: FlowSeen, kernel: &mut Kernel, now: Timestamp) {
        self.observe(Observation::Flow(flow), kernel, now);
    }

    /// Takes in a packet that the table logged.
    pub fn logged(
        &mut self,
        prefix: LogPrefix,
        (client, server): (SocketAddr, SocketAddr),
        protocol: Protocol,
        kernel: &mut Kernel,
        now: Timestamp,
    ) {
        let packet = LoggedPacket { at: now, prefix, client, server, protocol, process: Some(Process::default()) };
        self.handle(Event::Logged(Box::new(packet)), kernel, now);
    }

    /// Lets time pass.
    pub fn tick(&mut self, kernel: &mut Kernel, now: Timestamp) {
        self.handle(Event::Tick, kernel, now);
    }

    /// The generation that has to be proved by a new connection.
    #[must_use]
    pub fn proving(&self) -> Option<u64> {
        self.proving
    }

    /// The controller was reached anew.
    pub fn proved(&mut self, generation: u64, kernel: &mut Kernel, now: Timestamp) {
        self.handle(Event::Proved { generation }, kernel, now);
    }

    /// Begins a stream: what it says first.
    pub fn hello(&mut self, name: &str, now: Timestamp) -> v1::Hello {
        self.received = Received::default();
        v1::Hello {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            host_name: name.to_owned(),
            spool_epoch: self.spool.epoch(),
            generation: self.agent.policy().generation,
            now_ms: now.0,
            takes_deltas: true,
            spool_past: self.spool.past().into_iter().map(Into::into).collect(),
            ..v1::Hello::default()
        }
    }

    /// Takes a message of the controller's; says what to answer.
    pub fn take(&mut self, message: v1::ControllerMessage, kernel: &mut Kernel, now: Timestamp) -> Option<Up> {
        match self.received.take(message, &self.spool)? {
            Answer::Event(event) => {
                self.handle(event, kernel, now);
                None
            }
            Answer::Acknowledged(_) | Answer::Believe(_) => None,
            Answer::Wanted(wanted) => Some(Up::SnapshotWanted(wanted)),
            Answer::Unread(answer) => Some(Up::PreviewAnswer(answer)),
        }
    }

    /// Reports after `seq` that are not acknowledged yet.
    #[must_use]
    pub fn reports(&self, seq: u64, limit: usize) -> Vec<v1::Report> {
        self.spool.after(seq, limit)
    }

    /// What it has to say of policies since the last time.
    pub fn statuses(&mut self) -> Vec<v1::ApplyStatus> {
        std::mem::take(&mut self.statuses)
    }

    /// What it put into its spool since the last time.
    pub fn reported(&mut self) -> Vec<v1::report::Body> {
        std::mem::take(&mut self.reported)
    }

    /// The policy in force.
    #[must_use]
    pub fn policy(&self) -> &HostPolicy {
        self.agent.policy()
    }

    /// The slot of a service.
    #[must_use]
    pub fn slot(&self, key: &ServiceKey) -> Option<Slot> {
        self.agent.resolver().slots().get(key)
    }

    /// The table that `policy` amounts to on this host now.
    #[must_use]
    pub fn table_of(&self, policy: &HostPolicy) -> Ruleset {
        let facts: HostFacts = self.agent.facts();
        compile(policy, &facts)
    }

    fn handle(&mut self, event: Event, kernel: &mut Kernel, now: Timestamp) {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            for effect in self.agent.handle(event, now) {
                events.extend(self.carry_out(effect, kernel, now));
            }
        }
    }

    fn carry_out(&mut self, effect: Effect, kernel: &mut Kernel, now: Timestamp) -> Option<Event> {
        match effect {
            Effect::KeepPolicy(policy) => snapshot::keep_policy(&self.folder, &policy).expect("the folder is there"),
            Effect::KeepStanding(standing) => {
                snapshot::keep_standing(&self.folder, &standing).expect("the folder is there");
            }
            Effect::Prove(generation) => self.proving = generation,
            Effect::KeepStamps { epochs } => {
                let (slots, ports) = (self.agent.resolver().slots(), self.agent.resolver().naming().held());
                snapshot::keep_stamps(&self.folder, &self.boot, slots, ports, epochs).expect("the folder is there");
            }
            Effect::Table(table) => {
                let plan = plan(kernel.table.ruleset(), &table);
                let applied = kernel.table.apply(&plan).map_err(|error| error.to_string());
                return Some(Event::Applied(applied));
            }
            Effect::Repair => return Some(Event::Applied(Ok(()))),
            Effect::Dump => return Some(Event::Dumped(Vec::new())),
            Effect::Report(body) => {
                self.reported.push(body.clone());
                self.spool.push(body, now);
            }
            Effect::Status { generation, outcome, message } => self.statuses.push(v1::ApplyStatus {
                generation,
                outcome: outcome.to_owned(),
                message,
                queue: "native".to_owned(),
                at_ms: now.0,
            }),
            Effect::Remove => kernel.table = Fake::default(),
            Effect::Name(_) | Effect::ClearEpoch(_) | Effect::Answer { .. } | Effect::Preview(_) => {}
        }
        None
    }
}

/// What passes on a simulated host whatever the policy says.
#[must_use]
pub fn failsafes() -> Failsafes {
    Failsafes::with_controller(7443)
}
