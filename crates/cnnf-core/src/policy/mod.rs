//! What an operator wants, and what it means.
//!
//! [`evaluate`] is the one meaning of a policy; everything else agrees with it by test. [`resolve`] cuts from it the part that one
//! host needs, as a [`HostPolicy`].

mod concern;
mod delta;
mod digest;
mod evaluate;
mod expiry;
mod group;
mod host_delta;
mod host_policy;
mod index;
mod lint;
mod place;
mod reach;
mod renaming;
mod resolve;
mod rule;
mod rules;
mod sight;
mod simulate;
mod space;
mod suggest;
#[cfg(test)]
mod tests;
mod trial;

pub use concern::{Concern, basis, concerned};
pub use delta::{Delta, Misfit, ObjectDelta, Placed, RuleDelta};
pub use digest::Digest;
pub use evaluate::{
    Connection, Considered, Decision, Party, Reason, Step, Trail, Vantage, deciding, evaluate, evaluate_trail,
};
pub use expiry::{WARNING, expiries, next_expiry};
pub(crate) use group::{fnv, text_of};
pub use host_delta::{GroupDelta, HostDelta, Mismatch, Splice};
pub use host_policy::{Group, GroupEntry, GroupId, HostPolicy, HostRule, LocalMatch, PeerMatch};
pub use index::Index;
pub use lint::{Fault, Finding, Findings, MAX_PAIRS, Span, lint};
pub use place::MAX_PLACES;
pub use reach::{Count, MAX_JUDGED, Reach, Standing, Target, Way, reach};
pub use renaming::{Lost, Renamed, Renaming, renaming};
pub use resolve::{MANY_RULES, Resolver, resolve};
pub(crate) use rule::words;
pub use rule::{
    AddressObject, Effect, End, Mode, OnFailure, PolicySet, Rule, RuleError, RuleHits, RuleId, ServicePattern,
};
pub use rules::Rules;
pub use simulate::{Fate, MAX_LISTED, RECENT, Shift, Simulation, Tally, simulate};
pub(crate) use space::overlap;
pub use suggest::{MANY_ADDRESSES, Suggestion, Widening, Witnesses, close, suggest};
pub use trial::newly_prevents;
