//! What holds when parts fail.

use std::time::{Duration, Instant};

use cnnf_lab::{Placement, World};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::bed::{OFFICE, SOON, events, known, list, number, page, ping, rule, within};

#[test]
fn root_a_stopped_defender_holds_up_nobody_and_still_prevents() {
    let world = World::up(OFFICE).expect("the world comes up");
    known(&world, "unit:nginx");
    page(&world, "app1", "shop", "http://web1/").text();
    page(&world, "app1", "evil", "http://web1/").text();
    rule(&world, "not evil", "unit:evil", "nginx", "any", "prevent");
    within(SOON, "evil is refused", || !page(&world, "app1", "evil", "http://web1/").success());
    // A unit that runs on: its control group is in the kernel's map before the defender stops.
    let loops =
        "for i in $(seq 25); do curl -s -m 1 -o /dev/null -w '%{http_code} ' http://web1/ || echo 'failed '; done";
    let stays = "sleep 0.5; ".to_owned() + loops;
    let child = world.spawn("app1", Placement::Unit("shop"), &["sh", "-c", &stays]);
    std::thread::sleep(Duration::from_millis(250));
    for host in ["app1", "web1"] {
        world.unit(host, "cnnf-defender").kill(Signal::SIGSTOP);
    }
    let output = child.wait_with_output().expect("the loop ends");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    for host in ["app1", "web1"] {
        world.unit(host, "cnnf-defender").kill(Signal::SIGCONT);
    }
    assert_eq!(text.matches("200 ").count(), 25, "allowed pages waited for a stopped defender: {text}");

    // one that hangs for good is ended by the watchdog, and another takes its place
    let defender = world.unit("app1", "cnnf-defender");
    let (hung, begin) = (defender.report().pid, Instant::now());
    defender.kill(Signal::SIGSTOP);
    while defender.report().pid == hung {
        assert!(begin.elapsed() < Duration::from_secs(30), "nobody ends it");
        std::thread::sleep(Duration::from_millis(20));
    }
    let ended = begin.elapsed();
    println!("a defender that hangs is ended after {ended:?}");
    assert!(ended <= Duration::from_secs(5), "{ended:?}");
    within(SOON, "evil is refused by the next one too", || !page(&world, "app1", "evil", "http://web1/").success());
}

/// What must outlive a crash.
#[derive(Clone, Debug, PartialEq)]
struct Kept {
    rules: Vec<(Value, Value, Value)>,
    edges: Vec<(Value, Value, u64)>,
    models: Vec<(Value, Value)>,
    events: Vec<(Value, u64)>,
}

impl Kept {
    /// Without the defenders' own connections: these go on by themselves.
    fn of(world: &World) -> Self {
        let own = |value: &Value| value["service"] == "unit:cnnf-defender";
        let rules = list(world, &["rules", "list"], "rules");
        let edges = list(world, &["edges", "list"], "edges");
        let models = list(world, &["models", "list"], "models");
        Self {
            rules: rules.into_iter().map(|r| (r["id"].clone(), r["name"].clone(), r["effect"].clone())).collect(),
            edges: edges
                .into_iter()
                .filter(|e| !own(&e["client"]))
                .map(|e| (e["client"].clone(), e["server"].clone(), number(&e["connections"])))
                .collect(),
            models: models
                .into_iter()
                .filter(|m| !own(m))
                .map(|m| (m["service"].clone(), m["connections"].clone()))
                .collect(),
            events: events(world, "rule_prevent").into_iter().map(|e| (e["id"].clone(), number(&e["count"]))).collect(),
        }
    }

    /// Nothing is lost in `later`; events may have gone on counting.
    #[track_caller]
    fn is_in(&self, later: &Self) {
        assert_eq!((&self.rules, &self.edges, &self.models), (&later.rules, &later.edges, &later.models));
        for (id, count) in &self.events {
            let found = later.events.iter().find(|(other, _)| other == id);
            assert!(found.is_some_and(|(_, now)| now >= count), "event {id} was {count} times and is {found:?}");
        }
    }
}

