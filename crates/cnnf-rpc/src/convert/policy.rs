//! Rules and address objects.

use std::collections::{BTreeMap, BTreeSet};

use cnnf_core::id::{KeyError, MAX_KEY_LEN, ServiceKey};
use cnnf_core::label::Labels;
use cnnf_core::net::{AddrRange, Ports};
use cnnf_core::policy::{AddressObject, End, OnFailure, Rule, RuleError, RuleId, ServicePattern};

use super::common::{expiry_text, labels, text, time};
use super::{ConvertError, list, parse};
use crate::{limits, v1};

/// Finds the service of a short name such as `nginx`; the error says which there are.
pub type Resolve<'a> = &'a dyn Fn(&str) -> Result<ServiceKey, NameError>;

/// Why a short name is no service.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// No service of that name has been seen.
    #[error("no service is named '{0}': write its full key, such as unit:{0}, if it is yet to come")]
    Unknown(String),
    /// Several have it.
    #[error("'{name}' is ambiguous: write one of {}", list_keys(keys))]
    Ambiguous {
        /// The name.
        name: String,
        /// The services that have it.
        keys: Vec<ServiceKey>,
    },
}

fn list_keys(keys: &[ServiceKey]) -> String {
    keys.iter().map(ServiceKey::as_str).collect::<Vec<_>>().join(", ")
}

/// Finds `name` among `keys`: the one named service whose key it is or whose short name it is.
///
/// # Errors
/// If there is none, or there are several.
pub fn resolve_among<'a>(name: &str, keys: impl IntoIterator<Item = &'a ServiceKey>) -> Result<ServiceKey, NameError> {
    let found: BTreeSet<&ServiceKey> =
        keys.into_iter().filter(|key| key.as_str() == name || (key.is_named() && key.name() == name)).collect();
    match found.iter().find(|key| key.as_str() == name).or_else(|| found.first().filter(|_| found.len() == 1)) {
        Some(key) => Ok((*key).clone()),
        None if found.is_empty() => Err(NameError::Unknown(name.chars().take(80).collect())),
        None => Err(NameError::Ambiguous { name: name.to_owned(), keys: found.into_iter().cloned().collect() }),
    }
}

const PREFIXES: [&str; 4] = ["unit:", "exe:", "container:", "svc:"];

/// A service's key, or a glob over keys: it has a `*` and starts with a key's prefix or with `*`.
pub(crate) fn pattern(field: &str, text: &str) -> Result<ServicePattern, ConvertError> {
    if !text.contains('*') {
        let key: ServiceKey = parse(field, text)?;
        return Ok(ServicePattern::of(&key));
    }
    let known = text.starts_with('*') || PREFIXES.iter().any(|prefix| text.starts_with(prefix));
    if !known {
        let short: String = text.chars().take(80).collect();
        let message =
            format_args!("'{short}' matches no key: start it with unit:, exe:, container:, svc: or *").to_string();
        return Err(ConvertError::new(field, message));
    }
    if text.len() > MAX_KEY_LEN {
        return Err(ConvertError::new(field, KeyError::Length));
    }
    Ok(ServicePattern(text.to_owned()))
}

/// One end of a rule, as people write it: `any`, a service's key or a glob, addresses joined by commas, an object's name or else a
/// service's short name, which is resolved to its key.
///
/// # Errors
/// If the text is none of these, or there are labels where the end is no service.
pub fn end(
    field: &str,
    written: &str,
    scope: BTreeMap<String, String>,
    objects: &BTreeMap<String, AddressObject>,
    resolve: Resolve<'_>,
) -> Result<End, ConvertError> {
    let scope = labels(&format!("{field}_labels"), scope)?;
    let service = |pattern| End::Service { pattern, labels: scope.clone() };
    let end = if written.is_empty() {
        return Err(ConvertError::new(field, "is missing: write any, a service, an address or an object's name"));
    } else if written == "any" {
        End::Any
    } else if let Ok(key) = written.parse::<ServiceKey>() {
        service(ServicePattern::of(&key))
    } else if written.contains('*') || PREFIXES.iter().any(|prefix| written.starts_with(prefix)) {
        service(pattern(field, written)?)
    } else if objects.contains_key(written) {
        End::Object(written.to_owned())
    } else if looks_like_addresses(written) {
        let ranges = written.split(',').map(|part| parse::<AddrRange>(field, part.trim()));
        End::Addresses(ranges.collect::<Result<_, _>>()?)
    } else {
        let key = resolve(written).map_err(|error| ConvertError::new(field, error))?;
        service(ServicePattern::of(&key))
    };
    if !end.is_service() && scope != Labels::default() {
        let message =
            "labels select the hosts of a service, and this end is none: write service: \"*\" for all services";
        return Err(ConvertError::new(format!("{field}_labels"), message));
    }
    Ok(end)
}

/// Whether the writer meant addresses, right or wrong: then the error is about addresses and not about names.
fn looks_like_addresses(text: &str) -> bool {
    let first = text.split([',', '/']).next().unwrap_or_default().trim();
    let low = first.split('-').next().unwrap_or_default();
    low.parse::<std::net::IpAddr>().is_ok()
        || low.contains(':')
        || text.contains('/')
        || (low.contains('.') && low.chars().all(|c| c.is_ascii_digit() || c == '.'))
}

/// The text and the labels of an end.
#[must_use]
pub fn end_text(end: &End) -> (String, BTreeMap<String, String>) {
    match end {
        End::Any => ("any".to_owned(), BTreeMap::new()),
        End::Service { pattern, labels } => (pattern.0.clone(), labels.0.clone()),
        End::Object(name) => (name.clone(), BTreeMap::new()),
        End::Addresses(ranges) => {
            (ranges.iter().map(ToString::to_string).collect::<Vec<_>>().join(","), BTreeMap::new())
        }
    }
}

