//! A webhook's own JSON: texts with `{{PATH}}` in them. It is read as JSON first and filled in then, so that no value, whatever a host has
//! called itself, can be anything but a value.

use std::sync::LazyLock;

use cnnf_core::event::EventKind;
use cnnf_rpc::v1;
use serde_json::Value;

use super::message::{Alert, Content, Folded};

/// Bytes of a template at most.
const LONGEST: usize = 16 << 10;

/// A template that is JSON and names only what there is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Template(Value);

/// Everything that a template can name.
static SAMPLE: LazyLock<Value> = LazyLock::new(|| {
    let alert =
        |content| Alert { id: String::new(), channel: String::new(), repeat: false, at: Default::default(), content };
    let event = v1::Event {
        client: Some(v1::EventParty::default()),
        server: Some(v1::EventParty::default()),
        process: Some(v1::Process::default()),
        ..v1::Event::default()
    };
    let kinds = EventKind::ALL.iter().map(|kind| (*kind, 0)).collect();
    let folded = Folded { kinds, ..Folded::default() };
    let mut sample = alert(Content::Event(Box::new(event))).payload();
    sample["folded"] = alert(Content::Folded(folded)).payload()["folded"].take();
    sample
});

impl Template {
    /// Reads one.
    ///
    /// # Errors
    /// It is no JSON, too long, or names something that there is not; says what.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.len() > LONGEST {
            return Err(format!("is too long: at most {LONGEST} bytes"));
        }
        let value: Value = serde_json::from_str(text).map_err(|error| format!("is no JSON: {error}"))?;
        let mut unknown = None;
        let _ = fill(&value, &mut |path| {
            let found = find(&SAMPLE, path);
            if found.is_none() {
                unknown.get_or_insert_with(|| path.to_owned());
            }
            found
        });
        match unknown {
            None => Ok(Self(value)),
            Some(path) => {
                let path: String = path.escape_debug().take(80).collect();
                let there = SAMPLE.as_object().into_iter().flat_map(|object| object.keys()).cloned();
                let there = there.collect::<Vec<_>>().join(", ");
                Err(format!(
                    "names '{path}', which there is not: there are {there}, and what is in them, such as event.client.service"
                ))
            }
        }
    }

    /// Filled in. What this alert has not is null, or nothing within a text.
    pub(crate) fn fill(&self, payload: &Value) -> Value {
        fill(&self.0, &mut |path| find(payload, path))
    }
}

fn find<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(value, |value, part| value.as_object()?.get(part))
}

fn fill<'a>(value: &Value, get: &mut impl FnMut(&str) -> Option<&'a Value>) -> Value {
    match value {
        Value::String(text) => fill_text(text, get),
        Value::Array(list) => list.iter().map(|one| fill(one, get)).collect(),
        Value::Object(object) => object.iter().map(|(key, one)| (key.clone(), fill(one, get))).collect(),
        other => other.clone(),
    }
}

fn fill_text<'a>(text: &str, get: &mut impl FnMut(&str) -> Option<&'a Value>) -> Value {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, path, after)) = next(rest) {
        let found = get(path.trim());
        if before.is_empty() && after.is_empty() && out.is_empty() {
            return found.cloned().unwrap_or_default();
        }
        out.push_str(before);
        match found {
            None | Some(Value::Null) => {}
            Some(Value::String(text)) => out.push_str(text),
            Some(other) => out.push_str(&other.to_string()),
        }
        rest = after;
    }
    out.push_str(rest);
    Value::String(out)
}

/// What stands before the first `{{PATH}}`, the path, and what stands after.
fn next(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once("{{")?;
    let (path, after) = rest.split_once("}}")?;
    Some((before, path, after))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_stay_values_whatever_is_in_them() {
        let payload =
            json!({"title": "a\"}, {\"x\": \"{{id}}", "id": "7", "event": {"count": 3, "client": {"service": "s"}}});
        let text = r#"{"text": "*{{title}}* x{{event.count}} {{event.host}}", "n": "{{event.count}}", "all": ["{{ event.client }}"],
                      "none": "{{folded.events}}", "open": "{{ left"}"#;
        let template = Template::parse(text).expect("good");
        assert_eq!(
            template.fill(&payload),
            json!({"text": "*a\"}, {\"x\": \"{{id}}* x3 ", "n": 3, "all": [{"service": "s"}], "none": null, "open": "{{ left"})
        );
    }

    #[test]
    fn mistakes_are_said_before_anything_is_sent() {
        for (text, part) in [
            ("{\"a\": }", "is no JSON"),
            ("{\"a\": \"{{evnt.kind}}\"}", "names 'evnt.kind'"),
            ("{\"a\": \"{{event.kind.x}}\"}", "names 'event.kind.x'"),
            (&format!("\"{}\"", "x".repeat(LONGEST)), "too long"),
        ] {
            let error = Template::parse(text).expect_err(text);
            assert!(error.contains(part), "{error}");
        }
        for path in ["title", "severity", "event.process.exe", "event.server.address", "folded.kinds.tamper"] {
            Template::parse(&format!("\"{{{{{path}}}}}\"")).expect(path);
        }
    }
}
