//! Speaks with the service manager: that we are ready and alive, and what it keeps for us over a restart (sd_notify(3), sd_listen_fds(3)).

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use cnnf_host::kernel::inherited;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

/// The first descriptor that it passes.
const FIRST: i32 = 3;

/// Sends `state`, such as `READY=1`, to the service manager, if there is one that wants to know.
pub(crate) fn notify(state: &str) {
    send(state, None);
}

/// Has it keep a descriptor open under a name, whatever becomes of this process. It does not close it when it has an error to read.
pub(crate) fn keep(name: &str, fd: &OwnedFd) {
    send(&format!("FDSTORE=1\nFDNAME={name}\nFDPOLL=0"), Some(fd));
}

/// What an earlier run had it keep under this name.
pub(crate) fn kept(name: &str) -> Option<OwnedFd> {
    let variable = |key| std::env::var(key).ok();
    if variable("LISTEN_PID")?.parse() != Ok(std::process::id()) {
        return None;
    }
    let place = variable("LISTEN_FDNAMES")?.split(':').position(|known| known == name)?;
    inherited(FIRST + i32::try_from(place).ok()?).ok()
}

fn send(state: &str, fd: Option<&OwnedFd>) {
    let Some(name) = std::env::var("NOTIFY_SOCKET").ok().filter(|name| !name.is_empty()) else { return };
    if let Err(error) = send_to(&name, state, fd) {
        tracing::warn!("cannot tell the service manager {state}: {error}");
    }
}

fn send_to(name: &str, state: &str, fd: Option<&OwnedFd>) -> io::Result<()> {
    let address = match name.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(name),
    };
    let socket = UnixDatagram::unbound()?;
    socket.connect_addr(&address?)?;
    let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut room);
    let fds = fd.map(AsFd::as_fd);
    if fds.is_some() {
        control.push(SendAncillaryMessage::ScmRights(fds.as_slice()));
    }
    sendmsg(&socket, &[IoSlice::new(state.as_bytes())], &mut control, SendFlags::empty())?;
    Ok(())
}
