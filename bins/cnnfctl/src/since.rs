//! Times as people type them.

use std::time::SystemTime;

use cnnf_core::time::Timestamp;
use cnnf_rpc::convert::common;
use cnnf_rpc::v1;

/// Now, by this machine's clock.
pub(crate) fn now() -> Timestamp {
    Timestamp::of(SystemTime::now())
}

/// Reads how long ago (`1h`, `2d 3h`) or since when (RFC 3339).
pub(crate) fn parse_since(text: &str) -> Result<Timestamp, String> {
    since(text, now())
}

fn since(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    if let Ok(ago) = humantime::parse_duration(text) {
        return Ok(now.minus(ago));
    }
    match common::time("", text) {
        Ok(at) if text.len() > 10 => Ok(at),
        _ => Err(format!("'{text}' is no time: write 30m, 2h, 7d or 2027-01-31T18:00:00Z")),
    }
}

/// Reads when something ends: in how long (`7d`), a date (its end in UTC), RFC 3339, or `never` (the empty text).
pub(crate) fn parse_expiry(text: &str) -> Result<String, String> {
    expiry(text, now())
}

fn expiry(text: &str, now: Timestamp) -> Result<String, String> {
    if text == "never" {
        return Ok(String::new());
    }
    if let Ok(left) = humantime::parse_duration(text) {
        return Ok(common::time_text(now.plus(left)));
    }
    match common::time("", text) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err(format!("'{text}' is no time: write 7d, 2027-01-31, 2027-01-31T18:00:00Z or never")),
    }
}

/// Reads how long something has (`5m`, `1h 30m`), in whole seconds.
pub(crate) fn parse_within(text: &str) -> Result<u32, String> {
    let seconds = humantime::parse_duration(text).ok().and_then(|within| u32::try_from(within.as_secs()).ok());
    seconds.filter(|seconds| *seconds > 0).ok_or_else(|| format!("'{text}' is no time to wait: write 90s, 5m or 1h"))
}

/// From `since` until `until` or now, for a request; all time if both are `None`.
pub(crate) fn range(since: Option<Timestamp>, until: Option<Timestamp>) -> Option<v1::TimeRange> {
    let ms = |at: Option<Timestamp>| at.map_or(0, |at| at.0);
    (since.is_some() || until.is_some()).then(|| v1::TimeRange { since_ms: ms(since), until_ms: ms(until) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_type_them() {
        let now = Timestamp(1_000_000_000_000);
        assert_eq!(since("1h", now), Ok(Timestamp(1_000_000_000_000 - 3_600_000)));
        assert_eq!(since("1970-01-01T00:00:05Z", now), Ok(Timestamp(5_000)));
        assert!(since("yesterday", now).is_err() && since("2027-01-31", now).is_err());
        assert_eq!(expiry("7d", now).as_deref(), Ok("2001-09-16T01:46:40Z"));
        assert_eq!(expiry("2027-01-31", now).as_deref(), Ok("2027-01-31"));
        assert_eq!(expiry("never", now).as_deref(), Ok(""));
        assert!(expiry("soon", now).is_err());
        assert_eq!((parse_within("5m"), parse_within("1h 30s")), (Ok(300), Ok(3630)));
        for none in ["0s", "10ms", "300y", "soon", "-5m", "5"] {
            assert!(parse_within(none).is_err(), "{none}");
        }
    }
}
