//! Rules and address objects, as an operator writes them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use super::rules::Rules;
use crate::glob::glob;
use crate::id::ServiceKey;
use crate::identity::Definition;
use crate::label::Labels;
use crate::model::{Model, Phase};
use crate::net::{AddrRange, ParseError, Ports};
use crate::time::Timestamp;

/// A rule's number, given by the controller and never used again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct RuleId(pub u64);

/// How often a rule decided on a host since that last said so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuleHits {
    /// Which.
    pub rule: RuleId,
    /// Connections.
    pub connections: u64,
    /// When that was last seen to have grown.
    pub last: Timestamp,
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal,)+ } default $default:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub enum $name { $($(#[$vdoc])* $variant,)+ }

        impl $name {
            /// Every value, weakest first.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The word in policy files, on the wire and on the command line.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }

        impl Default for $name {
            fn default() -> Self { Self::$default }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str(self.as_str()) }
        }

        impl FromStr for $name {
            type Err = ParseError;
            fn from_str(text: &str) -> Result<Self, ParseError> {
                match text {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(ParseError(format!("'{text}' is none of: {}", [$($word),+].join(", ")))),
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = ParseError;
            fn try_from(text: String) -> Result<Self, ParseError> { text.parse() }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self { value.as_str().to_owned() }
        }
    };
}
pub(crate) use words;

words! {
    /// What happens to a connection. Ordered by strictness.
    Effect {
        /// It passes.
        Allow = "allow",
        /// It passes and an event says so.
        Alert = "alert",
        /// It is refused and an event says so.
        Prevent = "prevent",
    } default Allow
}

words! {
    /// Whether prevent is carried out. Ordered by strictness.
    Mode {
        /// Prevent is judged and reported as "would prevent"; nothing is dropped.
        Observe = "observe",
        /// Prevent is carried out.
        Enforce = "enforce",
    } default Observe
}

words! {
    /// What happens to a first packet that needs user space when user space cannot answer.
    OnFailure {
        /// It passes, and is counted.
        Open = "open",
        /// It is refused.
        Closed = "closed",
    } default Open
}

/// Which services a rule's end means: a key, or a glob over keys with `*`. A glob never means `kernel`, `unknown` or `ambiguous`:
/// these are meant only by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct ServicePattern(pub String);

impl ServicePattern {
    /// Whether `key` is meant. `*` stands for any run of characters, also none.
    #[must_use]
    pub fn matches(&self, key: &ServiceKey) -> bool {
        means(&self.0, key)
    }

    /// Whether this glob means every named service that `narrow` means. A star of `narrow` stands for anything, so only a star here can
    /// take it.
    pub(super) fn spans(&self, narrow: &Self) -> bool {
        glob(self.0.as_bytes(), narrow.0.as_bytes())
    }

    /// Exactly `key`.
    #[must_use]
    pub fn of(key: &ServiceKey) -> Self {
        Self(key.as_str().to_owned())
    }

    /// Whether this is a glob rather than one key.
    #[must_use]
    pub fn is_glob(&self) -> bool {
        is_glob(&self.0)
    }
}

/// Whether `key` is what a pattern of this text means.
pub(super) fn means(pattern: &str, key: &ServiceKey) -> bool {
    pattern == key.as_str() || (key.is_named() && glob(pattern.as_bytes(), key.as_str().as_bytes()))
}

/// Whether a pattern of this text is a glob rather than one key.
pub(super) fn is_glob(pattern: &str) -> bool {
    pattern.contains('*')
}

/// One end of a rule.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum End {
    /// Everything, also kernel, unknown and ambiguous traffic.
    Any,
    /// Services on hosts with these labels.
    Service {
        /// Which services.
        pattern: ServicePattern,
        /// Labels that the service's host has; empty for every host.
        labels: Labels,
    },
    /// A declared address object, by name.
    Object(String),
    /// Addresses.
    Addresses(Vec<AddrRange>),
}

impl End {
    /// Whether this end is a service.
    #[must_use]
    pub fn is_service(&self) -> bool {
        matches!(self, Self::Service { .. })
    }
}

/// A declared network: a name for addresses.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct AddressObject {
    /// Unique name.
    pub name: String,
    /// Its addresses, networks and ranges.
    pub addresses: Vec<AddrRange>,
}

/// A rule. Rules are ordered; the first that matches decides.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Rule {
    /// Number, 0 before the controller has given one.
    pub id: RuleId,
    /// Unique name.
    pub name: String,
    /// Whether it counts.
    pub enabled: bool,
    /// The client end.
    pub source: End,
    /// The server end.
    pub destination: End,
    /// Server ports.
    pub ports: Ports,
    /// What happens.
    pub effect: Effect,
    /// What happens when user space cannot answer.
    pub on_failure: OnFailure,
    /// A learned edge passes although the rule matches.
    pub learned_allow: bool,
    /// From then on a prevent is an alert and an allow or alert matches nothing.
    pub expires_at: Option<Timestamp>,
    /// Who answers for it.
    pub owner: String,
    /// The ticket behind it.
    pub ticket: String,
    /// Free text.
    pub notes: String,
    /// The revision of the rules in which it last changed.
    pub revision: u64,
}

