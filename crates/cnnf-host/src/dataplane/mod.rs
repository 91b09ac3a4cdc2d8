//! From a [`Ruleset`](cnnf_core::ruleset::Ruleset) to the kernel's table.
//!
//! [`plan`] says what has to change, as a value; [`fake`] carries a plan out in memory and refuses what the kernel would refuse;
//! [`Released`] tells the table of packets that wait. [`Reconciler`] makes the kernel's table equal to the wanted one, each change in one atomic batch; [`epoch`] makes a seal's bit usable again.

pub mod epoch;
pub mod fake;
mod lower;
pub mod plan;
mod reconcile;
mod waiting;

pub use reconcile::{Counted, Outcome, ReconcileError, Reconciler, TABLE};
pub use waiting::{FirstPacket, Released};
