//! A process as evidence of an event: who it is, since when, and who started it.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use cnnf_core::event::{self, Ancestor};
use cnnf_core::id::ServiceKind;
use cnnf_core::identity::{CgroupOwner, of_cgroup};
use cnnf_core::time::Timestamp;

use super::containers::Containers;
use super::digest::digest;
use super::process::{self, Process};

/// The longest command line, in bytes.
const CMDLINE_MAX: usize = 4096;
/// The longest name of an ancestor's program, in bytes.
const PROGRAM_MAX: usize = 256;
/// Ancestors that are told of, at most.
const ANCESTORS_MAX: usize = 16;
/// How long a digest is waited for. Finding the process takes at most 40 ms, and a packet may wait 50 for both.
const DIGEST_WAIT: Duration = Duration::from_millis(10);

/// How long a description holds: its parents may end, which then is told a little late.
const DESCRIBED_FOR: Duration = Duration::from_secs(1);
/// Descriptions that are kept, at most.
const DESCRIBED_MAX: usize = 64;

/// When the host booted, in milliseconds since the epoch; `None` if it does not say.
static BOOTED: LazyLock<Option<u64>> = LazyLock::new(|| Some(procfs::boot_time_secs().ok()? * 1000));

/// Descriptions of the last processes: a program that opens one connection after the other is not described anew for each, while its packet waits.
#[derive(Debug, Default)]
pub struct Descriptions(HashMap<u32, Kept>);

#[derive(Debug)]
struct Kept {
    at: Instant,
    process: Process,
    exe: Option<FileId>,
    description: event::Process,
}

/// Device, inode, size, and the time of the last change of content with nanoseconds.
type FileId = (u64, u64, u64, i64, i64);

impl Descriptions {
    /// [`described`], or what it said of this very process within the last second, if it runs the same file.
    pub fn of(&mut self, process: &Process, containers: &Containers) -> event::Process {
        let exe = executable(process.pid);
        let kept = self.0.get(&process.pid);
        if let Some(kept) =
            kept.filter(|kept| kept.process == *process && kept.exe == exe && kept.at.elapsed() < DESCRIBED_FOR)
        {
            return kept.description.clone();
        }
        let description = described(process, containers);
        if description.missing.is_empty() {
            if self.0.len() >= DESCRIBED_MAX {
                self.0.clear();
            }
            let kept = Kept { at: Instant::now(), process: process.clone(), exe, description: description.clone() };
            self.0.insert(process.pid, kept);
        }
        description
    }
}

/// Which file a process runs; `None` if it has ended.
fn executable(pid: u32) -> Option<FileId> {
    let file = std::fs::metadata(format!("/proc/{pid}/exe")).ok()?;
    Some((file.dev(), file.ino(), file.len(), file.mtime(), file.mtime_nsec()))
}

/// A process as evidence, its container as `containers` knows it by now. What cannot be read any more is left out, and `missing` says so.
#[must_use]
pub fn described(process: &Process, containers: &Containers) -> event::Process {
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let mut missing = Vec::new();
    let beside = beside(process);
    if beside.is_none() {
        missing.push("it had ended before its parents and its executable could be read");
    }
    let Beside { parents, network_namespace, exe } = beside.unwrap_or_default();
    let sha256 = exe.map_or_else(String::new, |exe| {
        digest(exe, DIGEST_WAIT).unwrap_or_else(|why| {
            missing.push(why);
            String::new()
        })
    });
    event::Process {
        pid: process.pid,
        exe: process.exe.clone(),
        cmdline: cut(process.cmdline.join(" "), CMDLINE_MAX),
        user: process::user_name(&passwd, process.uid),
        unit: unit(&process.cgroup),
        cgroup: process.cgroup.clone(),
        missing: missing.join("; "),
        started: started(process.start),
        sha256,
        parents,
        network_namespace,
        container: container(&process.cgroup, containers),
    }
}

/// What is read beside the process itself.
#[derive(Default)]
struct Beside {
    parents: Vec<Ancestor>,
    network_namespace: u64,
    exe: Option<File>,
}

/// `None` if the process has ended meanwhile, and its id may be another's.
fn beside(process: &Process) -> Option<Beside> {
    let directory = PathBuf::from(format!("/proc/{}", process.pid));
    let beside = Beside {
        parents: ancestors(process.pid),
        network_namespace: std::fs::metadata(directory.join("ns/net")).map_or(0, |metadata| metadata.ino()),
        // opens the file itself, also where it was deleted or lies in another mount namespace
        exe: File::open(directory.join("exe")).ok(),
    };
    process.is_same().then_some(beside)
}

/// Parents up to init, the nearest first.
fn ancestors(pid: u32) -> Vec<Ancestor> {
    let mut found = Vec::new();
    let mut below = open(pid);
    while found.len() < ANCESTORS_MAX
        && let Some(child) = below
        && let Some(pid) = parent(&child)
        && let Some(process) = open(pid)
    {
        let Ok(stat) = process.stat() else { break };
        let exe = process.exe().map(|exe| exe.to_string_lossy().into_owned());
        // an orphan gets another parent for ever: as long as it has this one, what was read was its parent and not who got its id
        if parent(&child) != Some(pid) {
            break;
        }
        found.push(Ancestor { pid, program: cut(exe.unwrap_or(stat.comm), PROGRAM_MAX) });
        below = Some(process);
    }
    found
}

