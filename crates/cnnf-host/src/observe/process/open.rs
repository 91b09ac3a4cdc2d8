//! A process whose directories are held open: they stay with it, whoever has its id later.
//!
//! A packet waits for what is read here. procfs's own list of descriptors makes four system calls for each of them, and opening a file takes longer than
//! reading it: so what is read again and again stays open.

use std::cell::{Cell, OnceCell};
use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;

use procfs::FromRead as _;
use procfs::process::Stat;
use rustix::fs::{self, FileType, Mode, OFlags, RawDir, SeekFrom, readlinkat, readlinkat_raw};
use rustix::io::pread;
use rustix::path::DecInt;

use super::{Process, arguments, cgroup_path, groups_in};

/// The longest command line that is read, in bytes: a program can make it a megabyte.
const CMDLINE_MAX: usize = 4096;
/// Control groups of a process are no longer: each of a dozen hierarchies has a path.
const GROUPS_MAX: usize = 64 << 10;

/// The open directories of one process.
#[derive(Debug)]
pub(in crate::observe) struct OpenProcess {
    pid: u32,
    directory: OwnedFd,
    descriptors: OnceCell<OwnedFd>,
    cmdline: OnceCell<OwnedFd>,
    groups: OnceCell<OwnedFd>,
    start: OnceCell<u64>,
    /// The number of the descriptor that was the wanted socket last: the next one gets the lowest number that is free, often the same.
    last: Cell<Option<u32>>,
}

