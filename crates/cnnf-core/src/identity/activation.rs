//! Sockets that systemd listens on for services which it starts later.

use std::net::{IpAddr, SocketAddr};

use crate::id::ServiceKey;
use crate::net::Protocol;

/// A socket unit and the service that it starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketUnit {
    /// Its name without `.socket`.
    pub name: String,
    /// The service: a template as a whole (`unit:ssh@`) where each connection starts an instance.
    pub service: ServiceKey,
    /// Where it listens, as far as that is an address.
    pub listens: Vec<(Protocol, SocketAddr)>,
}

impl SocketUnit {
    /// Whether a socket with this local address is one of its own.
    #[must_use]
    pub fn has(&self, protocol: Protocol, local: SocketAddr) -> bool {
        self.listens.iter().any(|(of, at)| {
            // `[::]` takes IPv4 as well, and a socket that was accepted has the address that the client chose
            *of == protocol && at.port() == local.port() && (at.ip().is_unspecified() || at.ip() == plain(local.ip()))
        })
    }
}

/// The properties that [`socket_units`] reads, as `systemctl show '*.socket' --property=…` takes them.
pub const SOCKET_PROPERTIES: &str = "Id,Listen,Triggers,Accept,ActiveState";

/// Reads what `systemctl show` says of socket units (systemctl(1)): a block of `Property=value` lines for each, blank lines between. Units
/// that do not listen or start no service are left out.
#[must_use]
pub fn socket_units(text: &str) -> Vec<SocketUnit> {
    text.split("\n\n").filter_map(socket_unit).collect()
}

fn socket_unit(block: &str) -> Option<SocketUnit> {
    let all = |wanted: &'static str| {
        block.lines().filter_map(move |line| line.split_once('=').filter(|(name, _)| *name == wanted)).map(|(_, v)| v)
    };
    let one = |wanted| all(wanted).next().unwrap_or_default();
    let name = one("Id").strip_suffix(".socket").filter(|name| !name.is_empty())?;
    if matches!(one("ActiveState"), "inactive" | "failed") {
        return None;
    }
    let service = if one("Accept") == "yes" {
        // Triggers= lists the instances of the connections that live
        let prefix = name.split_once('@').map_or(name, |(prefix, _)| prefix);
        format!("{prefix}@")
    } else {
        one("Triggers").split(' ').next()?.strip_suffix(".service")?.to_owned()
    };
    let listens = all("Listen").filter_map(listens).collect();
    Some(SocketUnit { name: name.to_owned(), service: ServiceKey::unit(&service), listens })
}

/// `127.0.0.1:53 (Datagram)`; `None` for a path, a FIFO, netlink and the like.
fn listens(text: &str) -> Option<(Protocol, SocketAddr)> {
    let (address, kind) = text.strip_suffix(')')?.rsplit_once(" (")?;
    let protocol = match kind {
        "Stream" => Protocol::Tcp,
        "Datagram" => Protocol::Udp,
        _ => return None,
    };
    let address: SocketAddr = address.parse().ok()?;
    Some((protocol, SocketAddr::new(plain(address.ip()), address.port())))
}

fn plain(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of systemd 252 and 257 on Debian.
    const SHOWN: &str = "\
Accept=no
Listen=/run/dbus/system_bus_socket (Stream)
Id=dbus.socket
Triggers=dbus.service
ActiveState=active

Accept=yes
Listen=[::]:8090 (Stream)
Id=each.socket
Triggers=each@0-127.0.0.1:8090-127.0.0.1:33408.service
ActiveState=active

Accept=no
Listen=[::]:8080 (Stream)
Listen=127.0.0.1:8081 (Datagram)
Listen=/run/relay.sock (Stream)
Id=relay.socket
Triggers=other.service
ActiveState=active

Accept=no
Listen=[::]:99 (Stream)
Id=off.socket
Triggers=off.service
ActiveState=inactive

Accept=no
Listen=/run/initctl (FIFO)
Id=systemd-initctl.socket
Triggers=
ActiveState=active
";

    #[test]
    fn socket_units_are_read_with_what_they_start() {
        let units = socket_units(SHOWN);
        let shown: Vec<_> = units.iter().map(|u| (u.name.as_str(), u.service.as_str(), u.listens.len())).collect();
        assert_eq!(shown, [("dbus", "unit:dbus", 0), ("each", "unit:each@", 1), ("relay", "unit:other", 2)]);
        let address = |text: &str| text.parse::<SocketAddr>().expect("address");
        for (protocol, local, has) in [
            (Protocol::Tcp, "10.0.0.1:8080", true),
            (Protocol::Tcp, "[::]:8080", true),
            (Protocol::Udp, "10.0.0.1:8080", false),
            (Protocol::Udp, "127.0.0.1:8081", true),
            (Protocol::Udp, "[::ffff:127.0.0.1]:8081", true),
            (Protocol::Udp, "127.0.0.2:8081", false),
        ] {
            assert_eq!(units[2].has(protocol, address(local)), has, "{protocol} {local}");
        }
    }

    #[test]
    fn nonsense_is_left_out() {
        for text in ["", "\n\n\n", "Id=.socket", "Id=a.service", "Id=a.socket\nTriggers=b.target", "=\nId", "Listen=("]
        {
            assert_eq!(socket_units(text), [], "{text}");
        }
        let odd = socket_units("Id=a@b.socket\nAccept=yes\nListen=x (Stream)\nListen=)\nListen=1.2.3.4:70000 (Stream)");
        assert_eq!((odd[0].service.as_str(), odd[0].listens.len()), ("unit:a@", 0));
    }
}
