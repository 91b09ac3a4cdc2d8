//! Processes, as `/proc` shows them (proc(5)).

mod open;

use cnnf_core::id::ServiceKey;
use cnnf_core::identity::{self, Naming, Program};
use procfs::{FromBufRead as _, process};

use super::group_path::text_of;

pub(super) use open::OpenProcess;

/// Where users have names.
const PASSWD: &str = "/etc/passwd";

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
        OpenProcess::open(pid)?.read()
    }

    /// Reads process `pid` if it has a socket of this inode open. It may close it meanwhile: what was read is the process that had it.
    #[must_use]
    pub fn read_holder(pid: u32, inode: u32) -> Option<Self> {
        let process = OpenProcess::open(pid)?;
        if process.holds(inode)? { process.read() } else { None }
    }

    /// The name of its first thread, if it is still there.
    #[must_use]
    pub fn comm(&self) -> Option<String> {
        let stat = OpenProcess::open(self.pid)?.stat()?;
        (stat.starttime == self.start).then_some(stat.comm)
    }

    /// Whether the process of this id is still this one.
    #[must_use]
    pub fn is_same(&self) -> bool {
        OpenProcess::open(self.pid).and_then(|process| process.start()) == Some(self.start)
    }

    /// Whether this very process has a socket of this inode open now, and is what it was when it was read: it may run another program since.
    #[must_use]
    pub fn still_holds(&self, inode: u32) -> bool {
        Self::read_holder(self.pid, inode).as_ref() == Some(self)
    }

    /// What it is called; `service` is what its group decides without an operator's definitions.
    #[must_use]
    pub fn named_by(&self, naming: &Naming, service: Option<&ServiceKey>) -> ServiceKey {
        // a packet waits for this: most definitions need no name of a user
        let passwd =
            if naming.asks_for_users() { std::fs::read_to_string(PASSWD).unwrap_or_default() } else { String::new() };
        let cmdline: Vec<&str> = self.cmdline.iter().map(String::as_str).collect();
        naming.of_process(&Program {
            cgroup: &self.cgroup,
            service,
            exe: &self.exe,
            cmdline: &cmdline,
            cwd: self.cwd.as_deref(),
            uid: self.uid,
            user: user_in(&passwd, self.uid).unwrap_or_default(),
        })
    }

    /// What its program is called.
    #[must_use]
    pub fn program(&self) -> ServiceKey {
        let arguments: Vec<&str> = self.cmdline.iter().map(String::as_str).collect();
        identity::program(&self.exe, &arguments, self.cwd.as_deref())
    }
}

/// The path of the control group of process `pid`.
#[must_use]
pub fn group(pid: u32) -> Option<String> {
    OpenProcess::open(pid)?.group()
}

/// All process ids.
#[must_use]
pub fn all() -> Vec<u32> {
    let Ok(processes) = process::all_processes() else { return Vec::new() };
    processes.filter_map(|process| u32::try_from(process.ok()?.pid()).ok()).collect()
}

/// The control groups in the bytes of `/proc/PID/cgroup`, whatever is in their names; the kernel makes none with a newline in it.
fn groups_in(bytes: &[u8]) -> Option<procfs::ProcessCGroups> {
    procfs::ProcessCGroups::from_buf_read(text_of(bytes).as_bytes()).ok()
}

/// Where systemd put the process: the cgroup2 path, or on a host where it still manages cgroup v1 that of its own hierarchy there.
/// ` (deleted)` is taken off.
fn cgroup_path(groups: &procfs::ProcessCGroups) -> Option<String> {
    let unified = groups.0.iter().find(|group| group.hierarchy == 0).map(|group| group.pathname.as_str());
    let is_systemd = |group: &&procfs::ProcessCGroup| group.controllers.iter().any(|name| name == "name=systemd");
    let legacy = groups.0.iter().find(is_systemd).map(|group| group.pathname.as_str());
    let path = unified.filter(|path| *path != "/").or(legacy).or(unified)?;
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
    user_in(passwd, uid).map_or_else(|| uid.to_string(), str::to_owned)
}

fn user_in(passwd: &str, uid: u32) -> Option<&str> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read() {
        let hybrid = "9:name=systemd:/x\n4:memory:/process\n0::/system.slice/web.service (deleted)\n";
        let groups = |text: &str| procfs::ProcessCGroups::from_buf_read(text.as_bytes()).expect("groups");
        assert_eq!(cgroup_path(&groups(hybrid)).as_deref(), Some("/system.slice/web.service"));
        assert_eq!(cgroup_path(&groups("4:memory:/x\n")), None);
        assert_eq!(
            cgroup_path(&groups("9:name=systemd:/a.service\n0::/\n")).as_deref(),
            Some("/a.service"),
            "cgroup v1"
        );
        assert_eq!(
            cgroup_path(&groups("9:name=systemd:/a.service\n")).as_deref(),
            Some("/a.service"),
            "cgroup v1 alone"
        );
        assert_eq!(cgroup_path(&groups("0::/\n")).as_deref(), Some("/"));
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
        assert_eq!(std::path::Path::new(&me.exe), std::env::current_exe().expect("exe"));
        assert_eq!(me.cmdline, std::env::args().collect::<Vec<_>>());
        assert_eq!(Process::read(u32::MAX), None);
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let inode = rustix::fs::fstat(&socket).expect("its inode").st_ino;
        let inode = u32::try_from(inode).expect("a socket's inode has 32 bits");
        assert!(me.still_holds(inode));
        assert!(!Process { start: me.start + 1, ..me.clone() }.still_holds(inode), "another process of the same id");
        assert!(!Process { exe: "/bin/before".into(), ..me.clone() }.still_holds(inode), "it runs another program");
        assert_eq!(Process::read_holder(me.pid, inode), Some(me.clone()));
        drop(socket);
        assert!(!me.still_holds(inode));
        assert_eq!(Process::read_holder(me.pid, inode), None);
        assert!(all().contains(&me.pid));
    }
}
