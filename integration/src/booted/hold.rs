//! A cgroup of systemd's making for one command from outside.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdin, Stdio};
use std::time::{Duration, Instant};

use super::inside;
use crate::error::{Error, Result, Tried};
use crate::layout::State;
use crate::worldfile::full_unit_name;

/// Says which cgroup it is in, then waits for the end of its input, which comes with ours.
const KEEPER: &str = "sed -n 's/^0:://p' /proc/self/cgroup; exec cat >/dev/null";

/// A login by way of PAM, which asks logind for a session. It comes from outside the host's cgroup tree, as from no
/// unit of the host.
const LOGIN: [&str; 9] =
    ["nsenter", "--target=1", "--cgroup", "env", "XDG_SESSION_CLASS=user", "su", "--login", "root", "--command"];

/// Begins a transient unit. Only the keeper ends with it: other commands may be in it, and end with who began them.
const TRANSIENT: [&str; 5] = ["systemd-run", "--quiet", "--collect", "--pipe", "--property=KillMode=process"];

/// The unit or login session that holds a cgroup; it ends with this value or with the process that has it.
#[derive(Debug)]
pub(crate) struct Hold {
    /// The cgroup as the host sees it.
    pub(crate) cgroup: String,
    keeper: Option<(Child, Option<ChildStdin>)>,
}

impl Hold {
    /// A new login session of root (through PAM and logind), the cgroup of the unit if it runs, or that of a new
    /// transient unit of this name.
    pub(crate) fn begin(state: &State, host: &str, unit: Option<&str>) -> Result<Hold> {
        let Some(unit) = unit.map(full_unit_name) else {
            return keep(state, host, &LOGIN);
        };
        let mut tries = 0;
        loop {
            // Also a unit that has ended while something in it lives on.
            if let Some(cgroup) = running(state, host, &unit)? {
                return Ok(Hold { cgroup, keeper: None });
            }
            match keep(state, host, &[TRANSIENT.as_slice(), &["--unit", &unit, "sh", "-c"]].concat()) {
                // Somebody else may have begun or ended the same unit in between.
                Err(_) if tries < 5 => {
                    tries += 1;
                    std::thread::sleep(Duration::from_millis(20));
                }
                outcome => return outcome,
            }
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let Some((child, input)) = &mut self.keeper else { return };
        drop(input.take());
        let end = Instant::now() + Duration::from_secs(2);
        while matches!(child.try_wait(), Ok(None)) && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

fn running(state: &State, host: &str, unit: &str) -> Result<Option<String>> {
    let output = inside(state, host, &["systemctl", "show", "--property=ControlGroup", "--value", "--", unit])?
        .stdin(Stdio::null())
        .output()
        .tried(|| format!("cannot ask for {unit} on {host}"))?;
    let cgroup = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    Ok(Some(cgroup).filter(|cgroup| !cgroup.is_empty()))
}

/// Runs the keeper by a command that takes a script as its last word.
fn keep(state: &State, host: &str, by: &[&str]) -> Result<Hold> {
    let words = [by, &[KEEPER]].concat();
    let failed = || format!("cannot begin a unit or session on {host}");
    let mut child = inside(state, host, &words)?
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .tried(failed)?;
    let input = child.stdin.take();
    let mut cgroup = String::new();
    if let Some(output) = child.stdout.take() {
        BufReader::new(output).read_line(&mut cgroup).tried(failed)?;
    }
    let cgroup = cgroup.trim().to_owned();
    if cgroup.is_empty() {
        drop(input);
        let output = child.wait_with_output().tried(failed)?;
        let complaint = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(Error::Failed(format!("{}: {complaint}", failed())));
    }
    Ok(Hold { cgroup, keeper: Some((child, input)) })
}