impl OpenProcess {
    /// Opens the process that has this id now; `None` if there is none.
    pub(in crate::observe) fn open(pid: u32) -> Option<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = fs::open(format!("/proc/{pid}"), flags, Mode::empty()).ok()?;
        let (descriptors, cmdline, groups) = (OnceCell::new(), OnceCell::new(), OnceCell::new());
        Some(Self { pid, directory, descriptors, cmdline, groups, start: OnceCell::new(), last: Cell::new(None) })
    }

    /// Whether one of its descriptors is a socket of this inode; `None` if it has ended, or may not be asked (`CAP_SYS_PTRACE` for another user's).
    pub(in crate::observe) fn holds(&self, inode: u32) -> Option<bool> {
        let descriptors = self.opened(&self.descriptors, c"fd", OFlags::DIRECTORY)?;
        let wanted = format!("socket:[{inode}]");
        let is_wanted = |name: &CStr| {
            // A longer target is cut and no socket's.
            let mut target = [MaybeUninit::uninit(); 32];
            readlinkat_raw(descriptors, name, &mut target[..]).is_ok_and(|(text, _)| *text == *wanted.as_bytes())
        };
        if self.last.get().is_some_and(|number| is_wanted(DecInt::new(number).as_c_str())) {
            return Some(true);
        }
        fs::seek(descriptors, SeekFrom::Start(0)).ok()?;
        let mut room = [MaybeUninit::uninit(); 4096];
        let mut entries = RawDir::new(descriptors, &mut room);
        while let Some(entry) = entries.next() {
            // of a process that has ended there is no list
            let entry = entry.ok()?;
            if entry.file_type() == FileType::Symlink && is_wanted(entry.file_name()) {
                self.last.set(entry.file_name().to_str().ok().and_then(|number| number.parse().ok()));
                return Some(true);
            }
        }
        Some(false)
    }

    /// Reads it; `None` if it is gone. Its groups come last, as they say that it was there while everything else was read.
    pub(in crate::observe) fn read(&self) -> Option<Process> {
        let link = |name: &CStr| {
            readlinkat(&self.directory, name, Vec::new()).ok().map(|target| target.to_string_lossy().into_owned())
        };
        Some(Process {
            pid: self.pid,
            start: self.start()?,
            exe: link(c"exe").unwrap_or_default(),
            cmdline: arguments(&self.text(&self.cmdline, c"cmdline", CMDLINE_MAX).unwrap_or_default()),
            cwd: link(c"cwd"),
            uid: fs::fstat(&self.directory).ok()?.st_uid,
            cgroup: self.group()?,
        })
    }

    /// When it started, in clock ticks since boot.
    pub(in crate::observe) fn start(&self) -> Option<u64> {
        if let Some(start) = self.start.get() {
            return Some(*start);
        }
        let start = self.stat()?.starttime;
        Some(*self.start.get_or_init(|| start))
    }

    /// Its state now.
    pub(in crate::observe) fn stat(&self) -> Option<Stat> {
        let stat = self.text(&OnceCell::new(), c"stat", 4096)?;
        Stat::from_read(&stat[..]).ok()
    }

    /// The path of its control group.
    pub(in crate::observe) fn group(&self) -> Option<String> {
        cgroup_path(&groups_in(&self.text(&self.groups, c"cgroup", GROUPS_MAX)?)?)
    }

    /// A file or directory of it, opened when it is first needed.
    fn opened<'a>(&self, place: &'a OnceCell<OwnedFd>, name: &CStr, flags: OFlags) -> Option<&'a OwnedFd> {
        if place.get().is_none() {
            let flags = flags | OFlags::RDONLY | OFlags::CLOEXEC;
            let opened = fs::openat(&self.directory, name, flags, Mode::empty()).ok()?;
            return Some(place.get_or_init(|| opened));
        }
        place.get()
    }

    /// The text of a file of it as it is now, at most so many bytes. A process that ends meanwhile leaves what was read.
    fn text(&self, place: &OnceCell<OwnedFd>, name: &CStr, max: usize) -> Option<Vec<u8>> {
        let file = self.opened(place, name, OFlags::empty())?;
        let mut text = Vec::with_capacity(max.min(1024));
        let mut room = [0; 1024];
        while text.len() < max {
            let wanted = room.len().min(max - text.len());
            match pread(file, &mut room[..wanted], text.len() as u64) {
                Ok(0) => break,
                Ok(length) => {
                    text.extend_from_slice(&room[..length]);
                    // procfs fills what it is given unless that was all, and a packet may wait for a question less
                    if length < wanted {
                        break;
                    }
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(_) if text.is_empty() => return None,
                Err(_) => break,
            }
        }
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::process::{Command, Stdio};

    use super::*;

    fn inode(socket: &UdpSocket) -> u32 {
        fs::fstat(socket).expect("its inode").st_ino.try_into().expect("a socket's inode has 32 bits")
    }

    #[test]
    fn what_is_open_answers_for_one_process_only() {
        let mut child = Command::new("sleep").arg("30").spawn().expect("sleep");
        let open = OpenProcess::open(child.id()).expect("its directory");
        assert_eq!(open.holds(1), Some(false));
        // right after execve(2) the arguments are not there yet
        while open.read().expect("it runs").cmdline != ["sleep", "30"] {}
        child.kill().expect("kill");
        child.wait().expect("wait");
        assert_eq!((open.holds(1), open.read(), open.group()), (None, None, None));
    }

    #[test]
    fn a_process_is_read_as_it_is_now() {
        let mut child = Command::new("sh")
            .args(["-c", "cd /; read line; exec cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("sh");
        let open = OpenProcess::open(child.id()).expect("its directory");
        let shell = loop {
            let process = open.read().expect("the shell");
            if process.cwd.as_deref() == Some("/") && process.cmdline.len() == 3 {
                break process;
            }
        };
        std::io::Write::write_all(child.stdin.as_mut().expect("input"), b"go\n").expect("write");
        let cat = loop {
            let process = open.read().expect("the same process");
            if process.exe != shell.exe && process.cmdline == ["cat"] {
                break process;
            }
        };
        assert_eq!((cat.pid, cat.start), (shell.pid, shell.start));
        child.kill().expect("kill");
        child.wait().expect("wait");
    }

    #[test]
    fn a_number_that_was_used_again_is_looked_at_again() {
        let open = OpenProcess::open(std::process::id()).expect("this process");
        let (one, two) = (UdpSocket::bind("127.0.0.1:0").expect("bind"), UdpSocket::bind("127.0.0.1:0").expect("bind"));
        let (first, second) = (inode(&one), inode(&two));
        for _ in 0..2 {
            assert_eq!((open.holds(first), open.holds(second)), (Some(true), Some(true)));
        }
        drop(two);
        assert_eq!((open.holds(first), open.holds(second)), (Some(true), Some(false)));
        // the next socket may get the number of the one that is gone, or another
        let three = UdpSocket::bind("127.0.0.1:0").expect("bind");
        assert_eq!(
            (open.holds(second), open.holds(inode(&three)), open.holds(first)),
            (Some(false), Some(true), Some(true))
        );
    }
}
