//! Worlds for tests: up when made, down when dropped.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::bed::Bed;
use crate::control::{self, Act};
use crate::enter::Placement;
use crate::error::{Error, Result, Tried};
use crate::init::protocol::{UnitReport, report};
use crate::layout::WorldDir;
use crate::programs;
use crate::worldfile::full_unit_name;

/// A running world of its own, taken down when it is dropped or when this process ends in any way.
#[derive(Debug)]
pub struct World {
    dir: WorldDir,
    lab: PathBuf,
}

/// What a command wrote and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Exit code; 128 + N when signal N ended it.
    pub code: i32,
    /// Standard output, bytes that are no UTF-8 replaced.
    pub stdout: String,
    /// Standard error, likewise.
    pub stderr: String,
}

impl Output {
    /// Whether the exit code was 0.
    pub fn success(&self) -> bool {
        self.code == 0
    }

    /// The standard output without its last newline, of a command that must have succeeded.
    ///
    /// # Panics
    /// With the whole output, if it has not.
    #[track_caller]
    pub fn text(&self) -> &str {
        assert!(self.success(), "the command failed: {self:?}");
        self.stdout.trim_end_matches('\n')
    }
}

impl World {
    /// Brings a world up in a new folder; `world` is the path of a world file, or the TOML text itself (anything with
    /// a line break).
    ///
    /// # Errors
    /// What `cnnf-lab up` complains about, with its exit code's kind.
    pub fn up(world: &str) -> Result<World> {
        World::up_in(world, &World::new_folder())
    }

    /// Like [`World::up`], on hosts of another bed.
    ///
    /// # Errors
    /// As [`World::up`].
    pub fn up_on(bed: &Bed, world: &str) -> Result<World> {
        World::up_with(bed, world, &World::new_folder())
    }

    /// Like [`World::up`], in a folder of the caller's choice.
    ///
    /// # Errors
    /// As [`World::up`].
    pub fn up_in(world: &str, folder: &Path) -> Result<World> {
        World::up_with(&Bed::Netns, world, folder)
    }

    fn new_folder() -> PathBuf {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        std::env::temp_dir().join(format!("cnnf-world-{}-{number}", std::process::id()))
    }

    fn up_with(bed: &Bed, world: &str, folder: &Path) -> Result<World> {
        let world_is_text = world.contains('\n');
        let written = folder.with_extension("toml");
        if world_is_text {
            std::fs::write(&written, world).tried(|| format!("cannot write {}", written.display()))?;
        }
        let file = if world_is_text { written.as_path() } else { Path::new(world) };
        let begun = World { dir: WorldDir::new(folder)?, lab: programs::ours("cnnf-lab")? };
        let output = collect(
            begun.lab(&["up", "--bed", &bed.to_string(), "--while", &std::process::id().to_string()]).arg(file),
        );
        if world_is_text {
            let _ = std::fs::remove_file(&written);
        }
        let output = output?;
        if output.success() {
            return Ok(begun);
        }
        let text = output.stderr.trim().trim_start_matches("error: ").to_owned();
        Err(match output.code {
            2 => Error::Usage(text),
            3 => Error::Unreachable(text),
            _ => Error::Failed(text),
        })
    }

    /// The world's folder; a service's private folder is `hosts/HOST/services/UNIT` in it.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// A service's private folder (`{dir}` in the world file) as this process sees it.
    pub fn service_dir(&self, host: &str, unit: &str) -> PathBuf {
        self.dir.node(host).join("services").join(full_unit_name(unit))
    }

