//! The form of a policy file, to read and to write.

use std::collections::BTreeMap;
use std::fmt;

use cnnf_rpc::v1;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_saphyr::{Location, Spanned};

use super::Policy;

/// A file, with the places of what it says.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileForm {
    pub(super) version: Spanned<u32>,
    #[serde(default)]
    objects: Vec<Spanned<ObjectForm>>,
    #[serde(default)]
    rules: Vec<Spanned<RuleForm>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ObjectForm {
    name: Spanned<String>,
    addresses: Vec<Spanned<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleForm {
    name: Spanned<String>,
    from: Spanned<EndForm>,
    to: Spanned<EndForm>,
    ports: Option<Spanned<PortsForm>>,
    effect: Spanned<String>,
    on_failure: Option<Spanned<String>>,
    learned: Option<Spanned<String>>,
    expires: Option<Spanned<String>>,
    owner: Option<Spanned<String>>,
    ticket: Option<Spanned<String>>,
    notes: Option<Spanned<String>>,
    enabled: Option<bool>,
}

/// `web`, or `{service: web, labels: {env: prod}}`.
#[derive(Debug)]
struct EndForm {
    text: String,
    labels: BTreeMap<String, String>,
}

impl<'de> Deserialize<'de> for EndForm {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Scoped {
            service: String,
            #[serde(default)]
            labels: BTreeMap<String, String>,
        }
        struct End;
        impl<'de> Visitor<'de> for End {
            type Value = EndForm;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a service, an address, an object's name, any, or {service: …, labels: {…}}")
            }

            fn visit_str<E>(self, text: &str) -> Result<EndForm, E> {
                Ok(EndForm { text: text.to_owned(), labels: BTreeMap::new() })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<EndForm, A::Error> {
                let scoped = Scoped::deserialize(MapAccessDeserializer::new(map))?;
                Ok(EndForm { text: scoped.service, labels: scoped.labels })
            }
        }
        deserializer.deserialize_any(End)
    }
}

/// A list, or one text.
#[derive(Debug)]
struct PortsForm(Vec<String>);

impl<'de> Deserialize<'de> for PortsForm {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Ports;
        impl<'de> Visitor<'de> for Ports {
            type Value = PortsForm;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of ports such as [tcp/443, udp/53], or any")
            }

            fn visit_str<E>(self, text: &str) -> Result<PortsForm, E> {
                Ok(PortsForm(vec![text.to_owned()]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<PortsForm, A::Error> {
                let mut ports = Vec::new();
                while let Some(port) = seq.next_element()? {
                    ports.push(port);
                }
                Ok(PortsForm(ports))
            }
        }
        deserializer.deserialize_any(Ports)
    }
}

impl FileForm {
    /// What the file says.
    pub(super) fn to_policy(&self) -> Policy {
        let object = |form: &Spanned<ObjectForm>| v1::AddressObject {
            name: form.value.name.value.clone(),
            addresses: form.value.addresses.iter().map(|address| address.value.clone()).collect(),
            used_by: Vec::new(),
        };
        Policy {
            rules: self.rules.iter().map(|form| form.value.to_rule()).collect(),
            objects: self.objects.iter().map(object).collect(),
        }
    }

    /// Where the field stands that an error names, such as `rules[3].ports`; the rule itself if it has no such field.
    pub(super) fn place(&self, path: &str) -> Option<Location> {
        let (list, rest) = path.split_once('[')?;
        let (index, rest) = rest.split_once(']')?;
        let index: usize = index.parse().ok()?;
        match list {
            "rules" => self
                .rules
                .get(index)
                .map(|rule| rule.value.place(rest.trim_start_matches('.')).unwrap_or(rule.referenced)),
            "objects" => self.objects.get(index).map(|object| {
                let address = rest.strip_prefix(".addresses[").and_then(|n| n.strip_suffix(']')?.parse::<usize>().ok());
                let address = address.and_then(|n| object.value.addresses.get(n)).map(|address| address.referenced);
                address.unwrap_or(object.value.name.referenced)
            }),
            _ => None,
        }
    }
}

impl RuleForm {
    fn to_rule(&self) -> v1::Rule {
        let text = |field: &Option<Spanned<String>>| field.as_ref().map(|text| text.value.clone()).unwrap_or_default();
        v1::Rule {
            name: self.name.value.clone(),
            enabled: self.enabled.unwrap_or(true),
            from: self.from.value.text.clone(),
            from_labels: self.from.value.labels.clone(),
            to: self.to.value.text.clone(),
            to_labels: self.to.value.labels.clone(),
            ports: self.ports.as_ref().map_or_else(|| vec!["any".to_owned()], |ports| ports.value.0.clone()),
            effect: self.effect.value.clone(),
            on_failure: text(&self.on_failure),
            learned: text(&self.learned),
            expires: text(&self.expires),
            owner: text(&self.owner),
            ticket: text(&self.ticket),
            notes: text(&self.notes),
            ..v1::Rule::default()
        }
    }

