//! Services are called as operators define it, in everything that a host says.

use std::path::{Path, PathBuf};
use std::time::Duration;

use cnnf_core::identity::Definition;
use cnnf_core::net::Ports;
use cnnf_core::policy::{Effect, HostPolicy, Mode};
use nix::sys::signal::Signal;
use nix::unistd::{Uid, setuid};

use crate::bed::controller::{Controller, Heard};
use crate::bed::{self, Bed, with_bed};
use crate::{apply, enroll, policy};

/// What probes do for these tests.
pub(crate) fn act(words: &[&str]) -> Option<std::io::Result<String>> {
    let ["tcp_as", uid, to] = words else { return None };
    setuid(Uid::from_raw(uid.parse().expect("a user's number"))).expect("setuid");
    Some(bed::tcp(to.parse().expect("address")).map(|()| "ok".into()))
}

fn named(name: &str) -> Definition {
    Definition { name: name.into(), ..Definition::default() }
}

fn by_unit(name: &str, unit: &str) -> Definition {
    Definition { units: [unit.into()].into(), ..named(name) }
}

fn with(generation: u64, definitions: &[Definition], rules: &[(u64, &str, &str, Effect)]) -> HostPolicy {
    let definitions = definitions.iter().map(|d| d.clone().check().expect("a definition")).collect();
    HostPolicy { definitions, ..policy(generation, Mode::Enforce, rules) }
}

/// Waits for connections from `client` to `server` on a port.
fn connected(controller: &Controller, client: &str, server: &str, port: u32) {
    controller.wait(&format!("{client} to {server}"), |heard| {
        let is = |f: &&cnnf_rpc::v1::FlowRecord| {
            f.client_service == client && f.server_service == server && f.port == port && f.connections > 0
        };
        heard.flows.iter().find(is).map(drop)
    });
}

/// Waits until the inventory has `service` listening on exactly these ports.
fn listening(controller: &Controller, service: &str, ports: &[u32]) {
    controller.wait(&format!("{service} on {ports:?}"), |heard| {
        let instance = heard.inventory.instances.iter().find(|i| i.service == service)?;
        let mut found: Vec<u32> = instance.endpoints.iter().map(|e| e.port).collect();
        found.sort_unstable();
        found.dedup();
        (found == ports).then_some(())
    });
}

fn has(heard: &Heard, service: &str) -> bool {
    heard.inventory.instances.iter().any(|i| i.service == service)
}

fn counter(bed: &Bed, name: &str) -> u64 {
    let out = bed.defender(&["status", "-o", "json"]);
    let status: serde_json::Value = serde_json::from_slice(&out.stdout).expect("json");
    status["counters"][name].as_u64().unwrap_or_else(|| panic!("no counter is called {name}: {status}"))
}

/// This program under another name.
fn other_program(bed: &Bed) -> PathBuf {
    let (this, other) = (std::env::current_exe().expect("this program"), bed.dir.path().join("alpha"));
    if std::fs::hard_link(&this, &other).is_err() {
        std::fs::copy(&this, &other).expect("copy");
    }
    other
}

fn probe_as(bed: &Bed, program: &Path, group: &str, what: &str) -> String {
    bed.answer(bed.child_as(program, group, what))
}

#[test]
fn root_a_unit_has_its_defined_name_everywhere() {
    with_bed(|bed| {
        let controller = Controller::start();
        enroll(bed, &controller);
        bed.start();
        bed.serve("server.service", 8000);
        assert_eq!(bed.probe("client.service", "tcp 127.0.0.1:8000"), "ok");
        connected(&controller, "unit:client", "unit:server", 8000);
        listening(&controller, "unit:server", &[8000]);

        let definitions = [by_unit("front", "cli*"), by_unit("back", "server")];
        let rules = [(1, "svc:front", "tcp/8001", Effect::Prevent), (2, "unit:client", "tcp/8000", Effect::Prevent)];
        apply(&controller, &with(1, &definitions, &rules));
        assert_eq!(bed.probe("client.service", "tcp 127.0.0.1:8000"), "ok", "no rule means its old name any more");
        assert_eq!(bed.probe("client.service", "tcp 127.0.0.1:8001"), "refused");
        connected(&controller, "svc:front", "svc:back", 8000);
        listening(&controller, "svc:back", &[8000]);
        controller.wait("the old names to go", |heard| {
            (!has(heard, "unit:server") && !has(heard, "unit:client")).then_some(())
        });
        let back = controller.heard().inventory.instances.into_iter().find(|i| i.service == "svc:back");
        assert_eq!(back.expect("instance").natural, ["unit:server"]);
        let event = controller.wait("the event", |heard| heard.events.first().map(|(_, event)| event.clone()));
        assert_eq!(event.client.expect("client").service, "svc:front");
        assert_eq!(event.process.expect("process").unit, "client.service", "evidence says where it was");
        bed.signal(Signal::SIGSTOP);
        let told = bed.probe("client.service", "tcp 127.0.0.1:8000");
        bed.signal(Signal::SIGCONT);
        assert_eq!(told, "ok", "the kernel decides by the group as before, and nobody has to be asked");

        // over a restart, before the controller is heard, and in a group that is new
        bed.signal(Signal::SIGKILL);
        bed.start();
        assert_eq!(bed.probe("client2.service", "tcp 127.0.0.1:8001"), "refused");

        apply(&controller, &with(2, &[], &rules));
        assert_eq!(bed.probe("client.service", "tcp 127.0.0.1:8000"), "refused", "its own name again");
        listening(&controller, "unit:server", &[8000]);
        controller.wait("the definitions' names to go", |heard| (!has(heard, "svc:back")).then_some(()));
    });
}

