//! From what the controller sends on a stream to whole policies.

use cnnf_core::policy::{HostDelta, HostPolicy};
use cnnf_rpc::v1;
use cnnf_rpc::v1::controller_message::Body as Down;

use crate::agent::Event;
use crate::spool::Spool;

/// The policy as it was sent last on this stream, whatever became of it: what the next delta leads from.
#[derive(Debug, Default)]
pub(crate) struct Received {
    policy: Option<HostPolicy>,
    /// Whether a whole policy was asked for and has not come yet.
    asked: bool,
}

/// What follows from a message of the controller's.
pub(crate) enum Answer {
    /// The agent has to hear of it.
    Event(Event),
    /// Reports up to this one are durable; the spool knows.
    Acknowledged(u64),
    /// The policy has to come whole.
    Wanted(v1::SnapshotWanted),
    /// A question cannot be read.
    Unread(v1::PreviewAnswer),
    /// The CAs to believe from now on.
    Believe(Vec<Vec<u8>>),
}

impl Received {
    /// Takes a message of the controller's.
    pub(crate) fn take(&mut self, message: v1::ControllerMessage, spool: &Spool) -> Option<Answer> {
        match message.body? {
            Down::Acknowledged(ack) => {
                // of an older epoch it says nothing
                let ours = ack.spool_epoch == spool.epoch();
                ours.then(|| {
                    spool.acknowledge(&ack.spool_epoch, ack.seq);
                    Answer::Acknowledged(ack.seq)
                })
            }
            Down::Trust(trust) => Some(Answer::Believe(trust.cas)),
            Down::Policy(policy) => Some(Answer::Event(self.whole(policy))),
            Down::Preview(preview) => Some(Self::preview(preview)),
            Down::PolicyDelta(delta) => match self.delta(delta) {
                Ok(event) => Some(Answer::Event(event)),
                Err(wanted) => wanted.map(Answer::Wanted),
            },
        }
    }

    /// A question about a policy came.
    fn preview(message: v1::Preview) -> Answer {
        let v1::Preview { number, policy } = message;
        match HostPolicy::try_from(policy.unwrap_or_default()) {
            Ok(policy) => Answer::Event(Event::Previewed { number, policy: Box::new(policy) }),
            Err(error) => {
                let error = format!("this defender cannot read the policy: {error}");
                Answer::Unread(v1::PreviewAnswer { number, error, ..v1::PreviewAnswer::default() })
            }
        }
    }

    /// A policy came whole.
    fn whole(&mut self, message: v1::HostPolicy) -> Event {
        let generation = message.generation;
        self.asked = false;
        match HostPolicy::try_from(message) {
            Ok(policy) => {
                self.policy = Some(policy.clone());
                Event::Policy(Box::new(policy))
            }
            Err(error) => {
                self.policy = None;
                Event::BadPolicy { generation, error: error.to_string() }
            }
        }
    }

    /// What changed of it came.
    ///
    /// # Errors
    /// It cannot be applied: what to ask for. A stream loses nothing, so that once should do; but as an answer that went missing all the same
    /// would leave this host behind for as long as the stream lives, it is asked for again with each that does not fit.
    fn delta(&mut self, message: v1::HostPolicyDelta) -> Result<Event, Option<v1::SnapshotWanted>> {
        let applied = HostDelta::try_from(message).map_err(|error| error.to_string()).and_then(|delta| {
            let policy = self.policy.as_ref().ok_or_else(|| "nothing is here that it could change".to_owned())?;
            delta.apply(policy).map_err(|error| error.to_string())
        });
        match applied {
            Ok(policy) if !self.asked => {
                self.policy = Some(policy.clone());
                Ok(Event::Policy(Box::new(policy)))
            }
            Ok(_) => Err(None),
            Err(reason) => {
                let generation = self.policy.as_ref().map_or(0, |policy| policy.generation);
                self.asked = true;
                Err(Some(v1::SnapshotWanted { generation, reason }))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use cnnf_core::policy::Mode;

    use super::*;

    fn policy(generation: u64, mode: Mode) -> HostPolicy {
        HostPolicy { generation, mode, ..HostPolicy::default() }
    }

    fn of(event: Result<Event, Option<v1::SnapshotWanted>>) -> Result<HostPolicy, Option<u64>> {
        match event {
            Ok(Event::Policy(policy)) => Ok(*policy),
            Ok(event) => panic!("{event:?}"),
            Err(wanted) => Err(wanted.map(|wanted| wanted.generation)),
        }
    }

    #[test]
    fn a_delta_that_does_not_fit_asks_for_the_whole_until_it_comes() {
        let (one, two, three) = (policy(1, Mode::Observe), policy(2, Mode::Enforce), policy(3, Mode::Observe));
        let delta = |from: &HostPolicy, to: &HostPolicy| v1::HostPolicyDelta::from(&HostDelta::between(from, to));
        let mut received = Received::default();
        assert_eq!(of(received.delta(delta(&one, &two))), Err(Some(0)), "nothing came yet");
        assert_eq!(of(Ok(received.whole((&one).into()))), Ok(one.clone()));
        assert_eq!(of(received.delta(delta(&two, &three))), Err(Some(1)), "one was lost");
        assert_eq!(of(received.delta(delta(&one, &two))), Err(None), "it was asked for the whole");
        assert_eq!(of(received.delta(delta(&two, &three))), Err(Some(1)), "the whole was lost too");
        assert_eq!(of(Ok(received.whole((&two).into()))), Ok(two.clone()));
        assert_eq!(of(received.delta(delta(&two, &three))), Ok(three.clone()));
        let mut bent = delta(&three, &policy(4, Mode::Enforce));
        bent.mode = "observe".into();
        assert_eq!(of(received.delta(bent)), Err(Some(3)), "it leads elsewhere than it says");
    }
}
