//! What something costs on a machine with nothing else to do.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// How long this thread has had the processor (clock_gettime(2)).
pub(crate) fn on_the_processor() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}
