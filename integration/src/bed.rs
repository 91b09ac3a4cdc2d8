//! What hosts are made of: the machine's own files with the lab's init, or a Debian tree booted with systemd.

pub(crate) mod make;
mod sources;

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use nix::unistd::User;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::plan::{PROGRAMS, SEARCH_PATH};
use crate::programs;

/// Where trees are kept unless `CNNF_BEDS` names another folder.
const TREES: &str = "/var/cache/cnnf-lab";

/// What the hosts of a world are made of; the controller always is a namespace of the machine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Bed {
    /// Namespaces with the machine's files and the lab's own small init.
    #[default]
    Netns,
    /// Debian of this suite, booted with systemd as PID 1.
    Systemd {
        /// `bookworm`, `trixie`, …
        suite: String,
    },
}

impl Bed {
    /// Debian 12 booted with systemd.
    pub fn bookworm() -> Bed {
        Bed::Systemd { suite: "bookworm".to_owned() }
    }

    /// Whether this machine has what such hosts are made of.
    ///
    /// # Errors
    /// [`Error::Unreachable`] with what is missing and how to get it.
    pub fn check(&self) -> Result<()> {
        Ground::of(self).map(|_| ())
    }
}

impl FromStr for Bed {
    type Err = String;

    fn from_str(text: &str) -> Result<Bed, String> {
        let (kind, suite) = text.split_once('/').unwrap_or((text, "bookworm"));
        match kind {
            "netns" if !text.contains('/') => Ok(Bed::Netns),
            "systemd" if is_suite(suite) => Ok(Bed::Systemd { suite: suite.to_owned() }),
            _ => Err("it must be netns, systemd (bookworm) or systemd/SUITE".to_owned()),
        }
    }
}

impl TryFrom<String> for Bed {
    type Error = String;

    fn try_from(text: String) -> Result<Bed, String> {
        text.parse()
    }
}

impl From<Bed> for String {
    fn from(bed: Bed) -> String {
        bed.to_string()
    }
}

impl fmt::Display for Bed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Bed::Netns => f.write_str("netns"),
            Bed::Systemd { suite } => write!(f, "systemd/{suite}"),
        }
    }
}

/// Debian's suites are words like `bookworm` or `bookworm-backports`; this one also names a folder.
pub(crate) fn is_suite(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && !text.starts_with('-')
}

/// The folder with the trees, one for each suite.
pub(crate) fn trees() -> PathBuf {
    std::env::var_os("CNNF_BEDS").map_or_else(|| PathBuf::from(TREES), PathBuf::from)
}

/// The files a host of the world sees below its own: programs and users are looked up in them.
#[derive(Debug, Clone)]
pub(crate) enum Ground {
    /// Those of this machine.
    Machine,
    /// A Debian tree in this folder.
    Tree(PathBuf),
}

impl Ground {
    /// # Errors
    /// When the bed's tree was not made yet, or what boots it is not installed.
    pub(crate) fn of(bed: &Bed) -> Result<Ground> {
        let Bed::Systemd { suite } = bed else { return Ok(Ground::Machine) };
        if !programs::is_installed("systemd-nspawn") {
            return Err(Error::Unreachable("systemd-nspawn is not installed, install systemd-container".to_owned()));
        }
        let tree = trees().join(suite);
        let makes = format!("cnnf-lab bed make {suite}");
        if !tree.join("usr/lib/systemd/systemd").exists() {
            let place = tree.display();
            return Err(Error::Unreachable(format!("there is no Debian tree in {place}, make it with: {makes}")));
        }
        if !make::is_current(&tree, []) {
            let place = tree.display();
            return Err(Error::Unreachable(format!(
                "the Debian tree in {place} lacks what is in such trees today, make it anew with: {makes}"
            )));
        }
        Ok(Ground::Tree(tree))
    }

    /// The tree's folder.
    pub(crate) fn tree(&self) -> Option<&Path> {
        match self {
            Ground::Machine => None,
            Ground::Tree(tree) => Some(tree),
        }
    }

    /// How errors call it.
    pub(crate) fn name(&self) -> String {
        match self {
            Ground::Machine => "this machine".to_owned(),
            Ground::Tree(tree) => format!("the tree {}", tree.display()),
        }
    }

    /// Whether a host would find `program` on its search path.
    pub(crate) fn has_program(&self, program: &str) -> bool {
        let Ground::Tree(tree) = self else { return programs::is_installed(program) };
        // A link in the tree may be absolute and lead nowhere from here: that it is there must do.
        let exists = |path: &Path| path.symlink_metadata().is_ok_and(|found| !found.is_dir());
        if program.contains('/') {
            return exists(&tree.join(program.trim_start_matches('/')));
        }
        SEARCH_PATH.split(':').any(|place| match place {
            PROGRAMS => programs::folder().is_ok_and(|folder| folder.join(program).is_file()),
            place => exists(&tree.join(place.trim_start_matches('/')).join(program)),
        })
    }

    /// Numbers of a user and its group.
    pub(crate) fn user(&self, name: &str) -> Option<(u32, u32)> {
        match self {
            Ground::Machine => {
                let user = User::from_name(name).ok().flatten()?;
                Some((user.uid.as_raw(), user.gid.as_raw()))
            }
            Ground::Tree(tree) => find_user(&std::fs::read_to_string(tree.join("etc/passwd")).ok()?, name),
        }
    }
}

// passwd(5): name:password:uid:gid:…
fn find_user(passwd: &str, name: &str) -> Option<(u32, u32)> {
    let fields: Vec<&str> =
        passwd.lines().map(|line| line.split(':').collect::<Vec<_>>()).find(|fields| fields[0] == name)?;
    Some((fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bed_is_written_as_it_is_read() {
        for text in ["netns", "systemd/bookworm", "systemd/trixie"] {
            assert_eq!(text.parse::<Bed>().unwrap().to_string(), text);
        }
        assert_eq!("systemd".parse::<Bed>().unwrap(), Bed::bookworm());
        for wrong in ["", "netns/x", "systemd/", "systemd/../etc", "docker"] {
            assert!(wrong.parse::<Bed>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn users_are_found_by_their_whole_name() {
        let passwd = "root:x:0:0:root:/root:/bin/bash\nwww-data:x:33:34:www-data:/var/www:/usr/sbin/nologin\n";
        assert_eq!(find_user(passwd, "www-data"), Some((33, 34)));
        assert_eq!(find_user(passwd, "www"), None);
    }
}
