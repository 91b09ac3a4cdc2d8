//! Rules for people.

use cnnf_rpc::v1;

use super::super::labels;
use crate::output::{Cell, Output, Sheet, Tone};

/// An end with its labels.
fn end(text: &str, scope: &std::collections::BTreeMap<String, String>) -> String {
    if scope.is_empty() { text.to_owned() } else { format!("{text} where {}", labels(scope)) }
}

/// A table, a rule a row.
pub(super) fn list(rules: &[v1::Rule], out: &Output) -> String {
    let mut header = vec!["#", "NAME", "FROM", "TO", "PORTS", "EFFECT", "HITS", "LAST USED", "EXPIRES"];
    if out.wide() {
        header.extend(["ID", "ON FAILURE", "LEARNED", "OWNER", "TICKET", "REVISION"]);
    }
    let mut sheet = Sheet::new(out, &header);
    for rule in rules {
        let effect = if rule.enabled {
            Cell::word(&rule.effect)
        } else {
            Cell::from(format!("{} (disabled)", rule.effect)).tone(Tone::Faint)
        };
        let mut row = vec![
            Cell::number(rule.position),
            Cell::from(&rule.name),
            Cell::from(end(&rule.from, &rule.from_labels)),
            Cell::from(end(&rule.to, &rule.to_labels)),
            Cell::from(rule.ports.join(" ")),
            effect,
            Cell::number(rule.hits),
            Cell::from(&rule.last_used),
            Cell::from(&rule.expires),
        ];
        if out.wide() {
            row.push(Cell::number(rule.id));
            row.extend([&rule.on_failure, &rule.learned, &rule.owner, &rule.ticket].map(Cell::from));
            row.push(Cell::number(rule.revision));
        }
        sheet.row(row);
    }
    sheet.render()
}

/// All of one rule.
pub(super) fn show(rule: &v1::Rule, out: &Output) -> String {
    let mut sheet = Sheet::of_fields(out);
    sheet.field("rule", &rule.name);
    sheet.field("id", rule.id.to_string());
    sheet.field("position", rule.position.to_string());
    sheet.field("enabled", if rule.enabled { "yes" } else { "no" });
    sheet.field("from", end(&rule.from, &rule.from_labels));
    sheet.field("to", end(&rule.to, &rule.to_labels));
    sheet.field("ports", rule.ports.join(" "));
    sheet.field("effect", Cell::word(&rule.effect));
    sheet.field("on failure", &rule.on_failure);
    sheet.field("learned", &rule.learned);
    sheet.field("expires", &rule.expires);
    sheet.field("owner", &rule.owner);
    sheet.field("ticket", &rule.ticket);
    sheet.field("notes", &rule.notes);
    sheet.field("revision", rule.revision.to_string());
    sheet.field("hits", rule.hits.to_string());
    sheet.field("last used", &rule.last_used);
    sheet.render()
}
