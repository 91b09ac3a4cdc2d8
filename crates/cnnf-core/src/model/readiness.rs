//! How much of a service's behaviour has not been seen yet.
//!
//! I. J. Good, "The population frequencies of species and the estimation of population parameters", Biometrika 40 (1953), after Turing:
//! the chance that the next observation is of an unseen species is about the number of species seen once ÷ observations.

use super::Model;

const DAY_MS: f64 = 86_400_000.0;

impl Model {
    /// The chance that the next connection is on an unseen edge: edges seen once ÷ connections. 1 while nothing was seen.
    #[must_use]
    pub fn unseen_probability(&self) -> f64 {
        if self.connections == 0 {
            return 1.0;
        }
        #[allow(clippy::cast_precision_loss)] // an estimate; 2^53 connections are far away
        let chance = self.once() / self.connections as f64;
        chance.min(1.0)
    }

    /// Events to expect a day of running if the model were active: the chance that a connection is on an unseen edge, times
    /// connections a day. `None` while nothing was seen or no time has passed.
    #[must_use]
    pub fn expected_events(&self) -> Option<f64> {
        if self.connections == 0 || self.exposed_ms == 0 {
            return None;
        }
        #[allow(clippy::cast_precision_loss)] // as above
        let (connections, days) = (self.connections as f64, self.exposed_ms as f64 / DAY_MS);
        Some(self.unseen_probability() * connections / days)
    }

    #[allow(clippy::cast_precision_loss)] // at most MAX_LEARNED
    fn once(&self) -> f64 {
        self.edges.values().filter(|seen| seen.connections == 1).count() as f64
    }
}
