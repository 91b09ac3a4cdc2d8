//! What a channel is told: one event, many folded, or a test.

use std::collections::BTreeMap;

use cnnf_core::event::EventKind;
use cnnf_core::time::Timestamp;
use cnnf_rpc::convert::common::time_text;
use cnnf_rpc::json::JsonMessage;
use cnnf_rpc::v1;
use serde_json::{Value, json};

/// A message, before it has a form.
#[derive(Clone, Debug)]
pub(crate) struct Alert {
    /// The same whenever the same is sent again.
    pub(crate) id: String,
    /// The channel's name.
    pub(crate) channel: String,
    /// Whether it, or a part of it, may have arrived before.
    pub(crate) repeat: bool,
    /// When it was made.
    pub(crate) at: Timestamp,
    pub(crate) content: Content,
}

#[derive(Clone, Debug)]
pub(crate) enum Content {
    Event(Box<v1::Event>),
    Folded(Folded),
    Test,
}

/// Events that were too many to be told one by one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Folded {
    /// How many of each kind.
    pub(crate) kinds: BTreeMap<EventKind, u64>,
    /// Their numbers: the first and the last.
    pub(crate) ids: (u64, u64),
    /// The first and the last of them.
    pub(crate) seen: (Timestamp, Timestamp),
}

impl Folded {
    pub(crate) fn events(&self) -> u64 {
        self.kinds.values().sum()
    }

    /// `12 rule_prevent, 3 tamper`, the most frequent first.
    fn list(&self) -> String {
        let mut kinds: Vec<_> = self.kinds.iter().collect();
        kinds.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        kinds.iter().map(|(kind, count)| format!("{count} {kind}")).collect::<Vec<_>>().join(", ")
    }
}

/// How bad it is; the greater the worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Severity {
    Info,
    Notice,
    Warning,
    Error,
    Critical,
}

impl Severity {
    pub(crate) fn of(kind: EventKind) -> Self {
        match kind {
            EventKind::WouldRulePrevent
            | EventKind::WouldAnomalyPrevent
            | EventKind::NewService
            | EventKind::Reverted
            | EventKind::RuleExpiring
            | EventKind::RuleExpired => Self::Notice,
            EventKind::RuleAlert
            | EventKind::RulePrevent
            | EventKind::AnomalyAlert
            | EventKind::AnomalyPrevent
            | EventKind::Gap
            | EventKind::AddressConflict => Self::Warning,
            EventKind::FailOpen | EventKind::DefenderOffline => Self::Error,
            EventKind::Tamper | EventKind::Cloned => Self::Critical,
        }
    }

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Notice => "notice",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Critical => "critical",
        }
    }
}

impl Alert {
    pub(crate) fn test(channel: &str, at: Timestamp) -> Self {
        let id = format!("{channel}-test-{:x}", at.0);
        Self { id, channel: channel.to_owned(), repeat: false, at, content: Content::Test }
    }

    pub(crate) fn severity(&self) -> Severity {
        match &self.content {
            Content::Event(event) => event.kind.parse().map_or(Severity::Warning, Severity::of),
            Content::Folded(folded) => {
                folded.kinds.keys().map(|kind| Severity::of(*kind)).max().unwrap_or(Severity::Notice)
            }
            Content::Test => Severity::Info,
        }
    }

    /// A word for what it is: the event's kind, `folded` or `test`.
    pub(crate) fn kind(&self) -> &str {
        match &self.content {
            Content::Event(event) => &event.kind,
            Content::Folded(_) => "folded",
            Content::Test => "test",
        }
    }

    /// In one line.
    pub(crate) fn title(&self) -> String {
        match &self.content {
            Content::Event(event) => title(event),
            Content::Folded(folded) => format!("{} more events: {}", folded.events(), folded.list()),
            Content::Test => format!("test of alert channel '{}'", self.channel),
        }
    }

