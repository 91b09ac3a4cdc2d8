//! Labels, dispatch, conntrack and packet logs on the real kernel.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream, UdpSocket};

use cnnf_netlink::conntrack::{Conntrack, Entry, Events, Flow, Groups, Kind, Received, Tuple, status};
use cnnf_netlink::nflog::{Log, LogSpec, Received as Copies};
use cnnf_netlink::nft::*;
use cnnf_netlink::packet::Head;

use crate::bed::{Cgroup, at, eventually, in_netns, run};

const T: &str = "cnnf_test";
const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|w| w.to_ne_bytes()).collect()
}

/// A table that stamps word 0 of a new flow with the slot of its socket's cgroup, and sends
/// slot 18 to a chain that refuses.
fn stamping(cgroups: &[(u64, u32)]) -> Batch {
    let w = Reg::word;
    let mut b = Batch::new(T);
    b.add_table(TableFlags::default());
    b.add_chain("out", Some(BaseHook { hook: Hook::Output, priority: -5 }));
    b.add_chain("refuse", None);
    b.add_set(&SetSpec::map("svc", [DataType::WORD, DataType::WORD], DataType::WORD));
    let map: Vec<Element> =
        cgroups.iter().map(|(id, slot)| Element::map(id.to_ne_bytes(), slot.to_ne_bytes())).collect();
    b.add_elements("svc", &map);
    b.add_set(&SetSpec::vmap("eg", DataType::WORD));
    b.add_elements("eg", &[Element::vmap(words(&[18]), Verdict::Goto("refuse".into()))]);
    b.add_rule(
        "out",
        &[
            Expr::ct(CtKey::State, w(0)),
            Expr::and(w(0), words(&[ct_state::NEW])),
            Expr::neq(w(0), words(&[0])),
            Expr::Immediate { dreg: w(4), data: vec![0; 16] },
            Expr::Socket { key: SocketKey::Cgroup { level: 1 }, dreg: w(0) },
            Expr::map("svc", w(0), w(4)),
            Expr::CtSet { key: CtKey::Labels, sreg: w(4) },
        ],
        Some("stamp"),
    );
    b.add_rule("out", &[Expr::ct(CtKey::Labels, w(0)), Expr::vmap("eg", w(0))], Some("dispatch"));
    // Our own reset rides on the flow that it answers and passes the same chain.
    b.add_rule(
        "refuse",
        &[
            Expr::meta(MetaKey::L4Proto, w(0)),
            Expr::eq(w(0), [6]),
            Expr::Payload { base: PayloadBase::Transport, offset: 13, len: 1, dreg: w(0) },
            Expr::and(w(0), [Head::RST]),
            Expr::eq(w(0), [Head::RST]),
            Expr::Verdict(Verdict::Accept),
        ],
        Some("answers"),
    );
    b.add_rule(
        "refuse",
        &[
            Expr::meta(MetaKey::L4Proto, w(0)),
            Expr::eq(w(0), [6]),
            Expr::Counter,
            Expr::Log { group: 7, prefix: "refused 18".into(), snaplen: 0, qthreshold: 0 },
            Expr::Reject(Reject::TcpReset),
        ],
        Some("reset"),
    );
    b.add_rule("refuse", &[Expr::Counter, Expr::Verdict(Verdict::Drop)], Some("drop"));
    b
}

fn drain(events: &mut Events, flows: &mut Vec<Flow>) {
    while events.recv(|f| flows.push(f)).unwrap() != Received::Nothing {}
}

