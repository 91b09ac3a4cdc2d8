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
    Answer, FirstPacket, LoggedCopies, LoggedCopy, OUR_THREADS, Released, Resolved, WAITING_MAX, WaitingPacket,
    WaitingPackets,
};
use cnnf_host::kernel::wait_readable;
use cnnf_host::observe::connections::now;
use cnnf_host::observe::evidence::Descriptions;
use cnnf_host::observe::owner::Owners;

use super::claims::Claims;
use super::executor::Answers;
use super::pulse::{Pulse, Pulses};
use super::watch::{Handles, spawn};
use crate::agent::{EVIDENCE_QUEUE, Event, IDENTIFY_QUEUE, LOG_GROUP, LoggedEdge, LoggedPacket};
use crate::evidence::{Connection, Evidence};
use crate::failure::Failure;

/// How often a thread that waits for packets shows that it works.
const WAIT: Duration = Duration::from_millis(500);
/// Packets that are answered with one change of the table: more, and the first would wait for the last.
const AT_ONCE: usize = 8;
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
    identify: Vec<WaitingPackets>,
    evidence: Option<WaitingPackets>,
    copies: LoggedCopies,
}

impl Sockets {
    /// So many queues share the first packets without a stamp.
    pub(super) fn open(queue: QueueBackend, among: u16) -> Result<Self, Failure> {
        let taken = |error: &dyn std::fmt::Display| {
            Failure::refused(format_args!("{error}: is another cnnf-defender running in this network namespace?"))
        };
        let queues = queue != QueueBackend::None;
        let open =
            |number, fail_open, length| WaitingPackets::open(number, fail_open, length).map_err(|error| taken(&error));
        // one sender's packets may be in all of them
        let length = WAITING_MAX / u32::from(among.max(1));
        let identify = (0..if queues { among } else { 0 }).map(|n| open(IDENTIFY_QUEUE + n, true, length));
        Ok(Self {
            identify: identify.collect::<Result<_, _>>()?,
            evidence: queues.then(|| open(EVIDENCE_QUEUE, false, WAITING_MAX)).transpose()?,
            copies: LoggedCopies::open(LOG_GROUP).map_err(|error| taken(&error))?,
        })
    }