    /// What there is to know, in words: name and value; for people.
    pub(crate) fn details(&self) -> Vec<(&'static str, String)> {
        let mut out = Vec::new();
        let mut put = |name, value: &dyn std::fmt::Display| {
            let value = value.to_string();
            if !value.is_empty() {
                out.push((name, value));
            }
        };
        match &self.content {
            Content::Event(event) => {
                put("event", &event.id);
                put("kind", &event.kind);
                put("rule", &event.rule);
                put("model", &event.model);
                for (name, party) in [("client", &event.client), ("server", &event.server)] {
                    if let Some(party) = party {
                        put(name, &format_args!("{} {}", self::party(party), party.address));
                    }
                }
                put("port", &port(event));
                put("host", &event.host);
                put("message", &event.message);
                put("connections", &event.count);
                put("first seen", &event.first_seen);
                put("last seen", &event.last_seen);
                if let Some(process) = &event.process {
                    put("process", &process.exe);
                    put("command line", &process.cmdline);
                    put("user", &process.user);
                    put("unit", &process.unit);
                    put("container", &process.container);
                }
            }
            Content::Folded(folded) => {
                put("events", &format_args!("{} to {}", folded.ids.0, folded.ids.1));
                for (kind, count) in &folded.kinds {
                    put(kind.as_str(), count);
                }
                put("from", &time_text(folded.seen.0));
                put("to", &time_text(folded.seen.1));
                put("see", &"cnnfctl events list, or the page");
            }
            Content::Test => put("sent", &time_text(self.at)),
        }
        if self.repeat {
            put("repeat", &"this may have been sent before");
        }
        out
    }

    /// All of it, as a webhook gets it.
    pub(crate) fn payload(&self) -> Value {
        let mut all = json!({
            "version": 1,
            "type": match &self.content { Content::Event(_) => "event", Content::Folded(_) => "folded", Content::Test => "test" },
            "id": self.id,
            "channel": self.channel,
            "sent": time_text(self.at),
            "severity": self.severity().word(),
            "title": self.title(),
            "text": self.details().iter().map(|(name, value)| format!("{name}: {value}")).collect::<Vec<_>>().join("\n"),
            "possibleRepeat": self.repeat,
        });
        match &self.content {
            // It has a descriptor, so it has a JSON form.
            Content::Event(event) => {
                let event = JsonMessage::new(&**event).ok().and_then(|event| serde_json::to_value(event).ok());
                all["event"] = event.unwrap_or_default();
            }
            Content::Folded(folded) => {
                let kinds: BTreeMap<&str, u64> =
                    folded.kinds.iter().map(|(kind, count)| (kind.as_str(), *count)).collect();
                all["folded"] = json!({
                    "events": folded.events(),
                    "kinds": kinds,
                    "firstId": folded.ids.0,
                    "lastId": folded.ids.1,
                    "firstSeen": time_text(folded.seen.0),
                    "lastSeen": time_text(folded.seen.1),
                });
            }
            Content::Test => {}
        }
        all
    }
}

/// `unit:nginx on web1`, or the address where no service is known.
pub(crate) fn party(party: &v1::EventParty) -> String {
    let name = if party.service.is_empty() { &party.address } else { &party.service };
    if party.host.is_empty() { name.clone() } else { format!("{name} on {}", party.host) }
}

/// `tcp/5432`, or the protocol alone where there are no ports.
pub(crate) fn port(event: &v1::Event) -> String {
    if event.port == 0 { event.protocol.clone() } else { format!("{}/{}", event.protocol, event.port) }
}

fn title(event: &v1::Event) -> String {
    let (Some(client), Some(server)) = (&event.client, &event.server) else {
        let host = if event.host.is_empty() { String::new() } else { format!(" on {}", event.host) };
        return format!("{}{host}: {}", event.kind, event.message);
    };
    let by = match (event.rule.is_empty(), event.model.is_empty()) {
        (false, _) => format!(" by rule '{}'", event.rule),
        (true, false) => format!(" by the model of {}", event.model),
        (true, true) => String::new(),
    };
    format!("{}{by}: {} to {}, {}", event.kind, party(client), party(server), port(event))
}
