//! When to say what the host is and runs.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use cnnf_core::directory::{Endpoint, Instance};
use cnnf_core::id::ServiceKey;
use cnnf_core::identity::Resolver;
use cnnf_core::net::Protocol;
use cnnf_core::time::Timestamp;
use cnnf_rpc::convert::flow;

/// How often it is said even if nothing changed.
const EVERY: Duration = Duration::from_secs(10);
/// How soon a change is said.
const SOON: Duration = Duration::from_millis(200);
/// How long a service that listens no more is said to listen where it did, unless another one does: most are there again in a moment, and a
/// rule about them must not end meanwhile.
pub const LINGERS: Duration = Duration::from_secs(10);
/// How long a program lives on after its last connection, as far as is known.
const PROGRAM_LIVES: Duration = Duration::from_secs(60);

/// What is needed to say it.
#[derive(Debug, Default)]
pub(super) struct Inventory {
    addresses: BTreeSet<IpAddr>,
    programs: BTreeMap<ServiceKey, Timestamp>,
    /// Where services listened when that was said last, and since when those do not that linger.
    listened: BTreeMap<(ServiceKey, Endpoint), Option<Timestamp>>,
    said: Timestamp,
    changed: bool,
}

impl Inventory {
    /// Something changed.
    pub(super) fn touch(&mut self) {
        self.changed = true;
    }

    pub(super) fn set_addresses(&mut self, addresses: BTreeSet<IpAddr>) {
        self.changed |= self.addresses != addresses;
        self.addresses = addresses;
    }

    /// A service had a connection.
    pub(super) fn seen(&mut self, key: &ServiceKey, resolver: &Resolver, at: Timestamp) {
        if resolver.by_process(key) && self.programs.insert(key.clone(), at).is_none() {
            self.changed = true;
        }
    }

    /// What to say now, if it is time.
    pub(super) fn due(&mut self, resolver: &Resolver, now: Timestamp) -> Option<flow::Inventory> {
        let since = now.since(self.said);
        let over = self.listened.values().flatten().any(|since| is_over(*since, now));
        // a clock that was set back must not make us silent
        if now >= self.said && since < if self.changed || over { SOON } else { EVERY } {
            return None;
        }
        let mut lingering = self.lingering(resolver, now);
        self.said = now;
        self.changed = false;
        let mut naturals = resolver.naturals();
        let instances = resolver
            .endpoints()
            .filter_map(|(key, endpoints)| {
                let recent = self.programs.get(key).is_some_and(|at| now.since(*at) < PROGRAM_LIVES);
                let live = resolver.has_cgroup(key) || !endpoints.is_empty() || recent;
                let natural = naturals.remove(key).unwrap_or_default();
                let mut endpoints = endpoints.clone();
                endpoints.extend(lingering.remove(key).unwrap_or_default());
                (live || !resolver.is_renamed(key)).then(|| (key.clone(), Instance { endpoints, live, natural }))
            })
            .collect();
        Some(flow::Inventory { addresses: self.addresses.clone(), instances, at: now })
    }

    /// Where services listened until a moment ago and nobody does now.
    fn lingering(&mut self, resolver: &Resolver, now: Timestamp) -> BTreeMap<ServiceKey, BTreeSet<Endpoint>> {
        let present: BTreeSet<(&ServiceKey, &Endpoint)> =
            resolver.endpoints().flat_map(|(key, all)| all.iter().map(move |endpoint| (key, endpoint))).collect();
        let mut taken: BTreeMap<(Protocol, u16), Vec<&Endpoint>> = BTreeMap::new();
        for (_, endpoint) in &present {
            taken.entry((endpoint.protocol, endpoint.port)).or_default().push(endpoint);
        }
        let mut lingering: BTreeMap<ServiceKey, BTreeSet<Endpoint>> = BTreeMap::new();
        self.listened.retain(|(key, endpoint), since| {
            let since = *since.get_or_insert(now);
            let at_port = taken.get(&(endpoint.protocol, endpoint.port)).into_iter().flatten();
            // a clock that was set back makes nobody listen longer
            let over = is_over(since, now) || at_port.into_iter().any(|other| overlap(endpoint, other));
            if !over {
                lingering.entry(key.clone()).or_default().insert(*endpoint);
            }
            !over
        });
        self.listened.extend(present.into_iter().map(|(key, endpoint)| ((key.clone(), *endpoint), None)));
        lingering
    }
}

