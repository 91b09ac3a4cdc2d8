//! Carries the agent's effects out.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cnnf_core::event;
use cnnf_core::ruleset::Slot;
use cnnf_host::dataplane::{Found, Outcome, Reconciler, epoch};
use cnnf_host::kernel::{QueueStats, STATS_PATH, parse_stats};
use cnnf_host::observe::connections;
use cnnf_host::observe::containers::Containers;
use cnnf_host::observe::evidence::described;
use cnnf_host::observe::process::Process;
use cnnf_rpc::v1::defender_message::Body as Up;
use cnnf_rpc::v1::report::Body;
use cnnf_rpc::{limits, v1};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::watch;

use super::counted::{FAIL_OPEN, Seen};
use super::hits::Hits;
use super::older::Wishes;
use super::previews::Previews;
use super::shared::Shared;
use crate::agent::{Agent, Culprit, EVIDENCE_QUEUE, Effect, Event, IDENTIFY_QUEUE, Standing};
use crate::snapshot;
use crate::spool::Spool;

/// The inode of the first process namespace (`PROC_PID_INIT_INO` in include/linux/proc_ns.h).
const FIRST_PIDS: u64 = 0xEFFF_FFFC;

/// Who waits for an answer of the agent's.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answers(Arc<Mutex<Waiters>>);

#[derive(Debug, Default)]
struct Waiters {
    next: u64,
    waiting: HashMap<u64, Sender<Slot>>,
}

impl Answers {
    /// A number under which the answer comes to `to`.
    pub(crate) fn expect(&self, to: Sender<Slot>) -> u64 {
        let mut waiters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiters.next += 1;
        let number = waiters.next;
        waiters.waiting.insert(number, to);
        number
    }

    fn give(&self, number: u64, slot: Slot) {
        if let Some(to) = self.0.lock().unwrap_or_else(PoisonError::into_inner).waiting.remove(&number) {
            // who gave up waiting needs no answer
            let _ = to.send(slot);
        }
    }
}

/// Whom the executor tells and asks.
pub(super) struct Others {
    /// The link.
    pub(super) up: UnboundedSender<Up>,
    /// The thread that reads listeners: how soon it shall.
    pub(super) nudge: Sender<Duration>,
    /// What containers are called.
    pub(super) containers: Arc<Containers>,
    /// Who stamps connections that the table has not seen begin.
    pub(super) wishes: Wishes,
    /// How many queues share the first packets without a stamp.
    pub(super) queues: u16,
}

/// The agent's hands.
pub(super) struct Executor {
    reconciler: Reconciler,
    state_dir: PathBuf,
    boot: String,
    spool: Arc<Spool>,
    up: UnboundedSender<Up>,
    previews: Previews,
    shared: Arc<Shared>,
    answers: Answers,
    prove: watch::Sender<Option<u64>>,
    nudge: Sender<Duration>,
    containers: Arc<Containers>,
    wishes: Wishes,
    trouble: Option<String>,
    counted: Seen,
    hits: Hits,
    /// How many queues share the first packets without a stamp, and how many packets they have lost.
    queues: u16,
    lost: u64,
}

impl Executor {
    pub(super) fn new(
        reconciler: Reconciler,
        state_dir: &Path,
        boot: String,
        spool: Arc<Spool>,
        shared: Arc<Shared>,
        Others { up, nudge, containers, wishes, queues }: Others,
    ) -> Self {
        // what passed while nobody ran is counted in the table that is still there
        let passed = snapshot::load_passed(state_dir, &boot);
        let hits = Hits::resume(state_dir, &boot);
        Self {
            reconciler,
            state_dir: state_dir.to_owned(),
            boot,
            spool,
            previews: Previews::new(up.clone()),
            up,
            shared,
            answers: Answers::default(),
            prove: watch::Sender::new(None),
            nudge,
            containers,
            wishes,
            trouble: None,
            queues,
            lost: 0,
            counted: Seen::resume(passed),
            hits,
        }
    }

    /// Which generation has to be proved.
    pub(super) fn to_prove(&self) -> watch::Receiver<Option<u64>> {
        self.prove.subscribe()
    }

