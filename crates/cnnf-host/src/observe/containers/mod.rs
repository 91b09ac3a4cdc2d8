//! What the containers of this host are called.
//!
//! Their control groups give an id; the name is in files of their runtime. It is decided once for a container: by what the files say when it is
//! first asked for, or a short time later if they say nothing yet. Whoever asks meanwhile waits, so that no connection is ever another
//! service's than the next one.

pub mod records;

use std::collections::{BTreeSet, HashMap};
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};

use cnnf_core::id::ServiceKey;
use cnnf_core::identity::{Container, Record};
use cnnf_core::observation::Observation;

/// How long after a container was first seen its runtime may take to write of it. All known runtimes write before.
const PATIENCE: Duration = Duration::from_millis(300);
/// How often it is looked meanwhile.
pub const AGAIN: Duration = Duration::from_millis(25);
/// How long the files of a user may take: they may be on a file system that the user serves.
const USERS_FILES: Duration = Duration::from_millis(200);
/// The longest file of one container that is read, in bytes.
const ONE_MAX: u64 = 4 << 20;
/// The longest list of all containers that is read, in bytes: some 20,000 of them.
const ALL_MAX: u64 = 16 << 20;
/// Namespaces of containerd that are looked into.
const NAMESPACES_MAX: usize = 16;
/// Containers that are known, at most.
const KNOWN_MAX: usize = 8192;
/// How long a container is kept that was not in a list of those that live.
const KEPT: Duration = Duration::from_secs(60);

/// Where runtimes keep what they know of the host's containers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    /// docker's data directories (`data-root` in daemon.json).
    pub docker: Vec<PathBuf>,
    /// State directories of containerd's runtime, `…/io.containerd.runtime.v2.task`.
    pub containerd: Vec<PathBuf>,
    /// Roots of containers/storage (`graphroot` and `runroot` in storage.conf): podman's and CRI-O's.
    pub storage: Vec<PathBuf>,
}

impl Default for Places {
    fn default() -> Self {
        let paths = |all: &[&str]| all.iter().map(PathBuf::from).collect();
        Self {
            docker: paths(&["/var/lib/docker", "/var/snap/docker/common/var-lib-docker"]),
            containerd: paths(&[
                "/run/containerd/io.containerd.runtime.v2.task",
                "/run/k3s/containerd/io.containerd.runtime.v2.task",
            ]),
            storage: paths(&["/run/containers/storage", "/var/lib/containers/storage"]),
        }
    }
}

impl Places {
    /// Those of a user's own runtimes, in the user's home.
    fn of_home(home: &Path) -> Self {
        let below = |path: &str| vec![home.join(path)];
        Self {
            docker: below(".local/share/docker"),
            containerd: Vec::new(),
            storage: below(".local/share/containers/storage"),
        }
    }
}

/// The names of containers.
#[derive(Debug)]
pub struct Containers {
    places: Places,
    known: Mutex<HashMap<Container, Known>>,
    lists: Mutex<Lists>,
    /// Whether a look into a user's files is under way.
    busy: Arc<AtomicBool>,
}

#[derive(Debug)]
struct Known {
    since: Instant,
    key: Option<ServiceKey>,
}

impl Default for Containers {
    fn default() -> Self {
        Self::new(Places::default())
    }
}

impl Containers {
    /// Those whose runtimes keep their files there.
    #[must_use]
    pub fn new(places: Places) -> Self {
        Self { places, known: Mutex::default(), lists: Mutex::default(), busy: Arc::default() }
    }

    /// The service that a container is. Waits for the runtime's word, if there is none yet: 0.5 s at most, once for a container.
    pub fn key(&self, container: &Container) -> ServiceKey {
        loop {
            if let Some(key) = self.try_key(container) {
                return key;
            }
            std::thread::sleep(AGAIN);
        }
    }

    /// The names of those that are decided by now; what is left waits.
    pub fn decided(&self, waiting: &mut BTreeSet<Container>) -> Vec<Observation> {
        let all = std::mem::take(waiting);
        let mut decided = Vec::new();
        for container in all {
            match self.try_key(&container) {
                Some(key) => decided.push(Observation::ContainerNamed { container, key }),
                None => {
                    waiting.insert(container);
                }
            }
        }
        decided
    }

    /// What a container was called, without a look at its runtime; empty if that is not decided.
    pub fn called(&self, container: &Container) -> String {
        self.known()
            .get(container)
            .and_then(|known| known.key.as_ref())
            .map_or_else(String::new, |key| key.name().into())
    }

    /// Looks once, unless it is decided.
    fn try_key(&self, container: &Container) -> Option<ServiceKey> {
        let since = {
            let mut known = self.known();
            let entry = entry(&mut known, container);
            if let Some(key) = &entry.key {
                return Some(key.clone());
            }
            entry.since
        };
        let late = since.elapsed() >= PATIENCE;
        let record = self.record(container);
        (record.is_some() || late).then(|| self.decide(container, container.key(record.as_ref())))
    }

    /// Keeps the first answer of several that ask at once.
    fn decide(&self, container: &Container, key: ServiceKey) -> ServiceKey {
        entry(&mut self.known(), container).key.get_or_insert(key).clone()
    }

