//! Makes everything run: threads that turn what the host shows into events, one that owns the agent and the table, and the link.
//!
//! The table is in the kernel before anything else is begun, and stays there when the process ends.

mod claims;
mod counted;
mod executor;
mod hits;
mod labels;
mod older;
mod packets;
mod previews;
mod pulse;
mod shared;
mod watch;

use std::collections::VecDeque;
use std::io::IsTerminal;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use cnnf_host::dataplane::{Reconciler, TableSocket};
use cnnf_host::observe::connections::{self, Connections};
use cnnf_host::observe::containers::Containers;
use cnnf_host::observe::{addresses, cgroups, listeners};
use tokio::signal::unix::{SignalKind, signal};

use crate::ability::Ability;
use crate::agent::{Agent, Effect, Event};
use crate::config::Config;
use crate::credentials::Credentials;
use crate::enrolment::Enrolment;
use crate::failure::Failure;
use crate::link::Link;
use crate::local;
use crate::notify::{self, NotifyState, notify};
use crate::prove::Prover;
use crate::sandbox;
use crate::snapshot;
use crate::spool::Spool;
use executor::{Executor, Others};
use older::Wishes;
use pulse::Pulses;
pub(crate) use shared::{Attribution, Shared, Status, queue_word};

/// How long the agent waits for an event before time passes for it.
const TICK: Duration = Duration::from_millis(50);
/// How often it is looked whether the table is still ours: it is read only if somebody else was heard to change rules.
const CHECK: Duration = Duration::from_millis(50);
/// How often the table's counters are read.
const COUNT: Duration = Duration::from_secs(2);
/// How often connections are listed, for the bytes of those that live long: at least after this time,
const LIST: Duration = Duration::from_secs(5);
/// so that a list takes at most one part in so many of the time,
const LIST_SHARE: u32 = 400;
/// but no later than this, whatever it takes.
const LIST_LATEST: Duration = Duration::from_mins(2);
/// How often the service manager is told that we live.
const ALIVE: Duration = Duration::from_secs(1);
/// Under which name the service manager keeps the socket of the table.
const KEPT_TABLE: &str = "table";
/// A thread that packets wait for, and that was not heard of for so long, hangs.
const HANGS: Duration = Duration::from_millis(1200);
/// More queues for first packets than this gain nothing, and each has fewer of those that may wait.
const QUEUES_MAX: usize = 4;
/// Events that are handled before the time is looked at again.
const AT_ONCE: usize = 1000;

/// Runs until a signal says to stop.
pub(crate) fn run(config: Config) -> Result<(), Failure> {
    begin(config, false)
}

/// Puts the table in force as [`run`] does, and ends.
pub(crate) fn boot(config: Config) -> Result<(), Failure> {
    begin(config, true)
}

