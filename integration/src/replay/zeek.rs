//! Zeek's conn.log, as JSON lines or tab-separated (<https://docs.zeek.org/en/master/logs/conn.html>).

use std::collections::BTreeMap;
use std::io::Read as _;
use std::net::IpAddr;
use std::time::Duration;

use cnnf_core::net::Protocol;
use cnnf_core::time::Timestamp;
use flate2::read::MultiGzDecoder;
use serde_json::Value;

/// A connection of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Connection {
    pub(super) at: Timestamp,
    pub(super) client: IpAddr,
    pub(super) server: IpAddr,
    pub(super) protocol: Protocol,
    /// 0 where the protocol has none.
    pub(super) port: u16,
    pub(super) bytes: u64,
    /// Whether the server answered it.
    pub(super) answered: bool,
    /// Whether the log says that the client, or the server, is local.
    pub(super) local: (bool, bool),
    /// What somebody called it; empty for nothing.
    pub(super) label: String,
}

/// Reads a whole log, also a compressed one.
pub(super) fn read_bytes(bytes: &[u8]) -> Result<Vec<Connection>, String> {
    if !bytes.starts_with(&[0x1f, 0x8b]) {
        return read(&String::from_utf8_lossy(bytes));
    }
    let mut plain = Vec::new();
    // rotated logs are put together by writing one after the other
    MultiGzDecoder::new(bytes).read_to_end(&mut plain).map_err(|error| format!("cannot be unpacked: {error}"))?;
    read(&String::from_utf8_lossy(&plain))
}

/// Reads a whole log.
pub(super) fn read(text: &str) -> Result<Vec<Connection>, String> {
    let mut header: Option<Header> = None;
    let mut marks = Marks::default();
    let mut all = Vec::new();
    let mut tells_of_answers = false;
    for (number, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let at = |error: String| format!("line {}: {error}", number + 1);
        if line.trim().is_empty() {
            continue;
        }
        let fields = if line.starts_with('{') {
            json(line).map_err(at)?
        } else if let Some(comment) = line.strip_prefix('#') {
            if let Some(names) = marks.take(comment).map_err(at)? {
                header = Some(Header::read(names, marks.separator));
            }
            continue;
        } else {
            let header = header.as_ref().ok_or_else(|| {
                at("is no JSON object, and no '#fields' came before it: this is no conn.log of Zeek".to_owned())
            })?;
            header.fields(line, &marks).map_err(at)?
        };
        tells_of_answers |= ANSWERS.iter().any(|name| fields.contains_key(*name));
        all.push(connection(&fields).map_err(at)?);
    }
    if !all.is_empty() && !tells_of_answers {
        return Err(format!("no line has any of {}: who was answered cannot be known", ANSWERS.join(", ")));
    }
    Ok(all)
}

/// The fields by which it is known whether a connection was answered.
const ANSWERS: [&str; 4] = ["conn_state", "history", "resp_pkts", "resp_bytes"];

type Fields = BTreeMap<String, String>;

/// How a tab-separated log is written, as its first lines say.
struct Marks {
    separator: char,
    unset: String,
    empty: String,
}

impl Default for Marks {
    fn default() -> Self {
        Self { separator: '\t', unset: "-".to_owned(), empty: "(empty)".to_owned() }
    }
}

impl Marks {
    /// Takes up what a line with `#` says; the names of the columns are the caller's.
    fn take<'a>(&mut self, comment: &'a str) -> Result<Option<&'a str>, String> {
        // the separator is not in force on its own line
        if let Some(code) = comment.strip_prefix("separator") {
            *self = Self { separator: read_separator(code.trim())?, ..Self::default() };
            return Ok(None);
        }
        let Some((word, said)) = comment.split_once([self.separator, ' ']) else { return Ok(None) };
        match word {
            "fields" => return Ok(Some(said)),
            "unset_field" => said.clone_into(&mut self.unset),
            "empty_field" => said.clone_into(&mut self.empty),
            "path" => is_conn(said.trim())?,
            _ => {}
        }
        Ok(None)
    }
}

/// Other logs have addresses and ports too: what they tell of are no connections.
fn is_conn(path: &str) -> Result<(), String> {
    let is = path == "conn" || path.starts_with("conn.") || path.starts_with("conn_");
    if is { Ok(()) } else { Err(format!("is of Zeek's log '{}': give conn.log", path.escape_debug())) }
}

/// The names of a tab-separated log's columns. Some labelled logs put several names, parted by spaces, into the last.
struct Header {
    names: Vec<String>,
    columns: usize,
    last_has_several: bool,
}

impl Header {
    fn read(names: &str, separator: char) -> Self {
        let columns: Vec<&str> = names.split(separator).collect();
        let last_has_several = columns.last().is_some_and(|last| last.trim().contains(' '));
        let names = columns.iter().flat_map(|column| column.split_whitespace()).map(plain).collect();
        Self { names, columns: columns.len(), last_has_several }
    }

    fn fields(&self, line: &str, marks: &Marks) -> Result<Fields, String> {
        let mut values: Vec<&str> = line.split(marks.separator).collect();
        if values.len() != self.columns {
            return Err(format!("has {} columns where '#fields' names {}", values.len(), self.columns));
        }
        if self.last_has_several
            && let Some(last) = values.pop()
        {
            values.extend(last.split_whitespace());
        }
        let pairs = self.names.iter().zip(values).filter(|(_, value)| *value != marks.unset && *value != marks.empty);
        Ok(pairs.map(|(name, value)| (name.clone(), value.to_owned())).collect())
    }
}

