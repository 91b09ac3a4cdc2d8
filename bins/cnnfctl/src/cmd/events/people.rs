//! Events for people.

use cnnf_rpc::v1;

use super::super::{heading, port};
use crate::output::{Cell, Output, Sheet, Tone, printable};

/// A table, an event a row.
pub(super) fn table(events: &[v1::Event], out: &Output) -> String {
    let mut header = vec!["ID", "LAST SEEN", "KIND", "CLIENT", "SERVER", "PORT", "BECAUSE OF", "×", "PROCESS"];
    if out.wide() {
        header.insert(1, "FIRST SEEN");
    }
    let mut sheet = Sheet::new(out, &header);
    for event in events {
        let mut row = vec![
            Cell::number(event.id),
            Cell::from(&event.last_seen),
            Cell::word(&event.kind),
            Cell::from(party(event.client.as_ref(), out.wide())),
            Cell::from(party(event.server.as_ref(), out.wide())),
            Cell::from(if event.protocol.is_empty() { String::new() } else { port(&event.protocol, event.port) }),
            Cell::from(because(event)),
            Cell::number(event.count),
            Cell::from(event.process.as_ref().map(|p| process(p, out.wide())).unwrap_or_default()),
        ];
        if out.wide() {
            row.insert(1, Cell::from(&event.first_seen));
        }
        sheet.row(row);
    }
    sheet.render()
}

/// One line, for a stream.
pub(super) fn line(event: &v1::Event, out: &Output) -> String {
    let kind = Tone::of(&event.kind).paint(&printable(&event.kind), out);
    let mut line = format!("{}  {kind}  #{}", printable(&event.last_seen), event.id);
    let mut add = |text: &str| {
        line.push_str("  ");
        line.push_str(&printable(text));
    };
    if event.client.is_some() || event.server.is_some() {
        let (client, server) = (party(event.client.as_ref(), false), party(event.server.as_ref(), false));
        add(&format!("{client} → {server} {}", port(&event.protocol, event.port)));
    }
    for text in [because(event), event.process.as_ref().map(|p| process(p, false)).unwrap_or_default()] {
        if !text.is_empty() {
            add(&text);
        }
    }
    if event.count > 1 {
        add(&format!("×{}", event.count));
    }
    line
}

/// All that is known.
pub(in crate::cmd) fn details(event: &v1::Event, out: &Output) -> String {
    let mut sheet = Sheet::of_fields(out);
    sheet.field("event", event.id.to_string());
    sheet.field("kind", Cell::word(&event.kind));
    sheet.field("message", &event.message);
    sheet.field("host", &event.host);
    sheet.field("client", whole(event.client.as_ref()));
    sheet.field("server", whole(event.server.as_ref()));
    if !event.protocol.is_empty() {
        sheet.field("port", port(&event.protocol, event.port));
    }
    if !event.rule.is_empty() {
        sheet.field("rule", format!("'{}', number {}, revision {}", event.rule, event.rule_id, event.rule_revision));
    }
    sheet.field("model", &event.model);
    if !event.side.is_empty() {
        sheet.field("decided by", format!("the {}'s host", event.side));
    }
    sheet.field("count", event.count.to_string());
    sheet.field("first seen", &event.first_seen);
    sheet.field("last seen", &event.last_seen);
    sheet.field("acknowledged", if event.acknowledged { "yes" } else { "no" });
    sheet.field("note", &event.note);
    let mut text = sheet.render();
    if let Some(process) = &event.process {
        text = text + "\n" + &heading("process", &evidence(process, out));
    }
    // The newest sample is the process above.
    for (n, sample) in event.samples.iter().enumerate().filter(|(_, sample)| Some(*sample) != event.process.as_ref()) {
        text = text + "\n" + &heading(&format!("sample {}", n + 1), &evidence(sample, out));
    }
    text
}

fn evidence(process: &v1::Process, out: &Output) -> String {
    let mut sheet = Sheet::of_fields(out);
    if process.pid != 0 {
        sheet.field("pid", process.pid.to_string());
    }
    sheet.field("executable", &process.exe);
    sheet.field("sha256", &process.sha256);
    sheet.field("command line", &process.cmdline);
    sheet.field("started", &process.started);
    sheet.field("user", &process.user);
    let parents = process.parents.iter().map(|parent| format!("{} ({})", parent.program, parent.pid));
    sheet.field("started by", parents.collect::<Vec<_>>().join(", by "));
    sheet.field("unit", &process.unit);
    sheet.field("container", &process.container);
    sheet.field("cgroup", &process.cgroup);
    if process.network_namespace != 0 {
        sheet.field("network", format!("namespace {}", process.network_namespace));
    }
    sheet.field("missing", Cell::from(&process.missing).tone(Tone::Warn));
    sheet.render()
}

/// What decided, or what happened.
pub(in crate::cmd) fn because(event: &v1::Event) -> String {
    match (event.rule.as_str(), event.model.as_str(), event.message.as_str()) {
        ("", "", "") => event.host.clone(),
        ("", "", message) if event.host.is_empty() => message.to_owned(),
        ("", "", message) => format!("{}: {message}", event.host),
        ("", model, _) => format!("model {model}"),
        (rule, ..) => format!("rule {rule}"),
    }
}

/// `unit:nginx on web1`, or the address where no service is known.
pub(in crate::cmd) fn party(party: Option<&v1::EventParty>, wide: bool) -> String {
    let Some(party) = party else { return String::new() };
    match (party.service.as_str(), party.host.as_str()) {
        ("", "") => party.address.clone(),
        ("", host) => format!("{} on {host}", party.address),
        (service, _) if wide => format!("{service} {}", whole_place(party)),
        (service, "") => service.to_owned(),
        (service, host) => format!("{service} on {host}"),
    }
}

fn whole(party: Option<&v1::EventParty>) -> String {
    let Some(party) = party else { return String::new() };
    format!("{} {}", party.service, whole_place(party)).trim().to_owned()
}

fn whole_place(party: &v1::EventParty) -> String {
    let address = match (party.address.contains(':'), party.port) {
        (_, 0) => party.address.clone(),
        (true, port) => format!("[{}]:{port}", party.address),
        (false, port) => format!("{}:{port}", party.address),
    };
    if party.host.is_empty() { address } else { format!("on {} ({address})", party.host) }
}

/// `curl (4711)`.
pub(in crate::cmd) fn process(process: &v1::Process, wide: bool) -> String {
    let name = if wide { Some(process.exe.as_str()) } else { process.exe.rsplit('/').next() }.unwrap_or_default();
    match (name, process.pid) {
        ("", 0) => process.missing.clone(),
        ("", pid) => format!("pid {pid}"),
        (name, pid) => format!("{name} ({pid})"),
    }
}
