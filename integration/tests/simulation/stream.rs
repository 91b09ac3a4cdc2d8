//! A stream between a defender and the controller, over a network that delays, holds up and loses whole connections.
//!
//! As of TCP's, what arrives of one stream's direction is in order; streams overtake each other, and one end may go on long after the other
//! has given up.

use std::collections::VecDeque;

use cnnf_controller::simulation::Attached;
use cnnf_rpc::v1;

use crate::numbers::Numbers;

/// A stream.
#[derive(Default)]
pub(crate) struct Stream {
    pub(crate) host: usize,
    /// The controller's end, once it has heard Hello.
    pub(crate) attached: Option<Attached>,
    /// Whether the defender still holds it.
    pub(crate) held: bool,
    /// Whether the controller has ended it, or never took it.
    pub(crate) ended: bool,
    /// The newest report that went up.
    pub(crate) sent: u64,
    up: VecDeque<(u64, v1::DefenderMessage)>,
    down: VecDeque<(u64, v1::ControllerMessage)>,
}

/// The longest that something is on its way, in milliseconds.
const DELAY: u64 = 400;

impl Stream {
    pub(crate) fn new(host: usize) -> Self {
        Self { host, held: true, ..Self::default() }
    }

    pub(crate) fn say(&mut self, body: v1::defender_message::Body, numbers: &mut Numbers, now: u64) {
        let at = self.up.back().map_or(0, |(at, _)| *at).max(now + numbers.below(DELAY));
        self.up.push_back((at, v1::DefenderMessage { body: Some(body) }));
    }

    pub(crate) fn answer(&mut self, message: v1::ControllerMessage, numbers: &mut Numbers, now: u64) {
        let at = self.down.back().map_or(0, |(at, _)| *at).max(now + numbers.below(DELAY));
        self.down.push_back((at, message));
    }

    /// The next message that has arrived at the controller.
    pub(crate) fn heard(&mut self, now: u64) -> Option<v1::DefenderMessage> {
        self.up.pop_front_if(|(at, _)| *at <= now).map(|(_, message)| message)
    }

    /// The next message that has arrived at the defender.
    pub(crate) fn told(&mut self, now: u64) -> Option<v1::ControllerMessage> {
        self.down.pop_front_if(|(at, _)| *at <= now).map(|(_, message)| message)
    }

    /// Whether something is on its way up.
    pub(crate) fn is_busy(&self) -> bool {
        !self.up.is_empty()
    }

    /// Loses what is on its way up: the connection broke.
    pub(crate) fn lose(&mut self) {
        self.up.clear();
    }
}
