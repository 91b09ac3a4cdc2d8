//! All addresses, and how they are shared out.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::net::{AddrRange, next};

/// All addresses, by family.
pub(super) fn everywhere() -> impl Iterator<Item = AddrRange> {
    let v4: (IpAddr, IpAddr) = (Ipv4Addr::UNSPECIFIED.into(), Ipv4Addr::BROADCAST.into());
    let v6: (IpAddr, IpAddr) = (Ipv6Addr::UNSPECIFIED.into(), Ipv6Addr::from(u128::MAX).into());
    [v4, v6].into_iter().filter_map(|(low, high)| AddrRange::new(low, high))
}

/// What [`is_private`](crate::net::is_private) says yes to.
pub(super) fn private() -> [AddrRange; 9] {
    const V4: [([u8; 4], u8); 6] = [
        ([10, 0, 0, 0], 8),
        ([100, 64, 0, 0], 10),
        ([127, 0, 0, 0], 8),
        ([169, 254, 0, 0], 16),
        ([172, 16, 0, 0], 12),
        ([192, 168, 0, 0], 16),
    ];
    const V6: [(u128, u8); 3] = [(1, 128), (0xfc00 << 112, 7), (0xfe80 << 112, 10)];
    std::array::from_fn(|n| {
        let (address, prefix): (IpAddr, u8) = match V4.get(n) {
            Some((octets, prefix)) => (Ipv4Addr::from(*octets).into(), *prefix),
            None => (Ipv6Addr::from(V6[n - V4.len()].0).into(), V6[n - V4.len()].1),
        };
        ipnet::IpNet::new(address, prefix).map_or_else(|_| AddrRange::single(address), AddrRange::net)
    })
}

/// All other addresses.
pub(super) fn internet() -> Vec<AddrRange> {
    let mut ranges = Vec::new();
    for all in everywhere() {
        let mut low = Some(all.low());
        for taken in private().into_iter().filter(|r| r.low().is_ipv4() == all.low().is_ipv4()) {
            if let Some(from) = low.filter(|from| *from < taken.low()) {
                ranges.extend(AddrRange::new(from, before(taken.low())));
            }
            low = next(taken.high());
        }
        if let Some(from) = low {
            ranges.extend(AddrRange::new(from, all.high()));
        }
    }
    ranges
}

/// The addresses that are in both ranges.
pub(crate) fn overlap(a: AddrRange, b: AddrRange) -> Option<AddrRange> {
    if a.low().is_ipv4() != b.low().is_ipv4() {
        return None;
    }
    AddrRange::new(a.low().max(b.low()), a.high().min(b.high()))
}

/// The address before this one; the first has none before it and is given back.
pub(super) fn before(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(a) => Ipv4Addr::from(u32::from(a).saturating_sub(1)).into(),
        IpAddr::V6(a) => Ipv6Addr::from(u128::from(a).saturating_sub(1)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::is_private;

    #[test]
    fn private_and_internet_share_out_all_addresses() {
        let all: Vec<AddrRange> = private().into_iter().chain(internet()).collect();
        for range in &all {
            for address in [range.low(), range.high()] {
                let here = all.iter().filter(|r| r.contains(address)).count();
                assert_eq!(here, 1, "{address}");
                assert_eq!(is_private(address), private().iter().any(|r| r.contains(address)), "{address}");
            }
        }
        let merged: Vec<String> = AddrRange::merge(all).iter().map(ToString::to_string).collect();
        assert_eq!(merged, ["0.0.0.0/0", "::/0"]);
    }
}
