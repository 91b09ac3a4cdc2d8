//! The tree of control groups: which there are, and which come and go.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsStr;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use cnnf_core::observation::Observation;
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};

use super::group_path::{path_of, text_of};

/// The deepest tree that is followed, so that a hostile one costs nothing.
const DEPTH_MAX: usize = 32;
/// The file of a group that lists its processes.
pub(super) const PROCESSES: &str = "cgroup.procs";

/// Where cgroup2 is mounted, from the text of `/proc/self/mountinfo` (proc(5)): the unified tree, or the one beside cgroup v1.
#[must_use]
pub fn mount_point(mountinfo: &str) -> Option<PathBuf> {
    mountinfo.lines().find_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        if after.split(' ').next() != Some("cgroup2") {
            return None;
        }
        let mut fields = before.split(' ');
        let (root, point) = (fields.nth(3)?, fields.next()?);
        // a bind mount of a part of the tree would show wrong paths
        (root == "/").then(|| PathBuf::from(unoctal(point)))
    })
}

/// mountinfo writes space, tab, newline and backslash as `\ooo`.
fn unoctal(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let code = rest.get(at + 1..at + 4).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match code {
            Some(code) => {
                out.push(char::from(code));
                rest = &rest[at + 4..];
            }
            None => {
                out.push('\\');
                rest = &rest[at + 1..];
            }
        }
    }
    out.push_str(rest);
    out
}

/// Follows a tree of control groups by inotify.
#[derive(Debug)]
pub struct Watcher {
    root: PathBuf,
    inotify: OwnedFd,
    watched: HashMap<i32, String>,
    known: BTreeMap<String, Known>,
}

/// A group, with its watch unless there are too many.
#[derive(Clone, Copy, Debug)]
struct Known {
    id: u64,
    watch: Option<i32>,
}

impl Watcher {
    /// Watches the tree below `root`, and says which groups there are. The root itself is the group `/`.
    ///
    /// # Errors
    /// No inotify, or no such directory.
    pub fn open(root: PathBuf) -> io::Result<(Self, Vec<Observation>)> {
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        let mut watcher = Self { root, inotify, watched: HashMap::new(), known: BTreeMap::new() };
        std::fs::metadata(&watcher.root)?;
        let seen = watcher.rescan();
        Ok((watcher, seen))
    }

    /// The directory of the group at `path`.
    #[must_use]
    pub fn directory(&self, path: &str) -> PathBuf {
        self.root.join(path_of(path.trim_start_matches('/')))
    }

    /// Reads what came and went; nothing if there is nothing to read.
    ///
    /// # Errors
    /// Those of read(2).
    pub fn read(&mut self) -> io::Result<Vec<Observation>> {
        let mut out = Vec::new();
        let mut buffer = [const { MaybeUninit::<u8>::uninit() }; 16 * 1024];
        let mut overflow = false;
        let mut changes: Vec<(String, bool)> = Vec::new();
        let mut dropped = Vec::new();
        {
            let mut reader = inotify::Reader::new(&self.inotify, &mut buffer);
            loop {
                let event = match reader.next() {
                    Ok(event) => event,
                    Err(error) if error == rustix::io::Errno::AGAIN => break,
                    Err(error) if error == rustix::io::Errno::INTR => continue,
                    Err(error) => return Err(error.into()),
                };
                let flags = event.events();
                overflow |= flags.contains(ReadFlags::QUEUE_OVERFLOW);
                if flags.contains(ReadFlags::IGNORED) {
                    dropped.push(event.wd());
                }
                if !flags.contains(ReadFlags::ISDIR) {
                    continue;
                }
                let Some((parent, name)) = self.watched.get(&event.wd()).zip(event.file_name()) else { continue };
                let path = format!("{}/{}", parent.trim_end_matches('/'), text_of(name.to_bytes()));
                changes.push((path, flags.contains(ReadFlags::CREATE)));
            }
        }
        for (path, made) in changes {
            if made {
                self.scan(path, &mut out);
            } else {
                self.forget(&path, &mut out);
            }
        }
        for wd in dropped {
            self.watched.remove(&wd);
        }
        if overflow {
            out.extend(self.rescan());
        }
        Ok(out)
    }

