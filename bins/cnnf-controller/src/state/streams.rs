//! Which streams of a host took the place of which: whether two machines use its identity.
//!
//! A machine that restarts, or loses its way to us, begins a stream in place of one that is not known to be dead yet; it never goes back. Two machines
//! push each other out, and come back. So it is a clone when somebody comes back whose stream another one had ended.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration;

use cnnf_core::time::Timestamp;

/// How long it counts that a stream was ended by another one.
const REMEMBERED: Duration = Duration::from_secs(600);
/// Streams that are remembered at most.
const MOST: usize = 8;
/// A machine with two ways to us may change between them; not so often.
const TURNS: usize = 3;

/// By what two machines differ: the name of their spool (another boot has another one), and where they come from.
type Machine = (String, Option<IpAddr>);

/// The streams of a host.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    /// Whose stream is the newest one.
    now: Option<Machine>,
    /// Whose were ended by another's, the newest last.
    ended: VecDeque<(Machine, Timestamp)>,
}

impl Streams {
    /// Notes that a stream begins, and whether it ends one that was taken to be live; whether two machines take turns.
    pub(crate) fn begin(&mut self, epoch: &str, from: Option<IpAddr>, replaces: bool, at: Timestamp) -> bool {
        let new = (epoch.to_owned(), from);
        let old = self.now.replace(new.clone());
        self.ended.retain(|(_, ended)| at.since(*ended) < REMEMBERED);
        let Some(old) = old.filter(|old| replaces && *old != new) else { return false };
        let turns = self.ended.iter().filter(|(machine, _)| *machine == new).count();
        // With another spool in between nobody comes back who is one machine.
        let another_spool = self.ended.iter().any(|(machine, _)| *machine == new) && old.0 != new.0;
        self.ended.push_back((old, at));
        if self.ended.len() > MOST {
            self.ended.pop_front();
        }
        another_spool || turns >= TURNS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(n: u8) -> Option<IpAddr> {
        Some([10, 0, 0, n].into())
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp(1_000_000_000 + seconds * 1000)
    }

    #[test]
    fn who_comes_back_after_another_is_a_clone() {
        let mut streams = Streams::default();
        assert!(!streams.begin("a", ip(1), false, at(0)));
        assert!(!streams.begin("b", ip(2), true, at(1)), "it may be the same machine after a start");
        assert!(streams.begin("a", ip(1), true, at(2)));
        assert!(streams.begin("b", ip(2), true, at(3)));
    }

    #[test]
    fn copies_with_one_spool_differ_by_their_address() {
        let mut streams = Streams::default();
        let told: Vec<bool> = (0..10).map(|n| streams.begin("a", ip(n % 2), n > 0, at(u64::from(n)))).collect();
        assert!(told[..6].iter().all(|told| !told) && told[8..].iter().all(|told| *told), "{told:?}");
    }

    #[test]
    fn one_machine_is_one_however_often_it_begins() {
        let mut streams = Streams::default();
        // it restarts, reboots, loses its way, and comes by another one
        for (n, (epoch, address)) in
            [("a", 1), ("a", 1), ("b", 1), ("b", 1), ("b", 2), ("b", 1), ("b", 2), ("c", 2), ("d", 2)]
                .into_iter()
                .enumerate()
        {
            assert!(!streams.begin(epoch, ip(address), true, at(n as u64)), "{n}");
        }
        for n in 0..20u8 {
            assert!(!streams.begin("d", ip(n % 2), false, at(100 + u64::from(n))), "each said goodbye");
        }
        for n in 0..20u8 {
            assert!(!streams.begin("d", ip(n % 2), true, at(10_000 + 700 * u64::from(n))), "seldom");
        }
    }
}
