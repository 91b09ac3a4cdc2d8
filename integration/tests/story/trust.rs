//! Certificates grow old, clocks are wrong, the CA changes: nobody notices.

use std::time::{Duration, SystemTime};

use cnnf_core::time::Timestamp;
use cnnf_lab::World;
use serde_json::Value;

use crate::bed::{SOON, events, known, list, page, rule, within};

const NGINX: &str = r#"
[[host]]
name = "web1"
[[host.service]]
unit = "nginx"
command = ["nginx", "-c", "{dir}/nginx.conf", "-g", "daemon off;"]
files = { "nginx.conf" = "events {} http { server { listen 80 default_server; access_log off; location / { return 200 'ok'; } } }" }
ready = "tcp/80"
"#;

/// What a defender's log says so often.
fn said(world: &World, host: &str, what: &str) -> usize {
    world.log(host, "cnnf-defender").matches(what).count()
}

#[test]
fn root_certificates_are_renewed_and_the_ca_changes_on_one_stream() {
    let life = "[controller]\nenv = { CNNF_CERTIFICATE_LIFE = \"12s\" }\n";
    let world = World::up(&format!("{life}{NGINX}")).expect("the world comes up");
    let expires = || list(&world, &["defenders", "list"], "defenders")[0]["certificateExpires"].to_string();
    let mut seen = vec![expires()];
    within(Duration::from_secs(30), "two renewals", || {
        let now = expires();
        if seen.last() != Some(&now) {
            seen.push(now);
        }
        seen.len() > 2
    });
    assert!(seen.is_sorted(), "{seen:?}");

    let folder = world.dir().join("controller").display().to_string();
    let rotate = |option: &str| {
        let command = ["cnnf-controller", "rotate-ca", "--data-dir", &folder, option];
        let command = if option.is_empty() { &command[..4] } else { &command[..] };
        world.exec("controller", cnnf_lab::Placement::Unit("rotation"), command)
    };
    assert!(rotate("").success());
    within(SOON * 10, "the host has renewed by the new CA", || rotate("--status").success());
    assert!(rotate("--finish").success());
    within(SOON, "the new credential is good", || world.ctl(&["status"]).success());
    assert!(said(&world, "web1", "the certificate is renewed") >= 3);
    assert_eq!(said(&world, "web1", "connected to"), 1, "the stream was lost:\n{}", world.log("web1", "cnnf-defender"));
    world.unit("web1", "cnnf-defender").restart();
    within(SOON * 3, "it connects by what it has kept", || {
        list(&world, &["defenders", "list"], "defenders").iter().all(|d| d["connected"] == true)
    });
}

/// libfaketime, where Debian puts it.
fn faketime() -> String {
    let machine = format!("/usr/lib/{}-linux-gnu/faketime/libfaketime.so.1", std::env::consts::ARCH);
    assert!(std::path::Path::new(&machine).exists(), "{machine} is missing: run 'make deps'");
    machine
}

#[test]
fn root_clocks_that_are_wrong_by_an_hour_change_nothing() {
    let mut world = format!("[controller]\nsettings = {{ default_mode = \"enforce\" }}\n{NGINX}");
    for (name, by) in [("early", "+1h"), ("late", "-1h")] {
        let env = format!("LD_PRELOAD = \"{}\", FAKETIME = \"{by}\", FAKETIME_DONT_FAKE_MONOTONIC = \"1\"", faketime());
        world += &format!("[[host]]\nname = \"{name}\"\ndefender_env = {{ {env} }}\n");
    }
    let world = World::up(&world).expect("the world comes up: hosts get in");
    known(&world, "unit:nginx");
    for host in ["early", "late"] {
        page(&world, host, "shop", "http://web1/").text();
    }
    rule(&world, "not shop", "unit:shop", "nginx", "any", "prevent");
    for host in ["early", "late"] {
        within(SOON, "refused", || !page(&world, host, "shop", "http://web1/").success());
    }
    let edges = || list(&world, &["edges", "list", "--from", "unit:shop"], "edges");
    within(SOON * 3, "an edge of two hosts' connections", || {
        edges().iter().any(|edge| edge["server"]["service"] == "unit:nginx")
    });
    let now = Timestamp::of(SystemTime::now());
    let recent = |at: &Value| {
        let at = humantime::parse_rfc3339(at.as_str().expect("a time")).map(Timestamp::of).expect("RFC 3339");
        assert!(now.0.abs_diff(at.0) < 60_000, "{at} is not near {now}");
    };
    let (edges, events) = (edges(), events(&world, "rule_prevent"));
    assert!(!edges.is_empty() && !events.is_empty());
    for seen in edges.iter().chain(&events) {
        recent(&seen["firstSeen"]);
        recent(&seen["lastSeen"]);
    }
    let hosts = list(&world, &["defenders", "list"], "defenders");
    let off = |host: &str| {
        let found = hosts.iter().find(|known| known["host"] == host).expect("a host");
        found["clockBehindMs"]
            .as_str()
            .expect("a number")
            .parse::<f64>()
            .map(|ms| (ms / 60_000.0).round())
            .expect("a number")
    };
    assert_eq!((off("web1"), off("early"), off("late")), (0.0, -60.0, 60.0));
    assert_eq!(said(&world, "early", "connected to") + said(&world, "late", "connected to"), 2);
}
