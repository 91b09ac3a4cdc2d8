//! The configuration file, `/etc/cnnf/defender.toml`. Every key has a default; unknown ones are refused.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cnnf_core::failsafe::Failsafes;
use cnnf_core::net::{PortRange, Ports, Protocol};
use cnnf_host::kernel::LabelPlace;
use cnnf_host::observe::containers::Places;
use serde::Deserialize;

use crate::failure::Failure;

/// Where the file is unless another is named.
pub(crate) const DEFAULT_FILE: &str = "/etc/cnnf/defender.toml";
/// The smallest spool that is of use, in bytes.
const SPOOL_MIN: u64 = 64 * 1024;
/// The shortest and the longest trial of a policy, in seconds. A host is never locked out for longer than a minute.
const REVERT_MIN: u64 = 3;
const REVERT_MAX: u64 = 55;

/// What the operator of the host decides.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// Where the key, the last policy and unsent reports are kept.
    pub(crate) state_dir: PathBuf,
    /// Where `status` and `release` reach the running defender.
    pub(crate) socket: PathBuf,
    /// HOST:PORT, if it is not the one of the enrolment.
    pub(crate) controller: Option<String>,
    /// Labels besides those of the enrolment; they replace equal ones.
    pub(crate) labels: BTreeMap<String, String>,
    /// Bytes of unsent reports that are kept, at most.
    pub(crate) spool_bytes: u64,
    /// Whether the kernel names connections by control group where it can. If not, each waits until its owner was looked up.
    pub(crate) stamp_by_cgroup: bool,
    /// Whether the table belongs to this program where the kernel has that (Linux 6.9), so that nobody else can change it.
    pub(crate) own_table: bool,
    /// The first of the 24 bits of conntrack's labels that are left to other software; the other 104 are ours.
    pub(crate) first_free_label_bit: u8,
    /// Seconds after which a policy that newly refuses something is undone, if the controller cannot be reached anew under it. 0: never.
    pub(crate) revert_after: u64,
    /// What always passes.
    pub(crate) failsafe: Failsafe,
    /// How containers are found and named.
    pub(crate) containers: ContainerConfig,
}

/// Where container runtimes keep their files, if that is not where they do by default, and how close to look.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ContainerConfig {
    /// docker's data directories.
    pub(crate) docker: Option<Vec<PathBuf>>,
    /// State directories of containerd's runtime, `…/io.containerd.runtime.v2.task`.
    pub(crate) containerd: Option<Vec<PathBuf>>,
    /// Graph roots and run roots of podman and CRI-O.
    pub(crate) storage: Option<Vec<PathBuf>>,
    /// Whether to enter the network namespaces of containers, to find where they listen. Needs `CAP_SYS_ADMIN`.
    pub(crate) enter_namespaces: bool,
}

impl ContainerConfig {
    /// Where to look for the names of containers.
    pub(crate) fn places(&self) -> Places {
        let usual = Places::default();
        Places {
            docker: self.docker.clone().unwrap_or(usual.docker),
            containerd: self.containerd.clone().unwrap_or(usual.containerd),
            storage: self.storage.clone().unwrap_or(usual.storage),
        }
    }
}

/// Lists such as `["tcp/22", "udp/68"]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Failsafe {
    /// Ports of this host that stay reachable.
    pub(crate) ingress: Option<Vec<String>>,
    /// Ports that this host's programs may always reach. The controller's is always among them.
    pub(crate) egress: Option<Vec<String>>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            state_dir: "/var/lib/cnnf".into(),
            socket: "/run/cnnf/defender.sock".into(),
            controller: None,
            labels: BTreeMap::new(),
            spool_bytes: 64 << 20,
            stamp_by_cgroup: true,
            own_table: true,
            first_free_label_bit: LabelPlace::USUAL,
            revert_after: 45,
            failsafe: Failsafe::default(),
            containers: ContainerConfig::default(),
        }
    }
}

impl Config {
    fn parse(text: &str) -> Result<Self, String> {
        let config: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        if config.spool_bytes < SPOOL_MIN {
            return Err(format!("spool_bytes = {}: use at least {SPOOL_MIN}", config.spool_bytes));
        }
        if config.revert_after != 0 && !(REVERT_MIN..=REVERT_MAX).contains(&config.revert_after) {
            let after = config.revert_after;
            return Err(format!("revert_after = {after}: use {REVERT_MIN} to {REVERT_MAX} seconds, or 0 for never"));
        }
        if LabelPlace::leaving(config.first_free_label_bit).is_none() {
            let first = config.first_free_label_bit;
            return Err(format!("first_free_label_bit = {first}: use 0, 8, 32, 40, 64, 72, 96 or 104"));
        }
        config.failsafes(0)?;
        Ok(config)
    }

    /// Where labels lie in conntrack's bits.
    pub(crate) fn label_place(&self) -> LabelPlace {
        // the number was checked
        LabelPlace::leaving(self.first_free_label_bit).unwrap_or_else(LabelPlace::current)
    }

    /// How long a policy is on trial; none if it is not.
    pub(crate) fn patience(&self) -> Duration {
        Duration::from_secs(self.revert_after)
    }

