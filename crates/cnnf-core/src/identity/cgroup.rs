//! From a cgroup's path to the service that it means.

use std::net::IpAddr;

use super::container::Container;
use crate::id::{ServiceKey, ServiceKind};

/// What a cgroup says about the processes in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CgroupOwner {
    /// They are this service: a systemd unit, or a machine or container whose name is in the path.
    Service(ServiceKey),
    /// Sockets were made in it for the service that this socket unit of systemd's starts; the name is without `.socket`. What it starts
    /// only systemd knows ([`super::socket_units`]): by default the service of the same name.
    SocketUnit(String),
    /// They are a container, which its runtime has to name.
    Container(Container),
    /// It holds programs that have nothing to do with each other: a login session, a cron job, a scope, the root.
    ByProgram,
}

impl CgroupOwner {
    /// The service, if the cgroup's path alone decides it.
    #[must_use]
    pub fn service(&self) -> Option<&ServiceKey> {
        match self {
            Self::Service(key) => Some(key),
            Self::SocketUnit(_) | Self::Container(_) | Self::ByProgram => None,
        }
    }

    /// The container, if it is one that a runtime has to name.
    #[must_use]
    pub fn container(&self) -> Option<&Container> {
        match self {
            Self::Container(container) => Some(container),
            Self::Service(_) | Self::SocketUnit(_) | Self::ByProgram => None,
        }
    }
}

/// The name of the unit that decides at `path`, for an operator's definition: without `.service`, a scope with `.scope`. Below it the names
/// are whom the subtree was delegated to. `None` in a container and where there is no unit.
#[must_use]
pub fn unit_of_cgroup(path: &str) -> Option<&str> {
    let owner = of_cgroup(path);
    if owner.container().is_some() || owner.service().is_some_and(|key| key.kind() == ServiceKind::Container) {
        return None;
    }
    let is_unit = |part: &&str| part.ends_with(".scope") || part.ends_with(".service");
    let unit = path.split('/').map(unescaped).find(is_unit)?;
    let unit = unit.strip_suffix(".service").unwrap_or(unit);
    Some(of_each_connection(unit).unwrap_or(unit)).filter(|unit| !unit.is_empty())
}

/// The template of a service that systemd starts for each connection (`Accept=yes` in systemd.socket(5)): all its instances are one
/// service. They are called `NUMBER-ADDRESS:PORT-ADDRESS:PORT` (`instance_from_socket` in systemd's src/core/socket.c).
fn of_each_connection(unit: &str) -> Option<&str> {
    let at = unit.find('@')?;
    let mut parts = unit[at + 1..].split('-');
    let is_end = |text: &str| {
        let end = text.rsplit_once(':').map(|(address, port)| (address.parse::<IpAddr>(), port.parse::<u16>()));
        matches!(end, Some((Ok(_), Ok(_))))
    };
    let numbered = parts.next()?.parse::<u32>().is_ok();
    let between = parts.next().is_some_and(is_end) && parts.next().is_some_and(is_end);
    (numbered && between && parts.next().is_none()).then(|| &unit[..=at])
}

/// Says what the cgroup at `path` (below the cgroup2 root, such as `/system.slice/nginx.service`) means.
///
/// The outermost component that means something decides: below it the names belong to whom the subtree was delegated. A container's own
/// `nginx.service`, or a group that it names after another container, must not pass for that; neither must a user's under
/// `user@1000.service`. What the host's own container engines keep below their units is theirs to name.
#[must_use]
pub fn of_cgroup(path: &str) -> CgroupOwner {
    let mut above = None;
    let (mut user, mut engine) = (None, None);
    for part in path.split('/').filter(|part| !part.is_empty()).map(unescaped) {
        if let Some(container) = container(part, above).and_then(|id| Container::new(id, user)) {
            return CgroupOwner::Container(container);
        }
        // below a user's manager or an engine only containers are told apart
        if user.is_none() && engine.is_none() {
            if let Some(name) = machine(part, above) {
                return CgroupOwner::Service(ServiceKey::container(&name));
            }
            if part.ends_with(".scope") {
                return CgroupOwner::ByProgram;
            }
            if let Some(unit) = part.strip_suffix(".service").filter(|unit| !unit.is_empty()) {
                user = unit.strip_prefix("user@").and_then(|uid| uid.parse().ok());
                if is_engine(unit) {
                    engine = Some(ServiceKey::unit(unit));
                } else if runs_programs_of_others(unit) && user.is_none() {
                    return CgroupOwner::ByProgram;
                } else if user.is_none() {
                    return CgroupOwner::Service(ServiceKey::unit(of_each_connection(unit).unwrap_or(unit)));
                }
            }
            if let Some(unit) = part.strip_suffix(".socket").filter(|unit| !unit.is_empty()) {
                return CgroupOwner::SocketUnit(unit.to_owned());
            }
        }
        above = Some(part);
    }
    engine.map_or(CgroupOwner::ByProgram, CgroupOwner::Service)
}

