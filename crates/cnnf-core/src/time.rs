//! Wall-clock time as a value.

use std::fmt;
use std::time::{Duration, SystemTime};

/// Milliseconds since the Unix epoch, UTC. The core never reads a clock: callers pass this in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// A time of the system's clock; the epoch for one before it.
    #[must_use]
    pub fn of(at: SystemTime) -> Self {
        Self::default().plus(at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default())
    }

    /// What a clock that is ahead by so many milliseconds shows at this time; saturating.
    #[must_use]
    pub fn shifted(self, ms: i64) -> Self {
        Self(self.0.saturating_add_signed(ms))
    }

    /// The time since `earlier`, zero if `earlier` is later (clocks may step back).
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// This time plus `d`, saturating.
    #[must_use]
    pub fn plus(self, d: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(d.as_millis()).unwrap_or(u64::MAX)))
    }

    /// This time minus `d`, saturating at the epoch.
    #[must_use]
    pub fn minus(self, d: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(d.as_millis()).unwrap_or(u64::MAX)))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}ms", self.0)
    }
}
