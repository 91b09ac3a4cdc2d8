//! The threads that turn what the host shows into events.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use cnnf_core::directory::Endpoint;
use cnnf_core::id::ServiceKey;
use cnnf_core::identity::{Container, of_cgroup};
use cnnf_core::observation::Observation;
use cnnf_host::dataplane::{EndedSockets, TableSocket};
use cnnf_host::kernel::{SockDiag, wait_readable};
use cnnf_host::observe::activation::SocketUnits;
use cnnf_host::observe::cgroups::Watcher;
use cnnf_host::observe::connections::Connections;
use cnnf_host::observe::containers::Containers;
use cnnf_host::observe::namespaces::{self, Namespaces};
use cnnf_host::observe::owner::Owners;
use cnnf_host::observe::{addresses, containers, listeners};

use super::executor::Answers;
use super::older::{Wish, Wishes, stamp_older};
use super::shared::Shared;
use crate::agent::Event;
use crate::namespaces::{Entered, words};

/// How long a thread waits for something to read.
const WAIT: Duration = Duration::from_secs(1);
/// How often the control groups are walked, for what inotify could not tell.
const WALK: Duration = Duration::from_secs(10);
/// How often systemd is asked for its socket units if none is new.
const ASK: Duration = Duration::from_secs(60);
/// A look takes at most one part in so many of the time, so a host with very many sockets is looked at more rarely.
const SCAN_SHARE: u32 = 100;
/// Asking processes who holds one listener that no control group decides takes at most one part in so many of the time.
const ASK_SHARE: u32 = 400;
/// How long connections gather before they are read: nothing waits for them, and a wake-up for each costs more than reading it.
const GATHER: Duration = Duration::from_millis(25);
/// So many at once are not waited for: the kernel's buffer must not overflow.
const MANY: usize = 256;
/// How long processes may be asked for one socket where no packet waits.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);
/// How often listeners and addresses are read.
const SCAN: Duration = Duration::from_secs(2);
/// How long after a new control group its service may listen.
const SETTLE: Duration = Duration::from_millis(200);
/// How often it is looked for other network namespaces, at least after this time,
const LOOK: Duration = Duration::from_secs(10);
/// and so that a look takes at most one part in so many of the time.
const LOOK_SHARE: u32 = 500;

/// Where the threads send what they find.
#[derive(Clone)]
pub(super) struct Handles {
    pub(super) events: Sender<Event>,
    pub(super) answers: Answers,
    /// By which the table is told of packets that wait.
    pub(super) table: TableSocket,
    pub(super) shared: Arc<Shared>,
    pub(super) units: Arc<SocketUnits>,
    pub(super) containers: Arc<Containers>,
    /// Whether other network namespaces are entered.
    pub(super) enter: bool,
    /// Where services in other network namespaces listen.
    pub(super) elsewhere: Arc<Mutex<BTreeMap<ServiceKey, BTreeSet<Endpoint>>>>,
}

/// Starts the threads; these containers have no name yet. They end with the process. Through `nudge` listeners are read after a time, and
/// not only when it is due; through `wishes` connections are stamped that the table has not seen begin.
pub(super) fn start(
    handles: Handles,
    watcher: Option<Watcher>,
    unnamed: BTreeSet<Container>,
    conntrack: Connections,
    (nudge, nudged): (Sender<Duration>, Receiver<Duration>),
    (wishes, wished): (Wishes, Receiver<Wish>),
) -> io::Result<()> {
    let older = handles.clone();
    let (cgroups, connections, units, scan) = (handles.clone(), handles.clone(), handles.clone(), handles.clone());
    let namespaces = handles.clone();
    let last = handles.clone();
    match EndedSockets::open() {
        Ok(ended) => spawn("ended", move || watch_ended_sockets(&last, ended))?,
        Err(error) => tracing::info!("who takes a UDP port over may be called by its last owner's name: {error}"),
    }
    let (found, containers) = mpsc::channel();
    if let Some(watcher) = watcher {
        spawn("cgroups", move || watch_cgroups(&cgroups, watcher, &nudge, &found))?;
    }
    spawn("containers", move || name_containers(&handles, unnamed, &containers))?;
    spawn("connections", move || watch_connections(&connections, conntrack, &wishes))?;
    spawn("older", move || stamp_older(&older, &wished))?;
    spawn("namespaces", move || watch_namespaces(&namespaces))?;
    spawn("units", move || watch_socket_units(&units))?;
    spawn("scan", move || watch_listeners(&scan, &nudged))
}

