//! Edges and their ends.

use std::fmt;
use std::str::FromStr;

use crate::id::ServiceKey;
use crate::net::{AddrRange, ParseError, PortRange, Protocol, is_private};

/// The port of an edge to one of many ports that are chosen anew each time (FTP, NFS, RMI): every port from [`EPHEMERAL`] on. No
/// server listens on port 0.
pub const DYNAMIC: u16 = 0;

/// The first port that a kernel gives by itself: where `net.ipv4.ip_local_port_range` begins unless it is set (Linux,
/// Documentation/networking/ip-sysctl.rst); IANA's own range, from 49152, lies within.
pub const EPHEMERAL: u16 = 32_768;

/// The ports that `port` of an edge stands for.
#[must_use]
pub fn ports_of(protocol: Protocol, port: u16) -> PortRange {
    let (low, high) = match port {
        _ if !protocol.has_ports() => (0, u16::MAX),
        DYNAMIC => (EPHEMERAL, u16::MAX),
        port => (port, port),
    };
    PortRange { protocol, low, high }
}

/// Reads a protocol and port as people write an edge's: `tcp/5432`, `udp/dynamic`, `icmp`.
///
/// # Errors
/// The text is none; says what would be.
pub fn parse_port(text: &str) -> Result<(Protocol, u16), ParseError> {
    let (protocol, port) = text.split_once('/').map_or((text, None), |(protocol, port)| (protocol, Some(port)));
    let protocol: Protocol = protocol.parse()?;
    let port = match port {
        None if protocol.has_ports() => {
            return Err(ParseError(format!("'{protocol}' alone is no port: write for example {protocol}/443")));
        }
        Some(_) if !protocol.has_ports() => {
            return Err(ParseError(format!("{protocol} has no ports: write '{protocol}'")));
        }
        None => 0,
        Some("dynamic") => DYNAMIC,
        Some(number) => number.parse().ok().filter(|port| *port != 0).ok_or_else(|| {
            let number: String = number.escape_debug().take(20).collect();
            ParseError(format!("'{number}' is not a port: a port is a number from 1 to 65535, or 'dynamic'"))
        })?,
    };
    Ok((protocol, port))
}

/// One end of an edge.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Peer {
    /// A service, or `kernel`, `unknown`, `ambiguous` of a defended host.
    Service(ServiceKey),
    /// A declared address object.
    Object(String),
    /// An address, or a bucket of them: /32 or /128 where private, /24 or /48 on the internet.
    Address(AddrRange),
    /// All private addresses.
    Private,
    /// All other addresses.
    Internet,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service(key) => key.fmt(f),
            Self::Object(name) => write!(f, "object:{name}"),
            Self::Address(range) => range.fmt(f),
            Self::Private => f.write_str("private"),
            Self::Internet => f.write_str("internet"),
        }
    }
}

impl FromStr for Peer {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        if let Some(name) = text.strip_prefix("object:") {
            return Ok(Self::Object(name.to_owned()));
        }
        match text {
            "private" => Ok(Self::Private),
            "internet" => Ok(Self::Internet),
            _ => match text.parse::<ServiceKey>() {
                Ok(key) => Ok(Self::Service(key)),
                Err(no_key) => text.parse().map(Self::Address).map_err(|_| ParseError(no_key.to_string())),
            },
        }
    }
}

impl TryFrom<String> for Peer {
    type Error = ParseError;
    fn try_from(text: String) -> Result<Self, ParseError> {
        text.parse()
    }
}

impl From<Peer> for String {
    fn from(peer: Peer) -> Self {
        peer.to_string()
    }
}

/// Who talks to whom, on which port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct Edge {
    /// Who opens connections.
    pub client: Peer,
    /// Who is addressed.
    pub server: Peer,
    /// The protocol.
    pub protocol: Protocol,
    /// The server's port: [`DYNAMIC`] for one of many, 0 where the protocol has none.
    pub port: u16,
}

impl Edge {
    /// Whether the server's port is one of many that are chosen anew each time.
    #[must_use]
    pub fn is_dynamic(&self) -> bool {
        self.protocol.has_ports() && self.port == DYNAMIC
    }

    /// The server ports it stands for.
    #[must_use]
    pub fn ports(&self) -> PortRange {
        ports_of(self.protocol, self.port)
    }

    /// Whether a connection over `protocol` to the server's `port` may be one of this edge's, as far as the port says.
    #[must_use]
    pub fn is_on(&self, protocol: Protocol, port: u16) -> bool {
        let PortRange { low, high, .. } = self.ports();
        self.protocol == protocol && (!protocol.has_ports() || (low..=high).contains(&port))
    }

    /// Whether every connection of `other` is one that this edge stands for, by what the two say alone: no object is looked into.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        let same_port = self.protocol == other.protocol && self.port == other.port;
        (same_port || self.is_on(other.protocol, other.port))
            && self.client.covers(&other.client)
            && self.server.covers(&other.server)
    }
}

impl Peer {
    /// Whether everybody that `other` stands for is meant by this, by what the two say alone.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Address(all), Self::Address(some)) => all.contains(some.low()) && all.contains(some.high()),
            (Self::Private, Self::Address(some)) => is_private(some.low()),
            (Self::Internet, Self::Address(some)) => !is_private(some.low()),
            _ => self == other,
        }
    }

    /// Whether this stands for addresses, known or not.
    #[must_use]
    pub fn is_external(&self) -> bool {
        matches!(self, Self::Address(_) | Self::Private | Self::Internet)
    }
}

impl fmt::Display for Edge {
    /// `unit:app → unit:postgresql tcp/5432`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} → {} {}", self.client, self.server, self.protocol)?;
        match self.port {
            _ if !self.protocol.has_ports() => Ok(()),
            DYNAMIC => f.write_str("/dynamic"),
            port => write!(f, "/{port}"),
        }
    }
}
