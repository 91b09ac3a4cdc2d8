//! A node's view of the file system: the machine's, with private folders mounted over it.
//!
//! All of it lives in the node's mount namespace only and goes with its last process.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;

use nix::mount::{MsFlags, mount};

use crate::error::{Result, Tried};
use crate::plan::Plan;

const NONE: Option<&str> = None;

/// Mounts everything a node has of its own and sets its host name; for PID 1 in fresh namespaces.
pub(super) fn build(plan: &Plan) -> Result<()> {
    let name = &plan.name;
    let failed = |what: &str| format!("cannot {what} in {name}");
    mount(NONE, "/", NONE, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NONE).tried(|| failed("make mounts private"))?;

    // One tmpfs holds all private folders; its parts are then put where they belong.
    let stage = plan.home.join("stage");
    fs::create_dir_all(&stage).tried(|| failed("make the staging folder"))?;
    mount(Some("lab"), &stage, Some("tmpfs"), MsFlags::MS_NOSUID, Some("mode=755"))
        .tried(|| failed("mount a tmpfs"))?;
    let make = |relative: &str, mode: u32| -> Result<()> {
        let path = stage.join(relative);
        fs::create_dir_all(&path)
            .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(mode)))
            .tried(|| failed(&format!("make its {relative}")))
    };
    for folder in ["run", "run/lab", "run/lab-bin", "run/lock", "etc", "etc-work", "var-lib", "var-log"] {
        make(folder, 0o755)?;
    }
    for folder in ["tmp", "var-tmp", "shm"] {
        make(folder, 0o1777)?;
    }
    copy_skeleton(Path::new("/var/lib"), &stage.join("var-lib")).tried(|| failed("prepare /var/lib"))?;
    copy_skeleton(Path::new("/var/log"), &stage.join("var-log")).tried(|| failed("prepare /var/log"))?;

    bind(&plan.home, &stage.join("run/lab")).tried(|| failed("show its folder"))?;
    bind(&plan.programs, &stage.join("run/lab-bin")).tried(|| failed("show the programs"))?;
    // Kept folders are reached by their own paths, which the private /run and /tmp may be about to hide.
    let mut kept = Vec::new();
    for (index, path) in plan.keep.iter().enumerate() {
        let place = format!("keep-{index}");
        make(&place, 0o755)?;
        bind(path, &stage.join(&place)).tried(|| failed("keep a folder"))?;
        kept.push((place, path));
    }

    // Relative paths: an option string has no way to hold a comma or colon of the world's folder.
    std::env::set_current_dir(&stage).tried(|| failed("enter the staging folder"))?;
    mount(Some("lab"), "/etc", Some("overlay"), MsFlags::empty(), Some("lowerdir=/etc,upperdir=etc,workdir=etc-work"))
        .tried(|| failed("mount an overlay over /etc (the kernel needs overlayfs)"))?;
    for (part, target) in
        [("tmp", "/tmp"), ("var-tmp", "/var/tmp"), ("var-lib", "/var/lib"), ("var-log", "/var/log"), ("run", "/run")]
    {
        // Recursive: /run carries the folders bound into it.
        mount(Some(part), target, NONE, MsFlags::MS_BIND | MsFlags::MS_REC, NONE)
            .tried(|| failed(&format!("mount its {target}")))?;
    }
    if Path::new("/dev/shm").is_dir() {
        bind(Path::new("shm"), Path::new("/dev/shm")).tried(|| failed("mount its /dev/shm"))?;
    }
    for (place, path) in kept {
        fs::create_dir_all(path)
            .and_then(|()| bind(Path::new(&place), path))
            .tried(|| failed(&format!("keep {}", path.display())))?;
    }
    std::env::set_current_dir("/").tried(|| failed("leave the staging folder"))?;

    kernel_views().tried(|| failed("mount /proc, /sys and the cgroup tree"))?;
    own_etc(Path::new("/"), plan).tried(|| failed("write its /etc"))?;
    nix::unistd::sethostname(name).tried(|| failed("set the host name"))
}

fn bind(from: &Path, to: &Path) -> io::Result<()> {
    mount(Some(from), to, NONE, MsFlags::MS_BIND, NONE).map_err(io::Error::from)
}

fn kernel_views() -> io::Result<()> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    for (kind, target) in [("proc", "/proc"), ("sysfs", "/sys"), ("cgroup2", super::CGROUPS)] {
        mount(Some(kind), target, Some(kind), flags, NONE)?;
    }
    Ok(())
}

/// Writes what makes the files below `root` those of this one host.
pub(crate) fn own_etc(root: &Path, plan: &Plan) -> io::Result<()> {
    let etc = root.join("etc");
    // A defender of the machine itself must not lend its identity to the hosts of a world.
    match fs::remove_dir_all(etc.join("cnnf")) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let uuid = fs::read_to_string("/proc/sys/kernel/random/uuid")?;
    let machine_id = format!("{}\n", uuid.trim().replace('-', ""));
    for (name, content) in [
        ("machine-id", machine_id.as_str()),
        ("hostname", &format!("{}\n", plan.name)),
        ("hosts", &plan.etc_hosts),
        ("resolv.conf", "# names of this world are in /etc/hosts\noptions timeout:1 attempts:1\n"),
    ] {
        let path = etc.join(name);
        // Removed first: it may be a link into a folder that is not there any more, or read-only.
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => fs::write(&path, content)?,
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644))?;
    }
    Ok(())
}

/// Empty folders with the names, owners and modes of the machine's, as packages expect theirs to be there.
/// Our own are left out: a host makes them itself.
fn copy_skeleton(from: &Path, to: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(from) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        let found = entry.metadata()?;
        if found.is_dir() && !entry.file_name().to_string_lossy().starts_with("cnnf") {
            let path = to.join(entry.file_name());
            fs::create_dir(&path)?;
            chown(&path, Some(found.uid()), Some(found.gid()))?;
            fs::set_permissions(&path, fs::Permissions::from_mode(found.mode() & 0o7777))?;
        }
    }
    Ok(())
}