/// Units below whose own group containers' groups are, where systemd is not asked to make them (`…:cri-containerd:ID` below).
fn is_engine(unit: &str) -> bool {
    matches!(unit, "containerd" | "k3s" | "k3s-agent" | "rke2-server" | "rke2-agent")
}

/// Whether groups below this service's own may be containers'. A group of which nothing is known yet must not pass for the engine's then.
pub(super) fn holds_containers(path: &str) -> bool {
    path.split('/').filter_map(|part| part.strip_suffix(".service")).any(is_engine)
}

/// Whether groups below one of programs may be containers', for whom an operator's name of it does not count.
pub(super) fn is_a_users(path: &str) -> bool {
    unit_of_cgroup(path).is_some_and(|unit| unit.starts_with("user@"))
}

/// systemd puts a `_` before a name that the cgroup file system would take for a file of its own (`cg_escape` in cgroup-util.c).
fn unescaped(part: &str) -> &str {
    part.strip_prefix('_').unwrap_or(part)
}

/// Units whose children are somebody else's programs: a user's manager, and what starts jobs by the clock.
fn runs_programs_of_others(unit: &str) -> bool {
    unit.starts_with("user@") || matches!(unit, "cron" | "crond" | "cronie" | "anacron" | "atd" | "fcron")
}

/// The container's id, if this component is a container's:
/// `docker-ID.scope`, `libpod-ID.scope`, `cri-containerd-ID.scope`, `nerdctl-ID.scope`, `crio-ID.scope` (systemd's cgroup driver),
/// `/docker/ID`, `/libpod_parent/libpod-ID`, `/kubepods/…/ID`, `/kubepods/…/crio-ID` (cgroupfs driver) and `…:cri-containerd:ID` (runc's
/// systemd form under the cgroupfs driver). A `libpod-conmon-ID.scope` is the monitor's, and so no container.
fn container<'a>(part: &'a str, above: Option<&str>) -> Option<&'a str> {
    let bare = part.strip_suffix(".scope").unwrap_or(part);
    let id = ["docker-", "libpod-", "cri-containerd-", "nerdctl-", "crio-"]
        .iter()
        .find_map(|prefix| bare.strip_prefix(prefix))
        .or_else(|| {
            let (head, id) = part.rsplit_once(':')?;
            head.ends_with(":cri-containerd").then_some(id)
        });
    id.or_else(|| {
        above
            .filter(|above| *above == "docker" || above.starts_with("pod") || above.starts_with("kubepods"))
            .map(|_| part)
    })
}

/// The name of a whole system in a container, where the path has it: `lxc.payload.NAME` (LXC, LXD, Incus), `/lxc/NAME` (LXC before 4, and
/// Proxmox), `machine-NAME.scope` (systemd-nspawn) and `machine-lxc\x2dN\x2dNAME.scope` (libvirt). A virtual machine is a program of this host.
fn machine(part: &str, above: Option<&str>) -> Option<String> {
    if let Some(name) = part.strip_prefix("lxc.payload.").filter(|name| !name.is_empty()) {
        return Some(name.to_owned());
    }
    if above == Some("lxc") {
        return Some(part.to_owned());
    }
    if above != Some("machine.slice") {
        return None;
    }
    let name = unescape_unit(part.strip_prefix("machine-")?.strip_suffix(".scope")?);
    match name.split_once('-') {
        Some(("qemu", _)) => None,
        Some(("lxc", rest)) => rest.split_once('-').map(|(_, name)| name.to_owned()),
        _ => Some(name),
    }
    .filter(|name| !name.is_empty())
}

/// systemd writes most special bytes in a unit's name as `\xHH` (systemd.unit(5)).
fn unescape_unit(text: &str) -> String {
    let mut parts = text.split("\\x");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let byte = part.get(..2).and_then(|hex| u8::from_str_radix(hex, 16).ok()).filter(u8::is_ascii_graphic);
        match byte {
            Some(byte) => {
                out.push(char::from(byte));
                out.push_str(&part[2..]);
            }
            None => {
                out.push_str("\\x");
                out.push_str(part);
            }
        }
    }
    out
}
