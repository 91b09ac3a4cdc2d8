//! What a node's init is told: written by `up`, read once by the init.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result, Tried};
use crate::worldfile::Port;

/// Where a node finds its own folder of the world.
pub(crate) const HOME: &str = "/run/lab";
/// Where a node finds the project's programs.
pub(crate) const PROGRAMS: &str = "/run/lab-bin";
/// The search path of everything that runs in a node.
pub(crate) const SEARCH_PATH: &str = "/run/lab-bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// One node: a host, the controller or the bridge.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Plan {
    /// Host name.
    pub(crate) name: String,
    /// The node's folder as the outside sees it.
    pub(crate) home: PathBuf,
    /// Folder of the project's programs on the outside.
    pub(crate) programs: PathBuf,
    /// Outside folders that must be there under the same path (the controller's data).
    pub(crate) keep: Vec<PathBuf>,
    /// The Debian tree it boots; without one it sees the machine's files and runs the lab's init.
    pub(crate) tree: Option<PathBuf>,
    /// Content of /etc/hosts.
    pub(crate) etc_hosts: String,
    /// Sysctls as (path below /proc/sys, value), set before any interface exists; refused ones are left.
    pub(crate) sysctls: Vec<(String, String)>,
    /// The units it supervises.
    pub(crate) units: Vec<UnitPlan>,
}

impl Plan {
    /// Reads the plan that `up` wrote.
    pub(crate) fn read(path: &Path) -> Result<Plan> {
        let text = std::fs::read_to_string(path).tried(|| format!("cannot read {}", path.display()))?;
        serde_json::from_str(&text).map_err(|error| Error::Failed(format!("{} is damaged: {error}", path.display())))
    }
}

/// One supervised unit.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct UnitPlan {
    /// Name with suffix.
    pub(crate) name: String,
    /// Program and arguments.
    pub(crate) command: Vec<String>,
    /// Added to the environment.
    pub(crate) env: BTreeMap<String, String>,
    /// The user it runs as.
    pub(crate) user: Option<String>,
    /// Working folder.
    pub(crate) folder: PathBuf,
    /// The port that makes it ready.
    pub(crate) ready: Option<Port>,
    /// For units that speak sd_notify(3): how long it may be silent once it has begun to send WATCHDOG=1.
    pub(crate) watchdog_ms: Option<u64>,
}

/// A service's private folder as the host sees it.
pub(crate) fn service_folder(unit: &str) -> PathBuf {
    Path::new(HOME).join("services").join(unit)
}
