//! UDP sockets that ended (`SKNLGRP_INET_UDP_DESTROY`, include/uapi/linux/sock_diag.h). Needs `CAP_NET_ADMIN`.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use super::{Sock, parse};
use crate::error::Error;
use crate::message::Messages;
use crate::socket::{Buffer, Port, Socket, size_buffer};

const SKNLGRP_INET_UDP_DESTROY: u32 = 2;
const SKNLGRP_INET6_UDP_DESTROY: u32 = 4;
/// Receive buffer in bytes: some thousand sockets that end at once.
const ROOM: usize = 4 << 20;

/// Listens to UDP sockets that end, in the network namespace of the thread that opened it.
#[derive(Debug)]
pub struct ClosedUdp {
    socket: Socket,
}

impl ClosedUdp {
    /// Begins to listen.
    ///
    /// # Errors
    /// Those of the system calls; `ENOENT` where the kernel has no inet_diag for UDP.
    pub fn open() -> Result<Self, Error> {
        let socket = Socket::open(libc::NETLINK_SOCK_DIAG)?;
        size_buffer(socket.as_fd().as_raw_fd(), Buffer::Receive, ROOM)
            .map_err(Error::system("size the buffer of ended sockets"))?;
        socket.join(SKNLGRP_INET_UDP_DESTROY)?;
        socket.join(SKNLGRP_INET6_UDP_DESTROY)?;
        Ok(Self { socket })
    }

    /// The sockets that ended since the last time, as they were; does not wait. After very many at once some are missing.
    ///
    /// # Errors
    /// Those of recv(2), but not "would block" and not `ENOBUFS`.
    pub fn read(&mut self) -> Result<Vec<Sock>, Error> {
        let mut all = Vec::new();
        loop {
            match self.socket.recv() {
                Ok(datagram) => all.extend(Messages(datagram).filter_map(parse)),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(all),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.raw_os_error() == Some(libc::ENOBUFS) => {}
                Err(source) => return Err(Error::System { what: "receive ended sockets", source }),
            }
        }
    }
}

impl AsFd for ClosedUdp {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
