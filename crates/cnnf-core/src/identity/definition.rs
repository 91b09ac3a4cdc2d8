//! What an operator calls services: conditions and a name.

use std::collections::BTreeSet;

use super::naming::Program;
use crate::glob::glob;
use crate::id::ServiceKey;
use crate::label::Labels;
use crate::net::{Ports, Protocol};

/// The longest name, in characters.
const NAME_MAX: usize = 100;
/// The longest condition, in characters.
const CONDITION_MAX: usize = 1000;
/// Conditions of one kind, at most.
const CONDITIONS_MAX: usize = 100;
/// Units that run programs of others.
const RUN_PROGRAMS: [&str; 8] = ["session-1.scope", "user@1000", "cron", "crond", "cronie", "anacron", "atd", "fcron"];
/// Definitions, at most: each host that they fit gets them all.
pub const MAX_DEFINITIONS: usize = 500;
/// Bytes of all conditions together, at most: a host's policy goes in one message.
const BYTES_MAX: usize = 512 << 10;

/// A service definition: whatever meets its conditions is called `svc:NAME`.
///
/// Of the conditions of one kind one must hold, of each kind that has any; host labels must all be there. A `*` in a condition stands for
/// any run of characters, also none. Definitions are ordered: the first that applies decides.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Definition {
    /// The name, unique: letters, digits and `- _ . @ +`.
    pub name: String,
    /// Units without `.service`, or scopes with `.scope`.
    pub units: BTreeSet<String>,
    /// Paths of the executable, or of the script, module or jar that an interpreter runs.
    pub executables: BTreeSet<String>,
    /// Parts of the command line, its arguments joined by spaces.
    pub command_lines: BTreeSet<String>,
    /// Names or numbers of users; no `*`.
    pub users: BTreeSet<String>,
    /// Where the service listens; [`Ports::Any`] is no condition.
    pub ports: Ports,
    /// Labels that the host has.
    pub labels: Labels,
}

/// Why a definition is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DefinitionError {
    /// Not a name.
    #[error(
        "'{0}' is no name for a service: give 1 to {NAME_MAX} letters, digits and - _ . @ +, beginning with a letter or a digit"
    )]
    Name(String),
    /// A word that means something else.
    #[error("a service cannot be named '{0}': the word means something else in rules")]
    Reserved(String),
    /// Nothing but a name, or host labels.
    #[error(
        "the definition of '{0}' has no condition: say which unit, executable, command line, user or port it means"
    )]
    NoCondition(String),
    /// A condition that no text can meet, or that is unreadable.
    #[error("the {kind} '{text}' is not usable: {why}")]
    Condition {
        /// Of which kind.
        kind: &'static str,
        /// As it was written, escaped.
        text: String,
        /// And what to do.
        why: &'static str,
    },
    /// More than is sensible.
    #[error(
        "the definition of '{0}' has more than {CONDITIONS_MAX} conditions of one kind: use * or several definitions"
    )]
    Many(String),
    /// Ports without listeners.
    #[error("a service listens on tcp, udp or sctp ports: write for example tcp/5432, not '{0}'")]
    Ports(String),
    /// Two definitions of one name.
    #[error("there are two definitions of '{0}': names are unique")]
    Twice(String),
    /// Too many of them.
    #[error(
        "these are more definitions, or longer ones, than a host can be sent: at most {MAX_DEFINITIONS} and {BYTES_MAX} bytes"
    )]
    Full,
}

impl Definition {
    /// The key that it gives.
    #[must_use]
    pub fn key(&self) -> ServiceKey {
        ServiceKey::defined(&self.name)
    }

    /// Checks it, and takes `.service` off its units.
    ///
    /// # Errors
    /// The first thing that is wrong, and what to do.
    pub fn check(mut self) -> Result<Self, DefinitionError> {
        check_name(&self.name)?;
        self.units = self.units.into_iter().map(|u| u.strip_suffix(".service").unwrap_or(&u).to_owned()).collect();
        for (kind, texts) in self.kinds() {
            if texts.len() > CONDITIONS_MAX {
                return Err(DefinitionError::Many(self.name.clone()));
            }
            for text in texts {
                let Err(why) = check_condition(kind, text) else { continue };
                return Err(DefinitionError::Condition { kind, text: escaped(text), why });
            }
        }
        if let Ports::Only(ranges) = &self.ports
            && (ranges.is_empty() || ranges.iter().any(|range| !range.protocol.has_ports()))
        {
            return Err(DefinitionError::Ports(self.ports.to_string()));
        }
        if self.ports == Ports::Any && self.kinds().iter().all(|(_, texts)| texts.is_empty()) {
            return Err(DefinitionError::NoCondition(self.name));
        }
        Ok(self)
    }

    /// Checks that they can stand beside each other.
    ///
    /// # Errors
    /// Two of one name, or more than can be sent.
    pub fn check_all(all: &[Self]) -> Result<(), DefinitionError> {
        let bytes: usize = all.iter().flat_map(Self::kinds).flat_map(|(_, texts)| texts).map(String::len).sum();
        if all.len() > MAX_DEFINITIONS || bytes > BYTES_MAX {
            return Err(DefinitionError::Full);
        }
        let mut names = BTreeSet::new();
        match all.iter().find(|definition| !names.insert(&definition.name)) {
            Some(twice) => Err(DefinitionError::Twice(twice.name.clone())),
            None => Ok(()),
        }
    }

