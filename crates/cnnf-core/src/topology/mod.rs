//! Who talks to whom: edges gathered from every host's reports, and the picture of them.

mod absorb;
mod edge;
#[cfg(test)]
mod tests;
mod view;

pub use absorb::{Absorbed, MAX_BUCKETS, Topology};
pub use edge::{Edge, Peer};
pub use view::{EdgeStatus, Grouping, Node, NodeKind, Radar, RadarEdge, View, view};
