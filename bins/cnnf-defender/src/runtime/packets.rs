//! The threads that answer for packets which wait, and that read copies of those that a policy speaks of.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use cnnf_core::event::Process;
use cnnf_core::id::ServiceKey;
use cnnf_core::policy::Vantage;
use cnnf_core::ruleset::{QueueBackend, Slot};
use cnnf_host::dataplane::{
    Answer, FirstPacket, LoggedCopies, LoggedCopy, OUR_THREADS, Released, WaitingPacket, WaitingPackets,
};
use cnnf_host::kernel::wait_readable;
use cnnf_host::observe::connections::now;
use cnnf_host::observe::evidence::Descriptions;
use cnnf_host::observe::owner::Owners;

use super::executor::Answers;
use super::watch::{Handles, spawn};
use crate::agent::{EVIDENCE_QUEUE, Event, IDENTIFY_QUEUE, LOG_GROUP, LoggedPacket};
use crate::evidence::{Connection, Evidence};
use crate::failure::Failure;

const WAIT: Duration = Duration::from_secs(1);
/// How long the agent may take to name a slot; then the packet goes on and the late chain decides.
const NAMED_WITHIN: Duration = Duration::from_secs(1);
/// A packet that was answered so often within this time, and waits again, is not recognised by the table. Twice is nothing strange: the
/// same ports may be used again at once.
const AGAIN: Duration = Duration::from_secs(2);
const TIMES: u8 = 8;
/// Answers that are remembered.
const REMEMBERED: usize = 1024;

/// The sockets on which packets come. They are opened before the table is made that sends them.
pub(super) struct Sockets {
    identify: Option<WaitingPackets>,
    evidence: Option<WaitingPackets>,
    copies: LoggedCopies,
}

impl Sockets {
    pub(super) fn open(queue: QueueBackend) -> Result<Self, Failure> {
        let taken = |error: &dyn std::fmt::Display| {
            Failure::refused(format_args!("{error}: is another cnnf-defender running in this network namespace?"))
        };
        let queues = queue != QueueBackend::None;
        let open = |number, fail_open| WaitingPackets::open(number, fail_open).map_err(|error| taken(&error));
        Ok(Self {
            identify: queues.then(|| open(IDENTIFY_QUEUE, true)).transpose()?,
            evidence: queues.then(|| open(EVIDENCE_QUEUE, false)).transpose()?,
            copies: LoggedCopies::open(LOG_GROUP).map_err(|error| taken(&error))?,
        })
    }

    /// Starts the threads. They end with the process.
    pub(super) fn start(self, handles: &Handles) -> std::io::Result<()> {
        let evidence = Arc::new(Evidence::default());
        if let Some(queue) = self.identify {
            let desk = Desk::open(handles, &evidence)?;
            spawn_urgent("cnnf:identify", move || desk.identify(queue))?;
        }
        if let Some(queue) = self.evidence {
            let desk = Desk::open(handles, &evidence)?;
            spawn_urgent("cnnf:evidence", move || desk.wait_for_evidence(queue))?;
        }
        let desk = Desk::open(handles, &evidence)?;
        spawn_urgent("cnnf:copies", move || desk.read_copies(self.copies))
    }
}

/// Starts a thread that comes before others: a packet waits for it, or a process is about to end.
fn spawn_urgent(name: &'static str, run: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
    // or each packet that it lets go would look like somebody else's change of the table
    debug_assert!(name.starts_with(OUR_THREADS));
    spawn(name, move || {
        if let Err(error) = rustix::process::nice(-15) {
            tracing::debug!("{name} is as urgent as everything else: {error}");
        }
        run();
    })
}

/// The slots of services, as the agent gives them.
pub(super) struct Slots {
    events: mpsc::Sender<Event>,
    answers: Answers,
    known: HashMap<ServiceKey, Slot>,
}

impl Slots {
    pub(super) fn new(to: &Handles) -> Self {
        Self { events: to.events.clone(), answers: to.answers.clone(), known: HashMap::new() }
    }

    /// The slot of a service, once the table knows it.
    pub(super) fn of(&mut self, key: ServiceKey) -> Option<Slot> {
        if let Some(slot) = self.known.get(&key) {
            return Some(*slot);
        }
        let (tx, rx) = mpsc::channel();
        let answer = self.answers.expect(tx);
        self.events.send(Event::Identified { key: key.clone(), answer }).ok()?;
        let slot = rx.recv_timeout(NAMED_WITHIN).ok()?;
        self.known.insert(key, slot);
        Some(slot)
    }
}

/// What a thread needs to find out about packets.
struct Desk {
    to: Handles,
    owners: Owners,
    released: Released,
    evidence: Arc<Evidence>,
    descriptions: Descriptions,
    slots: Slots,
    answered: HashMap<FirstPacket, (Instant, u8)>,
    order: VecDeque<FirstPacket>,
}

impl Desk {
    fn open(to: &Handles, evidence: &Arc<Evidence>) -> std::io::Result<Self> {
        Ok(Self {
            to: to.clone(),
            owners: Owners::open(to.units.clone(), to.containers.clone())?,
            released: Released::over(to.table.clone()),
            evidence: evidence.clone(),
            descriptions: Descriptions::default(),
            slots: Slots::new(to),
            answered: HashMap::new(),
            order: VecDeque::new(),
        })
    }

    /// Says whose packets are that the kernel could not stamp.
    fn identify(mut self, mut queue: WaitingPackets) {
        loop {
            let mut resolved = Vec::new();
            for waiting in read(&mut queue) {
                let answer = self.whose(&waiting);
                match answer {
                    Answer::Repeat => resolved.push(waiting.original),
                    Answer::Accept => self.to.shared.add("unanswered", 1),
                    Answer::Drop => {}
                }
                if let Err(error) = queue.answer(waiting.id, answer) {
                    tracing::error!("{error}");
                }
            }
            if !resolved.is_empty()
                && let Err(error) = self.released.forget(&resolved)
            {
                tracing::debug!("{error}");
            }
        }
    }

