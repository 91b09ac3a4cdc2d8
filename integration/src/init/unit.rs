//! One supervised unit as a state machine: events in, effects out, time as an argument.
//!
//! `Restart=always` as in systemd.service(5): it is started again however it ended, after 100 ms, or after a
//! growing pause while it ends at once of its own will. Each start has a new cgroup directory, as systemd makes it.

#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

const RESTART_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
const SHORT_LIFE: Duration = Duration::from_secs(1);
const STOP_LIMIT: Duration = Duration::from_secs(5);
const ABORT_LIMIT: Duration = Duration::from_millis(500);
const CLEAR_RETRY: Duration = Duration::from_millis(4);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    Start,
    Stop,
    Restart,
    /// It was spawned with this pid.
    Spawned(i32),
    /// Its main process ended (or could not be made); `by_signal` when something killed it.
    Exited {
        by_signal: bool,
    },
    /// Nothing is left in its cgroup and the directory is gone.
    Cleared,
    /// It sent READY=1 or WATCHDOG=1.
    Alive,
    /// Time passed.
    Tick,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Make its cgroup and start it there.
    Spawn,
    /// SIGTERM and SIGCONT to everything in its cgroup.
    Terminate,
    /// SIGABRT to its main process.
    Abort,
    /// SIGKILL to everything in its cgroup.
    Kill,
    /// SIGKILL to what is left, then remove the cgroup directory; `Cleared` when that worked.
    Clear,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Rest,
    Start,
    StartAgain,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Inactive,
    Spawning,
    Running { pid: i32, since: Instant },
    Stopping { pid: i32, kill_at: Instant, next: Next },
    Clearing { retry_at: Instant, next: Next },
    Waiting { until: Instant },
}

#[derive(Debug)]
pub(crate) struct Unit {
    state: State,
    watchdog: Option<Duration>,
    alive_at: Option<Instant>,
    pause: Duration,
    /// How often it was started.
    pub(crate) starts: u64,
    /// How often that was a restart nobody asked for.
    pub(crate) restarts: u64,
}

impl Unit {
    pub(crate) fn new(watchdog: Option<Duration>) -> Self {
        Unit { state: State::Inactive, watchdog, alive_at: None, pause: RESTART_PAUSE, starts: 0, restarts: 0 }
    }

    /// The word for people.
    pub(crate) fn state_word(&self) -> &'static str {
        match self.state {
            State::Inactive => "inactive",
            State::Spawning => "starting",
            State::Running { .. } => "running",
            State::Stopping { .. } | State::Clearing { .. } => "stopping",
            State::Waiting { .. } => "waiting",
        }
    }

    /// Whether its cgroup is its own business now.
    pub(crate) fn is_active(&self) -> bool {
        self.state != State::Inactive
    }

    /// Its main process, while there is one.
    pub(crate) fn pid(&self) -> Option<i32> {
        match self.state {
            State::Running { pid, .. } | State::Stopping { pid, .. } => Some(pid),
            _ => None,
        }
    }

    /// When the next `Tick` is due.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Inactive | State::Spawning => None,
            State::Running { .. } => self.watchdog.zip(self.alive_at).map(|(limit, at)| at + limit),
            State::Stopping { kill_at, .. } => Some(kill_at),
            State::Clearing { retry_at, .. } => Some(retry_at),
            State::Waiting { until } => Some(until),
        }
    }

    pub(crate) fn handle(&mut self, event: &Event, now: Instant) -> Option<Effect> {
        match event {
            Event::Start => self.start(),
            Event::Restart => match self.state {
                State::Running { pid, .. } => Some(self.stop(pid, now, Next::Start)),
                _ => self.start(),
            },
            Event::Stop => match &mut self.state {
                State::Running { pid, .. } => {
                    let pid = *pid;
                    Some(self.stop(pid, now, Next::Rest))
                }
                State::Stopping { next, .. } | State::Clearing { next, .. } => {
                    *next = Next::Rest;
                    None
                }
                State::Waiting { .. } | State::Spawning | State::Inactive => {
                    self.state = State::Inactive;
                    None
                }
            },
            Event::Spawned(pid) => {
                self.state = State::Running { pid: *pid, since: now };
                self.alive_at = None;
                self.starts += 1;
                None
            }
            Event::Exited { by_signal } => self.exited(*by_signal, now),
            Event::Cleared => match self.state {
                State::Clearing { next, .. } => self.go_on(next, now),
                _ => None,
            },
            Event::Alive => {
                if matches!(self.state, State::Running { .. }) {
                    self.alive_at = Some(now);
                }
                None
            }
            Event::Tick => self.tick(now),
        }
    }

    fn start(&mut self) -> Option<Effect> {
        match &mut self.state {
            State::Inactive | State::Waiting { .. } => {
                self.pause = RESTART_PAUSE;
                self.state = State::Spawning;
                Some(Effect::Spawn)
            }
            State::Stopping { next, .. } | State::Clearing { next, .. } => {
                *next = Next::Start;
                None
            }
            State::Running { .. } | State::Spawning => None,
        }
    }

    fn stop(&mut self, pid: i32, now: Instant, next: Next) -> Effect {
        self.state = State::Stopping { pid, kill_at: now + STOP_LIMIT, next };
        Effect::Terminate
    }

    fn exited(&mut self, by_signal: bool, now: Instant) -> Option<Effect> {
        let next = match self.state {
            State::Running { since, .. } => {
                let short = now.duration_since(since) < SHORT_LIFE && !by_signal;
                self.pause = if short { (self.pause * 2).min(LONGEST_PAUSE) } else { RESTART_PAUSE };
                Next::StartAgain
            }
            State::Stopping { next, .. } => next,
            State::Spawning => {
                self.pause = (self.pause * 2).min(LONGEST_PAUSE);
                Next::StartAgain
            }
            State::Inactive | State::Clearing { .. } | State::Waiting { .. } => return None,
        };
        self.state = State::Clearing { retry_at: now + CLEAR_RETRY, next };
        Some(Effect::Clear)
    }

    fn go_on(&mut self, next: Next, now: Instant) -> Option<Effect> {
        match next {
            Next::Rest => {
                self.state = State::Inactive;
                None
            }
            Next::Start => {
                self.state = State::Spawning;
                Some(Effect::Spawn)
            }
            Next::StartAgain => {
                self.state = State::Waiting { until: now + self.pause };
                None
            }
        }
    }

    fn tick(&mut self, now: Instant) -> Option<Effect> {
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return None;
        }
        match &mut self.state {
            State::Running { pid, .. } => {
                self.state = State::Stopping { pid: *pid, kill_at: now + ABORT_LIMIT, next: Next::StartAgain };
                Some(Effect::Abort)
            }
            State::Stopping { kill_at, .. } => {
                *kill_at = now + STOP_LIMIT;
                Some(Effect::Kill)
            }
            State::Clearing { retry_at, .. } => {
                *retry_at = now + CLEAR_RETRY;
                Some(Effect::Clear)
            }
            State::Waiting { .. } => {
                self.restarts += 1;
                self.state = State::Spawning;
                Some(Effect::Spawn)
            }
            State::Inactive | State::Spawning => None,
        }
    }
}
