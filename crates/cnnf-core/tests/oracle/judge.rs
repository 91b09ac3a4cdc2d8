//! The oracle: the sentences of the specification, one after the other.

use cnnf_core::policy::{Effect, Vantage};

use super::gen_case::{Address, Case, LOOPBACK, SmallEnd, SmallHost, SmallModel, SmallPeer, Span};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    Rule(u64),
    Model(String),
    OtherSide,
    Nobody,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) effect: Effect,
    pub(crate) who: Who,
}

/// What the judging side may know, in plain words.
struct Known<'a> {
    case: &'a Case,
    vantage: Vantage,
    client: Option<&'static str>,
    server: Option<&'static str>,
    /// Hosts that the client may be on.
    client_hosts: Vec<&'a SmallHost>,
    server_host: Option<&'a SmallHost>,
}

pub(crate) fn judge(case: &Case, vantage: Vantage) -> Verdict {
    let known = know(case, vantage);
    // The first enabled, unexpired rule whose source, destination and ports match decides.
    for (n, rule) in case.rules.iter().enumerate() {
        if !rule.enabled {
            continue;
        }
        let mut effect = rule.effect;
        if rule.expires.is_some_and(|at| at <= case.now) {
            // An expired prevent becomes an alert; other expired rules stop matching.
            if effect != Effect::Prevent {
                continue;
            }
            effect = Effect::Alert;
        }
        let from = match &rule.from {
            SmallEnd::Service { pattern, prod } => from_service(&known, pattern, *prod, effect),
            end => end_has(case, end, case.client.address),
        };
        let to = match &rule.to {
            SmallEnd::Service { pattern, prod } => {
                known.server.is_some_and(|service| means(pattern, service))
                    && (!prod || known.server_host.is_some_and(|host| host.prod))
            }
            end => end_has(case, end, case.server.address),
        };
        let on_port = rule.ports.is_none_or(|(low, high)| low <= case.port && case.port <= high);
        if !(from && to && on_port) {
            continue;
        }
        // Except that a learned edge passes where the rule says so: by the model of the service that is judged here.
        let local = if vantage == Vantage::Client { known.client } else { known.server };
        if rule.learned
            && effect != Effect::Allow
            && let Some(local) = local
            && knows(&known, local, vantage == Vantage::Client)
        {
            return Verdict { effect: Effect::Allow, who: Who::Model(local.to_owned()) };
        }
        // At the server's side a defended client's own host says it better, but for what can be prevented without knowing who it is.
        let defended = vantage == Vantage::Server && !known.client_hosts.is_empty();
        let by_service = matches!(rule.from, SmallEnd::Service { .. });
        if defended && (by_service || effect != Effect::Prevent) {
            return Verdict { effect: Effect::Allow, who: Who::OtherSide };
        }
        return Verdict { effect, who: Who::Rule(n as u64 + 1) };
    }
    by_models(&known)
}

/// Else the models of its ends: an active one objects if the edge is not in it; the stricter counts.
fn by_models(known: &Known<'_>) -> Verdict {
    let nobody = Verdict { effect: Effect::Allow, who: Who::Nobody };
    if known.case.learning_off {
        return nobody;
    }
    let objection = |service: Option<&'static str>, is_client: bool| {
        let model = model_of(known.case, service?).filter(|model| model.active)?;
        let effect = model.effect.unwrap_or(known.case.anomaly);
        // A model whose anomalies do nothing speaks of nothing.
        (effect != Effect::Allow).then(|| {
            let passes = knows(known, model.service, is_client);
            Verdict { effect: if passes { Effect::Allow } else { effect }, who: Who::Model(model.service.to_owned()) }
        })
    };
    let server = objection(known.server, false);
    if known.vantage == Vantage::Server {
        return match server {
            None => nobody,
            Some(_) if !known.client_hosts.is_empty() => Verdict { effect: Effect::Allow, who: Who::OtherSide },
            Some(verdict) => verdict,
        };
    }
    match (server, objection(known.client, true)) {
        (None, None) => nobody,
        (Some(one), None) | (None, Some(one)) => one,
        (Some(server), Some(client)) => {
            if client.effect > server.effect {
                client
            } else {
                server
            }
        }
    }
}

