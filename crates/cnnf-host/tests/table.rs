//! The whole way from a policy to packets: compiled, lowered, committed, and held against what processes of services can do.

mod alive;
mod bed;
mod beside;
mod flood;
mod matrix;
mod saved;
mod streams;

use std::collections::{BTreeMap, BTreeSet};

use bed::{Bed, with_bed};
use cnnf_core::failsafe::Failsafes;
use cnnf_core::id::ServiceKey;
use cnnf_core::net::Ports;
use cnnf_core::net::Protocol;
use cnnf_core::policy::{
    Effect, Group, GroupEntry, GroupId, HostPolicy, HostRule, LocalMatch, Mode, OnFailure, PeerMatch, Reason, RuleId,
    ServicePattern,
};
use cnnf_core::ruleset::{HostFacts, LocalService, QueueBackend, Slot, compile};
use cnnf_host::dataplane::{FirstPacket, Outcome, Reconciler, Released, Resolved, TableSocket};
use cnnf_host::kernel::Nft;
use cnnf_host::observe::connections;

/// Not a test: the body of the processes that the bed starts.
#[test]
fn probe() {
    bed::be_probe();
}

const NAMES: [&str; 3] = ["client", "server", "other"];

pub(crate) fn facts(bed: &Bed, epoch: u8) -> HostFacts {
    let services = (0..).zip(NAMES).map(|(n, name)| LocalService {
        key: ServiceKey::unit(name),
        slot: Slot::new(Slot::FIRST + n).expect("slot"),
        cgroups: [bed.service(name)].into(),
    });
    let addresses = ["10.98.0.1", "fd98::1"].map(|a| a.parse().expect("address"));
    HostFacts {
        services: services.collect(),
        cgroup_levels: 3,
        queue: QueueBackend::None,
        failsafes: Failsafes::with_controller(7443),
        addresses: addresses.into(),
        udp_ports: BTreeSet::new(),
        epoch,
        log_group: 6400,
        identify_queue: 6400,
        identify_queues: 2,
        evidence_queue: 6401,
        counters: true,
    }
}

pub(crate) fn group(addresses: &[&str]) -> Group {
    let entry = |a: &&str| GroupEntry { addresses: a.parse().expect("address"), own: false, port: None };
    addresses.iter().map(entry).collect()
}

pub(crate) fn rule(id: u64, local: &str, peer: u32, ports: &[&str], effect: Effect) -> HostRule {
    HostRule {
        reason: Reason::Rule { id: RuleId(id), name: format!("r{id}"), revision: 1 },
        local: LocalMatch::Service(ServicePattern(local.into())),
        peer: if peer == 0 { PeerMatch::Any } else { PeerMatch::Group(GroupId(peer)) },
        ports: Ports::parse(ports).expect("ports"),
        effect,
        on_failure: OnFailure::Open,
    }
}

fn policy() -> HostPolicy {
    HostPolicy {
        generation: 1,
        mode: Mode::Enforce,
        service_modes: BTreeMap::new(),
        egress: vec![
            rule(1, "unit:client", 1, &["tcp/8080", "udp/54"], Effect::Prevent),
            rule(2, "unit:client", 2, &["tcp/84"], Effect::Prevent),
            rule(3, "unit:client", 0, &["udp/67"], Effect::Prevent),
        ],
        ingress: vec![
            rule(4, "unit:server", 1, &["tcp/83", "tcp/22", "udp/56"], Effect::Prevent),
            rule(5, "unit:server", 2, &["tcp/85"], Effect::Prevent),
        ],
        groups: [(GroupId(1), group(&["10.98.0.2", "fd98::2"])), (GroupId(2), group(&["127.0.0.0/8", "::1"]))].into(),
        definitions: Vec::new(),
    }
}

pub(crate) fn apply(reconciler: &mut Reconciler, policy: &HostPolicy, facts: &HostFacts) -> Outcome {
    reconciler.set_desired(compile(policy, facts));
    reconciler.reconcile().expect("the kernel takes the table")
}

/// Whether tables can have an owner here.
fn owns() -> bool {
    Nft::open().expect("open").probe().expect("probe").owner_persist
}

fn serve(bed: &mut Bed) {
    for what in ["tcp 80", "tcp 8080", "udp 53", "udp 54", "udp 67"] {
        bed.serve_there(what);
    }
    for what in ["tcp 22", "tcp 82", "tcp 83", "tcp 84", "tcp 85", "udp 55", "udp 56"] {
        bed.serve("server", what);
    }
}

