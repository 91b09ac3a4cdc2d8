//! Who changed the kernel's rules: the message that ends each commit names the process (`nf_tables_gen_notify` in nf_tables_api.c).
//!
//! It comes in the group that also brings every rule and element of a commit. A filter on the socket keeps those away. The kernel builds them all
//! the same as long as anybody listens, and a commit of 100,000 elements takes ten times as long: who makes one leaves the group meanwhile.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use super::abi;
use crate::error::Error;
use crate::message::{Message, Messages, NFGEN};
use crate::socket::{Port, Socket, only_messages_of};

/// A commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The generation that it made.
    pub generation: u32,
    /// Whose it was, as the first process namespace counts.
    pub pid: u32,
    /// The name of its thread, at most 15 bytes.
    pub name: String,
}

const GROUP: u32 = libc::NFNLGRP_NFTABLES as u32;

/// Listens to commits in the network namespace of the thread that opened it.
#[derive(Debug)]
pub struct Changes {
    socket: Socket,
}

impl Changes {
    /// Begins to listen.
    ///
    /// # Errors
    /// Those of the system calls.
    pub fn open() -> Result<Self, Error> {
        let socket = Socket::open(libc::NETLINK_NETFILTER)?;
        only_messages_of(socket.as_fd().as_raw_fd(), abi::message_type(libc::NFT_MSG_NEWGEN))
            .map_err(Error::system("filter the rules' changes"))?;
        socket.join(GROUP)?;
        Ok(Self { socket })
    }

    /// Does something without listening, such as a commit of one's own. What others commit meanwhile is not heard of.
    ///
    /// # Errors
    /// Those of setsockopt(2).
    pub fn without<T>(&mut self, act: impl FnOnce() -> T) -> Result<T, Error> {
        self.socket.leave(GROUP)?;
        let result = act();
        self.socket.join(GROUP)?;
        Ok(result)
    }

    /// The commits since the last time; does not wait. Some may be missing after many at once.
    ///
    /// # Errors
    /// Those of recv(2), but not "would block" and not `ENOBUFS`.
    pub fn read(&mut self) -> Result<Vec<Change>, Error> {
        let mut all = Vec::new();
        loop {
            match self.socket.recv() {
                Ok(datagram) => all.extend(Messages(datagram).filter_map(change)),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(all),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.raw_os_error() == Some(libc::ENOBUFS) => {}
                Err(source) => return Err(Error::System { what: "receive the rules' changes", source }),
            }
        }
    }
}

pub(super) fn change(m: Message<'_>) -> Option<Change> {
    if m.ty != abi::message_type(libc::NFT_MSG_NEWGEN) {
        return None;
    }
    let attrs = m.attrs(NFGEN);
    Some(Change {
        generation: attrs.find(abi::NFTA_GEN_ID)?.be32()?,
        pid: attrs.find(abi::NFTA_GEN_PROC_PID)?.be32()?,
        name: attrs.find(abi::NFTA_GEN_PROC_NAME)?.text(),
    })
}

impl AsFd for Changes {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