    fn whose(&mut self, waiting: &WaitingPacket) -> Answer {
        let known = self.answered.get(&waiting.original).filter(|(at, _)| at.elapsed() < AGAIN);
        let times = known.map_or(0, |(_, times)| *times);
        if times >= TIMES {
            return Answer::Accept;
        }
        self.owners.name_by(self.to.shared.naming());
        let Some((client, server)) = self.slots_of(waiting) else { return Answer::Accept };
        if let Err(error) = self.released.resolved(&waiting.original, client, server) {
            tracing::warn!("{error}");
            return Answer::Accept;
        }
        self.remember(waiting.original, times + 1);
        Answer::Repeat
    }

    /// The slots of the client and of the server, as far as they are here. The packet waits but once: if both are, both are needed now.
    fn slots_of(&mut self, waiting: &WaitingPacket) -> Option<(Option<Slot>, Option<Slot>)> {
        let own = self.owner(waiting)?;
        if !waiting.outgoing {
            return Some((None, Some(own)));
        }
        let FirstPacket { protocol, client, server } = waiting.packet;
        let server = if self.to.shared.is_here(server.ip()) {
            let key = self.owners.of_server(protocol, server, client);
            Some(self.slots.of(key)?)
        } else {
            None
        };
        Some((Some(own), server))
    }

    fn owner(&mut self, waiting: &WaitingPacket) -> Option<Slot> {
        let (local, remote) = ends(waiting);
        if local.ip().is_multicast() {
            // any number of sockets may get it
            return Some(Slot::AMBIGUOUS);
        }
        let answer = self.owners.of_connection(waiting.packet.protocol, local, remote, waiting.ifindex);
        if answer.asked {
            self.to.shared.add("by_holders", 1);
        }
        if let Some(holder) = &answer.holder {
            let process = self.descriptions.of(holder, &self.to.containers);
            self.evidence.keep(connection(&waiting.packet), process);
        } else if !answer.missing.is_empty() {
            let process = Process { cgroup: answer.cgroup, missing: answer.missing, ..Process::default() };
            self.evidence.keep(connection(&waiting.packet), process);
        }
        self.slots.of(answer.key)
    }

    fn remember(&mut self, packet: FirstPacket, times: u8) {
        if self.answered.insert(packet, (Instant::now(), times)).is_none() {
            self.order.push_back(packet);
        }
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.answered.remove(&oldest);
        }
    }

    /// Reads the evidence for packets that will be refused.
    fn wait_for_evidence(mut self, mut queue: WaitingPackets) {
        loop {
            for waiting in read(&mut queue) {
                let connection = connection(&waiting.packet);
                if self.evidence.of(&connection).is_none() {
                    let (local, remote) = ends(&waiting);
                    let process = self.owners.evidence(connection.protocol, local, remote, waiting.ifindex);
                    self.evidence.keep(connection, process);
                }
                let told = self.released.evident(&waiting.original);
                // it is refused either way; without the element it would wait again
                let answer = if told.is_ok() { Answer::Repeat } else { Answer::Drop };
                if let Err(error) = queue.answer(waiting.id, answer) {
                    tracing::error!("{error}");
                }
            }
        }
    }

    fn read_copies(mut self, mut copies: LoggedCopies) {
        loop {
            if !wait_readable(&copies, WAIT).unwrap_or(false) {
                continue;
            }
            match copies.read() {
                Ok((all, lost)) => {
                    if lost {
                        self.to.shared.add("events_lost", 1);
                    }
                    for copy in all {
                        let event = Event::Logged(Box::new(self.logged(&copy)));
                        if self.to.events.send(event).is_err() {
                            return;
                        }
                    }
                }
                Err(error) => tracing::error!("{error}"),
            }
        }
    }

    fn logged(&mut self, copy: &LoggedCopy) -> LoggedPacket {
        let FirstPacket { protocol, client, server } = copy.connection;
        let began = Instant::now();
        let known = self.evidence.of(&connection(&copy.connection));
        let mut process = known.unwrap_or_else(|| match copy.prefix.side {
            Vantage::Client => self.owners.evidence(protocol, client, server, 0),
            Vantage::Server => self.owners.evidence(protocol, server, client, copy.ifindex),
        });
        if process.pid == 0
            && let Some(oldest) = self.to.shared.group(copy.prefix.slot).and_then(|path| self.owners.oldest(&path))
        {
            let known = self.descriptions.of(&oldest, &self.to.containers);
            let parts = [process.missing.as_str(), "this is the oldest process of the unit", known.missing.as_str()];
            let missing = parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("; ");
            process = Process { missing, ..known };
        }
        tracing::debug!("evidence after {:?}: {process:?}", began.elapsed());
        LoggedPacket { at: now(), prefix: copy.prefix, client, server, protocol, process }
    }
}

fn read(queue: &mut WaitingPackets) -> Vec<WaitingPacket> {
    if !wait_readable(&*queue, WAIT).unwrap_or(false) {
        return Vec::new();
    }
    queue.read().unwrap_or_else(|error| {
        tracing::error!("{error}");
        Vec::new()
    })
}

/// Local and remote end.
fn ends(waiting: &WaitingPacket) -> (SocketAddr, SocketAddr) {
    let FirstPacket { client, server, .. } = waiting.packet;
    if waiting.outgoing { (client, server) } else { (server, client) }
}

fn connection(packet: &FirstPacket) -> Connection {
    Connection { protocol: packet.protocol, client: packet.client, server: packet.server }
}
