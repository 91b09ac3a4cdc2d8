//! Recorded traffic through the real topology, models and evaluation, by the recording's own clock.

mod report;
#[cfg(test)]
mod tests;
mod world;
mod zeek;

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::{Duration, UNIX_EPOCH};

use cnnf_core::net::AddrRange;
use cnnf_core::time::Timestamp;

use crate::error::{Error, Result};
use report::Report;
use world::Replay;
use zeek::Connection;

/// When learning ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum LearnUntil {
    /// After this part of all connections, in the order of time.
    Fraction(f64),
    /// At this moment.
    Time(Timestamp),
}

impl FromStr for LearnUntil {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse::<f64>() {
            Ok(fraction) if (0.0..=1.0).contains(&fraction) => return Ok(Self::Fraction(fraction)),
            Ok(seconds) if seconds > 1.0 => return Ok(Self::Time(zeek::seconds(seconds))),
            _ => {}
        }
        let at = humantime::parse_rfc3339_weak(text).map_err(|_| {
            format!("'{text}' is neither a fraction such as 0.5 nor a time such as 2027-01-31T18:00:00Z")
        })?;
        let since = at.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Ok(Self::Time(Timestamp::default().plus(since)))
    }
}

/// Reads the logs, replays them and writes what came of it.
pub(crate) fn replay(
    logs: &[PathBuf],
    until: Option<LearnUntil>,
    local: &[AddrRange],
    json: bool,
    out: &mut impl Write,
) -> Result<()> {
    let mut connections = Vec::new();
    for log in logs {
        let name = log.display();
        let bytes = fs::read(log).map_err(|error| Error::Usage(format!("{name}: {error}")))?;
        connections.extend(zeek::read_bytes(&bytes).map_err(|error| Error::Usage(format!("{name}: {error}")))?);
    }
    let report = of_somebody(run(connections, until, local)?)?;
    let written = if json {
        serde_json::to_string_pretty(&report).map_err(io::Error::from).and_then(|text| writeln!(out, "{text}"))
    } else {
        report.print(out)
    };
    // A reader that went away is no failure of ours.
    drop(written);
    Ok(())
}

/// Replays connections in the order of time.
fn run(mut connections: Vec<Connection>, until: Option<LearnUntil>, local: &[AddrRange]) -> Result<Report> {
    connections.sort_by_key(|connection| connection.at);
    if connections.is_empty() {
        return Err(Error::Failed("the logs have no connection".to_owned()));
    }
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    // a fraction of a count that fits into memory
    let learned = match until {
        None => None,
        Some(LearnUntil::Fraction(fraction)) => Some((fraction * connections.len() as f64).round() as usize),
        Some(LearnUntil::Time(at)) => Some(connections.partition_point(|connection| connection.at < at)),
    };
    if learned.is_some_and(|learned| learned >= connections.len()) {
        let (first, last) = (connections[0].at, connections[connections.len() - 1].at);
        return Err(Error::Usage(format!(
            "learning would not end before the recording does, so that nothing would be judged: it is from {} to {}; choose another \
             --learn-until",
            text_of(first),
            text_of(last)
        )));
    }
    let mut replay = Replay::new(&connections, local, learned.is_some());
    for (n, connection) in connections.iter().enumerate() {
        if learned == Some(n) {
            replay.end_learning(connection.at);
        }
        replay.take(connection);
    }
    Ok(replay.finish())
}

/// Refuses a report in which nothing was looked at.
fn of_somebody(report: Report) -> Result<Report> {
    if report.totals.foreign < report.totals.connections {
        return Ok(report);
    }
    let what = "no connection has a local host at an end, so that nothing would be judged: say with --local which addresses are local";
    Err(Error::Usage(what.to_owned()))
}

fn text_of(at: Timestamp) -> String {
    humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_millis(at.0)).to_string()
}
