//! What services are called.

use std::collections::BTreeMap;

use clap::Args;
use cnnf_core::identity::Definition;
use cnnf_core::label::Labels;
use cnnf_rpc::v1;

use super::super::{Asker, heading, labels};
use crate::context::{Session, request};
use crate::failure::Failure;
use crate::output::{Cell, Output, Sheet, Tone, confirm, count, printable};

/// Whatever meets the conditions is called `svc:NAME`, on every host that they fit. Of the conditions of one kind one must hold, of each kind
/// that has any. A `*` stands for any text. Replaces the definition of this name.
#[derive(Debug, Args)]
pub(crate) struct Define {
    /// The name: letters, digits and - _ . @ +.
    name: String,
    /// A systemd unit, such as nginx or postgresql@*; a scope with .scope.
    #[arg(long = "unit", value_name = "UNIT")]
    units: Vec<String>,
    /// The path of the executable, or of the script, module or jar that an interpreter runs.
    #[arg(long = "exe", value_name = "PATH")]
    executables: Vec<String>,
    /// A part of the command line, its arguments joined by spaces.
    #[arg(long = "cmdline", value_name = "TEXT", allow_hyphen_values = true)]
    command_lines: Vec<String>,
    /// The effective user, by name or number.
    #[arg(long = "user", value_name = "USER")]
    users: Vec<String>,
    /// A port on which the service listens, such as tcp/5432 or udp/53,5353; a number alone is a TCP port.
    #[arg(long = "port", value_name = "PORT")]
    ports: Vec<String>,
    /// A label that the host must have.
    #[arg(long = "host-label", value_name = "KEY=VALUE")]
    labels: Vec<String>,
    /// Its place in the order, from 1: the first definition that applies decides. Without, it keeps its place or comes last.
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u32).range(1..))]
    position: Option<u32>,
    /// Only say what would be renamed.
    #[arg(long, visible_alias = "dry-run")]
    preview: bool,
    /// Delete the definition of this name.
    #[arg(long, conflicts_with_all = ["units", "executables", "command_lines", "users", "ports", "labels", "position"])]
    delete: bool,
    /// Do not ask.
    #[arg(short, long, requires = "delete")]
    yes: bool,
    /// Refuse if the definitions have changed since this revision.
    #[arg(long, value_name = "REVISION", default_value_t = 0, hide_default_value = true)]
    base: u64,
}

/// Delete what was defined: services have their own names again.
#[derive(Debug, Args)]
pub(crate) struct Undefine {
    /// The name, with or without svc:.
    name: String,
    /// Only say what would be renamed.
    #[arg(long, visible_alias = "dry-run")]
    preview: bool,
    /// Do not ask.
    #[arg(short, long)]
    yes: bool,
    /// Refuse if the definitions have changed since this revision.
    #[arg(long, value_name = "REVISION", default_value_t = 0, hide_default_value = true)]
    base: u64,
}

impl Define {
    pub(super) async fn run(self, asker: &Asker) -> Result<(), Failure> {
        if self.delete {
            let Self { name, preview, yes, base, .. } = self;
            return Undefine { name, preview, yes, base }.run(asker).await;
        }
        let (preview, base_revision) = (self.preview, self.base);
        let definition = self.message()?;
        let session = asker.connect().await?;
        let out = &asker.out;
        if preview {
            let ask = v1::PreviewDefinitionRequest { definition: Some(definition), delete: String::new() };
            let answer = session.answer(session.definitions().preview_definition(request(ask))).await?;
            return out.show(&answer, || people(&answer, out));
        }
        let ask = v1::SetDefinitionRequest { definition: Some(definition), base_revision };
        let set = session.answer(session.definitions().set_definition(request(ask))).await?;
        out.done(&set, || {
            let who = conditions(&set).into_iter().map(|(kind, texts)| format!("{kind} {}", texts.join(" or ")));
            let who = who.collect::<Vec<_>>().join(", ");
            format!("svc:{} is number {}: {}", printable(&set.name), set.position, printable(&who))
        })
    }

    fn message(self) -> Result<v1::ServiceDefinition, Failure> {
        let labels: Result<Labels, String> = self.labels.join(",").parse();
        let port = |text: String| if text.parse::<u16>().is_ok() { format!("tcp/{text}") } else { text };
        let message = v1::ServiceDefinition {
            name: self.name,
            position: self.position.unwrap_or(0),
            units: self.units,
            executables: self.executables,
            command_lines: self.command_lines,
            users: self.users,
            ports: self.ports.into_iter().map(port).collect(),
            labels: labels.map_err(Failure::Usage)?.0,
            ..v1::ServiceDefinition::default()
        };
        Definition::try_from(message.clone()).map_err(|error| Failure::Usage(error.to_string()))?;
        Ok(message)
    }
}

