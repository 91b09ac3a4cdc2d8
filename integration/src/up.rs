//! Bringing a world up: everything is checked first, then made in order, and taken down again if a step fails.

mod defended;
mod prepare;

use std::fs::{self, OpenOptions};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::bed::{Bed, Ground};
use crate::booted;
use crate::cgroup;
use crate::down;
use crate::enter::init_pid;
use crate::error::{Error, Result, Tried};
use crate::init::protocol::{Request, UnitReport, ask, report};
use crate::layout::{HostState, State, WorldDir, make_open_dir};
use crate::net;
use crate::wait::Interrupt;
use crate::worldfile::{self, WorldFile};

const BOOT_LIMIT: Duration = Duration::from_secs(20);
const SYSTEMD_LIMIT: Duration = Duration::from_secs(60);
const READY_LIMIT: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(3);

/// How long the steps of `up` took.
#[derive(Debug, Clone, Default)]
pub(crate) struct Times {
    /// (what, how long), in order.
    pub(crate) steps: Vec<(&'static str, Duration)>,
}

impl std::fmt::Display for Times {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let total: Duration = self.steps.iter().map(|(_, took)| *took).sum();
        write!(f, "{:.2} s", total.as_secs_f64())?;
        for (index, (what, took)) in self.steps.iter().enumerate() {
            write!(f, "{}{what} {:.2}", if index == 0 { ": " } else { ", " }, took.as_secs_f64())?;
        }
        Ok(())
    }
}

/// Brings the world of `file` up in `dir`; with `while_pid` it is taken down when that process ends.
pub(crate) fn up(file: &Path, dir: &WorldDir, bed: Bed, while_pid: Option<i32>) -> Result<(State, Times)> {
    let text = fs::read_to_string(file)
        .map_err(|error| Error::Usage(format!("cannot read the world file {}: {error}", file.display())))?;
    let world = worldfile::parse(&text, &file.display().to_string())?;
    let ground = Ground::of(&bed)?;
    prepare::check_machine(&world, &ground)?;
    let tree = cgroup::mount_point()?;
    let _lock = dir.lock()?;
    if let Some(old) = dir.load()? {
        if old.up && old.nodes().iter().any(|node| init_pid(&old, node).is_some()) {
            return Err(Error::Usage(format!(
                "a world is up in {} already, take it down (cnnf-lab down) or use another --dir",
                dir.path().display()
            )));
        }
        down::end(dir, &old)?;
    } else {
        dir.check_unused()?;
    }
    let interrupt = Interrupt::watch()?;
    let id = prepare::new_id()?;
    let mut state = State {
        cgroup: tree.join(format!("cnnf-lab-{id}")),
        id,
        up: false,
        bed,
        controller: world.controller.enabled,
        hosts: world
            .hosts
            .iter()
            .enumerate()
            .map(|(index, host)| HostState {
                name: host.name.clone(),
                addresses: vec![net::v4(index + 1), net::v6(index + 1)],
                labels: host.labels.clone(),
                defender: host.defender,
            })
            .collect(),
    };
    // The state comes first: whatever happens from here on, `down` finds it.
    dir.save(&state)?;
    let mut build =
        Build { dir, world: &world, ground: &ground, state: &state, interrupt: &interrupt, times: Times::default() };
    let outcome = build.all(while_pid);
    let times = build.times;
    let outcome = outcome.and_then(|()| {
        state.up = true;
        dir.save(&state)
    });
    if let Err(error) = outcome {
        let cleaned = down::end(dir, &state);
        dir.remove_shell();
        return Err(match cleaned {
            Ok(()) => error,
            Err(left) => Error::Failed(format!("{error}; and then {left}")),
        });
    }
    Ok((state, times))
}

/// A world being made.
struct Build<'a> {
    dir: &'a WorldDir,
    world: &'a WorldFile,
    ground: &'a Ground,
    state: &'a State,
    interrupt: &'a Interrupt,
    times: Times,
}