    /// The paths of all groups that are known.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.known.keys().map(String::as_str)
    }

    /// Walks the whole tree; says what is different from what was known.
    pub fn rescan(&mut self) -> Vec<Observation> {
        let mut out = Vec::new();
        let before: BTreeSet<String> = self.known.keys().cloned().collect();
        let mut seen = BTreeSet::new();
        self.walk("/".into(), &mut out, &mut seen);
        for path in before.difference(&seen) {
            self.forget(path, &mut out);
        }
        out
    }

    fn scan(&mut self, path: String, out: &mut Vec<Observation>) {
        self.walk(path, out, &mut BTreeSet::new());
    }

    /// The watch comes before the listing, so that a group made meanwhile is seen by one of them.
    fn walk(&mut self, path: String, out: &mut Vec<Observation>, seen: &mut BTreeSet<String>) {
        if path.matches('/').count() > DEPTH_MAX {
            return;
        }
        let directory = self.directory(&path);
        let Ok(id) = std::fs::metadata(&directory).map(|m| m.ino()) else { return };
        let flags = WatchFlags::CREATE | WatchFlags::DELETE | WatchFlags::ONLYDIR | WatchFlags::DONT_FOLLOW;
        // without a watch (fs.inotify.max_user_watches) the next rescan sees what came
        let watch = inotify::add_watch(&self.inotify, &directory, flags).ok();
        self.watched.extend(watch.map(|wd| (wd, path.clone())));
        seen.insert(path.clone());
        let old = self.known.insert(path.clone(), Known { id, watch });
        if let Some(old) = old.filter(|old| old.watch != watch) {
            self.unwatch(old);
        }
        if old.is_none_or(|old| old.id != id) {
            out.extend(old.map(|old| Observation::CgroupGone { id: old.id }));
            out.push(Observation::CgroupSeen { path: path.clone(), id });
        }
        for name in subdirectories(&directory) {
            self.walk(format!("{}/{name}", path.trim_end_matches('/')), out, seen);
        }
    }

    fn forget(&mut self, path: &str, out: &mut Vec<Observation>) {
        if let Some(group) = self.known.remove(path) {
            self.unwatch(group);
            out.push(Observation::CgroupGone { id: group.id });
        }
    }

    /// The kernel drops the watch of a directory that is removed, but not that of a control group: each would be one of the user's watches, and
    /// keep the group's inode, for ever.
    fn unwatch(&mut self, group: Known) {
        if let Some(wd) = group.watch {
            self.watched.remove(&wd);
            // refused if the kernel did drop it
            let _ = inotify::remove_watch(&self.inotify, wd);
        }
    }
}

impl AsFd for Watcher {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}

/// The names of what is in a group, as they stand in a path.
pub(super) fn subdirectories(directory: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    entries
        .filter_map(Result::ok)
        .filter(|entry| entry.file_type().is_ok_and(|t| t.is_dir()))
        .map(|entry| text_of(entry.file_name().as_bytes()))
        .collect()
}

/// The ids of the processes in a group, newest first as far as ids tell; none if the group is gone.
#[must_use]
pub fn processes(directory: &Path) -> Vec<u32> {
    processes_in(&std::fs::read(directory.join(PROCESSES)).unwrap_or_default())
}

