//! Hosts booted with systemd: units, sockets, timers and logins are where they are on a real one, defenders name them
//! rightly, and nothing is left behind. Each test is left out where the Debian tree was not made (`make beds`).

mod firewalld;
mod truth;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use cnnf_lab::{Bed, Placement, World};
use nix::sys::signal::Signal;
use serde_json::Value;

/// `web` has nginx and an instance of a template, `app` is bare.
const TWO_HOSTS: &str = concat!(
    r#"
[[host]]
name = "web"
"#,
    include_str!("../fixtures/nginx.toml"),
    include_str!("../fixtures/front.toml"),
    "[[host]]\nname = \"app\"\n"
);

/// A service that systemd starts when somebody connects, and passes the listening socket to.
const RELAY: &str = r#"
cat >/run/systemd/system/relay.socket <<X
[Socket]
ListenStream=8080
X
cat >/run/systemd/system/relay.service <<X
[Service]
ExecStart=/usr/lib/systemd/systemd-socket-proxyd 127.0.0.1:80
X
systemctl daemon-reload && systemctl start relay.socket
"#;

/// A service of which systemd starts an instance for each connection.
const GREET: &str = r#"
cat >/run/systemd/system/greet.socket <<X
[Socket]
ListenStream=8090
Accept=yes
X
cat >/run/systemd/system/greet@.service <<'X'
[Service]
ExecStart=sh -c 'sed /^.$$/q >/dev/null; printf "HTTP/1.0 200 OK\r\n\r\nhello"'
StandardInput=socket
X
systemctl daemon-reload && systemctl start greet.socket
"#;

/// A service that a timer starts.
const TIMER: &str = r#"
cat >/run/systemd/system/fetch.timer <<X
[Timer]
OnActiveSec=50ms
AccuracySec=1ms
X
cat >/run/systemd/system/fetch.service <<X
[Service]
ExecStart=sh -c 'sed -n s/^0:://p /proc/self/cgroup >/run/fetch.cgroup; curl -s --max-time 2 http://web/ >/run/fetch.page; sleep 1'
X
systemctl daemon-reload && systemctl start fetch.timer
"#;

fn bookworm() -> Option<Bed> {
    made(Bed::bookworm())
}

/// The bed, or `None` with the reason printed.
fn made(bed: Bed) -> Option<Bed> {
    match bed.check() {
        Ok(()) => Some(bed),
        Err(error) => {
            println!("skipped: {error}");
            None
        }
    }
}

