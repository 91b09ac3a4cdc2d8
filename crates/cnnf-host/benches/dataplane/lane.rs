//! Lanes: two network namespaces joined by a cable, the firewall on the client's. Each way of filtering has a lane of its own, so that all of
//! them stand ready at the same time and are measured in turns.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;

use cnnf_host::observe::cgroups;
use nix::sched::{CloneFlags, setns, unshare};

use crate::Fallible;

/// The server's address on every lane.
pub(crate) const SERVER: &str = "10.97.0.2";
/// The client's.
pub(crate) const CLIENT: &str = "10.97.0.1";

/// Two control groups, of a service and of a login session; they go when this does.
pub(crate) struct Groups(PathBuf);

impl Groups {
    pub(crate) fn make() -> Fallible<Self> {
        let root =
            cgroups::mount_point(&fs::read_to_string("/proc/self/mountinfo")?).ok_or("cgroup2 is not mounted")?;
        let groups = Self(root.join(format!("cnnf-bench-{}", std::process::id())));
        for path in [groups.service(), groups.session()] {
            fs::create_dir_all(path)?;
        }
        Ok(groups)
    }

    /// That of the known service.
    pub(crate) fn service(&self) -> PathBuf {
        self.0.join("client.service")
    }

    /// That of programs that the kernel cannot tell apart.
    pub(crate) fn session(&self) -> PathBuf {
        self.0.join("session-1.scope")
    }

    pub(crate) fn service_id(&self) -> Fallible<u64> {
        Ok(fs::metadata(self.service())?.ino())
    }

    /// How far below the root the groups are.
    pub(crate) fn levels(&self) -> Fallible<u8> {
        let root = cgroups::mount_point(&fs::read_to_string("/proc/self/mountinfo")?).ok_or("cgroup2")?;
        Ok(u8::try_from(self.service().strip_prefix(root)?.components().count())?)
    }
}

impl Drop for Groups {
    fn drop(&mut self) {
        for path in [self.service(), self.session(), self.0.clone()] {
            // empty once the kernel has taken its processes away
            for _ in 0..200 {
                if fs::remove_dir(&path).is_ok() {
                    break;
                }
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
        }
    }
}

/// Two joined namespaces and the servers in the second.
pub(crate) struct Lane {
    client: File,
    server: File,
    servers: Vec<Child>,
}

impl Lane {
    pub(crate) fn make() -> Fallible<Self> {
        let lane = Self { client: namespace()?, server: namespace()?, servers: Vec::new() };
        let place = format!("/proc/{}/fd/{}", std::process::id(), lane.server.as_raw_fd());
        lane.here(|| {
            run(&format!(
                "ip link set lo up; ip link add c type veth peer name s; ip link set s netns {place};
                 ip addr add {CLIENT}/30 dev c; ip link set c up"
            ))?;
            run("sysctl -qw net.ipv4.ip_local_port_range='1024 65000'")
        })?;
        lane.there(|| run(&format!("ip link set lo up; ip addr add {SERVER}/30 dev s; ip link set s up")))?;
        Ok(lane)
    }

    /// Runs something on the client's host.
    pub(crate) fn here<T: Send>(&self, f: impl FnOnce() -> Fallible<T> + Send) -> Fallible<T> {
        within(&self.client, f)
    }

    fn there<T: Send>(&self, f: impl FnOnce() -> Fallible<T> + Send) -> Fallible<T> {
        within(&self.server, f)
    }

    /// A thread on the client's host.
    pub(crate) fn thread<T: Send + 'static>(
        &self,
        f: impl FnOnce() -> Fallible<T> + Send + 'static,
    ) -> Fallible<std::thread::JoinHandle<Fallible<T>>> {
        let namespace = self.client.try_clone()?;
        Ok(std::thread::spawn(move || {
            setns(&namespace, CloneFlags::CLONE_NEWNET)?;
            f()
        }))
    }

    /// A server that goes with the lane.
    pub(crate) fn serve(&mut self, what: &str, port: u16) -> Fallible<()> {
        let to = format!("{SERVER}:{port}");
        let mut child = self.there(|| Ok(load(&["-", "serve", what, &to])?.spawn()?))?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().ok_or("no output")?).read_line(&mut line)?;
        self.servers.push(child);
        if line.trim() == "ready" { Ok(()) } else { Err(format!("a server of {what} did not start").into()) }
    }

    /// Ends the server that was started last.
    pub(crate) fn serve_no_more(&mut self) {
        if let Some(mut child) = self.servers.pop() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// What a load printed.
    pub(crate) fn load(&self, arguments: &[&str]) -> Fallible<Vec<f64>> {
        let out = self.here(|| Ok(load(arguments)?.stderr(Stdio::piped()).output()?))?;
        if !out.status.success() {
            return Err(format!("{arguments:?}: {}", String::from_utf8_lossy(&out.stderr)).into());
        }
        Ok(String::from_utf8(out.stdout)?.split_whitespace().map(str::parse).collect::<Result<_, _>>()?)
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        while !self.servers.is_empty() {
            self.serve_no_more();
        }
    }
}

fn load(arguments: &[&str]) -> Fallible<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("--load").args(arguments).stdin(Stdio::null()).stdout(Stdio::piped());
    Ok(command)
}

/// Runs a shell's commands.
pub(crate) fn run(script: &str) -> Fallible<()> {
    let out = Command::new("sh").args(["-ec", script]).output()?;
    if out.status.success() {
        return Ok(());
    }
    Err(format!("{script}: {}", String::from_utf8_lossy(&out.stderr)).into())
}

fn namespace() -> Fallible<File> {
    let (tx, rx) = mpsc::channel();
    let maker = std::thread::spawn(move || {
        let made = unshare(CloneFlags::CLONE_NEWNET)
            .map_err(std::io::Error::from)
            .and_then(|()| File::open("/proc/thread-self/ns/net"));
        tx.send(made)
    });
    let made = rx.recv()?;
    let _ = maker.join();
    Ok(made?)
}

fn within<T: Send>(namespace: &File, f: impl FnOnce() -> Fallible<T> + Send) -> Fallible<T> {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            setns(namespace, CloneFlags::CLONE_NEWNET)?;
            f()
        });
        thread.join().unwrap_or_else(|_| Err("a thread panicked".into()))
    })
}
