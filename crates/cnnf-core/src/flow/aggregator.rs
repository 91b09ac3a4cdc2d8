//! Counts connections by what they have in common, in bounded memory.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use super::{FlowKey, FlowRecord, FlowStats};
use crate::id::ServiceKey;
use crate::identity::{Ends, Owner};
use crate::observation::{FlowSeen, Moment};
use crate::ruleset::Flags;
use crate::time::Timestamp;

/// How much an [`Aggregator`] may remember.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Different flows between two reports; what is beyond is counted together, see [`Aggregator`].
    pub keys: usize,
    /// Live connections whose bytes are followed; of further ones the bytes are counted when they end.
    pub live: usize,
    /// How long a connection between two services of this host may wait for its second stamp.
    pub stamp_wait: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { keys: 10_000, live: 100_000, stamp_wait: Duration::from_secs(1) }
    }
}

/// What was seen and not reported as flows, in connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Skipped {
    /// Taken up mid-stream: nobody knows who opened them.
    pub midstream: u64,
    /// Neither end is a socket of this host: forwarded or bridged.
    pub foreign: u64,
    /// Reported, but as part of a remainder.
    pub merged: u64,
}

/// From single connections to counted flows.
///
/// Beyond [`Bounds::keys`] a connection is counted under its services and protocol alone: the addresses that are not this host's are
/// unspecified (`0.0.0.0` or `::`) and the port is 0. Nothing is dropped: connections and bytes of all records add up to what was seen.
/// A connection between two services of this host is counted once, with both.
#[derive(Debug)]
pub struct Aggregator {
    bounds: Bounds,
    flows: BTreeMap<FlowKey, FlowStats>,
    live: HashMap<u32, Live>,
    waiting: HashMap<u32, Waiting>,
    skipped: Skipped,
    sweep: bool,
}

#[derive(Clone, Copy, Debug)]
struct Live {
    /// Bytes counted already.
    bytes: u64,
    /// The sweep in which it was last seen.
    sweep: bool,
}

#[derive(Debug)]
struct Waiting {
    flow: FlowSeen,
    client: Owner,
    server: Owner,
    stats: FlowStats,
}