fn without_controller() -> String {
    format!("[controller]\nenabled = false\n{TWO_HOSTS}")
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < end, "not within 30 s: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The cgroup of a unit's main process, as the kernel tells it inside the host.
fn cgroup_of_main(world: &World, host: &str, unit: &str) -> String {
    let script = format!("sed -n s/^0:://p /proc/$(systemctl show -P MainPID {unit})/cgroup");
    world.shell(host, &script).text().to_owned()
}

#[test]
fn root_systemd_places_units_sockets_timers_and_logins() {
    let Some(bed) = bookworm() else { return };
    let world = World::up_on(&bed, &without_controller()).unwrap();
    assert_eq!(
        world.shell("web", "cat /proc/1/comm; systemctl is-system-running; hostname").text(),
        "systemd\nrunning\nweb"
    );
    assert_eq!(cgroup_of_main(&world, "web", "nginx"), "/system.slice/nginx.service");
    let instance = "/system.slice/system-front.slice/front@15-main.service";
    assert_eq!(cgroup_of_main(&world, "web", "front@15-main"), instance);
    assert_eq!(world.unit("web", "front@15-main").report().cgroup, instance);

    world.shell("web", RELAY).text();
    assert_eq!(world.shell("app", "curl -s --max-time 2 http://web:8080/").text(), "the page");
    assert_eq!(cgroup_of_main(&world, "web", "relay"), "/system.slice/relay.service");

    // Debian's own sshd, started by the first who connects.
    world.shell("web", "systemctl start ssh.socket").text();
    assert_eq!(world.shell("app", "nc -d web 22 | head -c 7").text(), "SSH-2.0");
    assert_eq!(cgroup_of_main(&world, "web", "ssh"), "/system.slice/ssh.service");

    world.shell("app", TIMER).text();
    until("the timer's service fetched the page", || world.shell("app", "cat /run/fetch.page").stdout == "the page\n");
    assert_eq!(world.shell("app", "cat /run/fetch.cgroup").text(), "/system.slice/fetch.service");

    let session = world.shell("app", "sed -n s/^0:://p /proc/self/cgroup; loginctl --no-legend list-sessions");
    let (cgroup, listed) = session.text().split_once('\n').unwrap();
    let number = cgroup.strip_prefix("/user.slice/user-0.slice/session-").and_then(|rest| rest.strip_suffix(".scope"));
    assert!(listed.trim().starts_with(number.expect(cgroup)), "logind knows {listed:?}, not {cgroup}");
}

#[test]
fn root_units_of_a_booted_host_are_driven_like_those_of_others() {
    let Some(bed) = bookworm() else { return };
    let world = World::up_on(&bed, &without_controller()).unwrap();
    let command = ["sh", "-c", "sed -n s/^0:://p /proc/self/cgroup; cat; exit 7"];
    let output = world.exec("app", Placement::Unit("batch"), &command);
    assert_eq!((output.code, output.stdout.as_str()), (7, "/system.slice/batch.service\n"));
    assert_eq!(world.exec("web", Placement::Unit("nginx"), &command).stdout, "/system.slice/nginx.service\n");
    assert_eq!(world.exec("app", Placement::Session, &["no-such-program"]).code, 127);
    assert_eq!(world.shell("app", "kill -9 $$").code, 137);

    let nginx = world.unit("web", "nginx");
    let first = nginx.report();
    nginx.restart();
    let second = nginx.report();
    assert!(second.ready && second.pid != first.pid, "{second:?}");
    nginx.kill(Signal::SIGKILL);
    until("nginx is started again", || nginx.report().restarts == 1 && nginx.report().ready);
    nginx.stop();
    assert_eq!((nginx.report().state.as_str(), nginx.report().pid), ("inactive", None));
    assert_ne!(world.shell("app", "curl -s --max-time 2 http://web/").code, 0);
    nginx.start();
    assert_eq!(world.shell("app", "curl -s --max-time 2 http://web/").text(), "the page");
    let host = world.status()["hosts"][0].clone();
    let pid = host["units"][0]["hostPid"].as_i64().unwrap();
    assert_eq!(fs::read_to_string(format!("/proc/{pid}/comm")).unwrap(), "nginx\n");

    let before = host["pid"].clone();
    world.shell("web", "systemctl reboot");
    until("web has booted again with its units", || {
        let now = world.status()["hosts"][0].clone();
        let ready = |unit: &Value| unit["ready"] == true;
        now["pid"].is_i64()
            && now["pid"] != before
            && now["units"].as_array().unwrap().iter().all(ready)
            && now["units"].as_array().unwrap().len() == 2
    });
    assert_eq!(world.shell("app", "curl -s --max-time 2 http://web/").text(), "the page");
}

#[test]
fn root_a_defender_names_what_systemd_runs() {
    let Some(bed) = bookworm() else { return };
    let world = World::up_on(&bed, &format!("[controller]\nsettings = {{ learn_for = \"1h\" }}\n{TWO_HOSTS}")).unwrap();
    assert_eq!(cgroup_of_main(&world, "web", "cnnf-defender"), "/system.slice/cnnf-defender.service");
    world.shell("web", RELAY).text();
    world.shell("web", GREET).text();
    // at once: what waits for its name is not named wrongly
    for url in ["http://web:8080/", "http://web:8090/", "http://web/", "http://web:5432/", "http://web:8090/"] {
        let page = world.exec("app", Placement::Unit("batch"), &["curl", "-s", "--max-time", "2", url]);
        assert!(page.success(), "{url}: {page:?}");
    }
    world.shell("app", "curl -s --max-time 2 http://web/").text();
    world.shell("app", TIMER).text();
    let mut missing = Vec::new();
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        let answer = world.ctl_json(&["services", "list"]);
        let has = |key: &str, host: &str, endpoint: Option<&str>| {
            answer["services"].as_array().unwrap().iter().any(|service| {
                service["key"] == key
                    && service["instances"].as_array().unwrap().iter().any(|instance| {
                        instance["host"] == host
                            && endpoint.is_none_or(|wanted| instance["endpoints"].to_string().contains(wanted))
                    })
            })
        };
        missing.clear();
        for (key, host, endpoint) in [
            ("unit:nginx", "web", Some("80")),
            ("unit:front@15-main", "web", Some("5432")),
            ("unit:relay", "web", Some("8080")),
            ("unit:greet@", "web", Some("8090")),
            ("unit:batch", "app", None),
            ("unit:fetch", "app", None),
            ("exe:/usr/bin/curl", "app", None),
        ] {
            if !has(key, host, endpoint) {
                missing.push(key);
            }
        }
        if missing.is_empty() {
            break;
        }
        assert!(Instant::now() < end, "{missing:?} are not among {answer:#}");
        std::thread::sleep(Duration::from_millis(100));
    }
    // from the first connection on: what waited for its name was named rightly, once all of it is reported
    let named = || {
        let answer = world.ctl_json(&["edges", "list", "--from", "unit:batch"]);
        let edge =
            |e: &Value| (e["port"].as_u64().unwrap(), e["server"]["service"].to_string(), e["connections"].to_string());
        // a port that is refused over IPv6 is an edge to an address
        let edges = answer["edges"].as_array().unwrap().iter().map(edge);
        let mut named: Vec<_> = edges.filter(|(_, service, _)| service != "\"\"").collect();
        named.sort();
        named
    };
    let expected = [(80, "nginx", 1), (5432, "front@15-main", 1), (8080, "relay", 1), (8090, "greet@", 2)];
    let expected = expected.map(|(port, unit, n)| (port, format!("\"unit:{unit}\""), format!("\"{n}\"")));
    let end = Instant::now() + Duration::from_secs(10);
    while named() != expected && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(named(), expected);
}

