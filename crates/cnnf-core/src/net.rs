//! Protocols, ports and addresses.

pub mod icmp;

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// A transport protocol. ICMP and ICMPv6 are one: the address family tells them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Protocol {
    /// TCP, IP protocol 6.
    Tcp,
    /// UDP, IP protocol 17.
    Udp,
    /// SCTP, IP protocol 132.
    Sctp,
    /// ICMP (1) or ICMPv6 (58). Has no port: in its place stands the [type](icmp) of a connection's request, and 0 where that does not matter.
    Icmp,
    /// Any other IP protocol, by number. Has no port.
    Other(u8),
}

impl Protocol {
    /// From an IP protocol number (IANA "Assigned Internet Protocol Numbers").
    #[must_use]
    pub fn from_number(number: u8) -> Self {
        match number {
            6 => Self::Tcp,
            17 => Self::Udp,
            132 => Self::Sctp,
            1 | 58 => Self::Icmp,
            other => Self::Other(other),
        }
    }

    /// The IP protocol number in a packet of the family of `v6`.
    #[must_use]
    pub fn number(self, v6: bool) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Sctp => 132,
            Self::Icmp => {
                if v6 {
                    58
                } else {
                    1
                }
            }
            Self::Other(number) => number,
        }
    }

    /// Whether connections of this protocol have ports.
    #[must_use]
    pub fn has_ports(self) -> bool {
        matches!(self, Self::Tcp | Self::Udp | Self::Sctp)
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp => f.write_str("tcp"),
            Self::Udp => f.write_str("udp"),
            Self::Sctp => f.write_str("sctp"),
            Self::Icmp => f.write_str("icmp"),
            Self::Other(number) => write!(f, "ip{number}"),
        }
    }
}

impl FromStr for Protocol {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        match text {
            "tcp" => Ok(Self::Tcp),
            "udp" => Ok(Self::Udp),
            "sctp" => Ok(Self::Sctp),
            "icmp" | "icmpv6" => Ok(Self::Icmp),
            _ => text
                .strip_prefix("ip")
                .and_then(|number| number.parse().ok())
                .map(Self::from_number)
                .ok_or_else(|| ParseError(format!("unknown protocol '{text}': use tcp, udp, sctp, icmp or ipN"))),
        }
    }
}

impl TryFrom<String> for Protocol {
    type Error = ParseError;
    fn try_from(text: String) -> Result<Self, ParseError> {
        text.parse()
    }
}

impl From<Protocol> for String {
    fn from(protocol: Protocol) -> Self {
        protocol.to_string()
    }
}

/// Why a text is no protocol, port or address; says what would be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ParseError(pub String);

/// An inclusive range of ports, or ICMP types, of one protocol; `0..=65535` where all are meant, or the protocol has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortRange {
    /// The protocol.
    pub protocol: Protocol,
    /// The first port.
    pub low: u16,
    /// The last port, at least `low`.
    pub high: u16,
}

/// The ports a rule speaks of: any, or a sorted list of disjoint ranges.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub enum Ports {
    /// Every protocol and port.
    #[default]
    Any,
    /// Only these, merged and sorted by [`Ports::only`].
    Only(Vec<PortRange>),
}

impl Ports {
    /// From ranges in any order; overlapping and adjacent ones are merged.
    #[must_use]
    pub fn only(ranges: impl IntoIterator<Item = PortRange>) -> Self {
        let mut ranges: Vec<_> = ranges.into_iter().collect();
        ranges.sort_unstable();
        let mut merged: Vec<PortRange> = Vec::with_capacity(ranges.len());
        for range in ranges {
            match merged.last_mut() {
                Some(last) if last.protocol == range.protocol && u32::from(range.low) <= u32::from(last.high) + 1 => {
                    last.high = last.high.max(range.high);
                }
                _ => merged.push(range),
            }
        }
        Self::Only(merged)
    }

    /// Whether a connection to `port` over `protocol` is meant; of ICMP, one that this type of request opened. `port` is ignored where the protocol
    /// has none.
    #[must_use]
    pub fn contains(&self, protocol: Protocol, port: u16) -> bool {
        match self {
            Self::Any => true,
            Self::Only(ranges) => {
                ranges.iter().any(|r| r.protocol == protocol && (r.is_whole() || (r.low..=r.high).contains(&port)))
            }
        }
    }

