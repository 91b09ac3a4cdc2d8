//! Making a Debian tree with debootstrap(8), once for all worlds.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::unistd::geteuid;

use super::{is_suite, sources, trees};
use crate::error::{Error, Result, Tried};
use crate::programs;

/// What a host has beside Debian's minimum: systemd with logins, what the defender needs, and services to try.
const PACKAGES: &str = "systemd,systemd-sysv,libpam-systemd,dbus,udev,kmod,iproute2,nftables,libnftnl11,libmnl0,conntrack,\
procps,ca-certificates,curl,netcat-openbsd,iputils-ping,login,cron,sudo,python3-minimal,nginx-light,redis-server,\
dnsmasq-base,openssh-server,postgresql";

/// Debian starts these when they are installed; here a world says what runs.
const NOT_STARTED: [&str; 5] =
    ["nginx.service", "redis-server.service", "ssh.service", "ssh.socket", "postgresql.service"];

/// The file of a tree that says how it was made: the number of the recipe, then a package a line.
const RECIPE: &str = "usr/share/cnnf-lab/recipe";
/// Counts ways of finishing a tree: one of another number is made anew.
const RECIPE_NUMBER: &str = "1";

/// Whether the tree was made by today's recipe, with these packages at least.
pub(crate) fn is_current<'a>(tree: &Path, include: impl IntoIterator<Item = &'a str>) -> bool {
    let Ok(recipe) = fs::read_to_string(tree.join(RECIPE)) else { return false };
    let mut lines = recipe.lines();
    let is_this = lines.next() == Some(RECIPE_NUMBER);
    let made: Vec<&str> = lines.collect();
    is_this && PACKAGES.split(',').chain(include).all(|package| made.contains(&package))
}

/// Makes the tree of `suite`; one that is there already is kept unless `again`, or unless an older recipe made it. Progress goes to `out`.
pub(crate) fn make(
    suite: &str,
    mirror: Option<&str>,
    include: &[String],
    again: bool,
    out: &mut impl Write,
) -> Result<()> {
    if !is_suite(suite) {
        return Err(Error::Usage(format!("`{suite}` is no Debian suite, give one like bookworm or trixie")));
    }
    if !geteuid().is_root() {
        return Err(Error::Unreachable("making a tree needs root, run it with sudo".to_owned()));
    }
    if !programs::is_installed("debootstrap") {
        return Err(Error::Unreachable("debootstrap is not installed, install it (make beds does)".to_owned()));
    }
    let mirror = mirror.map(str::to_owned).or_else(|| sources::mirror(Path::new("/etc"))).ok_or_else(|| {
        Error::Usage("the apt sources of this machine name no Debian mirror, give one with --mirror URL".to_owned())
    })?;
    let folder = trees();
    fs::create_dir_all(&folder).tried(|| format!("cannot make {}", folder.display()))?;
    let lock = folder.join(format!("{suite}.lock"));
    let lock = File::create(&lock).tried(|| format!("cannot make {}", lock.display()))?;
    lock.lock().tried(|| "cannot wait for another that makes this tree".to_owned())?;
    let tree = folder.join(suite);
    if tree.exists() && !again {
        if is_current(&tree, include.iter().flat_map(|packages| packages.split(','))) {
            say(out, &format!("{suite} is in {} already (--again makes it anew)", tree.display()));
            return Ok(());
        }
        say(out, &format!("{} lacks what is in such trees today", tree.display()));
    }
    let begin = Instant::now();
    let draft = folder.join(format!("{suite}.new"));
    let log = folder.join(format!("{suite}.log"));
    remove(&draft)?;
    say(out, &format!("making {suite} in {} from {mirror}", tree.display()));
    let mut packages = PACKAGES.to_owned();
    for package in include {
        packages = format!("{packages},{package}");
    }
    debootstrap(suite, &mirror, &packages, &draft, &log, begin, out)?;
    finish(&draft)?;
    let recipe = draft.join(RECIPE);
    let failed = || format!("cannot write {}", recipe.display());
    fs::create_dir_all(recipe.parent().unwrap_or(&draft)).tried(failed)?;
    fs::write(&recipe, format!("{RECIPE_NUMBER}\n{}\n", packages.replace(',', "\n"))).tried(failed)?;
    let old = folder.join(format!("{suite}.old"));
    remove(&old)?;
    if tree.exists() {
        fs::rename(&tree, &old).tried(|| format!("cannot move {} away", tree.display()))?;
    }
    fs::rename(&draft, &tree).tried(|| format!("cannot put {} in its place", tree.display()))?;
    remove(&old)?;
    say(out, &format!("{suite} is ready, {} s", begin.elapsed().as_secs()));
    Ok(())
}