pub(super) fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().name(name.to_owned()).spawn(run).map(drop)
}

fn watch_cgroups(to: &Handles, mut watcher: Watcher, nudge: &Sender<Duration>, found: &Sender<Container>) {
    let mut walked = Instant::now();
    loop {
        let ready = wait_readable(&watcher, WAIT).unwrap_or(false);
        let mut seen =
            if ready { watcher.read().unwrap_or_else(|error| lost("control groups", &error)) } else { Vec::new() };
        if walked.elapsed() >= WALK {
            walked = Instant::now();
            seen.extend(watcher.rescan());
            to.containers.retain(&watcher.paths().filter_map(|path| of_cgroup(path).container().cloned()).collect());
        }
        let of_socket_unit =
            |o: &Observation| matches!(o, Observation::CgroupSeen { path, .. } if path.ends_with(".socket"));
        if seen.iter().any(of_socket_unit) {
            to.units.want();
        }
        let new = seen.iter().any(|o| matches!(o, Observation::CgroupSeen { .. }));
        let containers = containers_in(&seen);
        if !seen.is_empty() && to.events.send(Event::Observed(seen)).is_err() {
            return;
        }
        // after the group itself, which the name is for
        if containers.into_iter().any(|container| found.send(container).is_err()) {
            return;
        }
        if new && nudge.send(SETTLE).is_err() {
            return;
        }
    }
}

/// The containers whose groups were seen.
pub(super) fn containers_in(seen: &[Observation]) -> BTreeSet<Container> {
    let of = |o: &Observation| match o {
        Observation::CgroupSeen { path, .. } => of_cgroup(path).container().cloned(),
        _ => None,
    };
    seen.iter().filter_map(of).collect()
}

/// Says which containers are called by their id, as that changes whenever they are made anew.
pub(super) fn tell_nameless(shared: &Shared, decided: &[Observation]) {
    for observation in decided {
        if let Observation::ContainerNamed { container, key } = observation
            && *key == container.key(None)
        {
            shared.add("containers_nameless", 1);
            tracing::warn!("{key} is called by its id: no runtime's files name it; see [containers] in defender.toml");
        }
    }
}