    /// Parses a list such as `["tcp/80,443,8000-8100", "udp/53", "icmp/echo-request"]` or `["any"]`.
    ///
    /// # Errors
    /// The first text that is not PROTOCOL, PROTOCOL/PORTS, icmp/TYPES, icmpv6/TYPES or `any`, and what it should be.
    pub fn parse<S: AsRef<str>>(items: &[S]) -> Result<Self, ParseError> {
        let mut ranges = Vec::new();
        for item in items.iter().map(|item| item.as_ref().trim()) {
            if item == "any" {
                if items.len() > 1 {
                    return Err(ParseError("'any' stands alone: remove it or the other ports".into()));
                }
                return Ok(Self::Any);
            }
            let (word, list) = item.split_once('/').map_or((item, None), |(protocol, list)| (protocol, Some(list)));
            let protocol: Protocol = word.parse()?;
            match list {
                None => ranges.push(PortRange { protocol, low: 0, high: u16::MAX }),
                Some(list) if protocol == Protocol::Icmp => {
                    for part in list.split(',') {
                        let kinds = icmp::parse(word, part)?;
                        ranges.extend(kinds.into_iter().map(|kind| PortRange { protocol, low: kind, high: kind }));
                    }
                }
                Some(_) if !protocol.has_ports() => {
                    return Err(ParseError(format!("{protocol} has no ports: write '{protocol}'")));
                }
                Some(list) => {
                    for part in list.split(',') {
                        let (low, high) = part.split_once('-').unwrap_or((part, part));
                        let (low, high) = (port(low)?, port(high)?);
                        if low > high {
                            return Err(ParseError(format!("port range {part} runs backwards: write {high}-{low}")));
                        }
                        ranges.push(PortRange { protocol, low, high });
                    }
                }
            }
        }
        if ranges.is_empty() {
            return Err(ParseError("no ports: write for example tcp/443, or any".into()));
        }
        Ok(Self::only(ranges))
    }

    /// The text form that [`Ports::parse`] reads, one text a protocol.
    #[must_use]
    pub fn to_texts(&self) -> Vec<String> {
        let Self::Only(ranges) = self else { return vec!["any".into()] };
        let mut texts: Vec<(Protocol, String)> = Vec::new();
        let is_typed = |r: &&PortRange| r.protocol == Protocol::Icmp && !r.is_whole();
        let kinds: BTreeSet<u16> = ranges.iter().filter(is_typed).flat_map(|r| r.low..=r.high).collect();
        for r in ranges.iter().filter(|r| !is_typed(r)) {
            let whole = r.is_whole();
            let part = if r.low == r.high { r.low.to_string() } else { format!("{}-{}", r.low, r.high) };
            match texts.last_mut() {
                Some((protocol, text)) if *protocol == r.protocol && !whole => {
                    text.push(',');
                    text.push_str(&part);
                }
                _ if whole => texts.push((r.protocol, r.protocol.to_string())),
                _ => texts.push((r.protocol, format!("{}/{part}", r.protocol))),
            }
        }
        let at = texts.partition_point(|(protocol, _)| *protocol < Protocol::Icmp);
        let typed = icmp::to_texts(&kinds).into_iter().map(|text| (Protocol::Icmp, text));
        texts.splice(at..at, typed);
        texts.into_iter().map(|(_, text)| text).collect()
    }
}

impl PortRange {
    /// Whether every port of the protocol is meant, as always where it has none.
    #[must_use]
    pub fn is_whole(self) -> bool {
        (self.low == 0 && self.high == u16::MAX) || matches!(self.protocol, Protocol::Other(_))
    }
}

fn port(text: &str) -> Result<u16, ParseError> {
    text.trim().parse().map_err(|_| ParseError(format!("'{text}' is not a port: a port is a number from 0 to 65535")))
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_texts().join(" "))
    }
}

impl TryFrom<Vec<String>> for Ports {
    type Error = ParseError;
    fn try_from(texts: Vec<String>) -> Result<Self, ParseError> {
        Self::parse(&texts)
    }
}

impl From<Ports> for Vec<String> {
    fn from(ports: Ports) -> Self {
        ports.to_texts()
    }
}

