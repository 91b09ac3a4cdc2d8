//! From logged packets to events.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use cnnf_core::event::{ConnectionEvent, EventKind, EventParty, Process};
use cnnf_core::identity::Resolver;
use cnnf_core::net::Protocol;
use cnnf_core::policy::{HostPolicy, Reason, Vantage};
use cnnf_core::ruleset::{LogPrefix, Outcome, Slot};
use cnnf_core::time::Timestamp;

/// A packet that the kernel logged, with what could be found out about it in time.
#[derive(Clone, Debug)]
pub(crate) struct LoggedPacket {
    pub(crate) at: Timestamp,
    pub(crate) prefix: LogPrefix,
    pub(crate) client: SocketAddr,
    pub(crate) server: SocketAddr,
    pub(crate) protocol: Protocol,
    /// Who sent it or listens for it; none if that was not looked for, as there were many on its edge.
    pub(crate) process: Option<Process>,
}

/// Packets that differ in the client's port and in their process only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct LoggedEdge {
    prefix: LogPrefix,
    client: IpAddr,
    server: SocketAddr,
    protocol: Protocol,
}

impl LoggedPacket {
    pub(crate) fn edge(&self) -> LoggedEdge {
        let Self { prefix, client, server, protocol, .. } = *self;
        LoggedEdge { prefix, client: client.ip(), server, protocol }
    }

    /// The event that it stands for.
    pub(super) fn event(&self, resolver: &Resolver, policy: &HostPolicy) -> ConnectionEvent {
        let local = Slot::new(self.prefix.slot).map(|slot| resolver.slots().key(slot));
        let (client, server) = match self.prefix.side {
            Vantage::Client => (local, None),
            Vantage::Server => (None, local),
        };
        let port = |address: SocketAddr| if self.protocol.has_ports() { address.port() } else { 0 };
        let party = |service, address: SocketAddr| EventParty {
            service,
            host: None,
            address: address.ip(),
            port: port(address),
        };
        // a rule that went away between the packet and now is known by its number alone
        let reason = self.prefix.full_reason(policy).cloned().unwrap_or(match self.prefix.reason {
            cnnf_core::ruleset::LogReason::Rule(id) => Reason::Rule { id, name: format!("rule {}", id.0), revision: 0 },
            cnnf_core::ruleset::LogReason::Model(_) => Reason::Default,
        });
        let by_rule = matches!(reason, Reason::Rule { .. });
        let kind = match (self.prefix.outcome, by_rule) {
            (Outcome::Alert, true) => EventKind::RuleAlert,
            (Outcome::Alert, false) => EventKind::AnomalyAlert,
            (Outcome::Would, true) => EventKind::WouldRulePrevent,
            (Outcome::Would, false) => EventKind::WouldAnomalyPrevent,
            (Outcome::Prevent, true) => EventKind::RulePrevent,
            (Outcome::Prevent, false) => EventKind::AnomalyPrevent,
        };
        ConnectionEvent {
            at: self.at,
            kind,
            client: party(client, self.client),
            server: party(server, self.server),
            protocol: self.protocol,
            reason,
            side: self.prefix.side,
            process: self.process.clone().unwrap_or_else(|| Process { missing: MANY.into(), ..Process::default() }),
            count: 1,
        }
    }
}

/// Why the process of a packet was not looked for.
const MANY: &str = "there were many at once";

/// Events of a short time, folded: an edge tells of so many in a second, and counts the others with them.
#[derive(Debug, Default)]
pub(super) struct Logged {
    edges: HashMap<LoggedEdge, Told>,
    /// Those of edges beyond [`EDGES`].
    others: Vec<ConnectionEvent>,
}

/// What an edge told of since a moment.
#[derive(Debug)]
struct Told {
    since: Timestamp,
    events: usize,
    waiting: Vec<ConnectionEvent>,
}

/// So many events of an edge are told in a [`SECOND`] at most, each of another process or of later.
const TOLD: usize = 4;
const SECOND: Duration = Duration::from_secs(1);
/// So many edges are told apart; the events of others are not folded.
const EDGES: usize = 4096;

