//! The socket to nf_tables, and how large its buffers are.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use crate::error::Error;
use crate::socket::{Buffer, Port, Socket, size_buffer};

/// A non-blocking socket, and how large its buffers are.
pub(super) struct Channel {
    socket: Socket,
    port_id: u32,
    send_room: usize,
    receive_room: usize,
    /// Whether something may be left to read of what was asked before.
    left: bool,
}

impl Channel {
    pub(super) fn open() -> Result<Self, Error> {
        Self::over(Socket::open(libc::NETLINK_NETFILTER)?)
    }

    pub(super) fn from_fd(fd: OwnedFd) -> Result<Self, Error> {
        Self::over(Socket::from_fd(fd)?)
    }

    fn over(socket: Socket) -> Result<Self, Error> {
        Ok(Self { port_id: socket.port_id()?, socket, send_room: 0, receive_room: 0, left: true })
    }

    pub(super) fn port_id(&self) -> u32 {
        self.port_id
    }

    pub(super) fn next_seq(&mut self) -> u32 {
        self.socket.next_seq()
    }

    /// Makes room for a datagram and its answers. The buffers only grow.
    pub(super) fn reserve(&mut self, send: usize, receive: usize) -> io::Result<()> {
        let fd = self.as_fd().as_raw_fd();
        // netlink_sendmsg wants the datagram to be smaller than the buffer by 32 bytes.
        let send = (send + 4096).max(256 * 1024);
        let receive = receive.max(512 * 1024);
        if send > self.send_room {
            size_buffer(fd, Buffer::Send, send)?;
            self.send_room = send;
        }
        if receive > self.receive_room {
            size_buffer(fd, Buffer::Receive, receive)?;
            self.receive_room = receive;
        }
        Ok(())
    }

    /// Throws away what an earlier request may have left, before the next one.
    pub(super) fn drain(&mut self) {
        while self.left && self.recv().is_ok() {}
        self.left = true;
    }

    /// Every answer to the request was read.
    pub(super) fn all_answered(&mut self) {
        self.left = false;
    }
}

impl Port for Channel {
    fn send(&self, datagram: &[u8]) -> io::Result<()> {
        self.socket.send(datagram)
    }

    fn recv(&mut self) -> io::Result<&[u8]> {
        self.socket.recv()
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
