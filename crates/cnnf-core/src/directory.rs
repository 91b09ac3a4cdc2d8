//! Who is where: hosts, their addresses, and the services that run on them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use crate::id::{HostId, ServiceKey};
use crate::label::Labels;
use crate::net::Protocol;
use crate::policy::Mode;

/// A listening socket of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct Endpoint {
    /// Its protocol.
    pub protocol: Protocol,
    /// The address it is bound to; `None` for the wildcard of both families.
    pub address: Option<IpAddr>,
    /// Its port.
    pub port: u16,
}

impl Endpoint {
    /// Whether a connection to `address:port` over `protocol` reaches this endpoint. An unspecified IPv4 or IPv6 address is the
    /// wildcard of its own family.
    #[must_use]
    pub fn accepts(&self, protocol: Protocol, address: IpAddr, port: u16) -> bool {
        self.protocol == protocol
            && self.port == port
            && self.address.is_none_or(|bound| {
                bound == address || (bound.is_unspecified() && bound.is_ipv4() == address.is_ipv4())
            })
    }
}

/// A service on a host.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Instance {
    /// Where it listens.
    pub endpoints: BTreeSet<Endpoint>,
    /// Whether it has a process now.
    pub live: bool,
    /// What its units and containers are called without an operator's definitions, where that is another name.
    pub natural: BTreeSet<ServiceKey>,
}

/// A defended host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// Its name, for people.
    pub name: String,
    /// Its labels.
    pub labels: Labels,
    /// Its global addresses on its uplinks; never loopback or container bridges. Empty when it has been silent for 60 s.
    pub addresses: BTreeSet<IpAddr>,
    /// Whether prevent rules are enforced here.
    pub mode: Mode,
    /// Its services.
    pub instances: BTreeMap<ServiceKey, Instance>,
}

/// All defended hosts.
///
/// A copy shares the hosts, so that what was a moment ago can be kept beside what is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directory {
    hosts: BTreeMap<HostId, Arc<Host>>,
    /// Who claims each address, by id.
    claims: BTreeMap<IpAddr, Vec<HostId>>,
}

impl Directory {
    /// All hosts, by id.
    pub fn hosts(&self) -> impl ExactSizeIterator<Item = (&HostId, &Host)> + Clone {
        self.hosts.iter().map(|(id, host)| (id, &**host))
    }

    /// The ids of all hosts, in order.
    pub fn ids(&self) -> impl ExactSizeIterator<Item = &HostId> {
        self.hosts.keys()
    }

    /// A host.
    #[must_use]
    pub fn host(&self, id: &HostId) -> Option<&Host> {
        self.hosts.get(id).map(|host| &**host)
    }

    /// Whether a host is here as it is in `other`; or in neither.
    #[must_use]
    pub fn is_same(&self, other: &Self, id: &HostId) -> bool {
        match (self.hosts.get(id), other.hosts.get(id)) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b) || a == b,
            (a, b) => a.is_none() && b.is_none(),
        }
    }

    /// Puts a host in, in place of what had its id.
    pub fn insert(&mut self, id: HostId, host: Host) {
        self.remove(&id);
        self.claim(&id, &host.addresses);
        self.hosts.insert(id, Arc::new(host));
    }

    /// Takes a host out.
    pub fn remove(&mut self, id: &HostId) -> Option<Arc<Host>> {
        let host = self.hosts.remove(id)?;
        self.release(id, &host.addresses);
        Some(host)
    }

    /// Changes a host, and says what `change` says; `None` if there is no such host.
    pub fn change<T>(&mut self, id: &HostId, change: impl FnOnce(&mut Host) -> T) -> Option<T> {
        let host = Arc::make_mut(self.hosts.get_mut(id)?);
        let before = host.addresses.clone();
        let result = change(host);
        if host.addresses != before {
            let after = host.addresses.clone();
            self.release(id, &before);
            self.claim(id, &after);
        }
        Some(result)
    }

    fn claim(&mut self, id: &HostId, addresses: &BTreeSet<IpAddr>) {
        for address in addresses {
            let claims = self.claims.entry(*address).or_default();
            if let Err(place) = claims.binary_search(id) {
                claims.insert(place, id.clone());
            }
        }
    }

    fn release(&mut self, id: &HostId, addresses: &BTreeSet<IpAddr>) {
        for address in addresses {
            if let Some(claims) = self.claims.get_mut(address) {
                claims.retain(|claimant| claimant != id);
                if claims.is_empty() {
                    self.claims.remove(address);
                }
            }
        }
    }

    /// The host that claims `address`; `None` if none does or two do (a conflict is not guessed).
    #[must_use]
    pub fn host_of(&self, address: IpAddr) -> Option<(&HostId, &Host)> {
        let mut claims = self.claimants(address);
        claims.next().filter(|_| claims.next().is_none())
    }

    /// Every host that claims `address`, by id.
    pub fn claimants(&self, address: IpAddr) -> impl Iterator<Item = (&HostId, &Host)> {
        let claims = self.claims.get(&address).into_iter().flatten();
        claims.filter_map(|id| Some((id, self.host(id)?)))
    }

    /// The service that listens on `address:port`, if a defended host claims the address and exactly one of its services
    /// accepts there.
    #[must_use]
    pub fn service_at(&self, protocol: Protocol, address: IpAddr, port: u16) -> Option<(&HostId, &ServiceKey)> {
        let (id, host) = self.host_of(address)?;
        host.service_at(protocol, address, port).map(|key| (id, key))
    }

    /// Addresses that two hosts claim, with the claimants.
    #[must_use]
    pub fn conflicts(&self) -> BTreeMap<IpAddr, Vec<&HostId>> {
        let disputed = self.claims.iter().filter(|(_, ids)| ids.len() > 1);
        disputed.map(|(address, ids)| (*address, ids.iter().collect())).collect()
    }
}

