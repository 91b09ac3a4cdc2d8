//! The head of an IP packet: who, to whom, which protocol. Pure; never panics.
//!
//! ```
//! use cnnf_netlink::packet::Head;
//!
//! let syn = [0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2,
//!     0x9c, 0x40, 0, 80, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 2, 0, 0, 0, 0, 0, 0];
//! let head = Head::parse(&syn).unwrap();
//! assert_eq!((head.proto, head.ports, head.tcp_flags), (6, Some((40000, 80)), Some(Head::SYN)));
//! ```

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const HOP_BY_HOP: u8 = 0;
const TCP: u8 = 6;
const UDP: u8 = 17;
const DCCP: u8 = 33;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const DESTINATION: u8 = 60;
const ICMP: u8 = 1;
const ICMPV6: u8 = 58;
const SCTP: u8 = 132;
const UDP_LITE: u8 = 136;
/// More extension headers than any honest packet has.
const EXTENSIONS_MAX: usize = 16;

/// What the first bytes of an IP packet say (RFC 791, RFC 8200).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Source address.
    pub src: IpAddr,
    /// Destination address.
    pub dst: IpAddr,
    /// Transport protocol: behind IPv6's extension headers, as far as they are there.
    pub proto: u8,
    /// Source and destination port; `None` without ports or where they are cut off.
    pub ports: Option<(u16, u16)>,
    /// ICMP's or ICMPv6's type and code.
    pub icmp: Option<(u8, u8)>,
    /// TCP's flags, CWR in the highest bit, FIN in the lowest.
    pub tcp_flags: Option<u8>,
    /// Not the first fragment: it has no transport header.
    pub later_fragment: bool,
}

impl Head {
    /// TCP flag.
    pub const FIN: u8 = 1;
    /// TCP flag.
    pub const SYN: u8 = 2;
    /// TCP flag.
    pub const RST: u8 = 4;
    /// TCP flag.
    pub const ACK: u8 = 16;

    /// Reads a packet that begins with its IP header and may be cut off anywhere; `None` if that
    /// is not an IP header, or not all of it.
    pub fn parse(packet: &[u8]) -> Option<Self> {
        match packet.first()? >> 4 {
            4 => parse_v4(packet),
            6 => parse_v6(packet),
            _ => None,
        }
    }

    fn with_transport(mut self, transport: &[u8]) -> Self {
        if self.later_fragment {
            return self;
        }
        match self.proto {
            TCP | UDP | UDP_LITE | SCTP | DCCP => {
                self.ports = transport
                    .first_chunk()
                    .map(|[a, b, c, d]| (u16::from_be_bytes([*a, *b]), u16::from_be_bytes([*c, *d])));
            }
            ICMP | ICMPV6 => self.icmp = transport.first_chunk().map(|[ty, code]| (*ty, *code)),
            _ => {}
        }
        if self.proto == TCP {
            self.tcp_flags = transport.get(13).copied();
        }
        self
    }
}

fn bare(src: IpAddr, dst: IpAddr, proto: u8, later_fragment: bool) -> Head {
    Head { src, dst, proto, ports: None, icmp: None, tcp_flags: None, later_fragment }
}

fn parse_v4(packet: &[u8]) -> Option<Head> {
    let h = packet.first_chunk::<20>()?;
    let len = usize::from(h[0] & 15) * 4;
    if len < h.len() {
        return None;
    }
    let address = |at: usize| IpAddr::from(Ipv4Addr::new(h[at], h[at + 1], h[at + 2], h[at + 3]));
    let later_fragment = u16::from_be_bytes([h[6], h[7]]) & 0x1fff != 0;
    let head = bare(address(12), address(16), h[9], later_fragment);
    Some(head.with_transport(packet.get(len..).unwrap_or_default()))
}

fn parse_v6(packet: &[u8]) -> Option<Head> {
    let (h, mut rest) = packet.split_first_chunk::<40>()?;
    let address = |at: usize| {
        let mut b = [0; 16];
        b.copy_from_slice(&h[at..at + 16]);
        IpAddr::from(Ipv6Addr::from(b))
    };
    let mut head = bare(address(8), address(24), h[6], false);
    for _ in 0..EXTENSIONS_MAX {
        let Some([next, len, b2, b3]) = rest.first_chunk().copied() else { break };
        let skip = match head.proto {
            HOP_BY_HOP | ROUTING | DESTINATION => (usize::from(len) + 1) * 8,
            AUTHENTICATION => (usize::from(len) + 2) * 4,
            FRAGMENT => {
                head.later_fragment |= u16::from_be_bytes([b2, b3]) & 0xfff8 != 0;
                8
            }
            _ => break,
        };
        head.proto = next;
        rest = rest.get(skip..).unwrap_or_default();
        if head.later_fragment {
            break;
        }
    }
    Some(head.with_transport(rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn v6(next: u8, rest: &[u8]) -> Vec<u8> {
        let mut p = vec![0x60, 0, 0, 0, 0, 0, next, 64];
        p.extend_from_slice(&Ipv6Addr::LOCALHOST.octets());
        p.extend_from_slice(&Ipv6Addr::LOCALHOST.octets());
        p.extend_from_slice(rest);
        p
    }

    #[test]
    fn v6_extension_headers_are_skipped() {
        let mut rest = vec![DESTINATION, 0, 0, 0, 0, 0, 0, 0];
        rest.extend_from_slice(&[UDP, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        rest.extend_from_slice(&[0, 53, 0, 54]);
        let head = Head::parse(&v6(HOP_BY_HOP, &rest)).unwrap();
        assert_eq!((head.proto, head.ports), (UDP, Some((53, 54))));
    }

    #[test]
    fn later_fragments_have_no_ports() {
        let head = Head::parse(&v6(FRAGMENT, &[TCP, 0, 0, 8, 0, 0, 0, 1, 0, 1, 0, 2])).unwrap();
        assert_eq!((head.proto, head.ports, head.later_fragment), (TCP, None, true));
        let first = Head::parse(&v6(FRAGMENT, &[TCP, 0, 0, 1, 0, 0, 0, 1, 0, 1, 0, 2])).unwrap();
        assert_eq!((first.ports, first.later_fragment), (Some((1, 2)), false));
    }

    #[test]
    fn icmp_and_options() {
        let mut p = vec![0x46, 0, 0, 0, 0, 0, 0, 0, 64, 1, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 0, 0, 0, 0];
        p.extend_from_slice(&[8, 0]);
        assert_eq!(Head::parse(&p).unwrap().icmp, Some((8, 0)));
        assert_eq!(Head::parse(&p[..19]), None);
    }

    proptest! {
        #[test]
        fn never_panics(mut bytes in proptest::collection::vec(any::<u8>(), 0..200), version in 0_u8..8) {
            if let Some(b) = bytes.first_mut() {
                *b = version << 4 | *b & 15;
            }
            let _ = Head::parse(&bytes);
        }
    }
}
