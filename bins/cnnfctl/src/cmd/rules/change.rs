//! `cnnfctl rules add|set|enable|disable`.

use std::collections::BTreeMap;

use clap::Args;
use cnnf_core::label::Labels;
use cnnf_rpc::convert::policy;
use cnnf_rpc::v1;

use super::super::Asker;
use super::Reason;
use crate::context::request;
use crate::failure::Failure;
use crate::output::printable;
use crate::policy_file::any_name;
use crate::since::parse_expiry;

/// What both commands can say of a rule.
#[derive(Debug, Args)]
struct Values {
    /// Labels that the host of the client's service must have; an empty text removes them.
    #[arg(long, value_name = "KEY=VALUE", value_parser = clap::value_parser!(Labels))]
    from_label: Vec<Labels>,
    /// Labels that the host of the server's service must have; an empty text removes them.
    #[arg(long, value_name = "KEY=VALUE", value_parser = clap::value_parser!(Labels))]
    to_label: Vec<Labels>,
    /// Server ports, such as tcp/80,443,8000-8100, udp/53, icmp, icmp/echo-request, or any. Can be given several times.
    #[arg(long, value_name = "PORTS")]
    ports: Vec<String>,
    /// What happens to a first packet that needs user space when that cannot answer: open or closed.
    #[arg(long, value_name = "open|closed")]
    on_failure: Option<String>,
    /// Whether a learned edge passes although the rule matches: allow, or an empty text for no.
    #[arg(long, value_name = "allow")]
    learned: Option<String>,
    /// When it ends: 7d, 2027-01-31 (the end of that day in UTC), RFC 3339, or never.
    #[arg(long, value_parser = parse_expiry, value_name = "TIME")]
    expires: Option<String>,
    /// Who answers for it.
    #[arg(long)]
    owner: Option<String>,
    /// The ticket behind it.
    #[arg(long)]
    ticket: Option<String>,
    /// Free text.
    #[arg(long, value_name = "TEXT")]
    notes: Option<String>,
    #[command(flatten)]
    reason: Reason,
}

#[derive(Debug, Args)]
pub(in crate::cmd) struct Add {
    /// Unique name.
    #[arg(long)]
    name: String,
    /// The client: any, a service's key, short name or glob, an address, CIDR or range, or an address object's name.
    #[arg(long, value_name = "CLIENT")]
    from: String,
    /// The server, written likewise. At least one of both must be a service.
    #[arg(long, value_name = "SERVER")]
    to: String,
    /// What happens: allow, alert or prevent.
    #[arg(long, value_name = "allow|alert|prevent")]
    effect: String,
    /// Its place in the order, from 1; at the end if not given.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    position: Option<u32>,
    /// Add it, but let it not count yet.
    #[arg(long)]
    disabled: bool,
    #[command(flatten)]
    values: Values,
}

#[derive(Debug, Args)]
pub(in crate::cmd) struct Set {
    /// Its name or number.
    rule: String,
    /// A new name.
    #[arg(long)]
    name: Option<String>,
    /// The client: any, a service's key, short name or glob, an address, CIDR or range, or an address object's name.
    #[arg(long, value_name = "CLIENT")]
    from: Option<String>,
    /// The server, written likewise.
    #[arg(long, value_name = "SERVER")]
    to: Option<String>,
    /// What happens: allow, alert or prevent.
    #[arg(long, value_name = "allow|alert|prevent")]
    effect: Option<String>,
    #[command(flatten)]
    values: Values,
}

fn merged(labels: &[Labels]) -> BTreeMap<String, String> {
    labels.iter().flat_map(|labels| labels.0.clone()).collect()
}

/// Checks what can be checked without the controller, which objects and services there are apart.
fn check(rule: &v1::Rule) -> Result<(), Failure> {
    policy::rule(rule.clone(), &BTreeMap::new(), &any_name).map(drop).map_err(|error| Failure::Usage(error.to_string()))
}

