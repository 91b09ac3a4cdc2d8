//! The controller's and the defenders' part of `up`.

use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::prepare::{DEFENDER_UNIT, GRPC_PORT};
use super::{Build, PAUSE, READY_LIMIT, log_end};
use crate::control;
use crate::error::{Error, Result, Tried};
use crate::init::protocol::report;
use crate::net;

const CONNECT_LIMIT: Duration = Duration::from_secs(30);

impl Build<'_> {
    /// Initialises and starts the controller, waits for its port, applies the world's settings.
    pub(super) fn start_controller(&self) -> Result<()> {
        let folder = self.dir.controller().display().to_string();
        let (v4, v6) = (net::v4(net::CONTROLLER_NUMBER), net::v6(net::CONTROLLER_NUMBER));
        let init = ["cnnf-controller", "init", "--data-dir", &folder, "--name", &v4, "--name", &v6];
        let child = self.begin("controller", "cnnf-controller-init", &init)?;
        let output = self.finish(child, "cnnf-controller init")?;
        let log = self.dir.logs("controller").join("cnnf-controller-init.service.log");
        // It holds the one-time web password: for root only, as the world's folder may be read by everybody.
        write_private(&log, &output.stdout).tried(|| format!("cannot write {}", log.display()))?;
        self.start_unit("controller", "cnnf-controller.service")?;
        self.await_units("controller")?;
        for (key, value) in &self.world.controller.settings {
            self.ctl(&["settings", "set", key, value])?;
        }
        Ok(())
    }

    /// Enrols all hosts with a defender at the same time, with one token.
    pub(super) fn enrol(&self) -> Result<()> {
        let defended: Vec<_> = self.world.hosts.iter().filter(|host| host.defender).collect();
        if defended.is_empty() {
            return Ok(());
        }
        let uses = defended.len().to_string();
        let answer = self.ctl(&["-o", "json", "defenders", "token", "create", "--uses", &uses, "--ttl", "10m"])?;
        let answer: Value = serde_json::from_str(&answer)
            .map_err(|error| Error::Failed(format!("cnnfctl defenders token create gave no JSON ({error})")))?;
        let Some(token) = answer["token"].as_str() else {
            return Err(Error::Failed("the answer of cnnfctl defenders token create has no `token`".to_owned()));
        };
        let controller = format!("{}:{}", net::v4(net::CONTROLLER_NUMBER), GRPC_PORT);
        let mut running = Vec::new();
        for host in defended {
            let mut command = vec!["cnnf-defender", "enroll", "--controller", &controller, "--token", token];
            let labels: Vec<String> = host.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
            for label in &labels {
                command.extend(["--label", label]);
            }
            running.push((&host.name, self.begin(&host.name, "cnnf-defender-enroll", &command)?));
        }
        for (host, child) in running {
            self.finish(child, &format!("cnnf-defender enroll on {host}"))?;
        }
        Ok(())
    }

    /// Starts the defenders and waits until each has a live stream to the controller.
    pub(super) fn start_defenders(&self) -> Result<()> {
        let wanted: Vec<&str> =
            self.world.hosts.iter().filter(|host| host.defender).map(|host| host.name.as_str()).collect();
        for host in &wanted {
            self.start_unit(host, DEFENDER_UNIT)?;
        }
        let end = Instant::now() + CONNECT_LIMIT;
        let mut missing = wanted;
        while !missing.is_empty() {
            for host in &missing {
                self.check_alive(host)?;
            }
            let text = self.ctl(&["-o", "json", "defenders", "list"])?;
            let answer: Value = serde_json::from_str(&text)
                .map_err(|error| Error::Failed(format!("cnnfctl defenders list gave no JSON ({error})")))?;
            missing.retain(|host| !is_connected(&answer, host));
            let Some(first) = missing.first() else { break };
            if Instant::now() >= end {
                let log = log_end(&self.dir.logs(first).join(format!("{DEFENDER_UNIT}.log")));
                return Err(Error::Failed(format!(
                    "no connection of the defender on {} within {} s, the log of {first} ends: {log}",
                    missing.join(", "),
                    CONNECT_LIMIT.as_secs()
                )));
            }
            self.interrupt.check()?;
            std::thread::sleep(Duration::from_millis(30));
        }
        Ok(())
    }

    /// # Errors
    /// When the defender has ended already: then it is of no use to wait for its connection.
    fn check_alive(&self, host: &str) -> Result<()> {
        let report = report(self.dir, host)?;
        match report.units.iter().find(|unit| unit.name == DEFENDER_UNIT && unit.last_exit.is_some()) {
            Some(unit) => Err(self.unit_failed(host, unit)),
            None => Ok(()),
        }
    }

    /// cnnfctl's output; tried again for a while when it cannot reach the controller yet.
    fn ctl(&self, arguments: &[&str]) -> Result<String> {
        let end = Instant::now() + READY_LIMIT;
        loop {
            let arguments: Vec<String> = arguments.iter().map(|word| (*word).to_owned()).collect();
            let output = control::command(self.dir, self.state, &arguments)?
                .stdin(Stdio::null())
                .output()
                .tried(|| "cannot run cnnfctl".to_owned())?;
            if output.status.success() {
                return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
            }
            if output.status.code() != Some(3) || Instant::now() >= end {
                return Err(failure(&format!("cnnfctl {}", arguments.join(" ")), &output));
            }
            self.interrupt.check()?;
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Starts a one-off command in a node, as a unit of the given name.
    fn begin(&self, node: &str, unit: &str, command: &[&str]) -> Result<std::process::Child> {
        Command::new("/proc/self/exe")
            .arg("--dir")
            .arg(self.dir.path())
            .args(["exec", node, "--unfinished", "--unit", unit, "--"])
            .args(command)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .tried(|| format!("cannot run {} in {node}", command[0]))
    }

    fn finish(&self, mut child: std::process::Child, what: &str) -> Result<Output> {
        // Both write a few lines only, which a pipe holds.
        self.interrupt.wait_for(
            CONNECT_LIMIT,
            PAUSE,
            || child.try_wait().tried(|| format!("cannot wait for {what}")),
            || format!("{what} does not end"),
        )?;
        let output = child.wait_with_output().tried(|| format!("cannot wait for {what}"))?;
        if output.status.success() { Ok(output) } else { Err(failure(what, &output)) }
    }
}

fn failure(what: &str, output: &Output) -> Error {
    let text = String::from_utf8_lossy(&output.stderr);
    Error::Failed(format!("{what} failed ({}): {}", output.status, text.trim()))
}

fn is_connected(list: &Value, host: &str) -> bool {
    list["defenders"]
        .as_array()
        .is_some_and(|defenders| defenders.iter().any(|found| found["host"] == host && found["connected"] == true))
}

fn write_private(path: &std::path::Path, content: &[u8]) -> std::io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    std::fs::OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(path)?.write_all(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_defender_counts_when_it_is_connected() {
        let list = serde_json::json!({"defenders": [{"host": "a", "connected": true}, {"host": "b"}]});
        assert!(is_connected(&list, "a"));
        assert!(!is_connected(&list, "b"), "proto3 JSON leaves false out");
        assert!(!is_connected(&list, "c"));
        assert!(!is_connected(&serde_json::json!({}), "a"));
    }
}
