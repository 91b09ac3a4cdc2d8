//! Operators say what services are called, and everything follows the new name.

use std::time::Duration;

use cnnf_lab::{Placement, World};

use crate::bed::{OFFICE, SOON, known, list, page, ping, rule, within};

#[test]
fn root_what_operators_call_services_is_seen_and_enforced_everywhere() {
    let world = World::up(OFFICE).expect("the world comes up");
    known(&world, "unit:nginx");
    known(&world, "unit:redis");
    page(&world, "app1", "front", "http://web1/").text();

    // a preview changes nothing
    let define = ["services", "define", "shop", "--unit", "nginx", "--host-label", "env=prod"];
    let preview = world.ctl(&[&define[..], &["--preview"]].concat());
    assert!(preview.text().contains("unit:nginx") && preview.text().contains("svc:shop"), "{preview:?}");
    assert!(list(&world, &["services", "definitions"], "definitions").is_empty());

    assert!(world.ctl(&[&define[..], &["--yes"]].concat()).success());
    known(&world, "svc:shop");
    rule(&world, "not front", "unit:front", "svc:shop", "any", "prevent");
    within(SOON, "front is refused by the new name", || !page(&world, "app1", "front", "http://web1/").success());
    page(&world, "app1", "other", "http://web1/").text();
    assert_eq!(ping(&world, "app1", "front", "web1").text(), "PONG", "only the one that is called so");

    // a program, on a host where nothing of its kind runs as a unit
    assert!(world.ctl(&["services", "define", "asker", "--exe", "/usr/bin/redis-cli", "--yes"]).success());
    within(SOON * 5, "the program has its name in the picture", || {
        let asked = world.exec("app1", Placement::Session, &["redis-cli", "-h", "web1", "ping"]);
        assert_eq!(asked.text(), "PONG");
        let edges = list(&world, &["edges", "list", "--from", "svc:asker"], "edges");
        edges.iter().any(|edge| edge["server"]["service"] == "unit:redis")
    });
    rule(&world, "no asker", "svc:asker", "unit:redis", "tcp/6379", "prevent");
    within(SOON, "the program is refused by its name", || {
        !world.exec("app1", Placement::Session, &["redis-cli", "-h", "web1", "ping"]).stdout.contains("PONG")
    });

    // without the definition the service has its own name again, and the rule about the other one no target
    let undefine = world.ctl(&["services", "undefine", "shop", "--yes"]);
    assert!(undefine.success(), "{undefine:?}");
    within(Duration::from_secs(10), "front may again", || page(&world, "app1", "front", "http://web1/").success());
}
