//! Booting a host: its file system from the tree, its own settings, then systemd-nspawn for as long as it lives.
//!
//! The mount and network namespaces are made here, so that they go with the last process of the host whatever ends it.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::setsid;

use super::unitfile;
use crate::cgroup;
use crate::error::{Error, Result, Tried};
use crate::init::{CGROUPS, network, rootfs};
use crate::plan::{HOME, PROGRAMS, Plan};

const NONE: Option<&str> = None;

/// Where the host's root is while it is made; below a private /run.
const ROOT: &str = "/run/root";

/// systemd-nspawn ends so when the host wants to boot again (systemd-nspawn(1), "--keep-unit" and "EXIT STATUS").
const REBOOT: i32 = 133;

/// Boots the host of `plan_file` in `cgroup_dir` and stays until it is powered off.
pub(crate) fn run(cgroup_dir: &Path, plan_file: &Path) -> Result<()> {
    // Away from the caller's terminal: its Ctrl-C is not meant for the world.
    setsid().tried(|| "cannot begin a session".to_owned())?;
    let plan = Plan::read(plan_file)?;
    let own = cgroup_dir.join("lab");
    fs::create_dir_all(&own).and_then(|()| cgroup::enter(&own)).tried(|| format!("cannot enter {}", own.display()))?;
    unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET)
        .tried(|| "cannot make namespaces (root is needed, and a kernel that allows them)".to_owned())?;
    build(&plan)?;
    let point = cgroup::mount_point()?;
    show_unified(&point).tried(|| "cannot mount the cgroup tree".to_owned())?;
    let seen = |dir: &Path| Path::new(CGROUPS).join(dir.strip_prefix(&point).unwrap_or(dir));
    let (cgroup_dir, own) = (seen(cgroup_dir), seen(&own));
    network::apply_sysctls(&plan.sysctls);
    loop {
        // systemd-nspawn makes the host's cgroup tree below the cgroup it is started in.
        cgroup::enter(&cgroup_dir).tried(|| format!("cannot enter {}", cgroup_dir.display()))?;
        let mut child = nspawn(&plan.name).spawn().tried(|| "cannot start systemd-nspawn".to_owned())?;
        cgroup::enter(&own).tried(|| format!("cannot enter {}", own.display()))?;
        let status = child.wait().tried(|| "cannot wait for systemd-nspawn".to_owned())?;
        match status.code() {
            Some(REBOOT) => enable(&plan)?,
            Some(0) => return Ok(()),
            _ => return Err(Error::Failed(format!("systemd-nspawn ended ({status})"))),
        }
    }
}

/// From its second boot on, a host starts its units itself; at the first one, `up` does.
fn enable(plan: &Plan) -> Result<()> {
    let wants = Path::new(ROOT).join("etc/systemd/system/multi-user.target.wants");
    let failed = || format!("cannot enable the units of {}", plan.name);
    fs::create_dir_all(&wants).tried(failed)?;
    for unit in &plan.units {
        let link = wants.join(&unit.name);
        if link.symlink_metadata().is_err() {
            symlink(Path::new("/etc/systemd/system").join(&unit.name), link).tried(failed)?;
        }
    }
    Ok(())
}

fn nspawn(name: &str) -> Command {
    let mut command = Command::new("systemd-nspawn");
    command
        .args(["--quiet", "--boot", "--directory", ROOT, "--machine", name, "--hostname", name])
        // No system bus of the machine is asked: there may be none, and it would hold the host beyond our reach.
        .args(["--keep-unit", "--register=no", "--link-journal=no", "--resolv-conf=off", "--timezone=off"])
        .args(["--console=pipe", "--network-namespace-path=/proc/self/ns/net"])
        // A defender needs more than a container's usual rights; without bpf(2), IPAddressDeny= would do nothing. Programs may confine
        // themselves further.
        .arg("--capability=all")
        .arg("--system-call-filter=bpf seccomp landlock_create_ruleset landlock_add_rule landlock_restrict_self")
        .arg(format!("--bind={HOME}"))
        .arg(format!("--bind-ro={PROGRAMS}"))
        .env("SYSTEMD_NSPAWN_UNIFIED_HIERARCHY", "1")
        // Else /proc/sys/net is read-only.
        .env("SYSTEMD_NSPAWN_API_VFS_WRITABLE", "network")
        .stdin(Stdio::null());
    match std::fs::OpenOptions::new().append(true).open(Path::new(HOME).join("log/init.log")) {
        Ok(log) => command.stdout(log),
        Err(_) => command.stdout(Stdio::null()),
    };
    command
}

/// Puts the cgroup2 tree where systemd-nspawn wants it, alone: on a hybrid machine it would make directories in the
/// version 1 trees too, which nobody removes.
fn show_unified(point: &Path) -> nix::Result<()> {
    if point == Path::new(CGROUPS) {
        return Ok(());
    }
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("cgroup2"), CGROUPS, Some("cgroup2"), flags, NONE)
}

/// A private /run with the world's part of it, the programs, and the tree under an overlay in memory.
fn build(plan: &Plan) -> Result<()> {
    let name = &plan.name;
    let failed = |what: &str| format!("cannot {what} for {name}");
    let tree = plan.tree.as_deref().ok_or_else(|| Error::Failed(failed("find a tree")))?;
    mount(NONE, "/", NONE, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NONE).tried(|| failed("make mounts private"))?;
    let stage = plan.home.join("stage");
    fs::create_dir_all(&stage).tried(|| failed("make the staging folder"))?;
    mount(Some("lab"), &stage, Some("tmpfs"), MsFlags::MS_NOSUID, Some("mode=755"))
        .tried(|| failed("mount a tmpfs"))?;
    for folder in ["run", "run/lab", "run/lab-bin", "run/root", "lower", "upper", "work"] {
        let path = stage.join(folder);
        fs::create_dir(&path)
            .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o755)))
            .tried(|| failed(&format!("make its {folder}")))?;
    }
    for (from, to) in [(plan.home.as_path(), "run/lab"), (&plan.programs, "run/lab-bin"), (tree, "lower")] {
        mount(Some(from), &stage.join(to), NONE, MsFlags::MS_BIND, NONE)
            .tried(|| failed(&format!("show {}", from.display())))?;
    }
    // Relative paths: an option string has no way to hold a comma or colon of the world's folder.
    std::env::set_current_dir(&stage).tried(|| failed("enter the staging folder"))?;
    let options = Some("lowerdir=lower,upperdir=upper,workdir=work");
    mount(Some("lab"), "run/root", Some("overlay"), MsFlags::empty(), options)
        .tried(|| failed("mount an overlay over the tree (the kernel needs overlayfs)"))?;
    // What nspawn leaves in /run is gone with the host, and it needs no /run/systemd of the machine.
    mount(Some("run"), "/run", NONE, MsFlags::MS_BIND | MsFlags::MS_REC, NONE).tried(|| failed("mount its /run"))?;
    std::env::set_current_dir("/").tried(|| failed("leave the staging folder"))?;
    rootfs::own_etc(Path::new(ROOT), plan).tried(|| failed("write its /etc"))?;
    let units = Path::new(ROOT).join("etc/systemd/system");
    fs::create_dir_all(&units).tried(|| failed("make its unit folder"))?;
    for unit in &plan.units {
        fs::write(units.join(&unit.name), unitfile::text(unit))
            .tried(|| failed(&format!("write the unit {}", unit.name)))?;
    }
    Ok(())
}
