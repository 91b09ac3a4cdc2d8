//! From observations to the owners of connections.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use super::cgroup::{CgroupOwner, holds_containers, is_a_users, of_cgroup};
use super::container::Container;
use super::definition::Definition;
use super::naming::{HeldPorts, Naming};
use super::slots::Slots;
use crate::directory::Endpoint;
use crate::id::{ServiceKey, ServiceKind};
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
    naming: Arc<Naming>,
    /// Who listens where, as it was last seen.
    answering: HeldPorts,
    /// What cgroups are without an operator's definitions.
    cgroups: BTreeMap<u64, (String, CgroupOwner)>,
    /// What socket units start.
    starts: BTreeMap<String, ServiceKey>,
    /// What the containers with a cgroup are called, as far as that was decided.
    containers: BTreeMap<Container, ServiceKey>,
    /// Units and containers that definitions split, by the names that they have without.
    split: BTreeSet<ServiceKey>,
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
        Self::resume(slots, &[], HeldPorts::new())
    }

    /// One that names by these definitions and knows what an earlier run knew of ports.
    #[must_use]
    pub fn resume(slots: Slots, definitions: &[Definition], held: HeldPorts) -> Self {
        let naming = Arc::new(Naming::new(definitions.to_vec(), held));
        let services = slots.iter().map(|(key, _)| (key.clone(), Service::default())).collect();
        Self { slots, naming, services, ..Self::default() }
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
                let Some((path, owner)) = self.cgroups.remove(id) else { return false };
                let key = self.decision(&path, &owner).and_then(|decided| decided.service().cloned());
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
            Observation::Answering(ports) => {
                self.answering.clone_from(ports);
                let mut naming = (*self.naming).clone();
                naming.listen(&self.answering) && self.name_by(naming)
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
        let Some(decided) = self.decision(path, owner) else { return false };
        // the kernel looks at every level of the path: below a service's own cgroup there is nothing to tell it
        let above = path.rsplit_once('/').and_then(|(above, _)| self.decision(above, &self.of_cgroup(above)));
        let outermost = above.as_ref() != Some(&decided);
        let Some(key) = decided.service() else {
            let natural = self.named(owner).cloned();
            self.split.extend(natural);
            return false;
        };
        self.add(key).is_some_and(|service| outermost && service.cgroups.insert(id))
    }

    /// What a cgroup means by the definitions: a service, or that processes decide; `None` if that is not known yet.
    fn decision(&self, path: &str, owner: &CgroupOwner) -> Option<CgroupOwner> {
        match owner {
            CgroupOwner::ByProgram => Some(self.naming.of_programs(path)),
            owner => Some(self.naming.of_service(self.named(owner)?)),
        }
    }

    /// Names everything by these definitions from now on, in order; they are all this host's. True if that changes what
    /// [`Resolver::services`] says. Slots stay: a connection that is stamped keeps the name that it had when it began.
    pub fn define(&mut self, definitions: &[Definition]) -> bool {
        if self.naming.definitions() == definitions {
            return false;
        }
        let mut naming = Naming::new(definitions.to_vec(), self.naming.held().clone());
        naming.listen(&self.answering);
        self.name_by(naming)
    }

    /// What everything is called.
    #[must_use]
    pub fn naming(&self) -> &Arc<Naming> {
        &self.naming
    }

    /// Derives everything anew from what is observed.
    fn name_by(&mut self, naming: Naming) -> bool {
        let before = self.services();
        self.naming = Arc::new(naming);
        self.split.clear();
        for service in self.services.values_mut() {
            service.cgroups.clear();
        }
        let all: Vec<u64> = self.cgroups.keys().copied().collect();
        for id in all {
            self.enter(id);
        }
        self.services() != before
    }

    /// The service of a cgroup without definitions; `None` if programs decide it, or if it is a container's that has no name yet.
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
                    let of_engine = |(path, owner): &(String, CgroupOwner)| match owner {
                        CgroupOwner::Service(_) => holds_containers(path),
                        CgroupOwner::ByProgram => is_a_users(path),
                        CgroupOwner::SocketUnit(_) | CgroupOwner::Container(_) => false,
                    };
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

    /// Whether only a process tells that something is this service: a program, or a part of a unit or container that is split by
    /// definitions.
    #[must_use]
    pub fn by_process(&self, key: &ServiceKey) -> bool {
        match key.kind() {
            ServiceKind::Program => true,
            ServiceKind::Defined => !self.has_cgroup(key),
            ServiceKind::Unit | ServiceKind::Container => self.split.contains(key),
            ServiceKind::Kernel | ServiceKind::Unknown | ServiceKind::Ambiguous => false,
        }
    }

    /// What the cgroups of defined services are called without definitions, by the names that they have.
    #[must_use]
    pub fn naturals(&self) -> BTreeMap<ServiceKey, BTreeSet<ServiceKey>> {
        let mut naturals: BTreeMap<ServiceKey, BTreeSet<ServiceKey>> = BTreeMap::new();
        if self.naming.definitions().is_empty() {
            return naturals;
        }
        for (path, owner) in self.cgroups.values() {
            if let Some(natural) = self.named(owner)
                && let Some(CgroupOwner::Service(key)) = self.decision(path, owner)
                && key != *natural
            {
                naturals.entry(key).or_default().insert(natural.clone());
            }
        }
        naturals
    }

    /// Whether nothing can have this name any more: everything that had it is called something else, or its definition is gone.
    #[must_use]
    pub fn is_renamed(&self, key: &ServiceKey) -> bool {
        let Some(service) = self.services.get(key) else { return false };
        if !service.cgroups.is_empty() || !service.endpoints.is_empty() {
            return false;
        }
        if key.kind() == ServiceKind::Defined {
            return self.naming.definitions().iter().all(|definition| definition.key() != *key);
        }
        let its = |(_, owner): &&(String, CgroupOwner)| self.named(owner) == Some(key);
        let mut its = self.cgroups.values().filter(its).peekable();
        its.peek().is_some()
            && its.all(|(path, owner)| self.decision(path, owner).is_some_and(|decided| decided.service().is_some()))
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
