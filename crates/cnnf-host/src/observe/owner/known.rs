//! Processes that were asked before: a packet waits for the next answer too, and opening them is a good part of it.

use std::collections::HashMap;

use crate::observe::process::{OpenProcess, Process};

/// Processes that are kept open, at most; each takes up to four descriptors.
const KEPT: usize = 16;
/// One that was not asked for so many questions makes room.
const QUIET: u64 = 4 * KEPT as u64;

/// Those processes, by id.
#[derive(Debug, Default)]
pub(super) struct Known {
    processes: HashMap<u32, (OpenProcess, u64)>,
    questions: u64,
}

impl Known {
    /// Process `pid` as it is now, if it has a socket of this inode open.
    pub(super) fn holder(&mut self, pid: u32, inode: u32) -> Option<Process> {
        self.questions += 1;
        if let Some((process, asked)) = self.processes.get_mut(&pid) {
            *asked = self.questions;
            match process.holds(inode) {
                Some(false) => return None,
                Some(true) if let Some(found) = process.read() => return Some(found),
                // it has ended, and its id may be another's
                _ => drop(self.processes.remove(&pid)),
            }
        }
        let process = OpenProcess::open(pid)?;
        let found = if process.holds(inode)? { process.read() } else { None };
        self.keep(pid, process);
        found
    }

    fn keep(&mut self, pid: u32, process: OpenProcess) {
        if self.processes.len() >= KEPT {
            let now = self.questions;
            self.processes.retain(|_, (_, asked)| *asked + QUIET > now);
        }
        if self.processes.len() < KEPT {
            self.processes.insert(pid, (process, self.questions));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::process::{Child, Command};

    use super::*;

    struct Sleeper(Child);

    impl Sleeper {
        fn start() -> Self {
            Self(Command::new("sleep").arg("60").spawn().expect("sleep"))
        }
    }

    impl Drop for Sleeper {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    #[test]
    fn few_are_kept_and_the_ended_are_asked_anew() {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("bind");
        let inode = u32::try_from(rustix::fs::fstat(&socket).expect("its inode").st_ino).expect("32 bits");
        let mut known = Known::default();
        let me = std::process::id();
        let sleepers: Vec<Sleeper> = (0..KEPT + 3).map(|_| Sleeper::start()).collect();
        for _ in 0..3 {
            assert!(known.holder(me, inode).is_some_and(|process| process.pid == me));
            assert!(sleepers.iter().all(|sleeper| known.holder(sleeper.0.id(), inode).is_none()));
            assert_eq!(known.processes.len(), KEPT);
        }
        let ids: Vec<u32> = sleepers.iter().map(|sleeper| sleeper.0.id()).collect();
        drop(sleepers);
        assert!(ids.iter().all(|id| known.holder(*id, inode).is_none()));
        assert_eq!(known.processes.keys().collect::<Vec<_>>(), [&me], "what has ended is not kept");
    }
}
