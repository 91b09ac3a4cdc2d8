//! Many refused packets of one edge are few events that count all of them, and another edge's events still come.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use cnnf_core::policy::{Effect, Mode};
use cnnf_rpc::v1;

use crate::bed::controller::{Controller, Heard};
use crate::bed::with_bed;
use crate::{apply, enroll, policy};

/// Packets of the busy edge.
const MANY: u64 = 10_000;
/// Of these, datagrams come together, then nothing for a moment: a second of them or two, so that more than one measure is used up.
const TOGETHER: u64 = 500;

/// The child's side.
pub(crate) fn act(words: &[&str]) -> Option<std::io::Result<String>> {
    let ["flood", to, number] = words else { return None };
    let number: u64 = number.parse().expect("a number");
    let send = || {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        for n in 1..=number {
            // refused at once, or after it has waited for evidence
            let _ = socket.send_to(b"x", to);
            if n % TOGETHER == 0 {
                std::thread::sleep(Duration::from_millis(50));
            }
        }
        Ok("sent".to_owned())
    };
    Some(send())
}

/// Counts of the events about this port.
fn told(heard: &Heard, port: u32) -> Vec<u64> {
    let is_of_port = |event: &v1::ConnectionEvent| event.server.as_ref().is_some_and(|server| server.port == port);
    heard.events.iter().filter(|(_, event)| is_of_port(event)).map(|(_, event)| event.count).collect()
}

#[test]
fn root_ten_thousand_refused_packets_are_few_events_that_count_all() {
    with_bed(|bed| {
        let controller = Controller::start();
        enroll(bed, &controller);
        bed.start();
        let rules = [(1, "unit:busy", "udp/8100", Effect::Prevent), (2, "unit:quiet", "udp/8101", Effect::Prevent)];
        apply(&controller, &policy(2, Mode::Enforce, &rules));
        let servers = [8100, 8101].map(|port| UdpSocket::bind(("127.0.0.1", port)).expect("bind"));
        // until the control groups are known
        for (unit, port) in [("busy.service", 8100), ("quiet.service", 8101)] {
            while told(&controller.heard(), port).is_empty() {
                assert_eq!(bed.probe(unit, &format!("flood 127.0.0.1:{port} 1")), "sent");
            }
        }
        std::thread::sleep(Duration::from_millis(1_500));
        let before = controller.heard();
        for server in &servers {
            server.set_nonblocking(true).expect("nonblocking");
            while server.recv(&mut [0]).is_ok() {}
        }
        let sum = |heard: &Heard, port| told(heard, port).iter().sum::<u64>() - told(&before, port).iter().sum::<u64>();

        let mut flood = bed.child("busy.service", &format!("flood 127.0.0.1:8100 {MANY}"));
        let flood = flood.spawn().expect("a sender");
        controller.wait("the busy edge's first event", |heard| (sum(heard, 8100) > 0).then_some(()));
        let asked = Instant::now();
        assert_eq!(bed.probe("quiet.service", "flood 127.0.0.1:8101 1"), "sent");
        controller.wait("the quiet edge's event", |heard| (sum(heard, 8101) == 1).then_some(()));
        println!("the quiet edge's event came after {:?}", asked.elapsed());
        flood.wait_with_output().expect("it ends");
        controller.wait("all of them", |heard| (sum(heard, 8100) >= MANY).then_some(()));
        std::thread::sleep(Duration::from_millis(1_500));
        let heard = controller.heard();
        let events = told(&heard, 8100).len() - told(&before, 8100).len();
        println!("{MANY} refused packets in {events} events");
        assert_eq!(sum(&heard, 8100), MANY, "each once");
        assert!(servers.iter().all(|server| server.recv(&mut [0]).is_err()), "all were refused");
        assert!(events <= 40, "{events} events: four a second, of a few seconds");
    });
}
