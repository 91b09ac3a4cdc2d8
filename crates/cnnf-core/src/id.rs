//! Names of hosts and services.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The identity of a host: given by the controller at enrolment and carried in the defender's certificate.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct HostId(pub Arc<str>);

impl HostId {
    /// Wraps an id.
    #[must_use]
    pub fn new(id: impl AsRef<str>) -> Self {
        Self(Arc::from(id.as_ref()))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for HostId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What decided a service's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ServiceKind {
    /// `svc:NAME`, an operator's definition.
    Defined,
    /// `container:NAME`, a container's image or name.
    Container,
    /// `unit:NAME`, a systemd service unit without its `.service` suffix.
    Unit,
    /// `exe:PATH`, a program outside any service unit.
    Program,
    /// Traffic that belongs to no socket of a process.
    Kernel,
    /// Traffic whose owner could not be found. Never guessed.
    Unknown,
    /// Traffic of a socket that several services hold.
    Ambiguous,
}

/// The name of a service: stable over addresses, hosts and instances.
///
/// Text form: `svc:NAME`, `container:NAME`, `unit:NAME`, `exe:PATH`, `kernel`, `unknown` or `ambiguous`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ServiceKey(Arc<str>);

/// The longest key that is accepted, in bytes; longer names are cut by whoever observes them.
pub const MAX_KEY_LEN: usize = 512;

/// Why a text is not a service key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The text has none of the known prefixes.
    #[error("'{0}' is not a service key: use unit:NAME, exe:PATH, container:NAME or svc:NAME")]
    Prefix(String),
    /// The text is longer than [`MAX_KEY_LEN`] or has an empty name.
    #[error("a service key has 1 to {MAX_KEY_LEN} bytes after its prefix")]
    Length,
}

impl ServiceKey {
    /// `unit:NAME`; `name` without `.service`. Overlong names are cut at a character boundary.
    #[must_use]
    pub fn unit(name: &str) -> Self {
        Self::build("unit:", name)
    }

    /// `exe:PATH`.
    #[must_use]
    pub fn program(path: &str) -> Self {
        Self::build("exe:", path)
    }

    /// `container:NAME`.
    #[must_use]
    pub fn container(name: &str) -> Self {
        Self::build("container:", name)
    }

    /// `svc:NAME`.
    #[must_use]
    pub fn defined(name: &str) -> Self {
        Self::build("svc:", name)
    }

    /// `kernel`.
    #[must_use]
    pub fn kernel() -> Self {
        Self(Arc::from("kernel"))
    }

    /// `unknown`.
    #[must_use]
    pub fn unknown() -> Self {
        Self(Arc::from("unknown"))
    }

    /// `ambiguous`.
    #[must_use]
    pub fn ambiguous() -> Self {
        Self(Arc::from("ambiguous"))
    }

    fn build(prefix: &str, name: &str) -> Self {
        let room = MAX_KEY_LEN - prefix.len();
        let mut end = name.len().min(room);
        while !name.is_char_boundary(end) {
            end -= 1;
        }
        Self(Arc::from(format!("{prefix}{}", &name[..end])))
    }

    /// The text form.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What decided the key.
    #[must_use]
    pub fn kind(&self) -> ServiceKind {
        match self.0.split_once(':').map_or(&*self.0, |(prefix, _)| prefix) {
            "svc" => ServiceKind::Defined,
            "container" => ServiceKind::Container,
            "unit" => ServiceKind::Unit,
            "exe" => ServiceKind::Program,
            "kernel" => ServiceKind::Kernel,
            "ambiguous" => ServiceKind::Ambiguous,
            _ => ServiceKind::Unknown,
        }
    }

    /// Whether this is a named service: one that has a model and that a rule may name.
    #[must_use]
    pub fn is_named(&self) -> bool {
        !matches!(self.kind(), ServiceKind::Kernel | ServiceKind::Unknown | ServiceKind::Ambiguous)
    }