fn is_over(since: Timestamp, now: Timestamp) -> bool {
    now < since || now.since(since) >= LINGERS
}

/// Whether a connection could reach either.
fn overlap(a: &Endpoint, b: &Endpoint) -> bool {
    match (a.address, b.address) {
        (Some(a), Some(b)) if a.is_ipv4() != b.is_ipv4() => false,
        (Some(a), Some(b)) => a == b || a.is_unspecified() || b.is_unspecified(),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use cnnf_core::identity::Slots;
    use cnnf_core::observation::Observation;

    use super::*;

    fn listen(resolver: &mut Resolver, service: &str, at: Option<&str>) {
        let endpoint = |address: &str| Endpoint {
            protocol: Protocol::Tcp,
            address: (address != "*").then(|| address.parse().expect("an address")),
            port: 80,
        };
        let endpoints = at.map(endpoint).into_iter().collect();
        resolver.observe(&Observation::Listening { service: ServiceKey::unit(service), endpoints });
    }

    /// Who is said to listen, a second after another.
    fn said(inventory: &mut Inventory, resolver: &Resolver, seconds: u64) -> Vec<String> {
        inventory.touch();
        let said = inventory.due(resolver, Timestamp(1_000_000 + seconds * 1_000)).expect("it is time");
        let listens = |(key, instance): (&ServiceKey, &Instance)| {
            (!instance.endpoints.is_empty()).then(|| format!("{}{}", key.name(), instance.endpoints.len()))
        };
        said.instances.iter().filter_map(listens).collect()
    }

    #[test]
    fn a_server_that_starts_anew_is_said_to_listen_meanwhile() {
        let (mut resolver, mut inventory) = (Resolver::new(Slots::default()), Inventory::default());
        listen(&mut resolver, "web", Some("*"));
        assert_eq!(said(&mut inventory, &resolver, 0), ["web1"]);
        listen(&mut resolver, "web", None);
        assert_eq!(said(&mut inventory, &resolver, 1), ["web1"]);
        assert_eq!(said(&mut inventory, &resolver, 9), ["web1"]);
        listen(&mut resolver, "web", Some("*"));
        assert_eq!(said(&mut inventory, &resolver, 10), ["web1"]);
        listen(&mut resolver, "web", None);
        assert_eq!(said(&mut inventory, &resolver, 19), ["web1"], "it went anew");
        assert_eq!(said(&mut inventory, &resolver, 28), ["web1"]);
        assert_eq!(said(&mut inventory, &resolver, 29), Vec::<String>::new());
        assert_eq!(said(&mut inventory, &resolver, 30), Vec::<String>::new());
    }

    #[test]
    fn another_service_takes_a_port_over_at_once() {
        for (old, new, both) in [
            ("*", "*", false),
            ("*", "10.0.0.1", false),
            ("10.0.0.1", "0.0.0.0", false),
            ("10.0.0.1", "10.0.0.2", true),
            ("10.0.0.1", "::", true),
        ] {
            let (mut resolver, mut inventory) = (Resolver::new(Slots::default()), Inventory::default());
            listen(&mut resolver, "web", Some(old));
            said(&mut inventory, &resolver, 0);
            listen(&mut resolver, "web", None);
            listen(&mut resolver, "other", Some(new));
            let now = said(&mut inventory, &resolver, 1);
            assert_eq!(now, if both { vec!["other1", "web1"] } else { vec!["other1"] }, "{old} {new}");
            listen(&mut resolver, "other", None);
            assert!(!said(&mut inventory, &resolver, 2).contains(&"web1".to_owned()) || both, "{old} {new}");
        }
    }

    #[test]
    fn the_end_of_a_wait_is_said_soon() {
        let (mut resolver, mut inventory) = (Resolver::new(Slots::default()), Inventory::default());
        listen(&mut resolver, "web", Some("*"));
        said(&mut inventory, &resolver, 0);
        listen(&mut resolver, "web", None);
        said(&mut inventory, &resolver, 1);
        let at = |ms: u64| Timestamp(1_000_000 + ms);
        assert!(inventory.due(&resolver, at(10_999)).is_none());
        assert!(
            inventory
                .due(&resolver, at(11_000))
                .is_some_and(|said| { said.instances.values().all(|instance| instance.endpoints.is_empty()) })
        );
    }
}
