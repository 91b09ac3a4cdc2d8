//! What an operator wants, and what it means.
//!
//! [`evaluate`] is the one meaning of a policy; everything else agrees with it by test. [`resolve`] cuts from it the part that one
//! host needs, as a [`HostPolicy`].

mod delta;
mod evaluate;
mod group;
mod host_policy;
mod resolve;
mod rule;
mod sight;
#[cfg(test)]
mod tests;
mod trial;

pub use delta::{Delta, Misfit, ObjectDelta, Placed, RuleDelta};
pub use evaluate::{Connection, Considered, Decision, Party, Reason, Step, Trail, Vantage, evaluate, evaluate_trail};
pub(crate) use group::{fnv, overlap};
pub use host_policy::{Group, GroupEntry, GroupId, HostPolicy, HostRule, LocalMatch, PeerMatch};
pub use resolve::resolve;
pub(crate) use rule::words;
pub use rule::{AddressObject, Effect, End, Mode, OnFailure, PolicySet, Rule, RuleError, RuleId, ServicePattern};
pub use trial::newly_prevents;
