//! Inside a booted host: what systemd says about the world's units, and what is to be done with them.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use nix::sys::signal::Signal;

use crate::error::{Error, Result, Tried};
use crate::init::network;
use crate::init::protocol::{NodeReport, Reply, Request, UnitReport};
use crate::plan::{HOME, Plan};
use crate::worldfile::full_unit_name;

/// Carries a request out, for a process in the host's namespaces.
pub(crate) fn answer(request: &str) -> Result<Reply> {
    let request: Request =
        serde_json::from_str(request).map_err(|error| Error::Usage(format!("this is no request: {error}")))?;
    let plan = Plan::read(&Path::new(HOME).join("plan.json"))?;
    let act = |unit: &str, words: &[&str]| -> Result<Reply> {
        let name = full_unit_name(unit);
        if !plan.units.iter().any(|unit| unit.name == name) {
            let known: Vec<&str> = plan.units.iter().map(|unit| unit.name.as_str()).collect();
            return Err(Error::Usage(format!("no unit `{name}` on this host, it has: {}", known.join(", "))));
        }
        systemctl(&[words, &["--", &name]].concat())?;
        Ok(Reply::Done)
    };
    match &request {
        Request::Status => Ok(Reply::Node(NodeReport { links_up: network::links_up(), units: reports(&plan)? })),
        Request::Start { unit } => act(unit, &["--no-block", "start"]),
        Request::Stop { unit } => act(unit, &["--no-block", "stop"]),
        Request::Restart { unit } => act(unit, &["--no-block", "restart"]),
        Request::Kill { unit, signal } => {
            let signal = Signal::try_from(*signal)
                .map_err(|_| Error::Usage(format!("there is no signal {signal}, see kill -l")))?;
            act(unit, &["kill", "--kill-who=all", "--signal", signal.as_str()])
        }
        Request::Hold { .. } => Err(Error::Usage("systemd gives no cgroups away".to_owned())),
    }
}

fn systemctl(arguments: &[&str]) -> Result<String> {
    let output = Command::new("systemctl").args(arguments).output().tried(|| "cannot run systemctl".to_owned())?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let complaint = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(Error::Failed(format!("systemctl {} failed: {complaint}", arguments.join(" "))))
}

const SHOWN: &str = "--property=Id,ControlGroup,ActiveState,SubState,MainPID,NRestarts,ExecMainCode,ExecMainStatus,\
ExecMainStartTimestampMonotonic";

fn reports(plan: &Plan) -> Result<Vec<UnitReport>> {
    if plan.units.is_empty() {
        return Ok(Vec::new());
    }
    let names: Vec<&str> = plan.units.iter().map(|unit| unit.name.as_str()).collect();
    let text = systemctl(&[&["show", SHOWN, "--"], names.as_slice()].concat())?;
    let shown: Vec<BTreeMap<&str, &str>> =
        text.split("\n\n").map(|block| block.lines().filter_map(|line| line.split_once('=')).collect()).collect();
    let found = plan.units.iter().filter_map(|unit| {
        let properties = shown.iter().find(|properties| properties.get("Id") == Some(&unit.name.as_str()))?;
        Some(report(properties, unit.ready.is_none_or(network::is_bound)))
    });
    Ok(found.collect())
}

/// A unit's state in the words of the lab's own init.
fn report<'a>(properties: &BTreeMap<&'a str, &'a str>, bound: bool) -> UnitReport {
    let get = |key: &str| -> &'a str { properties.get(key).copied().unwrap_or_default() };
    let number = |key: &str| get(key).parse::<u64>().unwrap_or_default();
    let state = match (get("ActiveState"), get("SubState")) {
        (_, "auto-restart") => "waiting",
        ("active" | "reloading", _) => "running",
        ("activating", _) => "starting",
        ("deactivating", _) => "stopping",
        _ => "inactive",
    };
    let restarts = number("NRestarts");
    let began = number("ExecMainStartTimestampMonotonic") > 0;
    // siginfo's codes, sigaction(2): 1 CLD_EXITED, 2 CLD_KILLED, 3 CLD_DUMPED; 0 while the process lives.
    let last_exit = match (get("ExecMainCode"), get("ExecMainStatus")) {
        ("1", code) => Some(format!("exit code {code}")),
        ("2" | "3", signal) => {
            let name = signal.parse::<i32>().ok().and_then(|number| Signal::try_from(number).ok());
            Some(format!("signal {}", name.map_or(signal, |name| name.as_str())))
        }
        // systemd forgets how, once it has started the unit again.
        _ => (restarts > 0).then(|| "an end of its own".to_owned()),
    };
    UnitReport {
        name: get("Id").to_owned(),
        cgroup: get("ControlGroup").to_owned(),
        state: state.to_owned(),
        pid: get("MainPID").parse().ok().filter(|pid| *pid != 0),
        host_pid: None,
        ready: state == "running" && bound,
        starts: if began { restarts + 1 } else { 0 },
        restarts,
        last_exit,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown<'a>(pairs: &[(&'a str, &'a str)]) -> BTreeMap<&'a str, &'a str> {
        pairs.iter().copied().collect()
    }

    #[test]
    fn states_are_the_labs_words() {
        let running = report(
            &shown(&[
                ("Id", "a.service"),
                ("ActiveState", "active"),
                ("SubState", "running"),
                ("MainPID", "71"),
                ("NRestarts", "2"),
                ("ExecMainStartTimestampMonotonic", "1234"),
                ("ExecMainCode", "0"),
            ]),
            true,
        );
        assert_eq!(
            (running.state.as_str(), running.pid, running.ready, running.starts),
            ("running", Some(71), true, 3)
        );
        let waiting = shown(&[
            ("ActiveState", "activating"),
            ("SubState", "auto-restart"),
            ("MainPID", "0"),
            ("ExecMainCode", "2"),
            ("ExecMainStatus", "9"),
        ]);
        let waiting = report(&waiting, true);
        assert_eq!((waiting.state.as_str(), waiting.pid, waiting.ready), ("waiting", None, false));
        assert_eq!(waiting.last_exit.as_deref(), Some("signal SIGKILL"));
    }
}
