//! firewalld runs beside a defender: each has its say, and neither touches what is the other's. `make test-packages` makes the tree that has it.

use std::path::Path;
use std::time::Duration;

use cnnf_lab::{Bed, Placement, World};

use super::{TWO_HOSTS, made, until};

/// The bed, if its tree has firewalld.
fn with_firewalld() -> Option<Bed> {
    let trees = std::env::var("CNNF_BEDS").unwrap_or_default();
    if !Path::new(&trees).join("bookworm/usr/bin/firewall-cmd").exists() {
        println!("skipped: no tree with firewalld in CNNF_BEDS");
        return None;
    }
    made(Bed::bookworm())
}

#[test]
fn root_beside_a_running_firewalld_what_both_let_pass_passes_and_neither_is_touched() {
    let Some(bed) = with_firewalld() else { return };
    let settings = "learn_for = \"1h\", default_mode = \"enforce\"";
    let world = World::up_on(&bed, &format!("[controller]\nsettings = {{ {settings} }}\n{TWO_HOSTS}")).unwrap();
    let page = |unit: &str| {
        let curl = ["curl", "-s", "-o", "/dev/null", "--max-time", "1", "http://web/"];
        world.exec("app", Placement::Unit(unit), &curl).success()
    };
    for host in ["web", "app"] {
        until("firewalld runs", || world.shell(host, "firewall-cmd --state").success());
    }
    assert!(!page("shop"), "firewalld lets nobody to the page");
    let open = "firewall-cmd --quiet --permanent --add-service=http && firewall-cmd --quiet --reload";
    world.shell("web", open).text();
    until("the page is open", || page("shop") && page("evil"));
    let theirs = |host: &str| world.shell(host, "nft -s list table inet firewalld").text().to_owned();
    let before = ["web", "app"].map(theirs);

    let add = "rules add --name no --from unit:evil --to unit:nginx --ports tcp/80 --effect prevent";
    assert!(world.ctl(&add.split(' ').collect::<Vec<_>>()).success());
    until("it is prevented", || !page("evil"));
    assert!(page("shop"));
    let script =
        "while :; do curl -s -o /dev/null --max-time 1 http://web/ && echo y >>/run/came; echo n >>/run/asked; done";
    let mut prober = world.spawn("app", Placement::Unit("evil"), &["sh", "-c", script]);
    for change in ["firewall-cmd --quiet --reload", "systemctl restart firewalld"] {
        for host in ["app", "web"] {
            world.shell(host, change).text();
            until("what both allow passes", || page("shop"));
        }
    }
    world.shell("web", "firewall-cmd --quiet --remove-service=http").text();
    until("firewalld closes the page", || !page("shop"));
    // what it opens anew stands elsewhere among its rules; loaded anew they are as they were
    world.shell("web", "firewall-cmd --quiet --reload").text();
    until("and opens it", || page("shop"));
    for host in ["web", "app"] {
        world.unit(host, "cnnf-defender").restart();
    }
    until("a defender that started anew lets pass", || page("shop"));
    std::thread::sleep(Duration::from_secs(1));
    prober.kill().unwrap();
    prober.wait().unwrap();
    let lines = |file: &str| world.shell("app", &format!("cat /run/{file} 2>/dev/null | wc -l")).text().to_owned();
    assert_eq!(lines("came"), "0", "of {} tries", lines("asked"));
    assert_ne!(lines("asked"), "0");
    assert_eq!(["web", "app"].map(theirs), before, "theirs is as it was");
    let touched = world.ctl_json(&["events", "list", "--kind", "tamper"]);
    assert!(touched["events"].as_array().is_none_or(Vec::is_empty), "ours was not touched: {touched}");
}