    /// A `cnnf-lab` command about this world, to be completed and run by the caller.
    pub fn lab(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.lab);
        command.arg("--dir").arg(self.dir.path()).args(arguments).stdin(Stdio::null());
        command
    }

    /// Runs a command in a host and waits for it.
    ///
    /// # Panics
    /// If cnnf-lab itself cannot be started.
    pub fn exec(&self, host: &str, placement: Placement<'_>, command: &[&str]) -> Output {
        run(&mut self.exec_command(host, placement, command))
    }

    /// Runs a shell script in a host, as a login session.
    ///
    /// # Panics
    /// As [`World::exec`].
    pub fn shell(&self, host: &str, script: &str) -> Output {
        self.exec(host, Placement::Session, &["sh", "-c", script])
    }

    /// Starts a command in a host with its input and output piped to the caller, who ends it: killing the child ends
    /// the command.
    ///
    /// # Panics
    /// As [`World::exec`].
    pub fn spawn(&self, host: &str, placement: Placement<'_>, command: &[&str]) -> Child {
        let mut command = self.exec_command(host, placement, command);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap_or_else(|error| panic!("cannot start cnnf-lab: {error}"))
    }

    fn exec_command(&self, host: &str, placement: Placement<'_>, command: &[&str]) -> Command {
        let mut exec = self.lab(&["exec", host]);
        if let Placement::Unit(name) = placement {
            exec.args(["--unit", name]);
        }
        exec.arg("--").args(command);
        exec
    }

    /// Runs cnnfctl with the world's admin context.
    ///
    /// # Panics
    /// As [`World::exec`].
    pub fn ctl(&self, arguments: &[&str]) -> Output {
        run(self.lab(&["ctl", "--"]).args(arguments))
    }

    /// Runs cnnfctl with `-o json`.
    ///
    /// # Panics
    /// If it fails or answers no JSON.
    #[track_caller]
    pub fn ctl_json(&self, arguments: &[&str]) -> Value {
        let output = run(self.lab(&["ctl", "--", "-o", "json"]).args(arguments));
        let text = output.text();
        serde_json::from_str(text)
            .unwrap_or_else(|error| panic!("cnnfctl {arguments:?} gave no JSON ({error}): {text}"))
    }

    /// What `cnnf-lab status -o json` says.
    ///
    /// # Panics
    /// If the world is not up.
    #[track_caller]
    pub fn status(&self) -> Value {
        let output = run(&mut self.lab(&["status", "-o", "json"]));
        let text = output.text();
        serde_json::from_str(text).unwrap_or_else(|error| panic!("cnnf-lab status gave no JSON ({error}): {text}"))
    }

    /// What a unit wrote so far.
    pub fn log(&self, host: &str, unit: &str) -> String {
        let path = self.dir.logs(host).join(format!("{}.log", full_unit_name(unit)));
        std::fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// A supervised unit on a host (or on `controller`).
    pub fn unit(&self, host: &str, name: &str) -> Unit<'_> {
        Unit { world: self, host: host.to_owned(), name: full_unit_name(name) }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() && self.dir.path().exists() {
            eprintln!("--- logs of the world in {}", self.dir.path().display());
            for node in std::fs::read_dir(self.dir.path().join("hosts")).into_iter().flatten().flatten() {
                let mut text = Vec::new();
                let _ = control::logs(&self.dir, &node.file_name().to_string_lossy(), None, &mut text);
                let text = String::from_utf8_lossy(&text);
                let lines: Vec<&str> = text.lines().collect();
                eprintln!("--- {}\n{}", node.file_name().display(), lines[lines.len().saturating_sub(60)..].join("\n"));
            }
        }
        let output = run(&mut self.lab(&["down"]));
        if !output.success() {
            eprintln!("the world in {} does not go down: {}", self.dir.path().display(), output.stderr);
        }
    }
}

/// A supervised unit of a [`World`]; every act panics with the lab's words when it fails.
#[derive(Debug)]
pub struct Unit<'a> {
    world: &'a World,
    host: String,
    name: String,
}

impl Unit<'_> {
    /// Sends a signal to all its processes.
    ///
    /// # Panics
    /// If there is no such unit.
    #[track_caller]
    pub fn kill(&self, signal: Signal) {
        self.act(Act::Kill(signal));
    }

    /// Restarts it in a new cgroup and waits until it is ready.
    ///
    /// # Panics
    /// If it does not get ready.
    #[track_caller]
    pub fn restart(&self) {
        self.act(Act::Restart);
    }

    /// Starts it and waits until it is ready.
    ///
    /// # Panics
    /// If it does not get ready.
    #[track_caller]
    pub fn start(&self) {
        self.act(Act::Start);
    }

    /// Stops it and waits until nothing of it is left.
    ///
    /// # Panics
    /// If it does not stop.
    #[track_caller]
    pub fn stop(&self) {
        self.act(Act::Stop);
    }

    /// How it is.
    ///
    /// # Panics
    /// If there is no such unit.
    #[track_caller]
    pub fn report(&self) -> UnitReport {
        let report = report(&self.world.dir, &self.host).unwrap_or_else(|error| panic!("{error}"));
        let found = report.units.into_iter().find(|unit| unit.name == self.name);
        found.unwrap_or_else(|| panic!("no unit {} on {}", self.name, self.host))
    }

    #[track_caller]
    fn act(&self, act: Act) {
        control::act(&self.world.dir, &self.host, &self.name, act).unwrap_or_else(|error| panic!("{error}"));
    }
}

fn collect(command: &mut Command) -> Result<Output> {
    let output = command.output().tried(|| "cannot run cnnf-lab".to_owned())?;
    Ok(Output {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

fn run(command: &mut Command) -> Output {
    collect(command).unwrap_or_else(|error| panic!("{error}"))
}