    /// Starts the threads. They end with the process.
    pub(super) fn start(self, handles: &Handles, pulses: &Pulses) -> std::io::Result<()> {
        let (evidence, claims) = (Arc::new(Evidence::default()), Arc::new(Claims::default()));
        for queue in self.identify {
            let (desk, claims, pulse) = (Desk::open(handles, &evidence)?, claims.clone(), pulses.of("cnnf:identify"));
            spawn_urgent("cnnf:identify", move || desk.identify(queue, &claims, &pulse))?;
        }
        if let Some(queue) = self.evidence {
            let (desk, pulse) = (Desk::open(handles, &evidence)?, pulses.of("cnnf:evidence"));
            spawn_urgent("cnnf:evidence", move || desk.wait_for_evidence(queue, &pulse))?;
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
    fn identify(mut self, mut queue: WaitingPackets, claims: &Claims, pulse: &Pulse) {
        loop {
            pulse.beat();
            let mut waiting = VecDeque::from(read(&mut queue));
            while let Some(first) = waiting.front() {
                claims.wait(first.original);
                let is_next = |(n, next): &(usize, &WaitingPacket)| *n == 0 || claims.take(next.original);
                let number = waiting.iter().take(AT_ONCE).enumerate().take_while(is_next).count();
                let together: Vec<WaitingPacket> = waiting.drain(..number).collect();
                self.answer(&mut queue, &together, pulse);
                claims.release(together.iter().map(|waiting| waiting.original));
            }
        }
    }

    /// Answers packets of as many connections.
    fn answer(&mut self, queue: &mut WaitingPackets, together: &[WaitingPacket], pulse: &Pulse) {
        self.owners.name_by(self.to.shared.naming());
        let mut known = Vec::with_capacity(together.len());
        for waiting in together {
            known.push(self.whose(waiting));
            pulse.beat();
        }
        let all: Vec<Resolved> = known.iter().flatten().copied().collect();
        if !all.is_empty()
            && let Err(error) = self.released.resolved(&all)
        {
            tracing::warn!("{error}");
            // one that is refused takes all with it
            let mut alone = |one: &Resolved| all.len() > 1 && self.released.resolved(std::slice::from_ref(one)).is_ok();
            known = known.into_iter().map(|one| one.filter(&mut alone)).collect();
        }
        let (mut answers, mut resolved) = (Vec::with_capacity(together.len()), Vec::with_capacity(together.len()));
        for (waiting, known) in together.iter().zip(&known) {
            if known.is_some() {
                self.remember(waiting.original);
                resolved.push(waiting.original);
            } else {
                self.to.shared.add("unanswered", 1);
            }
            answers.push((waiting.id, if known.is_some() { Answer::Repeat } else { Answer::Accept }));
        }
        if let Err(error) = queue.answer(&answers) {
            tracing::error!("{error}");
        }
        if !resolved.is_empty()
            && let Err(error) = self.released.forget(&resolved)
        {
            tracing::debug!("{error}");
        }
    }

    /// Who is at the ends of a packet's connection, if that can be said and was not said too often already.
    fn whose(&mut self, waiting: &WaitingPacket) -> Option<Resolved> {
        let known = self.answered.get(&waiting.original).filter(|(at, _)| at.elapsed() < AGAIN);
        if known.is_some_and(|(_, times)| *times >= TIMES) {
            return None;
        }
        let (client, server) = self.slots_of(waiting)?;
        Some(Resolved { packet: waiting.original, client, server })
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
            self.evidence.keep(connection(&waiting.packet), process, Instant::now());
        } else if !answer.missing.is_empty() {
            let process = Process { cgroup: answer.cgroup, missing: answer.missing, ..Process::default() };
            self.evidence.keep(connection(&waiting.packet), process, Instant::now());
        }
        self.slots.of(answer.key)
    }

    /// The packet was answered for once more.
    fn remember(&mut self, packet: FirstPacket) {
        let known = self.answered.get(&packet).filter(|(at, _)| at.elapsed() < AGAIN);
        let times = known.map_or(0, |(_, times)| *times) + 1;
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
    fn wait_for_evidence(mut self, mut queue: WaitingPackets, pulse: &Pulse) {
        loop {
            pulse.beat();
            for waiting in read(&mut queue) {
                let connection = connection(&waiting.packet);
                if self.evidence.of(&connection).is_none() {
                    let (local, remote) = ends(&waiting);
                    let process = self.owners.evidence(connection.protocol, local, remote, waiting.ifindex);
                    self.evidence.keep(connection, process, Instant::now());
                }
                let told = self.released.evident(&waiting.original);
                // it is refused either way; without the element it would wait again
                let answer = if told.is_ok() { Answer::Repeat } else { Answer::Drop };
                if let Err(error) = queue.answer(&[(waiting.id, answer)]) {
                    tracing::error!("{error}");
                }
                pulse.beat();
            }
        }
    }

    fn read_copies(mut self, mut copies: LoggedCopies) {
        let mut looked = Looked::default();
        loop {
            if !wait_readable(&copies, WAIT).unwrap_or(false) {
                continue;
            }
            match copies.read() {
                Ok((all, lost)) => {
                    if lost > 0 {
                        self.to.shared.add("events_lost", lost);
                    }
                    for copy in all {
                        let event = Event::Logged(Box::new(self.logged(&copy, &mut looked)));
                        if self.to.events.send(event).is_err() {
                            return;
                        }
                    }
                }
                Err(error) => tracing::error!("{error}"),
            }
        }
    }

    fn logged(&mut self, copy: &LoggedCopy, looked: &mut Looked) -> LoggedPacket {
        let FirstPacket { protocol, client, server } = copy.connection;
        let mut packet = LoggedPacket { at: now(), prefix: copy.prefix, client, server, protocol, process: None };
        let began = Instant::now();
        let known = self.evidence.of(&connection(&copy.connection));
        if known.is_none() && !looked.may(packet.edge(), began) {
            return packet;
        }
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
        packet.process = Some(process);
        packet
    }
}

/// How often processes were looked for lately, by edge: a look takes longer than a packet, and an edge's other packets are counted with those
/// whose process is known.
#[derive(Default)]
struct Looked(HashMap<LoggedEdge, (Instant, u32)>);

impl Looked {
    /// So often in a second,
    const TIMES: u32 = 16;
    /// of so many edges; of more each is looked for, until the second is over.
    const EDGES: usize = 4096;

    /// Whether one may look once more.
    fn may(&mut self, edge: LoggedEdge, now: Instant) -> bool {
        let is_over = |since: &Instant| now.duration_since(*since) >= Duration::from_secs(1);
        if self.0.len() >= Self::EDGES {
            self.0.retain(|_, (since, _)| !is_over(since));
        }
        if self.0.len() >= Self::EDGES && !self.0.contains_key(&edge) {
            return true;
        }
        let (since, times) = self.0.entry(edge).or_insert((now, 0));
        if is_over(since) {
            (*since, *times) = (now, 0);
        }
        *times += 1;
        *times <= Self::TIMES
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