    /// [`ServiceKey::name`] for people: a unit's name without systemd's escapes (systemd.unit(5), "String Escaping for Inclusion in Unit
    /// Names"), where that gives text that can be shown.
    #[must_use]
    pub fn display_name(&self) -> String {
        let name = self.name();
        match self.kind() {
            ServiceKind::Unit => unescaped(name).unwrap_or_else(|| name.to_owned()),
            _ => name.to_owned(),
        }
    }

    /// The short name, as rules may write it: `nginx`, `curl`, `postgresql@15-main`.
    #[must_use]
    pub fn name(&self) -> &str {
        let rest = self.0.split_once(':').map_or(&*self.0, |(_, rest)| rest);
        match self.kind() {
            ServiceKind::Program => rest.rsplit('/').find(|part| !part.is_empty()).unwrap_or(rest),
            _ => rest,
        }
    }
}

/// With `\\xNN` as the byte that it stands for; `None` if that is no text or has control characters.
fn unescaped(name: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some(at) = rest.find("\\x") {
        bytes.extend_from_slice(&rest.as_bytes()[..at]);
        bytes.push(u8::from_str_radix(rest.get(at + 2..at + 4)?, 16).ok()?);
        rest = &rest[at + 4..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8(bytes).ok().filter(|text| !text.chars().any(char::is_control))
}

impl fmt::Display for ServiceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ServiceKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        if matches!(text, "kernel" | "unknown" | "ambiguous") {
            return Ok(Self(Arc::from(text)));
        }
        match text.split_once(':') {
            Some(("svc" | "container" | "unit" | "exe", rest)) => {
                if rest.is_empty() || text.len() > MAX_KEY_LEN {
                    Err(KeyError::Length)
                } else {
                    Ok(Self(Arc::from(text)))
                }
            }
            _ => Err(KeyError::Prefix(text.chars().take(80).collect())),
        }
    }
}

impl TryFrom<String> for ServiceKey {
    type Error = KeyError;
    fn try_from(text: String) -> Result<Self, KeyError> {
        text.parse()
    }
}

impl From<ServiceKey> for String {
    fn from(key: ServiceKey) -> Self {
        key.0.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_round_trip_and_name_themselves() {
        for (text, kind, name) in [
            ("unit:nginx", ServiceKind::Unit, "nginx"),
            ("unit:postgresql@15-main", ServiceKind::Unit, "postgresql@15-main"),
            ("exe:/usr/bin/curl", ServiceKind::Program, "curl"),
            ("container:redis:7", ServiceKind::Container, "redis:7"),
            ("svc:shop", ServiceKind::Defined, "shop"),
            ("kernel", ServiceKind::Kernel, "kernel"),
            ("unknown", ServiceKind::Unknown, "unknown"),
        ] {
            let key: ServiceKey = text.parse().expect(text);
            assert_eq!((key.as_str(), key.kind(), key.name()), (text, kind, name));
        }
    }

    #[test]
    fn people_read_names_without_escapes() {
        for (name, shown) in [
            ("nginx", "nginx"),
            (r"foo@a\x2db", "foo@a-b"),
            (r"caf\xc3\xa9", "caf\u{e9}"),
            (r"a\x1b[31m", r"a\x1b[31m"),
            (r"a\xff", r"a\xff"),
            (r"a\x2", r"a\x2"),
            (r"a\xzz", r"a\xzz"),
        ] {
            assert_eq!(ServiceKey::unit(name).display_name(), shown);
        }
        assert_eq!(ServiceKey::program(r"/opt/a\x2db").display_name(), r"a\x2db", "a program's name is its own");
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "nginx", "unit:", "file:/x", "Kernel"] {
            assert!(text.parse::<ServiceKey>().is_err(), "{text}");
        }
    }

    #[test]
    fn overlong_names_are_cut_at_a_character() {
        let key = ServiceKey::program(&"ä".repeat(2000));
        assert!(key.as_str().len() <= MAX_KEY_LEN);
        assert_eq!(key.as_str().parse::<ServiceKey>(), Ok(key.clone()));
    }
}
