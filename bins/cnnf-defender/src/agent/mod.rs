//! What the defender does about what happens: a pure state machine from events to effects.
//!
//! **Invariant**: no IO and no clock here. Effects are carried out in the order in which they are given; a table is in the kernel before an answer
//! that depends on it is given.

mod events;
mod guard;
mod inventory;
mod policy;
mod preview;
mod table;
mod trial;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use cnnf_core::event::ConnectionEvent;
use cnnf_core::failsafe::Failsafes;
use cnnf_core::flow::{Aggregator, Bounds};
use cnnf_core::id::ServiceKey;
use cnnf_core::identity::{Naming, Owner, Resolver};
use cnnf_core::observation::{FlowSeen, Observation};
use cnnf_core::policy::HostPolicy;
use cnnf_core::ruleset::{Flags, QueueBackend, Ruleset, Slot};
use cnnf_core::time::Timestamp;
use cnnf_rpc::convert::flow::{Gap, flow_report};
use cnnf_rpc::v1::report::Body;
use cnnf_rpc::{limits, v1};

use crate::snapshot::Stamps;
use events::Logged;
pub(crate) use events::{LoggedEdge, LoggedPacket};
pub(crate) use guard::Culprit;
use guard::Guard;
use inventory::Inventory;
pub use inventory::LINGERS;
pub(crate) use preview::Preview;
pub(crate) use trial::{Standing, Trial};

/// The NFLOG group of copies.
pub(crate) const LOG_GROUP: u16 = 6400;
/// The queue of packets that wait for evidence.
pub(crate) const EVIDENCE_QUEUE: u16 = 6401;
/// The first of the queues of first packets without a stamp.
pub(crate) const IDENTIFY_QUEUE: u16 = 6402;

/// How often counted flows are reported.
const FLOWS_EVERY: Duration = Duration::from_millis(500);
/// How long equal events are gathered.
const EVENTS_EVERY: Duration = Duration::from_millis(50);
/// When a table that the kernel refused is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(5);
/// Levels of control groups that are looked at even where no service is that deep yet, so that the chains rarely change.
const LEVELS_MIN: u8 = 3;

/// Something that happened.
#[derive(Debug)]
pub(crate) enum Event {
    /// The host showed something.
    Observed(Vec<Observation>),
    /// Everything that lives, asked for with [`Effect::Dump`].
    Dumped(Vec<FlowSeen>),
    /// All listening services, with their endpoints.
    Listening(Vec<Observation>),
    /// The host's addresses.
    Addresses { own: BTreeSet<IpAddr>, uplinks: BTreeSet<IpAddr> },
    /// The controller's newest policy.
    Policy(Box<HostPolicy>),
    /// A policy that this version cannot read.
    BadPolicy { generation: u64, error: String },
    /// Which live connections would this policy cut? The controller asks by this number.
    Previewed { number: u64, policy: Box<HostPolicy> },
    /// Whose a packet is that waits: the queue wants the service's slot, once the table knows it.
    Identified { key: ServiceKey, answer: u64 },
    /// The kernel logged a packet.
    Logged(Box<LoggedPacket>),
    /// The table is applied, or the kernel's words why not.
    Applied(Result<(), String>),
    /// Somebody else changed the table.
    Tampered { by: Vec<Culprit> },
    /// So many more packets passed without a verdict, or were lost while they waited for one.
    Unjudged { passed: u64, lost: u64 },
    /// The controller was reached anew while this generation was in force.
    Proved { generation: u64 },
    /// The host has shown what it is made of, so a table can be made that lacks nothing. Comes once.
    Begun,
    /// Time passes; comes at least each 100 ms.
    Tick,
    /// The operator wants the table away.
    Release,
}

/// Something to do.
#[derive(Debug, PartialEq)]
pub(crate) enum Effect {
    /// Keep a policy on disk.
    KeepPolicy(Box<HostPolicy>),
    /// Keep how the host stands with its policy.
    KeepStanding(Standing),
    /// Reach the controller anew under this generation; [`Event::Proved`] follows. None ends it.
    Prove(Option<u64>),
    /// Name processes and sockets by this from now on.
    Name(Arc<Naming>),
    /// Keep slots, epochs and who holds ports.
    KeepStamps { epochs: u32 },
    /// Take this epoch's bit off live connections.
    ClearEpoch(u8),
    /// Make this the kernel's table; [`Event::Applied`] follows.
    Table(Arc<Ruleset>),
    /// Make the table what it was meant to be.
    Repair,
    /// Take the table away.
    Remove,
    /// List what lives; [`Event::Dumped`] follows.
    Dump,
    /// Answer the queue.
    Answer { answer: u64, slot: Slot },
    /// Say which live connections a policy would cut.
    Preview(Box<Preview>),
    /// Report to the controller.
    Report(Body),
    /// Say what became of a policy.
    Status { generation: u64, outcome: &'static str, message: String },
}

/// What is counted for `status` and the heartbeat.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) flows: u64,
    pub(crate) events: u64,
    pub(crate) unknown: u64,
    pub(crate) ambiguous: u64,
    pub(crate) gaps: u64,
    /// New connections with an end here that the kernel named.
    pub(crate) by_kernel: u64,
    /// New connections that waited until user space had named an end.
    pub(crate) by_queue: u64,
    pub(crate) tampered: u64,
}

