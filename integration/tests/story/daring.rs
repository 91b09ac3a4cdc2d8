//! What is said of rules before they are in force is what the hosts then do, and a rollback brings back what was.

use std::time::Duration;

use cnnf_lab::World;
use nix::sys::signal::Signal;

use crate::bed::{OFFICE, SOON, events, known, list, number, page, ping, within};

const DRAFT: &str = "version: 1
rules:
  - {name: other may, from: other, to: nginx, ports: [tcp/80], effect: allow, owner: ann}
  - {name: nobody else, from: any, to: nginx, ports: [tcp/80], effect: prevent, owner: ann}
";

#[test]
fn root_a_simulation_says_what_the_hosts_then_do_and_a_rollback_brings_it_back() {
    let world = World::up(OFFICE).expect("the world comes up");
    known(&world, "unit:nginx");
    known(&world, "unit:redis");
    let shop = || page(&world, "app1", "shop", "http://web1/");
    let other = || page(&world, "app1", "other", "http://web1/");
    let redis = || ping(&world, "app1", "shop", "10.86.0.1");
    for output in [shop(), other(), redis()] {
        output.text();
    }
    within(SOON * 3, "the three edges are there", || {
        let edges = list(&world, &["edges", "list"], "edges");
        [("unit:shop", "unit:nginx"), ("unit:other", "unit:nginx"), ("unit:shop", "unit:redis")].iter().all(
            |(client, server)| {
                edges.iter().any(|e| e["client"]["service"] == *client && e["server"]["service"] == *server)
            },
        )
    });

    let path = world.service_dir("web1", "nginx").join("draft.yaml");
    std::fs::write(&path, DRAFT).expect("written");
    let path = path.display().to_string();
    let simulated = world.ctl(&["rules", "simulate", "-f", &path, "-o", "json"]);
    assert_eq!(simulated.code, 1, "it would newly prevent something: {simulated:?}");
    let answer: serde_json::Value = serde_json::from_str(&simulated.stdout).expect("JSON");
    let shifts = answer["shifts"].as_array().expect("a list");
    let prevented: Vec<&str> = shifts
        .iter()
        .filter(|shift| shift["after"]["effect"] == "prevent")
        .filter_map(|shift| shift["edge"]["client"]["service"].as_str())
        .collect();
    assert_eq!(prevented, ["unit:shop"], "{answer}");
    assert_eq!(number(&answer["prevented"]["edges"]), 1);
    let silent = &answer["live"]["silent"];
    assert!(silent.as_array().is_none_or(Vec::is_empty), "every host says what it would cut: {silent}");
    assert!(shop().success(), "a simulation changes nothing");

    assert_eq!(world.ctl(&["rules", "diff", "-f", &path]).code, 1);
    let applied = world.ctl(&["rules", "apply", "-f", &path, "-m", "as simulated"]);
    assert!(applied.success(), "{applied:?}");
    within(SOON, "what was to be prevented is", || !shop().success());
    other().text();
    redis().text();
    assert_eq!(world.ctl(&["rules", "simulate", "-f", &path]).code, 0, "what is in force changes nothing");

    let newest = &list(&world, &["rules", "history"], "revisions")[0];
    assert_eq!((newest["reason"].as_str(), newest["summary"].as_str()), (Some("as simulated"), Some("2 added")));
    let back = world.ctl(&["rules", "rollback", "0", "--yes"]);
    assert!(back.success(), "{back:?}");
    within(SOON, "the page is back", || shop().success());
    other().text();
}

const SHUT: &str = "version: 1
rules:
  - {name: nobody, from: any, to: nginx, ports: [tcp/80], effect: prevent, owner: ann}
";

#[test]
fn root_what_nobody_confirms_is_undone_though_the_controller_was_killed_meanwhile() {
    let world = World::up(OFFICE).expect("the world comes up");
    known(&world, "unit:nginx");
    let shop = || page(&world, "app1", "shop", "http://web1/");
    shop().text();
    let path = world.service_dir("web1", "nginx").join("shut.yaml");
    std::fs::write(&path, SHUT).expect("written");
    let path = path.display().to_string();
    let apply = |within| world.ctl(&["rules", "apply", "-f", &path, "--confirm-within", within]);

    assert!(apply("5s").success());
    within(SOON, "nobody gets in", || !shop().success());
    world.unit("controller", "cnnf-controller").kill(Signal::SIGKILL);
    assert!(!shop().success(), "the rule holds without a controller");
    within(Duration::from_secs(20), "it is undone by itself", || shop().success());
    within(SOON * 10, "an event tells of it", || {
        events(&world, "reverted").iter().any(|e| e["message"].as_str().is_some_and(|m| m.contains("within 5s")))
    });
    assert!(list(&world, &["rules", "list"], "rules").is_empty());

    assert!(apply("3s").success());
    let add = ["rules", "add", "--name", "more", "--from", "unit:shop", "--to", "any", "--effect", "alert"];
    let refused = world.ctl(&add);
    assert!(!refused.success() && refused.stderr.contains("waits to be confirmed"), "{refused:?}");
    assert!(world.ctl(&["rules", "confirm"]).success());
    std::thread::sleep(Duration::from_secs(4));
    assert!(!shop().success(), "what is confirmed stays");
    assert!(world.ctl(&["rules", "rollback", "0", "--yes"]).success());
    within(SOON, "the page is back", || shop().success());
}
