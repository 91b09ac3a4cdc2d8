//! From a [`Ruleset`](cnnf_core::ruleset::Ruleset) to the kernel's table.
//!
//! [`plan`] says what has to change, as a value; [`fake`] carries a plan out in memory and refuses what the kernel would refuse;
//! [`Reconciler`] makes the kernel's table equal to the wanted one, each change in one atomic batch, through the [`TableSocket`] that may own it; [`epoch`] makes a seal's bit usable again.
//! [`WaitingPackets`] are those that the table asks user space about, [`Released`] tells the table the answer, and [`LoggedCopies`] are those that
//! a policy speaks of. [`OlderConnections`] are those that the table has not seen begin.

mod copies;
mod ended;
pub mod epoch;
pub mod fake;
pub mod labels;
mod lower;
mod older;
pub mod plan;
mod queue;
mod reconcile;
mod table_socket;
mod waiting;

pub use copies::{LoggedCopies, LoggedCopy};
pub use ended::EndedSockets;
pub use older::{Look, Older, OlderConnections};
pub use queue::{Answer, WAITING_MAX, WaitingPacket, WaitingPackets};
pub use reconcile::{Counted, Found, OUR_THREADS, Outcome, ReconcileError, Reconciler, TABLE, Tally};
pub use table_socket::TableSocket;
pub use waiting::{FirstPacket, Released, Resolved};