impl Undefine {
    pub(super) async fn run(self, asker: &Asker) -> Result<(), Failure> {
        let session = asker.connect().await?;
        let out = &asker.out;
        let ask = v1::PreviewDefinitionRequest { definition: None, delete: self.name.clone() };
        let would = session.answer(session.definitions().preview_definition(request(ask))).await?;
        if self.preview {
            return out.show(&would, || people(&would, out));
        }
        let name = self.name.strip_prefix("svc:").unwrap_or(&self.name).to_owned();
        let what = match would.renamings.len() {
            0 => format!("delete the definition of '{}'", printable(&name)),
            n => format!("delete the definition of '{}', which renames {}", printable(&name), count(n, "service")),
        };
        confirm(&what, self.yes)?;
        let ask = v1::DeleteDefinitionRequest { name: name.clone(), base_revision: self.base };
        let answer = session.answer(session.definitions().delete_definition(request(ask))).await?;
        out.done(&answer, || format!("'{}' is defined no more, revision {}", printable(&name), answer.revision))
    }
}

/// All definitions.
pub(super) async fn definitions(session: &Session, out: &Output) -> Result<(), Failure> {
    let all = session.answer(session.definitions().list_definitions(request(v1::ListDefinitionsRequest {}))).await?;
    out.show(&all, || {
        let mut sheet = Sheet::new(out, &["#", "SERVICE", "MEANS", "HOSTS", "CHANGED", "BY"]);
        for definition in &all.definitions {
            let means = conditions(definition).into_iter().filter(|(kind, _)| *kind != "hosts with");
            let means = means.map(|(kind, texts)| format!("{kind} {}", texts.join(" or ")));
            let hosts = labels(&definition.labels);
            sheet.row(vec![
                Cell::from(definition.position.to_string()),
                Cell::from(format!("svc:{}", definition.name)),
                Cell::from(means.collect::<Vec<_>>().join(", ")),
                Cell::from(if hosts.is_empty() { "all".into() } else { hosts }),
                Cell::from(&definition.changed),
                Cell::from(&definition.changed_by),
            ]);
        }
        sheet.render()
    })
}

/// Conditions by their kind.
fn conditions(definition: &v1::ServiceDefinition) -> Vec<(&'static str, Vec<String>)> {
    let labels = &definition.labels;
    let pairs: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let labels = if pairs.is_empty() { Vec::new() } else { vec![pairs.join(" and ")] };
    let all = [
        ("unit", definition.units.clone()),
        ("executable", definition.executables.clone()),
        ("command line with", definition.command_lines.clone()),
        ("user", definition.users.clone()),
        ("listening on", definition.ports.clone()),
        ("hosts with", labels),
    ];
    all.into_iter().filter(|(_, texts)| !texts.is_empty()).collect()
}

/// What would be, for people.
fn people(would: &v1::PreviewDefinitionResponse, out: &Output) -> String {
    let maybe =
        |certainty: &str| if certainty == "yes" { Cell::from("yes") } else { Cell::from("maybe").tone(Tone::Warn) };
    let mut parts = Vec::new();
    if would.renamings.is_empty() {
        parts
            .push(format!("no service that is known would have another name, on {}", count(would.hosts.len(), "host")));
    } else {
        let mut sheet = Sheet::new(out, &["HOST", "NOW", "THEN", "CERTAIN", "LIVE"]);
        for renaming in &would.renamings {
            sheet.row(vec![
                Cell::from(&renaming.host),
                Cell::from(&renaming.old),
                Cell::from(if renaming.new.is_empty() { "its own name" } else { &renaming.new }),
                maybe(&renaming.certainty),
                if renaming.live { Cell::from("yes").tone(Tone::Good) } else { Cell::from("no").tone(Tone::Faint) },
            ]);
        }
        parts.push(sheet.render());
    }
    if !would.lost.is_empty() {
        let mut sheet = Sheet::new(out, &["SERVICE", "CERTAIN", "RULES", "MODEL", "MODE"]);
        for lost in &would.lost {
            sheet.row(vec![
                Cell::from(&lost.service),
                maybe(&lost.certainty),
                Cell::from(lost.rules.join(", ")),
                Cell::word(&lost.phase),
                Cell::word(&lost.mode),
            ]);
        }
        parts.push(heading("would be nowhere any more, but is named by", &sheet.render()));
    }
    if !would.by_process.is_empty() {
        let mut hosts: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
        for one in &would.by_process {
            hosts.entry((&one.service, &one.trouble)).or_default().push(&one.host);
        }
        let mut sheet = Sheet::new(out, &["SERVICE", "HOSTS", "TROUBLE"]);
        for ((service, trouble), hosts) in hosts {
            sheet.row(vec![Cell::from(service), Cell::from(hosts.join(", ")), Cell::from(trouble).tone(Tone::Warn)]);
        }
        let title = "would be told apart by process: first packets wait until it was found";
        parts.push(heading(title, &sheet.render()));
    }
    if !would.unknown.is_empty() {
        let lines: Vec<String> = would.unknown.iter().map(|text| format!("- {}", printable(text))).collect();
        parts.push(heading("not known here", &lines.join("\n")));
    }
    parts.join("\n")
}