impl Logged {
    /// Adds a packet; `event` makes one of it.
    pub(super) fn add(&mut self, packet: &LoggedPacket, event: impl FnOnce() -> ConnectionEvent, now: Timestamp) {
        let edge = packet.edge();
        if self.edges.len() >= EDGES && !self.edges.contains_key(&edge) {
            self.others.push(event());
            return;
        }
        let told = self.edges.entry(edge).or_insert(Told { since: now, events: 0, waiting: Vec::new() });
        let room = told.events + told.waiting.len() < TOLD;
        let known = match told.waiting.iter().position(|known| packet.process.as_ref() == Some(&known.process)) {
            Some(at) => told.waiting.get_mut(at),
            None if room && packet.process.is_some() => None,
            None => told.waiting.last_mut(),
        };
        match known {
            Some(known) => known.count += 1,
            None => told.waiting.push(event()),
        }
    }

    /// Takes what is to be told now. What an edge has beyond its measure waits until the second is over.
    pub(super) fn take(&mut self, now: Timestamp) -> Vec<ConnectionEvent> {
        let mut events = std::mem::take(&mut self.others);
        self.edges.retain(|_, told| {
            // a clock that was set back must not keep anything back
            let is_over = now < told.since || now.since(told.since) >= SECOND;
            if is_over {
                (told.since, told.events) = (now, 0);
            }
            if told.events < TOLD {
                told.events += told.waiting.len();
                events.append(&mut told.waiting);
            }
            !is_over || told.events > 0
        });
        events
    }
}

#[cfg(test)]
mod tests {
    use cnnf_core::policy::RuleId;
    use cnnf_core::ruleset::LogReason;

    use super::*;

    fn packet(server: &str, port: u16, pid: Option<u32>) -> LoggedPacket {
        let reason = LogReason::Rule(RuleId(1));
        LoggedPacket {
            at: Timestamp(1),
            prefix: LogPrefix { side: Vantage::Client, slot: 16, reason, outcome: Outcome::Prevent },
            client: SocketAddr::from(([10, 0, 0, 1], port)),
            server: server.parse().expect("an address"),
            protocol: Protocol::Tcp,
            process: pid.map(|pid| Process { pid, ..Process::default() }),
        }
    }

    /// What is told every 50 ms while packets come at a rate, as (server's port, count).
    fn told(logged: &mut Logged, packets: &[LoggedPacket], at: &mut u64) -> Vec<(u16, u64)> {
        let (resolver, policy) = (Resolver::default(), HostPolicy::default());
        let now = Timestamp(1_000_000 + *at);
        *at += 50;
        for packet in packets {
            logged.add(packet, || packet.event(&resolver, &policy), now);
        }
        logged.take(now).into_iter().map(|event| (event.server.port, event.count)).collect()
    }

    #[test]
    fn an_edge_with_many_packets_tells_little_and_counts_all_and_holds_up_no_other() {
        let (mut logged, mut at) = (Logged::default(), 0);
        let (mut of_many, mut all) = (Vec::new(), 0);
        for round in 0..40_u32 {
            let many: Vec<LoggedPacket> = (0..250)
                .map(|n| packet("10.0.0.2:80", n, (n % 7 != 0).then_some(round * 1_000 + u32::from(n))))
                .chain([packet("10.0.0.2:81", 1, Some(7))])
                .collect();
            all += 250;
            let (other, busy): (Vec<_>, Vec<_>) =
                told(&mut logged, &many, &mut at).into_iter().partition(|(port, _)| *port == 81);
            of_many.extend(busy.into_iter().map(|(_, count)| count));
            if round == 0 {
                assert_eq!((of_many.len(), other.as_slice()), (TOLD, &[(81, 1)][..]), "the first ones at once");
            }
        }
        for _ in 0..21 {
            of_many.extend(told(&mut logged, &[], &mut at).into_iter().filter(|(port, _)| *port == 80).map(|(_, n)| n));
        }
        assert_eq!(of_many.iter().sum::<u64>(), all, "{of_many:?}");
        assert!(of_many.len() <= TOLD * 4, "2 s have three beginnings: {of_many:?}");
        for _ in 0..21 {
            assert!(told(&mut logged, &[], &mut at).is_empty());
        }
        assert!(logged.edges.is_empty(), "nothing is remembered of it");
    }

    #[test]
    fn edges_beyond_the_bound_are_told_all_the_same() {
        let (mut logged, mut at) = (Logged::default(), 0);
        let many = (0..EDGES + 10).map(|n| packet(&format!("10.{}.{}.1:80", n / 256, n % 256), 1, Some(1)));
        let many: Vec<LoggedPacket> = many.collect();
        assert_eq!(told(&mut logged, &many, &mut at).len(), EDGES + 10);
        assert_eq!(logged.edges.len(), EDGES);
    }
}
