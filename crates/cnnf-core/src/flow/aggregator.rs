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
    live: HashMap<Connection, Live>,
    waiting: HashMap<Connection, Waiting>,
    skipped: Skipped,
    swept: Timestamp,
}

/// Which connection it is: the kernel's id and both ports. The id alone is a hash of 32 bits (`nf_ct_get_id` of nf_conntrack_core.c): with
/// 100,000 live connections one in some 40,000 new ones has the id of another.
type Connection = (u32, u16, u16);

fn connection(flow: &FlowSeen) -> Connection {
    (flow.id, flow.client_port, flow.server_port)
}

/// What is remembered of a live connection: most of its events carry no stamp.
#[derive(Clone, Debug)]
struct Live {
    /// Bytes counted already.
    bytes: u64,
    /// When it was last heard of.
    heard: Timestamp,
    client: Owner,
    server: Owner,
    midstream: bool,
}

#[derive(Debug)]
struct Waiting {
    flow: FlowSeen,
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
            swept: Timestamp::default(),
        }
    }

    /// Takes a connection up that an earlier run may have counted: from now on its bytes count, and nothing of before. Its flow is told
    /// of with no connection, in case it began after that run had ended.
    pub fn adopt(&mut self, flow: &FlowSeen, ends: &Ends) {
        let live = self.first_sight(flow, ends);
        let is_local = live.client != Owner::Remote || live.server != Owner::Remote;
        if is_local && !live.midstream {
            let nothing = FlowStats { connections: 0, bytes: 0, first: flow.at, last: flow.at };
            self.add(flow, live.client.clone(), live.server.clone(), nothing);
        }
        if self.live.len() < self.bounds.live {
            self.live.insert(connection(flow), Live { bytes: total(flow), ..live });
        }
    }

    /// Says that all of a dump of everything that lives, made at `at`, was absorbed. Connections that neither this dump nor anything since
    /// the one before has told of have ended unseen; their last bytes are lost. (One dump is not enough: what a connection's end has
    /// to say may still be on its way.)
    pub fn swept(&mut self, at: Timestamp) {
        let before = std::mem::replace(&mut self.swept, at);
        let ended: Vec<(Connection, Live)> = self.live.extract_if(|_, live| live.heard < before).collect();
        for (id, live) in ended {
            if let Some(Waiting { flow, stats }) = self.waiting.remove(&id) {
                self.count(&flow, live.client, live.server, stats);
            }
        }
    }

    fn first_sight(&self, flow: &FlowSeen, ends: &Ends) -> Live {
        Live {
            bytes: 0,
            heard: flow.at,
            client: ends.client.clone(),
            server: ends.server.clone(),
            midstream: flow.label.has(Flags::MIDSTREAM),
        }
    }

    /// Counts a moment of a connection's life. A connection that was not seen to begin counts as opened when a dump lists it.
    pub fn absorb(&mut self, flow: &FlowSeen, ends: &Ends) {
        let known = self.live.remove(&connection(flow));
        let room = self.live.len() < self.bounds.live;
        let opened = match flow.moment {
            // without room it is not known whether it was counted before
            Moment::Alive => u64::from(known.is_none() && room),
            Moment::New => u64::from(known.is_none()),
            Moment::End => 0,
        };
        let mut live = known.unwrap_or_else(|| self.first_sight(flow, ends));
        live.heard = live.heard.max(flow.at);
        live.midstream |= flow.label.has(Flags::MIDSTREAM);
        live.client = better(&ends.client, &live.client);
        live.server = better(&ends.server, &live.server);
        let remembered = room && flow.moment != Moment::End;
        // bytes of a connection that cannot be followed are counted once, at its end
        let bytes = if remembered || flow.moment == Moment::End { total(flow).saturating_sub(live.bytes) } else { 0 };
        live.bytes += bytes;
        let stats = FlowStats { connections: opened, bytes, first: flow.at, last: flow.at };
        self.judge(flow, &live, stats, remembered);
        if remembered {
            self.live.insert(connection(flow), live);
        }
    }

    fn judge(&mut self, flow: &FlowSeen, live: &Live, mut stats: FlowStats, may_wait: bool) {
        if live.midstream {
            self.skipped.midstream += stats.connections;
            return;
        }
        if live.client == Owner::Remote && live.server == Owner::Remote {
            self.skipped.foreign += stats.connections;
            return;
        }
        if let Some(waited) = self.waiting.remove(&connection(flow)) {
            stats.merge(&waited.stats);
        }
        let unstamped = live.client == Owner::Unstamped || live.server == Owner::Unstamped;
        if unstamped && stats.connections > 0 && may_wait {
            self.waiting.insert(connection(flow), Waiting { flow: flow.clone(), stats });
        } else {
            self.count(flow, live.client.clone(), live.server.clone(), stats);
        }
    }

    fn count(&mut self, flow: &FlowSeen, client: Owner, server: Owner, stats: FlowStats) {
        if stats.connections > 0 || stats.bytes > 0 {
            self.add(flow, client, server, stats);
        }
    }

    fn add(&mut self, flow: &FlowSeen, client: Owner, server: Owner, stats: FlowStats) {
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
        let overdue: Vec<Connection> = self
            .waiting
            .iter()
            .filter(|(_, waiting)| now.since(waiting.stats.first) >= self.bounds.stamp_wait)
            .map(|(id, _)| *id)
            .collect();
        for id in overdue {
            let Some(Waiting { flow, stats }) = self.waiting.remove(&id) else { continue };
            let Some((client, server)) = self.live.get(&id).map(|live| (live.client.clone(), live.server.clone()))
            else {
                continue;
            };
            self.count(&flow, client, server, stats);
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

/// A stamp that came counts, and one that an event leaves out stays.
fn better(new: &Owner, known: &Owner) -> Owner {
    if matches!(new, Owner::Local(_)) { new.clone() } else { known.clone() }
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
