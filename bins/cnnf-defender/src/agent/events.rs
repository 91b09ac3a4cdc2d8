//! From logged packets to events.

use std::net::SocketAddr;

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
    pub(crate) process: Process,
}

impl LoggedPacket {
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
            process: self.process.clone(),
            count: 1,
        }
    }
}

/// Events of a short time; equal ones are one with a count.
#[derive(Debug, Default)]
pub(super) struct Logged {
    events: Vec<ConnectionEvent>,
}

/// So many kinds of events are told apart in a short time.
const LOOK_BACK: usize = 64;

impl Logged {
    /// Adds one. It is equal to another if only its time and the client's port differ.
    pub(super) fn add(&mut self, event: ConnectionEvent) {
        let same = |known: &&mut ConnectionEvent| {
            let mut other = event.clone();
            (other.at, other.client.port, other.count) = (known.at, known.client.port, known.count);
            other == **known
        };
        match self.events.iter_mut().rev().take(LOOK_BACK).find(same) {
            Some(known) => known.count += event.count,
            None => self.events.push(event),
        }
    }

    /// Takes all of them.
    pub(super) fn take(&mut self) -> Vec<ConnectionEvent> {
        std::mem::take(&mut self.events)
    }
}
