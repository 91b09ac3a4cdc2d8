//! Laws of ports, addresses, patterns and groups.

use std::net::{IpAddr, Ipv4Addr};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::id::ServiceKey;
use crate::net::{AddrRange, PortRange, Ports, Protocol, next};
use crate::policy::ServicePattern;

fn port_ranges() -> impl Strategy<Value = Vec<PortRange>> {
    let range = (select(&[Protocol::Tcp, Protocol::Udp][..]), 0_u16..40, 0_u16..10)
        .prop_map(|(protocol, low, more)| PortRange { protocol, low, high: low + more });
    vec(range, 1..8)
}

fn ranges() -> impl Strategy<Value = Vec<AddrRange>> {
    let range = (0_u32..64, 0_u32..9, any::<bool>()).prop_filter_map("a range", |(low, more, top)| {
        let low = if top { u32::MAX - low } else { low };
        AddrRange::new(Ipv4Addr::from(low).into(), Ipv4Addr::from(low.saturating_add(more)).into())
    });
    vec(range, 0..10)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn merging_ports_changes_no_meaning(ranges in port_ranges(), port in 0_u16..60) {
        let ports = Ports::only(ranges.clone());
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            let meant = ranges.iter().any(|r| r.protocol == protocol && (r.low..=r.high).contains(&port));
            prop_assert_eq!(ports.contains(protocol, port), meant);
        }
        prop_assert_eq!(Ports::parse(&ports.to_texts()), Ok(ports.clone()), "texts say the same");
        let Ports::Only(merged) = ports else { return Err(TestCaseError::fail("not any")) };
        prop_assert!(merged.windows(2).all(|w| w[0].protocol < w[1].protocol || w[0].high + 1 < w[1].low), "disjoint");
    }

    #[test]
    fn merging_addresses_changes_no_meaning(ranges in ranges(), low in 0_u32..80, top: bool) {
        let address = IpAddr::from(Ipv4Addr::from(if top { u32::MAX - low } else { low }));
        let merged = AddrRange::merge(ranges.clone());
        prop_assert_eq!(merged.iter().any(|r| r.contains(address)), ranges.iter().any(|r| r.contains(address)));
        for pair in merged.windows(2) {
            prop_assert!(next(pair[0].high()).is_some_and(|after| after < pair[1].low()), "disjoint, with a gap");
        }
        for range in merged {
            prop_assert_eq!(range.to_string().parse(), Ok(range));
        }
    }

    #[test]
    fn a_glob_means_what_a_search_of_its_parts_means(pattern in "[ab*]{0,6}", name in "[ab]{1,8}") {
        let key = ServiceKey::unit(&name);
        let glob = ServicePattern(format!("unit:{pattern}"));
        prop_assert_eq!(glob.matches(&key), slowly(pattern.as_bytes(), name.as_bytes()));
    }
}

/// A glob by trying everything.
fn slowly(pattern: &[u8], text: &[u8]) -> bool {
    match pattern.split_first() {
        None => text.is_empty(),
        Some((b'*', rest)) => (0..=text.len()).any(|skip| slowly(rest, &text[skip..])),
        Some((c, rest)) => text.split_first().is_some_and(|(d, text)| c == d && slowly(rest, text)),
    }
}

#[test]
fn a_glob_never_means_what_has_no_service() {
    let all = ServicePattern("*".into());
    assert!(all.matches(&ServiceKey::unit("nginx")));
    for key in [ServiceKey::kernel(), ServiceKey::unknown(), ServiceKey::ambiguous()] {
        assert!(!all.matches(&key) && ServicePattern::of(&key).matches(&key), "{key}");
    }
}
