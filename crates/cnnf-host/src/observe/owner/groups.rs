//! Control groups by id, and the processes in them.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use cnnf_core::id::ServiceKey;
use cnnf_core::identity::of_cgroup;

use crate::observe::group_path::path_of;
use crate::observe::{cgroups, process};

/// Groups whose list of processes is kept open, at most.
const KEPT: usize = 16;

/// The tree below the root of cgroup2, if that is mounted.
#[derive(Debug)]
pub(super) struct Groups {
    root: Option<PathBuf>,
    paths: HashMap<u64, String>,
    /// By path: a group's list stays open, as packets wait for it.
    lists: HashMap<String, File>,
}

/// Processes that may hold a socket.
pub(super) enum Candidates<'a> {
    /// Those of the group at this path.
    Group(&'a str),
    /// Those of the group at this path and below it.
    Below(&'a str),
    /// All of the host.
    All,
}

impl Groups {
    pub(super) fn new(root: Option<PathBuf>) -> Self {
        Self { root, paths: HashMap::new(), lists: HashMap::new() }
    }

    fn directory(&self, path: &str) -> PathBuf {
        // without a tree no group has processes, and an absolute path could be another tree's
        self.root.as_ref().map_or_else(PathBuf::new, |root| root.join(path_of(path.trim_start_matches('/'))))
    }

    /// The path of the control group of this id; looks through the tree if it is a new one. Without a tree every socket is the root's.
    pub(super) fn path(&mut self, id: u64) -> Option<String> {
        if self.root.is_none() {
            return Some("/".into());
        }
        let is = |path: &str| std::fs::metadata(self.directory(path)).is_ok_and(|m| m.ino() == id);
        if let Some(path) = self.paths.get(&id).filter(|path| is(path)) {
            return Some(path.clone());
        }
        self.read();
        self.paths.get(&id).cloned()
    }

    /// The groups of a service.
    pub(super) fn of_service(&mut self, key: &ServiceKey) -> Vec<String> {
        self.read();
        self.paths.values().filter(|path| of_cgroup(path).service() == Some(key)).cloned().collect()
    }

    fn read(&mut self) {
        self.paths.clear();
        if let Some(root) = self.root.clone() {
            self.walk(&root, "");
        }
    }

    fn walk(&mut self, directory: &Path, path: &str) {
        let Ok(id) = std::fs::metadata(directory).map(|m| m.ino()) else { return };
        self.paths.insert(id, if path.is_empty() { "/".into() } else { path.to_owned() });
        for name in cgroups::subdirectories(directory) {
            self.walk(&directory.join(path_of(&name)), &format!("{path}/{name}"));
        }
    }

    /// The ids of these processes, newest first as far as ids tell.
    pub(super) fn processes(&mut self, of: &Candidates<'_>) -> Vec<u32> {
        let mut pids = match of {
            Candidates::Group(path) => return self.processes_of(path),
            Candidates::Below(path) => {
                let mut pids = Vec::new();
                let mut waiting = vec![self.directory(path)];
                while let Some(directory) = waiting.pop() {
                    pids.extend(cgroups::processes(&directory));
                    waiting
                        .extend(cgroups::subdirectories(&directory).iter().map(|name| directory.join(path_of(name))));
                }
                pids
            }
            Candidates::All => process::all(),
        };
        pids.sort_unstable_by(|a, b| b.cmp(a));
        pids
    }

    /// The ids of the processes of one group, newest first.
    fn processes_of(&mut self, path: &str) -> Vec<u32> {
        if let Some(list) = self.lists.get(path) {
            match read_again(list) {
                Ok(text) => return cgroups::processes_in(&text),
                // this group is gone; another one of its name is another file
                Err(_) => drop(self.lists.remove(path)),
            }
        }
        let Ok(list) = File::open(self.directory(path).join(cgroups::PROCESSES)) else { return Vec::new() };
        let text = read_again(&list).unwrap_or_default();
        if self.lists.len() >= KEPT {
            self.lists.clear();
        }
        self.lists.insert(path.to_owned(), list);
        cgroups::processes_in(&text)
    }
}

/// The text of an open file of the kernel's as it is now. The kernel writes whole lines of ids to a page until there are no more or the next one may not
/// fit: half a page that stays empty was not for want of room, and a packet waits for each further question.
fn read_again(file: &File) -> std::io::Result<Vec<u8>> {
    let mut text = Vec::with_capacity(512);
    let mut room = [0; 4096];
    loop {
        let length = file.read_at(&mut room, text.len() as u64)?;
        text.extend_from_slice(&room[..length]);
        if length < room.len() / 2 {
            return Ok(text);
        }
    }
}