fn know(case: &Case, vantage: Vantage) -> Known<'_> {
    let host = |n: Option<usize>| n.map(|n| &case.hosts[n]);
    let claimants = |address: Address| case.hosts.iter().filter(move |host| host.addresses.contains(&address));
    let same_host = |here: Option<usize>, party: &super::gen_case::SmallParty| {
        here.is_some() && (party.host == here || party.address == LOOPBACK)
    };
    let (client, client_hosts) = match vantage {
        Vantage::Client => (case.client.service, host(case.client.host).into_iter().collect()),
        // The server's side knows a remote client's address only.
        Vantage::Server => {
            let own = host(case.server.host).filter(|_| same_host(case.server.host, &case.client));
            (None, own.into_iter().chain(claimants(case.client.address)).collect())
        }
    };
    let server_host = if vantage == Vantage::Client && same_host(case.client.host, &case.server) {
        host(case.client.host)
    } else if case.server.host.is_some() {
        host(case.server.host)
    } else {
        // Two hosts claiming one address is never guessed.
        let mut all = claimants(case.server.address);
        all.next().filter(|_| all.next().is_none())
    };
    let listens = || server_host.and_then(|host| listener(host, case.server.address, case.port));
    let server = case.server.service.or_else(listens);
    Known { case, vantage, client, server, client_hosts, server_host }
}

/// The one service that accepts there; a socket bound to the address comes before the wildcard.
fn listener(host: &SmallHost, address: Address, port: u16) -> Option<&'static str> {
    for wanted in [Some(address), None] {
        let mut found: Vec<&'static str> = Vec::new();
        for (service, endpoints) in &host.instances {
            if endpoints.contains(&(port, wanted)) {
                found.push(service);
            }
        }
        match found.len() {
            0 => {}
            1 => return Some(found[0]),
            _ => return None,
        }
    }
    None
}

/// Whether a pattern means a service. A glob here is `*` or ends in `*`.
fn means(pattern: &str, service: &str) -> bool {
    let named = !["kernel", "unknown", "ambiguous"].contains(&service);
    match pattern.strip_suffix('*') {
        Some(start) => named && service.starts_with(start),
        None => pattern == service,
    }
}

fn runs(host: &SmallHost, pattern: &str) -> bool {
    ["kernel", "unknown", "ambiguous"].contains(&pattern)
        || host.instances.iter().any(|(service, _)| means(pattern, service))
}

fn from_service(known: &Known<'_>, pattern: &str, prod: bool, effect: Effect) -> bool {
    let labelled: Vec<&&SmallHost> = known.client_hosts.iter().filter(|host| !prod || host.prod).collect();
    match known.vantage {
        Vantage::Client => {
            known.client.is_some_and(|service| means(pattern, service)) && (!prod || !labelled.is_empty())
        }
        // It never prevents what it cannot know.
        Vantage::Server => effect != Effect::Prevent && labelled.iter().any(|host| runs(host, pattern)),
    }
}

fn within(spans: &[Span], address: Address) -> bool {
    address != LOOPBACK && spans.iter().any(|span| span.low <= address && address <= span.high)
}

fn end_has(case: &Case, end: &SmallEnd, address: Address) -> bool {
    match end {
        SmallEnd::Any => true,
        SmallEnd::Office => within(&case.office, address),
        SmallEnd::Gone | SmallEnd::Service { .. } => false,
        SmallEnd::Span(span) => within(&[*span], address),
    }
}

fn model_of<'a>(case: &'a Case, service: &str) -> Option<&'a SmallModel> {
    case.models.iter().find(|model| model.service == service)
}

/// Whether the model of `service`, which is the client or the server here, has this connection.
fn knows(known: &Known<'_>, service: &str, is_client: bool) -> bool {
    let Some(model) = model_of(known.case, service) else { return false };
    let own = |peer: &SmallPeer| matches!(peer, SmallPeer::Service(key) if *key == service);
    model.edges.iter().any(|(peer, as_client, port)| {
        // An edge of a service to itself has it at both ends.
        let role_fits = *as_client == is_client || own(peer);
        let on_port = *port == known.case.port || (*port == 0 && known.case.port >= 32_768);
        role_fits && on_port && far_is(known, peer, is_client)
    })
}

/// Whether the other end is this peer.
fn far_is(known: &Known<'_>, peer: &SmallPeer, is_client: bool) -> bool {
    let address = if is_client { known.case.server.address } else { known.case.client.address };
    match peer {
        SmallPeer::Service(key) if is_client => known.server == Some(*key),
        SmallPeer::Service(key) => match known.vantage {
            Vantage::Client => known.client == Some(*key),
            Vantage::Server => known.client_hosts.iter().any(|host| runs(host, key)),
        },
        SmallPeer::Office => within(&known.case.office, address),
        SmallPeer::Span(span) => within(&[*span], address),
        // Loopback is private.
        SmallPeer::Private => address == LOOPBACK || address < 10,
        SmallPeer::Internet => address != LOOPBACK && address >= 10,
    }
}