/// Finds out what containers are called. Until that is decided their first packets wait, as those of programs do.
fn name_containers(to: &Handles, mut waiting: BTreeSet<Container>, found: &Receiver<Container>) {
    loop {
        match found.recv_timeout(if waiting.is_empty() { WAIT } else { containers::AGAIN }) {
            Ok(container) => {
                waiting.insert(container);
                waiting.extend(found.try_iter());
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        let decided = to.containers.decided(&mut waiting);
        tell_nameless(&to.shared, &decided);
        if !decided.is_empty() && to.events.send(Event::Observed(decided)).is_err() {
            return;
        }
    }
}

fn lost<T>(what: &str, error: &dyn std::fmt::Display) -> Vec<T> {
    tracing::error!("{what}: {error}");
    Vec::new()
}

fn watch_connections(to: &Handles, mut conntrack: Connections, wishes: &Wishes) {
    let mut behind = false;
    loop {
        if !wait_readable(&conntrack, WAIT).unwrap_or(false) {
            continue;
        }
        if !behind {
            thread::sleep(GATHER);
        }
        let seen = conntrack.read().unwrap_or_else(|error| lost("conntrack", &error));
        behind = seen.len() >= MANY;
        wishes.midstream(&seen);
        if !seen.is_empty() && to.events.send(Event::Observed(seen)).is_err() {
            return;
        }
    }
}

/// Deletes the UDP connections of sockets that ended, so that nobody who takes their ports gets their names.
fn watch_ended_sockets(to: &Handles, mut ended: EndedSockets) {
    loop {
        // whole milliseconds are waited for
        let wait = ended.due_in().map_or(WAIT, |due| due + Duration::from_millis(1));
        let _ = wait_readable(&ended, wait);
        match ended.handle() {
            Ok(deleted) => to.shared.add("ended", deleted as u64),
            Err(error) => tracing::warn!("{error}"),
        }
    }
}

/// Asks systemd what its socket units start, when there is a new one.
fn watch_socket_units(to: &Handles) {
    loop {
        match to.units.read() {
            Ok(starts) => {
                if to.events.send(Event::Observed(starts)).is_err() {
                    return;
                }
            }
            Err(error) => tracing::debug!("what socket units start is not known: {error}"),
        }
        to.units.wait_wanted(ASK);
    }
}

/// Looks for other network namespaces, and into them where that is wanted.
fn watch_namespaces(to: &Handles) {
    let mut owners = match Owners::open(to.units.clone(), to.containers.clone()) {
        Ok(owners) => owners.with_patience(PATIENCE),
        Err(error) => {
            tracing::error!("other network namespaces are not looked for: {error}");
            return;
        }
    };
    loop {
        let began = Instant::now();
        owners.name_by(to.shared.naming());
        match namespaces::read(&owners) {
            Ok(found) => {
                let entered = if to.enter { enter(to, &found) } else { BTreeMap::new() };
                tracing::debug!("a look at {} network namespaces took {:?}", found.others.len(), began.elapsed());
                to.shared.set_elsewhere(words(&found, &entered), &found);
            }
            Err(error) => tracing::warn!("other network namespaces: {error}"),
        }
        thread::sleep(LOOK.max(began.elapsed() * LOOK_SHARE));
    }
}

/// Enters each and keeps where its services listen.
fn enter(to: &Handles, found: &Namespaces) -> BTreeMap<u64, Entered> {
    let mut listening: BTreeMap<ServiceKey, BTreeSet<Endpoint>> = BTreeMap::new();
    let mut entered = BTreeMap::new();
    for namespace in found.others.iter().filter(|namespace| namespace.is_connected) {
        let inside =
            namespace.endpoints(&to.units, &to.containers, to.shared.naming()).map_err(|error| error.to_string());
        for (service, endpoints) in inside.iter().flatten() {
            listening.entry(service.clone()).or_default().extend(endpoints);
        }
        entered.insert(namespace.id, inside);
    }
    *to.elsewhere.lock().unwrap_or_else(PoisonError::into_inner) = listening;
    entered
}

/// Reads listeners and addresses; says what is different from the last time.
fn watch_listeners(to: &Handles, nudged: &Receiver<Duration>) {
    let (Ok(mut diag), Ok(owners)) = (SockDiag::open(), Owners::open(to.units.clone(), to.containers.clone())) else {
        tracing::error!("no socket look-ups: endpoints of services are not known");
        return;
    };
    let mut owners = owners.with_patience(PATIENCE).with_share(ASK_SHARE);
    let mut before = (None, None);
    loop {
        let began = Instant::now();
        owners.name_by(to.shared.naming());
        let found = listeners::read(&mut diag, &mut owners).map(|mut found| {
            for (service, endpoints) in &*to.elsewhere.lock().unwrap_or_else(PoisonError::into_inner) {
                found.services.entry(service.clone()).or_default().extend(endpoints);
            }
            found
        });
        match found {
            Ok(found) if before.0.as_ref() != Some(&found) => {
                let all = found.observed();
                before.0 = Some(found);
                if to.events.send(Event::Listening(all)).is_err() {
                    return;
                }
            }
            Ok(_) => {}
            Err(error) => tracing::warn!("{error}"),
        }
        match addresses::read() {
            Ok(found) if before.1.as_ref() != Some(&found) => {
                before.1 = Some(found.clone());
                to.shared.set_addresses(found.own.clone());
                if to.events.send(Event::Addresses { own: found.own, uplinks: found.uplinks }).is_err() {
                    return;
                }
            }
            Ok(_) => {}
            Err(error) => tracing::warn!("addresses of this host: {error}"),
        }
        match nudged.recv_timeout(SCAN.max(began.elapsed() * SCAN_SHARE)) {
            Ok(settle) => {
                thread::sleep(settle);
                // what came meanwhile is seen by the same look
                nudged.try_iter().for_each(drop);
            }
            Err(RecvTimeoutError::Timeout) => {}
            // without control groups to watch nobody nudges
            Err(RecvTimeoutError::Disconnected) => thread::sleep(SCAN),
        }
    }
}
