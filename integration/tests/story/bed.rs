//! The world of these tests, and how to ask it things.

use std::time::{Duration, Instant};

use cnnf_lab::{Output, Placement, World};
use serde_json::Value;

/// `web1` has two services and a DNS server, `app1` is bare, `old` has no defender.
pub(crate) const OFFICE: &str = concat!(
    r#"
[controller]
settings = { learn_for = "1h", default_mode = "enforce" }
[[host]]
name = "web1"
labels = { env = "prod" }
"#,
    include_str!("../fixtures/nginx.toml"),
    r#"[[host.service]]
unit = "redis"
command = ["redis-server", "--bind", "*", "-::*", "--port", "6379", "--protected-mode", "no", "--save", "", "--dir", "{dir}"]
ready = "tcp/6379"
[[host.service]]
unit = "dnsmasq"
command = ["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--port=5353", "--pid-file={dir}/pid", "--address=/shop.test/10.9.9.9"]
ready = "udp/5353"
[[host]]
name = "app1"
[[host]]
name = "old"
defender = false
"#
);

/// How long a change may take to hold on every host.
pub(crate) const SOON: Duration = Duration::from_secs(1);

/// Bash that asks a DNS server for shop.test and exits 0 if twelve bytes or more come back within a second.
pub(crate) fn dns_query(server: &str) -> String {
    format!(
        r#"exec 3<>/dev/udp/{server}/5353 || exit 2
printf '\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x04shop\x04test\x00\x00\x01\x00\x01' >&3 || exit 3
[ "$(timeout 1 head -c 12 <&3 | wc -c)" -eq 12 ]"#
    )
}

/// Fetches a page as `unit` of `host`.
pub(crate) fn page(world: &World, host: &str, unit: &str, url: &str) -> Output {
    let curl = ["curl", "--silent", "--show-error", "--max-time", "2", "--globoff", url];
    world.exec(host, Placement::Unit(unit), &curl)
}

/// Asks redis whether it is there, as `unit` of `host`.
pub(crate) fn ping(world: &World, host: &str, unit: &str, server: &str) -> Output {
    world.exec(host, Placement::Unit(unit), &["timeout", "2", "redis-cli", "-h", server, "ping"])
}

/// Lines in nginx's own log.
pub(crate) fn requests(world: &World) -> usize {
    let log = world.service_dir("web1", "nginx").join("access.log");
    std::fs::read_to_string(log).map_or(0, |text| text.lines().count())
}

/// Waits until `holds`; returns how long it took.
#[track_caller]
pub(crate) fn within(limit: Duration, what: &str, mut holds: impl FnMut() -> bool) -> Duration {
    let start = Instant::now();
    loop {
        if holds() {
            return start.elapsed();
        }
        assert!(start.elapsed() < limit, "not within {limit:?}: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Waits until Radar knows that `service` listens somewhere, so that rules about it have something to bite on.
#[track_caller]
pub(crate) fn known(world: &World, service: &str) {
    within(Duration::from_secs(10), &format!("{service} is known with its endpoints"), || {
        list(world, &["services", "list"], "services").iter().any(|s| {
            s["key"] == service
                && s["instances"]
                    .as_array()
                    .is_some_and(|all| all.iter().any(|i| !i["endpoints"].as_array().is_none_or(Vec::is_empty)))
        })
    });
}

/// The list in an answer.
#[track_caller]
pub(crate) fn list(world: &World, command: &[&str], name: &str) -> Vec<Value> {
    world.ctl_json(command)[name].as_array().unwrap_or_else(|| panic!("{command:?} lists no {name}")).clone()
}

/// Events of a kind.
#[track_caller]
pub(crate) fn events(world: &World, kind: &str) -> Vec<Value> {
    list(world, &["events", "list", "--kind", kind], "events")
}

/// A count, which proto3's JSON form writes as a text.
pub(crate) fn number(value: &Value) -> u64 {
    value
        .as_str()
        .map_or_else(|| value.as_u64(), |text| text.parse().ok())
        .unwrap_or_else(|| panic!("no number: {value}"))
}

/// Adds a rule.
#[track_caller]
pub(crate) fn rule(world: &World, name: &str, from: &str, to: &str, ports: &str, effect: &str) {
    let add = ["rules", "add", "--name", name, "--from", from, "--to", to, "--ports", ports, "--effect", effect];
    let output = world.ctl(&add);
    assert!(output.success(), "{output:?}");
}
