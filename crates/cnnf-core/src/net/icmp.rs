//! ICMP types, which rules may name where other protocols have ports.
//!
//! Only a request opens a connection (`valid_new` in Linux' nf_conntrack_proto_icmp.c and nf_conntrack_proto_icmpv6.c): its answer belongs to it, an error
//! belongs to the connection that it tells of, and neighbour discovery and multicast listeners are never judged. So rules speak of requests alone.
//! No number below 128 is a request of ICMPv6, and none from 128 on one of ICMP: a number says the family too.

use std::collections::BTreeSet;

use super::ParseError;

/// Where the types of ICMPv6 that are no errors begin (RFC 4443, section 2.1).
const V6: u16 = 128;

/// Requests by the name that nft(8) gives them, with their types of ICMP and ICMPv6.
const REQUESTS: [(&str, &[u16]); 5] = [
    ("echo-request", &[8, 128]),
    ("timestamp-request", &[13]),
    ("info-request", &[15]),
    ("address-mask-request", &[17]),
    ("node-information-query", &[139]),
];

/// Whether this is a type of ICMPv6.
#[must_use]
pub fn is_v6(kind: u16) -> bool {
    kind >= V6
}

/// The type of a ping.
#[must_use]
pub fn echo_request(v6: bool) -> u16 {
    if v6 { 128 } else { 8 }
}

/// The types that `part` of `icmp/PART` or `icmpv6/PART` names.
pub(super) fn parse(protocol: &str, part: &str) -> Result<Vec<u16>, ParseError> {
    let part = part.trim();
    let only_v6 = protocol == "icmpv6";
    let named = REQUESTS.iter().find(|(name, _)| *name == part).map(|(_, kinds)| *kinds);
    let known = |number: &u16| REQUESTS.iter().any(|(_, kinds)| kinds.contains(number));
    let number = part.parse().ok();
    let names = || REQUESTS.map(|(name, _)| name).join(", ");
    match (named, number) {
        (Some(kinds), _) => {
            let kinds: Vec<u16> = kinds.iter().copied().filter(|kind| !only_v6 || is_v6(*kind)).collect();
            if kinds.is_empty() {
                Err(ParseError(format!("ICMPv6 has no {part}: write icmp/{part}")))
            } else {
                Ok(kinds)
            }
        }
        (None, Some(number)) if known(&number) && is_v6(number) == only_v6 => Ok(vec![number]),
        (None, Some(number)) if known(&number) => {
            let right = if only_v6 { "icmp" } else { "icmpv6" };
            Err(ParseError(format!("type {number} is not of {protocol}: write {right}/{number}")))
        }
        (None, Some(number)) if number <= 255 => Err(ParseError(format!(
            "{protocol} type {number} opens no connection (answers and errors belong to the one that they are about): use {}",
            names()
        ))),
        _ => {
            let part: String = part.escape_debug().take(40).collect();
            Err(ParseError(format!("'{part}' is no {protocol} type: use {}, or 8, 13, 15, 17, 128, 139", names())))
        }
    }
}

/// The texts that [`parse`] reads, of types in any order.
pub(super) fn to_texts(kinds: &BTreeSet<u16>) -> Vec<String> {
    let both = REQUESTS.iter().filter(|(_, pair)| pair.len() > 1 && pair.iter().all(|kind| kinds.contains(kind)));
    let named: BTreeSet<u16> = both.clone().flat_map(|(_, pair)| pair.iter().copied()).collect();
    let of = |v6: bool| {
        let rest = kinds.iter().filter(|kind| is_v6(**kind) == v6 && !named.contains(kind)).map(ToString::to_string);
        let names = both.clone().filter(|_| !v6).map(|(name, _)| (*name).to_owned());
        names.chain(rest).collect::<Vec<_>>().join(",")
    };
    let texts = [("icmp", of(false)), ("icmpv6", of(true))];
    texts
        .into_iter()
        .filter(|(_, list)| !list.is_empty())
        .map(|(protocol, list)| format!("{protocol}/{list}"))
        .collect()
}
