//! What the running defender takes away from itself, besides what its unit does: system calls, and the files of the thread that speaks with the
//! network.
//!
//! **Landlock confines one thread only.** Whoever is confined by it may look at no process that is not (`hook_ptrace_access_check` in the kernel's
//! security/landlock/task.c): neither at its open files nor at its program, by which services are found. The threads that look at processes are
//! kept from writing by the unit (`ProtectSystem=strict`) and by not being root.

use std::path::Path;

use landlock::{AccessFs, CompatLevel, Compatible, Ruleset, RulesetAttr};
use libc::*;

use crate::confine;

/// What the defender calls besides what both daemons do.
#[rustfmt::skip]
const CALLS: &[c_long] = &[
    // control groups that appear
    SYS_inotify_init1, SYS_inotify_add_watch, SYS_inotify_rm_watch,
    // `systemctl show`, which it runs
    SYS_execve, SYS_wait4, SYS_waitid, SYS_setsid, SYS_capget, SYS_pidfd_open, SYS_pidfd_send_signal,
    // a thread that confines itself once the filter is there
    SYS_landlock_create_ruleset, SYS_landlock_add_rule, SYS_landlock_restrict_self,
];

/// Refuses every other system call (`EPERM`) to the threads that are begun from now on, and to the programs that they run. Namespaces can be
/// entered only if the configuration says that they are.
///
/// # Errors
/// As [`confine::filter`].
pub(crate) fn filter(enter_namespaces: bool) -> Result<(), String> {
    let entering: &[c_long] = if enter_namespaces { &[SYS_setns] } else { &[] };
    confine::filter(&[CALLS, entering].concat())
}

/// Lets the calling thread, and those that it begins, write only below `writable`, read only what names of hosts need, and run nothing.
///
/// # Errors
/// As [`confine::confine`].
pub(crate) fn confine(writable: &[&Path]) -> Result<(), String> {
    confine::confine(&[], writable)
}

/// Whether the kernel has Landlock, switched on.
pub(crate) fn has_landlock() -> bool {
    let needed = Ruleset::default().set_compatibility(CompatLevel::HardRequirement).handle_access(AccessFs::WriteFile);
    needed.and_then(Ruleset::create).is_ok()
}

/// Whether the kernel has filters of system calls.
pub(crate) fn has_filters() -> bool {
    Path::new("/proc/sys/kernel/seccomp/actions_avail").exists()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::ErrorKind;

    use super::*;

    /// Each in a thread of its own, as what is taken away does not come back.
    fn confined<T: Send + 'static>(act: impl FnOnce() -> T + Send + 'static) -> T {
        std::thread::spawn(act).join().expect("the thread")
    }

    #[test]
    fn a_system_call_that_is_not_listed_is_refused() {
        let directory = || rustix::process::chroot("/no/such/directory");
        let before = confined(directory);
        let after = confined(move || filter(false).map(|()| directory()));
        assert_ne!(before, Err(rustix::io::Errno::PERM), "only root could ask");
        assert_eq!(after, Ok(Err(rustix::io::Errno::PERM)));
    }

    #[test]
    fn the_thread_of_the_network_writes_only_its_own_and_sees_no_process() {
        if !has_landlock() {
            println!("skipped: this kernel has no Landlock");
            return;
        }
        let (own, other) = (tempfile::tempdir().expect("directory"), tempfile::tempdir().expect("directory"));
        fs::write(other.path().join("there"), "x").expect("write");
        let (mine, theirs) = (own.path().to_owned(), other.path().to_owned());
        let seen = confined(move || {
            let _ = confine(&[&mine]);
            let kind = |result: std::io::Result<()>| result.map_err(|error| error.kind());
            [
                kind(fs::write(mine.join("file"), "x")),
                kind(fs::rename(mine.join("file"), mine.join("renamed"))),
                kind(fs::read("/etc/hosts").map(drop)),
                kind(fs::write(theirs.join("file"), "x")),
                kind(fs::read(theirs.join("there")).map(drop)),
                kind(fs::read_link("/proc/1/exe").map(drop)),
                kind(std::process::Command::new("true").status().map(drop)),
            ]
        });
        let refused = Err(ErrorKind::PermissionDenied);
        assert_eq!(seen, [Ok(()), Ok(()), Ok(()), refused, refused, refused, refused]);
    }
}
