//! Sockets to the kernel: options that no safe crate offers, requests with their answers.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::time::Duration;

use netlink_sys::SocketAddr;

use crate::error::Error;
use crate::message::{Message, Messages};

/// Room for the largest datagram of a dump (the kernel's 32 KiB) or a single message of 64 KiB.
pub(crate) const RECV_ROOM: usize = 128 * 1024;

/// A datagram port to the kernel.
pub(crate) trait Port {
    fn send(&self, datagram: &[u8]) -> io::Result<()>;
    /// The next datagram; `WouldBlock` if there is none.
    fn recv(&mut self) -> io::Result<&[u8]>;
}

/// A non-blocking netlink socket, bound to a port id of its own.
#[derive(Debug)]
pub(crate) struct Socket {
    inner: netlink_sys::Socket,
    seq: u32,
    buf: Vec<u8>,
}

impl Socket {
    pub(crate) fn open(protocol: i32) -> Result<Self, Error> {
        let what = Error::system;
        let mut inner = netlink_sys::Socket::new(protocol as isize).map_err(what("open a netlink socket"))?;
        inner.bind(&SocketAddr::new(0, 0)).map_err(what("bind a netlink socket"))?;
        Self::over(inner)
    }

    /// One that somebody else has opened and bound, such as an earlier run of this program.
    pub(crate) fn from_fd(fd: OwnedFd) -> Result<Self, Error> {
        // SAFETY: the descriptor is ours alone, and the socket closes it.
        #[allow(unsafe_code)]
        let inner = unsafe { netlink_sys::Socket::from_raw_fd(fd.into_raw_fd()) };
        let mut socket = Self::over(inner)?;
        // what it was asked last by whoever had it
        while socket.recv().is_ok() {}
        Ok(socket)
    }

    fn over(inner: netlink_sys::Socket) -> Result<Self, Error> {
        let what = Error::system;
        inner.set_non_blocking(true).map_err(what("set a netlink socket non-blocking"))?;
        extended_ack(inner.as_raw_fd()).map_err(what("ask for extended acknowledgements"))?;
        Ok(Self { inner, seq: 0, buf: Vec::new() })
    }

    /// Its port id, unique among the sockets of its protocol in its network namespace.
    pub(crate) fn port_id(&self) -> Result<u32, Error> {
        let mut address = SocketAddr::new(0, 0);
        self.inner.get_address(&mut address).map_err(Error::system("read a netlink socket's port id"))?;
        Ok(address.port_number())
    }

    pub(crate) fn join(&self, group: u32) -> Result<(), Error> {
        self.inner.add_membership(group).map_err(Error::system("join a netlink group"))
    }

    pub(crate) fn leave(&mut self, group: u32) -> Result<(), Error> {
        self.inner.drop_membership(group).map_err(Error::system("leave a netlink group"))
    }

    pub(crate) fn next_seq(&mut self) -> u32 {
        self.seq = self.seq.wrapping_add(1).max(1);
        self.seq
    }
}

impl Port for Socket {
    fn send(&self, datagram: &[u8]) -> io::Result<()> {
        whole(self.inner.send(datagram, 0)?, datagram.len())
    }

    fn recv(&mut self) -> io::Result<&[u8]> {
        self.buf.clear();
        self.buf.reserve(RECV_ROOM);
        self.inner.recv(&mut self.buf, 0)?;
        Ok(&self.buf)
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.as_fd()
    }
}

/// A datagram goes whole or not at all; anything else is a kernel that we do not know.
pub(crate) fn whole(sent: usize, len: usize) -> io::Result<()> {
    if sent == len { Ok(()) } else { Err(io::Error::from(io::ErrorKind::WriteZero)) }
}

