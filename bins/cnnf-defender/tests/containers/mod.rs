//! Containers: what they are called from their first packet on, and which of them have a network of their own.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use cnnf_core::policy::{Effect, Mode};
use nix::sys::signal::Signal;

use crate::bed::controller::Controller;
use crate::bed::{Bed, with_bed};
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

#[test]
fn root_a_container_has_one_name_from_its_first_packet_on() {
    with_bed(|bed| {
        let controller = Controller::start();
        enroll(bed, &controller);
        with_docker(bed, "");
        bed.start();
        bed.serve("server.service", 8000);
        let (named, nameless) = (format!("docker-{NAMED}.scope"), format!("docker-{NAMELESS}.scope"));
        // its first packet comes before docker's file
        std::thread::scope(|scope| {
            let first = scope.spawn(|| bed.probe(&named, "tcp 127.0.0.1:8000"));
            std::thread::sleep(Duration::from_millis(100));
            write_docker(bed, NAMED, "nginx:1.25");
            assert_eq!(first.join().expect("a probe"), "ok");
        });
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
        let want = [("container:222222222222".to_owned(), 5), ("container:nginx:1.25".to_owned(), 5)];
        assert_eq!(clients(&controller, 8000, 10), want.into(), "a running container keeps its name");

        // another container of that image is refused with its first packet
        apply(&controller, &policy(1, Mode::Enforce, &[(1, "container:nginx:1.25", "tcp/8000", Effect::Prevent)]));
        let again = NAMED.replace('1', "3");
        write_docker(bed, &again, "nginx:1.25");
        let again = format!("docker-{again}.scope");
        assert_eq!(bed.probe(&again, "tcp 127.0.0.1:8000"), "refused");
        assert_eq!(bed.probe(&nameless, "tcp 127.0.0.1:8000"), "ok");
        let event = controller.wait("the event", |heard| heard.events.first().map(|(_, event)| event.clone()));
        let container = event.process.expect("evidence").container;
        assert_eq!(container, format!("nginx:1.25 {}", NAMED.replace('1', "3")));

        // what was undecided in an earlier run is decided anew
        bed.signal(Signal::SIGTERM);
        bed.start();
        assert_eq!(bed.probe(&nameless, "tcp 127.0.0.1:8000"), "ok");
        controller.wait("the new name", |heard| {
            heard.flows.iter().find(|f| f.client_service == "container:redis:7").map(drop)
        });
    });
}
