//! Containers: what they are called from their first packet on, and which of them have a network of their own.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use cnnf_core::policy::{Effect, Mode};
use nix::sys::signal::Signal;

use crate::bed::controller::Controller;
use crate::bed::{Bed, until_ready, with_bed};
use crate::{apply, enroll, policy};

/// Containers' ids.
const NAMED: &str = "11d0c0ffee11d0c0ffee11d0c0ffee11d0c0ffee11d0c0ffee11d0c0ffee1111";
const NAMELESS: &str = "2222222222222222222222222222222222222222222222222222222222222222";

/// docker keeps its files in the bed.
fn with_docker(bed: &Bed, more: &str) {
    let docker = bed.dir.path().join("docker");
    bed.configure(&format!("[containers]\ndocker = [\"{}\"]\n{more}", docker.display()));
}

/// Writes what docker writes of a container.
fn write_docker(bed: &Bed, id: &str, image: &str) {
    let directory = bed.dir.path().join("docker/containers").join(id);
    fs::create_dir_all(&directory).expect("a directory");
    let text = format!(r#"{{"Name":"/some-1","Image":"sha256:0","Config":{{"Image":"{image}"}}}}"#);
    fs::write(directory.join("config.v2.json"), text).expect("docker's file");
}

/// How many connections each client had to this port, once there were so many.
fn clients(controller: &Controller, port: u32, wanted: u64) -> BTreeMap<String, u64> {
    controller.wait("the flows", |heard| {
        let mut clients = BTreeMap::new();
        for flow in heard.flows.iter().filter(|flow| flow.port == port) {
            *clients.entry(flow.client_service.clone()).or_default() += flow.connections;
        }
        (clients.values().sum::<u64>() >= wanted).then_some(clients)
    })
}

/// A container whose first packet comes before docker's file does, which comes in time: its group and its id. On a machine that is too slow
/// for that once it is tried with the next.
fn first_before_its_file(bed: &Bed) -> (String, String) {
    for n in 4..10 {
        let id = format!("{}{n}", &NAMED[..63]);
        let group = format!("docker-{id}.scope");
        let in_time = std::thread::scope(|scope| {
            let began = Instant::now();
            let first = scope.spawn(|| bed.probe(&group, "tcp 127.0.0.1:8001"));
            std::thread::sleep(Duration::from_millis(50));
            write_docker(bed, &id, "nginx:1.25");
            let in_time = began.elapsed() < Duration::from_millis(200);
            assert_eq!(first.join().expect("a probe"), "ok");
            in_time
        });
        if in_time {
            return (group, id);
        }
    }
    panic!("this machine takes 200 ms to write a file");
}

#[test]
fn root_a_container_has_one_name_from_its_first_packet_on() {
    with_bed(|bed| {
        let controller = Controller::start();
        enroll(bed, &controller);
        with_docker(bed, "");
        bed.start();
        bed.serve("server.service", 8000);
        bed.serve("server.service", 8001);
        let (named, id) = first_before_its_file(bed);
        controller.wait("the first connection", |heard| {
            heard.flows.iter().find(|flow| flow.port == 8001 && flow.client_service == "container:nginx:1.25").map(drop)
        });
        let nameless = format!("docker-{NAMELESS}.scope");
        // nobody says how this one is called
        let began = Instant::now();
        assert_eq!(bed.probe(&nameless, "tcp 127.0.0.1:8000"), "ok");
        println!("the first packet of a container without a name passed after {:?}", began.elapsed());
        assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
        write_docker(bed, NAMELESS, "redis:7");
        for _ in 0..4 {
            assert_eq!(bed.probe(&named, "tcp 127.0.0.1:8000"), "ok");
            assert_eq!(bed.probe(&nameless, "tcp 127.0.0.1:8000"), "ok");
        }
        let want = [("container:222222222222".to_owned(), 5), ("container:nginx:1.25".to_owned(), 4)];
        assert_eq!(clients(&controller, 8000, 9), want.into(), "a running container keeps its name");
        let status = String::from_utf8_lossy(&bed.defender(&["status"]).stdout).into_owned();
        assert!(
            status.contains("containers_nameless") && bed.log().contains("container:222222222222 is called by its id")
        );

        // another container of that image is refused with its first packet
        apply(&controller, &policy(1, Mode::Enforce, &[(1, "container:nginx:1.25", "tcp/8000", Effect::Prevent)]));
        let again_id = id.replace('1', "3");
        write_docker(bed, &again_id, "nginx:1.25");
        let again = format!("docker-{again_id}.scope");
        assert_eq!(bed.probe(&again, "tcp 127.0.0.1:8000"), "refused");
        assert_eq!(bed.probe(&nameless, "tcp 127.0.0.1:8000"), "ok");
        let event = controller.wait("the event", |heard| heard.events.first().map(|(_, event)| event.clone()));
        let container = event.process.expect("evidence").container;
        assert_eq!(container, format!("nginx:1.25 {again_id}"));

        // what was undecided in an earlier run is decided anew
        bed.signal(Signal::SIGTERM);
        bed.start();
        assert_eq!(bed.probe(&nameless, "tcp 127.0.0.1:8000"), "ok");
        controller.wait("the new name", |heard| {
            heard.flows.iter().find(|f| f.client_service == "container:redis:7").map(drop)
        });
    });
}

/// A network of its own for a container, with one address and a way to the host: removed in the end.
struct Apart(Child);

impl Apart {
    /// In the bed's group `group`; `10.9.8.7` is its address.
    fn new(bed: &Bed, group: &str, port: u16) -> Self {
        let script = "ip link set lo up; ip link add v type veth peer w; ip link set v up; ip link set w up; \
                      ip address add 10.9.8.7/24 dev v; exec \"$@\"";
        let serve = bed.child(group, &format!("serve {port}"));
        let mut command = Command::new("unshare");
        command.args(["--net", "sh", "-c", script, "sh"]).arg(serve.get_program()).args(serve.get_args());
        for (name, value) in serve.get_envs() {
            command.env(name, value.expect("a value"));
        }
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("a server");
        until_ready(child.stdout.as_mut().expect("output"));
        Self(child)
    }

    fn id(&self) -> u64 {
        fs::metadata(format!("/proc/{}/ns/net", self.0.id())).expect("its namespace").ino()
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What `status` says is not covered, once it says something of this namespace.
fn said_of(bed: &Bed, args: &[&str], id: u64) -> String {
    let began = Instant::now();
    loop {
        let out = bed.defender(args);
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        if let Some(line) = text.lines().find(|line| line.contains(&format!("network namespace {id} "))) {
            return line.trim().to_owned();
        }
        assert!(began.elapsed() < Duration::from_secs(15), "{text}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn root_a_container_with_a_network_of_its_own_is_said_not_to_be_covered() {
    with_bed(|bed| {
        let controller = Controller::start();
        enroll(bed, &controller);
        with_docker(bed, "");
        write_docker(bed, NAMED, "nginx:1.25");
        let apart = Apart::new(bed, &format!("docker-{NAMED}.scope"), 8080);
        bed.start();
        let line = said_of(bed, &["status"], apart.id());
        assert!(
            line.starts_with("not covered network namespace") && line.contains("of container:nginx:1.25 (1 processes)"),
            "{line}"
        );
        let line = said_of(bed, &["doctor"], apart.id());
        assert!(line.ends_with("of container:nginx:1.25 (1 processes)"), "{line}");
        controller.wait("the heartbeat", |heard| {
            let beat = heard.heartbeats.last()?;
            let told = beat.not_covered.iter().any(|line| line.contains("container:nginx:1.25"));
            (told && beat.counters.get("namespaces").is_some_and(|n| *n > 0)).then_some(())
        });
        let known = |endpoints: &[cnnf_rpc::v1::Endpoint]| endpoints.iter().any(|e| e.port == 8080);
        let instances = controller.heard().inventory.instances;
        assert!(!instances.iter().any(|instance| known(&instance.endpoints)), "nobody asked for it to be entered");
    });
}

#[test]
fn root_where_a_container_listens_is_known_if_its_namespace_may_be_entered() {
    with_bed(|bed| {
        let controller = Controller::start();
        enroll(bed, &controller);
        with_docker(bed, "enter_namespaces = true\n");
        write_docker(bed, NAMED, "nginx:1.25");
        let apart = Apart::new(bed, &format!("docker-{NAMED}.scope"), 8080);
        bed.start();
        let endpoint = controller.wait("the endpoint", |heard| {
            let instance = heard.inventory.instances.iter().find(|i| i.service == "container:nginx:1.25")?;
            instance.endpoints.first().cloned()
        });
        assert_eq!((endpoint.address.as_str(), endpoint.port), ("10.9.8.7", 8080), "not this host's wildcard");
        let line = said_of(bed, &["status"], apart.id());
        assert!(line.ends_with("of container:nginx:1.25 (1 processes); 1 listening sockets are known"), "{line}");
    });
}