/// An inclusive range of addresses of one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AddrRange {
    low: IpAddr,
    high: IpAddr,
}

impl AddrRange {
    /// From `low` to `high`; `None` if the families differ or the range runs backwards.
    #[must_use]
    pub fn new(low: IpAddr, high: IpAddr) -> Option<Self> {
        (low.is_ipv4() == high.is_ipv4() && low <= high).then_some(Self { low, high })
    }

    /// The one address `addr`.
    #[must_use]
    pub fn single(addr: IpAddr) -> Self {
        Self { low: addr, high: addr }
    }

    /// The addresses of `net`.
    #[must_use]
    pub fn net(net: ipnet::IpNet) -> Self {
        Self { low: net.network(), high: net.broadcast() }
    }

    /// The first address.
    #[must_use]
    pub fn low(self) -> IpAddr {
        self.low
    }

    /// The last address.
    #[must_use]
    pub fn high(self) -> IpAddr {
        self.high
    }

    /// Whether this is one address only.
    #[must_use]
    pub fn is_single(self) -> bool {
        self.low == self.high
    }

    /// Whether `addr` is in the range.
    #[must_use]
    pub fn contains(self, addr: IpAddr) -> bool {
        addr.is_ipv4() == self.low.is_ipv4() && (self.low..=self.high).contains(&addr)
    }

    /// Merges ranges that overlap or touch; the kernel refuses overlapping intervals.
    #[must_use]
    pub fn merge(ranges: impl IntoIterator<Item = Self>) -> Vec<Self> {
        let mut ranges: Vec<_> = ranges.into_iter().collect();
        ranges.sort_unstable();
        let mut merged: Vec<Self> = Vec::with_capacity(ranges.len());
        for range in ranges {
            match merged.last_mut() {
                Some(last)
                    if last.low.is_ipv4() == range.low.is_ipv4()
                        && (range.low <= last.high || next(last.high) == Some(range.low)) =>
                {
                    last.high = last.high.max(range.high);
                }
                _ => merged.push(range),
            }
        }
        merged
    }
}

/// The address after `addr`, or `None` at the end of its family.
#[must_use]
pub fn next(addr: IpAddr) -> Option<IpAddr> {
    match addr {
        IpAddr::V4(a) => u32::from(a).checked_add(1).map(|a| Ipv4Addr::from(a).into()),
        IpAddr::V6(a) => u128::from(a).checked_add(1).map(|a| Ipv6Addr::from(a).into()),
    }
}

impl fmt::Display for AddrRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_single() {
            return write!(f, "{}", self.low);
        }
        let bits = if self.low.is_ipv4() { 32 } else { 128 };
        for prefix in 0..=bits {
            if let Ok(net) = ipnet::IpNet::new(self.low, prefix)
                && net.network() == self.low
                && net.broadcast() == self.high
            {
                return write!(f, "{net}");
            }
        }
        write!(f, "{}-{}", self.low, self.high)
    }
}

impl FromStr for AddrRange {
    type Err = ParseError;

    /// Parses an address, a CIDR (host bits are refused) or `LOW-HIGH`.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let bad = || ParseError(format!("'{text}' is no address: use 10.0.0.1, 10.0.0.0/8 or 10.0.0.1-10.0.0.9"));
        let addr = |text: &str| text.parse::<IpAddr>().map_err(|_| bad());
        if let Some((low, high)) = text.split_once('-') {
            return Self::new(addr(low)?, addr(high)?)
                .ok_or_else(|| ParseError(format!("'{text}' runs backwards or mixes IPv4 with IPv6")));
        }
        if text.contains('/') {
            let net: ipnet::IpNet = text.parse().map_err(|_| bad())?;
            if net.addr() != net.network() {
                return Err(ParseError(format!("'{text}' has host bits set: write {}", net.trunc())));
            }
            return Ok(Self::net(net));
        }
        Ok(Self::single(addr(text)?))
    }
}

impl TryFrom<String> for AddrRange {
    type Error = ParseError;
    fn try_from(text: String) -> Result<Self, ParseError> {
        text.parse()
    }
}

impl From<AddrRange> for String {
    fn from(range: AddrRange) -> Self {
        range.to_string()
    }
}

