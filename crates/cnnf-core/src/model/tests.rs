use std::collections::BTreeMap;
use std::time::Duration;

use super::*;
use crate::net::Protocol;

fn edge(client: &str, server: &str) -> Edge {
    Edge {
        client: client.parse().expect("peer"),
        server: server.parse().expect("peer"),
        protocol: Protocol::Tcp,
        port: 80,
    }
}

fn stats(connections: u64) -> FlowStats {
    FlowStats { connections, bytes: 0, first: Timestamp(1), last: Timestamp(1) }
}

fn settings() -> LearnSettings {
    LearnSettings {
        learn_for: Duration::from_secs(10),
        dry_run_for: Duration::from_secs(20),
        archive_after: Duration::from_secs(100),
        delete_after: Duration::from_secs(1000),
    }
}

const SECOND: Duration = Duration::from_secs(1);

/// Ticks once a second, with `instances` of `unit:web` live, and returns the second of each change.
fn run(models: &mut BTreeMap<ServiceKey, Model>, from: u64, seconds: u64, instances: u32) -> Vec<(u64, Change)> {
    let live: BTreeMap<_, _> = [(ServiceKey::unit("web"), instances)].into_iter().filter(|(_, n)| *n > 0).collect();
    (from..from + seconds)
        .flat_map(|s| {
            tick(models, &live, SECOND, &settings(), Timestamp(s * 1000))
                .into_iter()
                .map(move |(_, change)| (s, change))
        })
        .collect()
}

#[test]
fn a_steady_service_goes_from_learning_over_dry_run_to_active() {
    let mut models = BTreeMap::new();
    let changes = run(&mut models, 1, 40, 1);
    assert_eq!(
        changes,
        [(1, Change::Made), (10, Change::Entered(Phase::DryRun)), (30, Change::Entered(Phase::Active))]
    );
}

#[test]
fn at_most_four_instances_add_up() {
    let mut models = BTreeMap::new();
    let changes = run(&mut models, 1, 4, 100);
    assert_eq!(changes, [(1, Change::Made), (3, Change::Entered(Phase::DryRun))]);
}

#[test]
fn a_service_that_comes_and_goes_needs_three_runs() {
    let mut models = BTreeMap::new();
    run(&mut models, 1, 5, 1);
    run(&mut models, 6, 1, 0);
    assert!(run(&mut models, 7, 20, 1).is_empty(), "two runs are not enough");
    run(&mut models, 27, 1, 0);
    assert_eq!(run(&mut models, 28, 1, 1), [(28, Change::Entered(Phase::DryRun))]);
}

#[test]
fn a_surprise_restarts_the_dry_run() {
    let mut models = BTreeMap::new();
    run(&mut models, 1, 15, 1);
    let new = absorb(&mut models, &edge("unit:web", "10.0.0.7"), &stats(1), Timestamp(15_500));
    assert_eq!(new, [ServiceKey::unit("web")]);
    assert_eq!(run(&mut models, 16, 30, 1), [(36, Change::Entered(Phase::Active))]);
    assert!(models[&ServiceKey::unit("web")].knows(&edge("unit:web", "10.0.0.7")));
}

#[test]
fn an_active_model_learns_nothing_by_itself() {
    let mut models = BTreeMap::new();
    absorb(&mut models, &edge("unit:app", "unit:web"), &stats(5), Timestamp(1));
    let web = models.get_mut(&ServiceKey::unit("web")).expect("a model for each end");
    web.activate(Timestamp(2));
    assert!(
        absorb(&mut models, &edge("exe:/usr/bin/curl", "unit:web"), &stats(1), Timestamp(3))
            == [ServiceKey::program("/usr/bin/curl")]
    );
    let web = &models[&ServiceKey::unit("web")];
    assert!(web.knows(&edge("unit:app", "unit:web")) && !web.knows(&edge("exe:/usr/bin/curl", "unit:web")));
}

#[test]
fn unknown_and_kernel_have_no_model() {
    let mut models = BTreeMap::new();
    absorb(&mut models, &edge("unknown", "unit:web"), &stats(1), Timestamp(1));
    assert_eq!(models.keys().map(ServiceKey::as_str).collect::<Vec<_>>(), ["unit:web"]);
}

#[test]
fn wide_peers_cover_addresses() {
    let mut models = BTreeMap::new();
    absorb(&mut models, &edge("internet", "unit:web"), &stats(1), Timestamp(1));
    let web = &models[&ServiceKey::unit("web")];
    assert!(web.knows(&edge("8.8.8.0/24", "unit:web")) && !web.knows(&edge("10.0.0.1", "unit:web")));
}

#[test]
fn readiness_is_the_good_turing_estimate() {
    let mut models = BTreeMap::new();
    let key = ServiceKey::unit("web");
    absorb(&mut models, &edge("unit:a", "unit:web"), &stats(98), Timestamp(1));
    absorb(&mut models, &edge("unit:b", "unit:web"), &stats(1), Timestamp(1));
    absorb(&mut models, &edge("unit:c", "unit:web"), &stats(1), Timestamp(1));
    assert!((models[&key].unseen_probability() - 0.02).abs() < 1e-9);
    assert!((Model::new(Timestamp(0)).unseen_probability() - 1.0).abs() < f64::EPSILON);
}

#[test]
fn an_absent_service_is_archived_returns_and_is_deleted_in_the_end() {
    let mut models = BTreeMap::new();
    run(&mut models, 1, 40, 1);
    assert_eq!(run(&mut models, 41, 200, 0), [(140, Change::Entered(Phase::Archived))]);
    assert_eq!(run(&mut models, 241, 1, 1), [(241, Change::Entered(Phase::Active))]);
    let gone = run(&mut models, 242, 1200, 0);
    assert_eq!(gone, [(341, Change::Entered(Phase::Archived)), (1241, Change::Deleted)]);
    assert!(models.is_empty());
}

#[test]
fn a_renamed_edge_is_known_by_its_new_name() {
    let mut models = BTreeMap::new();
    let (old, new) = (edge("unit:app", "10.0.0.2"), edge("unit:app", "unit:web"));
    absorb(&mut models, &old, &stats(3), Timestamp(1));
    let changed = rename(&mut models, &old, &new, Timestamp(2));
    assert_eq!(changed, [ServiceKey::unit("app"), ServiceKey::unit("web")]);
    assert!(models[&ServiceKey::unit("app")].knows(&new) && !models[&ServiceKey::unit("app")].edges.contains_key(&old));
    assert!(models[&ServiceKey::unit("web")].knows(&new));
}