    pub(super) fn answers(&self) -> Answers {
        self.answers.clone()
    }

    /// Why the kernel does not have what it shall have.
    pub(super) fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    pub(super) fn spool_counts(&self) -> (u64, u64) {
        self.spool.counts()
    }

    /// Carries an effect out; returns what happened because of it.
    pub(super) fn carry_out(&mut self, effect: Effect, agent: &Agent) -> Option<Event> {
        match effect {
            Effect::KeepPolicy(policy) => {
                if let Err(error) = snapshot::keep_policy(&self.state_dir, &policy) {
                    tracing::error!("generation {} is not kept over a restart: {error}", policy.generation);
                }
                None
            }
            Effect::KeepStanding(standing) => {
                if let Err(error) = snapshot::keep_standing(&self.state_dir, &standing) {
                    tracing::error!("a policy's trial is not kept over a restart: {error}");
                }
                if let Standing::Reverted { generation } = standing {
                    tracing::error!(
                        "generation {generation} is undone: the controller could not be reached anew under it"
                    );
                }
                self.shared.set_on_trial(standing.on_trial().is_some());
                None
            }
            Effect::Prove(generation) => {
                self.prove.send_replace(generation);
                None
            }
            Effect::Name(naming) => {
                self.shared.set_naming(naming);
                // without the thread that reads listeners there is nobody to hear it
                let _ = self.nudge.send(Duration::ZERO);
                None
            }
            Effect::KeepStamps { epochs } => {
                let (slots, ports) = (agent.resolver().slots(), agent.resolver().naming().held());
                if let Err(error) = snapshot::keep_stamps(&self.state_dir, &self.boot, slots, ports, epochs) {
                    tracing::error!("slots of services are not kept over a restart: {error}");
                }
                None
            }
            Effect::ClearEpoch(bit) => {
                match epoch::clear(bit) {
                    Ok(cleared) => tracing::debug!("epoch {bit} comes again: cleared on {cleared} connections"),
                    Err(error) => tracing::warn!("epoch {bit} comes again and could not be cleared: {error}"),
                }
                None
            }
            Effect::Table(table) => {
                self.shared.set_groups(agent);
                self.reconciler.set_desired(table);
                if self.reconciler.ends_counters() {
                    self.tell_hits();
                }
                Some(self.reconcile(agent))
            }
            Effect::Repair => Some(self.reconcile(agent)),
            Effect::Remove => {
                match self.reconciler.release() {
                    Ok(()) => {
                        tracing::warn!("released: nothing is judged until this is started again");
                        self.shared.set_released();
                    }
                    Err(error) => tracing::error!("{error}"),
                }
                None
            }
            Effect::Dump => match connections::dump() {
                Ok(flows) => Some(Event::Dumped(flows)),
                Err(error) => {
                    tracing::error!("{error}");
                    None
                }
            },
            Effect::Answer { answer, slot } => {
                self.answers.give(answer, slot);
                None
            }
            Effect::Preview(preview) => {
                self.previews.begin(*preview);
                None
            }
            Effect::Report(body) => {
                self.spool.push(body, connections::now());
                None
            }
            Effect::Status { generation, outcome, message } => {
                let status = v1::ApplyStatus {
                    generation,
                    outcome: outcome.to_owned(),
                    message,
                    queue: self.shared.queue().to_owned(),
                    at_ms: connections::now().0,
                };
                // the link ends only with the process
                let _ = self.up.send(Up::ApplyStatus(status));
                None
            }
        }
    }

    fn reconcile(&mut self, agent: &Agent) -> Event {
        let result = self.reconciler.reconcile().map_err(|error| error.to_string());
        if let Ok(Outcome::Applied { anew: true, .. }) = result {
            self.wishes.all();
        }
        self.trouble = result.as_ref().err().cloned();
        if let Some(error) = &self.trouble {
            tracing::error!("{error}");
        }
        self.shared.set_applied(agent, self.trouble.clone(), self.reconciler.is_owned());
        Event::Applied(result.map(drop))
    }