impl From<&Rule> for v1::Rule {
    /// Place and statistics, which a rule does not know, are left empty.
    fn from(rule: &Rule) -> Self {
        let (from, from_labels) = end_text(&rule.source);
        let (to, to_labels) = end_text(&rule.destination);
        Self {
            id: rule.id.0,
            name: rule.name.clone(),
            position: 0,
            enabled: rule.enabled,
            from,
            from_labels,
            to,
            to_labels,
            ports: rule.ports.to_texts(),
            effect: rule.effect.to_string(),
            on_failure: rule.on_failure.to_string(),
            learned: if rule.learned_allow { "allow".to_owned() } else { String::new() },
            expires: rule.expires_at.map(expiry_text).unwrap_or_default(),
            owner: rule.owner.clone(),
            ticket: rule.ticket.clone(),
            notes: rule.notes.clone(),
            revision: rule.revision,
            hits: 0,
            last_used: String::new(),
        }
    }
}

/// A rule. Place and statistics are ignored; `objects` are those that the rule may name.
///
/// # Errors
/// The first field that is wrong.
pub fn rule(
    message: v1::Rule,
    objects: &BTreeMap<String, AddressObject>,
    resolve: Resolve<'_>,
) -> Result<Rule, ConvertError> {
    let rule = Rule {
        id: RuleId(message.id),
        name: message.name,
        enabled: message.enabled,
        source: end("from", &message.from, message.from_labels, objects, resolve)?,
        destination: end("to", &message.to, message.to_labels, objects, resolve)?,
        ports: if message.ports.is_empty() {
            Ports::Any
        } else {
            Ports::parse(&message.ports).map_err(|error| ConvertError::new("ports", error))?
        },
        effect: parse("effect", &message.effect)?,
        on_failure: match message.on_failure.as_str() {
            "" => OnFailure::default(),
            word => parse("on_failure", word)?,
        },
        learned_allow: match message.learned.as_str() {
            "" => false,
            "allow" => true,
            other => {
                let other: String = other.chars().take(80).collect();
                return Err(ConvertError::new("learned", format_args!("'{other}' is none of: allow, or nothing")));
            }
        },
        expires_at: match message.expires.as_str() {
            "" => None,
            written => Some(time("expires", written)?),
        },
        owner: text("owner", message.owner)?,
        ticket: text("ticket", message.ticket)?,
        notes: text("notes", message.notes)?,
        revision: message.revision,
    };
    rule.check(objects).map_err(|error| {
        let field = match &error {
            RuleError::Name(_) | RuleError::Twice(_) => "name",
            RuleError::NoService(_) => "from",
            RuleError::NoObject(_, object) if rule.source == End::Object(object.clone()) => "from",
            RuleError::NoObject(..) => "to",
        };
        ConvertError::new(field, error)
    })?;
    Ok(rule)
}

/// Rules in order, with names that are unique among them.
///
/// # Errors
/// The first field that is wrong, such as `rules[3].ports`.
pub fn rules(
    messages: Vec<v1::Rule>,
    objects: &BTreeMap<String, AddressObject>,
    resolve: Resolve<'_>,
) -> Result<Vec<Rule>, ConvertError> {
    let rules = list("rules", messages, limits::MAX_RULES, |message| rule(message, objects, resolve))?;
    let mut names = BTreeSet::new();
    for (n, rule) in rules.iter().enumerate() {
        if !names.insert(rule.name.as_str()) {
            let error = RuleError::Twice(rule.name.clone());
            return Err(ConvertError::new("name", error).under_index("rules", n));
        }
    }
    Ok(rules)
}

impl From<&AddressObject> for v1::AddressObject {
    fn from(object: &AddressObject) -> Self {
        Self {
            name: object.name.clone(),
            addresses: object.addresses.iter().map(ToString::to_string).collect(),
            used_by: Vec::new(),
        }
    }
}

impl TryFrom<v1::AddressObject> for AddressObject {
    type Error = ConvertError;

    fn try_from(message: v1::AddressObject) -> Result<Self, ConvertError> {
        let name = message.name;
        let reserved = ["any", "kernel", "unknown", "ambiguous", "private", "internet"].contains(&name.as_str());
        let form = name.len() <= 100
            && name.starts_with(|c: char| c.is_alphanumeric())
            && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '.' | '_' | '-'));
        if reserved || !form || looks_like_addresses(&name) {
            let name: String = name.escape_debug().take(80).collect();
            let rule = "letters, digits, '.', '_' and '-', no address and none of the words that rules use";
            return Err(ConvertError::new("name", format_args!("'{name}' is not usable: {rule}")));
        }
        if message.addresses.is_empty() {
            return Err(ConvertError::new("addresses", "there is none: write for example 10.8.0.0/16"));
        }
        Ok(Self { name, addresses: list("addresses", message.addresses, limits::MAX_RULES, |a| parse("", &a))? })
    }
}

/// Objects by name.
///
/// # Errors
/// The first field that is wrong, such as `objects[0].addresses[2]`, or a name that comes twice.
pub fn objects(messages: Vec<v1::AddressObject>) -> Result<BTreeMap<String, AddressObject>, ConvertError> {
    let mut objects = BTreeMap::new();
    let list = list("objects", messages, limits::MAX_RULES, AddressObject::try_from)?;
    for (n, object) in list.into_iter().enumerate() {
        if let Some(twice) = objects.insert(object.name.clone(), object) {
            let error = format_args!("two objects are named '{}': names are unique", twice.name).to_string();
            return Err(ConvertError::new("name", error).under_index("objects", n));
        }
    }
    Ok(objects)
}
