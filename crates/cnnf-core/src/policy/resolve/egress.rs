//! What judges a host's clients.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::super::evaluate::Reason;
use super::super::group::{Entries, Groups, covers, intersect, of_addresses, on_ports, text_of};
use super::super::host_policy::{HostRule, LocalMatch, PeerMatch};
use super::super::rule::{Effect, End, Rule, ServicePattern};
use super::{by_model, by_rule, judging, keep_addresses, local, modelled};
use crate::id::ServiceKey;
use crate::label::Labels;
use crate::net::{AddrRange, Protocol};
use crate::topology::Peer;

/// Appends what a rule means for local clients.
pub(super) fn rule(groups: &mut Groups<'_>, rule: &Rule, effect: Effect, out: &mut Vec<HostRule>) {
    let Some(source) = local(groups, &rule.source) else { return };
    let (peer, meaning, wanted) = match &rule.destination {
        End::Any => (PeerMatch::Any, "any".to_owned(), None),
        End::Service { pattern, labels } => {
            let entries = groups.endpoints(pattern, labels);
            let meaning = format!("endpoints {} {labels}", pattern.0);
            (PeerMatch::Group(groups.keep(meaning.clone(), entries.clone())), meaning, Some(entries))
        }
        end => match keep_addresses(groups, end) {
            Some((id, entries)) => (PeerMatch::Group(id), format!("group {}", id.0), Some(entries)),
            None => return,
        },
    };
    if rule.learned_allow && effect != Effect::Allow {
        for (key, local) in modelled(groups, &source) {
            let servers = groups.learned_servers(&key);
            let servers = wanted.as_ref().map_or_else(|| servers.clone(), |wanted| intersect(&servers, wanted));
            let id = groups.keep(format!("servers of {key} in {meaning}"), servers);
            out.push(by_rule(rule, local, PeerMatch::Group(id), Effect::Allow, Reason::Model(key)));
        }
    }
    out.push(by_rule(rule, source, peer, effect, Reason::rule(rule)));
}

/// A server's model that may object.
struct Server {
    key: ServiceKey,
    effect: Effect,
    endpoints: Entries,
}

/// A local client's model that may object.
struct Client {
    key: ServiceKey,
    effect: Effect,
    servers: Entries,
}

impl Client {
    fn local(&self) -> LocalMatch {
        LocalMatch::Service(ServicePattern::of(&self.key))
    }
}

/// Appends what the models of both ends mean for local clients.
///
/// 1. For each server whose model may object, the clients that it knows: nothing but the client's own model speaks.
/// 2. For each such server, everybody else: it objects. A client's model that objects more strictly comes before it.
/// 3. For each client whose model may object, every other server.
pub(super) fn models(groups: &mut Groups<'_>, out: &mut Vec<HostRule>) {
    let clients: Vec<Client> = judging(groups)
        .into_iter()
        .map(|(key, effect)| Client { servers: groups.learned_servers(&key), key, effect })
        .collect();
    let servers: Vec<Server> = groups
        .policy
        .models
        .keys()
        .filter_map(|key| {
            let effect = groups.policy.judges(key)?;
            let endpoints = groups.endpoints(&ServicePattern::of(key), &Labels::default());
            (!endpoints.is_empty()).then(|| Server { key: key.clone(), effect, endpoints })
        })
        .collect();
    for server in &servers {
        known_clients(groups, server, &clients, out);
        strangers(groups, server, &clients, out);
    }
    for client in &clients {
        let known = groups.keep(format!("servers of {}", client.key), client.servers.clone());
        out.push(by_model(&client.key, client.local(), PeerMatch::Group(known), Effect::Allow));
        out.push(by_model(&client.key, client.local(), PeerMatch::Any, client.effect));
    }
}

/// The clients that a server's model knows.
fn known_clients(groups: &mut Groups<'_>, server: &Server, clients: &[Client], out: &mut Vec<HostRule>) {
    let mut services: BTreeMap<&ServiceKey, BTreeSet<(Protocol, u16)>> = BTreeMap::new();
    let mut addresses: BTreeMap<(Protocol, u16), Vec<AddrRange>> = BTreeMap::new();
    for edge in groups.edges(&server.key) {
        if !matches!(&edge.server, Peer::Service(key) if *key == server.key) {
            continue;
        }
        let port = (edge.protocol, edge.port);
        match &edge.client {
            Peer::Service(client) => {
                services.entry(client).or_default().insert(port);
            }
            peer => addresses.entry(port).or_default().extend(groups.peer_ranges(peer)),
        }
    }
    for (key, ports) in services {
        let endpoints = on_ports(&server.endpoints, &ports);
        let which = format!("{} on {}", server.key, text_of(&ports));
        let local = LocalMatch::Service(ServicePattern::of(key));
        match clients.iter().find(|client| client.key == *key) {
            Some(client) => ask_client(groups, client, client.local(), &which, &endpoints, None, out),
            None => push(groups, &server.key, local, &which, &endpoints, Effect::Allow, out),
        }
    }
    for (port, ranges) in addresses {
        let here = |range: &AddrRange| {
            let loopback: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
            groups.host.addresses.iter().chain(&loopback).any(|address| range.contains(*address))
        };
        if !ranges.iter().any(here) {
            continue; // a model learns by address who has no defender: seldom this host
        }
        let which = format!("{} on {}", server.key, text_of(&[port].into()));
        let endpoints = on_ports(&server.endpoints, &[port].into());
        let at = groups.keep(format!("clients of {which} by address"), of_addresses(ranges));
        for client in clients {
            let local = LocalMatch::ServiceAt(ServicePattern::of(&client.key), at);
            ask_client(groups, client, local, &which, &endpoints, None, out);
        }
        push(groups, &server.key, LocalMatch::Addresses(at), &which, &endpoints, Effect::Allow, out);
    }
}

/// The clients that it does not know.
fn strangers(groups: &mut Groups<'_>, server: &Server, clients: &[Client], out: &mut Vec<HostRule>) {
    let which = server.key.to_string();
    for client in clients.iter().filter(|client| client.effect > server.effect) {
        let servers = Some((&server.key, server.effect));
        ask_client(groups, client, client.local(), &which, &server.endpoints, servers, out);
    }
    push(groups, &server.key, LocalMatch::Any, &which, &server.endpoints, server.effect, out);
}

/// What a client's model says of these endpoints: its objection, or `known` of the servers that it knows (by default it allows).
fn ask_client(
    groups: &mut Groups<'_>,
    client: &Client,
    local: LocalMatch,
    which: &str,
    endpoints: &Entries,
    known: Option<(&ServiceKey, Effect)>,
    out: &mut Vec<HostRule>,
) {
    let both = intersect(endpoints, &client.servers);
    let all_known = covers(&both, endpoints);
    let (key, effect) = known.unwrap_or((&client.key, Effect::Allow));
    push(groups, key, local.clone(), &format!("{which} known to {}", client.key), &both, effect, out);
    if !all_known {
        push(groups, &client.key, local, which, endpoints, client.effect, out);
    }
}

/// One entry for some endpoints of a server, if there are any.
fn push(
    groups: &mut Groups<'_>,
    reason: &ServiceKey,
    local: LocalMatch,
    which: &str,
    endpoints: &Entries,
    effect: Effect,
    out: &mut Vec<HostRule>,
) {
    if !endpoints.is_empty() {
        let id = groups.keep(format!("endpoints of {which}"), endpoints.clone());
        out.push(by_model(reason, local, PeerMatch::Group(id), effect));
    }
}