fn begin(config: Config, table_only: bool) -> Result<(), Failure> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_env_filter(tracing_subscriber::EnvFilter::try_from_env("CNNF_LOG").unwrap_or_else(|_| "info".into()))
        .init();
    let enrolment = Enrolment::load(&config.state_dir)
        .map_err(|error| Failure::refused(format_args!("{}: {error}", config.state_dir.display())))?
        .ok_or_else(|| Failure::refused("this host is not enrolled: run 'cnnf-defender enroll' with a token first"))?;
    let controller = config.controller.clone().unwrap_or_else(|| enrolment.place.controller.clone());
    let port = controller.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
    let port = port.ok_or_else(|| Failure::usage(format_args!("controller '{controller}': write HOST:PORT")))?;
    let failsafes = config.failsafes(port).map_err(Failure::usage)?;
    let ability = Ability::find(&config)?;
    let queue = ability.queue;
    if !ability.unstamped.is_empty() {
        tracing::warn!("every new connection waits until its owner was looked up: {}", ability.unstamped);
    }
    account();
    if let Err(error) = sandbox::filter(config.containers.enter_namespaces) {
        tracing::warn!("every system call is open to this process: {error}");
    }

    let boot = snapshot::boot_id();
    let last_alive = Spool::last_written(&config.state_dir);
    let spool = Spool::open(&config.state_dir, config.spool_bytes, &boot, &format!("{:032x}", rand::random::<u128>()))
        .map_err(|error| Failure::refused(format_args!("{}: {error}", config.state_dir.display())))?;
    let spool = Arc::new(spool);
    let mut agent = Agent::new(
        snapshot::load_stamps(&config.state_dir, &boot),
        last_alive,
        snapshot::load_policy(&config.state_dir),
        queue,
        failsafes,
    );
    let standing = snapshot::load_standing(&config.state_dir);
    agent = agent.with_trials(config.patience(), standing);
    if !ability.unstamped.is_empty() {
        agent = agent.without_stamps();
    }
    match listeners::udp_ports() {
        Ok(ports) => agent = agent.with_udp_ports(ports),
        Err(error) => tracing::warn!("UDP servers of this host may look like clients for a moment: {error}"),
    }
    if !ability.features.named_counters {
        tracing::warn!("how often rules decide is not known: the kernel has no counters that outlive their rules");
        agent = agent.without_counters();
    }
    // each has a thread
    let queues = std::thread::available_parallelism().map_or(1, |processors| processors.get().min(QUEUES_MAX) as u16);
    agent = agent.with_queues(queues);
    let shared = Arc::new(Shared::new(enrolment.place.host_id.clone(), controller.clone(), &ability));
    let (events, inbox) = mpsc::channel();
    let (up, answers_rx) = tokio::sync::mpsc::unbounded_channel();

    // listeners come before the table: its first packet may need them
    let conntrack = Connections::open().map_err(|error| Failure::refused(format_args!("conntrack: {error}")))?;
    let sockets = packets::Sockets::open(queue, queues)?;
    let (watcher, groups) = ability
        .groups
        .map(cgroups::Watcher::open)
        .transpose()
        .map_err(|error| Failure::refused(format_args!("cannot watch the control groups: {error}")))?
        .unzip();
    let table =
        table_socket(config.own_table && ability.features.owner_persist, table_only).map_err(Failure::refused)?;
    let mut reconciler = Reconciler::over(table.clone(), queue).map_err(Failure::refused)?;
    labels::place(&config, &boot, &mut reconciler);
    let (nudge, nudged) = mpsc::channel();
    let containers = Arc::new(Containers::new(config.containers.places()));
    let (wishes, wished) = Wishes::new();
    let others = Others { up, nudge: nudge.clone(), containers: containers.clone(), wishes: wishes.clone(), queues };
    let executor = Executor::new(reconciler, &config.state_dir, boot, spool.clone(), shared.clone(), others);
    shared.set_naming(agent.resolver().naming().clone());
    let pulses = Arc::new(Pulses::new());
    let mut main = Main { agent, executor, shared: shared.clone(), pulses: pulses.clone(), first: true };

    let passed = main.executor.passed_while_away();
    main.handle(passed);
    let found = addresses::read().map_err(|error| Failure::refused(format_args!("addresses of this host: {error}")))?;
    shared.set_addresses(found.own.clone());
    main.handle(Event::Addresses { own: found.own, uplinks: found.uplinks });
    let groups = groups.unwrap_or_default();
    let mut unnamed = watch::containers_in(&groups);
    main.handle(Event::Observed(groups));
    let decided = containers.decided(&mut unnamed);
    watch::tell_nameless(&shared, &decided);
    main.handle(Event::Observed(decided));
    main.handle(Event::Begun);
    // without the table the defender still observes, and the controller is told; a newer policy may do
    let trouble = main.executor.trouble().map(str::to_owned);
    if trouble.is_none() {
        tracing::info!("the table is in force, generation {}", shared.generation());
    }
    if table_only {
        return trouble.map_or(Ok(()), |trouble| Err(Failure::refused(trouble)));
    }

    let (answers, units, enter) = (main.executor.answers(), Arc::default(), config.containers.enter_namespaces);
    let handles = watch::Handles {
        events: events.clone(),
        answers,
        table,
        shared: shared.clone(),
        units,
        containers,
        enter,
        elsewhere: Arc::default(),
    };
    sockets
        .start(&handles, &pulses)
        .and_then(|()| watch::start(handles, watcher, unnamed, conntrack, (nudge, nudged), (wishes, wished)))
        .map_err(|error| Failure::refused(format_args!("a thread: {error}")))?;
    main.carry_out(vec![Effect::Dump]);

    let mut labels = enrolment.place.labels.clone();
    labels.extend(config.labels.clone());
    let credentials = Arc::new(Credentials::new(enrolment, config.state_dir.clone()));
    shared.set_certificate(credentials.expires());
    let prover = Prover {
        controller: controller.clone(),
        credentials: credentials.clone(),
        wanted: main.executor.to_prove(),
        patience: config.patience(),
        agent: events.clone(),
    };
    let link = Link { credentials, controller, labels, spool, shared: shared.clone(), agent: events.clone() };
    let state_dir = config.state_dir.clone();
    let local = local::Server { socket: config.socket.clone(), shared, agent: events };
    std::thread::Builder::new()
        .name("link".into())
        .spawn(move || talk(link, prover, answers_rx, local, &state_dir))
        .map_err(|error| Failure::refused(format_args!("a thread: {error}")))?;
    notify(NotifyState::Ready);
    main.run(&inbox);
    Ok(())
}

