//! What is said of rules before they are in force is what the hosts then do, and a rollback brings back what was.

use cnnf_lab::World;

use crate::bed::{OFFICE, SOON, known, list, number, page, ping, within};

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
