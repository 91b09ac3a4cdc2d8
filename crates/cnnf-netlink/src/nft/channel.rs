//! The socket to nf_tables, libmnl's.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use crate::error::Error;
use crate::socket::{Buffer, Port, RECV_ROOM, extended_ack, set_non_blocking, size_buffer, whole};

/// A non-blocking libmnl socket, and how large its buffers are.
pub(super) struct Channel {
    socket: mnl::Socket,
    send_room: usize,
    receive_room: usize,
    seq: u32,
    buf: Vec<u8>,
}

// SAFETY: libmnl's socket is a heap object of a file descriptor and an address; it has no tie to
// the thread that made it, and `Channel` (not Sync) lets one thread at a time use it.
#[allow(unsafe_code)]
unsafe impl Send for Channel {}

impl Channel {
    pub(super) fn open() -> Result<Self, Error> {
        let socket = mnl::Socket::new(mnl::Bus::Netfilter).map_err(Error::system("open a netfilter socket"))?;
        let fd = socket.as_raw_fd();
        set_non_blocking(fd).map_err(Error::system("set a netfilter socket non-blocking"))?;
        extended_ack(fd).map_err(Error::system("ask for extended acknowledgements"))?;
        Ok(Self { socket, send_room: 0, receive_room: 0, seq: 0, buf: vec![0; RECV_ROOM] })
    }

    pub(super) fn port_id(&self) -> u32 {
        self.socket.portid()
    }

    pub(super) fn next_seq(&mut self) -> u32 {
        self.seq = self.seq.wrapping_add(1).max(1);
        self.seq
    }

    /// Makes room for a datagram and its answers. The buffers only grow.
    pub(super) fn reserve(&mut self, send: usize, receive: usize) -> io::Result<()> {
        let fd = self.socket.as_raw_fd();
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

    /// Throws away what an earlier request may have left.
    pub(super) fn drain(&mut self) {
        while self.recv().is_ok() {}
    }
}

impl Port for Channel {
    fn send(&self, datagram: &[u8]) -> io::Result<()> {
        whole(self.socket.send(datagram)?, datagram.len())
    }

    fn recv(&mut self) -> io::Result<&[u8]> {
        // libmnl wants the alignment of a header, which the allocator's blocks of this size have.
        let len = self.socket.recv_raw(&mut self.buf)?;
        Ok(&self.buf[..len])
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the socket owns the descriptor and closes it when it is dropped, after the borrow.
        #[allow(unsafe_code)]
        unsafe {
            BorrowedFd::borrow_raw(self.socket.as_raw_fd())
        }
    }
}
