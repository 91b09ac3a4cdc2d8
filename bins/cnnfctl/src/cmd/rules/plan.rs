//! Changes of rules and objects, for people.

use cnnf_rpc::v1;

use crate::output::{Output, Tone, printable};

/// How many changes are shown; a plan of thousands is nothing to read.
const SHOWN: usize = 200;

pub(super) fn is_empty(plan: &v1::ApplyPolicyResponse) -> bool {
    plan.changes.is_empty()
}

/// A plan: what changes, field by field, and how much it is.
pub(super) fn people(plan: &v1::ApplyPolicyResponse, out: &Output) -> String {
    if is_empty(plan) {
        return "nothing to change".into();
    }
    let count = |word: &str| plan.changes.iter().filter(|c| c.kind == "rule" && c.change == word).count();
    let numbers = ["added", "changed", "moved", "deleted"].map(|word| format!("{} {word}", count(word)));
    let objects = match plan.objects.len() {
        0 => String::new(),
        1 => ", 1 object".to_owned(),
        n => format!(", {n} objects"),
    };
    let how_much = match plan.changes_left_out {
        0 => numbers.join(", ") + &objects,
        _ => plan.summary.clone(),
    };
    format!("{}\n{how_much}", changes(&plan.changes, plan.changes_left_out, out))
}

/// Changes, a heading each with the fields below it; and how many there are beyond those that the controller lists.
pub(super) fn changes(changes: &[v1::PolicyChange], left_out: u64, out: &Output) -> String {
    let mut lines = Vec::new();
    for change in changes.iter().take(SHOWN) {
        let (sign, tone) = match change.change.as_str() {
            "added" => ("+", Tone::Good),
            "deleted" => ("-", Tone::Bad),
            "moved" => (">", Tone::Calm),
            _ => ("~", Tone::Warn),
        };
        let object = if change.kind == "object" { "object " } else { "" };
        let (before, after) = (change.position_before, change.position_after);
        let place = match change.change.as_str() {
            "added" if after > 0 => format!(" as number {after}"),
            "deleted" if before > 0 => format!(", number {before}"),
            "moved" => format!(" from number {before} to {after}"),
            _ => String::new(),
        };
        let name = printable(&change.name);
        lines.push(tone.paint(&format!("{sign} {object}{name}{place}"), out));
        for field in &change.fields {
            let name = &field.field;
            let text = match (change.change.as_str(), field.before.as_str(), field.after.as_str()) {
                ("added", _, after) => printable(after).into_owned(),
                ("deleted", before, _) => printable(before).into_owned(),
                (_, before, after) => format!("{} → {}", or_none(before), or_none(after)),
            };
            lines.push(format!("    {name:<11} {text}"));
        }
    }
    if changes.len() > SHOWN {
        let more = (changes.len() - SHOWN) as u64 + left_out;
        let json = if left_out == 0 { "-o json has them all" } else { "-o json has the first 10,000" };
        lines.push(format!("… and {more} more: {json}"));
    }
    lines.join("\n")
}

fn or_none(text: &str) -> std::borrow::Cow<'_, str> {
    if text.is_empty() { "nothing".into() } else { printable(text) }
}
