//! Whether the threads that packets wait for still work: the service manager is told so only as long as all of them do, and ends the process else.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The pulses of those threads.
#[derive(Debug)]
pub(super) struct Pulses {
    began: Instant,
    all: Mutex<Vec<(&'static str, Arc<AtomicU64>)>>,
}

/// One thread's.
#[derive(Debug)]
pub(super) struct Pulse {
    began: Instant,
    /// Milliseconds since then.
    at: Arc<AtomicU64>,
}

impl Pulses {
    pub(super) fn new() -> Self {
        Self { began: Instant::now(), all: Mutex::default() }
    }

    /// The pulse of a thread that works from now on.
    pub(super) fn of(&self, thread: &'static str) -> Pulse {
        let pulse = Pulse { began: self.began, at: Arc::default() };
        pulse.beat();
        self.all.lock().unwrap_or_else(PoisonError::into_inner).push((thread, pulse.at.clone()));
        pulse
    }

    /// A thread that was not heard of for longer than this.
    pub(super) fn silent(&self, limit: Duration) -> Option<&'static str> {
        let now = self.began.elapsed();
        let all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let is_silent = |at: &AtomicU64| now.saturating_sub(Duration::from_millis(at.load(Ordering::Relaxed))) > limit;
        all.iter().find(|(_, at)| is_silent(at)).map(|(thread, _)| *thread)
    }
}

impl Pulse {
    /// It works.
    pub(super) fn beat(&self) {
        let now = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.at.store(now, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_hangs_is_named() {
        let begin = Instant::now();
        let pulses = Pulses::new();
        let (works, hangs) = (pulses.of("works"), pulses.of("hangs"));
        assert_eq!(pulses.silent(Duration::from_secs(60)), None);
        let limit = Duration::from_millis(30);
        while pulses.silent(limit) != Some("hangs") {
            works.beat();
            assert!(begin.elapsed() < Duration::from_secs(10));
        }
        // A beat counts in whole milliseconds.
        assert!(begin.elapsed() + Duration::from_millis(1) > limit);
        hangs.beat();
        works.beat();
        assert_eq!(pulses.silent(Duration::from_secs(60)), None);
    }
}