impl Build<'_> {
    fn all(&mut self, while_pid: Option<i32>) -> Result<()> {
        fs::create_dir_all(&self.state.cgroup)
            .tried(|| format!("cannot make the cgroup {}", self.state.cgroup.display()))?;
        if let Some(pid) = while_pid {
            self.start_guard(pid)?;
        }
        self.step("hosts", Self::boot)?;
        self.step("network", Self::connect)?;
        if self.state.controller {
            self.step("controller", Self::start_controller)?;
            self.step("enrolment", Self::enrol)?;
            // Before the services, as on a host that boots: no connection of theirs is older than the defender.
            self.step("defenders", Self::start_defenders)?;
        }
        self.step("services", Self::start_services)
    }

    fn step(&mut self, what: &'static str, step: impl FnOnce(&Self) -> Result<()>) -> Result<()> {
        let begin = Instant::now();
        step(self)?;
        self.times.steps.push((what, begin.elapsed()));
        Ok(())
    }

    fn start_guard(&self, pid: i32) -> Result<()> {
        Command::new("/proc/self/exe")
            .arg("--dir")
            .arg(self.dir.path())
            .args(["guard", &pid.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .tried(|| "cannot start the world's guard".to_owned())?;
        Ok(())
    }

    /// Starts the init of every node, all at once, and waits until each is ready.
    fn boot(&self) -> Result<()> {
        make_open_dir(self.dir.path())?;
        for plan in prepare::plans(self.dir, self.world, self.ground)? {
            prepare::write_node(self.dir, &plan)?;
        }
        prepare::write_services(self.dir, self.world, self.ground)?;
        let mut booting = Vec::new();
        for node in self.state.nodes() {
            booting.push((node, self.boot_node(node)?));
        }
        for (node, child) in &mut booting {
            if self.state.is_booted(node) {
                self.await_systemd(node, child)?;
                continue;
            }
            let status = self.interrupt.wait_for(
                BOOT_LIMIT,
                PAUSE,
                || child.try_wait().tried(|| format!("cannot wait for {node}")),
                || format!("the init of {node} is not ready"),
            )?;
            if !status.success() {
                return Err(self.no_start(node));
            }
        }
        Ok(())
    }

    /// Waits until a host has booted; its child stays as long as the host does.
    fn await_systemd(&self, node: &str, child: &mut Child) -> Result<()> {
        self.interrupt.wait_for(
            SYSTEMD_LIMIT,
            Duration::from_millis(20),
            || {
                if child.try_wait().tried(|| format!("cannot wait for {node}"))?.is_some() {
                    return Err(self.no_start(node));
                }
                Ok(booted::is_up(self.state, node).then_some(()))
            },
            || {
                let log = log_end(&self.dir.logs(node).join("init.log"));
                format!("host {node} does not finish booting, its console ends: {log}")
            },
        )
    }

    fn no_start(&self, node: &str) -> Error {
        let log = log_end(&self.dir.logs(node).join("init.log"));
        Error::Failed(format!("host {node} does not start: {log}"))
    }

    fn boot_node(&self, node: &str) -> Result<Child> {
        let failed = || format!("cannot start {node}");
        let path = self.dir.logs(node).join("init.log");
        let log = OpenOptions::new().create(true).append(true).open(path).tried(failed)?;
        Command::new("/proc/self/exe")
            .arg(if self.state.is_booted(node) { "boot-systemd" } else { "boot" })
            .arg(self.state.node_cgroup(node))
            .arg(self.dir.node(node).join("plan.json"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .tried(failed)
    }

    /// Makes the bridge and the links, and waits until they carry packets.
    fn connect(&self) -> Result<()> {
        let pid = |node: &str| {
            init_pid(self.state, node)
                .ok_or_else(|| Error::Failed(format!("the init of {node} ended before its network was made")))
        };
        let mut nodes = Vec::new();
        for (index, host) in self.state.hosts.iter().enumerate() {
            nodes.push((index + 1, pid(&host.name)?));
        }
        if self.state.controller {
            nodes.push((net::CONTROLLER_NUMBER, pid("controller")?));
        }
        net::run_batches(&[(pid("bridge")?, net::bridge_batch(&nodes))])?;
        let batches: Vec<(i32, String)> = nodes.iter().map(|(number, pid)| (*pid, net::host_batch(*number))).collect();
        net::run_batches(&batches)?;
        for node in self.state.nodes() {
            self.interrupt.wait_for(
                READY_LIMIT,
                PAUSE,
                || Ok(report(self.dir, node)?.links_up.then_some(())),
                || format!("the network of {node} does not come up"),
            )?;
        }
        Ok(())
    }

    /// Starts the world file's units and waits until all units run and are ready.
    fn start_services(&self) -> Result<()> {
        for host in &self.world.hosts {
            for service in &host.services {
                self.start_unit(&host.name, &service.unit)?;
            }
        }
        for host in &self.world.hosts {
            self.await_units(&host.name)?;
        }
        Ok(())
    }

    fn start_unit(&self, node: &str, unit: &str) -> Result<()> {
        ask(self.dir, node, &Request::Start { unit: unit.to_owned() }).map(|_| ())
    }

    fn await_units(&self, node: &str) -> Result<()> {
        let mut missing = String::new();
        self.interrupt
            .wait_for(
                READY_LIMIT,
                PAUSE,
                || {
                    let report = report(self.dir, node)?;
                    for unit in &report.units {
                        if unit.last_exit.is_some() {
                            return Err(self.unit_failed(node, unit));
                        }
                    }
                    let waiting = report.units.iter().find(|unit| !unit.ready);
                    missing = waiting.map(|unit| format!("unit {} is {}", unit.name, unit.state)).unwrap_or_default();
                    Ok(waiting.is_none().then_some(()))
                },
                || format!("host {node} is not ready: {{}}"),
            )
            .map_err(|error| match error {
                Error::Failed(text) => Error::Failed(text.replace("{}", &missing)),
                other => other,
            })
    }

    fn unit_failed(&self, node: &str, unit: &UnitReport) -> Error {
        let log = log_end(&self.dir.logs(node).join(format!("{}.log", unit.name)));
        let how = unit.last_exit.as_deref().unwrap_or("unknown");
        Error::Failed(format!("unit {} on {node} ended at once ({how}), its log ends: {log}", unit.name))
    }
}

/// The last lines of a log, for an error message.
fn log_end(path: &Path) -> String {
    let text = fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let tail = &lines[lines.len().saturating_sub(8)..];
    if tail.is_empty() { "(nothing)".to_owned() } else { tail.join("\n  ") }
}
