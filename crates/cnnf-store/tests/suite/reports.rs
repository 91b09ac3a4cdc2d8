//! Reports count once.

use std::collections::BTreeSet;

use cnnf_core::directory::{Endpoint, Instance};
use cnnf_core::id::{HostId, ServiceKey};
use cnnf_core::net::Protocol;
use cnnf_store::{Cursor, Intake, Inventory, Pending, Store, StoreError, Taken};

use crate::place::{Place, edge, enrol, event, report, stats};

fn take(store: &Store, intake: Intake) -> Taken {
    store.take_in(intake).wait().expect("taken in")
}

fn connections(store: &Store) -> u64 {
    store.edges().expect("edges").first().map_or(0, |(_, stats)| stats.connections)
}

#[test]
fn a_report_counts_once() {
    let (place, store) = Place::new();
    enrol(&store, "h-1");
    let with_event = |seq| Intake { events: vec![event(1000 + seq, 1)], ..report("h-1", "a", seq) };
    assert!(matches!(take(&store, with_event(1)), Taken::Fresh(events) if events.len() == 1));
    assert_eq!(take(&store, with_event(1)), Taken::Again);
    assert!(matches!(take(&store, with_event(2)), Taken::Fresh(_)));
    assert_eq!(take(&store, with_event(1)), Taken::Again, "an older one, too");
    drop(store);
    let store = place.reopen();
    assert_eq!(take(&store, with_event(2)), Taken::Again, "over a restart, too");
    assert_eq!(store.events(&Default::default(), 10).expect("events")[0].count, 2);
    assert_eq!(connections(&store), 2);
    assert!(matches!(take(&store, report("h-1", "b", 1)), Taken::Fresh(_)), "a new spool counts anew");
    assert_eq!(store.cursors().expect("cursors")[&HostId::new("h-1")], Cursor { epoch: "b".to_owned(), seq: 1 });
}

#[test]
fn many_go_together_and_stay_in_order() {
    let (_place, store) = Place::new();
    enrol(&store, "h-1");
    let pending: Vec<Pending<Taken>> = (1..=3000).map(|seq| store.take_in(report("h-1", "a", seq))).collect();
    for taken in pending {
        assert!(matches!(taken.wait(), Ok(Taken::Fresh(_))));
    }
    assert_eq!(connections(&store), 3000);
}

#[test]
fn one_that_fails_does_not_harm_the_others() {
    let (_place, store) = Place::new();
    enrol(&store, "h-1");
    let good = store.take_in(report("h-1", "a", 1));
    let bad = store.take_in(Intake { edges: Default::default(), ..report("nobody", "a", 1) });
    let also_good = store.take_in(report("h-1", "a", 2));
    assert!(good.wait().is_ok());
    assert!(matches!(bad.wait(), Err(StoreError::NotFound(_))));
    assert!(also_good.wait().is_ok());
    assert_eq!(store.cursors().expect("cursors").len(), 1);
}

#[test]
fn an_inventory_replaces_the_one_before() {
    let (place, store) = Place::new();
    enrol(&store, "h-1");
    let endpoints: BTreeSet<Endpoint> = [
        Endpoint { protocol: Protocol::Tcp, address: None, port: 80 },
        Endpoint { protocol: Protocol::Udp, address: Some("fd86::1".parse().expect("address")), port: 53 },
    ]
    .into();
    let full = Inventory {
        addresses: ["10.0.0.1", "fd86::1"].map(|a| a.parse().expect("address")).into(),
        instances: [
            (
                ServiceKey::defined("web"),
                Instance { endpoints, live: true, natural: [ServiceKey::unit("nginx")].into() },
            ),
            (ServiceKey::unit("idle"), Instance::default()),
        ]
        .into(),
    };
    take(&store, Intake { inventory: Some(full.clone()), ..report("h-1", "a", 1) });
    drop(store);
    let store = place.reopen();
    assert_eq!(store.inventories().expect("read")[&HostId::new("h-1")], full);
    let small =
        Inventory { addresses: Default::default(), instances: [(ServiceKey::unit("x"), Instance::default())].into() };
    take(&store, Intake { inventory: Some(small.clone()), ..report("h-1", "a", 2) });
    assert_eq!(store.inventories().expect("read")[&HostId::new("h-1")], small);
}

#[test]
fn edges_are_put_and_taken_away() {
    let (place, store) = Place::new();
    let (one, two) = (edge("unit:a", "unit:b", 80), edge("kernel", "exe:/usr/bin/x y", 0));
    let patch = cnnf_store::EdgePatch {
        put: vec![(one.clone(), stats(1, 5, 6)), (two.clone(), stats(2, 7, 8))],
        ..Default::default()
    };
    store.patch_edges(patch).wait().expect("put");
    let patch =
        cnnf_store::EdgePatch { put: vec![(two.clone(), stats(3, 7, 9))], gone: vec![one], ..Default::default() };
    store.patch_edges(patch).wait().expect("put");
    drop(store);
    assert_eq!(place.reopen().edges().expect("edges"), [(two, stats(3, 7, 9))]);
}
