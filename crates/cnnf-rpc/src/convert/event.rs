//! Connections that a policy speaks of.

use cnnf_core::event::{Ancestor, ConnectionEvent, EventKind, EventParty, Notice, Process};
use cnnf_core::id::HostId;
use cnnf_core::policy::{Reason, RuleId, Vantage};

use super::common::{cut, port, text, time, time_text, timestamp};
use super::{ConvertError, list, parse, parse_some};
use crate::{limits, v1};

/// The word for [`Reason::OtherSide`] in a field that else has a model's service.
pub const OTHER_SIDE: &str = "other-side";

/// A reason's parts on the wire: rule number, name and revision, and model.
pub(crate) fn reason_parts(reason: &Reason) -> (u64, String, u64, String) {
    match reason {
        Reason::Rule { id, name, revision } => (id.0, name.clone(), *revision, String::new()),
        Reason::Model(key) => (0, String::new(), 0, key.to_string()),
        Reason::OtherSide => (0, String::new(), 0, OTHER_SIDE.to_owned()),
        Reason::Default => (0, String::new(), 0, String::new()),
    }
}

/// A reason from its parts. A rule has a number or a name.
pub(crate) fn reason(id: u64, name: String, revision: u64, model: &str) -> Result<Reason, ConvertError> {
    match (id, name.as_str(), model) {
        (0, "", "") => Ok(Reason::Default),
        (0, "", OTHER_SIDE) => Ok(Reason::OtherSide),
        (0, "", model) => Ok(Reason::Model(parse("model", model)?)),
        (_, _, "") => Ok(Reason::Rule { id: RuleId(id), name: text("rule_name", name)?, revision }),
        _ => Err(ConvertError::new("model", "a rule and a model cannot both be the reason")),
    }
}

/// The word for a side.
#[must_use]
pub fn side_text(side: Vantage) -> &'static str {
    match side {
        Vantage::Client => "client",
        Vantage::Server => "server",
    }
}

impl From<&EventParty> for v1::EventParty {
    /// `host` is the host's id; an `Event` for people has its name instead.
    fn from(party: &EventParty) -> Self {
        Self {
            service: party.service.as_ref().map(ToString::to_string).unwrap_or_default(),
            host: party.host.as_ref().map(ToString::to_string).unwrap_or_default(),
            address: party.address.to_string(),
            port: party.port.into(),
        }
    }
}

fn party(field: &str, message: Option<v1::EventParty>) -> Result<EventParty, ConvertError> {
    let convert = |message: v1::EventParty| {
        let host = text("host", message.host)?;
        Ok(EventParty {
            service: parse_some("service", &message.service)?,
            host: (!host.is_empty()).then(|| HostId::new(host)),
            address: parse("address", &message.address)?,
            // A client's port may be anything, whatever the protocol.
            port: port("port", cnnf_core::net::Protocol::Tcp, message.port)?,
        })
    };
    let message = message.ok_or_else(|| ConvertError::new("", "is missing"));
    message.and_then(convert).map_err(|error: ConvertError| error.under(field))
}

impl From<&Process> for v1::Process {
    fn from(process: &Process) -> Self {
        Self {
            pid: process.pid,
            exe: process.exe.clone(),
            cmdline: process.cmdline.clone(),
            user: process.user.clone(),
            unit: process.unit.clone(),
            cgroup: process.cgroup.clone(),
            missing: process.missing.clone(),
            started: process.started.map(time_text).unwrap_or_default(),
            sha256: process.sha256.clone(),
            parents: process
                .parents
                .iter()
                .map(|parent| v1::Ancestor { pid: parent.pid, program: parent.program.clone() })
                .collect(),
            network_namespace: process.network_namespace,
            container: process.container.clone(),
        }
    }
}

impl From<v1::Process> for Process {
    /// Overlong texts are cut: evidence is never refused for its length.
    fn from(message: v1::Process) -> Self {
        Self {
            pid: message.pid,
            exe: cut(message.exe),
            cmdline: cut(message.cmdline),
            user: cut(message.user),
            unit: cut(message.unit),
            cgroup: cut(message.cgroup),
            missing: cut(message.missing),
            started: time("started", &message.started).ok(),
            sha256: cut(message.sha256),
            parents: message
                .parents
                .into_iter()
                .take(limits::MAX_ANCESTORS)
                .map(|parent| Ancestor { pid: parent.pid, program: cut(parent.program) })
                .collect(),
            network_namespace: message.network_namespace,
            container: cut(message.container),
        }
    }
}

impl From<&Notice> for v1::Notice {
    fn from(notice: &Notice) -> Self {
        let process = (notice.process != Process::default()).then(|| (&notice.process).into());
        Self {
            at_ms: notice.at.0,
            kind: notice.kind.to_string(),
            message: notice.message.clone(),
            process,
            count: notice.count,
        }
    }
}

impl TryFrom<v1::Notice> for Notice {
    type Error = ConvertError;

    fn try_from(message: v1::Notice) -> Result<Self, ConvertError> {
        let kind = parse("kind", &message.kind)?;
        if !matches!(kind, EventKind::Tamper | EventKind::FailOpen | EventKind::Reverted) {
            return Err(ConvertError::new("kind", format!("'{kind}' is none of a host's own")));
        }
        Ok(Self {
            at: timestamp("at_ms", message.at_ms)?,
            kind,
            message: text("message", message.message)?,
            process: message.process.map(Process::from).unwrap_or_default(),
            count: message.count.max(1),
        })
    }
}

impl From<&ConnectionEvent> for v1::ConnectionEvent {
    fn from(event: &ConnectionEvent) -> Self {
        let (rule_id, rule_name, rule_revision, model) = reason_parts(&event.reason);
        Self {
            at_ms: event.at.0,
            kind: event.kind.to_string(),
            client: Some((&event.client).into()),
            server: Some((&event.server).into()),
            protocol: event.protocol.to_string(),
            rule_id,
            rule_name,
            rule_revision,
            model,
            side: side_text(event.side).to_owned(),
            process: Some((&event.process).into()),
            count: event.count,
        }
    }
}

impl TryFrom<v1::ConnectionEvent> for ConnectionEvent {
    type Error = ConvertError;

    fn try_from(message: v1::ConnectionEvent) -> Result<Self, ConvertError> {
        Ok(Self {
            at: timestamp("at_ms", message.at_ms)?,
            kind: parse("kind", &message.kind)?,
            client: party("client", message.client)?,
            server: party("server", message.server)?,
            protocol: parse("protocol", &message.protocol)?,
            reason: reason(message.rule_id, message.rule_name, message.rule_revision, &message.model)?,
            side: match message.side.as_str() {
                "client" => Vantage::Client,
                "server" => Vantage::Server,
                _ => return Err(ConvertError::new("side", "is none of: client, server")),
            },
            process: message.process.unwrap_or_default().into(),
            count: message.count.max(1),
        })
    }
}

/// A report's events.
///
/// # Errors
/// If there are more than [`limits::MAX_EVENTS`], or the first one that is wrong.
pub fn events(message: v1::EventReport) -> Result<Vec<ConnectionEvent>, ConvertError> {
    list("events", message.events, limits::MAX_EVENTS, ConnectionEvent::try_from)
}

/// The message of events.
pub fn event_report<'a>(events: impl IntoIterator<Item = &'a ConnectionEvent>) -> v1::EventReport {
    v1::EventReport { events: events.into_iter().map(Into::into).collect() }
}
