//! Speaks with the service manager: that we are ready and alive, and what it keeps for us over a restart (sd_notify(3), sd_listen_fds(3)).

use std::os::fd::{AsFd, OwnedFd};

use cnnf_host::kernel::inherited;
pub(crate) use sd_notify::NotifyState;

/// Tells it, if there is one that wants to know.
pub(crate) fn notify(state: NotifyState<'_>) {
    let said = state.to_string();
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!("cannot tell the service manager {said}: {error}");
    }
}

/// Has it keep a descriptor open under a name, whatever becomes of this process. It does not close it when it has an error to read.
pub(crate) fn keep(name: &str, fd: &OwnedFd) {
    let state = [NotifyState::FdStore, NotifyState::FdName(name), NotifyState::Custom("FDPOLL=0")];
    if let Err(error) = sd_notify::notify_with_fds(&state, &[fd.as_fd()]) {
        tracing::warn!("the service manager cannot keep the {name}: {error}");
    }
}

/// What an earlier run had it keep under this name.
pub(crate) fn kept(name: &str) -> Option<OwnedFd> {
    let (number, _) = sd_notify::listen_fds_with_names().ok()?.find(|(_, known)| known == name)?;
    inherited(number).ok()
}