/// The state.
#[derive(Debug)]
pub(crate) struct Agent {
    resolver: Resolver,
    aggregator: Aggregator,
    policy: HostPolicy,
    queue: QueueBackend,
    /// How many queues share the first packets without a stamp.
    queues: u16,
    failsafes: Failsafes,
    own: BTreeSet<IpAddr>,
    /// Whether the kernel can stamp by control group; else every new connection waits for its name.
    stamps: bool,
    /// Whether it can count what rules decide.
    counters: bool,
    levels: u8,
    epochs: u32,
    /// UDP ports of servers, until it is known whose they are.
    udp_ports: BTreeSet<u16>,
    /// Label words of services that live connections may have.
    numbered: BTreeSet<u32>,
    /// How many slots are kept over a restart.
    kept: usize,
    /// What the kernel was told last, and whether it took it.
    table: Option<Arc<Ruleset>>,
    refused: Option<Timestamp>,
    /// What the controller was told last about a policy: generation, outcome, message.
    told: Option<(u64, &'static str, String)>,
    standing: Standing,
    /// How long a policy is on trial; none if it is not.
    patience: Duration,
    /// The generation that is being proved.
    proving: Option<u64>,
    guard: Guard,
    released: bool,
    /// Whether there may be a table: one without the host's services would let through what an earlier run's prevents.
    begun: bool,
    /// Whether an earlier run of this boot has counted connections that live.
    resumed: bool,
    /// When that run was last alive, until the gap is told of.
    away_since: Option<Timestamp>,
    lost_since: Option<Timestamp>,
    last_flow: Timestamp,
    flows_at: Timestamp,
    events_at: Timestamp,
    logged: Logged,
    inventory: Inventory,
    counts: Counts,
}

impl Agent {
    /// One that knows what an earlier run kept, and when that was last alive.
    pub(crate) fn new(
        stamps: Stamps,
        last_alive: Option<Timestamp>,
        policy: Option<HostPolicy>,
        queue: QueueBackend,
        failsafes: Failsafes,
    ) -> Self {
        let kept = stamps.slots.count();
        let policy = policy.unwrap_or_default();
        Self {
            resolver: Resolver::resume(stamps.slots, &policy.definitions, stamps.ports),
            aggregator: Aggregator::new(Bounds::default()),
            policy,
            queue,
            queues: 1,
            failsafes,
            own: BTreeSet::new(),
            stamps: true,
            counters: true,
            levels: LEVELS_MIN,
            // what the table was under the last one is not known any more
            epochs: stamps.epochs + u32::from(stamps.resumed),
            udp_ports: BTreeSet::new(),
            numbered: [Slot::KERNEL, Slot::UNKNOWN, Slot::AMBIGUOUS].map(Slot::word).into(),
            kept,
            table: None,
            refused: None,
            told: None,
            standing: Standing::Good,
            patience: Duration::ZERO,
            proving: None,
            guard: Guard::default(),
            released: false,
            begun: false,
            away_since: last_alive.filter(|_| stamps.resumed),
            resumed: stamps.resumed,
            lost_since: None,
            last_flow: Timestamp::default(),
            flows_at: Timestamp::default(),
            events_at: Timestamp::default(),
            logged: Logged::default(),
            inventory: Inventory::default(),
            counts: Counts::default(),
        }
    }

    /// One whose first packets without a stamp are shared by so many queues.
    pub(crate) fn with_queues(self, queues: u16) -> Self {
        Self { queues, ..self }
    }

    /// One whose policies are so long on trial; where it stood when an earlier run ended.
    pub(crate) fn with_trials(self, patience: Duration, standing: Standing) -> Self {
        // a policy that was not kept any more has nothing to prove
        let known = match &standing {
            Standing::Good => true,
            Standing::OnTrial(Trial { generation, .. }) | Standing::Reverted { generation } => {
                *generation == self.policy.generation
            }
        };
        Self { patience, standing: if known { standing } else { Standing::Good }, ..self }
    }

