//! The cgroup2 tree: where it is mounted, and ending everything below a directory of it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::error::{Error, Result, Tried};
use crate::worldfile::full_unit_name;

/// The cgroup2 mount of this machine: /sys/fs/cgroup, or /sys/fs/cgroup/unified on hybrid hosts.
pub(crate) fn mount_point() -> Result<PathBuf> {
    let text = fs::read_to_string("/proc/self/mountinfo").tried(|| "cannot read /proc/self/mountinfo".to_owned())?;
    find_mount(&text).ok_or_else(|| {
        Error::Unreachable(
            "no cgroup2 file system is mounted here, mount one: mount -t cgroup2 none /sys/fs/cgroup".to_owned(),
        )
    })
}

// proc_pid_mountinfo(5): id parent major:minor root mountpoint options [tags…] - fstype source super
fn find_mount(mountinfo: &str) -> Option<PathBuf> {
    mountinfo.lines().find_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        let point = before.split(' ').nth(4)?;
        (after.split(' ').next()? == "cgroup2").then(|| PathBuf::from(point))
    })
}

/// The processes in this very directory, as this process's pid namespace numbers them (0: not in it).
pub(crate) fn processes(dir: &Path) -> Vec<i32> {
    let text = fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
    text.lines().filter_map(|line| line.trim().parse().ok()).collect()
}

/// Moves the calling process into `dir`.
pub(crate) fn enter(dir: &Path) -> io::Result<()> {
    fs::write(dir.join("cgroup.procs"), "0")
}

/// SIGKILL to everything in `dir` and below; those that fork meanwhile too. Does not wait.
pub(crate) fn kill_all(dir: &Path) {
    // cgroup.kill came with 5.14; before it, one pass over the tree, repeated by the callers.
    if fs::write(dir.join("cgroup.kill"), "1").is_err() {
        for below in tree(dir) {
            for pid in processes(&below).into_iter().filter(|pid| *pid > 0) {
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
        }
    }
}

/// Removes `dir` and everything below it.
///
/// # Errors
/// Those of rmdir(2): EBUSY as long as a process lives in it.
pub(crate) fn remove_tree(dir: &Path) -> io::Result<()> {
    for below in tree(dir) {
        match fs::remove_dir(&below) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Kills everything below `dir` and removes it; waits for at most `limit`.
pub(crate) fn clear(dir: &Path, limit: Duration) -> Result<()> {
    let end = Instant::now() + limit;
    loop {
        kill_all(dir);
        match remove_tree(dir) {
            Ok(()) => return Ok(()),
            Err(error) if Instant::now() >= end => {
                return Err(Error::Failed(format!(
                    "processes in {} do not end ({error}), see its cgroup.procs and run `cnnf-lab down` again",
                    dir.display()
                )));
            }
            Err(_) => std::thread::sleep(Duration::from_millis(2)),
        }
    }
}

/// `dir` and all directories below it, children first.
fn tree(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    if let Ok(entries) = fs::read_dir(dir) {
        for entry in entries.flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                found.extend(tree(&entry.path()));
            }
        }
    }
    found.push(dir.to_owned());
    found
}

/// The cgroup in which systemd would run a unit: instances of a template have a slice of their own
/// (systemd.special(7), systemd.unit(5) for the escaping).
pub(crate) fn unit_path(unit: &str) -> String {
    let unit = full_unit_name(unit);
    match unit.split_once('@') {
        Some((prefix, _)) => {
            let escaped = prefix.replace('-', "\\x2d");
            format!("/system.slice/system-{escaped}.slice/{unit}")
        }
        None => format!("/system.slice/{unit}"),
    }
}

/// The cgroup of a root login session.
pub(crate) fn session_path(number: u32) -> String {
    format!("/user.slice/user-0.slice/session-{number}.scope")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_unified_mount_of_a_hybrid_host() {
        let text = "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n\
                    32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
                    41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup2 rw\n";
        assert_eq!(find_mount(text), Some(PathBuf::from("/sys/fs/cgroup/unified")));
        assert_eq!(find_mount("32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"), None);
    }

    #[test]
    fn units_sit_where_systemd_puts_them() {
        assert_eq!(unit_path("nginx"), "/system.slice/nginx.service");
        assert_eq!(unit_path("nginx.service"), "/system.slice/nginx.service");
        assert_eq!(unit_path("postgresql@15-main"), "/system.slice/system-postgresql.slice/postgresql@15-main.service");
        assert_eq!(unit_path("my-app@x"), "/system.slice/system-my\\x2dapp.slice/my-app@x.service");
        assert_eq!(session_path(3), "/user.slice/user-0.slice/session-3.scope");
    }
}
