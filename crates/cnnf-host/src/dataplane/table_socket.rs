//! The socket by which this process changes its table.
//!
//! A table that has an owner takes changes from that one socket only, and outlives it: others get "operation not permitted" and a flush of all
//! rules leaves it alone. So whatever changes the table goes through one socket, in turn. The kernel carries changes out in turn anyway.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cnnf_netlink::Error;
use cnnf_netlink::nft::{Batch, CommitError, Nft, TableFlags, TableHead};

/// Belongs to its first user only, and stays without one.
const OWNED: TableFlags = TableFlags { owner: true, persist: true };
const PLAIN: TableFlags = TableFlags { owner: false, persist: false };

/// The socket. Its clones are the same one.
#[derive(Clone, Debug)]
pub struct TableSocket {
    nft: Arc<Mutex<Nft>>,
    port_id: u32,
    owns: bool,
}

/// What it takes to have the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taking {
    /// It is ours, or nobody's and shall be: it is there, or made, with these flags.
    With(TableFlags),
    /// Its owner has ended: a batch of its own takes it over, as a base chain cannot be made in the same one.
    Adopt(TableFlags),
    /// It was made without an owner, and such a one can never get any: it is deleted and made in one batch.
    Remake(TableFlags),
    /// It belongs to another socket, with this port id.
    Foreign(u32),
}

impl TableSocket {
    /// Opens one in the network namespace of the calling thread. With `own` the table is made to belong to it, where the kernel has that:
    /// [`Features::owner_persist`](cnnf_netlink::nft::Features::owner_persist).
    ///
    /// # Errors
    /// No netlink socket.
    pub fn open(own: bool) -> Result<Self, Error> {
        Ok(Self::over(Nft::open()?, own))
    }

    /// Goes on with the socket of an earlier run, which somebody kept open for us: the table has belonged to it all the time, so nobody
    /// could change it meanwhile.
    ///
    /// # Errors
    /// It is no netlink socket.
    pub fn from_fd(fd: OwnedFd, own: bool) -> Result<Self, Error> {
        Ok(Self::over(Nft::from_fd(fd)?, own))
    }

    fn over(nft: Nft, owns: bool) -> Self {
        Self { port_id: nft.port_id(), nft: Arc::new(Mutex::new(nft)), owns }
    }

    /// A duplicate, for somebody who keeps it open while this program restarts.
    ///
    /// # Errors
    /// Those of dup(2).
    pub fn fd(&self) -> io::Result<OwnedFd> {
        self.lock().as_fd().try_clone_to_owned()
    }

    fn lock(&self) -> MutexGuard<'_, Nft> {
        self.nft.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn commit(&self, batch: &Batch, expected: Option<u32>) -> Result<(), CommitError> {
        self.lock().commit(batch, expected)
    }

    /// What has to be done to have the table that was found, if one was.
    pub(super) fn taking(&self, found: Option<&TableHead>) -> Taking {
        let Some(found) = found else { return Taking::With(if self.owns { OWNED } else { PLAIN }) };
        match found.owner {
            Some(owner) if owner == self.port_id => {
                Taking::With(TableFlags { owner: found.owned, persist: found.persist })
            }
            Some(owner) => Taking::Foreign(owner),
            None if found.persist && self.owns => Taking::Adopt(OWNED),
            None if self.owns => Taking::Remake(OWNED),
            // it cannot lose its flag
            None => Taking::With(TableFlags { owner: false, persist: found.persist }),
        }
    }
}

impl Taking {
    /// Whether the table belongs to us then.
    pub(super) fn is_owned(self) -> bool {
        matches!(self, Self::With(flags) | Self::Adopt(flags) | Self::Remake(flags) if flags.owner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testbed::in_namespace;

    #[test]
    fn root_what_is_found_is_taken() {
        in_namespace(|| {
            let (owning, plain) = (TableSocket::open(true).expect("open"), TableSocket::open(false).expect("open"));
            let found = |owner: Option<u32>, persist| TableHead {
                handle: 1,
                family: 1,
                name: "cnnf".into(),
                owned: owner.is_some(),
                persist,
                owner,
            };
            let orphan_flags = TableFlags { owner: false, persist: true };
            for (socket, head, want) in [
                (&owning, None, Taking::With(OWNED)),
                (&owning, Some(found(Some(owning.port_id), true)), Taking::With(OWNED)),
                (&owning, Some(found(None, true)), Taking::Adopt(OWNED)),
                (&owning, Some(found(None, false)), Taking::Remake(OWNED)),
                (&owning, Some(found(Some(7), true)), Taking::Foreign(7)),
                (&plain, None, Taking::With(PLAIN)),
                (&plain, Some(found(None, false)), Taking::With(PLAIN)),
                (&plain, Some(found(None, true)), Taking::With(orphan_flags)),
                (&plain, Some(found(Some(7), true)), Taking::Foreign(7)),
            ] {
                assert_eq!(socket.taking(head.as_ref()), want, "{head:?}");
            }
        });
    }
}
