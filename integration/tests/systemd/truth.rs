//! The truth table on booted hosts: who connected to whom is known, and what the controller was told must say the same.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use cnnf_lab::{Bed, Placement, World};
use serde_json::Value;

use super::{GREET, RELAY, made};

/// Connections a case.
const EACH: u64 = 5;

/// Each case has a port of its own, so that cases of the same program are told apart.
const HOSTS: &str = r#"
[controller]
settings = { learn_for = "1h" }
[[host]]
name = "web"
[[host.service]]
unit = "nginx"
command = ["nginx", "-c", "{dir}/nginx.conf", "-g", "daemon off;"]
ready = "tcp/80"
[host.service.files]
"nginx.conf" = """
pid {dir}/nginx.pid;
error_log stderr;
worker_processes 2;
events {}
http {
    access_log off;
    server {
        listen 80; listen 8001; listen 8002; listen 8003; listen 8004; listen 8005; listen 8006; listen 8007; listen 8008; listen 8009;
        location / { return 200 "the page\\n"; }
    }
}
"""
[[host]]
name = "app"
"#;

/// Debian's own PostgreSQL, whose units are instances of a template, for whoever asks over TCP.
const POSTGRES: &str = r#"
cd /etc/postgresql/*/main
echo "listen_addresses = '*'" >conf.d/lab.conf
echo "host all all 0.0.0.0/0 trust" >pg_hba.conf
systemctl start postgresql@$(basename ${PWD%/main})-main
"#;

/// The major version of PostgreSQL in a release of Debian's.
fn postgres_of(suite: &str) -> u32 {
    match suite {
        "bookworm" => 15,
        "trixie" => 17,
        other => panic!("which PostgreSQL has Debian {other}?"),
    }
}

/// What a shell runs to ask PostgreSQL so often, a connection each: it counts one further each time.
fn query(server: &str) -> String {
    let ask = format!(
        "PGSSLMODE=disable PGGSSENCMODE=disable psql -h {server} -U postgres -Atc 'select inet_server_port() + '$n"
    );
    format!("for n in $(seq {EACH}); do [ $({ask}) = $((5432 + n)) ] || exit 1; done")
}

/// What a shell runs to connect so often; each command waits until it was answered.
fn fetch(port: u16) -> String {
    let times: String = (1..=EACH).map(|n| format!(" {n}")).collect();
    format!("for n in{times}; do curl -4 -s --max-time 5 http://web:{port}/ >/dev/null || exit 1; done")
}

/// A case: its name, who connects to whom on this port, and how it is made to.
struct Case {
    name: &'static str,
    client: String,
    server: String,
    port: u16,
    run: Box<dyn Fn(&World)>,
}

fn case(name: &'static str, client: &str, server: &str, port: u16, run: impl Fn(&World) + 'static) -> Case {
    Case { name, client: client.into(), server: server.into(), port, run: Box::new(run) }
}

/// What is fetched by a unit of `app`.
fn by_unit(name: &'static str, client: &'static str, server: &'static str, port: u16) -> Case {
    case(name, client, server, port, move |world| {
        let unit = client.trim_start_matches("unit:");
        let output = world.exec("app", Placement::Unit(unit), &["sh", "-c", &fetch(port)]);
        assert!(output.success(), "{name}: {output:?}");
    })
}

/// What is asked of PostgreSQL on `web` by a unit of this host, or by a session.
fn by_psql(name: &'static str, client: &str, version: u32, host: &'static str, place: Placement<'static>) -> Case {
    case(name, client, &format!("unit:postgresql@{version}-main"), 5432, move |world| {
        let server = if host == "web" { "127.0.0.1" } else { "10.86.0.1" };
        let output = world.exec(host, place, &["sh", "-c", &query(server)]);
        assert!(output.success(), "{name}: {output:?}");
    })
}

/// What is fetched by a script in a login session of root's on `app`, in which `#` is the shell's command.
fn by_session(name: &'static str, client: &'static str, port: u16, script: &'static str) -> Case {
    case(name, client, NGINX, port, move |world| {
        let output = world.shell("app", &script.replace('#', &format!("sh -c '{}'", fetch(port))));
        assert!(output.success(), "{name}: {output:?}");
    })
}

const NGINX: &str = "unit:nginx";
const CURL: &str = "exe:/usr/bin/curl";

const TIMER: &str = r#"
cat >/run/systemd/system/tick.timer <<X
[Timer]
OnActiveSec=50ms
AccuracySec=1ms
X
cat >/run/systemd/system/tick.service <<X
[Service]
Type=oneshot
ExecStart=sh /run/tick
X
cat >/run/tick <<X
#
X
systemctl daemon-reload && systemctl start tick.timer
"#;

/// cron runs such jobs when it starts for the first time since the boot.
const CRON: &str = r#"
cat >/run/job <<X
#!/bin/sh
#
X
chmod 755 /run/job
echo '@reboot root /run/job' >/etc/cron.d/job
rm -f /run/crond.reboot
systemctl restart cron
"#;

fn cases(suite: &str) -> Vec<Case> {
    let version = postgres_of(suite);
    let psql = format!("exe:/usr/lib/postgresql/{version}/bin/psql");
    let later = |name, client, port, script: &'static str| {
        // the line that is a lone `#` is what it runs
        case(name, client, NGINX, port, move |world| {
            world.shell("app", &script.replace("\n#\n", &format!("\n{}\n", fetch(port).replace('$', "\\$")))).text();
        })
    };
    vec![
        by_unit("a unit to nginx", "unit:batch", NGINX, 80),
        by_psql("a unit to PostgreSQL on another host", "unit:batch", version, "app", Placement::Unit("batch")),
        by_psql("a unit to PostgreSQL over loopback", "unit:local", version, "web", Placement::Unit("local")),
        by_psql("a session to PostgreSQL on another host", &psql, version, "app", Placement::Session),
        by_psql("a session to PostgreSQL over loopback", &psql, version, "web", Placement::Session),
        by_unit("an instance of a template to nginx", "unit:shop@one", NGINX, 8001),
        by_unit("a unit to a service that its socket starts", "unit:batch", "unit:relay", 8080),
        by_unit("a unit to a service with an instance a connection", "unit:batch", "unit:greet@", 8090),
        case("a unit to sshd, which its socket starts", "unit:batch", "unit:ssh", 22, |world| {
            let script = format!("for n in $(seq {EACH}); do nc -4 -d web 22 | head -c 7; done");
            let output = world.exec("app", Placement::Unit("batch"), &["sh", "-c", &script]);
            assert_eq!(output.text(), "SSH-2.0".repeat(EACH as usize));
        }),
        later("a service that a timer starts", "unit:tick", 8002, TIMER),
        later("a job of cron's", CURL, 8003, CRON),
        by_session("a login session", CURL, 8004, "#"),
        by_session("sudo in a session", CURL, 8005, "sudo -n -u nobody #"),
        by_session("su in a session", CURL, 8006, "su -s /bin/sh nobody -c \"#\""),
        by_session(
            "a scope of the user's manager",
            CURL,
            8007,
            "systemctl start user@0 && XDG_RUNTIME_DIR=/run/user/0 systemd-run -q --user --scope #",
        ),
        by_session("a scope of the system's manager", CURL, 8008, "systemd-run -q --scope #"),
        by_session("a transient unit", "unit:once", 8009, "systemd-run -q --wait --unit once #"),
    ]
}

/// Connections by client, server and port.
type Edges = BTreeMap<(String, String, u16), u64>;

/// What the controller has on these ports.
fn observed(world: &World, ports: &[u16]) -> Edges {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let who = |peer: &Value| match text(&peer["service"]) {
        key if key.is_empty() => peer.to_string(),
        key => key,
    };
    let mut edges = Edges::new();
    for edge in world.ctl_json(&["edges", "list"])["edges"].as_array().expect("a list") {
        let port = edge["port"].as_u64().and_then(|port| u16::try_from(port).ok()).expect("a port");
        if ports.contains(&port) {
            let connections = text(&edge["connections"]).parse::<u64>().expect("a number");
            *edges.entry((who(&edge["client"]), who(&edge["server"]), port)).or_default() += connections;
        }
    }
    edges
}

fn truth(suite: &str) {
    let Some(bed) = made(Bed::Systemd { suite: suite.to_owned() }) else { return };
    let world = World::up_on(&bed, HOSTS).unwrap();
    world.shell("web", RELAY).text();
    world.shell("web", GREET).text();
    world.shell("web", "systemctl stop ssh.service; systemctl start ssh.socket").text();
    world.shell("web", POSTGRES).text();
    let cases = cases(suite);
    let ports: Vec<u16> = cases.iter().map(|case| case.port).collect();
    let mut known = Edges::new();
    for case in &cases {
        *known.entry((case.client.clone(), case.server.clone(), case.port)).or_default() += EACH;
    }
    // the relay asks nginx for each
    known.insert(("unit:relay".into(), NGINX.into(), 80), EACH);
    for case in &cases {
        (case.run)(&world);
    }
    let end = Instant::now() + Duration::from_secs(30);
    let mut seen = observed(&world, &ports);
    while seen != known && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(200));
        seen = observed(&world, &ports);
    }
    // what is told late must be as true
    std::thread::sleep(Duration::from_secs(2));
    seen = observed(&world, &ports);
    println!("{suite}: case | client > server, port | known | observed");
    for ((client, server, port), count) in &known {
        let names: Vec<_> = cases.iter().filter(|case| case.client == *client && case.port == *port).collect();
        let names: Vec<_> = names.into_iter().map(|case| case.name).collect();
        let name = if names.is_empty() { "the relay to nginx".to_owned() } else { names.join(", ") };
        let told = seen.get(&(client.clone(), server.clone(), *port)).unwrap_or(&0);
        println!("{suite}: {name} | {client} > {server}, {port} | {count} | {told}");
    }
    let wrong: Vec<_> = seen.iter().filter(|(edge, _)| !known.contains_key(*edge)).collect();
    println!("{suite}: {} connections, wrong {}", seen.values().sum::<u64>(), wrong.len());
    assert!(wrong.is_empty(), "{suite}: named wrongly: {wrong:#?}");
    assert_eq!(seen, known, "{suite}");
}

#[test]
fn root_the_truth_on_bookworm() {
    truth("bookworm");
}

#[test]
fn root_the_truth_on_trixie() {
    truth("trixie");
}