    /// What always passes, with the controller at `port`.
    ///
    /// # Errors
    /// The list that is wrong, and what would be right.
    pub(crate) fn failsafes(&self, port: u16) -> Result<Failsafes, String> {
        let mut failsafes = Failsafes::with_controller(port);
        let list = |name: &str, texts: &[String]| match Ports::parse(texts) {
            Ok(Ports::Any) => Err(format!("failsafe.{name}: 'any' would switch every rule off: name the ports")),
            Ok(Ports::Only(ranges)) => Ok(ranges),
            Err(error) => Err(format!("failsafe.{name}: {error}")),
        };
        if let Some(texts) = &self.failsafe.ingress {
            failsafes.ingress = Ports::only(list("ingress", texts)?);
        }
        if let Some(texts) = &self.failsafe.egress {
            let controller = PortRange { protocol: Protocol::Tcp, low: port, high: port };
            failsafes.egress = Ports::only(list("egress", texts)?.into_iter().chain([controller]));
        }
        Ok(failsafes)
    }
}

/// Reads a configuration file. Without a name the default one, which may be missing.
///
/// # Errors
/// The file cannot be read, or what is wrong in it, with its line.
pub(crate) fn load(file: Option<&Path>) -> Result<Config, Failure> {
    let path = file.unwrap_or(Path::new(DEFAULT_FILE));
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if file.is_none() && error.kind() == std::io::ErrorKind::NotFound => return Ok(Config::default()),
        Err(error) => return Err(Failure::usage(format_args!("cannot read {}: {error}", path.display()))),
    };
    Config::parse(&text).map_err(|error| Failure::usage(format_args!("{}: {}", path.display(), error.trim_end())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_has_a_default() {
        assert_eq!(Config::parse(""), Ok(Config::default()));
        let config =
            Config::parse("spool_bytes = 1000000\n[labels]\nenv = \"prod\"\n[failsafe]\ningress = [\"tcp/22,2222\"]\n");
        let config = config.expect("good");
        assert_eq!(config.labels["env"], "prod");
        let failsafes = config.failsafes(7443).expect("good");
        assert_eq!(failsafes.ingress.to_texts(), ["tcp/22,2222"]);
        assert!(failsafes.egress.contains(Protocol::Tcp, 7443));
    }

    /// The keys of the packaged file are all there are, and what stands in it is what holds without it.
    #[test]
    fn the_packaged_file_says_what_holds_without_it() {
        let text = include_str!("../../../packaging/defender.toml");
        assert_eq!(Config::parse(text), Ok(Config::default()));
        let shown = text.lines().map(|line| line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')).unwrap_or(""));
        let shown = Config::parse(&shown.collect::<Vec<_>>().join("\n")).expect("good");
        let Config { state_dir, socket, controller, labels, spool_bytes, stamp_by_cgroup, own_table, .. } = &shown;
        let default = Config::default();
        assert_eq!((state_dir, socket), (&default.state_dir, &default.socket));
        assert_eq!((*spool_bytes, *stamp_by_cgroup), (default.spool_bytes, default.stamp_by_cgroup));
        assert_eq!(*own_table, default.own_table);
        assert_eq!(shown.revert_after, default.revert_after);
        assert_eq!(shown.first_free_label_bit, default.first_free_label_bit);
        // examples, as there is nothing by default
        assert!(controller.is_some() && labels.len() == 1);
        assert_eq!(shown.failsafes(7443), default.failsafes(7443));
        let places = |config: &Config| format!("{:?}", config.containers.places());
        assert_eq!(places(&shown), places(&default));
    }

    #[test]
    fn bits_of_labels_are_left_by_the_upper_or_lower_part_of_a_word() {
        assert!(Config::parse("first_free_label_bit = 0").is_ok());
        assert!(Config::parse("first_free_label_bit = 16").is_err_and(|error| error.contains("0, 8, 32")));
    }

    #[test]
    fn the_controller_is_always_reachable() {
        let config = Config::parse("[failsafe]\negress = []\n");
        assert!(config.is_err(), "an empty list is a slip, not a wish");
        let config = Config::parse("[failsafe]\negress = [\"udp/53\"]\n").expect("good");
        assert!(config.failsafes(7443).expect("good").egress.contains(Protocol::Tcp, 7443));
    }

    #[test]
    fn mistakes_are_named_with_their_place() {
        for (text, parts) in [
            ("revert_after = 300\n", &["revert_after = 300", "3 to 55 seconds"][..]),
            ("spool_bytes = 1\n", &["spool_bytes", "at least"][..]),
            ("\nspool_byte = 100000\n", &["line 2", "spool_byte", "unknown field"]),
            ("[failsafe]\ningress = [\"tcp/70000\"]\n", &["failsafe.ingress", "'70000' is not a port"]),
            ("[failsafe]\negress = [\"any\"]\n", &["failsafe.egress", "name the ports"]),
            ("state_dir = 5\n", &["line 1", "state_dir"]),
        ] {
            let error = Config::parse(text).expect_err(text);
            assert!(parts.iter().all(|part| error.contains(part)), "{error}");
        }
    }
}