fn open(pid: u32) -> Option<procfs::process::Process> {
    procfs::process::Process::new(i32::try_from(pid).ok()?).ok()
}

fn parent(process: &procfs::process::Process) -> Option<u32> {
    u32::try_from(process.stat().ok()?.ppid).ok().filter(|pid| *pid != 0)
}

/// From clock ticks since boot.
fn started(ticks: u64) -> Option<Timestamp> {
    let since_boot = ticks.saturating_mul(1000) / procfs::ticks_per_second().max(1);
    BOOTED.map(|booted| Timestamp(booted.saturating_add(since_boot)))
}

/// The container of a group: its name and its id; empty if it is none's.
fn container(cgroup: &str, containers: &Containers) -> String {
    match of_cgroup(cgroup) {
        CgroupOwner::Container(container) => match containers.called(&container) {
            name if name.is_empty() => container.id().to_owned(),
            name => format!("{name} {container}"),
        },
        CgroupOwner::Service(key) if key.kind() == ServiceKind::Container => key.name().to_owned(),
        _ => String::new(),
    }
}

/// The unit in a group's path: the deepest component that is one.
pub(super) fn unit(path: &str) -> String {
    let is_unit = |part: &&str| part.ends_with(".service") || part.ends_with(".scope");
    path.rsplit('/').find(is_unit).unwrap_or_default().to_owned()
}

fn cut(mut text: String, max: usize) -> String {
    text.truncate(text.floor_char_boundary(max));
    text
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};
    use std::time::Instant;

    use super::*;
    use crate::observe::connections::now;
    use crate::observe::containers::Places;

    #[test]
    fn a_process_is_described_whole() {
        let mut child = Command::new("sleep").arg("30").stdout(Stdio::null()).spawn().expect("sleep");
        let process = Process::read(child.id());
        let containers = Containers::default();
        let mut evidence = described(process.as_ref().expect("process"), &containers);
        let began = Instant::now();
        while evidence.sha256.is_empty() && began.elapsed() < Duration::from_secs(20) {
            evidence = described(process.as_ref().expect("process"), &containers);
        }
        child.kill().expect("kill");
        child.wait().expect("wait");
        assert_eq!((evidence.missing.as_str(), evidence.sha256.len()), ("", 64), "{evidence:?}");
        let nearest = evidence.parents.first().expect("a parent");
        assert_eq!(nearest.pid, std::process::id());
        assert_eq!(nearest.program, std::env::current_exe().expect("exe").display().to_string());
        let own = std::fs::metadata("/proc/self/ns/net").expect("namespace").ino();
        assert_eq!((evidence.network_namespace, evidence.container.as_str()), (own, ""));
        let age = now().since(evidence.started.expect("start"));
        assert!(age < Duration::from_secs(60), "{age:?}");

        let ended = described(&process.expect("process"), &containers);
        assert!(ended.parents.is_empty() && ended.missing.starts_with("it had ended"), "{ended:?}");
    }

    #[test]
    fn a_description_is_of_the_program_that_runs_now() {
        let mut child = Command::new("sh")
            .args(["-c", "read line; exec cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("sh");
        let containers = Containers::default();
        let mut descriptions = Descriptions::default();
        let pid = child.id();
        let mut whole = |is: &dyn Fn(&Process) -> bool| loop {
            let process = Process::read(pid).expect("process");
            let description = descriptions.of(&process, &containers);
            if is(&process) && description.missing.is_empty() {
                assert_eq!(descriptions.of(&process, &containers), description);
                break (process, description);
            }
        };
        let (shell, first) = whole(&|process| process.cmdline.first().is_some_and(|name| name == "sh"));
        std::io::Write::write_all(child.stdin.as_mut().expect("input"), b"go\n").expect("write");
        let (_, second) = whole(&|process| process.exe != shell.exe && process.cmdline == ["cat"]);
        assert!(first.sha256 != second.sha256 && first.exe != second.exe, "{second:?}");
        child.kill().expect("kill");
        child.wait().expect("wait");
        assert!(descriptions.of(&shell, &containers).missing.starts_with("it had ended"));
    }

    #[test]
    fn a_container_is_told_by_name_and_id() {
        let root = tempfile::tempdir().expect("a directory");
        let id = "0123456789abcdef".repeat(4);
        let directory = root.path().join("containers").join(&id);
        std::fs::create_dir_all(&directory).expect("mkdir");
        std::fs::write(directory.join("config.v2.json"), r#"{"Name":"/web","Config":{"Image":"nginx:1.25"}}"#)
            .expect("write");
        let places = Places { docker: vec![root.path().into()], containerd: Vec::new(), storage: Vec::new() };
        let containers = Containers::new(places);
        let group = format!("/docker/{id}/inner");
        assert_eq!(container(&group, &containers), id, "an event does not wait for a name");
        containers.key(of_cgroup(&group).container().expect("a container"));
        assert_eq!(container(&group, &containers), format!("nginx:1.25 {id}"));
        assert_eq!(container("/lxc.payload.mail/x", &containers), "mail");
        assert_eq!(container("/system.slice/web.service", &containers), "");
    }

    #[test]
    fn long_texts_are_cut_at_a_character() {
        assert_eq!(cut("aä".into(), 2), "a");
        assert_eq!(unit("/system.slice/web.service/sub"), "web.service");
    }
}
