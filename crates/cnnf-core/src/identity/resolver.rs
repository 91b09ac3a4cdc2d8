//! From observations to the owners of connections.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::cgroup::{CgroupOwner, holds_containers, of_cgroup};
use super::container::Container;
use super::slots::Slots;
use crate::directory::Endpoint;
use crate::id::ServiceKey;
use crate::observation::{FlowSeen, Observation};
use crate::ruleset::{LocalService, Slot};

/// One end of a connection, as this host sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// It is elsewhere.
    Remote,
    /// It is here and not stamped yet.
    Unstamped,
    /// It is here.
    Local(ServiceKey),
}

/// Both ends of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ends {
    /// Who opened it.
    pub client: Owner,
    /// Who was addressed.
    pub server: Owner,
}

/// What a host knows of its services.
#[derive(Clone, Debug, Default)]
pub struct Resolver {
    slots: Slots,
    cgroups: BTreeMap<u64, (String, CgroupOwner)>,
    /// What socket units start.
    starts: BTreeMap<String, ServiceKey>,
    /// What the containers with a cgroup are called, as far as that was decided.
    containers: BTreeMap<Container, ServiceKey>,
    services: BTreeMap<ServiceKey, Service>,
    addresses: BTreeSet<IpAddr>,
    unnumbered: u64,
}

#[derive(Clone, Debug, Default)]
struct Service {
    cgroups: BTreeSet<u64>,
    endpoints: BTreeSet<Endpoint>,
}

impl Resolver {
    /// One that knows no service yet and gives these slots.
    #[must_use]
    pub fn new(slots: Slots) -> Self {
        let services = slots.iter().map(|(key, _)| (key.clone(), Service::default())).collect();
        Self { slots, services, ..Self::default() }
    }

    /// Takes an observation in. True if that changes what [`Resolver::services`] says. Flows and losses change nothing here.
    pub fn observe(&mut self, observation: &Observation) -> bool {
        match observation {
            Observation::CgroupSeen { path, id } => {
                if self.cgroups.get(id).is_some_and(|(known, _)| known == path) {
                    return false;
                }
                let owner = self.of_cgroup(path);
                self.cgroups.insert(*id, (path.clone(), owner));
                self.enter(*id)
            }
            Observation::Starts { socket, service } => {
                if self.starts.insert(socket.clone(), service.clone()).as_ref() == Some(service) {
                    return false;
                }
                let cgroups = self.cgroups.iter().map(|(id, (path, _))| (path.clone(), *id));
                let of_it = |path: &str| of_cgroup(path) == CgroupOwner::SocketUnit(socket.clone());
                let cgroups: Vec<_> = cgroups.filter(|(path, _)| of_it(path)).collect();
                let mut changed = false;
                for (path, id) in cgroups {
                    changed |= self.observe(&Observation::CgroupGone { id });
                    changed |= self.observe(&Observation::CgroupSeen { path, id });
                }
                changed
            }
            Observation::CgroupGone { id } => {
                let Some((_, owner)) = self.cgroups.remove(id) else { return false };
                let key = self.named(&owner).cloned();
                if let Some(container) = owner.container()
                    && !self.exists(container)
                {
                    self.containers.remove(container);
                }
                key.and_then(|key| self.services.get_mut(&key)).is_some_and(|s| s.cgroups.remove(id))
            }
            Observation::ContainerNamed { container, key } => {
                if self.containers.contains_key(container) || !self.exists(container) {
                    return false;
                }
                self.containers.insert(container.clone(), key.clone());
                let its: Vec<u64> = self.of_container(container).collect();
                its.into_iter().fold(false, |changed, id| self.enter(id) | changed)
            }
            Observation::Listening { service, endpoints } => {
                let endpoints: BTreeSet<_> = endpoints.iter().copied().collect();
                self.add(service).is_some_and(|known| {
                    let changed = known.endpoints != endpoints;
                    known.endpoints = endpoints;
                    changed
                })
            }
            Observation::Flow(_) | Observation::Lost { .. } => false,
        }
    }

    /// What the cgroup at `path` means, as far as is known by now.
    fn of_cgroup(&self, path: &str) -> CgroupOwner {
        match of_cgroup(path) {
            CgroupOwner::SocketUnit(name) => match self.starts.get(&name) {
                Some(service) => CgroupOwner::Service(service.clone()),
                None => CgroupOwner::SocketUnit(name),
            },
            owner => owner,
        }
    }

    /// Gives the cgroup to its service, if that is known. True if the table has to know.
    fn enter(&mut self, id: u64) -> bool {
        let Some((path, owner)) = self.cgroups.get(&id) else { return false };
        // the kernel looks at every level of the path: below a service's own cgroup there is nothing to tell it
        let outermost = path.rsplit_once('/').is_none_or(|(above, _)| self.of_cgroup(above) != *owner);
        let Some(key) = self.named(owner).cloned() else { return false };
        self.add(&key).is_some_and(|service| outermost && service.cgroups.insert(id))
    }

