//! What judges a host's clients.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use super::super::evaluate::Reason;
use super::super::group::{
    EVERYWHERE, Entries, Groups, Known, Shared, Whole, covers, intersect, of_addresses, on_ports, text_of,
};
use super::super::host_policy::{HostRule, LocalMatch, PeerMatch};
use super::super::rule::{Effect, End, Rule, ServicePattern};
use super::{by_model, by_rule, judging, local, modelled};
use crate::id::ServiceKey;
use crate::net::{AddrRange, Protocol};
use crate::topology::Peer;

/// Appends what a rule means for local clients.
pub(super) fn rule<'a>(groups: &mut Groups<'_, 'a>, rule: &'a Rule, effect: Effect, out: &mut Vec<HostRule>) {
    let Some(source) = local(groups, &rule.source) else { return };
    let asks_models = rule.learned_allow && effect != Effect::Allow;
    let (peer, wanted) = match &rule.destination {
        End::Any => (PeerMatch::Any, asks_models.then(|| ("any".to_owned(), None))),
        End::Service { pattern, labels } => {
            let (known, entries) = groups.endpoints(&pattern.0, labels);
            let id = groups.keep_as(&known, Arc::clone(&entries));
            (PeerMatch::Group(id), asks_models.then(|| (known.meaning.clone(), Some(entries))))
        }
        end => match groups.keep_addresses(end) {
            Some((id, entries, _)) => {
                (PeerMatch::Group(id), asks_models.then(|| (format!("group {}", id.0), Some(entries))))
            }
            None => return,
        },
    };
    if let Some((meaning, wanted)) = wanted {
        for (key, local) in modelled(groups, &source) {
            let servers = groups.learned_servers(&key);
            let servers = wanted.as_ref().map_or_else(|| servers.clone(), |wanted| intersect(&servers, wanted));
            let id = groups.keep(format!("servers of {key} in {meaning}"), servers);
            out.push(by_rule(rule, local, PeerMatch::Group(id), Effect::Allow, Reason::Model(key)));
        }
    }
    out.push(by_rule(rule, source, peer, effect, Reason::rule(rule)));
}

/// Endpoints of a server on some ports.
struct On {
    ports: BTreeSet<(Protocol, u16)>,
    /// What is meant, in words.
    which: String,
    /// As other hosts reach them.
    endpoints: Arc<Known>,
}

/// A server's model that may object: what is the same for every host.
pub(super) struct Server<'a> {
    key: &'a ServiceKey,
    effect: Effect,
    all: On,
    /// The services that it knows as clients, and where they come.
    services: Vec<(&'a ServiceKey, On)>,
    /// The addresses that it knows as clients, and where they come.
    addresses: Vec<(Vec<AddrRange>, Arc<Known>, On)>,
}

/// Every server whose model may object.
pub(super) fn servers<'a>(whole: &Whole<'a>) -> Vec<Server<'a>> {
    let judging = |key: &'a ServiceKey| Some((key, whole.policy.judges(key)?));
    whole.policy.models.keys().filter_map(judging).map(|(key, effect)| server(whole, key, effect)).collect()
}

fn server<'a>(whole: &Whole<'a>, key: &'a ServiceKey, effect: Effect) -> Server<'a> {
    let endpoints = whole.endpoints(key.as_str(), &EVERYWHERE);
    let mut services: BTreeMap<&ServiceKey, BTreeSet<(Protocol, u16)>> = BTreeMap::new();
    let mut addresses: BTreeMap<(Protocol, u16), Vec<AddrRange>> = BTreeMap::new();
    for edge in whole.edges(key) {
        if !matches!(&edge.server, Peer::Service(server) if server == key) {
            continue;
        }
        let port = (edge.protocol, edge.port);
        match &edge.client {
            Peer::Service(client) => {
                services.entry(client).or_default().insert(port);
            }
            peer => addresses.entry(port).or_default().extend(whole.peer_ranges(peer)),
        }
    }
    // what many clients may reach on the same ports is one group
    let mut made: BTreeMap<BTreeSet<(Protocol, u16)>, Arc<Known>> = BTreeMap::new();
    let mut on = |ports: BTreeSet<(Protocol, u16)>| {
        let which = format!("{key} on {}", text_of(&ports));
        let endpoints = made
            .entry(ports.clone())
            .or_insert_with(|| Known::new(format!("endpoints of {which}"), on_ports(&endpoints.entries, &ports)));
        On { endpoints: Arc::clone(endpoints), ports, which }
    };
    let services = services.into_iter().map(|(client, ports)| (client, on(ports))).collect();
    let addresses = addresses.into_iter().map(|(port, ranges)| {
        let on = on([port].into());
        let at = Known::new(format!("clients of {} by address", on.which), of_addresses(ranges.iter().copied()));
        (ranges, at, on)
    });
    let addresses = addresses.collect();
    let all = Known::of(format!("endpoints of {key}"), Arc::clone(&endpoints.entries));
    let all = On { ports: BTreeSet::new(), which: key.to_string(), endpoints: all };
    Server { key, effect, all, services, addresses }
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
pub(super) fn models<'a>(groups: &mut Groups<'_, 'a>, servers: &[Server<'a>], out: &mut Vec<HostRule>) {
    let clients: Vec<Client> = judging(groups)
        .into_iter()
        .map(|(key, effect)| Client { servers: groups.learned_servers(&key), key, effect })
        .collect();
    for server in servers {
        let here = groups.host.instances.contains_key(server.key);
        let own = here.then(|| groups.endpoints(server.key.as_str(), &EVERYWHERE).1);
        let endpoints = own.as_ref().unwrap_or(&server.all.endpoints.entries);
        if endpoints.is_empty() {
            continue;
        }
        let server = Here { server, own };
        known_clients(groups, &server, &clients, out);
        strangers(groups, &server, &clients, out);
    }
    for client in &clients {
        let known = groups.keep(format!("servers of {}", client.key), client.servers.clone());
        out.push(by_model(&client.key, client.local(), PeerMatch::Group(known), Effect::Allow));
        out.push(by_model(&client.key, client.local(), PeerMatch::Any, client.effect));
    }
}