    /// Forgets all but those that live.
    pub fn retain(&self, live: &BTreeSet<Container>) {
        self.known().retain(|container, known| live.contains(container) || known.since.elapsed() < KEPT);
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Container, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is written of a container now.
    fn record(&self, container: &Container) -> Option<Record> {
        let Some(uid) = container.user() else {
            let listed = |path: &Path| {
                self.lists.lock().unwrap_or_else(PoisonError::into_inner).read(path)?.get(container.id()).cloned()
            };
            return look(&self.places, container.id(), listed);
        };
        if self.busy.swap(true, Ordering::AcqRel) {
            return None;
        }
        let (busy, id) = (self.busy.clone(), container.id().to_owned());
        let (tx, rx) = mpsc::channel();
        let started = std::thread::Builder::new().name("users-files".into()).spawn(move || {
            let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
            let found = home(&passwd, uid).and_then(|home| {
                let listed = |path: &Path| records::storage(&read(path, ALL_MAX, Some(uid)).ok()?)?.remove(&id);
                look(&Places::of_home(Path::new(home)), &id, listed)
            });
            busy.store(false, Ordering::Release);
            // nobody waits any more if it took too long
            let _ = tx.send(found);
        });
        if started.is_err() {
            self.busy.store(false, Ordering::Release);
        }
        rx.recv_timeout(USERS_FILES).ok().flatten()
    }
}

/// What is known of a container; where there is no more room the one that has been known longest is forgotten for it.
fn entry<'a>(known: &'a mut HashMap<Container, Known>, container: &Container) -> &'a mut Known {
    if known.len() >= KNOWN_MAX && !known.contains_key(container) {
        let oldest = known.iter().min_by_key(|(_, known)| known.since).map(|(container, _)| container.clone());
        oldest.and_then(|oldest| known.remove(&oldest));
    }
    known.entry(container.clone()).or_insert_with(|| Known { since: Instant::now(), key: None })
}

/// Looks a container up in every place; `listed` reads a list of all containers.
fn look(places: &Places, id: &str, listed: impl Fn(&Path) -> Option<Record>) -> Option<Record> {
    let one = |path: PathBuf| read(&path, ONE_MAX, None).ok();
    let docker = || {
        let mut files = places.docker.iter().map(|place| place.join("containers").join(id).join("config.v2.json"));
        files.find_map(|path| records::docker(&one(path)?))
    };
    let containerd = || {
        let mut namespaces = places.containerd.iter().flat_map(|place| subdirectories(place));
        namespaces.find_map(|namespace| records::bundle(&one(namespace.join(id).join("config.json"))?))
    };
    let stores = || {
        let drivers = ["overlay-containers", "vfs-containers", "btrfs-containers", "zfs-containers"];
        places.storage.iter().flat_map(move |place| drivers.map(|driver| place.join(driver)))
    };
    let annotated =
        || stores().find_map(|store| records::bundle(&one(store.join(id).join("userdata").join("config.json"))?));
    let listed = || stores().find_map(|store| listed(&store.join("containers.json")));
    docker().or_else(containerd).or_else(annotated).or_else(listed)
}

fn subdirectories(place: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(place) else { return Vec::new() };
    entries.filter_map(Result::ok).map(|entry| entry.path()).take(NAMESPACES_MAX).collect()
}

/// Lists of all containers, each read again only when it is another file.
#[derive(Debug, Default)]
struct Lists(HashMap<PathBuf, (Version, HashMap<String, Record>)>);

/// Which version of a file: its device, inode, size and time of change.
type Version = (u64, u64, u64, i64, i64);

impl Lists {
    fn read(&mut self, path: &Path) -> Option<&HashMap<String, Record>> {
        let version = version(&std::fs::metadata(path).ok()?);
        if self.0.get(path).is_none_or(|(known, _)| *known != version) {
            let all = records::storage(&read(path, ALL_MAX, None).ok()?)?;
            self.0.insert(path.to_owned(), (version, all));
        }
        self.0.get(path).map(|(_, all)| all)
    }
}

fn version(of: &Metadata) -> Version {
    (of.dev(), of.ino(), of.size(), of.mtime(), of.mtime_nsec())
}

/// Reads a regular file of at most `max` bytes, without waiting for whoever is at the other end of a pipe, and without following a link in
/// its place. With `owner` only that user's.
fn read(path: &Path, max: u64, owner: Option<u32>) -> io::Result<Vec<u8>> {
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let flags = i32::try_from(flags.bits()).map_err(io::Error::other)?;
    let file: File = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let metadata = file.metadata()?;
    let refuse = |why: &str| Err(io::Error::new(io::ErrorKind::InvalidData, why.to_owned()));
    if !metadata.is_file() || owner.is_some_and(|owner| owner != metadata.uid()) {
        return refuse("this is no file of a container runtime's");
    }
    let mut bytes = Vec::new();
    file.take(max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max {
        return refuse("too long");
    }
    Ok(bytes)
}

/// The home of a user in the text of `/etc/passwd`.
fn home(passwd: &str, uid: u32) -> Option<&str> {
    passwd.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        (fields.get(2)?.parse() == Ok(uid)).then(|| fields.get(5).copied()).flatten()
    })
}

#[cfg(test)]
mod tests;
