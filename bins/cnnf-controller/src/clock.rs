//! The one place that reads the clock, and what hosts' clocks are off by.

use std::time::SystemTime;

use cnnf_core::time::Timestamp;

/// Clocks that differ by less are taken to agree: a message may have been on its way for as long.
const TOLERATED_MS: u64 = 2000;

/// Now.
pub(crate) fn now() -> Timestamp {
    Timestamp::of(SystemTime::now())
}

/// What has to be added to a host's times, in milliseconds, when its clock shows `theirs` now; 0 if it does not say.
pub(crate) fn skew(theirs: u64, now: Timestamp) -> i64 {
    if theirs == 0 || now.0.abs_diff(theirs) < TOLERATED_MS {
        return 0;
    }
    i64::try_from(i128::from(now.0) - i128::from(theirs)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_corrected_only_if_it_is_off() {
        let now = Timestamp(10_000_000);
        for (theirs, added) in
            [(0, 0), (9_998_500, 0), (10_001_500, 0), (6_400_000, 3_600_000), (13_600_000, -3_600_000), (u64::MAX, 0)]
        {
            assert_eq!(skew(theirs, now), added, "{theirs}");
        }
    }
}
