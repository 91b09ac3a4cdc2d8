//! From a cgroup's path to the service that it means.

use std::net::IpAddr;

use crate::id::ServiceKey;

/// What a cgroup says about the processes in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CgroupOwner {
    /// They are this service: a systemd unit, or a container by the first 12 digits of its id.
    Service(ServiceKey),
    /// Sockets were made in it for the service that this socket unit of systemd's starts; the name is without `.socket`. What it starts
    /// only systemd knows ([`super::socket_units`]): by default the service of the same name.
    SocketUnit(String),
    /// It holds programs that have nothing to do with each other: a login session, a cron job, a scope, the root.
    ByProgram,
}

impl CgroupOwner {
    /// The service, if the cgroup alone decides it.
    #[must_use]
    pub fn service(&self) -> Option<&ServiceKey> {
        match self {
            Self::Service(key) => Some(key),
            Self::SocketUnit(_) | Self::ByProgram => None,
        }
    }
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
/// A container anywhere in the path wins, the deepest one. Else the outermost scope, service or socket unit decides: below it the names belong to
/// whom the subtree was delegated, and a user's own `nginx.service` under `user@1000.service` must not pass for the system's.
#[must_use]
pub fn of_cgroup(path: &str) -> CgroupOwner {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).map(unescaped).collect();
    for n in (0..parts.len()).rev() {
        if let Some(id) = container(parts[n], n.checked_sub(1).map(|above| parts[above])) {
            return CgroupOwner::Service(ServiceKey::container(&id[..12]));
        }
    }
    for part in parts {
        if part.ends_with(".scope") {
            return CgroupOwner::ByProgram;
        }
        if let Some(unit) = part.strip_suffix(".service").filter(|unit| !unit.is_empty()) {
            return if runs_programs_of_others(unit) {
                CgroupOwner::ByProgram
            } else {
                CgroupOwner::Service(ServiceKey::unit(of_each_connection(unit).unwrap_or(unit)))
            };
        }
        if let Some(unit) = part.strip_suffix(".socket").filter(|unit| !unit.is_empty()) {
            return CgroupOwner::SocketUnit(unit.to_owned());
        }
    }
    CgroupOwner::ByProgram
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
/// `docker-ID.scope`, `libpod-ID.scope`, `cri-containerd-ID.scope`, `crio-ID.scope` (systemd's cgroup driver),
/// `/docker/ID`, `/libpod_parent/libpod-ID`, `/kubepods/…/ID` (cgroupfs driver) and `…:cri-containerd:ID` (containerd's runc v2 shim).
fn container<'a>(part: &'a str, above: Option<&str>) -> Option<&'a str> {
    let bare = part.strip_suffix(".scope").unwrap_or(part);
    let id = ["docker-", "libpod-", "cri-containerd-", "crio-"]
        .iter()
        .find_map(|prefix| bare.strip_prefix(prefix))
        .or_else(|| {
            let (head, id) = part.rsplit_once(':')?;
            head.ends_with(":cri-containerd").then_some(id)
        });
    let id = id.or_else(|| {
        above
            .filter(|above| *above == "docker" || above.starts_with("pod") || above.starts_with("kubepods"))
            .map(|_| part)
    })?;
    (id.len() == 64 && id.bytes().all(|b| b.is_ascii_hexdigit())).then_some(id)
}
