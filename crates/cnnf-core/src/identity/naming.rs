//! What everything on a host is called: the operator's definitions before the names that things have by nature.

use std::collections::{BTreeMap, BTreeSet};

use super::cgroup::{CgroupOwner, unit_of_cgroup};
use super::definition::Definition;
use super::program::program;
use crate::id::ServiceKey;
use crate::net::Protocol;

/// Which services hold a port, by the names that they have without definitions.
pub type HeldPorts = BTreeMap<(Protocol, u16), BTreeSet<ServiceKey>>;

/// A process, as far as its name depends on it.
#[derive(Clone, Copy, Debug)]
pub struct Program<'a> {
    /// The path of its control group.
    pub cgroup: &'a str,
    /// The service that its control group decides without definitions: a unit or container.
    pub service: Option<&'a ServiceKey>,
    /// The target of its `exe` link; empty if it could not be read.
    pub exe: &'a str,
    /// Its arguments, the first is its own name.
    pub cmdline: &'a [&'a str],
    /// Its working directory, if it could be read.
    pub cwd: Option<&'a str>,
    /// Its effective user's number.
    pub uid: u32,
    /// Its effective user's name; empty if it has none here. Only looked at if [`Naming::asks_for_users`].
    pub user: &'a str,
}

impl Program<'_> {
    /// Its executable's path.
    #[must_use]
    pub fn exe(&self) -> &str {
        self.exe.strip_suffix(" (deleted)").unwrap_or(self.exe)
    }

    /// What it is called where no control group decides.
    #[must_use]
    pub fn program(&self) -> ServiceKey {
        program(self.exe, self.cmdline, self.cwd)
    }

    fn unit(&self) -> Option<&str> {
        self.service.map_or_else(|| unit_of_cgroup(self.cgroup), unit_of)
    }

    /// What it is called without any definition.
    #[must_use]
    pub fn natural(&self) -> ServiceKey {
        self.service.cloned().unwrap_or_else(|| self.program())
    }
}

/// The definitions of a host, with what is known of its ports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Naming {
    definitions: Vec<Definition>,
    /// Of the ports that definitions ask for, who listens there, or was the last to.
    held: HeldPorts,
}

impl Naming {
    /// These definitions, in order, all of this host. `held` is what an earlier run knew of its ports.
    #[must_use]
    pub fn new(definitions: Vec<Definition>, held: HeldPorts) -> Self {
        let mut naming = Self { definitions, held: HeldPorts::new() };
        naming.listen(&held);
        naming
    }

    /// Who listens where now. A service keeps a port over its restarts, until another one listens there. True if that changes a name.
    pub fn listen(&mut self, now: &HeldPorts) -> bool {
        let asked =
            |(protocol, port): &(Protocol, u16)| self.definitions.iter().any(|d| d.names_port(*protocol, *port));
        let news: HeldPorts = now
            .iter()
            .filter(|(port, services)| asked(port) && !services.is_empty() && self.held.get(port) != Some(services))
            .map(|(port, services)| (*port, services.clone()))
            .collect();
        let changed = !news.is_empty();
        self.held.extend(news);
        changed
    }

    /// Who holds the ports that definitions ask for, for keeping.
    #[must_use]
    pub fn held(&self) -> &HeldPorts {
        &self.held
    }

    /// The definitions, in order.
    #[must_use]
    pub fn definitions(&self) -> &[Definition] {
        &self.definitions
    }

    /// Whether a user's name can matter.
    #[must_use]
    pub fn asks_for_users(&self) -> bool {
        self.definitions.iter().any(|definition| !definition.users.is_empty())
    }

    /// Whether the service of this natural name has one of the ports that `definition` asks for.
    fn fits_ports(&self, definition: &Definition, natural: &ServiceKey) -> bool {
        !definition.asks_for_ports()
            || self.held.iter().any(|((protocol, port), services)| {
                definition.ports.contains(*protocol, *port) && services.contains(natural)
            })
    }

    /// What the control groups of a unit or container say about all sockets that were made in them. They do not decide if a definition could
    /// apply that has to see the process.
    #[must_use]
    pub fn of_service(&self, natural: &ServiceKey) -> CgroupOwner {
        self.of_owner(unit_of(natural), CgroupOwner::Service(natural.clone()))
    }

    /// What the control group of programs at `path` says about their sockets: one name for all, if a definition by unit gives it.
    #[must_use]
    pub fn of_programs(&self, path: &str) -> CgroupOwner {
        self.of_owner(unit_of_cgroup(path), CgroupOwner::ByProgram)
    }

    fn of_owner(&self, unit: Option<&str>, natural: CgroupOwner) -> CgroupOwner {
        for definition in self.definitions.iter().filter(|definition| definition.fits_unit(unit)) {
            match natural.service() {
                Some(key) if !self.fits_ports(definition, key) => {}
                Some(_) if !definition.asks_for_a_process() => return CgroupOwner::Service(definition.key()),
                // which program it is says which ports are its own
                None if !definition.asks_for_a_process() && !definition.asks_for_ports() => {
                    return CgroupOwner::Service(definition.key());
                }
                _ => return CgroupOwner::ByProgram,
            }
        }
        natural
    }

    /// What a process is called: `unknown` where that depends on what could not be read of it.
    #[must_use]
    pub fn of_process(&self, process: &Program<'_>) -> ServiceKey {
        let natural = process.natural();
        let unit = process.unit();
        for definition in self.definitions.iter().filter(|definition| definition.fits_unit(unit)) {
            let ports_unknown = definition.asks_for_ports() && natural == ServiceKey::unknown();
            if !ports_unknown && !self.fits_ports(definition, &natural) {
                continue;
            }
            match definition.fits_process(process) {
                Some(false) => {}
                Some(true) if !ports_unknown => return definition.key(),
                _ => return ServiceKey::unknown(),
            }
        }
        natural
    }
}

/// The unit that a service is.
fn unit_of(service: &ServiceKey) -> Option<&str> {
    service.as_str().strip_prefix("unit:")
}