/// A server as one host reaches it.
struct Here<'s, 'a> {
    server: &'s Server<'a>,
    /// All its endpoints, if it runs on the host.
    own: Option<Shared>,
}

impl Here<'_, '_> {
    /// Its endpoints there.
    fn endpoints(&self, on: &On) -> Shared {
        match &self.own {
            None => Arc::clone(&on.endpoints.entries),
            Some(all) if on.ports.is_empty() => Arc::clone(all),
            Some(all) => Arc::new(on_ports(all, &on.ports)),
        }
    }
}

/// The clients that a server's model knows.
fn known_clients(groups: &mut Groups<'_, '_>, here: &Here<'_, '_>, clients: &[Client], out: &mut Vec<HostRule>) {
    for (key, on) in &here.server.services {
        let endpoints = here.endpoints(on);
        match clients.iter().find(|client| client.key == **key) {
            Some(client) => ask_client(groups, client, client.local(), on, &endpoints, None, out),
            None => {
                let local = LocalMatch::Service(ServicePattern::of(key));
                push_all(groups, here.server.key, local, on, &endpoints, Effect::Allow, out);
            }
        }
    }
    for (ranges, at, on) in &here.server.addresses {
        let here_too = |range: &AddrRange| {
            let loopback: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
            groups.host.addresses.iter().chain(&loopback).any(|address| range.contains(*address))
        };
        if !ranges.iter().any(here_too) {
            continue; // a model learns by address who has no defender: seldom this host
        }
        let endpoints = here.endpoints(on);
        let at = groups.keep_known(at);
        for client in clients {
            let local = LocalMatch::ServiceAt(ServicePattern::of(&client.key), at);
            ask_client(groups, client, local, on, &endpoints, None, out);
        }
        push_all(groups, here.server.key, LocalMatch::Addresses(at), on, &endpoints, Effect::Allow, out);
    }
}

/// The clients that it does not know.
fn strangers(groups: &mut Groups<'_, '_>, here: &Here<'_, '_>, clients: &[Client], out: &mut Vec<HostRule>) {
    let Server { key, effect, all, .. } = here.server;
    let endpoints = here.endpoints(all);
    for client in clients.iter().filter(|client| client.effect > *effect) {
        ask_client(groups, client, client.local(), all, &endpoints, Some((key, *effect)), out);
    }
    push_all(groups, key, LocalMatch::Any, all, &endpoints, *effect, out);
}

/// What a client's model says of these endpoints: its objection, or `known` of the servers that it knows (by default it allows).
fn ask_client(
    groups: &mut Groups<'_, '_>,
    client: &Client,
    local: LocalMatch,
    on: &On,
    endpoints: &Shared,
    known: Option<(&ServiceKey, Effect)>,
    out: &mut Vec<HostRule>,
) {
    let both = intersect(endpoints, &client.servers);
    let all_known = covers(&both, endpoints);
    let (key, effect) = known.unwrap_or((&client.key, Effect::Allow));
    if !both.is_empty() {
        let id = groups.keep(format!("endpoints of {} known to {}", on.which, client.key), both);
        out.push(by_model(key, local.clone(), PeerMatch::Group(id), effect));
    }
    if !all_known {
        push_all(groups, &client.key, local, on, endpoints, client.effect, out);
    }
}

/// One entry for some endpoints of a server, if there are any.
fn push_all(
    groups: &mut Groups<'_, '_>,
    reason: &ServiceKey,
    local: LocalMatch,
    on: &On,
    endpoints: &Shared,
    effect: Effect,
    out: &mut Vec<HostRule>,
) {
    if !endpoints.is_empty() {
        let id = groups.keep_as(&on.endpoints, Arc::clone(endpoints));
        out.push(by_model(reason, local, PeerMatch::Group(id), effect));
    }
}
