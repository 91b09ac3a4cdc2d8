//! Who talks to whom: edges gathered from every host's reports, and the picture of them.

mod absorb;
mod diff;
mod edge;
mod standing;
#[cfg(test)]
mod tests;
mod view;

pub use absorb::{Absorbed, MAX_BUCKETS, MAX_EDGES, MAX_PORTS, MAX_PORTS_OF_ALL, Topology};
pub use diff::{Diff, diff};
pub use edge::{DYNAMIC, EPHEMERAL, Edge, Peer, parse_port, ports_of};
pub use view::{EdgeStatus, Filter, Grouping, Node, NodeKind, Radar, RadarEdge, View, view};
