//! The host's own addresses.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;

use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;

/// Addresses of the host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    /// All of them, loopback's included.
    pub own: BTreeSet<IpAddr>,
    /// Global addresses of uplinks: by these other hosts know this one.
    pub uplinks: BTreeSet<IpAddr>,
}

/// Asks the kernel.
///
/// # Errors
/// Those of getifaddrs(3).
pub fn read() -> io::Result<Addresses> {
    let mut addresses = Addresses::default();
    for interface in getifaddrs()? {
        let address = interface.address.as_ref().and_then(|a| {
            let v4 = a.as_sockaddr_in().map(|a| IpAddr::from(a.ip()));
            v4.or_else(|| a.as_sockaddr_in6().map(|a| a.ip().into()))
        });
        let Some(address) = address else { continue };
        addresses.own.insert(address);
        let up = interface.flags.contains(InterfaceFlags::IFF_UP);
        if up && is_uplink(&interface.interface_name) && is_global(address) {
            addresses.uplinks.insert(address);
        }
    }
    Ok(addresses)
}

/// Whether an interface of this name leads to other hosts: not loopback, and none that container engines, virtual machines and cluster
/// networks make on a host, whose addresses are the same on many hosts.
#[must_use]
pub fn is_uplink(name: &str) -> bool {
    const INNER: &[&str] = &[
        "lo",
        "docker",
        "br-",
        "veth",
        "virbr",
        "vnet",
        "tap",
        "cni",
        "podman",
        "lxcbr",
        "lxdbr",
        "incusbr",
        "cali",
        "flannel",
        "cilium",
        "lxc",
        "kube-ipvs",
        "nodelocaldns",
        "dummy",
        "vxlan",
        "weave",
    ];
    !INNER.iter().any(|prefix| name.starts_with(prefix))
}

/// Whether others can reach an address of this kind.
pub(super) fn is_global(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(a) => !a.is_loopback() && !a.is_link_local() && !a.is_unspecified(),
        IpAddr::V6(a) => !a.is_loopback() && !a.is_unicast_link_local() && !a.is_unspecified(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uplinks_are_told_from_inner_interfaces() {
        for name in ["eth0", "ens3", "enp1s0", "bond0", "br0", "wlan0", "wg0", "wlp2s0"] {
            assert!(is_uplink(name), "{name}");
        }
        for name in ["lo", "docker0", "br-0123456789ab", "veth12", "virbr0", "cni0", "cali12", "lxcbr0"] {
            assert!(!is_uplink(name), "{name}");
        }
    }

    #[test]
    fn link_local_addresses_are_not_global() {
        for (address, global) in
            [("10.0.0.1", true), ("fd86::1", true), ("fe80::1", false), ("127.0.0.1", false), ("169.254.1.1", false)]
        {
            assert_eq!(is_global(address.parse().expect("address")), global, "{address}");
        }
    }

    #[test]
    fn this_host_has_loopback() {
        let addresses = read().expect("addresses");
        assert!(addresses.own.iter().any(IpAddr::is_loopback));
        assert!(!addresses.uplinks.iter().any(IpAddr::is_loopback));
    }
}
