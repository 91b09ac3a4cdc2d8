//! How often one may try to sign in: ten times at once from one place, then once in six seconds.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use cnnf_core::time::Timestamp;

/// Attempts at once.
const BURST: f64 = 10.0;
/// How long until one more is free.
const REFILL: Duration = Duration::from_secs(6);
/// Places that are remembered; beyond that, the half that has most attempts left is forgotten.
const MAX_PLACES: usize = 10_000;

/// Attempts that are left, by place.
#[derive(Default)]
pub(crate) struct Attempts(HashMap<IpAddr, Left>);

#[derive(Clone, Copy)]
struct Left {
    attempts: f64,
    at: Timestamp,
}

impl Left {
    fn now(self, at: Timestamp) -> f64 {
        (self.attempts + at.since(self.at).as_secs_f64() / REFILL.as_secs_f64()).min(BURST)
    }
}

impl Attempts {
    /// Takes an attempt; or how long to wait for the next one.
    pub(crate) fn take(&mut self, from: IpAddr, at: Timestamp) -> Result<(), Duration> {
        let from = place(from);
        if self.0.len() >= MAX_PLACES && !self.0.contains_key(&from) {
            self.forget_half(at);
        }
        let left = self.0.entry(from).or_insert(Left { attempts: BURST, at });
        let attempts = left.now(at);
        if attempts < 1.0 {
            return Err(REFILL.mul_f64(1.0 - attempts));
        }
        *left = Left { attempts: attempts - 1.0, at };
        Ok(())
    }

    /// Forgets the half of the places that have most attempts left.
    fn forget_half(&mut self, at: Timestamp) {
        let mut all: Vec<_> = self.0.iter().map(|(place, left)| (*place, left.now(at))).collect();
        all.sort_by(|(_, a), (_, b)| b.total_cmp(a));
        for (place, _) in all.into_iter().take(MAX_PLACES / 2) {
            self.0.remove(&place);
        }
    }

    /// Gives an attempt back that was none: the password was right.
    pub(crate) fn give_back(&mut self, from: IpAddr) {
        if let Some(left) = self.0.get_mut(&place(from)) {
            left.attempts = (left.attempts + 1.0).min(BURST);
        }
    }
}

/// Whoever has one IPv6 address has its /64.
pub(super) fn place(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => std::net::Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp(1_000_000 + seconds * 1000)
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn ten_attempts_and_then_one_in_six_seconds() {
        let mut attempts = Attempts::default();
        assert!((0..10).all(|_| attempts.take(ip("10.0.0.1"), at(0)).is_ok()));
        let wait = attempts.take(ip("10.0.0.1"), at(0)).expect_err("too many");
        assert!(wait > Duration::from_secs(5) && wait <= REFILL, "{wait:?}");
        assert!(attempts.take(ip("10.0.0.2"), at(0)).is_ok(), "somebody else");
        assert!(attempts.take(ip("10.0.0.1"), at(5)).is_err());
        assert!(attempts.take(ip("10.0.0.1"), at(7)).is_ok());
        assert!(attempts.take(ip("10.0.0.1"), at(7)).is_err());
        attempts.give_back(ip("10.0.0.1"));
        assert!(attempts.take(ip("10.0.0.1"), at(7)).is_ok());
    }

    #[test]
    fn a_network_of_ipv6_is_one_place() {
        let mut attempts = Attempts::default();
        for n in 0..10 {
            assert!(attempts.take(ip(&format!("2001:db8::{n}")), at(0)).is_ok());
        }
        assert!(attempts.take(ip("2001:db8::ffff"), at(0)).is_err());
        assert!(attempts.take(ip("2001:db8:0:1::1"), at(0)).is_ok());
        assert!((0..10).all(|_| attempts.take(ip("::ffff:10.0.0.1"), at(0)).is_ok()));
        assert!(attempts.take(ip("10.0.0.1"), at(0)).is_err(), "the same address written otherwise");
    }

    #[test]
    fn many_places_take_bounded_memory_and_free_nobody_who_tried_often() {
        let mut attempts = Attempts::default();
        for _ in 0..10 {
            let _ = attempts.take(ip("10.0.0.1"), at(0));
        }
        for n in 0..30_000u32 {
            let _ = attempts.take(std::net::Ipv4Addr::from_bits(0x0b00_0000 + n).into(), at(0));
        }
        assert!(attempts.0.len() <= MAX_PLACES);
        assert!(attempts.take(ip("10.0.0.1"), at(0)).is_err());
    }
}