    fn place(&self, field: &str) -> Option<Location> {
        let of = |field: &Option<Spanned<String>>| field.as_ref().map(|text| text.referenced);
        match field {
            "name" => Some(self.name.referenced),
            "from" | "from_labels" => Some(self.from.referenced),
            "to" | "to_labels" => Some(self.to.referenced),
            "ports" => self.ports.as_ref().map(|ports| ports.referenced),
            "effect" => Some(self.effect.referenced),
            "on_failure" => of(&self.on_failure),
            "learned" => of(&self.learned),
            "expires" => of(&self.expires),
            "owner" => of(&self.owner),
            "ticket" => of(&self.ticket),
            "notes" => of(&self.notes),
            _ => None,
        }
    }
}

/// What is written: only what differs from what is read where nothing is written.
#[derive(Serialize)]
pub(super) struct Written<'a> {
    version: u32,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    objects: Vec<WrittenObject<'a>>,
    rules: Vec<WrittenRule<'a>>,
}

#[derive(Serialize)]
struct WrittenObject<'a> {
    name: &'a str,
    addresses: &'a [String],
}

#[derive(Serialize)]
struct WrittenRule<'a> {
    name: &'a str,
    from: WrittenEnd<'a>,
    to: WrittenEnd<'a>,
    #[serde(skip_serializing_if = "is_any")]
    ports: &'a [String],
    effect: &'a str,
    #[serde(skip_serializing_if = "is_open")]
    on_failure: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    learned: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    expires: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    owner: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    ticket: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    notes: &'a str,
    #[serde(skip_serializing_if = "is_true")]
    enabled: bool,
}

#[derive(Serialize)]
#[serde(untagged)]
enum WrittenEnd<'a> {
    Text(&'a str),
    Scoped { service: &'a str, labels: &'a BTreeMap<String, String> },
}

fn is_any(ports: &[String]) -> bool {
    ports.is_empty() || ports == ["any"]
}

fn is_open(word: &str) -> bool {
    word.is_empty() || word == "open"
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde passes a reference.
fn is_true(value: &bool) -> bool {
    *value
}

/// The form of these rules and objects.
pub(super) fn written<'a>(rules: &'a [v1::Rule], objects: &'a [v1::AddressObject]) -> Written<'a> {
    fn end<'a>(text: &'a str, labels: &'a BTreeMap<String, String>) -> WrittenEnd<'a> {
        if labels.is_empty() { WrittenEnd::Text(text) } else { WrittenEnd::Scoped { service: text, labels } }
    }
    let rule = |rule: &'a v1::Rule| WrittenRule {
        name: &rule.name,
        from: end(&rule.from, &rule.from_labels),
        to: end(&rule.to, &rule.to_labels),
        ports: &rule.ports,
        effect: &rule.effect,
        on_failure: &rule.on_failure,
        learned: &rule.learned,
        expires: &rule.expires,
        owner: &rule.owner,
        ticket: &rule.ticket,
        notes: &rule.notes,
        enabled: rule.enabled,
    };
    let object = |object: &'a v1::AddressObject| WrittenObject { name: &object.name, addresses: &object.addresses };
    Written { version: 1, objects: objects.iter().map(object).collect(), rules: rules.iter().map(rule).collect() }
}
