//! Edges and their ends.

use std::fmt;
use std::str::FromStr;

use crate::id::ServiceKey;
use crate::net::{AddrRange, ParseError, Protocol};

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
    /// The server's port, 0 where the protocol has none.
    pub port: u16,
}