/// Why a rule is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// Neither end is a service.
    #[error("rule '{0}' has no service on either side: make its source or destination a service such as unit:nginx")]
    NoService(String),
    /// An end names an address object that is not there.
    #[error("rule '{0}' names the address object '{1}', which does not exist: add it with 'cnnfctl objects add'")]
    NoObject(String, String),
    /// The name is empty, too long or has control characters.
    #[error("rule name '{0}' is not usable: give 1 to 200 printable characters")]
    Name(String),
    /// Two rules of one name.
    #[error("two rules are named '{0}': names are unique")]
    Twice(String),
}

impl Rule {
    /// A rule about all ports, enabled, open on failure, without end, owner or notes, that has not been in a revision yet.
    #[must_use]
    pub fn new(id: RuleId, name: impl Into<String>, source: End, destination: End, effect: Effect) -> Self {
        Self {
            id,
            name: name.into(),
            enabled: true,
            source,
            destination,
            ports: Ports::Any,
            effect,
            on_failure: OnFailure::Open,
            learned_allow: false,
            expires_at: None,
            owner: String::new(),
            ticket: String::new(),
            notes: String::new(),
            revision: 0,
        }
    }

    /// Checks what can be checked without the rest of the world.
    ///
    /// # Errors
    /// The first thing that is wrong, and what to do.
    pub fn check(&self, objects: &BTreeMap<String, AddressObject>) -> Result<(), RuleError> {
        if self.name.is_empty() || self.name.chars().count() > 200 || self.name.chars().any(char::is_control) {
            return Err(RuleError::Name(self.name.escape_debug().take(80).collect()));
        }
        if !self.source.is_service() && !self.destination.is_service() {
            return Err(RuleError::NoService(self.name.clone()));
        }
        for end in [&self.source, &self.destination] {
            if let End::Object(object) = end
                && !objects.contains_key(object)
            {
                return Err(RuleError::NoObject(self.name.clone(), object.clone()));
            }
        }
        Ok(())
    }

    /// The effect at `now`: `None` if the rule does not count, and an expired prevent is an alert.
    #[must_use]
    pub fn effect_at(&self, now: Timestamp) -> Option<Effect> {
        let expired = self.expires_at.is_some_and(|at| at <= now);
        match (self.enabled, expired, self.effect) {
            (false, ..) => None,
            (true, false, effect) => Some(effect),
            (true, true, Effect::Prevent) => Some(Effect::Alert),
            (true, true, Effect::Allow | Effect::Alert) => None,
        }
    }
}

/// Everything that decides: the operator's rules and objects, what was learned, and the settings that judge it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicySet {
    /// Number of the rules' newest change.
    pub revision: u64,
    /// In order.
    pub rules: Rules,
    /// By name.
    pub objects: BTreeMap<String, AddressObject>,
    /// Learned behaviour, by service.
    pub models: BTreeMap<ServiceKey, Model>,
    /// What an anomaly does where the service's own model does not say.
    pub anomaly_effect: Effect,
    /// Whether models are judged at all.
    pub learning_off: bool,
    /// Modes of services, where they are stricter or looser than their hosts'.
    pub service_modes: BTreeMap<ServiceKey, Mode>,
    /// What services are called; the first that applies decides.
    pub definitions: Vec<Definition>,
}

impl Default for PolicySet {
    /// No rules; anomalies alert.
    fn default() -> Self {
        Self {
            revision: 0,
            rules: Rules::default(),
            objects: BTreeMap::new(),
            models: BTreeMap::new(),
            anomaly_effect: Effect::Alert,
            learning_off: false,
            service_modes: BTreeMap::new(),
            definitions: Vec::new(),
        }
    }
}

impl PolicySet {
    /// The addresses of an end that is no service; `None` for services and `Any`. An object that is gone has none.
    pub(super) fn addresses<'a>(&'a self, end: &'a End) -> Option<&'a [AddrRange]> {
        match end {
            End::Any | End::Service { .. } => None,
            End::Object(name) => Some(self.objects.get(name).map_or(&[], |object| &object.addresses)),
            End::Addresses(ranges) => Some(ranges),
        }
    }

    /// What the model of `key` does about an anomaly; `None` if it does not object to any: it is not active, or learning is off.
    pub(super) fn judges(&self, key: &ServiceKey) -> Option<Effect> {
        let model =
            self.models.get(key).filter(|m| !self.learning_off && key.is_named() && m.phase == Phase::Active)?;
        Some(model.anomaly_effect.unwrap_or(self.anomaly_effect)).filter(|effect| *effect != Effect::Allow)
    }

    /// The mode in force for `service` on a host in `host_mode`: the less strict of both.
    #[must_use]
    pub fn mode_of(&self, host_mode: Mode, service: Option<&ServiceKey>) -> Mode {
        let own = service.and_then(|key| self.service_modes.get(key)).copied().unwrap_or(Mode::Enforce);
        host_mode.min(own)
    }

    /// The services of `keys` that `text` names: a key, a glob, or a short name.
    #[must_use]
    pub fn named<'a>(text: &str, keys: impl IntoIterator<Item = &'a ServiceKey>) -> BTreeSet<&'a ServiceKey> {
        let pattern = ServicePattern(text.to_owned());
        keys.into_iter().filter(|key| key.as_str() == text || key.name() == text || pattern.matches(key)).collect()
    }
}