    /// On a host where somebody listens at these UDP ports: what comes from them are no clients' packets.
    pub(crate) fn with_udp_ports(self, udp_ports: BTreeSet<u16>) -> Self {
        Self { udp_ports, ..self }
    }

    /// On a kernel that cannot stamp by control group.
    pub(crate) fn without_stamps(self) -> Self {
        Self { stamps: false, ..self }
    }

    /// On a kernel without counters that outlive their rules.
    pub(crate) fn without_counters(self) -> Self {
        Self { counters: false, ..self }
    }

    /// The policy in force, or on its way to be.
    pub(crate) fn policy(&self) -> &HostPolicy {
        &self.policy
    }

    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    pub(crate) fn resolver(&self) -> &Resolver {
        &self.resolver
    }

    pub(crate) fn skipped(&self) -> cnnf_core::flow::Skipped {
        self.aggregator.skipped()
    }

    /// What is to be done about an event.
    pub(crate) fn handle(&mut self, event: Event, now: Timestamp) -> Vec<Effect> {
        let mut effects = Vec::new();
        match event {
            Event::Observed(all) => self.observed(&all, &mut effects),
            Event::Dumped(flows) => self.dumped(&flows, now, &mut effects),
            Event::Listening(all) => {
                let guessed = !std::mem::take(&mut self.udp_ports).is_empty();
                let mut changed = false;
                let before = self.resolver.naming().clone();
                for observation in &all {
                    changed |= self.resolver.observe(observation);
                }
                self.renamed(&before, &mut effects);
                for key in self.services_without(&all) {
                    let nothing = Observation::Listening { service: key, endpoints: Vec::new() };
                    changed |= self.resolver.observe(&nothing);
                }
                if changed {
                    self.inventory.touch();
                }
                if changed || guessed {
                    self.rebuild(&mut effects);
                }
            }
            Event::Addresses { own, uplinks } => {
                self.inventory.set_addresses(uplinks);
                if self.resolver.set_addresses(own.clone()) {
                    self.own = own;
                    self.rebuild(&mut effects);
                }
            }
            Event::Policy(policy) => self.take_policy(*policy, now, &mut effects),
            Event::BadPolicy { generation, error } => {
                let message = format!("this defender cannot read the policy: {error}");
                effects.push(Effect::Status { generation, outcome: "refused", message });
            }
            Event::Previewed { number, policy } => {
                effects.push(Effect::Preview(Box::new(self.preview(number, *policy))));
            }
            Event::Identified { key, answer } => {
                let known = self.resolver.slots().get(&key).is_some();
                let slot = self.resolver.learn(&key);
                if !known {
                    self.inventory.touch();
                    self.rebuild(&mut effects);
                }
                // nothing may be said of it in the table, yet its number goes on labels that outlive this process
                if self.resolver.slots().count() > self.kept {
                    self.keep_stamps(&mut effects);
                }
                effects.push(Effect::Answer { answer, slot });
            }
            Event::Logged(packet) => {
                self.counts.events += 1;
                self.logged.add(&packet, || packet.event(&self.resolver, &self.policy), now);
                if now.since(self.events_at) >= EVENTS_EVERY {
                    self.flush_events(now, &mut effects);
                }
            }
            Event::Applied(result) => self.applied(result, now, &mut effects),
            Event::Tampered { by } => {
                self.counts.tampered += 1;
                if !self.released {
                    let (notice, at_once) = self.guard.tampered(&by, now);
                    effects.extend(at_once.then_some(Effect::Repair));
                    effects.push(Effect::Report(Body::Notice((&notice).into())));
                }
            }
            Event::Unjudged { passed, lost } => self.guard.unjudged(passed, lost),
            Event::Proved { generation } => {
                if self.standing.on_trial() == Some(generation) {
                    self.stand(Standing::Good, &mut effects);
                }
            }
            Event::Begun => {
                self.begun = true;
                self.rebuild(&mut effects);
            }
            Event::Tick => self.tick(now, &mut effects),
            Event::Release => {
                self.released = true;
                self.table = None;
                effects.push(Effect::Remove);
            }
        }
        effects
    }

    fn services_without(&self, listening: &[Observation]) -> Vec<ServiceKey> {
        let named: BTreeSet<&ServiceKey> = listening
            .iter()
            .filter_map(|o| if let Observation::Listening { service, .. } = o { Some(service) } else { None })
            .collect();
        let silent = self.resolver.endpoints().filter(|(key, endpoints)| !endpoints.is_empty() && !named.contains(key));
        silent.map(|(key, _)| key.clone()).collect()
    }