fn debootstrap(
    suite: &str,
    mirror: &str,
    packages: &str,
    draft: &Path,
    log: &Path,
    begin: Instant,
    out: &mut impl Write,
) -> Result<()> {
    let failed = || "cannot run debootstrap".to_owned();
    let mut copy = File::create(log).tried(|| format!("cannot make {}", log.display()))?;
    let errors = copy.try_clone().tried(failed)?;
    let mut child = Command::new("debootstrap")
        .arg("--variant=minbase")
        .arg(format!("--include={packages}"))
        .arg(suite)
        .arg(draft)
        .arg(mirror)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(errors)
        .spawn()
        .tried(failed)?;
    let mut phases: Vec<String> = Vec::new();
    let mut said = Instant::now();
    let mut complaint = String::new();
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).lines() {
            let line = line.tried(failed)?;
            writeln!(copy, "{line}").tried(failed)?;
            if line.starts_with("E: ") {
                complaint = line.trim_start_matches("E: ").to_owned();
            }
            // "I: Unpacking nginx-light..." a package at a time: a line for each new phase, then one every few seconds.
            let step = line.strip_prefix("I: ").unwrap_or_default();
            let phase = step.split_whitespace().next().unwrap_or_default();
            let quiet = said.elapsed() > Duration::from_secs(10);
            if phase.ends_with("ing") && (!phases.iter().any(|known| known == phase) || quiet) {
                phases.push(phase.to_owned());
                said = Instant::now();
                say(out, &format!("{:>4} s  {step}", begin.elapsed().as_secs()));
            }
        }
    }
    let status = child.wait().tried(failed)?;
    if status.success() {
        return Ok(());
    }
    let complaint = if complaint.is_empty() { status.to_string() } else { complaint };
    Err(Error::Failed(format!(
        "debootstrap failed: {complaint}; see {} and {}",
        log.display(),
        draft.join("debootstrap/debootstrap.log").display()
    )))
}

/// Makes a fresh install fit for being the lower layer of many hosts.
fn finish(tree: &Path) -> Result<()> {
    let failed = || format!("cannot prepare {}", tree.display());
    for unit in NOT_STARTED {
        for target in ["multi-user.target", "sockets.target"] {
            remove(&tree.join(format!("etc/systemd/system/{target}.wants/{unit}")))?;
        }
        remove(&tree.join("etc/systemd/system").join(if unit == "ssh.service" { "sshd.service" } else { unit }))?;
    }
    // The journal stays in memory and hosts get identities of their own.
    for path in ["var/log/journal", "etc/machine-id", "var/lib/dbus/machine-id"] {
        remove(&tree.join(path))?;
    }
    // Nobody logs in at a console or changes packages behind a test's back.
    let units = tree.join("etc/systemd/system");
    for unit in ["console-getty.service", "apt-daily.timer", "apt-daily-upgrade.timer", "e2scrub_all.timer"] {
        let path = units.join(unit);
        remove(&path)?;
        std::os::unix::fs::symlink("/dev/null", path).tried(failed)?;
    }
    for archive in fs::read_dir(tree.join("var/cache/apt/archives")).into_iter().flatten().flatten() {
        if archive.path().extension().is_some_and(|kind| kind == "deb") {
            remove(&archive.path())?;
        }
    }
    Ok(())
}

fn remove(path: &Path) -> Result<()> {
    let Ok(found) = path.symlink_metadata() else { return Ok(()) };
    if found.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }
        .tried(|| format!("cannot remove {}", path.display()))
}

// A reader that went away is no failure of ours.
fn say(out: &mut impl Write, line: &str) {
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_of_an_older_recipe_is_recognised() {
        let tree = tempfile::tempdir().unwrap();
        let write = |text: &str| {
            fs::create_dir_all(tree.path().join(RECIPE).parent().unwrap()).unwrap();
            fs::write(tree.path().join(RECIPE), text).unwrap();
        };
        assert!(!is_current(tree.path(), []), "without a recipe");
        let packages = PACKAGES.replace(',', "\n");
        write(&format!("{RECIPE_NUMBER}\n{packages}\nvim\n"));
        assert!(is_current(tree.path(), []) && is_current(tree.path(), ["vim"]) && !is_current(tree.path(), ["emacs"]));
        write(&format!("0\n{packages}\n"));
        assert!(!is_current(tree.path(), []), "finished in another way");
        write(&format!("{RECIPE_NUMBER}\n{}\n", packages.replace("postgresql", "postgresql-common")));
        assert!(!is_current(tree.path(), []), "without one of its packages");
    }
}