#[test]
fn root_what_a_policy_says_is_what_processes_can_do() {
    with_bed("table", |bed| {
        serve(bed);
        let mut reconciler = Reconciler::open(QueueBackend::None).expect("open");
        apply(&mut reconciler, &policy(), &facts(bed, 0));
        let here = [
            ("client", "tcp 10.98.0.2:80", "ok"),
            ("client", "tcp 10.98.0.2:8080", "refused"),
            ("client", "tcp [fd98::2]:80", "ok"),
            ("client", "tcp [fd98::2]:8080", "refused"),
            ("client", "udp 10.98.0.2:53", "ok"),
            ("client", "udp 10.98.0.2:54", "not permitted"),
            ("client", "udp 10.98.0.2:67", "ok"),
            ("other", "tcp 10.98.0.2:8080", "ok"),
            ("other", "udp 10.98.0.2:54", "ok"),
            ("client", "tcp 127.0.0.1:82", "ok"),
            ("client", "tcp [::1]:82", "ok"),
            ("client", "tcp 127.0.0.1:84", "refused"),
            ("client", "tcp [::1]:84", "refused"),
            ("other", "tcp 127.0.0.1:84", "ok"),
            ("other", "tcp 127.0.0.1:85", "refused"),
            ("other", "tcp [::1]:85", "refused"),
        ];
        let there = [
            ("tcp 10.98.0.1:82", "ok"),
            ("tcp [fd98::1]:82", "ok"),
            ("tcp 10.98.0.1:83", "timeout"),
            ("tcp [fd98::1]:83", "timeout"),
            ("tcp 10.98.0.1:22", "ok"),
            ("udp 10.98.0.1:55", "ok"),
            ("udp 10.98.0.1:56", "timeout"),
        ];
        let mut wrong = Vec::new();
        for (service, what, want) in here {
            let got = bed.probe(service, what);
            if got != want {
                wrong.push(format!("{service} {what}: {got}, expected {want}"));
            }
        }
        for (what, want) in there {
            let got = bed.probe_there(what);
            if got != want {
                wrong.push(format!("from there {what}: {got}, expected {want}"));
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    });
}

#[test]
fn root_the_kernel_stamps_both_ends() {
    with_bed("stamps", |bed| {
        serve(bed);
        let mut reconciler = Reconciler::open(QueueBackend::None).expect("open");
        apply(&mut reconciler, &HostPolicy::default(), &facts(bed, 0));
        for what in ["tcp 10.98.0.2:80", "udp 10.98.0.2:53", "tcp [fd98::2]:80", "tcp 127.0.0.1:82", "tcp [::1]:83"] {
            assert_eq!(bed.probe("client", what), "ok", "{what}");
        }
        assert_eq!(bed.probe_there("tcp 10.98.0.1:84"), "ok");
        let (client, server) = (Slot::new(16), Slot::new(17));
        let flows = connections::dump().expect("dump");
        for (address, port, want) in [
            ("10.98.0.2", 80, (client, None)),
            ("10.98.0.2", 53, (client, None)),
            ("fd98::2", 80, (client, None)),
            ("127.0.0.1", 82, (client, server)),
            ("::1", 83, (client, server)),
            ("10.98.0.1", 84, (None, server)),
        ] {
            let flow = flows.iter().find(|f| f.server.to_string() == address && f.server_port == port);
            let label = flow.unwrap_or_else(|| panic!("no flow to {address}:{port} in {flows:#?}")).label;
            assert_eq!((label.client(), label.server()), want, "{address}:{port}");
        }
    });
}

#[test]
fn root_a_tightened_policy_cuts_live_connections_and_a_new_service_does_not() {
    use std::io::{Read, Write};
    with_bed("cut", |bed| {
        serve(bed);
        let mut reconciler = Reconciler::open(QueueBackend::None).expect("open");
        apply(&mut reconciler, &HostPolicy::default(), &facts(bed, 0));
        // the server is a service; the client is on the other host
        let mut stream = bed.there(|| std::net::TcpStream::connect("10.98.0.1:83").expect("connect"));
        stream.set_read_timeout(Some(std::time::Duration::from_millis(500))).expect("timeout");
        let mut echo = || stream.write_all(b"x").and_then(|()| stream.read_exact(&mut [0]));
        echo().expect("allowed");
        let mut more = facts(bed, 0);
        more.services.push(LocalService {
            key: ServiceKey::unit("late"),
            slot: Slot::new(40).expect("slot"),
            cgroups: [bed.service("late")].into(),
        });
        apply(&mut reconciler, &HostPolicy::default(), &more);
        echo().expect("a new service is nothing to it");
        apply(&mut reconciler, &policy(), &facts(bed, 1));
        assert!(echo().is_err(), "the new epoch judges it again");
    });
}

/// Each rule's own counter counts each connection once, whatever its effect, and goes on when rules, the reconciler and the epoch change.
#[test]
fn root_rules_count_their_connections_and_go_on_when_the_table_is_made_anew() {
    with_bed("counted", |bed| {
        serve(bed);
        let allow =
            HostRule { effect: Effect::Allow, ..rule(6, "unit:client", 1, &["udp/53", "tcp/80"], Effect::Allow) };
        let alert = rule(7, "unit:other", 0, &["tcp/80"], Effect::Alert);
        let mut policy = policy();
        policy.egress.extend([allow, alert]);
        let counted = |reconciler: &mut Reconciler| {
            let tallies = reconciler.tallies().expect("read");
            tallies.into_iter().filter(|t| t.packets > 0).map(|t| (t.name, t.packets)).collect::<BTreeMap<_, _>>()
        };
        let mut reconciler = Reconciler::open(QueueBackend::None).expect("open");
        apply(&mut reconciler, &policy, &facts(bed, 0));
        let probe = |bed: &mut Bed| {
            for (service, what, want) in [
                ("client", "tcp 10.98.0.2:80", "ok"),
                ("client", "tcp [fd98::2]:80", "ok"),
                ("client", "udp 10.98.0.2:54", "not permitted"),
                ("other", "tcp 10.98.0.2:80", "ok"),
                ("other", "udp 10.98.0.2:53", "ok"),
            ] {
                assert_eq!(bed.probe(service, what), want, "{service} {what}");
            }
            assert_eq!(bed.probe_there("udp 10.98.0.1:56"), "timeout");
        };
        let expected = |times: u64| {
            [("r1", times), ("r4", times), ("r6", 2 * times), ("r7", times)].map(|(n, c)| (n.to_owned(), c)).into()
        };
        probe(bed);
        assert_eq!(counted(&mut reconciler), expected(1));
        policy.egress.push(rule(8, "unit:client", 2, &["udp/9"], Effect::Prevent));
        apply(&mut reconciler, &policy, &facts(bed, 1));
        assert!(!reconciler.ends_counters());
        probe(bed);
        assert_eq!(counted(&mut reconciler), expected(2), "over a change of the rules");
        let handles = |reconciler: &mut Reconciler| {
            reconciler.tallies().expect("read").into_iter().map(|t| (t.name, t.handle)).collect::<BTreeMap<_, _>>()
        };
        let before = handles(&mut reconciler);
        let mut reconciler = Reconciler::open(QueueBackend::None).expect("open");
        let anew = apply(&mut reconciler, &policy, &facts(bed, 2));
        assert!(matches!(anew, Outcome::Applied { anew: true, .. }));
        probe(bed);
        assert_eq!(counted(&mut reconciler), expected(3), "over a restart");
        assert_eq!(reconciler.check().expect("read"), cnnf_host::dataplane::Found::Intact, "counting is no change");
        assert_eq!(handles(&mut reconciler), before);

        policy.egress.retain(|rule| !matches!(&rule.reason, Reason::Rule { id, .. } if id.0 == 6));
        reconciler.set_desired(compile(&policy, &facts(bed, 3)));
        assert!(reconciler.ends_counters(), "what it counted is to be read now");
        reconciler.reconcile().expect("applied");
        assert!(!counted(&mut reconciler).contains_key("r6"));
        reconciler.release().expect("released");
        apply(&mut reconciler, &policy, &facts(bed, 4));
        let fresh = handles(&mut reconciler);
        assert!(fresh.iter().all(|(name, handle)| before[name] != *handle), "a new table's counters are other ones");
    });
}

/// What user space does with a packet that waits, without the queue: a program of no service is who the element says.
#[test]
fn root_a_released_packet_is_stamped_and_judged() {
    with_bed("released", |bed| {
        serve(bed);
        let table = TableSocket::open(owns()).expect("open");
        let mut reconciler = Reconciler::over(table.clone(), QueueBackend::None).expect("open");
        apply(&mut reconciler, &policy(), &facts(bed, 0));
        bed.service("nobody");
        let released = Released::over(table);
        for (n, (own, to, want)) in [
            ("10.98.0.1", "10.98.0.2:53", "ok"),
            ("10.98.0.1", "10.98.0.2:54", "not permitted"),
            ("fd98::1", "[fd98::2]:54", "not permitted"),
        ]
        .into_iter()
        .enumerate()
        {
            let port = 7100 + u16::try_from(n).expect("few");
            let packet = FirstPacket {
                protocol: Protocol::Udp,
                client: (own.parse::<std::net::IpAddr>().expect("address"), port).into(),
                server: to.parse().expect("address"),
            };
            released.resolved(&[Resolved { packet, client: Slot::new(16), server: None }]).expect("release");
            released.evident(&packet).expect("release");
            assert_eq!(bed.probe("nobody", &format!("udp {to} {port}")), want, "{to}");
        }
        let flows = connections::dump().expect("dump");
        let flow = flows.iter().find(|f| f.client_port == 7100).expect("the allowed one");
        assert_eq!(flow.label.client(), Slot::new(16));
        assert!(flow.label.has(cnnf_core::ruleset::Flags::RESOLVED));
    });
}
