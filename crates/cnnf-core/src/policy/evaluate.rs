//! The meaning of a policy.

use std::net::IpAddr;

use super::rule::{Effect, End, PolicySet, Rule, RuleId};
use super::sight::{Everything, Lookup, Role, Sight};
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
    /// The server's host: knows a client on a defended host by its address only.
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

impl Reason {
    /// A rule as the reason.
    #[must_use]
    pub fn rule(rule: &Rule) -> Self {
        Self::Rule { id: rule.id, name: rule.name.clone(), revision: rule.revision }
    }
}

/// What happens to a connection, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// What happens, before the mode is applied.
    pub effect: Effect,
    /// Why.
    pub reason: Reason,
}

/// How a decision came about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trail {
    /// What was considered, in order; the last that matched decided.
    pub steps: Vec<Step>,
    /// The decision.
    pub decision: Decision,
}

/// Something that was considered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What.
    pub what: Considered,
    /// Whether it matched: a rule's ends and ports, or whether the model knows the edge.
    pub matched: bool,
}

/// What can be considered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Considered {
    /// A rule that counts at this time.
    Rule {
        /// Which.
        id: RuleId,
        /// Its name.
        name: String,
        /// What it does now; an expired prevent alerts.
        effect: Effect,
    },
    /// Whether the model of this service lets the edge pass in spite of a rule that matched.
    Learned(ServiceKey),
    /// Whether the active model of this service knows the edge.
    Model(ServiceKey),
}

/// Judges `connection` from `vantage` at `now`: by the first rule that matches, else by the models of its ends.
///
/// Failsafes and modes are the deciding host's and come after. A service or host that a [`Party`] names is believed; what it does
/// not name is looked up in `directory`, as far as the vantage may know it.
#[must_use]
pub fn evaluate(
    policy: &PolicySet,
    directory: &Directory,
    connection: &Connection,
    vantage: Vantage,
    now: Timestamp,
) -> Decision {
    judge(policy, &Everything { policy, directory }, connection, vantage, now, &mut None)
}

/// [`evaluate`], with what was considered on the way.
#[must_use]
pub fn evaluate_trail(
    policy: &PolicySet,
    directory: &Directory,
    connection: &Connection,
    vantage: Vantage,
    now: Timestamp,
) -> Trail {
    let mut steps = Some(Vec::new());
    let decision = judge(policy, &Everything { policy, directory }, connection, vantage, now, &mut steps);
    Trail { steps: steps.unwrap_or_default(), decision }
}

/// What is decided by what `lookup` finds; noted in `steps` if they are wanted.
pub(super) fn judge<'a>(
    policy: &'a PolicySet,
    lookup: &impl Lookup<'a>,
    connection: &'a Connection,
    vantage: Vantage,
    now: Timestamp,
    steps: &mut Option<Vec<Step>>,
) -> Decision {
    let sight = Sight::new(policy, lookup, connection, vantage);
    let found = lookup.find(&sight);
    by_rules(&sight, lookup, &found, now, steps).unwrap_or_else(|| match vantage {
        Vantage::Client => by_both_models(&sight, lookup, &found, steps),
        Vantage::Server => by_servers_model(&sight, lookup, &found, steps),
    })
}

fn note(steps: &mut Option<Vec<Step>>, what: impl FnOnce() -> Considered, matched: bool) {
    if let Some(steps) = steps {
        steps.push(Step { what: what(), matched });
    }
}

/// The side that decides a connection, with what `judge` says there: the client's host where it has a defender, unless the server's is
/// stricter. Only defended hosts have named services, so a client with one is on such a host.
pub fn deciding<T>(
    connection: &Connection,
    judge: impl Fn(Vantage) -> T,
    effect: impl Fn(&T) -> Effect,
) -> (Vantage, T) {
    let Connection { client, server, .. } = connection;
    if client.host.is_none() && client.service.is_none() {
        return (Vantage::Server, judge(Vantage::Server));
    }
    let at_client = judge(Vantage::Client);
    if server.host.is_some() && server.host != client.host {
        let at_server = judge(Vantage::Server);
        if effect(&at_server) > effect(&at_client) {
            return (Vantage::Server, at_server);
        }
    }
    (Vantage::Client, at_client)
}

