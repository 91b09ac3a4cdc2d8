use std::time::Duration;

use cnnf_core::directory::{Endpoint, Instance};
use cnnf_core::event::EventKind;
use cnnf_core::flow::{FlowKey, FlowRecord, FlowStats};
use cnnf_core::id::{HostId, ServiceKey};
use cnnf_core::model::Phase;
use cnnf_core::net::Protocol;
use cnnf_core::policy::Mode;
use cnnf_core::time::Timestamp;
use cnnf_core::topology::Peer;
use cnnf_store::{Certificate, HostRow, Inventory, Store};

use super::*;

fn empty() -> (tempfile::TempDir, State) {
    let folder = tempfile::tempdir().expect("folder");
    let store = Store::create(&folder.path().join("db")).expect("store");
    let state = restore(&store, Timestamp(0)).expect("state");
    (folder, state)
}

fn row(id: &str) -> HostRow {
    HostRow {
        id: HostId::new(id),
        name: format!("name of {id}"),
        labels: Default::default(),
        mode: Mode::Observe,
        bound: Default::default(),
        certificate: Certificate { serial: String::new(), issuer: String::new(), expires: Timestamp(0) },
        revoked: false,
        created: Timestamp(0),
        last_seen: Timestamp(0),
        version: String::new(),
    }
}

fn inventory(address: &str, service: &str, port: u16) -> Inventory {
    let endpoint = Endpoint { protocol: Protocol::Tcp, address: None, port };
    Inventory {
        addresses: [address.parse().expect("address")].into(),
        instances: [(
            ServiceKey::unit(service),
            Instance { endpoints: [endpoint].into(), live: true, ..Instance::default() },
        )]
        .into(),
    }
}

fn flow(client: &str, from: &str, to: &str, port: u16, at: u64) -> FlowRecord {
    FlowRecord {
        key: FlowKey {
            client_service: Some(ServiceKey::unit(client)),
            client: from.parse().expect("address"),
            server_service: None,
            server: to.parse().expect("address"),
            protocol: Protocol::Tcp,
            port,
        },
        stats: FlowStats { connections: 1, bytes: 0, first: Timestamp(at), last: Timestamp(at) },
    }
}

#[test]
fn a_silent_host_claims_no_address_until_it_speaks() {
    let (_folder, mut state) = empty();
    let id = HostId::new("h-1");
    state.add_host(row("h-1"), Timestamp(1000));
    state.replace_inventory(&id, &inventory("10.0.0.1", "web", 80), Timestamp(1000)).expect("new");
    assert!(state.replace_inventory(&id, &inventory("10.0.0.1", "web", 80), Timestamp(1000)).is_none(), "nothing new");
    assert!(state.fall_silent(Timestamp(60_999)).is_empty());
    let events = state.fall_silent(Timestamp(61_000));
    assert_eq!(events.iter().map(|e| e.kind).collect::<Vec<_>>(), [EventKind::DefenderOffline]);
    assert!(state.fall_silent(Timestamp(70_000)).is_empty(), "told once");
    let address = "10.0.0.1".parse().expect("address");
    assert!(state.directory.host_of(address).is_none());
    assert!(state.live_instances().is_empty());
    assert!(state.heard(&id, Timestamp(80_000)));
    assert!(!state.heard(&id, Timestamp(80_001)));
    assert!(state.directory.host_of(address).is_some());
}

#[test]
fn an_address_of_two_hosts_is_told_once_and_leads_nowhere() {
    let (_folder, mut state) = empty();
    for id in ["h-1", "h-2"] {
        state.add_host(row(id), Timestamp(0));
    }
    let take = |state: &mut State, id: &str, service: &str| {
        state.replace_inventory(&HostId::new(id), &inventory("10.0.0.1", service, 80), Timestamp(1)).expect("new")
    };
    assert!(take(&mut state, "h-1", "a").is_empty());
    let events = take(&mut state, "h-2", "b");
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].kind, EventKind::AddressConflict);
    assert!(take(&mut state, "h-2", "c").is_empty());
}

#[test]
fn a_server_that_is_found_later_takes_its_edges() {
    let (_folder, mut state) = empty();
    for id in ["h-1", "h-2"] {
        state.add_host(row(id), Timestamp(0));
    }
    let learned = state.absorb(&HostId::new("h-1"), &[flow("app", "10.0.0.1", "10.0.0.2", 80, 5)], Timestamp(10));
    assert_eq!(learned.edges.put.len(), 1);
    assert!(learned.policy_changed && learned.models.len() == 1);
    state.replace_inventory(&HostId::new("h-2"), &inventory("10.0.0.2", "web", 80), Timestamp(20)).expect("new");
    let learned = state.reresolve(Timestamp(20));
    assert_eq!((learned.edges.put.len(), learned.edges.gone.len()), (1, 1));
    assert_eq!(learned.edges.put[0].0.server, Peer::Service(ServiceKey::unit("web")));
    assert_eq!(learned.models.len(), 2, "both ends know the edge now");
}

#[test]
fn nothing_has_happened_after_now() {
    let (_folder, mut state) = empty();
    state.add_host(row("h-1"), Timestamp(0));
    let learned = state.absorb(&HostId::new("h-1"), &[flow("app", "10.0.0.1", "192.0.2.9", 80, 99_000)], Timestamp(10));
    assert_eq!(learned.edges.put[0].1.last, Timestamp(10));
}

#[test]
fn a_new_service_is_told_once_others_are_active() {
    let (_folder, mut state) = empty();
    state.settings.learn.learn_for = Duration::ZERO;
    state.settings.learn.dry_run_for = Duration::ZERO;
    let id = HostId::new("h-1");
    state.add_host(row("h-1"), Timestamp(0));
    state.replace_inventory(&id, &inventory("10.0.0.1", "a", 80), Timestamp(1)).expect("new");
    for second in 1..=3 {
        assert!(state.tick_models(Duration::from_secs(1), Timestamp(second * 1000)).events.is_empty());
    }
    assert_eq!(state.policy.models[&ServiceKey::unit("a")].phase, Phase::Active);
    state.replace_inventory(&id, &inventory("10.0.0.1", "b", 80), Timestamp(4000)).expect("new");
    let learned = state.tick_models(Duration::from_secs(1), Timestamp(4000));
    assert_eq!(learned.events.iter().map(|e| e.kind).collect::<Vec<_>>(), [EventKind::NewService]);
    state.settings.learning = false;
    assert!(state.tick_models(Duration::from_secs(1), Timestamp(5000)).is_empty());
}

#[test]
fn edges_are_forgotten_when_nothing_of_them_is_kept() {
    let (_folder, mut state) = empty();
    state.add_host(row("h-1"), Timestamp(0));
    state.settings.edges_daily_for = Duration::from_secs(10);
    let flows = [flow("app", "10.0.0.1", "10.0.0.2", 80, 5), flow("app", "10.0.0.1", "10.0.0.2", 81, 9_000)];
    let learned = state.absorb(&HostId::new("h-1"), &flows, Timestamp(9_000));
    assert_eq!(learned.counted.len(), 2);
    assert!(state.forget_edges(Timestamp(10_000)).is_empty());
    let forgotten = state.forget_edges(Timestamp(10_006)).edges.gone;
    assert_eq!(forgotten.iter().map(|edge| edge.port).collect::<Vec<_>>(), [80]);
    assert_eq!(state.topology.edges().len(), 1);
    assert_eq!(state.policy.models[&ServiceKey::unit("app")].edges.len(), 2, "what a model knows stays");
}
