//! Processes, as `/proc` shows them (proc(5)).

use std::io::Read;
use std::path::{Path, PathBuf};

use cnnf_core::id::ServiceKey;
use cnnf_core::identity;

/// The longest command line that is read, in bytes.
const CMDLINE_MAX: u64 = 4096;

/// A process at one time. Its id alone names nobody: ids are used again, a start time is not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its id.
    pub pid: u32,
    /// When it started, in clock ticks since boot.
    pub start: u64,
    /// The target of its `exe` link; ` (deleted)` is kept.
    pub exe: String,
    /// Its arguments, the first is its own name; cut at 4 KiB.
    pub cmdline: Vec<String>,
    /// Its working directory, if it could be read.
    pub cwd: Option<String>,
    /// Its effective user id.
    pub uid: u32,
    /// Its control group's path.
    pub cgroup: String,
}

impl Process {
    /// Reads process `pid`; `None` if it is gone, or became another one while it was read.
    #[must_use]
    pub fn read(pid: u32) -> Option<Self> {
        Self::read_if(pid, |_| true)
    }

    /// Reads process `pid` if it has a socket of this inode open. It may close it meanwhile: what was read is the process that had it.
    #[must_use]
    pub fn read_holder(pid: u32, inode: u32) -> Option<Self> {
        Self::read_if(pid, |pid| holds(pid, inode))
    }

    fn read_if(pid: u32, is_wanted: impl FnOnce(u32) -> bool) -> Option<Self> {
        let proc = directory(pid);
        let start = start_time(&proc)?;
        if !is_wanted(pid) {
            return None;
        }
        let cmdline = read_bounded(&proc.join("cmdline"), CMDLINE_MAX);
        let link = |name: &str| std::fs::read_link(proc.join(name)).ok().map(|p| p.to_string_lossy().into_owned());
        let process = Self {
            pid,
            start,
            exe: link("exe").unwrap_or_default(),
            cmdline: arguments(&cmdline),
            cwd: link("cwd"),
            uid: effective_uid(&std::fs::read_to_string(proc.join("status")).ok()?)?,
            cgroup: cgroup_path(&std::fs::read_to_string(proc.join("cgroup")).ok()?)?,
        };
        process.is_same().then_some(process)
    }

    /// Whether the process of this id is still this one.
    #[must_use]
    pub fn is_same(&self) -> bool {
        start_time(&directory(self.pid)) == Some(self.start)
    }

    /// What its program is called.
    #[must_use]
    pub fn program(&self) -> ServiceKey {
        let arguments: Vec<&str> = self.cmdline.iter().map(String::as_str).collect();
        identity::program(&self.exe, &arguments, self.cwd.as_deref())
    }
}

/// Whether process `pid` has a socket of this inode open. Needs `CAP_SYS_PTRACE` for another user's process.
#[must_use]
pub fn holds(pid: u32, inode: u32) -> bool {
    let wanted = format!("socket:[{inode}]");
    let Ok(entries) = std::fs::read_dir(directory(pid).join("fd")) else { return false };
    entries
        .filter_map(Result::ok)
        .any(|entry| std::fs::read_link(entry.path()).is_ok_and(|target| target.as_os_str() == wanted.as_str()))
}

/// All process ids.
#[must_use]
pub fn all() -> Vec<u32> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect()
}

fn directory(pid: u32) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}"))
}

fn read_bounded(path: &Path, max: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Ok(file) = std::fs::File::open(path) {
        // a process that ends meanwhile leaves what was read
        let _ = file.take(max).read_to_end(&mut bytes);
    }
    bytes
}

fn start_time(proc: &Path) -> Option<u64> {
    start_of(&std::fs::read_to_string(proc.join("stat")).ok()?)
}

/// The start time in the text of `/proc/PID/stat`: field 22. The name in field 2 may hold anything, also `)`.
#[must_use]
pub fn start_of(stat: &str) -> Option<u64> {
    let (_, after) = stat.rsplit_once(')')?;
    after.split_ascii_whitespace().nth(19)?.parse().ok()
}

/// The effective user id in the text of `/proc/PID/status`.
#[must_use]
pub fn effective_uid(status: &str) -> Option<u32> {
    status.lines().find_map(|line| line.strip_prefix("Uid:"))?.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// The cgroup2 path in the text of `/proc/PID/cgroup`; a hybrid host lists v1 controllers as well. ` (deleted)` is taken off.
#[must_use]
pub fn cgroup_path(text: &str) -> Option<String> {
    let path = text.lines().find_map(|line| line.strip_prefix("0::"))?;
    Some(path.strip_suffix(" (deleted)").unwrap_or(path).to_owned())
}

/// The arguments in the bytes of `/proc/PID/cmdline`. A program that wrote a title over them has one.
#[must_use]
pub fn arguments(cmdline: &[u8]) -> Vec<String> {
    let cmdline = cmdline.strip_suffix(&[0]).unwrap_or(cmdline);
    if cmdline.is_empty() {
        return Vec::new();
    }
    cmdline.split(|b| *b == 0).map(|arg| String::from_utf8_lossy(arg).into_owned()).collect()
}

/// The user's name in the text of `/etc/passwd`, or the number.
#[must_use]
pub fn user_name(passwd: &str, uid: u32) -> String {
    passwd
        .lines()
        .find_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
        })
        .unwrap_or_else(|| uid.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_is_read_past_any_name() {
        let rest = "S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4242 20";
        assert_eq!(start_of(&format!("7 (a) R 9 (b) ) {rest}")), Some(4242));
        assert_eq!(start_of("7 (x"), None);
        assert_eq!(start_of("7 (x) S 1"), None);
    }

    #[test]
    fn the_rest_of_proc_is_read() {
        assert_eq!(effective_uid("Name:\tx\nUid:\t1000\t33\t0\t0\n"), Some(33));
        assert_eq!(effective_uid("Name:\tx\n"), None);
        let hybrid = "9:name=systemd:/x\n4:memory:/process\n0::/system.slice/web.service (deleted)\n";
        assert_eq!(cgroup_path(hybrid).as_deref(), Some("/system.slice/web.service"));
        assert_eq!(cgroup_path("4:memory:/x\n"), None);
        assert_eq!(arguments(b"curl\0-s\0\0x\0"), ["curl", "-s", "", "x"]);
        assert_eq!(arguments(b"nginx: worker"), ["nginx: worker"]);
        assert!(arguments(b"").is_empty());
        let passwd = "root:x:0:0::/root:/bin/sh\nwww:x:33:33::/:/bin/false\nbroken\n";
        assert_eq!((user_name(passwd, 33), user_name(passwd, 7)), ("www".into(), "7".into()));
    }

    #[test]
    fn this_process_is_itself() {
        let me = Process::read(std::process::id()).expect("this process");
        assert!(me.is_same());
        assert_eq!(Path::new(&me.exe), std::env::current_exe().expect("exe"));
        assert_eq!(me.cmdline, std::env::args().collect::<Vec<_>>());
        assert_eq!(Process::read(u32::MAX), None);
        assert!(all().contains(&me.pid));
    }
}
