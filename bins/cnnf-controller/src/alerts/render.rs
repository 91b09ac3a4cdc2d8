//! The forms of a message: RFC 5424, CEF, Slack and text. What hosts have chosen is made harmless in each.

use cnnf_core::event::EventKind;
use cnnf_core::time::Timestamp;
use cnnf_rpc::convert::common::time_text;
use cnnf_rpc::v1;
use serde_json::{Value, json};

use super::message::{Alert, Content, Severity, party, port};

/// local0 (RFC 5424, section 6.2.1).
const FACILITY: u8 = 16;
/// The name of our structured data. 32473 is the number for who has none of their own (RFC 5612).
const STRUCTURED: &str = "cnnf@32473";

/// Text in one line: controls, and what hides or reorders text, are written as escapes.
pub(super) fn plain(text: &str) -> String {
    let steers = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if steers(c) { out.extend(c.escape_default()) } else { out.push(c) }
    }
    out
}

fn syslog_severity(severity: Severity) -> u8 {
    match severity {
        Severity::Info => 6,
        Severity::Notice => 5,
        Severity::Warning => 4,
        Severity::Error => 3,
        Severity::Critical => 2,
    }
}

/// A message of RFC 5424 with structured data, `longest` bytes at most.
pub(super) fn syslog(alert: &Alert, host: &str, pid: u32, longest: usize) -> String {
    let mut data = format!("[{STRUCTURED}");
    for (name, value) in parameters(alert) {
        // Section 6.3.3: these three are escaped.
        let value = plain(&value).replace('\\', "\\\\").replace('"', "\\\"").replace(']', "\\]");
        data.push_str(&format!(" {name}=\"{value}\""));
    }
    data.push(']');
    framed(alert, host, pid, &data, &plain(&alert.title()), longest)
}

/// Common Event Format, version 0, in a message of RFC 5424, `longest` bytes at most.
pub(super) fn cef(alert: &Alert, host: &str, pid: u32, longest: usize) -> String {
    let head = |text: &str| plain(text).replace('\\', "\\\\").replace('|', "\\|");
    let severity = match alert.severity() {
        Severity::Info => 1,
        Severity::Notice => 3,
        Severity::Warning => 6,
        Severity::Error => 8,
        Severity::Critical => 10,
    };
    let version = env!("CARGO_PKG_VERSION");
    let mut text = format!("CEF:0|cnnf|cnnf|{version}|{}|{}|{severity}|", head(alert.kind()), head(&alert.title()));
    let extension: Vec<String> = extension(alert)
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(key, value)| format!("{key}={}", plain(&value).replace('\\', "\\\\").replace('=', "\\=")))
        .collect();
    text.push_str(&extension.join(" "));
    framed(alert, host, pid, "-", &text, longest)
}

/// Header, structured data and text. Too long a text is cut, too long a structured data left out.
fn framed(alert: &Alert, host: &str, pid: u32, data: &str, text: &str, longest: usize) -> String {
    let priority = FACILITY * 8 + syslog_severity(alert.severity());
    let at = time_text(alert.at);
    // PRINTUSASCII without blanks, of bounded length (section 6).
    let word = |text: &str, longest: usize| {
        let text: String = text.chars().filter(char::is_ascii_graphic).take(longest).collect();
        if text.is_empty() { "-".to_owned() } else { text }
    };
    let head = format!("<{priority}>1 {at} {} cnnf {pid} {} ", word(host, 255), word(alert.kind(), 32));
    // The byte order mark says that the text is UTF-8 (section 6.4).
    let text = if text.is_ascii() { text.to_owned() } else { format!("\u{feff}{text}") };
    let data = if head.len() + data.len() + 256 > longest { "-" } else { data };
    let mut all = format!("{head}{data} {text}");
    all.truncate(all.floor_char_boundary(longest));
    all
}

/// What structured data has.
fn parameters(alert: &Alert) -> Vec<(&'static str, String)> {
    let mut out = vec![("id", alert.id.clone()), ("channel", alert.channel.clone())];
    let mut put = |name, value: String| {
        if !value.is_empty() {
            out.push((name, value));
        }
    };
    match &alert.content {
        Content::Event(event) => {
            put("event", event.id.to_string());
            put("rule", event.rule.clone());
            put("model", event.model.clone());
            if let (Some(client), Some(server)) = (&event.client, &event.server) {
                put("client", client.service.clone());
                put("clientHost", client.host.clone());
                put("clientAddress", client.address.clone());
                put("server", server.service.clone());
                put("serverHost", server.host.clone());
                put("serverAddress", server.address.clone());
                put("port", port(event));
            }
            put("host", event.host.clone());
            put("count", event.count.to_string());
            put("firstSeen", event.first_seen.clone());
            put("lastSeen", event.last_seen.clone());
            if let Some(process) = &event.process {
                put("exe", process.exe.clone());
                put("user", process.user.clone());
                put("unit", process.unit.clone());
            }
        }
        Content::Folded(folded) => {
            put("events", folded.events().to_string());
            put("firstEvent", folded.ids.0.to_string());
            put("lastEvent", folded.ids.1.to_string());
        }
        Content::Test => {}
    }
    if alert.repeat {
        put("possibleRepeat", "true".to_owned());
    }
    out
}

