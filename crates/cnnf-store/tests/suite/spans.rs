//! Edges over time.

use cnnf_core::flow::FlowStats;
use cnnf_core::time::Timestamp;
use cnnf_core::topology::Edge;
use cnnf_store::{DAY, EdgePatch, HOUR, Span, Store};

use crate::place::{Place, edge, enrol, report, stats};

/// A report that counts this.
fn count(store: &Store, seq: u64, counted: &[(Edge, FlowStats)]) {
    let mut intake = report("h", "e", seq);
    intake.counted = counted.to_vec();
    store.take_in(intake).wait().expect("taken");
}

fn between(store: &Store, since: u64, until: u64) -> Vec<(Edge, u64)> {
    let edges = store.edges_between(Timestamp(since), Timestamp(until)).expect("edges");
    edges.into_iter().map(|(edge, stats)| (edge, stats.connections)).collect()
}

fn age(store: &Store, hours_until: u64, days_until: u64) {
    while !store.age_edges(Timestamp(hours_until), Timestamp(days_until)).wait().expect("aged") {}
}

#[test]
fn a_range_counts_its_own_connections() {
    let (place, store) = Place::new();
    enrol(&store, "h");
    let (ab, cb) = (edge("unit:a", "unit:b", 80), edge("unit:c", "unit:b", 80));
    count(&store, 1, &[(ab.clone(), stats(5, 10, HOUR - 1)), (cb.clone(), stats(2, 20, 30))]);
    count(&store, 2, &[(ab.clone(), stats(7, HOUR, HOUR + 5))]);
    count(&store, 2, &[(ab.clone(), stats(7, HOUR, HOUR + 5))]);
    count(&store, 3, &[(ab.clone(), stats(1, HOUR + 6, HOUR + 7))]);
    assert_eq!(between(&store, 0, 2 * HOUR), [(ab.clone(), 13), (cb.clone(), 2)], "twice is once");
    assert_eq!(between(&store, HOUR, 2 * HOUR), [(ab.clone(), 8)]);
    assert_eq!(between(&store, 0, HOUR - 1), [(ab.clone(), 5), (cb.clone(), 2)]);
    assert_eq!(between(&store, 31, 2 * HOUR), [(ab.clone(), 13)], "c was not seen since");
    assert_eq!(between(&store, 0, 15), [(ab, 5)], "c was not seen yet");
    drop(store);
    assert_eq!(between(&place.reopen(), 0, 2 * HOUR).len(), 2);
}

#[test]
fn hours_become_days_and_days_are_forgotten() {
    let (_place, store) = Place::new();
    enrol(&store, "h");
    let ab = edge("unit:a", "unit:b", 80);
    for hour in 0..60 {
        count(&store, hour + 1, &[(ab.clone(), stats(1, hour * HOUR, hour * HOUR + 1))]);
    }
    age(&store, 50 * HOUR, 0);
    assert_eq!(between(&store, 0, 100 * HOUR), [(ab.clone(), 60)], "nothing is lost");
    assert_eq!(between(&store, 50 * HOUR, 100 * HOUR), [(ab.clone(), 10)], "the last ten are hours still");
    assert_eq!(between(&store, 3 * HOUR, 5 * HOUR), [(ab.clone(), 24)], "of a day only the day is known");
    age(&store, 60 * HOUR, 2 * DAY);
    assert_eq!(between(&store, 0, 100 * HOUR), [(ab.clone(), 12)]);
    age(&store, 200 * HOUR, 200 * HOUR);
    assert_eq!(between(&store, 0, 300 * HOUR), []);
    count(&store, 100, &[(ab.clone(), stats(1, DAY, DAY))]);
    assert_eq!(between(&store, 0, 300 * HOUR), [(ab, 1)]);
}

#[test]
fn what_was_counted_goes_with_the_name() {
    let (_place, store) = Place::new();
    enrol(&store, "h");
    let (old, new, other) = (edge("unit:a", "unit:x", 80), edge("unit:a", "unit:b", 80), edge("unit:a", "unit:c", 80));
    count(&store, 1, &[(old.clone(), stats(5, 1, 2)), (new.clone(), stats(2, 3, 4))]);
    let renamed = vec![(old.clone(), new.clone()), (edge("unit:n", "unit:n", 1), other)];
    let patch = EdgePatch { gone: vec![old], renamed, ..EdgePatch::default() };
    store.patch_edges(patch).wait().expect("renamed");
    assert_eq!(between(&store, 0, HOUR), [(new, 7)]);
}

#[test]
fn a_chart_has_hours_and_days_in_order_and_both_sides_of_a_service() {
    let (_place, store) = Place::new();
    enrol(&store, "h");
    let (ab, bc) = (edge("unit:a", "unit:b", 80), edge("unit:b", "unit:c", 81));
    count(&store, 1, &[(ab.clone(), stats(5, 10, 20)), (bc.clone(), stats(1, 10, 20))]);
    count(&store, 2, &[(ab.clone(), stats(7, HOUR, HOUR + 5))]);
    count(&store, 3, &[(ab.clone(), stats(2, 3 * DAY, 3 * DAY + 5))]);
    age(&store, DAY, 0);
    let shown = |spans: Vec<Span>| spans.into_iter().map(|s| (s.start.0, s.width, s.connections)).collect::<Vec<_>>();
    let of_edge = |since, until| shown(store.edge_history(&ab, Timestamp(since), Timestamp(until)).expect("history"));
    assert_eq!(of_edge(0, 9 * DAY), [(0, DAY, 12), (3 * DAY, HOUR, 2)]);
    assert_eq!(of_edge(DAY - 1, 3 * DAY - 1), [(0, DAY, 12)]);
    assert_eq!(of_edge(DAY, 3 * DAY), [(3 * DAY, HOUR, 2)]);
    let key = "unit:b".parse().expect("key");
    let (taken, opened) = store.service_history(&key, Timestamp(0), Timestamp(9 * DAY)).expect("history");
    assert_eq!(shown(taken), [(0, DAY, 12), (3 * DAY, HOUR, 2)]);
    assert_eq!(shown(opened), [(0, DAY, 1)]);
}