    /// Who changed the table, if it is not as we left it.
    pub(super) fn tampered(&mut self) -> Option<Vec<Culprit>> {
        match self.reconciler.check() {
            Ok(Found::Intact) => None,
            Ok(Found::Changed { by }) => {
                tracing::warn!("somebody else changed the table inet cnnf: {by:?}");
                Some(by.into_iter().map(|(pid, name)| culprit(pid, name, &self.containers)).collect())
            }
            Err(error) => {
                tracing::warn!("{error}");
                None
            }
        }
    }

    /// Adds what the table counted since the last time, and reads the queues' counters.
    pub(super) fn read_counters(&mut self) -> Event {
        let all = parse_stats(&std::fs::read_to_string(STATS_PATH).unwrap_or_default());
        let identify = IDENTIFY_QUEUE..IDENTIFY_QUEUE + self.queues;
        let of = |is_one: &dyn Fn(u16) -> bool, number: fn(&QueueStats) -> u64| {
            all.iter().filter(|queue| is_one(queue.num)).map(number).sum::<u64>()
        };
        let dropped = |queue: &QueueStats| u64::from(queue.dropped) + u64::from(queue.user_dropped);
        let (first, evidence) = (|number| identify.contains(&number), |number| number == EVIDENCE_QUEUE);
        let lost = of(&first, dropped);
        self.shared.count([
            ("queue_packets", of(&first, |queue| u64::from(queue.last_id))),
            ("queue_waiting", of(&first, |queue| u64::from(queue.waiting))),
            ("queue_dropped", lost),
            ("evidence_packets", of(&evidence, |queue| u64::from(queue.last_id))),
            ("evidence_dropped", of(&evidence, dropped)),
        ]);
        let more = lost.saturating_sub(self.lost);
        self.lost = lost;
        Event::Unjudged { passed: self.count(|_| true), lost: more }
    }

    /// Tells how often rules decided since the last time.
    pub(super) fn tell_hits(&mut self) {
        match self.reconciler.tallies() {
            Ok(tallies) => {
                let now = connections::now();
                let counters = self.reconciler.applied().map(|table| &table.counters);
                for part in self.hits.more(&tallies, counters, now).chunks(limits::MAX_FLOWS) {
                    let hits = part.iter().map(Into::into).collect();
                    self.spool.push(Body::Hits(v1::HitReport { hits }), now);
                }
            }
            Err(error) => tracing::warn!("how often rules decided: {error}"),
        }
    }

    /// What passed without a verdict since an earlier run told of it. Its table is still there.
    pub(super) fn passed_while_away(&mut self) -> Event {
        Event::Unjudged { passed: self.count(|name| name == FAIL_OPEN), lost: 0 }
    }

    /// Adds what these of the table's counters have counted since the last time; says how much of it passed without a verdict.
    fn count(&mut self, is_wanted: impl Fn(&str) -> bool) -> u64 {
        let mut passed = 0;
        let told = self.counted.passed();
        for (name, more) in self.counted.more(self.reconciler.counters().unwrap_or_default(), is_wanted) {
            passed += if name == FAIL_OPEN { more } else { 0 };
            self.shared.add(name, more);
        }
        let now = self.counted.passed();
        if now != told
            && let Err(error) = snapshot::keep_passed(&self.state_dir, &self.boot, now)
        {
            tracing::warn!("what passed without a verdict may be told of twice: {error}");
        }
        passed
    }
}

/// What can be read of a process that the kernel named. Its id is the first process namespace's; in another one it would be somebody else's.
fn culprit(pid: u32, name: String, containers: &Containers) -> Culprit {
    let in_first_namespace =
        std::fs::metadata("/proc/self/ns/pid").is_ok_and(|namespace| namespace.ino() == FIRST_PIDS);
    let process = Process::read(pid).filter(|process| in_first_namespace && process.comm() == Some(name.clone()));
    let unread =
        || event::Process { missing: "it had ended before it could be read".into(), ..event::Process::default() };
    Culprit { process: process.as_ref().map_or_else(unread, |process| described(process, containers)), name }
}
