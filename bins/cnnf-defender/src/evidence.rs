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
    by_connection: HashMap<Connection, Process>,
    /// With when they came, the oldest first.
    order: VecDeque<(Instant, Connection)>,
}

impl Evidence {
    /// Keeps what is known of a connection's process from `now` on; the oldest makes room.
    pub(crate) fn keep(&self, connection: Connection, process: Process, now: Instant) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.by_connection.insert(connection, process).is_none() {
            inner.order.push_back((now, connection));
        }
        while let Some((at, oldest)) = inner.order.front().copied() {
            if inner.order.len() <= KEPT && now.saturating_duration_since(at) <= KEPT_FOR {
                break;
            }
            inner.order.pop_front();
            inner.by_connection.remove(&oldest);
        }
    }

    /// What was kept.
    pub(crate) fn of(&self, connection: &Connection) -> Option<Process> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).by_connection.get(connection).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_are_kept() {
        let evidence = Evidence::default();
        let connection = |n: usize| Connection {
            protocol: Protocol::Tcp,
            client: SocketAddr::from(([10, 0, 0, 1], u16::try_from(n).expect("few"))),
            server: SocketAddr::from(([10, 0, 0, 2], 80)),
        };
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
        let connection = |port| Connection {
            protocol: Protocol::Tcp,
            client: SocketAddr::from(([10, 0, 0, 1], port)),
            server: SocketAddr::from(([10, 0, 0, 2], 80)),
        };
        let start = Instant::now();
        for second in 0..=120 {
            let now = start + Duration::from_secs(second);
            let port = u16::try_from(second).expect("few");
            evidence.keep(connection(port), Process::default(), now);
        }
        assert!(evidence.of(&connection(59)).is_none() && evidence.of(&connection(60)).is_some());
        assert_eq!(evidence.inner.lock().expect("not poisoned").by_connection.len(), 61);
    }
}
