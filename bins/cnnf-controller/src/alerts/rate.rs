//! How many messages at most.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// So many messages in any time of this length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Rate {
    /// 0 for no bound.
    pub(crate) messages: u32,
    pub(crate) seconds: u32,
}

/// When the newest messages were sent; at most as many as the rate allows.
#[derive(Debug, Default)]
pub(crate) struct Window(VecDeque<Instant>);

impl Window {
    /// How long until there is room for a message.
    pub(crate) fn wait(&mut self, rate: Rate, now: Instant) -> Duration {
        let length = Duration::from_secs(rate.seconds.into());
        while self.0.front().is_some_and(|first| now.duration_since(*first) >= length) {
            self.0.pop_front();
        }
        if rate.messages == 0 || self.0.len() < rate.messages as usize {
            return Duration::ZERO;
        }
        // As many as are too many must be over.
        let last = self.0[self.0.len() - rate.messages as usize];
        length.saturating_sub(now.duration_since(last))
    }

    /// A message was sent.
    pub(crate) fn note(&mut self, rate: Rate, now: Instant) {
        if rate.messages > 0 {
            self.0.push_back(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_time_of_this_length_has_more() {
        let begin = Instant::now();
        let at = |seconds: u64| begin + Duration::from_secs(seconds);
        let rate = Rate { messages: 2, seconds: 10 };
        let mut window = Window::default();
        for now in [0, 4] {
            assert_eq!(window.wait(rate, at(now)), Duration::ZERO);
            window.note(rate, at(now));
        }
        assert_eq!(window.wait(rate, at(7)), Duration::from_secs(3));
        assert_eq!(window.wait(rate, at(10)), Duration::ZERO);
        window.note(rate, at(10));
        assert_eq!(window.wait(rate, at(11)), Duration::from_secs(3));
        let none = Rate { messages: 0, ..rate };
        assert_eq!(window.wait(none, at(11)), Duration::ZERO);
    }
}
