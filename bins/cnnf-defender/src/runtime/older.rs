//! The thread that stamps connections which the table has not seen begin, so that they are judged like others.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use cnnf_core::id::ServiceKey;
use cnnf_core::observation::{FlowSeen, Moment, Observation};
use cnnf_core::ruleset::{Flags, Slot};
use cnnf_host::dataplane::{Look, Older, OlderConnections};
use cnnf_host::observe::listeners::client_ports;
use cnnf_host::observe::owner::Owners;

use super::packets::Slots;
use super::watch::{Handles, PATIENCE};

/// How many wishes may wait; beyond that they are for all connections anyway.
const WISHES: usize = 256;
/// How long after a look at all of them there is another one: some were about to be established.
const AGAIN: Duration = Duration::from_secs(1);
/// How long a packet may take from the first chain to the last one.
const PASSING: Duration = Duration::from_millis(20);

/// Which connections to look at.
#[derive(Debug)]
pub(super) enum Wish {
    /// Every one: the table was made.
    All,
    /// Those that were taken up mid-stream just now.
    These(Vec<FlowSeen>),
}

/// Where wishes are sent.
#[derive(Clone, Debug)]
pub(super) struct Wishes(SyncSender<Wish>);

impl Wishes {
    pub(super) fn new() -> (Self, Receiver<Wish>) {
        let (to, from) = sync_channel(WISHES);
        (Self(to), from)
    }

    /// Has every connection looked at that nobody has stamped.
    pub(super) fn all(&self) {
        self.send(Wish::All);
    }

    /// Has those of these looked at that were taken up mid-stream.
    pub(super) fn midstream(&self, seen: &[Observation]) {
        let is_midstream = |flow: &FlowSeen| {
            flow.moment == Moment::New && flow.label.has(Flags::MIDSTREAM) && !flow.label.has(Flags::RESOLVED)
        };
        let these: Vec<FlowSeen> = seen
            .iter()
            .filter_map(|o| if let Observation::Flow(flow) = o { Some(flow) } else { None })
            .filter(|flow| is_midstream(flow))
            .cloned()
            .collect();
        if !these.is_empty() {
            self.send(Wish::These(these));
        }
    }

    fn send(&self, wish: Wish) {
        if let Err(TrySendError::Full(wish)) = self.0.try_send(wish) {
            tracing::debug!("too many connections that nobody stamped: {wish:?} is left out");
        }
    }
}

/// Carries wishes out.
pub(super) fn stamp_older(to: &Handles, wishes: &Receiver<Wish>) {
    let opened = OlderConnections::open().map_err(std::io::Error::other);
    let owners = Owners::open(to.units.clone(), to.containers.clone());
    let mut stamper = match opened.and_then(|connections| Ok((connections, owners?))) {
        Ok((connections, owners)) => {
            Stamper { to, connections, owners: owners.with_patience(PATIENCE), slots: Slots::new(to) }
        }
        Err(error) => {
            tracing::error!("connections that are older than the table are not judged: {error}");
            return;
        }
    };
    let mut again: Option<Instant> = None;
    loop {
        let wait = again.map_or(Duration::MAX, |at| at.saturating_duration_since(Instant::now()));
        match wishes.recv_timeout(wait) {
            Ok(Wish::All) => {
                again = Some(Instant::now() + AGAIN);
                stamper.all();
            }
            Ok(Wish::These(flows)) => stamper.these(&flows),
            Err(RecvTimeoutError::Timeout) => {
                again = None;
                stamper.all();
            }
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

struct Stamper<'a> {
    to: &'a Handles,
    connections: OlderConnections,
    owners: Owners,
    slots: Slots,
}

impl Stamper<'_> {
    fn all(&mut self) {
        let began = Instant::now();
        let Self { to, connections, owners, .. } = self;
        let mut listens = |protocol, local, remote| owners.listens(protocol, local, remote);
        let found = connections.all(&mut Look {
            is_here: &|address| to.shared.is_here(address),
            listens: &mut listens,
            client_ports: client_ports(),
        });
        match found {
            Ok((older, unclear)) => {
                let number = older.len();
                let stamped = self.stamp(&older);
                self.to.shared.count([("older_unclear", (unclear + number - stamped) as u64)]);
                if number + unclear > 0 {
                    tracing::info!(
                        "{stamped} of {} connections that began before the table are judged from now on, after {:?}",
                        number + unclear,
                        began.elapsed()
                    );
                }
            }
            Err(error) => tracing::warn!("connections that began before the table are not judged: {error}"),
        }
    }

    fn these(&mut self, flows: &[FlowSeen]) {
        let Self { to, connections, owners, .. } = self;
        let mut listens = |protocol, local, remote| owners.listens(protocol, local, remote);
        let mut look = Look {
            is_here: &|address| to.shared.is_here(address),
            listens: &mut listens,
            client_ports: client_ports(),
        };
        let mut older = Vec::new();
        for flow in flows {
            let (one, other) = ((flow.client, flow.client_port).into(), (flow.server, flow.server_port).into());
            match connections.between(flow.protocol, one, other, &mut look) {
                Ok(found) => older.extend(found),
                Err(error) => tracing::debug!("{error}"),
            }
        }
        self.stamp(&older);
    }

    /// Says who is at the ends of these; returns of how many.
    fn stamp(&mut self, older: &[Older]) -> usize {
        self.owners.name_by(self.to.shared.naming());
        let mut stamped = Vec::new();
        for connection in older {
            let client = self.slot(connection, connection.client, connection.server);
            let server = self.slot(connection, connection.server, connection.client);
            if client.is_none() && server.is_none() {
                continue;
            }
            match self.connections.stamp(connection, client, server) {
                Ok(true) => stamped.push(connection),
                Ok(false) => {}
                Err(error) => tracing::debug!("{connection:?}: {error}"),
            }
        }
        if !stamped.is_empty() {
            thread::sleep(PASSING);
        }
        for connection in &stamped {
            if let Err(error) = self.connections.unseal(connection) {
                tracing::debug!("{connection:?}: {error}");
            }
        }
        self.to.shared.add("older", stamped.len() as u64);
        stamped.len()
    }

    /// The service at one end, if that is here and can be found: a socket that is closed already needs no judgement.
    fn slot(&mut self, connection: &Older, local: std::net::SocketAddr, remote: std::net::SocketAddr) -> Option<Slot> {
        if !self.to.shared.is_here(local.ip()) {
            return None;
        }
        let answer = self.owners.of_connection(connection.protocol, local, remote, 0);
        if answer.key == ServiceKey::unknown() && answer.cgroup.is_empty() {
            return None;
        }
        self.slots.of(answer.key)
    }
}
