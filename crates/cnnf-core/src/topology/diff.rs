//! What is new, gone and different between two times.

use std::collections::BTreeMap;

use super::edge::Edge;
use crate::flow::FlowStats;

/// An edge has changed if its connections are so many times more or fewer, …
const FACTOR: u64 = 2;
/// … and by at least so many: one connection more than one is no news.
const LEAST: u64 = 10;

/// What is different between two equally long times.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diff {
    /// Edges that were not seen in the first time.
    pub new: Vec<(Edge, FlowStats)>,
    /// Edges that were not seen in the second time, with what was counted in the first.
    pub gone: Vec<(Edge, FlowStats)>,
    /// Edges with twice the connections or more, or half of them or fewer, and ten more or fewer: before and after.
    pub changed: Vec<(Edge, FlowStats, FlowStats)>,
}

/// Compares what was counted in two equally long times. Every edge is in one of the lists at most.
#[must_use]
pub fn diff(before: &BTreeMap<Edge, FlowStats>, after: &BTreeMap<Edge, FlowStats>) -> Diff {
    let only_in = |these: &BTreeMap<Edge, FlowStats>, those: &BTreeMap<Edge, FlowStats>| {
        let only = these.iter().filter(|(edge, _)| !those.contains_key(edge));
        only.map(|(edge, stats)| (edge.clone(), *stats)).collect()
    };
    let both = before.iter().filter_map(|(edge, old)| Some((edge, old, after.get(edge)?)));
    Diff {
        new: only_in(after, before),
        gone: only_in(before, after),
        changed: both.filter(|(_, a, b)| differ(a, b)).map(|(edge, a, b)| (edge.clone(), *a, *b)).collect(),
    }
}

fn differ(a: &FlowStats, b: &FlowStats) -> bool {
    let (few, many) = (a.connections.min(b.connections), a.connections.max(b.connections));
    many - few >= LEAST && many >= few.saturating_mul(FACTOR)
}