#[test]
fn root_a_socket_s_cgroup_stamps_its_flows() {
    in_netns(|| {
        let cgroup = Cgroup::new("cnnf-stamp");
        let mut nft = Nft::open().unwrap();
        nft.commit(&stamping(&[(cgroup.id(), 17)]), None).unwrap();
        let mut events = Events::open(Groups::ALL).unwrap();
        let listener = TcpListener::bind(at("127.0.0.1:8080")).unwrap();
        let out =
            cgroup.script("echo x > /dev/udp/127.0.0.1/9; echo y > /dev/udp/::1/9; exec 3<>/dev/tcp/127.0.0.1/8080");
        assert!(out.status.success(), "{out:?}");
        let unstamped = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let mut flows = Vec::new();
        drain(&mut events, &mut flows);
        let new = |proto, v4: bool| {
            flows
                .iter()
                .filter(move |f| f.kind == Kind::New && f.orig.proto == proto && f.orig.src.is_ipv4() == v4)
                .collect::<Vec<_>>()
        };
        for udp in [new(17, true), new(17, false)] {
            assert_eq!((udp.len(), udp[0].labels, udp[0].orig.dst_port), (1, [17, 0, 0, 0], 9));
        }
        let tcp = new(6, true);
        assert_eq!((tcp.len(), tcp[0].labels, tcp[1].labels), (2, [17, 0, 0, 0], [0; 4]));
        assert_eq!(tcp[0].reply.src_port, 8080);

        // The table has it too, and labels can be set and cleared by mask.
        let mut table = Conntrack::open().unwrap();
        let tuple = Tuple {
            src: LOCALHOST,
            dst: LOCALHOST,
            proto: 6,
            src_port: unstamped.local_addr().unwrap().port(),
            dst_port: 8080,
        };
        assert!(table.set_labels(&tuple, 0, [5, 0, 0, 0xff], [u32::MAX; 4]).unwrap());
        assert!(table.set_labels(&tuple, 0, [0; 4], [0, 0, 0, 0xf0]).unwrap());
        let flow = table.get(&tuple, 0).unwrap().unwrap();
        assert_eq!((flow.labels, flow.tcp_state), ([5, 0, 0, 0xf], Some(3)));
        let mut dumped = 0;
        table.dump(|f| dumped += u32::from(f.orig == tuple && f.labels == flow.labels)).unwrap();
        assert_eq!(dumped, 1);
        assert!(run("conntrack", &["-L", "-p", "tcp"]).contains("sport="));
        let other = flow.id.map(|id| id ^ 1);
        assert!(!table.delete(&tuple, 0, other).unwrap());
        assert!(table.delete(&tuple, 0, flow.id).unwrap());
        assert!(!table.delete(&tuple, 0, None).unwrap());
        assert_eq!(table.get(&tuple, 0).unwrap(), None);
        assert!(!table.set_labels(&tuple, 0, [1; 4], [1; 4]).unwrap());
        flows.clear();
        drain(&mut events, &mut flows);
        println!("{flows:?}");
        let destroyed = flows.iter().find(|f| f.kind == Kind::Destroy && f.orig == tuple).unwrap();
        // The event of an end names the entry, but not its label.
        assert_eq!((destroyed.id, destroyed.has_labels), (flow.id, false));
    });
}

#[test]
fn root_a_label_dispatches_to_its_chain_and_the_refusal_is_logged() {
    in_netns(|| {
        let cgroup = Cgroup::new("cnnf-refuse");
        let mut nft = Nft::open().unwrap();
        nft.commit(&stamping(&[(cgroup.id(), 18)]), None).unwrap();
        let mut log = Log::bind(&LogSpec { group: 7, ..LogSpec::default() }).unwrap();
        let _listener = TcpListener::bind(at("127.0.0.1:8080")).unwrap();
        assert!(!cgroup.script("exec 3<>/dev/tcp/127.0.0.1/8080").status.success());
        assert!(TcpStream::connect(at("127.0.0.1:8080")).is_ok());
        cgroup.script("echo x > /dev/udp/127.0.0.1/9");
        let dump = nft.dump(T).unwrap().unwrap();
        let counters: Vec<_> = dump
            .chain("refuse")
            .unwrap()
            .rules
            .iter()
            .filter_map(|r| Some((r.comment.as_deref(), r.counter()?.packets)))
            .collect();
        assert_eq!(counters, [(Some("reset"), 1), (Some("drop"), 1)]);
        let mut copies = Vec::new();
        eventually(|| {
            let got = log
                .recv(|c| {
                    copies.push((c.prefix, c.family, c.hw_proto, c.hook, c.uid, c.out_ifindex, Head::parse(c.payload)))
                })
                .unwrap();
            (got == Copies::Copies(1)).then_some(())
        });
        let (prefix, family, hw_proto, hook, uid, out, head) = copies.remove(0);
        assert_eq!((prefix.as_str(), family, hook, uid, out), ("refused 18", 2, 3, Some(0), 1));
        assert!(matches!(hw_proto, 0 | 0x800));
        let head = head.unwrap();
        assert_eq!((head.proto, head.ports.unwrap().1, head.tcp_flags), (6, 8080, Some(Head::SYN)));
        assert_eq!(log.recv(|_| {}).unwrap(), Copies::Nothing);
        assert!(matches!(
            Log::bind(&LogSpec { group: 7, ..LogSpec::default() }).unwrap_err().errno(),
            Some(libc::EBUSY | libc::EPERM)
        ));
    });
}

