//! Cases of services that are restarted, under load too.

use std::io::Read;
use std::process::{Child, Stdio};

use super::{Row, SERVER, each, table};
use crate::bed::controller::Controller;
use crate::bed::{Bed, with_bed};
use crate::enroll;

/// What clients saw that connected without a pause.
#[derive(Clone, Copy, Debug)]
struct Seen {
    answered: u64,
    refused: u64,
    /// The connection stood, and ended without an answer.
    cut: u64,
    /// Nothing came: a packet was lost.
    silent: u64,
}

impl Seen {
    fn total(self) -> u64 {
        self.answered + self.refused + self.cut + self.silent
    }
}

/// Clients of `client.service` connect to this port without a pause, until they are asked what they saw.
fn load(bed: &Bed, port: u16) -> Child {
    let mut load = bed.child("client.service", &format!("load {port}")).stdin(Stdio::piped()).spawn().expect("load");
    crate::bed::until_ready(load.stdout.as_mut().expect("output"));
    load
}

fn seen(mut load: Child) -> Seen {
    drop(load.stdin.take());
    let mut text = String::new();
    load.stdout.take().expect("output").read_to_string(&mut text).expect("read");
    load.wait().expect("wait");
    let words = text.split_once("probe:").expect("an answer").1;
    let mut numbers = words.split_whitespace().map_while(|word| word.parse().ok());
    let mut next = || numbers.next().expect("a number");
    Seen { answered: next(), refused: next(), cut: next(), silent: next() }
}

fn end(bed: &Bed, mut child: Child, group: &str) {
    child.kill().expect("kill");
    child.wait().expect("wait");
    bed.remove_group(group);
}

/// Restarts a server that is under load so often, each time in a new control group.
fn restart_under_load(bed: &Bed, times: u64) -> Seen {
    let mut server = bed.server("restarted.service", "serve 9003");
    let load = load(bed, 9003);
    for _ in 0..times {
        std::thread::sleep(std::time::Duration::from_millis(5));
        end(bed, server, "restarted.service");
        server = bed.server("restarted.service", "serve 9003");
    }
    let seen = seen(load);
    end(bed, server, "restarted.service");
    seen
}

#[test]
fn root_truth_about_restarts() {
    table(|t| {
        let n = each();
        for _ in 0..n {
            assert_eq!(t.bed.probe("again.service", "tcp 127.0.0.1:8000"), "ok");
            t.bed.remove_group("again.service");
        }
        t.row("a group made anew for each connection", 8000, &[("unit:again", SERVER, n)], 0);

        let clients = load(t.bed, 8001);
        for _ in 0..n / 2 {
            end(t.bed, t.bed.server("other.service", "serve 9001"), "other.service");
        }
        let Seen { answered, refused: 0, cut: 0, silent: 0 } = seen(clients) else {
            panic!("something is lost while another service restarts");
        };
        t.row("a service under load while another one restarts", 8001, &[("unit:client", SERVER, answered)], 0);

        for _ in 0..n {
            let child = t.bed.server("restarted.service", "serve 9002");
            assert_eq!(
                t.bed.probe("client.service", "tcp 127.0.0.1:9002"),
                "ok",
                "a restarted service is never blocked"
            );
            end(t.bed, child, "restarted.service");
        }
        t.row("a server restarted before each connection", 9002, &[("unit:client", "unit:restarted", n)], 0);
    });
}

/// A server that is killed under load refuses and cuts connections by itself: as many without our table as with it, and our table none.
#[test]
fn root_truth_about_a_loaded_service_that_restarts() {
    with_bed(|bed| {
        let n = each();
        let without = restart_under_load(bed, n);
        let controller = Controller::start();
        enroll(bed, &controller);
        bed.start();
        let with = restart_under_load(bed, n);
        println!(
            "{n} restarts under load, without our table: {without:?}\n{n} restarts under load, with our table:    {with:?}"
        );
        assert_eq!((without.silent, with.silent), (0, 0), "no packet is lost");
        let status = bed.defender(&["status", "-o", "json"]).stdout;
        let status: serde_json::Value = serde_json::from_slice(&status).expect("status");
        let counter = |name: &str| status["counters"][name].as_u64().unwrap_or(0);
        let ours: Vec<u64> = ["refused", "queue_dropped", "unanswered", "fail_open"].map(counter).into();
        assert_eq!(ours, [0, 0, 0, 0], "our table refuses, drops and lets pass unnamed nothing: {status}");

        let mut table = super::Table { bed, controller, rows: Vec::new() };
        let observed = table.observed(9003, with.total());
        let pair = |server: &str| ("unit:client".to_owned(), server.to_owned());
        let of = |server: &str| observed.get(&pair(server)).copied().unwrap_or(0);
        // Who is refused was so by the kernel, as nobody listened, or by a server that was killed meanwhile: both are the truth.
        let nobody = of("kernel").min(with.refused);
        let restarted = of("unit:restarted").min(with.total() - nobody);
        // Who had an answer had it from this server.
        assert!(restarted + of("unknown") >= with.answered, "{with:?}, but {observed:?}");
        let predicted = [(pair("unit:restarted"), restarted + of("unknown")), (pair("kernel"), nobody)].into();
        let unknown_max = with.refused + with.cut;
        table.keep(Row { name: "a server under load that restarts", predicted, observed, unknown_max });
        table.finish();
    });
}
