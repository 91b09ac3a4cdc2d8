//! Packet queues on the real kernel.

use std::net::{TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use cnnf_netlink::conntrack::{Events, Groups, Received};
use cnnf_netlink::nfqueue::{Decision, Queue, QueueSpec, STATS_PATH, Verdict as Fate, parse_stats, probe_glue_ct};
use cnnf_netlink::nft::*;
use cnnf_netlink::packet::Head;
use cnnf_netlink::wait_readable;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

use crate::bed::{at, eventually, in_netns};

const T: &str = "cnnf_test";
const SECOND: Duration = Duration::from_secs(1);

/// Queues new flows whose label is empty; a tuple in `pend4` gives it one.
fn queueing(features: Features, num: u16) -> Batch {
    queueing_to(features, QueueTarget { num, total: 1, bypass: false, fanout: false })
}

/// The same to this queue, or these.
fn queueing_to(features: Features, target: QueueTarget) -> Batch {
    let w = Reg::word;
    let queue = if features.native_queue { Expr::Queue(target) } else { Expr::XtQueue(target) };
    let mut b = Batch::new(T);
    b.add_table(TableFlags::default());
    b.add_chain("out", Some(BaseHook { hook: Hook::Output, priority: -5 }));
    b.add_chain("fresh", None);
    let key = [DataType::IPV4, DataType::IPV4, DataType::PROTOCOL, DataType::PORT, DataType::PORT];
    b.add_set(&SetSpec::map("pend4", key, DataType::LABEL).with_timeouts());
    let new = ct_state::NEW.to_ne_bytes();
    b.add_rule(
        "out",
        &[Expr::ct(CtKey::State, w(0)), Expr::and(w(0), new), Expr::neq(w(0), [0; 4]), Expr::jump("fresh")],
        None,
    );
    b.add_rule(
        "fresh",
        &[Expr::ct(CtKey::Labels, w(0)), Expr::neq(w(0), [0; 4]), Expr::Verdict(Verdict::Return)],
        None,
    );
    b.add_rule(
        "fresh",
        &[
            Expr::ct_dir(CtKey::SrcIp4, CtDir::Original, w(0)),
            Expr::ct_dir(CtKey::DstIp4, CtDir::Original, w(1)),
            Expr::ct_dir(CtKey::Protocol, CtDir::Original, w(2)),
            Expr::ct_dir(CtKey::ProtoSrc, CtDir::Original, w(3)),
            Expr::ct_dir(CtKey::ProtoDst, CtDir::Original, w(4)),
            Expr::map("pend4", w(0), w(12)),
            Expr::CtSet { key: CtKey::Labels, sreg: w(12) },
            Expr::Verdict(Verdict::Return),
        ],
        None,
    );
    b.add_rule("fresh", &[Expr::Counter, queue], None);
    b
}

/// The key of `pend4` for a packet.
fn pend_key(head: &Head) -> Vec<u8> {
    let ip = |a: std::net::IpAddr| match a {
        std::net::IpAddr::V4(a) => a.octets(),
        std::net::IpAddr::V6(_) => panic!("an IPv4 packet"),
    };
    let (src, dst) = head.ports.expect("ports");
    let [s0, s1] = src.to_be_bytes();
    let [d0, d1] = dst.to_be_bytes();
    [&ip(head.src)[..], &ip(head.dst), &[head.proto, 0, 0, 0, s0, s1, 0, 0, d0, d1, 0, 0]].concat()
}

#[test]
fn root_a_repeated_packet_carries_the_label_it_was_given() {
    in_netns(|| {
        let mut nft = Nft::open().unwrap();
        let features = nft.probe().unwrap();
        nft.commit(&queueing(features, 5), None).unwrap();
        let mut events = Events::open(Groups { new: true, update: false, destroy: false }).unwrap();
        let mut queue = Queue::bind(&QueueSpec { num: 5, ..QueueSpec::default() }).unwrap();
        let listener = TcpListener::bind(at("127.0.0.1:8080")).unwrap();
        let client = std::thread::spawn(|| TcpStream::connect(at("127.0.0.1:8080")).unwrap().local_addr().unwrap());
        assert!(wait_readable(&queue, SECOND).unwrap());
        let mut packets = Vec::new();
        queue
            .recv(16, |p| packets.push((p.id, p.hook, p.uid, p.out_ifindex, p.len, Head::parse(p.payload).unwrap())))
            .unwrap();
        let (id, hook, uid, out, len, head) = packets[0];
        assert_eq!((packets.len(), hook, uid, out, len, head.tcp_flags), (1, 3, Some(0), 1, 60, Some(Head::SYN)));
        let label: Vec<u8> = [17_u32, 0, 2, 0].iter().flat_map(|w| w.to_ne_bytes()).collect();
        let start = Instant::now();
        let mut b = Batch::new(T);
        b.add_elements("pend4", &[Element::map(pend_key(&head), label).with_timeout(5 * SECOND)]);
        nft.commit(&b, None).unwrap();
        queue.decide(&[Decision::new(id, Fate::Repeat)]).unwrap();
        println!("pend element and verdict: {:?}", start.elapsed());
        let local = client.join().unwrap();
        drop(listener);
        assert_eq!(head.ports.unwrap().0, local.port());
        let mut labels = Vec::new();
        while events.recv(|f| labels.push(f.labels)).unwrap() != Received::Nothing {}
        assert_eq!(labels, [[17, 0, 2, 0]]);
    });
}

#[test]
fn root_verdicts_in_one_datagram() {
    in_netns(|| {
        let mut nft = Nft::open().unwrap();
        let features = nft.probe().unwrap();
        nft.commit(&queueing(features, 6), None).unwrap();
        let mut queue = Queue::bind(&QueueSpec { num: 6, ..QueueSpec::default() }).unwrap();
        assert!(matches!(
            Queue::bind(&QueueSpec { num: 6, ..QueueSpec::default() }).unwrap_err().errno(),
            Some(libc::EBUSY | libc::EPERM)
        ));
        let to = UdpSocket::bind(at("127.0.0.1:0")).unwrap();
        to.set_nonblocking(true).unwrap();
        let senders: Vec<UdpSocket> = (0..20_u8)
            .map(|n| {
                let s = UdpSocket::bind(at("127.0.0.1:0")).unwrap();
                s.send_to(&[n], to.local_addr().unwrap()).unwrap();
                s
            })
            .collect();
        let stats = parse_stats(&std::fs::read_to_string(STATS_PATH).unwrap());
        assert_eq!((stats.len(), stats[0].num, stats[0].waiting, stats[0].dropped), (1, 6, 20, 0));
        // The last byte of the packet is the datagram: odd ones are dropped.
        let mut decisions = Vec::new();
        let received = queue.recv(64, |p| {
            let odd = p.payload.last().unwrap() % 2 == 1;
            decisions.push(Decision::new(p.id, if odd { Fate::Drop } else { Fate::Accept }));
        });
        assert_eq!(received.unwrap().packets, senders.len());
        decisions.push(Decision::new(4711, Fate::Accept));
        queue.decide(&decisions).unwrap();
        let mut arrived = Vec::new();
        eventually(|| {
            let mut buf = [0];
            while to.recv(&mut buf).is_ok() {
                arrived.push(buf[0]);
            }
            (arrived.len() == 10).then_some(())
        });
        assert!(arrived.iter().all(|n| n % 2 == 0));
        assert_eq!(queue.recv(64, |_| {}).unwrap().refused, 1);
    });
}

#[test]
fn root_one_verdict_for_all_that_came_until_then() {
    in_netns(|| {
        let mut nft = Nft::open().unwrap();
        let features = nft.probe().unwrap();
        nft.commit(&queueing(features, 9), None).unwrap();
        let mut queue = Queue::bind(&QueueSpec { num: 9, ..QueueSpec::default() }).unwrap();
        let to = UdpSocket::bind(at("127.0.0.1:0")).unwrap();
        to.set_nonblocking(true).unwrap();
        for n in 0..10_u8 {
            UdpSocket::bind(at("127.0.0.1:0")).unwrap().send_to(&[n], to.local_addr().unwrap()).unwrap();
        }
        let mut ids = Vec::new();
        queue.recv(64, |p| ids.push(p.id)).unwrap();
        let arrived = || {
            let mut buf = [0];
            std::iter::from_fn(|| to.recv(&mut buf).ok().map(|_| buf[0])).collect::<Vec<_>>()
        };
        queue.decide_up_to(ids[5], Fate::Accept).unwrap();
        assert_eq!(arrived(), [0, 1, 2, 3, 4, 5], "later ones wait");
        queue.decide_up_to(ids[7], Fate::Drop).unwrap();
        queue.decide_up_to(ids[9], Fate::Accept).unwrap();
        assert_eq!(arrived(), [8, 9]);
        assert_eq!(queue.recv(64, |_| {}).unwrap().refused, 0);
        queue.decide_up_to(ids[9], Fate::Accept).unwrap();
        assert_eq!(queue.recv(64, |_| {}).unwrap().refused, 1, "nothing waits any more");
    });
}

#[test]
fn root_queues_share_packets_by_processor() {
    in_netns(|| {
        let mut nft = Nft::open().unwrap();
        let features = nft.probe().unwrap();
        let target = QueueTarget { num: 10, total: 2, bypass: false, fanout: true };
        nft.commit(&queueing_to(features, target), None).unwrap();
        let mut queues = [10, 11].map(|num| Queue::bind(&QueueSpec { num, ..QueueSpec::default() }).unwrap());
        let allowed = sched_getaffinity(Pid::from_raw(0)).unwrap();
        for cpu in (0..CpuSet::count()).filter(|cpu| allowed.is_set(*cpu).unwrap()) {
            let mut one = CpuSet::new();
            one.set(cpu).unwrap();
            sched_setaffinity(Pid::from_raw(0), &one).unwrap();
            UdpSocket::bind(at("127.0.0.1:0")).unwrap().send_to(b"x", at("127.0.0.1:9")).unwrap();
            let came = queues.each_mut().map(|queue| queue.recv(64, |_| {}).unwrap().packets);
            assert_eq!(came, if cpu % 2 == 0 { [1, 0] } else { [0, 1] }, "processor {cpu}");
        }
    });
}

#[test]
fn root_labels_in_a_verdict_where_the_kernel_takes_them() {
    in_netns(|| {
        let glue = probe_glue_ct().unwrap();
        println!("labels in verdicts: {glue}");
        let spec = QueueSpec { num: 7, conntrack: true, ..QueueSpec::default() };
        if !glue {
            assert_eq!(Queue::bind(&spec).unwrap_err().errno(), Some(libc::EOPNOTSUPP));
            return;
        }
        let mut nft = Nft::open().unwrap();
        let features = nft.probe().unwrap();
        nft.commit(&queueing(features, 7), None).unwrap();
        let mut events = Events::open(Groups { new: true, update: false, destroy: false }).unwrap();
        let mut queue = Queue::bind(&spec).unwrap();
        let socket = UdpSocket::bind(at("127.0.0.1:0")).unwrap();
        socket.send_to(b"x", at("127.0.0.1:9")).unwrap();
        let mut decisions = Vec::new();
        queue
            .recv(1, |p| {
                assert!(p.flow.is_some());
                decisions.push(Decision { labels: Some([17, 0, 2, 0]), ..Decision::new(p.id, Fate::Accept) });
            })
            .unwrap();
        queue.decide(&decisions).unwrap();
        let mut labels = Vec::new();
        while events.recv(|f| labels.push(f.labels)).unwrap() != Received::Nothing {}
        assert_eq!(labels, [[17, 0, 2, 0]]);
    });
}

#[test]
fn root_what_a_pend_element_costs() {
    in_netns(|| {
        let mut nft = Nft::open().unwrap();
        let features = nft.probe().unwrap();
        nft.commit(&queueing(features, 8), None).unwrap();
        let mut times: Vec<Duration> = (0..1000_u32)
            .map(|n| {
                let key = [&n.to_be_bytes()[..], &[0; 16]].concat();
                let start = Instant::now();
                let mut b = Batch::new(T);
                b.add_elements("pend4", &[Element::map(key, [0; 16]).with_timeout(5 * SECOND)]);
                nft.commit(&b, None).unwrap();
                start.elapsed()
            })
            .collect();
        times.sort();
        println!("a pend element: {:?} median, {:?} p99", times[500], times[990]);
        assert!(times[500] < Duration::from_millis(5));
    });
}
