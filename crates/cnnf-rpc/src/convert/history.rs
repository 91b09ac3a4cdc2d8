//! Changes of rules and objects.

use cnnf_core::policy::{AddressObject, Delta, ObjectDelta, Placed, Rule, RuleDelta};

use super::policy::end_text;
use crate::limits::MAX_CHANGES;
use crate::v1;

/// A change as the answer to who made it, or wants to know what it would be.
#[must_use]
pub fn applied(delta: &Delta, revision: u64) -> v1::ApplyPolicyResponse {
    let names = |wanted: fn(&RuleDelta) -> bool| {
        let placed = delta.rules.iter().filter(|d| wanted(d)).filter_map(|d| d.after.as_ref().or(d.before.as_ref()));
        placed.map(|placed| placed.rule.name.clone()).collect()
    };
    let object = |d: &ObjectDelta| d.after.as_ref().or(d.before.as_ref()).map(|object| object.name.clone());
    v1::ApplyPolicyResponse {
        added: names(|d| d.before.is_none()),
        changed: names(|d| d.before.is_some() && d.after.is_some()),
        deleted: names(|d| d.after.is_none()),
        objects: delta.objects.iter().filter_map(object).collect(),
        revision,
        changes: changes(delta),
        unconfirmed: None,
        live: None,
        changes_left_out: left_out(delta),
        summary: delta.to_string(),
    }
}

/// How many changes [`changes`] leaves out.
#[must_use]
pub fn left_out(delta: &Delta) -> u64 {
    (delta.objects.len() + delta.rules.len()).saturating_sub(MAX_CHANGES) as u64
}

/// A change in full: its first [`MAX_CHANGES`].
#[must_use]
pub fn changes(delta: &Delta) -> Vec<v1::PolicyChange> {
    let objects = delta.objects.iter().map(|d| {
        let texts = |object: &Option<AddressObject>| {
            let addresses = object.iter().flat_map(|object| &object.addresses);
            vec![("addresses", addresses.map(ToString::to_string).collect::<Vec<_>>().join(", "))]
        };
        let word = match (&d.before, &d.after) {
            (None, _) => "added",
            (_, None) => "deleted",
            _ => "changed",
        };
        v1::PolicyChange {
            change: word.to_owned(),
            kind: "object".to_owned(),
            name: d.after.as_ref().or(d.before.as_ref()).map(|object| object.name.clone()).unwrap_or_default(),
            position_before: 0,
            position_after: 0,
            fields: differing(texts(&d.before), texts(&d.after)),
        }
    });
    let rules = delta.rules.iter().map(|d| {
        let position = |placed: &Option<Placed>| {
            placed.as_ref().map_or(0, |placed| u32::try_from(placed.at + 1).unwrap_or(u32::MAX))
        };
        let texts = |placed: &Option<Placed>| placed.as_ref().map_or_else(nothing, |placed| fields(&placed.rule));
        let word = match (&d.before, &d.after) {
            (None, _) => "added",
            (_, None) => "deleted",
            _ if d.is_changed() => "changed",
            _ => "moved",
        };
        v1::PolicyChange {
            change: word.to_owned(),
            kind: "rule".to_owned(),
            name: d.after.as_ref().or(d.before.as_ref()).map(|placed| placed.rule.name.clone()).unwrap_or_default(),
            position_before: position(&d.before),
            position_after: position(&d.after),
            fields: differing(texts(&d.before), texts(&d.after)),
        }
    });
    objects.chain(rules).take(MAX_CHANGES).collect()
}

type Fields = Vec<(&'static str, String)>;

/// What a rule says, by the names of policy files; a field that says nothing is empty.
fn fields(rule: &Rule) -> Fields {
    let end = |end| {
        let (text, labels) = end_text(end);
        let labels: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        if labels.is_empty() { text } else { format!("{text} where {}", labels.join(", ")) }
    };
    let message = v1::Rule::from(rule);
    let but = |text: String, silent: &str| if text == silent { String::new() } else { text };
    vec![
        ("name", message.name),
        ("from", end(&rule.source)),
        ("to", end(&rule.destination)),
        ("ports", message.ports.join(" ")),
        ("effect", message.effect),
        ("on_failure", but(message.on_failure, "open")),
        ("learned", message.learned),
        ("expires", message.expires),
        ("owner", message.owner),
        ("ticket", message.ticket),
        ("notes", message.notes),
        ("enabled", if rule.enabled { String::new() } else { "false".to_owned() }),
    ]
}

fn nothing() -> Fields {
    Vec::new()
}

fn differing(before: Fields, after: Fields) -> Vec<v1::FieldChange> {
    let names: Vec<&str> = if after.is_empty() { &before } else { &after }.iter().map(|(name, _)| *name).collect();
    let is_new_or_gone = before.is_empty() || after.is_empty();
    let text = |fields: &Fields, n: usize| fields.get(n).map(|(_, text)| text.clone()).unwrap_or_default();
    let changes = names.iter().enumerate().map(|(n, name)| v1::FieldChange {
        field: (*name).to_owned(),
        before: text(&before, n),
        after: text(&after, n),
    });
    changes.filter(|c| c.before != c.after && !(is_new_or_gone && c.field == "name")).collect()
}