    /// The service of a cgroup; `None` if programs decide it, or if it is a container's that has no name yet.
    fn named<'a>(&'a self, owner: &'a CgroupOwner) -> Option<&'a ServiceKey> {
        match owner {
            CgroupOwner::Container(container) => self.containers.get(container),
            other => other.service(),
        }
    }

    fn of_container(&self, container: &Container) -> impl Iterator<Item = u64> {
        self.cgroups.iter().filter(move |(_, (_, owner))| owner.container() == Some(container)).map(|(id, _)| *id)
    }

    fn exists(&self, container: &Container) -> bool {
        self.of_container(container).next().is_some()
    }

    /// The containers that have a cgroup, with what they are called once that was decided.
    #[must_use]
    pub fn containers(&self) -> BTreeMap<&Container, Option<&ServiceKey>> {
        let all = self.cgroups.values().filter_map(|(_, owner)| owner.container());
        all.map(|container| (container, self.containers.get(container))).collect()
    }

    /// Makes a program known that was found behind a connection or a listener, and says its slot: `UNKNOWN` if all are taken.
    pub fn learn(&mut self, key: &ServiceKey) -> Slot {
        self.add(key);
        self.slots.get(key).unwrap_or(Slot::UNKNOWN)
    }

    fn add(&mut self, key: &ServiceKey) -> Option<&mut Service> {
        if !key.is_named() {
            return None;
        }
        if self.slots.assign(key).is_err() {
            self.unnumbered += 1;
            return None;
        }
        Some(self.services.entry(key.clone()).or_default())
    }

    /// The addresses of this host, beside loopback's. True if they are others than before.
    pub fn set_addresses(&mut self, addresses: BTreeSet<IpAddr>) -> bool {
        let changed = self.addresses != addresses;
        self.addresses = addresses;
        changed
    }

    /// Whether `address` is this host's.
    #[must_use]
    pub fn is_local(&self, address: IpAddr) -> bool {
        address.is_loopback() || self.addresses.contains(&address)
    }

    /// Who is at the ends of a connection, by the stamp that the kernel put on it.
    #[must_use]
    pub fn ends(&self, flow: &FlowSeen) -> Ends {
        let owner = |slot: Option<Slot>, address| match slot {
            Some(slot) => Owner::Local(self.slots.key(slot)),
            None if self.is_local(address) => Owner::Unstamped,
            None => Owner::Remote,
        };
        Ends { client: owner(flow.label.client(), flow.client), server: owner(flow.label.server(), flow.server) }
    }

    /// The services of this host with the cgroups that decide for all below them, for the table. A container engine's own is none of those.
    #[must_use]
    pub fn services(&self) -> Vec<LocalService> {
        self.services
            .iter()
            .filter_map(|(key, service)| {
                let slot = self.slots.get(key)?;
                let decides = |id: &&u64| {
                    let of_engine =
                        |(path, owner): &(String, CgroupOwner)| owner.service().is_some() && holds_containers(path);
                    !self.cgroups.get(*id).is_some_and(of_engine)
                };
                let cgroups = service.cgroups.iter().filter(decides).copied().collect();
                Some(LocalService { key: key.clone(), slot, cgroups })
            })
            .collect()
    }

    /// Whether the service has a cgroup.
    #[must_use]
    pub fn has_cgroup(&self, key: &ServiceKey) -> bool {
        self.services.get(key).is_some_and(|service| !service.cgroups.is_empty())
    }

    /// Every service with where it listens.
    pub fn endpoints(&self) -> impl Iterator<Item = (&ServiceKey, &BTreeSet<Endpoint>)> {
        self.services.iter().map(|(key, service)| (key, &service.endpoints))
    }

    /// What the cgroup of this id means, and its path; `None` if it was not seen.
    #[must_use]
    pub fn cgroup(&self, id: u64) -> Option<(&str, &CgroupOwner)> {
        self.cgroups.get(&id).map(|(path, owner)| (path.as_str(), owner))
    }

    /// Every cgroup that is known, with its path.
    pub fn cgroups(&self) -> impl Iterator<Item = (u64, &str)> {
        self.cgroups.iter().map(|(id, (path, _))| (*id, path.as_str()))
    }

    /// How many levels below the root the cgroups reach that [`Resolver::services`] names.
    #[must_use]
    pub fn levels(&self) -> u8 {
        let depth = |path: &str| path.split('/').filter(|part| !part.is_empty()).count();
        let named = self.services.values().flat_map(|service| &service.cgroups).filter_map(|id| self.cgroups.get(id));
        let deepest = named.map(|(path, _)| depth(path)).max();
        u8::try_from(deepest.unwrap_or(0)).unwrap_or(u8::MAX)
    }

    /// The slots given so far.
    #[must_use]
    pub fn slots(&self) -> &Slots {
        &self.slots
    }

    /// How often a service was met that got no slot, because all are taken.
    #[must_use]
    pub fn unnumbered(&self) -> u64 {
        self.unnumbered
    }
}
