//! Traffic that no policy may ever block.

use crate::net::{PortRange, Ports, Protocol};

/// What always passes, whatever the policy says. Set on the host, never by the controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failsafes {
    /// Server ports of local servers that stay reachable.
    pub ingress: Ports,
    /// Server ports that local clients may always reach.
    pub egress: Ports,
}

impl Failsafes {
    /// In: ssh and DHCP. Out: DNS, DHCP and the controller's port, if there is one (not 0).
    #[must_use]
    pub fn with_controller(port: u16) -> Self {
        let one = |protocol, port| PortRange { protocol, low: port, high: port };
        Self {
            ingress: Ports::only([one(Protocol::Tcp, 22), one(Protocol::Udp, 68), one(Protocol::Udp, 546)]),
            egress: Ports::only(
                [
                    one(Protocol::Tcp, 53),
                    one(Protocol::Udp, 53),
                    one(Protocol::Udp, 67),
                    one(Protocol::Udp, 547),
                    one(Protocol::Tcp, port),
                ]
                .into_iter()
                .filter(|range| range.low != 0),
            ),
        }
    }

    /// Whether a connection passes whatever the policy says: seen by its client's host (`egress`) or its server's.
    #[must_use]
    pub fn pass(&self, egress: bool, protocol: Protocol, port: u16) -> bool {
        let ports = if egress { &self.egress } else { &self.ingress };
        ports.contains(protocol, port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ssh_dns_dhcp_and_the_controller_always_pass() {
        let failsafes = Failsafes::with_controller(7443);
        assert!(failsafes.pass(false, Protocol::Tcp, 22) && !failsafes.pass(false, Protocol::Tcp, 80));
        assert!(failsafes.pass(true, Protocol::Tcp, 7443) && failsafes.pass(true, Protocol::Udp, 53));
        assert!(!Failsafes::with_controller(0).pass(true, Protocol::Tcp, 0));
        assert!(failsafes.pass(true, Protocol::Udp, 67) && !failsafes.pass(true, Protocol::Tcp, 22));
    }
}