/// The socket that the table belongs to. The service manager keeps it open over a restart, so that nobody can take the table meanwhile.
fn table_socket(own: bool, table_only: bool) -> Result<TableSocket, String> {
    if let Some(Ok(table)) = notify::kept(KEPT_TABLE).filter(|_| own).map(|fd| TableSocket::from_fd(fd, own)) {
        return Ok(table);
    }
    let table = TableSocket::open(own).map_err(|error| error.to_string())?;
    match table.fd() {
        Ok(fd) if own && !table_only => notify::keep(KEPT_TABLE, &fd),
        Ok(_) => {}
        Err(error) => tracing::warn!("the table has no owner while this restarts: {error}"),
    }
    Ok(table)
}

/// Asks the kernel to count bytes. Where that is not allowed they are shown as 0.
fn account() {
    if let Err(error) = std::fs::write("/proc/sys/net/netfilter/nf_conntrack_acct", "1") {
        tracing::info!("bytes are not counted: net.netfilter.nf_conntrack_acct: {error}");
    }
}

/// The asynchronous part: the link, the local socket, signals.
fn talk(
    link: Link,
    prover: Prover,
    answers: tokio::sync::mpsc::UnboundedReceiver<cnnf_rpc::v1::defender_message::Body>,
    local: local::Server,
    state_dir: &Path,
) {
    // it could not be made any more
    let _ = local.socket.parent().map(std::fs::create_dir_all);
    let writable = [Some(state_dir), local.socket.parent()];
    if let Err(error) = sandbox::confine(&writable.into_iter().flatten().collect::<Vec<_>>()) {
        tracing::warn!("the thread that speaks with the network may reach more files than it needs: {error}");
    }
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!("no runtime, so no controller: {error}");
            return;
        }
    };
    runtime.block_on(async {
        let socket = local.socket.clone();
        tokio::spawn(local.serve());
        tokio::spawn(link.run(answers));
        tokio::spawn(prover.run());
        stopped().await;
        leave(&socket);
    });
}

async fn stopped() {
    let (Ok(mut term), Ok(mut int)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) else {
        return std::future::pending().await;
    };
    let which = tokio::select! {
        _ = term.recv() => "SIGTERM",
        _ = int.recv() => "SIGINT",
    };
    tracing::info!("{which}: stopping; the table stays in force");
}

fn leave(socket: &Path) -> ! {
    notify(NotifyState::Stopping);
    let _ = std::fs::remove_file(socket);
    std::process::exit(0)
}

/// Owns the agent and carries its effects out.
struct Main {
    agent: Agent,
    executor: Executor,
    shared: Arc<Shared>,
    pulses: Arc<Pulses>,
    first: bool,
}

impl Main {
    fn run(&mut self, inbox: &Receiver<Event>) {
        let mut list_after = LIST;
        let (mut checked, mut counted, mut listed, mut told) = (Instant::now(), Instant::now(), Instant::now(), None);
        loop {
            match inbox.recv_timeout(TICK) {
                Ok(event) => {
                    self.handle(event);
                    for event in inbox.try_iter().take(AT_ONCE) {
                        self.handle(event);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.handle(Event::Tick);
            if checked.elapsed() >= CHECK {
                checked = Instant::now();
                if let Some(by) = self.executor.tampered() {
                    self.handle(Event::Tampered { by });
                }
            }
            if counted.elapsed() >= COUNT || self.first {
                counted = Instant::now();
                self.first = false;
                self.executor.tell_hits();
                let passed = self.executor.read_counters();
                self.handle(passed);
                self.shared.set_counts(&self.agent, self.executor.spool_counts());
            }
            if listed.elapsed() >= list_after {
                let began = Instant::now();
                self.carry_out(vec![Effect::Dump]);
                listed = Instant::now();
                list_after = (began.elapsed() * LIST_SHARE).clamp(LIST, LIST_LATEST);
            }
            if told.is_none_or(|at: Instant| at.elapsed() >= ALIVE) {
                told = Some(Instant::now());
                match self.pulses.silent(HANGS) {
                    None => notify(NotifyState::Watchdog),
                    Some(thread) => {
                        tracing::error!("the thread {thread} hangs: the service manager shall start this anew")
                    }
                }
            }
        }
    }

    fn handle(&mut self, event: Event) {
        let effects = self.agent.handle(event, connections::now());
        self.carry_out(effects);
    }

    fn carry_out(&mut self, effects: Vec<Effect>) {
        let mut effects = VecDeque::from(effects);
        while let Some(effect) = effects.pop_front() {
            if let Some(event) = self.executor.carry_out(effect, &self.agent) {
                // what follows from an effect comes before what was to be done after it
                for effect in self.agent.handle(event, connections::now()).into_iter().rev() {
                    effects.push_front(effect);
                }
            }
        }
    }
}
