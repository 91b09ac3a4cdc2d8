//! Speaking to a world that is up: cnnfctl, the units, the state of it all, the logs.

use std::fs;
use std::io::Write;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde::Serialize;

use crate::bed::Bed;
use crate::cgroup;
use crate::enter::{init_pid, inner_pid};
use crate::error::{Error, Result, Tried};
use crate::init::protocol::{Request, UnitReport, ask, report};
use crate::layout::{State, WorldDir};
use crate::net;
use crate::programs;
use crate::worldfile::full_unit_name;

/// cnnfctl in the controller's network with the world's admin context. It runs in a cgroup of the world, so that
/// `down` ends it too.
pub(crate) fn command(dir: &WorldDir, state: &State, arguments: &[String]) -> Result<Command> {
    if !state.controller {
        return Err(Error::Unreachable("this world has no controller ([controller] enabled = false)".to_owned()));
    }
    let pid = init_pid(state, "controller")
        .ok_or_else(|| Error::Unreachable("the controller's host is not running".to_owned()))?;
    let mut command = Command::new("/proc/self/exe");
    command
        .args(["net", &pid.to_string(), "--cgroup"])
        .arg(state.cgroup.join("ctl"))
        .arg("--")
        .arg(programs::ours("cnnfctl")?)
        .arg("--admin")
        .arg(dir.admin_file())
        .args(arguments);
    Ok(command)
}

/// What is done to a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    Start,
    Stop,
    Restart,
    Kill(Signal),
}

/// Does it and waits until it is done: `start` and `restart` until the unit is ready, `stop` until nothing of it is
/// left; a signal is sent and not waited for.
pub(crate) fn act(dir: &WorldDir, node: &str, unit: &str, act: Act) -> Result<()> {
    let unit = full_unit_name(unit);
    let named = || unit.clone();
    let request = match act {
        Act::Start => Request::Start { unit: named() },
        Act::Stop => Request::Stop { unit: named() },
        Act::Restart => Request::Restart { unit: named() },
        Act::Kill(signal) => Request::Kill { unit: named(), signal: signal as i32 },
    };
    let before = find(dir, node, &unit)?;
    ask(dir, node, &request)?;
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        let now = find(dir, node, &unit)?;
        let done = match act {
            Act::Kill(_) => true,
            Act::Stop => now.state == "inactive",
            Act::Start => now.ready,
            // systemd begins to count anew when it is asked to restart.
            Act::Restart => now.ready && (now.starts > before.starts || now.pid != before.pid),
        };
        if done {
            return Ok(());
        }
        if Instant::now() >= end {
            let how = now.last_exit.map(|how| format!(", it ended last with {how}")).unwrap_or_default();
            return Err(Error::Failed(format!(
                "unit {unit} on {node} is {} after 30 s{how}, see cnnf-lab logs {node} {unit}",
                now.state
            )));
        }
        std::thread::sleep(Duration::from_millis(3));
    }
}

fn find(dir: &WorldDir, node: &str, unit: &str) -> Result<UnitReport> {
    let report = report(dir, node)?;
    let known: Vec<&str> = report.units.iter().map(|unit| unit.name.as_str()).collect();
    let missing = format!("no unit `{unit}` on {node}, it has: {}", known.join(", "));
    report.units.into_iter().find(|found| found.name == unit).ok_or(Error::Usage(missing))
}

/// A world as `status -o json` shows it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WorldReport {
    id: String,
    dir: String,
    bed: Bed,
    cgroup: String,
    hosts: Vec<HostReport>,
    controller: Option<HostReport>,
    bridge: BridgeReport,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct BridgeReport {
    device: &'static str,
    /// A process of the machine in the bridge's network namespace.
    pid: Option<i32>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct HostReport {
    name: String,
    addresses: Vec<String>,
    labels: std::collections::BTreeMap<String, String>,
    defender: bool,
    /// The host's init as the machine numbers it; absent when the host is gone.
    pid: Option<i32>,
    units: Vec<UnitReport>,
}

/// Gathers the state of every node; a node that is gone has no pid and no units.
pub(crate) fn status(dir: &WorldDir, state: &State) -> WorldReport {
    let host = |name: &str, addresses: Vec<String>, labels, defender| {
        let units = report(dir, name).map(|report| report.units).unwrap_or_default();
        HostReport {
            name: name.to_owned(),
            addresses,
            labels,
            defender,
            pid: init_pid(state, name),
            units: units.into_iter().map(|unit| with_host_pid(state, name, unit)).collect(),
        }
    };
    let number = net::CONTROLLER_NUMBER;
    WorldReport {
        id: state.id.clone(),
        dir: dir.path().display().to_string(),
        bed: state.bed.clone(),
        cgroup: state.cgroup.display().to_string(),
        hosts: state
            .hosts
            .iter()
            .map(|found| host(&found.name, found.addresses.clone(), found.labels.clone(), found.defender))
            .collect(),
        controller: state
            .controller
            .then(|| host("controller", vec![net::v4(number), net::v6(number)], Default::default(), false)),
        bridge: BridgeReport { device: net::BRIDGE_DEVICE, pid: init_pid(state, "bridge") },
    }
}

fn with_host_pid(state: &State, node: &str, mut unit: UnitReport) -> UnitReport {
    let folder = state.node_root(node).join(unit.cgroup.trim_start_matches('/'));
    unit.host_pid = cgroup::processes(&folder).into_iter().find(|pid| *pid > 0 && inner_pid(*pid) == unit.pid);
    unit
}

impl WorldReport {
    /// A line for each host and unit.
    pub(crate) fn print_table(&self, out: &mut impl Write) -> std::io::Result<()> {
        writeln!(out, "world {} in {} ({})", self.id, self.dir, self.bed)?;
        for host in self.hosts.iter().chain(&self.controller) {
            let note = match (host.pid, host.defender) {
                (None, _) => "  GONE",
                (_, true) => "  defended",
                _ => "",
            };
            writeln!(out, "{:<14} {}{note}", host.name, host.addresses.join("  "))?;
            for unit in &host.units {
                let pid = unit.host_pid.map_or("-".to_owned(), |pid| pid.to_string());
                let ready = if unit.state == "running" && !unit.ready { " (not ready)" } else { "" };
                writeln!(out, "  {:<30} {}{ready}  pid {pid}  restarts {}", unit.name, unit.state, unit.restarts)?;
            }
        }
        Ok(())
    }
}

/// Writes a node's logs, or one unit's; with several, each begins with its name.
pub(crate) fn logs(dir: &WorldDir, node: &str, unit: Option<&str>, out: &mut impl Write) -> Result<()> {
    let folder = dir.logs(node);
    let mut names: Vec<String> = fs::read_dir(&folder)
        .tried(|| format!("cannot read {}", folder.display()))?
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    if let Some(unit) = unit {
        let wanted = format!("{}.log", if unit == "init" { unit.to_owned() } else { full_unit_name(unit) });
        if !names.contains(&wanted) {
            return Err(Error::Usage(format!("unit {unit} on {node} has no log, there are: {}", names.join(", "))));
        }
        names = vec![wanted];
    }
    for name in &names {
        let text = fs::read(folder.join(name)).tried(|| format!("cannot read {name}"))?;
        if text.is_empty() {
            continue;
        }
        let mut print = || -> std::io::Result<()> {
            if names.len() > 1 {
                writeln!(out, "==> {} <==", name.trim_end_matches(".log"))?;
            }
            out.write_all(&text)
        };
        print().tried(|| "cannot write the log".to_owned())?;
    }
    Ok(())
}
