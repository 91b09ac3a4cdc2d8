//! Which connections are being answered for: two threads never answer for the same one, so that what is said of one packet is taken back before
//! something else is said of another with the same ports.

use std::collections::HashSet;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use cnnf_host::dataplane::FirstPacket;

/// Shared by the threads that answer.
#[derive(Debug, Default)]
pub(super) struct Claims {
    taken: Mutex<HashSet<FirstPacket>>,
    released: Condvar,
}

impl Claims {
    fn lock(&self) -> MutexGuard<'_, HashSet<FirstPacket>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a connection; waits while another thread has it. For a thread that has none.
    pub(super) fn wait(&self, connection: FirstPacket) {
        let waited = self.released.wait_while(self.lock(), |taken| taken.contains(&connection));
        waited.unwrap_or_else(PoisonError::into_inner).insert(connection);
    }

    /// Takes a connection if nobody has it.
    pub(super) fn take(&self, connection: FirstPacket) -> bool {
        self.lock().insert(connection)
    }

    /// Gives these back.
    pub(super) fn release(&self, connections: impl IntoIterator<Item = FirstPacket>) {
        let mut taken = self.lock();
        for connection in connections {
            taken.remove(&connection);
        }
        drop(taken);
        self.released.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use cnnf_core::net::Protocol;

    use super::*;

    #[test]
    fn a_connection_is_one_threads_at_a_time() {
        let of = |port| FirstPacket {
            protocol: Protocol::Udp,
            client: ([10, 0, 0, 1], port).into(),
            server: ([10, 0, 0, 2], 53).into(),
        };
        let claims = Claims::default();
        claims.wait(of(1));
        assert!(claims.take(of(2)) && !claims.take(of(1)));
        let (tx, rx) = mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                claims.wait(of(1));
                tx.send(()).expect("it is heard");
            });
            assert!(rx.recv_timeout(Duration::from_millis(50)).is_err(), "it is another's");
            claims.release([of(1), of(2)]);
            rx.recv_timeout(Duration::from_secs(10)).expect("it is free");
        });
        assert!(!claims.take(of(1)) && claims.take(of(2)));
    }
}