impl Aggregator {
    /// An empty one.
    #[must_use]
    pub fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            flows: BTreeMap::new(),
            live: HashMap::new(),
            waiting: HashMap::new(),
            skipped: Skipped::default(),
            sweep: false,
        }
    }

    /// Counts a moment of a connection's life. A connection that was not seen to begin counts as opened when a dump lists it.
    pub fn absorb(&mut self, flow: &FlowSeen, ends: &Ends) {
        self.take(flow, ends, true);
    }

    /// Takes a connection up that an earlier run has counted: from now on its bytes count, and nothing of before.
    pub fn adopt(&mut self, flow: &FlowSeen, ends: &Ends) {
        if self.live.len() < self.bounds.live {
            self.live.insert(flow.id, Live { bytes: total(flow), sweep: self.sweep });
        }
        self.take(flow, ends, false);
    }

    /// Begins a dump of everything that lives.
    pub fn begin_sweep(&mut self) {
        self.sweep = !self.sweep;
    }

    /// Ends a dump: connections that it did not list have ended unseen. Their last bytes are lost.
    pub fn end_sweep(&mut self) {
        let sweep = self.sweep;
        self.live.retain(|_, live| live.sweep == sweep);
    }

    fn take(&mut self, flow: &FlowSeen, ends: &Ends, count: bool) {
        let known = self.live.contains_key(&flow.id);
        let opened = u64::from(count && !known && matches!(flow.moment, Moment::New | Moment::Alive));
        let opened = if self.live.len() >= self.bounds.live && flow.moment == Moment::Alive { 0 } else { opened };
        if flow.label.has(Flags::MIDSTREAM) {
            self.skipped.midstream += opened;
            self.follow(flow);
            return;
        }
        if ends.client == Owner::Remote && ends.server == Owner::Remote {
            self.skipped.foreign += opened;
            self.follow(flow);
            return;
        }
        let bytes = self.follow(flow);
        let mut stats = FlowStats { connections: opened, bytes, first: flow.at, last: flow.at };
        let waited = self.waiting.remove(&flow.id);
        let (mut client, mut server) = (ends.client.clone(), ends.server.clone());
        if let Some(waited) = waited {
            stats.merge(&waited.stats);
            // the end of an entry is reported with its label, but what was known before must not get lost
            client = better(client, waited.client);
            server = better(server, waited.server);
        }
        let unstamped = client == Owner::Unstamped || server == Owner::Unstamped;
        if unstamped && flow.moment != Moment::End && self.waiting.len() < self.bounds.live {
            self.waiting.insert(flow.id, Waiting { flow: flow.clone(), client, server, stats });
        } else {
            self.count(flow, client, server, stats);
        }
    }

    /// Remembers how far the connection's bytes are counted; returns those that are new.
    fn follow(&mut self, flow: &FlowSeen) -> u64 {
        let now = total(flow);
        match flow.moment {
            Moment::End => now.saturating_sub(self.live.remove(&flow.id).map_or(0, |live| live.bytes)),
            Moment::New | Moment::Alive => {
                let sweep = self.sweep;
                if let Some(live) = self.live.get_mut(&flow.id) {
                    live.sweep = sweep;
                    let new = now.saturating_sub(live.bytes);
                    live.bytes += new;
                    new
                } else if self.live.len() < self.bounds.live {
                    self.live.insert(flow.id, Live { bytes: now, sweep });
                    now
                } else {
                    0
                }
            }
        }
    }

    fn count(&mut self, flow: &FlowSeen, client: Owner, server: Owner, stats: FlowStats) {
        if stats.connections == 0 && stats.bytes == 0 {
            return;
        }
        let key = FlowKey {
            client_service: service(client),
            client: flow.client,
            server_service: service(server),
            server: flow.server,
            protocol: flow.protocol,
            port: flow.server_port,
        };
        let key = if self.flows.len() < self.bounds.keys || self.flows.contains_key(&key) {
            key
        } else {
            self.skipped.merged += stats.connections;
            remainder(key)
        };
        self.flows.entry(key).and_modify(|known| known.merge(&stats)).or_insert(stats);
    }

    /// Hands over what was counted since the last time.
    pub fn drain(&mut self, now: Timestamp) -> Vec<FlowRecord> {
        let overdue: Vec<u32> = self
            .waiting
            .iter()
            .filter(|(_, waiting)| now.since(waiting.stats.first) >= self.bounds.stamp_wait)
            .map(|(id, _)| *id)
            .collect();
        for id in overdue {
            if let Some(waiting) = self.waiting.remove(&id) {
                self.count(&waiting.flow, waiting.client, waiting.server, waiting.stats);
            }
        }
        std::mem::take(&mut self.flows).into_iter().map(|(key, stats)| FlowRecord { key, stats }).collect()
    }

    /// What was not reported as it is.
    #[must_use]
    pub fn skipped(&self) -> Skipped {
        self.skipped
    }

    /// Connections that are followed now.
    #[must_use]
    pub fn live(&self) -> usize {
        self.live.len()
    }
}

fn total(flow: &FlowSeen) -> u64 {
    flow.bytes.map_or(0, |(there, back)| there.saturating_add(back))
}

fn better(new: Owner, known: Owner) -> Owner {
    if matches!(new, Owner::Local(_)) { new } else { known }
}

/// An end of this host that nobody stamped is `unknown`.
fn service(owner: Owner) -> Option<ServiceKey> {
    match owner {
        Owner::Remote => None,
        Owner::Unstamped => Some(ServiceKey::unknown()),
        Owner::Local(key) => Some(key),
    }
}

fn remainder(key: FlowKey) -> FlowKey {
    let blur = |address: IpAddr| -> IpAddr {
        if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() }
    };
    FlowKey { client: blur(key.client), server: blur(key.server), port: 0, ..key }
}