impl FromIterator<(HostId, Host)> for Directory {
    fn from_iter<I: IntoIterator<Item = (HostId, Host)>>(hosts: I) -> Self {
        let mut directory = Self::default();
        for (id, host) in hosts {
            directory.insert(id, host);
        }
        directory
    }
}

impl Host {
    /// The one service of this host that accepts `protocol` connections to `address:port`. As in the kernel a socket bound to the
    /// address comes before one bound to the wildcard; `None` if two services are equally near (never guess).
    #[must_use]
    pub fn service_at(&self, protocol: Protocol, address: IpAddr, port: u16) -> Option<&ServiceKey> {
        let owner = |exact: bool| {
            let mut owners = self.instances.iter().filter(|(_, instance)| {
                let mut near = instance.endpoints.iter().filter(|e| e.accepts(protocol, address, port));
                near.any(|e| e.address.is_some_and(|bound| !bound.is_unspecified()) == exact)
            });
            (owners.next().map(|(key, _)| key), owners.next().is_some())
        };
        match owner(true) {
            (None, _) => match owner(false) {
                (key, false) => key,
                (_, true) => None,
            },
            (key, false) => key,
            (_, true) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(addresses: &[&str], service: &str, port: u16) -> Host {
        let endpoint = Endpoint { protocol: Protocol::Tcp, address: None, port };
        Host {
            name: "h".into(),
            labels: Labels::default(),
            addresses: addresses.iter().map(|a| a.parse().expect("address")).collect(),
            mode: Mode::Observe,
            instances: [(
                ServiceKey::unit(service),
                Instance { endpoints: [endpoint].into(), live: true, ..Instance::default() },
            )]
            .into(),
        }
    }

    #[test]
    fn an_address_leads_to_one_service_or_none() {
        let mut directory = Directory::default();
        directory.insert(HostId::new("a"), host(&["10.0.0.1"], "nginx", 80));
        directory.insert(HostId::new("b"), host(&["10.0.0.2"], "redis", 6379));
        let at = |d: &Directory, a: &str, port| {
            d.service_at(Protocol::Tcp, a.parse().expect("address"), port).map(|(_, key)| key.name().to_owned())
        };
        assert_eq!(at(&directory, "10.0.0.1", 80).as_deref(), Some("nginx"));
        assert_eq!(at(&directory, "10.0.0.1", 81), None);
        directory.insert(HostId::new("c"), host(&["10.0.0.1"], "haproxy", 80));
        assert_eq!(at(&directory, "10.0.0.1", 80), None, "two claim it: never guess");
        assert_eq!(directory.conflicts().len(), 1);
        let before = directory.clone();
        let moved =
            directory.change(&HostId::new("c"), |host| host.addresses = ["10.0.0.3".parse().expect("address")].into());
        assert_eq!(moved, Some(()));
        assert_eq!(at(&directory, "10.0.0.1", 80).as_deref(), Some("nginx"));
        assert_eq!(at(&directory, "10.0.0.3", 80).as_deref(), Some("haproxy"));
        assert_eq!((before.conflicts().len(), directory.conflicts().len()), (1, 0), "a copy stays as it was");
        assert_eq!(directory.remove(&HostId::new("c")).map(|host| host.name.clone()).as_deref(), Some("h"));
        assert_eq!((at(&directory, "10.0.0.3", 80), directory.hosts().len()), (None, 2));
    }

    #[test]
    fn a_socket_bound_to_the_address_comes_before_the_wildcard() {
        let mut host = host(&["10.0.0.1"], "nginx", 80);
        let local =
            Endpoint { protocol: Protocol::Tcp, address: Some("127.0.0.1".parse().expect("address")), port: 80 };
        host.instances.insert(
            ServiceKey::unit("admin"),
            Instance { endpoints: [local].into(), live: true, ..Instance::default() },
        );
        let at = |a: &str| host.service_at(Protocol::Tcp, a.parse().expect("address"), 80).map(ServiceKey::name);
        assert_eq!((at("127.0.0.1"), at("10.0.0.1")), (Some("admin"), Some("nginx")));
    }
}
