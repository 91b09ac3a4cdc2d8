//! What the running controller takes away from itself, besides what its unit does: system calls, and files that are none of its business.

use std::path::Path;

use landlock::{
    ABI, Access, AccessFs, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetStatus,
    path_beneath_rules,
};
use libc::*;
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};

/// The newest version of Landlock that is asked for; an older kernel does what it can.
const LANDLOCK: ABI = ABI::V5;

/// What may be read besides the data directory: libc looks names of hosts up there, with what it loads for that.
const READABLE: [&str; 8] = ["/etc", "/usr", "/lib", "/lib64", "/run", "/proc", "/dev", "/sys/fs/cgroup"];
/// What may be written besides the data directory: SQLite puts large intermediate results there.
const WRITABLE: [&str; 2] = ["/tmp", "/var/tmp"];

/// The system calls of the controller and of libc. It runs no programs.
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

/// Confines this thread and all that are begun from now on. What the kernel cannot do is logged, and the controller goes on.
pub(crate) fn enter(data_dir: &Path) {
    match confine(data_dir) {
        Ok(RulesetStatus::FullyEnforced) => {}
        Ok(RulesetStatus::PartiallyEnforced) => {
            tracing::info!(
                "this kernel's Landlock knows only a part of what is asked for: update the kernel for the rest"
            );
        }
        Ok(RulesetStatus::NotEnforced) => tracing::warn!("this kernel has no Landlock: all files stay in reach"),
        Err(error) => tracing::warn!("all files stay in reach: Landlock: {error}"),
    }
    if let Err(error) = filter() {
        tracing::warn!("every system call is open to this process: {error}");
    }
}

/// Lets it write only below the data directory and where temporary files are, read only what it needs, and run nothing.
fn confine(data_dir: &Path) -> Result<RulesetStatus, landlock::RulesetError> {
    let readable = AccessFs::from_read(LANDLOCK) & !AccessFs::Execute;
    let all = AccessFs::from_all(LANDLOCK) & !AccessFs::Execute;
    let status = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(LANDLOCK))?
        .create()?
        .add_rules(path_beneath_rules(READABLE, readable))?
        .add_rules(path_beneath_rules(WRITABLE, all))?
        .add_rules(path_beneath_rules([data_dir], all))?
        .restrict_self()?;
    Ok(status.ruleset)
}

/// Refuses every other system call (`EPERM`).
fn filter() -> Result<(), String> {
    let calls = CALLS.iter().chain(OLDER).map(|call| (*call, Vec::new())).collect();
    let architecture =
        std::env::consts::ARCH.try_into().map_err(|error: seccompiler::BackendError| error.to_string())?;
    let refused = SeccompAction::Errno(EPERM as u32);
    let filter = SeccompFilter::new(calls, refused, SeccompAction::Allow, architecture).map_err(|e| e.to_string())?;
    let program: BpfProgram = filter.try_into().map_err(|error: seccompiler::BackendError| error.to_string())?;
    seccompiler::apply_filter(&program).map_err(|error| error.to_string())
}
