//! The folder of a world: what is where in it, and its state file.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::bed::Bed;
use crate::error::{Error, Result, Tried};

/// A world's folder, by absolute path.
#[derive(Debug, Clone)]
pub(crate) struct WorldDir {
    path: PathBuf,
}

/// What outlives the processes: enough for `down` to find everything. Written before anything is made.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct State {
    /// Unique on the machine; the world's cgroup is `cnnf-lab-ID`.
    pub(crate) id: String,
    /// True once `up` was done.
    pub(crate) up: bool,
    /// What its hosts are made of.
    #[serde(default)]
    pub(crate) bed: Bed,
    /// The world's cgroup directory.
    pub(crate) cgroup: PathBuf,
    /// Whether the world has a controller.
    pub(crate) controller: bool,
    /// The hosts in order.
    pub(crate) hosts: Vec<HostState>,
}

/// What is known of a host from the outside.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct HostState {
    pub(crate) name: String,
    pub(crate) addresses: Vec<String>,
    pub(crate) labels: std::collections::BTreeMap<String, String>,
    pub(crate) defender: bool,
}

impl State {
    /// Every node with an init: the hosts, the controller, the bridge.
    pub(crate) fn nodes(&self) -> Vec<&str> {
        let mut nodes: Vec<&str> = self.hosts.iter().map(|host| host.name.as_str()).collect();
        if self.controller {
            nodes.push("controller");
        }
        nodes.push("bridge");
        nodes
    }

    /// The node's cgroup directory: everything of it is in there.
    pub(crate) fn node_cgroup(&self, node: &str) -> PathBuf {
        self.cgroup.join(node)
    }

    /// The cgroup directory that the node's processes see as the root; systemd-nspawn calls its own `payload`.
    pub(crate) fn node_root(&self, node: &str) -> PathBuf {
        let dir = self.node_cgroup(node);
        if self.is_booted(node) { dir.join("payload") } else { dir }
    }

    /// Whether systemd is the node's PID 1.
    pub(crate) fn is_booted(&self, node: &str) -> bool {
        self.bed != Bed::Netns && self.hosts.iter().any(|host| host.name == node)
    }

    /// Refuses a name that is no host (nor the controller) of this world.
    pub(crate) fn check_node(&self, node: &str) -> Result<()> {
        if self.nodes().contains(&node) && node != "bridge" {
            return Ok(());
        }
        let mut known: Vec<&str> = self.nodes();
        known.retain(|node| *node != "bridge");
        Err(Error::Usage(format!("no host `{node}` in this world, it has: {}", known.join(", "))))
    }
}

impl WorldDir {
    /// The folder given by `--dir`, made absolute without resolving links.
    pub(crate) fn new(dir: &Path) -> Result<Self> {
        let path = std::path::absolute(dir).tried(|| format!("cannot use {} as a world's folder", dir.display()))?;
        Ok(WorldDir { path })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn node(&self, node: &str) -> PathBuf {
        self.path.join("hosts").join(node)
    }

    pub(crate) fn logs(&self, node: &str) -> PathBuf {
        self.node(node).join("log")
    }

    pub(crate) fn controller(&self) -> PathBuf {
        self.path.join("controller")
    }

    pub(crate) fn admin_file(&self) -> PathBuf {
        self.controller().join("admin.toml")
    }

    fn state_file(&self) -> PathBuf {
        self.path.join("state.json")
    }

    /// The state of a world that was begun here, or `None`.
    pub(crate) fn load(&self) -> Result<Option<State>> {
        match fs::read_to_string(self.state_file()) {
            Ok(text) => serde_json::from_str(&text).map(Some).map_err(|error| {
                Error::Failed(format!(
                    "{} is damaged ({error}), end the processes of its world by hand and remove it",
                    self.state_file().display()
                ))
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).tried(|| format!("cannot read {}", self.state_file().display())),
        }
    }

    /// The state of a world that is up.
    ///
    /// # Errors
    /// [`Error::Unreachable`] when there is none.
    pub(crate) fn load_up(&self) -> Result<State> {
        self.load()?.filter(|state| state.up).ok_or_else(|| {
            Error::Unreachable(format!("no world is up in {}, start one with `cnnf-lab up`", self.path.display()))
        })
    }

    /// Replaces the state file in one step, so that a crash leaves the old or the new one.
    pub(crate) fn save(&self, state: &State) -> Result<()> {
        let text = serde_json::to_string_pretty(state)
            .map_err(|error| Error::Failed(format!("cannot write the world's state: {error}")))?;
        let draft = self.path.join("state.json.new");
        let write = || -> io::Result<()> {
            let mut file = File::create(&draft)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&draft, self.state_file())
        };
        write().tried(|| format!("cannot write {}", self.state_file().display()))
    }

    /// Refuses a folder with anything in it that no world put there, as `down` would remove it.
    pub(crate) fn check_unused(&self) -> Result<()> {
        let entries = fs::read_dir(&self.path).tried(|| format!("cannot read {}", self.path.display()))?;
        for entry in entries.flatten() {
            let name = entry.file_name();
            if name != "lock" && name != "state.json.new" {
                return Err(Error::Usage(format!(
                    "{} holds {} and is no world's folder, give --dir an empty one or one to be made",
                    self.path.display(),
                    name.display()
                )));
            }
        }
        Ok(())
    }

    /// Takes the world's lock, so that only one `up` or `down` works on the folder; it ends with the process.
    pub(crate) fn lock(&self) -> Result<File> {
        fs::create_dir_all(&self.path).tried(|| format!("cannot make {}", self.path.display()))?;
        let path = self.path.join("lock");
        let file = File::create(&path).tried(|| format!("cannot make {}", path.display()))?;
        let end = Instant::now() + Duration::from_secs(5);
        while file.try_lock().is_err() {
            if Instant::now() >= end {
                return Err(Error::Unreachable(format!(
                    "another cnnf-lab is at work in {}, wait for it or use another --dir",
                    self.path.display()
                )));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(file)
    }

    /// Removes the lock, and the folder too when nothing else is in it.
    pub(crate) fn remove_shell(&self) {
        let _ = fs::remove_file(self.path.join("lock"));
        let _ = fs::remove_dir(&self.path);
    }

    /// Removes what a world put here, but not the lock; the state last, so that it can be done again.
    pub(crate) fn remove_contents(&self) -> Result<()> {
        for name in ["hosts", "controller"] {
            let path = self.path.join(name);
            match fs::remove_dir_all(&path) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error).tried(|| format!("cannot remove {}", path.display())),
            }
        }
        for name in ["state.json.new", "state.json"] {
            let _ = fs::remove_file(self.path.join(name));
        }
        Ok(())
    }
}

/// Makes a directory that everybody may enter, whatever the caller's umask.
pub(crate) fn make_open_dir(path: &Path) -> Result<()> {
    fs::create_dir_all(path)
        .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(0o755)))
        .tried(|| format!("cannot make {}", path.display()))
}