/// The same, in the text of that file.
pub(super) fn processes_in(text: &[u8]) -> Vec<u32> {
    let mut pids: Vec<u32> = text
        .split(|b| *b == b'\n')
        .filter_map(|line| OsStr::from_bytes(line).to_str()?.parse().ok())
        .filter(|pid| *pid != 0)
        .collect();
    pids.sort_unstable_by(|a, b| b.cmp(a));
    pids
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_unified_and_the_hybrid_tree_are_found() {
        let unified = "22 1 0:5 / /proc rw - proc proc rw\n\
                       30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate";
        assert_eq!(mount_point(unified), Some("/sys/fs/cgroup".into()));
        let hybrid = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n\
                      33 31 0:30 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
                      40 31 0:37 /part /mnt/part rw - cgroup2 cgroup2 rw\n\
                      41 31 0:38 / /sys/fs/cgroup/uni\\040fied rw shared:9 master:1 - cgroup2 cgroup2 rw";
        assert_eq!(mount_point(hybrid), Some("/sys/fs/cgroup/uni fied".into()));
        assert_eq!(mount_point("1 2 0:1 / / rw - ext4 /dev/vda rw"), None);
        assert_eq!(mount_point("nonsense - "), None);
    }

    fn paths(seen: &[Observation]) -> Vec<&str> {
        seen.iter()
            .filter_map(|o| if let Observation::CgroupSeen { path, .. } = o { Some(path.as_str()) } else { None })
            .collect()
    }

    /// inotify works alike on any directory; a real tree is used where root may.
    #[test]
    fn directories_that_come_and_go_are_seen() {
        let root = tempfile::tempdir().expect("directory");
        std::fs::create_dir_all(root.path().join("system.slice/a.service")).expect("mkdir");
        let (mut w, seen) = Watcher::open(root.path().into()).expect("watch");
        assert_eq!(paths(&seen), ["/", "/system.slice", "/system.slice/a.service"]);
        std::fs::create_dir_all(root.path().join("system.slice/b.service/sub")).expect("mkdir");
        std::fs::remove_dir(root.path().join("system.slice/a.service")).expect("rmdir");
        assert!(cnnf_netlink::wait_readable(&w, Duration::from_secs(5)).expect("poll"));
        let mut seen = w.read().expect("read");
        seen.extend(w.read().expect("read"));
        assert_eq!(paths(&seen), ["/system.slice/b.service", "/system.slice/b.service/sub"]);
        assert_eq!(seen.iter().filter(|o| matches!(o, Observation::CgroupGone { .. })).count(), 1);
        assert!(w.rescan().is_empty(), "nothing was missed");
    }

    #[test]
    fn root_nothing_is_left_of_control_groups_that_are_gone() {
        let mountinfo = std::fs::read_to_string("/proc/self/mountinfo").expect("mountinfo");
        let root = mount_point(&mountinfo).expect("cgroup2").join(format!("cnnf_gone_{}", std::process::id()));
        std::fs::create_dir(&root).expect("mkdir");
        let (mut w, _) = Watcher::open(root.clone()).expect("watch");
        let mut come_and_go = |seen: bool| {
            std::fs::create_dir_all(root.join("a/b")).expect("mkdir");
            let made = if seen { w.read() } else { Ok(Vec::new()) };
            std::fs::remove_dir(root.join("a/b")).and_then(|()| std::fs::remove_dir(root.join("a"))).expect("rmdir");
            let ended = w.read();
            (paths(&made.expect("read")).len(), ended.expect("read").len())
        };
        let mut all: Vec<_> = (0..20).map(|_| come_and_go(true)).collect();
        all.extend((0..20).map(|_| come_and_go(false)));
        for n in 0..20 {
            std::fs::create_dir_all(root.join("c/d")).expect("mkdir");
            // the same name again, before anybody has heard that the one before is gone
            if n % 2 == 0 {
                let _ = w.rescan();
            }
            std::fs::remove_dir(root.join("c/d")).and_then(|()| std::fs::remove_dir(root.join("c"))).expect("rmdir");
        }
        let _ = w.read();
        let fdinfo = format!("/proc/self/fdinfo/{}", w.as_fd().as_raw_fd());
        let kernel = std::fs::read_to_string(fdinfo).map(|text| text.matches("inotify wd:").count());
        std::fs::remove_dir(&root).expect("rmdir");
        assert!(all[..20].iter().all(|seen| *seen == (2, 2)), "{all:?}");
        assert_eq!((w.watched.len(), w.known.len(), kernel.expect("fdinfo")), (1, 1, 1), "only the root's");
    }

    #[test]
    fn root_a_real_control_group_has_its_id_before_a_process_can_use_it() {
        let mountinfo = std::fs::read_to_string("/proc/self/mountinfo").expect("mountinfo");
        let root = mount_point(&mountinfo).expect("cgroup2");
        let directory = root.join(format!("cnnf_test_{}", std::process::id()));
        let (mut w, _) = Watcher::open(root).expect("watch");
        std::fs::create_dir(&directory).expect("mkdir");
        let id = std::fs::metadata(&directory).expect("stat").ino();
        let readable = cnnf_netlink::wait_readable(&w, Duration::from_secs(5));
        let seen = w.read();
        std::fs::remove_dir(&directory).expect("rmdir");
        assert!(readable.expect("poll"));
        assert!(seen.expect("read").iter().any(|o| matches!(o, Observation::CgroupSeen { id: i, .. } if *i == id)));
    }
}
