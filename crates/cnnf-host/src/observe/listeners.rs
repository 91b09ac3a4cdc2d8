//! Where services can be reached.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::RangeInclusive;

use cnnf_core::directory::Endpoint;
use cnnf_core::id::ServiceKey;
use cnnf_core::identity::HeldPorts;
use cnnf_core::net::Protocol;
use cnnf_core::observation::Observation;
use cnnf_netlink::sock_diag::{self, Sock, SockDiag, State};

use super::owner::Owners;

/// The ports that the kernel gives to clients, from the text of `/proc/sys/net/ipv4/ip_local_port_range`.
#[must_use]
pub fn ephemeral_ports(text: &str) -> RangeInclusive<u16> {
    let mut numbers = text.split_ascii_whitespace().filter_map(|n| n.parse().ok());
    match (numbers.next(), numbers.next()) {
        (Some(low), Some(high)) => low..=high,
        _ => 32768..=60999,
    }
}

/// The same as they are now.
#[must_use]
pub fn client_ports() -> RangeInclusive<u16> {
    ephemeral_ports(&std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default())
}

/// Who listens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listeners {
    /// Every service with the endpoints of its listening sockets.
    pub services: BTreeMap<ServiceKey, BTreeSet<Endpoint>>,
    /// The ports, by the names that services have without an operator's definitions.
    pub ports: HeldPorts,
}

impl Listeners {
    /// As observations. What the ports say comes first, as they may name services.
    #[must_use]
    pub fn observed(&self) -> Vec<Observation> {
        let listening = self.services.iter().map(|(service, endpoints)| Observation::Listening {
            service: service.clone(),
            endpoints: endpoints.iter().copied().collect(),
        });
        [Observation::Answering(self.ports.clone())].into_iter().chain(listening).collect()
    }
}

/// The UDP ports at which somebody listens, whoever it is: a look that takes no time, for the first table.
///
/// # Errors
/// The kernel's table could not be read.
pub fn udp_ports() -> Result<BTreeSet<u16>, cnnf_netlink::Error> {
    let (ephemeral, mut ports) = (client_ports(), BTreeSet::new());
    SockDiag::open()?.listeners(sock_diag::Protocol::Udp, |sock| {
        ports.extend(endpoint(&sock, Protocol::Udp, &ephemeral).map(|endpoint| endpoint.port));
    })?;
    Ok(ports)
}

/// Reads who listens. A UDP socket counts if it has no peer and a port that the kernel gives to no client.
///
/// # Errors
/// The kernel's tables could not be read.
pub fn read(diag: &mut SockDiag, owners: &mut Owners) -> Result<Listeners, cnnf_netlink::Error> {
    let ephemeral = client_ports();
    let mut sockets: Vec<(Endpoint, Sock)> = Vec::new();
    for (kind, protocol) in [(sock_diag::Protocol::Tcp, Protocol::Tcp), (sock_diag::Protocol::Udp, Protocol::Udp)] {
        diag.listeners(kind, |sock| {
            if let Some(endpoint) = endpoint(&sock, protocol, &ephemeral) {
                sockets.push((endpoint, sock));
            }
        })?;
    }
    // many sockets are of few groups, and each of these is asked once a look
    let mut decided = HashMap::new();
    let mut found = Listeners::default();
    for (endpoint, sock) in sockets {
        let by_group = decided.entry(sock.cgroup_id).or_insert_with(|| owners.decided_by_group(&sock));
        let (key, natural) = by_group.clone().unwrap_or_else(|| {
            let answer = owners.of_socket(endpoint.protocol, &sock);
            (answer.key, answer.natural)
        });
        if natural.is_named() {
            found.ports.entry((endpoint.protocol, endpoint.port)).or_default().insert(natural);
        }
        if key.is_named() {
            found.services.entry(key).or_default().insert(endpoint);
        }
    }
    Ok(found)
}

fn endpoint(sock: &Sock, protocol: Protocol, ephemeral: &RangeInclusive<u16>) -> Option<Endpoint> {
    let port = sock.local.port();
    let listens = match protocol {
        Protocol::Udp => {
            sock.state == State::Close && port != 0 && sock.remote.port() == 0 && !ephemeral.contains(&port)
        }
        _ => sock.state == State::Listen,
    };
    let both_families = sock.ipv6 && sock.local.ip().is_unspecified() && sock.v6only != Some(true);
    // the kernel shows the wildcard of a mapped socket as an IPv4 address
    let address = (!both_families).then(|| sock.local.ip());
    listens.then_some(Endpoint { protocol, address, port })
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, UdpSocket};

    use super::*;
    use crate::testbed::in_namespace;

    #[test]
    fn the_range_of_clients_is_read() {
        assert_eq!(ephemeral_ports("32768\t60999\n"), 32768..=60999);
        assert_eq!(ephemeral_ports("1024 2048"), 1024..=2048);
        assert_eq!(ephemeral_ports(""), 32768..=60999);
    }

    #[test]
    fn root_listeners_are_found_with_their_owner() {
        in_namespace(|| {
            let _tcp = TcpListener::bind("127.0.0.1:80").expect("listen");
            let _both = TcpListener::bind("[::]:81").expect("listen");
            let _udp = UdpSocket::bind("0.0.0.0:53").expect("bind");
            let _client = UdpSocket::bind("0.0.0.0:40000").expect("bind");
            let connected = UdpSocket::bind("127.0.0.1:54").expect("bind");
            connected.connect("127.0.0.1:53").expect("connect");
            let owners = Owners::open(std::sync::Arc::default(), std::sync::Arc::default()).expect("owners");
            let mut owners = owners.with_patience(std::time::Duration::from_secs(5));
            let services = read(&mut SockDiag::open().expect("diag"), &mut owners).expect("listeners").services;
            let mine = crate::observe::process::Process::read(std::process::id()).expect("this process");
            let key = owners.of_process(&mine);
            let got: Vec<String> = services[&key]
                .iter()
                .map(|e| format!("{} {} {}", e.protocol, e.address.map_or("*".into(), |a| a.to_string()), e.port))
                .collect();
            assert_eq!(got, ["tcp * 81", "tcp 127.0.0.1 80", "udp 0.0.0.0 53"]);
        });
    }
}