#[test]
fn root_nothing_of_a_booted_host_is_left_after_a_crash() {
    let Some(bed) = bookworm() else { return };
    let world = World::up_on(&bed, &without_controller()).unwrap();
    let status = world.status();
    let cgroup = status["cgroup"].as_str().unwrap().to_owned();
    let network_of = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/net")).map(|link| link.display().to_string());
    let hosts = status["hosts"].as_array().unwrap();
    let networks: Vec<String> = hosts.iter().map(|host| network_of(&host["pid"].to_string()).unwrap()).collect();
    // systemd-nspawn itself, and what waits for it.
    for part in ["supervisor", "lab"] {
        fs::write(Path::new(&cgroup).join("web").join(part).join("cgroup.kill"), "1").unwrap();
    }
    let dir = world.dir().to_owned();
    assert!(world.lab(&["down"]).output().unwrap().status.success());
    assert!(!dir.exists() && !Path::new(&cgroup).exists());
    let name = Path::new(&cgroup).file_name().unwrap();
    for tree in fs::read_dir("/sys/fs/cgroup").unwrap().flatten() {
        assert!(!tree.path().join(name).exists(), "{} is left in {}", name.display(), tree.path().display());
    }
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let network = network_of(&entry.file_name().to_string_lossy()).unwrap_or_default();
        assert!(!networks.contains(&network), "process {} is left", entry.file_name().display());
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(&dir.display().to_string()), "a mount is left: {mounts}");
}

#[test]
fn root_a_missing_tree_is_said_with_what_makes_it() {
    if let Err(error) = Command::new("systemd-nspawn").arg("--version").stdout(Stdio::null()).status() {
        println!("skipped: systemd-nspawn cannot be run: {error}");
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("world.toml");
    fs::write(&file, without_controller()).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_cnnf-lab"))
        .arg("--dir")
        .arg(place.path().join("world"))
        .args(["up", "--bed", "systemd/sid"])
        .arg(&file)
        .env("CNNF_BEDS", place.path())
        .output()
        .unwrap();
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{words}");
    assert!(words.contains("cnnf-lab bed make sid"), "{words}");
}
