mod laws;

use std::collections::BTreeMap;
use std::time::Duration;

use super::*;
use crate::flow::FlowStats;
use crate::id::ServiceKey;
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
    run(&mut models, 1, 8, 1);
    run(&mut models, 9, 1, 0);
    assert!(run(&mut models, 10, 9, 1).is_empty(), "two runs are not enough");
    run(&mut models, 19, 1, 0);
    assert_eq!(run(&mut models, 20, 1, 1), [(20, Change::Entered(Phase::DryRun))]);
}

#[test]
fn a_service_that_was_restarted_once_stays_steady() {
    let mut models = BTreeMap::new();
    run(&mut models, 1, 5, 1);
    run(&mut models, 6, 1, 0);
    assert_eq!(run(&mut models, 7, 20, 1), [(17, Change::Entered(Phase::DryRun))], "one run as long as learning takes");
}

#[test]
fn observed_time_outlives_the_archive() {
    let mut models = BTreeMap::new();
    run(&mut models, 1, 9, 1);
    assert_eq!(run(&mut models, 10, 150, 0), [(109, Change::Entered(Phase::Archived))]);
    assert_eq!(run(&mut models, 160, 1, 1), [(160, Change::Entered(Phase::Learning))]);
    assert_eq!(models[&ServiceKey::unit("web")].observed_ms, 10_000);
}

#[test]
fn widening_is_no_surprise() {
    let web = ServiceKey::unit("web");
    let mut models = BTreeMap::new();
    absorb(&mut models, &edge("8.8.8.0/24", "unit:web"), &stats(1), Timestamp(1));
    run(&mut models, 1, 15, 1);
    assert_eq!(models[&web].phase, Phase::DryRun);
    let since = models[&web].since;
    absorb(&mut models, &edge("internet", "unit:web"), &stats(1), Timestamp(15_500));
    assert_eq!((models[&web].since, models[&web].edges.len()), (since, 2));
    absorb(&mut models, &edge("private", "unit:web"), &stats(1), Timestamp(15_600));
    assert_eq!(models[&web].since, Timestamp(15_600), "no private address was known");
    assert_eq!(models[&web].edges[&edge("private", "unit:web")].origin, Origin::WouldAlert);
    let port = |port| Edge { port, ..edge("unit:web", "unit:ftp") };
    absorb(&mut models, &port(50_000), &stats(1), Timestamp(15_700));
    absorb(&mut models, &port(DYNAMIC), &stats(1), Timestamp(15_800));
    assert_eq!(models[&web].since, Timestamp(15_700));
    assert!(models[&web].knows(&port(60_000)) && !models[&web].knows(&port(80)));
}

#[test]
fn relearning_forgets_nothing_and_reset_everything() {
    let web = ServiceKey::unit("web");
    let mut models = BTreeMap::new();
    absorb(&mut models, &edge("unit:a", "unit:web"), &stats(1), Timestamp(1));
    run(&mut models, 1, 40, 1);
    let model = models.get_mut(&web).expect("model");
    model.set_effect(Some(Effect::Prevent));
    model.relearn(Timestamp(40_000));
    assert_eq!((model.phase, model.edges.len(), model.observed_ms), (Phase::Learning, 1, 0));
    assert_eq!(run(&mut models, 41, 10, 1), [(50, Change::Entered(Phase::DryRun))], "the whole of it again");
    let model = models.get_mut(&web).expect("model");
    model.reset(Timestamp(51_000));
    assert!(model.edges.is_empty() && model.expected_events().is_none());
    assert_eq!((model.phase, model.anomaly_effect), (Phase::Learning, Some(Effect::Prevent)));
}

#[test]
fn learning_by_hand_ends_by_hand() {
    let web = ServiceKey::unit("web");
    let mut models = BTreeMap::new();
    run(&mut models, 1, 40, 1);
    let model = models.get_mut(&web).expect("model");
    assert_eq!(model.stop_learning(Timestamp(40_000)), Err(Refusal::NotManual));
    model.start_learning(Timestamp(40_000));
    assert!(run(&mut models, 41, 5000, 1).is_empty(), "no time limit");
    let model = models.get_mut(&web).expect("model");
    assert_eq!(model.stop_learning(Timestamp(5_041_000)), Ok(()));
    assert_eq!(model.phase, Phase::DryRun);
}

#[test]
fn decisions_about_an_archived_model_count_when_it_returns() {
    let web = ServiceKey::unit("web");
    let mut models = BTreeMap::new();
    run(&mut models, 1, 1, 1);
    run(&mut models, 2, 200, 0);
    let model = models.get_mut(&web).expect("model");
    model.activate(Timestamp(202_000));
    assert_eq!((model.phase, model.stage()), (Phase::Archived, Phase::Active));
    assert_eq!(run(&mut models, 203, 1, 1), [(203, Change::Entered(Phase::Active))]);
}

#[test]
fn an_approved_edge_is_known_until_it_is_forgotten() {
    let web = ServiceKey::unit("web");
    let mut model = Model::new(Timestamp(0));
    model.activate(Timestamp(1));
    let net = edge("10.1.0.0/16", "unit:web");
    assert_eq!(model.approve(&web, &net, Timestamp(2)), Ok(true));
    assert_eq!(model.approve(&web, &net, Timestamp(3)), Ok(false));
    assert_eq!(model.approve(&web, &edge("unit:a", "unit:b"), Timestamp(3)), Err(Refusal::NotAtAnEnd));
    assert!(model.knows(&edge("10.1.2.3", "unit:web")) && !model.knows(&edge("10.2.2.3", "unit:web")));
    assert_eq!(model.forget(&edge("10.1.2.3", "unit:web")), Err(Refusal::NotKnown));
    assert_eq!(model.forget(&net), Ok(()));
    assert!(!model.knows(&edge("10.1.2.3", "unit:web")));
}

#[test]
fn a_model_is_bounded() {
    let mut models = BTreeMap::new();
    for port in 1..=30_000 {
        absorb(&mut models, &Edge { port, ..edge("unit:scanner", "10.0.0.1") }, &stats(1), Timestamp(1));
    }
    assert_eq!(models[&ServiceKey::unit("scanner")].edges.len(), MAX_LEARNED);
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
    models.get_mut(&key).expect("model").exposed_ms = 12 * 3_600_000;
    assert!((models[&key].expected_events().expect("seen") - 4.0).abs() < 1e-9, "two new edges in half a day");
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