/// `\x09` and the like.
fn read_separator(code: &str) -> Result<char, String> {
    let byte = code.strip_prefix("\\x").and_then(|hex| u8::from_str_radix(hex, 16).ok());
    byte.map(char::from).or_else(|| code.chars().next()).ok_or_else(|| "'#separator' says nothing".to_owned())
}

/// `id.orig_h` and `id_orig_h` are one.
fn plain(name: &str) -> String {
    name.replace(['.', '-'], "_")
}

fn json(line: &str) -> Result<Fields, String> {
    let value: Value = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let mut fields = Fields::new();
    flatten("", &value, &mut fields);
    fields.get("_path").map_or(Ok(()), |path| is_conn(path))?;
    Ok(fields)
}

fn flatten(name: &str, value: &Value, fields: &mut Fields) {
    let text = match value {
        Value::Object(object) => {
            for (key, value) in object {
                let key = plain(key);
                flatten(&if name.is_empty() { key } else { format!("{name}_{key}") }, value, fields);
            }
            return;
        }
        Value::String(text) if matches!(text.as_str(), "" | "-") => return,
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bool(yes) => if *yes { "T" } else { "F" }.to_owned(),
        Value::Null | Value::Array(_) => return,
    };
    fields.insert(name.to_owned(), text);
}

fn connection(fields: &Fields) -> Result<Connection, String> {
    let get = |name: &str| fields.get(name).map(String::as_str);
    let need = |name: &str| get(name).ok_or_else(|| format!("has no {name}"));
    let address = |name: &str| {
        let text = need(name)?;
        let address = text.parse::<IpAddr>().map_err(|_| format!("{name}: '{}' is no address", text.escape_debug()))?;
        Ok::<_, String>(address.to_canonical())
    };
    let protocol = match need("proto")? {
        "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        "icmp" | "icmp6" => Protocol::Icmp,
        "sctp" => Protocol::Sctp,
        _ => Protocol::Other(get("ip_proto").and_then(|number| number.parse().ok()).unwrap_or(255)),
    };
    let port = if protocol.has_ports() {
        let text = need("id_resp_p")?;
        let port = whole(text).and_then(|number| u16::try_from(number).ok());
        port.ok_or_else(|| format!("id_resp_p: '{}' is no port", text.escape_debug()))?
    } else {
        0
    };
    let number = |name: &str| match get(name) {
        None => Ok(0),
        Some(text) => whole(text).ok_or_else(|| format!("{name}: '{}' is no number", text.escape_debug())),
    };
    let back = number("resp_pkts")?.max(number("resp_bytes")?);
    let labels = [get("label"), get("detailed_label").or_else(|| get("detailedlabel"))];
    Ok(Connection {
        at: time(need("ts")?)?,
        client: address("id_orig_h")?,
        server: address("id_resp_h")?,
        protocol,
        port,
        bytes: number("orig_bytes")?.saturating_add(number("resp_bytes")?),
        answered: answered(fields, protocol, back),
        local: (is_true(get("local_orig")), is_true(get("local_resp"))),
        label: labels.into_iter().flatten().collect::<Vec<_>>().join("/"),
    })
}

fn is_true(text: Option<&str>) -> bool {
    text.is_some_and(|text| matches!(text, "T" | "true" | "True" | "1"))
}

/// A number without a fraction; some tools write `80.0`.
fn whole(text: &str) -> Option<u64> {
    text.strip_suffix(".0").unwrap_or(text).parse().ok()
}

/// Whether the server said more than no, which `back`, packets or bytes, is more than nothing of. `history` has what the responder did in lower
/// case: `h` is SYN and ACK, `d` data. Zeek writes no history of ICMP, and calls what it saw neither begin nor end "OTH".
fn answered(fields: &Fields, protocol: Protocol, back: u64) -> bool {
    match (fields.get("history"), fields.get("conn_state").map(String::as_str)) {
        (Some(history), _) => history.contains(['h', 'd']),
        _ if !protocol.has_ports() => back > 0,
        (None, Some("SF" | "S1" | "S2" | "S3" | "RSTO" | "RSTR" | "RSTRH" | "SHR")) => true,
        (None, Some("OTH") | None) => back > 0,
        (None, Some(_)) => false,
    }
}

/// From here on a number is of milliseconds, as `JSON::TS_MILLIS` has them: in seconds it would be after the year 5000.
const MILLISECONDS: f64 = 1e11;

fn time(text: &str) -> Result<Timestamp, String> {
    let bad = || format!("ts: '{}' is no time", text.escape_debug());
    if let Ok(at) = text.parse::<f64>() {
        if !at.is_finite() || at < 0.0 {
            return Err(bad());
        }
        return Ok(seconds(if at >= MILLISECONDS { at / 1000.0 } else { at }));
    }
    // with an offset from UTC, which the other reader does not look at
    if let Ok(at) = text.parse::<jiff::Timestamp>() {
        return u64::try_from(at.as_millisecond()).map(Timestamp).map_err(|_| bad());
    }
    humantime::parse_rfc3339_weak(text).map(Timestamp::of).map_err(|_| bad())
}

/// A time in seconds since the epoch.
pub(super) fn seconds(at: f64) -> Timestamp {
    Timestamp::default().plus(Duration::try_from_secs_f64(at).unwrap_or(Duration::ZERO))
}
