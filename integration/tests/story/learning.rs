//! Models learn by themselves, become active, and object without any rule.

use std::time::Duration;

use cnnf_lab::{Placement, World};
use serde_json::Value;

use crate::bed::{OFFICE, SOON, events, known, list, page, ping, within};

#[test]
fn root_a_learned_service_objects_to_a_stranger() {
    let world = World::up(&OFFICE.replace("learn_for = \"1h\"", "learn_for = \"3s\", dry_run_for = \"1s\""))
        .expect("the world comes up");
    known(&world, "unit:redis");
    // A worker that stays, so that its model can become active.
    let worker = "while :; do redis-cli -h web1 ping; sleep 0.3; done";
    let mut child = world.spawn("app1", Placement::Unit("worker"), &["sh", "-c", worker]);
    within(Duration::from_secs(30), "redis is learned and active, with its worker", || {
        // Until redis has been seen to run there is no model to show.
        let shown = world.ctl(&["-o", "json", "models", "show", "unit:redis"]);
        let model: Value = serde_json::from_str(&shown.stdout).unwrap_or_default();
        model["phase"] == "active"
            && model["edges"]
                .as_array()
                .is_some_and(|edges| edges.iter().any(|e| e["edge"]["client"]["service"] == "unit:worker"))
    });
    within(SOON * 3, "the learned edge", || {
        list(&world, &["edges", "list", "--from", "unit:worker"], "edges")
            .iter()
            .any(|e| e["status"] == "learned" || e["status"] == "learning")
    });
    assert!(
        events(&world, "anomaly_alert").iter().all(|e| e["client"]["service"] != "unit:worker"),
        "what was learned is normal"
    );

    assert_eq!(ping(&world, "app1", "stranger", "web1").text(), "PONG", "an anomaly alerts by default and passes");
    within(SOON, "the stranger is an anomaly", || {
        events(&world, "anomaly_alert").iter().any(|e| {
            e["client"]["service"] == "unit:stranger"
                && e["server"]["service"] == "unit:redis"
                && e["model"] == "unit:redis"
        })
    });
    assert!(world.ctl(&["settings", "set", "anomaly_effect", "prevent"]).success());
    within(SOON, "anomalies are prevented by choice", || !ping(&world, "app1", "stranger", "web1").success());
    page(&world, "app1", "stranger", "http://web1/");
    assert_eq!(ping(&world, "app1", "worker", "web1").text(), "PONG", "the learned edge lives on");
    child.kill().expect("the worker ends");
    child.wait().expect("the worker is gone");
}

/// How many anomalies of this client at redis are told, over all its events.
fn anomalies(world: &World, client: &str) -> u64 {
    let told = list(world, &["events", "list"], "events");
    let own = told.iter().filter(|e| {
        let kind = e["kind"].as_str().unwrap_or_default();
        kind.starts_with("anomaly") && e["client"]["service"] == client && e["server"]["service"] == "unit:redis"
    });
    own.map(|e| e["count"].as_str().and_then(|n| n.parse::<u64>().ok()).unwrap_or(1)).sum()
}

#[test]
fn root_an_approved_edge_is_an_anomaly_no_more() {
    let world = World::up(OFFICE).expect("the world comes up");
    known(&world, "unit:redis");
    within(SOON * 3, "redis has a model", || world.ctl(&["models", "activate", "unit:redis"]).success());
    assert!(world.ctl(&["models", "effect", "unit:redis", "prevent"]).success());
    within(SOON * 3, "the stranger is refused", || !ping(&world, "app1", "stranger", "web1").success());
    within(SOON * 3, "and told of", || anomalies(&world, "unit:stranger") > 0);

    let told = events(&world, "anomaly_prevent");
    let event = told.iter().find(|e| e["client"]["service"] == "unit:stranger").expect("its event");
    let id = event["id"].as_str().map_or_else(|| event["id"].to_string(), str::to_owned);
    let approved = world.ctl(&["models", "approve", "unit:redis", "--event", &id]);
    assert!(approved.success(), "{}", approved.stderr);
    within(SOON * 3, "the approved edge passes", || ping(&world, "app1", "stranger", "web1").text() == "PONG");

    let before = anomalies(&world, "unit:stranger");
    for _ in 0..3 {
        assert_eq!(ping(&world, "app1", "stranger", "web1").text(), "PONG");
    }
    assert!(!ping(&world, "app1", "foe", "web1").success(), "nobody else was approved");
    within(SOON * 3, "the foe is told of", || anomalies(&world, "unit:foe") > 0);
    assert_eq!(anomalies(&world, "unit:stranger"), before, "what was approved is no event");

    assert!(world.ctl(&["models", "forget", "unit:redis", "from", "unit:stranger", "tcp/6379", "--yes"]).success());
    within(SOON * 3, "what is forgotten is refused again", || !ping(&world, "app1", "stranger", "web1").success());
}
