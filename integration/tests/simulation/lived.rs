//! What happens in lives, counted: a run in which something never did has not tried it.

/// What happened in a life.
#[derive(Debug, Default)]
pub(crate) struct Lived {
    pub(crate) connections: u64,
    pub(crate) refused: u64,
    pub(crate) deltas: u64,
    pub(crate) wholes: u64,
    pub(crate) wanted: u64,
    pub(crate) resent: u64,
    pub(crate) late: u64,
    pub(crate) kills: u64,
    pub(crate) reboots: u64,
    pub(crate) controller_kills: u64,
    pub(crate) partings: u64,
    pub(crate) trials: u64,
}

impl Lived {
    pub(crate) fn add(&mut self, mut other: Self) {
        for (mine, more) in self.all().into_iter().zip(other.all()) {
            *mine += *more;
        }
    }

    /// Whether everything happened that a life is for.
    pub(crate) fn has_everything(&mut self) -> bool {
        self.all().iter().all(|n| **n > 0)
    }

    fn all(&mut self) -> [&mut u64; 12] {
        let Self {
            connections,
            refused,
            deltas,
            wholes,
            wanted,
            resent,
            late,
            kills,
            reboots,
            controller_kills,
            partings,
            trials,
        } = self;
        [connections, refused, deltas, wholes, wanted, resent, late, kills, reboots, controller_kills, partings, trials]
    }
}
