//! What a daemon takes away from itself: system calls (seccomp) and files (Landlock). Part of each daemon, which adds what is its own.

use std::path::Path;

use landlock::{
    ABI, Access, AccessFs, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetStatus,
    path_beneath_rules,
};
use libc::*;
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};

/// The newest version of Landlock that is asked for; an older kernel does what it can.
const LANDLOCK: ABI = ABI::V5;

/// What libc reads to look up names of hosts, with what it loads for that.
pub(crate) const READABLE: [&str; 7] = ["/etc", "/usr", "/lib", "/lib64", "/run", "/proc", "/dev"];

/// The system calls of both daemons and of libc.
#[rustfmt::skip]
const CALLS: &[c_long] = &[
    // files
    SYS_openat, SYS_close, SYS_close_range, SYS_read, SYS_readv, SYS_write, SYS_writev, SYS_pread64,
    SYS_pwrite64, SYS_lseek, SYS_fsync, SYS_fdatasync, SYS_ftruncate, SYS_fallocate, SYS_flock, SYS_fcntl,
    SYS_ioctl, SYS_dup, SYS_dup3, SYS_newfstatat, SYS_fstat, SYS_statx, SYS_statfs, SYS_fstatfs, SYS_getdents64,
    SYS_readlinkat, SYS_faccessat, SYS_faccessat2, SYS_fchmod, SYS_fchmodat, SYS_fchown, SYS_fchownat,
    SYS_mkdirat, SYS_unlinkat, SYS_renameat, SYS_renameat2, SYS_symlinkat, SYS_umask, SYS_getcwd, SYS_chdir,
    SYS_fadvise64, SYS_name_to_handle_at, SYS_copy_file_range,
    // sockets
    SYS_socket, SYS_socketpair, SYS_bind, SYS_listen, SYS_accept, SYS_accept4, SYS_connect, SYS_getsockname,
    SYS_getpeername, SYS_getsockopt, SYS_setsockopt, SYS_shutdown, SYS_sendto, SYS_sendmsg, SYS_sendmmsg,
    SYS_recvfrom, SYS_recvmsg, SYS_recvmmsg,
    // waiting
    SYS_ppoll, SYS_pselect6, SYS_epoll_create1, SYS_epoll_ctl, SYS_epoll_pwait, SYS_eventfd2, SYS_pipe2,
    SYS_timerfd_create, SYS_timerfd_settime, SYS_signalfd4, SYS_nanosleep, SYS_clock_nanosleep,
    SYS_clock_gettime, SYS_clock_getres, SYS_gettimeofday, SYS_restart_syscall,
    // memory
    SYS_brk, SYS_mmap, SYS_munmap, SYS_mremap, SYS_mprotect, SYS_madvise, SYS_membarrier, SYS_futex,
    SYS_set_robust_list, SYS_get_robust_list, SYS_rseq, SYS_getrandom, SYS_memfd_create,
    // threads
    SYS_clone, SYS_clone3, SYS_exit, SYS_exit_group, SYS_kill, SYS_tkill, SYS_tgkill, SYS_gettid, SYS_getpid,
    SYS_getppid, SYS_getpgid, SYS_getsid, SYS_getuid, SYS_geteuid, SYS_getgid, SYS_getegid, SYS_getgroups,
    SYS_getresuid, SYS_getresgid, SYS_getpriority, SYS_setpriority, SYS_prctl, SYS_prlimit64, SYS_getrlimit,
    SYS_getrusage, SYS_sysinfo, SYS_uname, SYS_sched_yield, SYS_sched_getaffinity, SYS_sched_getparam,
    SYS_sched_getscheduler, SYS_set_tid_address, SYS_sigaltstack, SYS_rt_sigaction, SYS_rt_sigprocmask,
    SYS_rt_sigreturn, SYS_rt_sigtimedwait,
];

/// The older forms of some of them, which newer architectures do not have.
#[cfg(target_arch = "x86_64")]
#[rustfmt::skip]
const OLDER: &[c_long] = &[
    SYS_open, SYS_stat, SYS_lstat, SYS_access, SYS_readlink, SYS_mkdir, SYS_rmdir, SYS_unlink, SYS_rename,
    SYS_chmod, SYS_chown, SYS_dup2, SYS_pipe, SYS_poll, SYS_select, SYS_epoll_wait, SYS_getpgrp, SYS_arch_prctl,
    SYS_time,
];
#[cfg(not(target_arch = "x86_64"))]
const OLDER: &[c_long] = &[];

/// Refuses every system call but those of [`CALLS`] and `more` (`EPERM`) to this thread, to threads that are begun from now on, and to the
/// programs that they run.
///
/// # Errors
/// The kernel has no filters of system calls, or none are made for this architecture.
pub(crate) fn filter(more: &[c_long]) -> Result<(), String> {
    let calls = CALLS.iter().chain(OLDER).chain(more).map(|call| (*call, Vec::new())).collect();
    let architecture =
        std::env::consts::ARCH.try_into().map_err(|error: seccompiler::BackendError| error.to_string())?;
    let refused = SeccompAction::Errno(EPERM as u32);
    let filter = SeccompFilter::new(calls, refused, SeccompAction::Allow, architecture).map_err(|e| e.to_string())?;
    let program: BpfProgram = filter.try_into().map_err(|error: seccompiler::BackendError| error.to_string())?;
    seccompiler::apply_filter(&program).map_err(|error| error.to_string())
}

/// Lets this thread, and those that it begins, write only below `writable`, read besides only below [`READABLE`] and `readable`, and run
/// nothing.
///
/// A kernel with an older Landlock (Debian 12's) does what it knows; only a newer one can do more, so that is said and nothing to warn of.
///
/// # Errors
/// The kernel does not do it; the thread goes on.
pub(crate) fn confine(readable: &[&Path], writable: &[&Path]) -> Result<(), String> {
    let read = AccessFs::from_read(LANDLOCK) & !AccessFs::Execute;
    let all = AccessFs::from_all(LANDLOCK) & !AccessFs::Execute;
    let restricted = || {
        Ruleset::default()
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(AccessFs::from_all(LANDLOCK))?
            .create()?
            .add_rules(path_beneath_rules(READABLE, read))?
            .add_rules(path_beneath_rules(readable, read))?
            .add_rules(path_beneath_rules(writable, all))?
            .restrict_self()
    };
    match restricted().map_err(|error: landlock::RulesetError| error.to_string())?.ruleset {
        RulesetStatus::FullyEnforced => Ok(()),
        RulesetStatus::PartiallyEnforced => {
            tracing::info!(
                "this kernel's Landlock knows only a part of what is asked for: files are confined by that part"
            );
            Ok(())
        }
        RulesetStatus::NotEnforced => Err("this kernel has no Landlock".into()),
    }
}
