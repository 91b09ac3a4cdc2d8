//! Times, ports, labels, pages, endpoints, peers and edges.

use std::collections::BTreeMap;
use std::net::IpAddr;

use cnnf_core::directory::Endpoint;
use cnnf_core::label::Labels;
use cnnf_core::net::Protocol;
use cnnf_core::time::Timestamp;
use cnnf_core::topology::{Edge, Peer};
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::{ConvertError, parse, parse_some};
use crate::{limits, v1};

/// The last millisecond of the year 9999: RFC 3339 ends there.
pub const MAX_MS: u64 = 253_402_207_200_000 - 1;

/// Milliseconds since the epoch.
///
/// # Errors
/// If they are beyond the year 9999.
pub fn timestamp(field: &str, ms: u64) -> Result<Timestamp, ConvertError> {
    if ms > MAX_MS {
        return Err(ConvertError::new(field, format_args!("{ms} ms is no time before the year 10000")));
    }
    Ok(Timestamp(ms))
}

/// RFC 3339 in UTC, with milliseconds only where there are some. Times beyond the year 9999 read as its end.
#[must_use]
pub fn time_text(at: Timestamp) -> String {
    let ms = i64::try_from(at.0.min(MAX_MS)).unwrap_or_default();
    jiff::Timestamp::from_millisecond(ms).unwrap_or_default().to_string()
}

/// As [`time_text`]; the empty text for the epoch, which stands for "never".
#[must_use]
pub fn time_text_or_never(at: Timestamp) -> String {
    if at == Timestamp::default() { String::new() } else { time_text(at) }
}

/// As `google.protobuf.Timestamp`.
#[must_use]
pub fn stamp(at: Timestamp) -> prost_types::Timestamp {
    let seconds = i64::try_from(at.0 / 1000).unwrap_or(i64::MAX);
    let nanos = i32::try_from(at.0 % 1000).unwrap_or_default() * 1_000_000;
    prost_types::Timestamp { seconds, nanos }
}

/// A `google.protobuf.Timestamp` as [`time_text`]; the empty text where it is not set. Times before 1970 read as its beginning.
#[must_use]
pub fn stamp_text(at: Option<&prost_types::Timestamp>) -> String {
    let ms = |at: &prost_types::Timestamp| {
        let seconds = u64::try_from(at.seconds).unwrap_or(0).saturating_mul(1000);
        seconds.saturating_add(u64::try_from(at.nanos / 1_000_000).unwrap_or(0))
    };
    at.map(|at| time_text(Timestamp(ms(at)))).unwrap_or_default()
}

/// Reads RFC 3339, or a date, which means its end in UTC: `2027-01-31` is `2027-02-01T00:00:00Z`.
///
/// # Errors
/// If the text is neither, or a time before 1970 or beyond the year 9999.
pub fn time(field: &str, text: &str) -> Result<Timestamp, ConvertError> {
    let bad = |what: &str| {
        let text: String = text.chars().take(80).collect();
        ConvertError::new(field, format_args!("'{text}' is {what}: write 2027-01-31 or 2027-01-31T18:00:00Z"))
    };
    let at = match text.parse::<jiff::Timestamp>() {
        Ok(at) => at,
        Err(_) => {
            let date: Date =
                if text.len() == 10 { text.parse() } else { return Err(bad("no time")) }.map_err(|_| bad("no time"))?;
            let next = date.tomorrow().map_err(|_| bad("too late"))?;
            TimeZone::UTC.to_timestamp(next.to_datetime(jiff::civil::Time::midnight())).map_err(|_| bad("too late"))?
        }
    };
    // A fraction of a millisecond is dropped.
    u64::try_from(at.as_millisecond()).ok().filter(|ms| *ms <= MAX_MS).map(Timestamp).ok_or_else(|| bad("out of range"))
}

/// As [`time`], for people: the date alone where the time is the end of a day.
#[must_use]
pub fn expiry_text(at: Timestamp) -> String {
    const DAY: u64 = 86_400_000;
    let text = time_text(at);
    if at.0 == 0 || at.0 > MAX_MS || !at.0.is_multiple_of(DAY) {
        return text;
    }
    time_text(Timestamp(at.0 - DAY)).split('T').next().map_or(text, str::to_owned)
}

/// A port.
///
/// # Errors
/// If it is above 65535, or not 0 where `protocol` has no ports.
pub fn port(field: &str, protocol: Protocol, port: u32) -> Result<u16, ConvertError> {
    let number = u16::try_from(port).map_err(|_| {
        ConvertError::new(field, format_args!("'{port}' is not a port: a port is a number from 0 to 65535"))
    })?;
    if number != 0 && !protocol.has_ports() {
        return Err(ConvertError::new(field, format_args!("{protocol} has no ports: 0 stands in its place")));
    }
    Ok(number)
}

