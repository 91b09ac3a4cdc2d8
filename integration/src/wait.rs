//! Waiting for something to become true, with a limit, and until Ctrl-C.

use std::time::{Duration, Instant};

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use crate::error::{Error, Result, Tried};

/// Notices SIGINT, SIGTERM and SIGHUP instead of dying of them, so that what was begun can be cleaned up.
pub(crate) struct Interrupt {
    signals: SignalFd,
}

impl Interrupt {
    pub(crate) fn watch() -> Result<Self> {
        let mut mask = SigSet::empty();
        for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
            mask.add(signal);
        }
        mask.thread_block().tried(|| "cannot block signals".to_owned())?;
        let signals = SignalFd::with_flags(&mask, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)
            .tried(|| "cannot watch signals".to_owned())?;
        Ok(Interrupt { signals })
    }

    /// # Errors
    /// When somebody wants us to stop.
    pub(crate) fn check(&self) -> Result<()> {
        match self.signals.read_signal() {
            Ok(Some(_)) => Err(Error::Failed("interrupted, what was begun is taken down again".to_owned())),
            _ => Ok(()),
        }
    }

    /// Asks `probe` every few milliseconds until it has an answer; `late` says what is missing after `limit`.
    pub(crate) fn wait_for<T>(
        &self,
        limit: Duration,
        pause: Duration,
        mut probe: impl FnMut() -> Result<Option<T>>,
        late: impl FnOnce() -> String,
    ) -> Result<T> {
        let end = Instant::now() + limit;
        loop {
            self.check()?;
            if let Some(found) = probe()? {
                return Ok(found);
            }
            if Instant::now() >= end {
                return Err(Error::Failed(format!("{} (waited {} s)", late(), limit.as_secs())));
            }
            std::thread::sleep(pause);
        }
    }
}
