//! What was found out about processes while their packets waited, for when the kernel's copy of the packet comes.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use cnnf_core::event::Process;
use cnnf_core::net::Protocol;

/// So many are kept,
const KEPT: usize = 4096;
/// and so long: the copy comes milliseconds later, those of a packet that is sent again within the retries that anybody waits for.
const KEPT_FOR: Duration = Duration::from_secs(60);

/// A connection as its first packet shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Connection {
    pub(crate) protocol: Protocol,
    pub(crate) client: SocketAddr,
    pub(crate) server: SocketAddr,
}

/// Shared between who answers queues and who reads copies.
#[derive(Debug, Default)]
pub(crate) struct Evidence {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// With when each was kept last.
    by_connection: HashMap<Connection, (Instant, Process)>,
    /// Whenever one was kept, the oldest first.
    order: VecDeque<(Instant, Connection)>,
}

impl Evidence {
    /// Keeps what is known of a connection's process from `now` on; the oldest makes room.
    pub(crate) fn keep(&self, connection: Connection, process: Process, now: Instant) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.by_connection.insert(connection, (now, process));
        inner.order.push_back((now, connection));
        while let Some((at, oldest)) = inner.order.front().copied() {
            if inner.order.len() <= KEPT && now.saturating_duration_since(at) <= KEPT_FOR {
                break;
            }
            inner.order.pop_front();
            if inner.by_connection.get(&oldest).is_some_and(|(last, _)| *last <= at) {
                inner.by_connection.remove(&oldest);
            }
        }
    }

    /// What was kept.
    pub(crate) fn of(&self, connection: &Connection) -> Option<Process> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.by_connection.get(connection).map(|(_, process)| process.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(n: usize) -> Connection {
        Connection {
            protocol: Protocol::Tcp,
            client: SocketAddr::from(([10, 0, 0, 1], u16::try_from(n).expect("few"))),
            server: SocketAddr::from(([10, 0, 0, 2], 80)),
        }
    }

    #[test]
    fn the_newest_are_kept() {
        let evidence = Evidence::default();
        let now = Instant::now();
        for n in 0..=KEPT {
            evidence.keep(connection(n), Process { pid: 1, ..Process::default() }, now);
        }
        assert!(evidence.of(&connection(0)).is_none());
        assert!(evidence.of(&connection(1)).is_some() && evidence.of(&connection(KEPT)).is_some());
    }

    #[test]
    fn nobody_asks_after_a_minute() {
        let evidence = Evidence::default();
        let start = Instant::now();
        for second in 0..=120 {
            let now = start + Duration::from_secs(second);
            evidence.keep(connection(usize::try_from(second).expect("few")), Process::default(), now);
        }
        assert!(evidence.of(&connection(59)).is_none() && evidence.of(&connection(60)).is_some());
        assert_eq!(evidence.inner.lock().expect("not poisoned").by_connection.len(), 61);
    }

    #[test]
    fn what_is_kept_again_is_kept_for_a_minute_from_then() {
        let evidence = Evidence::default();
        let start = Instant::now();
        let keep = |n, pid, milliseconds| {
            let process = Process { pid, ..Process::default() };
            evidence.keep(connection(n), process, start + Duration::from_millis(milliseconds));
        };
        keep(1, 10, 0);
        keep(1, 20, 50_000);
        keep(2, 30, 61_000);
        assert_eq!(evidence.of(&connection(1)).map(|process| process.pid), Some(20));
        keep(2, 30, 111_000);
        assert!(evidence.of(&connection(1)).is_none() && evidence.of(&connection(2)).is_some());
        for millisecond in 0..10_000 {
            keep(2, 30, 112_000 + millisecond);
        }
        let inner = evidence.inner.lock().expect("not poisoned");
        assert_eq!((inner.by_connection.len(), inner.order.len()), (1, KEPT), "nothing grows, however often");
    }
}
