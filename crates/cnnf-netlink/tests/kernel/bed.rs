//! A network namespace of one's own, for tests against the real kernel.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use nix::sched::{CloneFlags, unshare};

/// Runs `body` in a new network namespace with its loopback up. The namespace belongs to a
/// thread of its own and ends with it: nothing is left behind, also after a panic. Sockets and
/// child processes that `body` makes live in it.
pub(crate) fn in_netns<T: Send + 'static>(body: impl FnOnce() -> T + Send + 'static) -> T {
    let thread = std::thread::spawn(|| {
        unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace needs root");
        run("ip", &["link", "set", "lo", "up"]);
        body()
    });
    match thread.join() {
        Ok(value) => value,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

/// Runs a program in this thread's namespace; it must succeed.
pub(crate) fn run(program: &str, args: &[&str]) -> String {
    let out = attempt(program, args);
    assert!(out.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8_lossy(&out.stdout).into_owned()
}

/// Runs a program in this thread's namespace, whatever it says.
pub(crate) fn attempt(program: &str, args: &[&str]) -> Output {
    Command::new(program).args(args).stdin(Stdio::null()).output().expect("start a program")
}

/// Where cgroup v2 is mounted.
pub(crate) fn cgroup2_mount() -> PathBuf {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").expect("mountinfo");
    let line = mounts.lines().find(|l| l.split(" - ").nth(1).is_some_and(|t| t.starts_with("cgroup2 ")));
    PathBuf::from(line.expect("cgroup2 is mounted").split(' ').nth(4).expect("a mount point"))
}

/// A cgroup of one's own right below the root, removed in the end.
pub(crate) struct Cgroup(PathBuf);

impl Cgroup {
    pub(crate) fn new(name: &str) -> Self {
        let path = cgroup2_mount().join(format!("{name}-{}", std::process::id()));
        std::fs::create_dir(&path).expect("a cgroup needs root");
        Self(path)
    }

    pub(crate) fn id(&self) -> u64 {
        use std::os::unix::fs::MetadataExt;
        std::fs::metadata(&self.0).expect("a cgroup's directory").ino()
    }

    /// Runs a bash script in this cgroup (and this thread's namespace) to its end; its output.
    pub(crate) fn script(&self, script: &str) -> Output {
        let script = format!("echo 0 > {}/cgroup.procs; {script}", self.0.display());
        attempt("bash", &["-c", &script])
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // Its processes may take a moment to be gone.
        for _ in 0..50 {
            if std::fs::remove_dir(&self.0).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}

/// An address, in short.
pub(crate) fn at(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

/// The id of this process's own cgroup.
pub(crate) fn own_cgroup_id() -> u64 {
    use std::os::unix::fs::MetadataExt;
    let text = std::fs::read_to_string("/proc/self/cgroup").expect("own cgroup");
    let path = text.lines().find_map(|l| l.strip_prefix("0::/")).expect("cgroup v2");
    std::fs::metadata(cgroup2_mount().join(path)).expect("its directory").ino()
}

/// Tries again for two seconds until there is something.
pub(crate) fn eventually<T>(mut attempt: impl FnMut() -> Option<T>) -> T {
    for _ in 0..200 {
        if let Some(value) = attempt() {
            return value;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("it did not come about in two seconds");
}