#[test]
fn root_an_entry_older_than_labels_has_no_room_for_them() {
    in_netns(|| {
        run(
            "nft",
            &[
                "add table inet old; add chain inet old o { type filter hook output priority 0; }; add rule inet old o ct state new counter",
            ],
        );
        let from = UdpSocket::bind(at("127.0.0.1:0")).unwrap();
        let to = UdpSocket::bind(at("127.0.0.1:0")).unwrap();
        from.send_to(b"x", to.local_addr().unwrap()).unwrap();
        let ports = (from.local_addr().unwrap().port(), to.local_addr().unwrap().port());
        let tuple = Tuple { src: LOCALHOST, dst: LOCALHOST, proto: 17, src_port: ports.0, dst_port: ports.1 };
        let mut table = Conntrack::open().unwrap();
        assert!(table.get(&tuple, 0).unwrap().is_some());
        let refused = table.set_labels(&tuple, 0, [1; 4], [u32::MAX; 4]).unwrap_err();
        assert_eq!(refused.errno(), Some(libc::ENOSPC));
        // made again once some rule uses labels it has room, in the direction that one likes
        let turned = Tuple { src_port: ports.1, dst_port: ports.0, ..tuple };
        let entry = Entry {
            orig: turned,
            zone: 0,
            replied: true,
            assured: true,
            timeout: 60,
            mark: 7,
            tcp_state: None,
            labels: [1, 2, 3, 4],
            others_labels: [0, 0, 1 << 9, 0],
        };
        Nft::open().unwrap().commit(&stamping(&[]), None).unwrap();
        assert!(!table.create(&entry).unwrap(), "the old one is in the way");
        assert!(table.delete(&tuple, 0, None).unwrap());
        assert!(table.create(&entry).unwrap());
        let flow = table.get(&turned, 0).unwrap().unwrap();
        assert_eq!((flow.orig, flow.reply, flow.labels, flow.mark), (turned, tuple, [1, 2, 3, 4], Some(7)));
        assert_eq!(flow.others_labels, [0, 0, 1 << 9, 0]);
        assert_eq!(flow.status, Some(status::CONFIRMED | status::SEEN_REPLY | status::ASSURED));
    });
}

#[test]
fn root_a_live_tcp_connection_goes_on_under_an_entry_that_was_made_again() {
    in_netns(|| {
        let listener = TcpListener::bind(at("127.0.0.1:8080")).unwrap();
        let mut client = TcpStream::connect(at("127.0.0.1:8080")).unwrap();
        let mut server = listener.accept().unwrap().0;
        let port = client.local_addr().unwrap().port();
        // conntrack has seen nothing of it so far, and takes it up with the server's packet
        Nft::open().unwrap().commit(&stamping(&[]), None).unwrap();
        let mut beat = || {
            server.write_all(b"x").unwrap();
            client.read_exact(&mut [0]).unwrap();
            client.write_all(b"y").unwrap();
            server.read_exact(&mut [0]).unwrap();
        };
        beat();
        let orig = Tuple { src: LOCALHOST, dst: LOCALHOST, proto: 6, src_port: port, dst_port: 8080 };
        let pushed = Tuple { src_port: 8080, dst_port: port, ..orig };
        let mut table = Conntrack::open().unwrap();
        let taken_up = table.get(&pushed, 0).unwrap().unwrap();
        assert_eq!((taken_up.orig, taken_up.tcp_liberal, taken_up.tcp_state), (pushed, true, Some(3)));
        assert!(table.delete(&pushed, 0, taken_up.id).unwrap());
        let (tcp_state, labels) = (taken_up.tcp_state, [17, 0, 0, 0]);
        assert!(
            table
                .create(&Entry {
                    orig,
                    zone: 0,
                    replied: true,
                    assured: true,
                    timeout: 60,
                    mark: 0,
                    tcp_state,
                    labels,
                    others_labels: [0; 4]
                })
                .unwrap()
        );
        (0..100).for_each(|_| beat());
        let flow = table.get(&orig, 0).unwrap().unwrap();
        assert_eq!((flow.orig, flow.labels, flow.tcp_state), (orig, labels, Some(3)));
        assert!(flow.timeout > Some(60), "packets are found to be its: {flow:?}");
    });
}

#[test]
fn root_a_full_event_buffer_is_an_overrun() {
    in_netns(|| {
        let mut nft = Nft::open().unwrap();
        nft.commit(&stamping(&[]), None).unwrap();
        let mut small = Events::with_room(Groups::ALL, 8 << 10).unwrap();
        let mut large = Events::open(Groups::ALL).unwrap();
        let to = UdpSocket::bind(at("127.0.0.1:0")).unwrap();
        let senders: Vec<UdpSocket> = (0..500)
            .map(|_| {
                let s = UdpSocket::bind(at("127.0.0.1:0")).unwrap();
                s.send_to(b"x", to.local_addr().unwrap()).unwrap();
                s
            })
            .collect();
        let (mut overruns, mut seen) = (0, 0);
        loop {
            match small.recv(|_| seen += 1).unwrap() {
                Received::Nothing => break,
                Received::Overrun => overruns += 1,
                Received::Flows(_) => {}
            }
        }
        assert!(overruns > 0 && seen < senders.len(), "{overruns} overruns, {seen} flows");
        let mut flows = Vec::new();
        drain(&mut large, &mut flows);
        assert_eq!(flows.iter().filter(|f| f.kind == Kind::New).count(), senders.len());
        // After an overrun it goes on.
        UdpSocket::bind(at("127.0.0.1:0")).unwrap().send_to(b"x", to.local_addr().unwrap()).unwrap();
        assert_eq!(small.recv(|_| {}).unwrap(), Received::Flows(1));
    });
}
