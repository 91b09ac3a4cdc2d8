//! What a channel is: read from a message and checked, kept with its secrets, shown without.

use std::fmt;

use cnnf_core::access::check_name;
use cnnf_core::event::EventKind;
use cnnf_core::label::Labels;
use cnnf_rpc::convert::ConvertError;
use cnnf_rpc::limits;
use cnnf_rpc::v1;
use serde::{Deserialize, Serialize};

use super::rate::Rate;
use super::route::Route;
use super::target::Target;

/// What stands in a listing for a secret that there is; written back, the secret stays.
pub(crate) const KEPT: &str = "(kept)";
/// Kinds, rules or services of a route at most.
const MAX_ENTRIES: usize = 64;

/// A text that is never shown.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Secret(pub(crate) String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.shown())
    }
}

impl Secret {
    /// Whether there is one, and nothing else of it.
    pub(super) fn shown(&self) -> &'static str {
        if self.0.is_empty() { "" } else { KEPT }
    }

    /// What is given, or what there was, if that goes where it went.
    pub(super) fn read(field: &str, given: String, old: Option<&Self>, same_place: bool) -> Result<Self, ConvertError> {
        if given != KEPT {
            return Ok(Self(given));
        }
        match old {
            Some(old) if same_place => Ok(old.clone()),
            Some(_) => {
                let error =
                    "was for another place: write it again, so that nobody learns it by naming a place of their own";
                Err(ConvertError::new(field, error))
            }
            None => Err(ConvertError::new(field, format_args!("there is none to be {KEPT}: write it"))),
        }
    }
}

/// A channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Channel {
    pub(crate) disabled: bool,
    pub(crate) route: Route,
    pub(crate) rate: Rate,
    pub(crate) to: Target,
}

impl Channel {
    /// Reads and checks one; `old` is what it replaces.
    ///
    /// # Errors
    /// Names the field and what would be right.
    pub(crate) fn read(message: v1::Channel, old: Option<&Self>) -> Result<(String, Self), ConvertError> {
        let v1::Channel { name, disabled, route, rate, to, .. } = message;
        check_name(&name).map_err(|error| ConvertError::new("name", error))?;
        let to = to.ok_or_else(|| ConvertError::new("to", "is missing: one of webhook, slack, syslog, cef, email"))?;
        let to = Target::read(to, old.map(|old| &old.to))?;
        let rate = match rate {
            None => to.usual_rate(),
            Some(v1::ChannelRate { messages: 0, .. }) => Rate { messages: 0, seconds: 0 },
            Some(v1::ChannelRate { messages, seconds: seconds @ 1..=86_400 }) if messages <= 10_000 => {
                Rate { messages, seconds }
            }
            Some(_) => {
                return Err(ConvertError::new("rate", "must be 0 to 10000 messages in 1 to 86400 seconds"));
            }
        };
        let route = read_route(route.unwrap_or_default()).map_err(|error| error.under("route"))?;
        Ok((name, Self { disabled, route, rate, to }))
    }

    /// As it is shown: without its secrets.
    pub(crate) fn show(&self, name: &str) -> v1::Channel {
        let Route { kinds, rules, services, labels } = &self.route;
        let kinds = kinds.iter().map(ToString::to_string).collect();
        let route =
            v1::ChannelRoute { kinds, rules: rules.clone(), services: services.clone(), labels: labels.0.clone() };
        v1::Channel {
            name: name.to_owned(),
            disabled: self.disabled,
            route: Some(route),
            rate: Some(v1::ChannelRate { messages: self.rate.messages, seconds: self.rate.seconds }),
            to: Some(self.to.show()),
            ..v1::Channel::default()
        }
    }
}

fn read_route(route: v1::ChannelRoute) -> Result<Route, ConvertError> {
    let v1::ChannelRoute { kinds, rules, services, labels } = route;
    for (field, count) in [("kinds", kinds.len()), ("rules", rules.len()), ("services", services.len())] {
        if count > MAX_ENTRIES {
            return Err(ConvertError::new(field, format_args!("are too many: at most {MAX_ENTRIES}")));
        }
    }
    let known: Result<Vec<EventKind>, ConvertError> = kinds
        .iter()
        .enumerate()
        .map(|(at, kind)| kind.parse().map_err(|error| ConvertError::new("", error).under_index("kinds", at)))
        .collect();
    for (field, list) in [("rules", &rules), ("services", &services)] {
        let bad = |text: &&String| text.is_empty() || text.len() > limits::MAX_TEXT;
        if let Some(at) = list.iter().position(|text| bad(&text)) {
            return Err(
                ConvertError::new("", "is empty or too long: write a name, with * for anything").under_index(field, at)
            );
        }
    }
    let long = |text: &String| text.len() > limits::MAX_LABEL;
    if labels.len() > limits::MAX_LABELS || labels.iter().any(|(key, value)| key.is_empty() || long(key) || long(value))
    {
        return Err(ConvertError::new("labels", "are too many or too long, or one has no key"));
    }
    Ok(Route { kinds: known?, rules, services, labels: Labels(labels) })
}