fn by_rules<'a, L: Lookup<'a>>(
    sight: &Sight<'a>,
    lookup: &L,
    found: &L::Found,
    now: Timestamp,
    steps: &mut Option<Vec<Step>>,
) -> Option<Decision> {
    for rule in lookup.rules(sight, found) {
        let Some(effect) = rule.effect_at(now) else { continue };
        let matched = sight.rule_matches(rule, effect);
        note(steps, || Considered::Rule { id: rule.id, name: rule.name.clone(), effect }, matched);
        if !matched {
            continue;
        }
        if rule.learned_allow
            && effect != Effect::Allow
            && let (role, Some(local)) = sight.local()
        {
            let matched = sight.known_to(role, lookup, found);
            note(steps, || Considered::Learned(local.clone()), matched);
            if matched {
                return Some(Decision { effect: Effect::Allow, reason: Reason::Model(local.clone()) });
            }
        }
        // at the server's side a defended client's own host says it better: it knows the service
        let leaves_it = sight.vantage == Vantage::Server
            && sight.client_is_defended()
            && (rule.source.is_service() || effect != Effect::Prevent);
        return Some(if leaves_it {
            Decision { effect: Effect::Allow, reason: Reason::OtherSide }
        } else {
            Decision { effect, reason: Reason::rule(rule) }
        });
    }
    None
}

fn by_both_models<'a, L: Lookup<'a>>(
    sight: &Sight<'a>,
    lookup: &L,
    found: &L::Found,
    steps: &mut Option<Vec<Step>>,
) -> Decision {
    let mut decision = Decision { effect: Effect::Allow, reason: Reason::Default };
    for (role, key) in [(Role::Server, sight.server_service), (Role::Client, sight.client_service)] {
        let Some((key, anomaly)) = key.and_then(|key| Some((key, lookup.judges(role, found)?))) else { continue };
        let matched = sight.known_to(role, lookup, found);
        note(steps, || Considered::Model(key.clone()), matched);
        let effect = if matched { Effect::Allow } else { anomaly };
        if effect > decision.effect || decision.reason == Reason::Default {
            decision = Decision { effect, reason: Reason::Model(key.clone()) };
        }
    }
    decision
}

fn by_servers_model<'a, L: Lookup<'a>>(
    sight: &Sight<'a>,
    lookup: &L,
    found: &L::Found,
    steps: &mut Option<Vec<Step>>,
) -> Decision {
    let Some((key, anomaly)) = sight.server_service.and_then(|key| Some((key, lookup.judges(Role::Server, found)?)))
    else {
        return Decision { effect: Effect::Allow, reason: Reason::Default };
    };
    if sight.client_is_defended() {
        return Decision { effect: Effect::Allow, reason: Reason::OtherSide };
    }
    let matched = sight.known_to(Role::Server, lookup, found);
    note(steps, || Considered::Model(key.clone()), matched);
    Decision { effect: if matched { Effect::Allow } else { anomaly }, reason: Reason::Model(key.clone()) }
}

impl Sight<'_> {
    fn rule_matches(&self, rule: &Rule, effect: Effect) -> bool {
        let source = match &rule.source {
            End::Any => true,
            End::Service { pattern, labels } => self.client_may_be(pattern, labels, effect),
            end => {
                self.policy.addresses(end).is_some_and(|r| r.iter().any(|r| r.contains(self.connection.client.address)))
            }
        };
        let destination = match &rule.destination {
            End::Any => true,
            End::Service { pattern, labels } => self.server_is(pattern, labels),
            end => {
                self.policy.addresses(end).is_some_and(|r| r.iter().any(|r| r.contains(self.connection.server.address)))
            }
        };
        source && destination && rule.ports.contains(self.connection.protocol, self.connection.port)
    }
}
