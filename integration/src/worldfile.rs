//! The world file: what a world consists of, read and checked before anything starts.
//!
//! TOML with unknown keys refused; every complaint carries the file's name and the line.

mod form;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::error::Result;

/// The most hosts a world can have: 10.86.0.1 to 10.86.0.249 (.250 is the controller).
pub const MAX_HOSTS: usize = 249;

/// A checked world file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorldFile {
    /// The controller, or a world without one.
    pub controller: ControllerPart,
    /// The hosts in the file's order; the first has 10.86.0.1.
    pub hosts: Vec<HostPart>,
}

/// The `[controller]` table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControllerPart {
    /// `enabled = false` makes a world without a controller and without defenders.
    pub enabled: bool,
    /// Applied by `cnnfctl settings set KEY VALUE` once the controller answers.
    pub settings: Vec<(String, String)>,
    /// Added to the controller's environment.
    pub env: BTreeMap<String, String>,
}

/// One `[[host]]` table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPart {
    /// Host name: a DNS label.
    pub name: String,
    /// Given to `cnnf-defender enroll --label`.
    pub labels: BTreeMap<String, String>,
    /// Whether a defender runs here.
    pub defender: bool,
    /// Added to the defender's environment.
    pub defender_env: BTreeMap<String, String>,
    /// The services, started in the file's order.
    pub services: Vec<ServicePart>,
}

/// One `[[host.service]]` table. `{dir}` in command, files and env stands for the service's private folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServicePart {
    /// Unit name with its `.service` suffix.
    pub unit: String,
    /// Program and arguments.
    pub command: Vec<String>,
    /// Relative path → content, written into the private folder before the start.
    pub files: BTreeMap<String, String>,
    /// The user it runs as; root when absent.
    pub user: Option<String>,
    /// Added to the unit's environment.
    pub env: BTreeMap<String, String>,
    /// The port that must be bound before the world counts as up.
    pub ready: Option<Port>,
    /// It speaks sd_notify(3) and is ended and started again when it was silent for this long.
    pub watchdog: Option<Duration>,
}

/// A transport port, written `tcp/80` or `udp/53`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Port {
    /// True for UDP, false for TCP.
    pub udp: bool,
    /// 1 to 65535.
    pub number: u16,
}

impl std::fmt::Display for Port {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", if self.udp { "udp" } else { "tcp" }, self.number)
    }
}

/// Reads and checks a world file; `origin` names it in errors.
///
/// # Errors
/// [`crate::Error::Usage`] with origin, line, and what to change.
pub fn parse(text: &str, origin: &str) -> Result<WorldFile> {
    form::parse(text, origin)
}

/// The unit's name with the suffix systemd would add.
pub fn full_unit_name(name: &str) -> String {
    if name.ends_with(".service") { name.to_owned() } else { format!("{name}.service") }
}