/// Sends a request and hands its answers to `each` until the acknowledgement or the end of the
/// dump. Returns whether the kernel says that the dump was interrupted by a change.
///
/// Netlink answers a request before `send` returns, and each further part of a dump before
/// `recv` does: so a non-blocking socket that has nothing to read has nothing to wait for.
pub(crate) fn request(
    port: &mut impl Port,
    what: &'static str,
    datagram: &[u8],
    seq: u32,
    mut each: impl FnMut(Message<'_>),
) -> Result<bool, Error> {
    port.send(datagram).map_err(Error::system(what))?;
    let mut interrupted = false;
    loop {
        let datagram = match port.recv() {
            Ok(datagram) => datagram,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Err(Error::Incomplete { what }),
            Err(source) => return Err(Error::System { what, source }),
        };
        for m in Messages(datagram).filter(|m| m.seq == seq) {
            interrupted |= i32::from(m.flags) & libc::NLM_F_DUMP_INTR != 0;
            if i32::from(m.ty) == libc::NLMSG_DONE {
                return Ok(interrupted);
            }
            match m.answer() {
                Some(a) if a.errno == 0 => return Ok(interrupted),
                Some(a) => return Err(Error::Refused { what, errno: a.errno, text: a.text }),
                None => each(m),
            }
        }
    }
}

/// A duplicate of a descriptor that this process was started with, as a service manager passes them (sd_listen_fds(3)). The one that is duplicated
/// is not handed on to other programs.
///
/// # Errors
/// There is none of this number.
#[allow(unsafe_code)]
pub fn inherited(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: F_DUPFD_CLOEXEC and F_SETFD take any number, and none that is open is an error; the new descriptor is nobody else's.
    unsafe {
        let new = libc::fcntl(number, libc::F_DUPFD_CLOEXEC, 3);
        if new < 0 || libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(OwnedFd::from_raw_fd(new))
    }
}

/// Waits until `fd` can be read, at most `timeout` (whole milliseconds); false if it cannot.
///
/// # Errors
/// Those of poll(2), but not `EINTR`, which reads as "not yet".
pub fn wait_readable(fd: impl AsFd, timeout: Duration) -> io::Result<bool> {
    let mut p = libc::pollfd { fd: fd.as_fd().as_raw_fd(), events: libc::POLLIN, revents: 0 };
    let ms = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: one pollfd, alive for the call, and the fd in it is borrowed for as long.
    #[allow(unsafe_code)]
    let n = unsafe { libc::poll(&mut p, 1, ms) };
    match n {
        0 => Ok(false),
        n if n > 0 => Ok(true),
        _ => match io::Error::last_os_error() {
            e if e.kind() == io::ErrorKind::Interrupted => Ok(false),
            e => Err(e),
        },
    }
}

/// Which buffer to size.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Buffer {
    Send,
    Receive,
}

/// Sizes a buffer beyond the system's limit where we may (`CAP_NET_ADMIN`), else up to it. The
/// kernel doubles the number.
pub(crate) fn size_buffer(fd: RawFd, buffer: Buffer, bytes: usize) -> io::Result<()> {
    let (force, plain) = match buffer {
        Buffer::Send => (libc::SO_SNDBUFFORCE, libc::SO_SNDBUF),
        Buffer::Receive => (libc::SO_RCVBUFFORCE, libc::SO_RCVBUF),
    };
    // The kernel doubles it in an int.
    let bytes = i32::try_from(bytes).unwrap_or(i32::MAX).min(i32::MAX / 2 - 1);
    match set_int(fd, libc::SOL_SOCKET, force, bytes) {
        Err(e) if e.raw_os_error() == Some(libc::EPERM) => set_int(fd, libc::SOL_SOCKET, plain, bytes),
        r => r,
    }
}

/// Errors that name the attribute and say why, and do not echo the request.
pub(crate) fn extended_ack(fd: RawFd) -> io::Result<()> {
    set_int(fd, libc::SOL_NETLINK, libc::NETLINK_CAP_ACK, 1)?;
    set_int(fd, libc::SOL_NETLINK, libc::NETLINK_EXT_ACK, 1)
}

/// Keeps every datagram away whose first message is of another type, by a classic BPF program (linux/filter.h).
#[allow(unsafe_code)]
pub(crate) fn only_messages_of(fd: RawFd, ty: u16) -> io::Result<()> {
    let step = |code: u32, jump_if_not, k: u32| libc::sock_filter { code: code as u16, jt: 0, jf: jump_if_not, k };
    let mut program = [
        // The type stands at offset 4 of the header in this machine's order, and the program loads in the network's.
        step(libc::BPF_LD | libc::BPF_H | libc::BPF_ABS, 0, 4),
        step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 1, u16::from_be_bytes(ty.to_ne_bytes()).into()),
        step(libc::BPF_RET | libc::BPF_K, 0, u32::MAX),
        step(libc::BPF_RET | libc::BPF_K, 0, 0),
    ];
    let program = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    let size = size_of::<libc::sock_fprog>() as libc::socklen_t;
    // SAFETY: the option's value is a program description of the size we state; it and the steps that it points to outlive the call,
    // and the kernel copies them.
    let result =
        unsafe { libc::setsockopt(fd, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, (&raw const program).cast(), size) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[allow(unsafe_code)]
fn set_int(fd: RawFd, level: i32, option: i32, value: libc::c_int) -> io::Result<()> {
    let size = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the option's value is one int of the size we state, alive for the call.
    if unsafe { libc::setsockopt(fd, level, option, (&raw const value).cast(), size) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