#[test]
fn root_killed_parts_lose_nothing() {
    let world = World::up(OFFICE).expect("the world comes up");
    known(&world, "unit:nginx");
    rule(&world, "not evil", "unit:evil", "nginx", "any", "prevent");
    within(SOON, "evil is refused", || !page(&world, "app1", "evil", "http://web1/").success());
    page(&world, "app1", "shop", "http://web1/").text();
    within(SOON * 3, "event, edge and models", || {
        !events(&world, "rule_prevent").is_empty()
            && list(&world, &["edges", "list", "--from", "unit:shop"], "edges").len() == 1
            && list(&world, &["models", "list"], "models")
                .iter()
                .any(|m| m["service"] == "unit:shop" && number(&m["connections"]) > 0)
    });
    let all = || Kept::of(&world);
    let quiet = || {
        // Until two looks agree: reports of what was just done are in.
        let mut last = all();
        within(Duration::from_secs(10), "a quiet world", || {
            std::thread::sleep(Duration::from_millis(1100));
            let now = all();
            std::mem::replace(&mut last, now.clone()) == now
        });
        last
    };
    let before = quiet();

    world.unit("controller", "cnnf-controller").kill(Signal::SIGKILL);
    assert!(!page(&world, "app1", "evil", "http://web1/").success(), "prevented without a controller");
    within(Duration::from_secs(20), "the controller is back with its defenders", || {
        world.ctl(&["status"]).success()
            && list(&world, &["defenders", "list"], "defenders").iter().all(|d| d["connected"] == true)
    });
    let after = quiet();
    before.is_in(&after);

    // Its control group stays, so the kernel knows whose packets these are without any defender.
    let probe = "while sleep 0.02; do curl -s -m 1 -o /dev/null http://web1/ && echo leak; echo asked; done";
    let mut prober = world.spawn("app1", Placement::Unit("evil"), &["sh", "-c", probe]);
    std::thread::sleep(Duration::from_millis(500));
    for _ in 0..5 {
        world.unit("app1", "cnnf-defender").kill(Signal::SIGKILL);
        within(Duration::from_secs(20), "the defender is back", || {
            list(&world, &["defenders", "list"], "defenders").iter().all(|d| d["connected"] == true)
        });
    }
    prober.kill().expect("the prober ends");
    let output = prober.wait_with_output().expect("the prober is gone");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (asked, leaks) = (text.matches("asked").count(), text.matches("leak").count());
    println!("five defenders killed: {leaks} of {asked} prevented connections came through");
    assert!(asked >= 5 && leaks == 0, "{leaks} of {asked} prevented connections came through");
    page(&world, "app1", "shop", "http://web1/").text();
    assert!(world.ctl(&["rules", "delete", "not evil", "--yes"]).success());
    within(SOON, "rules still change", || page(&world, "app1", "evil", "http://web1/").success());
}

#[test]
fn root_what_began_while_the_defender_was_away_is_an_edge_and_a_gap() {
    let world = World::up(OFFICE).expect("the world comes up");
    known(&world, "unit:nginx");
    // Its control group is known, and stays.
    page(&world, "app1", "shop", "http://web1/").text();
    let mut shop = world.spawn("app1", Placement::Unit("shop"), &["sleep", "60"]);
    std::thread::sleep(Duration::from_secs(1));
    world.unit("app1", "cnnf-defender").stop();
    assert_eq!(ping(&world, "app1", "shop", "10.86.0.1").text(), "PONG");
    world.unit("app1", "cnnf-defender").start();
    within(Duration::from_secs(5), "the edge that began in between", || {
        let edges = list(&world, &["edges", "list", "--from", "unit:shop"], "edges");
        edges.iter().any(|e| e["server"]["service"] == "unit:redis")
    });
    within(Duration::from_secs(5), "the gap", || events(&world, "gap").iter().any(|e| e["host"] == "app1"));
    shop.kill().expect("the unit ends");
    shop.wait().expect("the unit is gone");
}

#[test]
fn root_without_its_controller_a_host_goes_on_and_reports_later() {
    let world = World::up(OFFICE).expect("the world comes up");
    known(&world, "unit:nginx");
    rule(&world, "not evil", "unit:evil", "nginx", "any", "prevent");
    within(SOON, "evil is refused", || !page(&world, "app1", "evil", "http://web1/").success());
    world.unit("controller", "cnnf-controller").stop();
    world.unit("app1", "cnnf-defender").restart();
    within(Duration::from_secs(5), "a restarted defender enforces its last policy", || {
        page(&world, "app1", "evil", "http://web1/").code == 7
    });
    for _ in 0..7 {
        page(&world, "app1", "offline", "http://web1/").text();
    }
    std::thread::sleep(Duration::from_millis(1500));
    world.unit("app1", "cnnf-defender").kill(Signal::SIGKILL);
    world.unit("controller", "cnnf-controller").start();
    within(Duration::from_secs(30), "what happened offline is told once", || {
        let edges = list(&world, &["edges", "list", "--from", "unit:offline"], "edges");
        edges.iter().any(|e| e["server"]["service"] == "unit:nginx" && number(&e["connections"]) == 7)
    });
}

#[test]
fn root_a_server_that_starts_anew_is_out_of_reach_for_whom_it_is_prevented_all_the_time() {
    let world = World::up(OFFICE).expect("the world comes up");
    known(&world, "unit:redis");
    assert_eq!(ping(&world, "app1", "shop", "10.86.0.1").text(), "PONG");
    rule(&world, "no cache", "unit:shop", "redis", "tcp/6379", "prevent");
    within(SOON, "it is prevented", || !ping(&world, "app1", "shop", "10.86.0.1").success());
    let script = "while :; do timeout 1 redis-cli -h 10.86.0.1 ping 2>/dev/null; echo asked; done";
    let mut prober = world.spawn("app1", Placement::Unit("shop"), &["sh", "-c", script]);
    let server = world.unit("web1", "redis");
    for _ in 0..20 {
        server.stop();
        // long enough that its defender sees and tells that nobody listens
        std::thread::sleep(Duration::from_millis(350));
        server.start();
        std::thread::sleep(Duration::from_millis(100));
    }
    prober.kill().expect("ended");
    let came = String::from_utf8(prober.wait_with_output().expect("ended").stdout).expect("text");
    let [pongs, tries] = ["PONG", "asked"].map(|word| came.matches(word).count());
    println!("{pongs} of {tries} tries came through");
    assert_eq!(pongs, 0);
    assert!(tries > 100);
    assert_eq!(ping(&world, "app1", "other", "10.86.0.1").text(), "PONG", "it does run");
}