/// Whether `addr` is for private use (RFC 1918, RFC 4193, link-local, loopback, shared space of RFC 6598).
#[must_use]
pub fn is_private(addr: IpAddr) -> bool {
    match addr {
        IpAddr::V4(a) => {
            a.is_private()
                || a.is_loopback()
                || a.is_link_local()
                || (a.octets()[0] == 100 && a.octets()[1] & 0xc0 == 64)
        }
        IpAddr::V6(a) => a.is_unique_local() || a.is_loopback() || a.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_parse_merge_and_print() {
        let ports = Ports::parse(&["tcp/443,80,81,8000-8100", "udp/53", "icmp"]).expect("ports");
        assert_eq!(ports.to_texts(), ["tcp/80-81,443,8000-8100", "udp/53", "icmp"]);
        assert!(ports.contains(Protocol::Tcp, 8050) && !ports.contains(Protocol::Tcp, 8101));
        assert!(ports.contains(Protocol::Icmp, 0) && !ports.contains(Protocol::Udp, 80));
        assert_eq!(Ports::parse(&ports.to_texts()), Ok(ports));
        assert_eq!(Ports::parse(&["any"]), Ok(Ports::Any));
        assert_eq!(Ports::parse(&["tcp"]).expect("ports").to_texts(), ["tcp"]);
    }

    #[test]
    fn icmp_types_parse_and_print() {
        for (texts, same) in [
            (&["icmp/echo-request"][..], &["icmp/echo-request"][..]),
            (&["icmp/8", "icmpv6/128"], &["icmp/echo-request"]),
            (&["icmp/13,8"], &["icmp/8,13"]),
            (&["icmpv6/echo-request,139", "ip47", "udp/53"], &["udp/53", "icmpv6/128,139", "ip47"]),
            (
                &["icmp/echo-request,timestamp-request", "icmpv6/node-information-query"],
                &["icmp/echo-request,13", "icmpv6/139"],
            ),
            (&["icmp", "icmp/8"], &["icmp"]),
        ] {
            let ports = Ports::parse(texts).expect("types");
            assert_eq!(ports.to_texts(), same);
            assert_eq!(Ports::parse(&ports.to_texts()), Ok(ports));
        }
        let ping = Ports::parse(&["icmp/echo-request"]).expect("types");
        assert!(ping.contains(Protocol::Icmp, 8) && ping.contains(Protocol::Icmp, 128));
        assert!(!ping.contains(Protocol::Icmp, 13) && !ping.contains(Protocol::Icmp, 0));
    }

    #[test]
    fn bad_ports_say_what_is_wrong() {
        for (text, part) in [
            ("tcp/70000", "'70000' is not a port: a port is a number from 0 to 65535"),
            ("tcp/9-5", "runs backwards"),
            ("quic/443", "unknown protocol 'quic'"),
            ("ip47/8", "ip47 has no ports"),
            (
                "icmp/0",
                "icmp type 0 opens no connection (answers and errors belong to the one that they are about): use echo-request",
            ),
            ("icmpv6/135", "icmpv6 type 135 opens no connection"),
            ("icmp/128", "type 128 is not of icmp: write icmpv6/128"),
            ("icmpv6/8", "type 8 is not of icmpv6: write icmp/8"),
            ("icmpv6/timestamp-request", "ICMPv6 has no timestamp-request: write icmp/timestamp-request"),
            ("icmp/ping", "'ping' is no icmp type: use echo-request"),
        ] {
            let error = Ports::parse(&[text]).expect_err(text).to_string();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn addresses_parse_merge_and_print() {
        for text in ["10.0.0.1", "10.0.0.0/8", "10.0.0.1-10.0.0.9", "fd86::1", "fd86::/48"] {
            assert_eq!(text.parse::<AddrRange>().expect(text).to_string(), text);
        }
        assert!("10.0.0.1/8".parse::<AddrRange>().expect_err("host bits").to_string().contains("10.0.0.0/8"));
        let merged = AddrRange::merge(["10.0.1.0/24", "10.0.0.0/24", "10.0.0.7"].map(|t| t.parse().expect(t)));
        assert_eq!(merged.iter().map(ToString::to_string).collect::<Vec<_>>(), ["10.0.0.0/23"]);
    }
}