impl Add {
    pub(super) async fn run(self, asker: &Asker) -> Result<(), Failure> {
        let values = self.values;
        let reason = values.reason.text();
        let rule = v1::Rule {
            name: self.name,
            position: self.position.unwrap_or_default(),
            enabled: !self.disabled,
            from: self.from,
            from_labels: merged(&values.from_label),
            to: self.to,
            to_labels: merged(&values.to_label),
            ports: if values.ports.is_empty() { vec!["any".into()] } else { values.ports },
            effect: self.effect,
            on_failure: values.on_failure.unwrap_or_else(|| "open".into()),
            learned: values.learned.unwrap_or_default(),
            expires: values.expires.unwrap_or_default(),
            owner: values.owner.unwrap_or_default(),
            ticket: values.ticket.unwrap_or_default(),
            notes: values.notes.unwrap_or_default(),
            ..v1::Rule::default()
        };
        check(&rule)?;
        let session = asker.connect().await?;
        let ask = v1::AddRuleRequest { rule: Some(rule), reason };
        let rule = session.answer(session.policy().add_rule(request(ask))).await?;
        asker
            .out
            .done(&rule, || format!("rule '{}' is added, number {} in order", printable(&rule.name), rule.position))
    }
}

impl Set {
    /// The new values, and the names of the fields that have one.
    fn changes(self) -> (v1::Rule, Vec<String>) {
        // What is not given stands for something that is right, so that what is given can be checked.
        let mut rule = v1::Rule {
            name: "rule".into(),
            enabled: true,
            from: "unit:any".into(),
            to: "unit:any".into(),
            ports: vec!["any".into()],
            effect: "allow".into(),
            on_failure: "open".into(),
            ..v1::Rule::default()
        };
        let mut fields = Vec::new();
        let values = self.values;
        let texts = [
            ("name", self.name, &mut rule.name),
            ("from", self.from, &mut rule.from),
            ("to", self.to, &mut rule.to),
            ("effect", self.effect, &mut rule.effect),
            ("on_failure", values.on_failure, &mut rule.on_failure),
            ("learned", values.learned, &mut rule.learned),
            ("expires", values.expires, &mut rule.expires),
            ("owner", values.owner, &mut rule.owner),
            ("ticket", values.ticket, &mut rule.ticket),
            ("notes", values.notes, &mut rule.notes),
        ];
        for (field, given, value) in texts {
            if let Some(given) = given {
                *value = given;
                fields.push(field.to_owned());
            }
        }
        for (field, given, value) in [
            ("from_labels", &values.from_label, &mut rule.from_labels),
            ("to_labels", &values.to_label, &mut rule.to_labels),
        ] {
            if !given.is_empty() {
                *value = merged(given);
                fields.push(field.to_owned());
            }
        }
        if !values.ports.is_empty() {
            rule.ports = values.ports;
            fields.push("ports".to_owned());
        }
        (rule, fields)
    }

    pub(super) async fn run(self, asker: &Asker) -> Result<(), Failure> {
        let name = self.rule.clone();
        let reason = self.values.reason.text();
        let (values, fields) = self.changes();
        if fields.is_empty() {
            return Err(Failure::Usage(format!(
                "nothing of rule '{name}' is to be changed: give for example --effect alert"
            )));
        }
        check(&values)?;
        update(asker, name, values, fields, reason).await
    }
}

/// Lets a rule count, or not.
pub(super) async fn switch(asker: &Asker, rule: String, enabled: bool, reason: &Reason) -> Result<(), Failure> {
    update(asker, rule, v1::Rule { enabled, ..v1::Rule::default() }, vec!["enabled".into()], reason.text()).await
}

async fn update(
    asker: &Asker,
    rule: String,
    values: v1::Rule,
    fields: Vec<String>,
    reason: String,
) -> Result<(), Failure> {
    let session = asker.connect().await?;
    let changed = fields.join(", ");
    let ask = v1::UpdateRuleRequest { rule, values: Some(values), fields, reason };
    let rule = session.answer(session.policy().update_rule(request(ask))).await?;
    asker.out.done(&rule, || match changed.as_str() {
        "enabled" => {
            format!("rule '{}' is {}", printable(&rule.name), if rule.enabled { "enabled" } else { "disabled" })
        }
        _ => format!("rule '{}' has a new {changed}, revision {}", printable(&rule.name), rule.revision),
    })
}