/// Labels of a host.
///
/// # Errors
/// If there are too many, or a key is empty, or a key or value is too long or has control characters.
pub fn labels(field: &str, labels: BTreeMap<String, String>) -> Result<Labels, ConvertError> {
    if labels.len() > limits::MAX_LABELS {
        let error = format_args!("{} labels are too many: at most {}", labels.len(), limits::MAX_LABELS).to_string();
        return Err(ConvertError::new(field, error));
    }
    for (key, value) in &labels {
        let printable = |text: &str| text.len() <= limits::MAX_LABEL && !text.chars().any(char::is_control);
        if key.is_empty() || key.contains(['=', ',']) || value.contains(',') || !printable(key) || !printable(value) {
            let key: String = key.escape_debug().take(80).collect();
            let rule = "a key has no '=', neither has ',' or control characters, and each is at most 256 bytes";
            return Err(ConvertError::new(field, format_args!("label '{key}' is not usable: {rule}")));
        }
    }
    Ok(Labels(labels))
}

/// A text for people, such as notes.
///
/// # Errors
/// If it is longer than [`limits::MAX_TEXT`].
pub fn text(field: &str, text: String) -> Result<String, ConvertError> {
    if text.len() > limits::MAX_TEXT {
        let limit = limits::MAX_TEXT;
        return Err(ConvertError::new(field, format_args!("{} bytes are too many: at most {limit}", text.len())));
    }
    Ok(text)
}

/// `text` cut to [`limits::MAX_TEXT`] bytes at a character: for evidence, which must never be refused for its length.
pub(crate) fn cut(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(limits::MAX_TEXT));
    text
}

/// How many entries a page has: what was asked for within the limits. An absent request is the first page.
#[must_use]
pub fn page_size(page: Option<&v1::PageRequest>) -> usize {
    let size = page.map_or(0, |page| page.size);
    let size = if size == 0 { limits::DEFAULT_PAGE } else { size.min(limits::MAX_PAGE) };
    size as usize
}

/// From when until when; `None` for now. An absent range is all time.
///
/// # Errors
/// If a time is out of range or the range runs backwards.
pub fn time_range(field: &str, range: Option<&v1::TimeRange>) -> Result<(Timestamp, Option<Timestamp>), ConvertError> {
    let Some(range) = range else { return Ok((Timestamp::default(), None)) };
    let since = timestamp("since_ms", range.since_ms).map_err(|error| error.under(field))?;
    let until = timestamp("until_ms", range.until_ms).map_err(|error| error.under(field))?;
    let until = (until.0 != 0).then_some(until);
    if until.is_some_and(|until| until < since) {
        return Err(ConvertError::new(field, "the range runs backwards: since_ms is after until_ms"));
    }
    Ok((since, until))
}

impl From<&Endpoint> for v1::Endpoint {
    fn from(endpoint: &Endpoint) -> Self {
        Self {
            protocol: endpoint.protocol.to_string(),
            address: endpoint.address.map(|a| a.to_string()).unwrap_or_default(),
            port: endpoint.port.into(),
        }
    }
}

impl TryFrom<v1::Endpoint> for Endpoint {
    type Error = ConvertError;

    fn try_from(message: v1::Endpoint) -> Result<Self, ConvertError> {
        let protocol = parse("protocol", &message.protocol)?;
        Ok(Self {
            protocol,
            address: parse_some::<IpAddr>("address", &message.address)?,
            port: port("port", protocol, message.port)?,
        })
    }
}

impl From<&Peer> for v1::Peer {
    fn from(peer: &Peer) -> Self {
        match peer {
            Peer::Service(key) => Self { service: key.to_string(), ..Self::default() },
            Peer::Object(name) => Self { object: name.clone(), ..Self::default() },
            other => Self { address: other.to_string(), ..Self::default() },
        }
    }
}

impl TryFrom<v1::Peer> for Peer {
    type Error = ConvertError;

    fn try_from(message: v1::Peer) -> Result<Self, ConvertError> {
        match (message.service.as_str(), message.object.as_str(), message.address.as_str()) {
            (service, "", "") if !service.is_empty() => Ok(Self::Service(parse("service", service)?)),
            ("", object, "") if !object.is_empty() => Ok(Self::Object(text("object", object.to_owned())?)),
            ("", "", "private") => Ok(Self::Private),
            ("", "", "internet") => Ok(Self::Internet),
            ("", "", address) if !address.is_empty() => Ok(Self::Address(parse("address", address)?)),
            _ => Err(ConvertError::new("", "exactly one of service, object and address must be set")),
        }
    }
}

impl From<&Edge> for v1::Edge {
    fn from(edge: &Edge) -> Self {
        Self {
            client: Some((&edge.client).into()),
            server: Some((&edge.server).into()),
            protocol: edge.protocol.to_string(),
            port: edge.port.into(),
        }
    }
}

impl TryFrom<v1::Edge> for Edge {
    type Error = ConvertError;

    fn try_from(message: v1::Edge) -> Result<Self, ConvertError> {
        let protocol = parse("protocol", &message.protocol)?;
        let peer = |field: &str, peer: Option<v1::Peer>| {
            Peer::try_from(peer.unwrap_or_default()).map_err(|error| error.under(field))
        };
        Ok(Self {
            client: peer("client", message.client)?,
            server: peer("server", message.server)?,
            protocol,
            port: port("port", protocol, message.port)?,
        })
    }
}