    fn observed(&mut self, all: &[Observation], effects: &mut Vec<Effect>) {
        let mut changed = false;
        for observation in all {
            match observation {
                Observation::Flow(flow) => self.flow(flow),
                Observation::Lost { at } => {
                    self.counts.gaps += 1;
                    if self.lost_since.is_none() {
                        self.lost_since =
                            Some(if self.last_flow == Timestamp::default() { *at } else { self.last_flow });
                        effects.push(Effect::Dump);
                    }
                }
                other => changed |= self.resolver.observe(other),
            }
        }
        if changed {
            self.inventory.touch();
            self.rebuild(effects);
        }
    }

    fn flow(&mut self, flow: &FlowSeen) {
        self.last_flow = flow.at;
        let ends = self.resolver.ends(flow);
        if flow.moment == cnnf_core::observation::Moment::New {
            self.counts.flows += 1;
            if [&ends.client, &ends.server].into_iter().any(|owner| matches!(owner, Owner::Local(_))) {
                let resolved = flow.label.has(Flags::RESOLVED);
                *(if resolved { &mut self.counts.by_queue } else { &mut self.counts.by_kernel }) += 1;
            }
            for owner in [&ends.client, &ends.server] {
                if let Owner::Local(key) = owner {
                    self.counts.unknown += u64::from(*key == ServiceKey::unknown());
                    self.counts.ambiguous += u64::from(*key == ServiceKey::ambiguous());
                    self.inventory.seen(key, &self.resolver, flow.at);
                }
            }
        }
        self.aggregator.absorb(flow, &ends);
    }

    fn dumped(&mut self, flows: &[FlowSeen], now: Timestamp, effects: &mut Vec<Effect>) {
        // what lived when an earlier run ended was counted by it
        let adopt = std::mem::take(&mut self.resumed);
        let at = flows.first().map_or(now, |flow| flow.at);
        for flow in flows {
            let ends = self.resolver.ends(flow);
            if adopt {
                self.aggregator.adopt(flow, &ends);
            } else {
                self.aggregator.absorb(flow, &ends);
            }
        }
        self.aggregator.swept(at);
        let gaps = [
            (self.away_since.take(), "connections and events while the defender was not running"),
            (self.lost_since.take(), "conntrack events"),
        ];
        for (from, what) in gaps {
            if let Some(from) = from {
                let gap = Gap { from, until: now, lost: 0, what: what.into() };
                effects.push(Effect::Report(Body::Gap((&gap).into())));
            }
        }
    }

    /// Tells whoever names processes and sockets if that changed; the table comes after.
    fn renamed(&mut self, before: &Arc<Naming>, effects: &mut Vec<Effect>) {
        if !Arc::ptr_eq(before, self.resolver.naming()) {
            self.inventory.touch();
            effects.push(Effect::Name(self.resolver.naming().clone()));
            effects.push(Effect::KeepStamps { epochs: self.epochs });
        }
    }

    fn tick(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        self.flush_events(now, effects);
        if now.since(self.flows_at) >= FLOWS_EVERY || now < self.flows_at {
            self.flows_at = now;
            for part in self.aggregator.drain(now).chunks(limits::MAX_FLOWS) {
                effects.push(Effect::Report(Body::Flows(flow_report(part))));
            }
        }
        if let Some(inventory) = self.inventory.due(&self.resolver, now) {
            effects.push(Effect::Report(Body::Inventory((&inventory).into())));
        }
        if let Some(policy) = self.standing.failed(self.patience, now) {
            self.revert(policy, now, effects);
        }
        if self.guard.is_due(now) && !self.released {
            effects.push(Effect::Repair);
        }
        if let Some(notice) = self.guard.tell(now) {
            effects.push(Effect::Report(Body::Notice((&notice).into())));
        }
        if self.refused.is_some_and(|at| now.since(at) >= RETRY_AFTER) && !self.released {
            self.refused = Some(now);
            effects.push(Effect::Repair);
        }
    }

    fn flush_events(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        self.events_at = now;
        let events: Vec<ConnectionEvent> = self.logged.take(now);
        for part in events.chunks(limits::MAX_EVENTS) {
            let events = part.iter().map(Into::into).collect();
            effects.push(Effect::Report(Body::Events(v1::EventReport { events })));
        }
    }
}

#[cfg(test)]
mod tests;