    fn kinds(&self) -> [(&'static str, &BTreeSet<String>); 4] {
        [
            ("unit", &self.units),
            ("executable", &self.executables),
            ("command line", &self.command_lines),
            ("user", &self.users),
        ]
    }

    /// Whether it has to see a process to know whether it applies.
    #[must_use]
    pub fn asks_for_a_process(&self) -> bool {
        !self.executables.is_empty() || !self.command_lines.is_empty() || !self.users.is_empty()
    }

    /// Whether it asks where a service listens.
    #[must_use]
    pub fn asks_for_ports(&self) -> bool {
        self.ports != Ports::Any
    }

    /// Whether a group of this unit can be meant; `None` for a group of no unit.
    #[must_use]
    pub fn fits_unit(&self, unit: Option<&str>) -> bool {
        self.units.is_empty() || unit.is_some_and(|unit| any(&self.units, unit))
    }

    /// Whether its units may be ones that run programs of others, which have names of their own.
    #[must_use]
    pub fn may_mean_programs(&self) -> bool {
        let may = |unit: &String| {
            unit.contains(".scope") || unit.starts_with("user@") || RUN_PROGRAMS.iter().any(|name| means(unit, name))
        };
        self.units.is_empty() || self.units.iter().any(may)
    }

    /// Whether a service that listens on `port` is meant, as far as its ports tell.
    #[must_use]
    pub fn names_port(&self, protocol: Protocol, port: u16) -> bool {
        self.asks_for_ports() && self.ports.contains(protocol, port)
    }

    /// Whether a process is meant, as far as its executable, command line and user tell; `None` if what that depends on could not be read.
    #[must_use]
    pub fn fits_process(&self, process: &Program<'_>) -> Option<bool> {
        if !self.users.is_empty() && !self.fits_user(process.uid, process.user) {
            return Some(false);
        }
        if !self.executables.is_empty()
            && !process.exe().is_empty()
            && !self.fits_program(process.exe(), &process.program())
        {
            return Some(false);
        }
        if !self.command_lines.is_empty()
            && !process.cmdline.is_empty()
            && !self.fits_command_line(&process.cmdline.join(" "))
        {
            return Some(false);
        }
        let read = (self.executables.is_empty() || !process.exe().is_empty())
            && (self.command_lines.is_empty() || !process.cmdline.is_empty());
        read.then_some(true)
    }

    /// Whether an executable, or what an interpreter runs, is meant.
    #[must_use]
    pub fn fits_program(&self, exe: &str, program: &ServiceKey) -> bool {
        let runs = program.as_str().strip_prefix("exe:");
        self.executables.is_empty()
            || any(&self.executables, exe)
            || runs.is_some_and(|runs| any(&self.executables, runs))
    }

    fn fits_command_line(&self, line: &str) -> bool {
        self.command_lines.iter().any(|part| glob(format!("*{part}*").as_bytes(), line.as_bytes()))
    }

    fn fits_user(&self, uid: u32, name: &str) -> bool {
        self.users.contains(&uid.to_string()) || (!name.is_empty() && self.users.contains(name))
    }
}

fn any(patterns: &BTreeSet<String>, text: &str) -> bool {
    patterns.iter().any(|pattern| means(pattern, text))
}

fn means(pattern: &str, text: &str) -> bool {
    glob(pattern.as_bytes(), text.as_bytes())
}

fn check_name(name: &str) -> Result<(), DefinitionError> {
    let usable = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '@' | '+');
    if !name.starts_with(|c: char| c.is_ascii_alphanumeric()) || name.len() > NAME_MAX || !name.chars().all(usable) {
        return Err(DefinitionError::Name(escaped(name)));
    }
    if matches!(name, "any" | "kernel" | "unknown" | "ambiguous" | "private" | "internet") {
        return Err(DefinitionError::Reserved(name.to_owned()));
    }
    Ok(())
}

fn check_condition(kind: &str, text: &str) -> Result<(), &'static str> {
    if text.trim().is_empty() {
        return Err("it is empty");
    }
    if text.chars().count() > CONDITION_MAX {
        return Err("it is longer than 1000 characters");
    }
    if text.chars().any(char::is_control) {
        return Err("it has control characters");
    }
    match kind {
        "unit" if text.contains('/') => Err("a unit is a name such as postgresql@*, not a path"),
        "unit" if [".socket", ".slice", ".target", ".timer"].iter().any(|suffix| text.ends_with(suffix)) => {
            Err("only services and scopes have processes")
        }
        "executable" if !text.starts_with(['/', '*']) && !text.contains(' ') => {
            Err("write the whole path, such as /usr/sbin/nginx, or begin with *")
        }
        "user" if text.contains(['*', ':', '/']) => Err("a user is one name or one number"),
        "command line" if text.bytes().all(|c| c == b'*') => Err("it means every command line"),
        _ => Ok(()),
    }
}

fn escaped(text: &str) -> String {
    text.escape_debug().take(80).collect()
}
