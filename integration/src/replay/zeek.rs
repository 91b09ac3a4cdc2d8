//! Zeek's conn.log, as JSON lines or tab-separated (<https://docs.zeek.org/en/master/logs/conn.html>).

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, UNIX_EPOCH};

use cnnf_core::net::Protocol;
use cnnf_core::time::Timestamp;
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

/// Reads a whole log.
pub(super) fn read(text: &str) -> Result<Vec<Connection>, String> {
    let mut header: Option<Header> = None;
    let mut separator = '\t';
    let mut all = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let at = |error: String| format!("line {}: {error}", number + 1);
        if line.trim().is_empty() {
            continue;
        }
        let fields = if line.starts_with('{') {
            json(line).map_err(at)?
        } else if let Some(comment) = line.strip_prefix('#') {
            match comment.split_once(char::is_whitespace) {
                Some(("separator", code)) => separator = read_separator(code.trim()).map_err(at)?,
                Some(("fields", _)) => header = Some(Header::read(comment, separator)),
                _ => {}
            }
            continue;
        } else {
            let header = header.as_ref().ok_or_else(|| {
                at("is no JSON, and no '#fields' came before it: this is no conn.log of Zeek".to_owned())
            })?;
            header.fields(line, separator)
        };
        all.push(connection(&fields).map_err(at)?);
    }
    Ok(all)
}

type Fields = BTreeMap<String, String>;

/// The names of a tab-separated log's columns. Some labelled logs put several names, parted by spaces, into the last.
struct Header {
    names: Vec<String>,
    last_has_several: bool,
}

impl Header {
    fn read(comment: &str, separator: char) -> Self {
        let columns: Vec<&str> = comment.split(separator).skip(1).collect();
        let last_has_several = columns.last().is_some_and(|last| last.trim().contains(' '));
        let names = columns.iter().flat_map(|column| column.split_whitespace()).map(plain).collect();
        Self { names, last_has_several }
    }

    fn fields(&self, line: &str, separator: char) -> Fields {
        let mut values: Vec<&str> = line.split(separator).collect();
        if self.last_has_several
            && let Some(last) = values.pop()
        {
            values.extend(last.split_whitespace());
        }
        let set = |value: &&str| !matches!(*value, "-" | "(empty)");
        let pairs = self.names.iter().zip(values).filter(|(_, value)| set(value));
        pairs.map(|(name, value)| (name.clone(), value.to_owned())).collect()
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
        text.parse::<IpAddr>().map_err(|_| format!("{name}: '{}' is no address", text.escape_debug()))
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
        text.parse().map_err(|_| format!("id_resp_p: '{}' is no port", text.escape_debug()))?
    } else {
        0
    };
    let number = |name: &str| get(name).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    let labels = [get("label"), get("detailed_label").or_else(|| get("detailedlabel"))];
    Ok(Connection {
        at: time(need("ts")?)?,
        client: address("id_orig_h")?,
        server: address("id_resp_h")?,
        protocol,
        port,
        bytes: number("orig_bytes").saturating_add(number("resp_bytes")),
        answered: answered(fields, number("resp_pkts")),
        local: (get("local_orig") == Some("T"), get("local_resp") == Some("T")),
        label: labels.into_iter().flatten().collect::<Vec<_>>().join("/"),
    })
}

/// Whether the server said more than no. `history` has what the responder did in lower case: `h` is SYN and ACK, `d` data.
fn answered(fields: &Fields, packets_back: u64) -> bool {
    match (fields.get("history"), fields.get("conn_state").map(String::as_str)) {
        (Some(history), _) => history.contains(['h', 'd']),
        (None, Some("SF" | "S1" | "S2" | "S3" | "RSTO" | "RSTR")) => true,
        (None, Some(_)) => false,
        (None, None) => packets_back > 0,
    }
}

fn time(text: &str) -> Result<Timestamp, String> {
    if let Ok(at) = text.parse::<f64>() {
        return Ok(seconds(at));
    }
    let at = humantime::parse_rfc3339_weak(text).map_err(|_| format!("ts: '{}' is no time", text.escape_debug()))?;
    Ok(Timestamp::default().plus(at.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO)))
}

/// A time in seconds since the epoch.
pub(super) fn seconds(at: f64) -> Timestamp {
    Timestamp::default().plus(Duration::try_from_secs_f64(at).unwrap_or(Duration::ZERO))
}