/// What a CEF message has: keys of its dictionary, and labelled ones of our own.
fn extension(alert: &Alert) -> Vec<(&'static str, String)> {
    let mut out = vec![("externalId", alert.id.clone())];
    match &alert.content {
        Content::Event(event) => connection(event, &mut out),
        Content::Folded(folded) => {
            out.push(("start", folded.seen.0.0.to_string()));
            out.push(("end", folded.seen.1.0.to_string()));
            out.push(("cnt", folded.events().to_string()));
        }
        Content::Test => out.push(("rt", alert.at.0.to_string())),
    }
    if alert.repeat {
        out.extend([("cs4Label", "possibleRepeat".to_owned()), ("cs4", "true".to_owned())]);
    }
    out
}

fn connection(event: &v1::Event, out: &mut Vec<(&'static str, String)>) {
    let ms = |text: &str| {
        cnnf_rpc::convert::common::time("", text).map_or_else(|_| String::new(), |at: Timestamp| at.0.to_string())
    };
    out.extend([("start", ms(&event.first_seen)), ("rt", ms(&event.last_seen)), ("cnt", event.count.to_string())]);
    let refused = matches!(event.kind.parse(), Ok(EventKind::RulePrevent | EventKind::AnomalyPrevent));
    if let (Some(client), Some(server)) = (&event.client, &event.server) {
        // CEF has keys of their own for IPv6.
        let six = |address: &str| address.contains(':');
        let [from, to] = [(client, "src", "c6a2", "c6a2Label"), (server, "dst", "c6a3", "c6a3Label")].map(
            |(party, four, key, label)| {
                if six(&party.address) {
                    let name = if four == "src" { "Source IPv6 Address" } else { "Destination IPv6 Address" };
                    vec![(label, name.to_owned()), (key, party.address.clone())]
                } else {
                    vec![(four, party.address.clone())]
                }
            },
        );
        out.extend(from.into_iter().chain(to));
        out.extend([("shost", client.host.clone()), ("dhost", server.host.clone())]);
        out.extend([("sourceServiceName", client.service.clone()), ("destinationServiceName", server.service.clone())]);
        out.push(("proto", event.protocol.clone()));
        if event.port != 0 {
            out.push(("dpt", event.port.to_string()));
        }
        out.push(("act", if refused { "blocked" } else { "passed" }.to_owned()));
    } else {
        out.push(("dvchost", event.host.clone()));
        out.push(("msg", event.message.clone()));
    }
    for (label, name, key, value) in
        [("cs1Label", "rule", "cs1", &event.rule), ("cs2Label", "model", "cs2", &event.model)]
    {
        if !value.is_empty() {
            out.extend([(label, name.to_owned()), (key, value.clone())]);
        }
    }
    if let Some(process) = &event.process {
        // Of the client's end or the server's: whose host has decided.
        let keys = if event.side == "server" { ["dproc", "duser", "dpid"] } else { ["sproc", "suser", "spid"] };
        out.extend([(keys[0], process.exe.clone()), (keys[1], process.user.clone())]);
        if process.pid != 0 {
            out.push((keys[2], process.pid.to_string()));
        }
    }
}

/// As Slack's incoming webhooks take it: three characters are escaped, nothing else has a meaning but what we write.
pub(super) fn slack(alert: &Alert) -> Value {
    let safe = |text: &str| plain(text).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let details: Vec<String> = alert.details().iter().map(|(name, value)| format!("{name}: {}", safe(value))).collect();
    json!({"text": format!("*{}* {}\n{}", alert.severity().word(), safe(&alert.title()), details.join("\n"))})
}

/// The subject of a mail.
pub(super) fn subject(alert: &Alert) -> String {
    let title: String = plain(&alert.title()).chars().take(200).collect();
    format!("[cnnf] {title}")
}

/// The text of a mail.
pub(super) fn text(alert: &Alert) -> String {
    let mut out = format!("{}\n\n", plain(&alert.title()));
    for (name, value) in alert.details() {
        out.push_str(&format!("{name}: {}\n", plain(&value)));
    }
    if let Content::Event(event) = &alert.content
        && let (Some(client), Some(server)) = (&event.client, &event.server)
    {
        let (client, server, port) = (party(client), party(server), port(event));
        out.push_str(&format!(
            "\nWhy: cnnfctl events show {}\n     ({} to {}, {port})\n",
            event.id,
            plain(&client),
            plain(&server)
        ));
    }
    out.push_str(&format!("\n-- \nalert channel '{}' of cnnf\n", alert.channel));
    out
}