#[test]
fn root_two_programs_of_a_unit_are_told_apart() {
    with_bed(|bed| {
        let controller = Controller::start();
        enroll(bed, &controller);
        bed.start();
        let alpha = other_program(bed);
        let definition = Definition { executables: [alpha.display().to_string()].into(), ..by_unit("alpha", "shop") };
        apply(&controller, &with(1, &[definition], &[(1, "svc:alpha", "tcp/8000", Effect::Prevent)]));
        bed.serve("server.service", 8000);
        bed.serve("shop.service", 8002);
        bed.begin_as(&alpha, "shop.service", "serve 8001");
        for _ in 0..20 {
            assert_eq!(bed.probe("shop.service", "tcp 127.0.0.1:8000"), "ok");
            assert_eq!(probe_as(bed, &alpha, "shop.service/sub", "tcp 127.0.0.1:8000"), "refused");
        }
        assert_eq!(probe_as(bed, &alpha, "other.service", "tcp 127.0.0.1:8000"), "ok", "another unit is not meant");
        let asked = counter(bed, "asked");
        assert_eq!(bed.probe("client.service", "tcp 127.0.0.1:8001"), "ok");
        assert_eq!(probe_as(bed, &alpha, "shop.service", "tcp 127.0.0.1:8002"), "ok");
        connected(&controller, "unit:shop", "unit:server", 8000);
        connected(&controller, "unit:client", "svc:alpha", 8001);
        connected(&controller, "svc:alpha", "unit:shop", 8002);
        listening(&controller, "svc:alpha", &[8001]);
        listening(&controller, "unit:shop", &[8002]);
        let heard = controller.heard();
        let others = heard.flows.iter().filter(|f| f.port == 8000 && f.client_service == "unit:shop");
        assert_eq!(others.map(|f| f.connections).sum::<u64>(), 20);
        std::thread::sleep(Duration::from_millis(2200));
        assert!(counter(bed, "asked") > asked, "its packets wait in the queue");
    });
}

#[test]
fn root_a_port_names_the_service_that_listens_there() {
    with_bed(|bed| {
        let controller = Controller::start();
        enroll(bed, &controller);
        bed.start();
        bed.serve("server.service", 8001);
        let api = Definition { ports: Ports::parse(&["tcp/8000"]).expect("ports"), ..named("api") };
        apply(&controller, &with(1, &[api], &[(1, "svc:api", "tcp/8001", Effect::Prevent)]));
        assert_eq!(bed.probe("backend.service", "tcp 127.0.0.1:8001"), "ok", "it does not listen yet");
        connected(&controller, "unit:backend", "unit:server", 8001);
        let mut listener = bed.server("backend.service", "serve 8000");
        listening(&controller, "svc:api", &[8000]);
        assert_eq!(bed.probe("backend.service", "tcp 127.0.0.1:8001"), "refused", "the whole service has the name");
        assert_eq!(bed.probe("client.service", "tcp 127.0.0.1:8000"), "ok");
        connected(&controller, "unit:client", "svc:api", 8000);

        listener.kill().expect("kill");
        listener.wait().expect("wait");
        bed.signal(Signal::SIGKILL);
        bed.start();
        assert_eq!(bed.probe("backend.service", "tcp 127.0.0.1:8001"), "refused", "it only does not listen now");
        bed.serve("newer.service", 8000);
        listening(&controller, "svc:api", &[8000]);
        controller.wait("the older one's own name", |heard| has(heard, "unit:backend").then_some(()));
        assert_eq!(bed.probe("backend.service", "tcp 127.0.0.1:8001"), "ok", "another one has the port");
    });
}

#[test]
fn root_users_of_a_unit_and_programs_of_a_session_are_told_apart() {
    with_bed(|bed| {
        let controller = Controller::start();
        enroll(bed, &controller);
        bed.start();
        bed.serve("server.service", 8000);
        let workers = Definition { users: ["nobody".into()].into(), ..by_unit("workers", "shop") };
        let probes =
            Definition { command_lines: ["--exact*probe".into()].into(), ..by_unit("probes", "session-*.scope") };
        let rules = [(1, "svc:workers", "tcp/8000", Effect::Prevent), (2, "svc:probes", "tcp/8001", Effect::Prevent)];
        apply(&controller, &with(1, &[workers, probes], &rules));
        assert_eq!(bed.probe("shop.service", "tcp 127.0.0.1:8000"), "ok");
        assert_eq!(bed.probe("shop.service", "tcp_as 65534 127.0.0.1:8000"), "refused");
        assert_eq!(bed.probe("other.service", "tcp_as 65534 127.0.0.1:8000"), "ok");
        assert_eq!(bed.probe("session-1.scope", "tcp 127.0.0.1:8000"), "ok");
        assert_eq!(bed.probe("session-1.scope", "tcp 127.0.0.1:8001"), "refused");
        connected(&controller, "unit:shop", "unit:server", 8000);
        connected(&controller, "svc:probes", "unit:server", 8000);
        let event = controller.wait("the event", |heard| heard.events.first().map(|(_, event)| event.clone()));
        assert_eq!(event.client.expect("client").service, "svc:workers");
        assert_eq!(event.process.expect("process").user, "nobody");
    });
}
