//! Everything that touches a Linux host, in two halves that never call each other.
//!
//! [`observe`] turns what the kernel and `/proc` say into the core's [`Observation`](cnnf_core::observation::Observation)s.
//! [`dataplane`] turns the core's [`Ruleset`](cnnf_core::ruleset::Ruleset) into the table `inet cnnf` and answers for packets that wait.

pub mod dataplane;
pub mod kernel;
pub mod observe;
#[cfg(test)]
mod testbed;
