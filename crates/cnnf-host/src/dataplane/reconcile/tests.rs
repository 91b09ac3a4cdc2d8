//! Against the real kernel, each test in a network namespace of its own.

mod owned;

use std::collections::BTreeMap;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cnnf_core::ruleset::{Action, Chain, Family, Hook, Match, Rule, Set, Side, state};

use super::*;
use crate::testbed::in_namespace;

fn nft(script: &str) -> String {
    let out = Command::new("nft").arg(script).output().expect("nft");
    assert!(out.status.success(), "nft {script}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8_lossy(&out.stdout).into_owned()
}

fn rule(matches: Vec<Match>, actions: Vec<Action>) -> Rule {
    Rule { matches, actions, comment: "a comment".into() }
}

/// Refuses connections to the addresses of a set, unless their port is open.
fn deny(addresses: &[&str]) -> Ruleset {
    let mut r = Ruleset::default();
    let ranges = addresses.iter().map(|a| a.parse().expect("address")).collect();
    r.sets.insert("bad".into(), Set::Addresses(Family::V4, ranges));
    r.sets.insert("open".into(), Set::Ports([(6, 22), (17, 53)].into()));
    r.sets.insert("pend4".into(), Set::Pending(Family::V4));
    r.sets.insert("seen6".into(), Set::Flows(Family::V6));
    r.sets.insert("eg".into(), Set::Dispatch([(0, "judge".into())].into()));
    r.sets.insert("svc".into(), Set::Cgroups(BTreeMap::from([(1, 16), (u64::MAX, 17)])));
    let endpoint = ("10.0.0.9".parse().expect("address"), cnnf_core::net::Protocol::Tcp, 80);
    r.sets.insert("exact".into(), Set::Endpoints(Family::V4, [endpoint].into()));
    let out = vec![
        // our own RST is related to the flow that it refuses
        rule(vec![Match::StateAny(state::RELATED)], vec![Action::Accept]),
        rule(vec![Match::StateAny(state::NEW)], vec![Action::Counter]),
        rule(vec![], vec![Action::StampCgroup { level: 1, map: "svc".into(), word: 0 }]),
        rule(vec![], vec![Action::StampFlow { family: Family::V4, map: "pend4".into() }, Action::Return]),
        rule(vec![], vec![Action::Branch { word: 1, map: "eg".into() }]),
    ];
    r.chains.insert("out".into(), Chain { base: Some((Hook::Output, -5)), rules: out });
    r.chains.insert("in".into(), Chain { base: Some((Hook::Input, -5)), rules: Vec::new() });
    let endpoint = Match::Endpoint { side: Side::Server, family: Family::V4, set: "exact".into() };
    let judge = vec![
        rule(vec![Match::Port { set: "open".into() }], vec![Action::Return]),
        rule(vec![endpoint], vec![Action::Return]),
        rule(vec![Match::Flow { family: Family::V6, set: "seen6".into() }], vec![Action::Return]),
        rule(
            vec![Match::Address { side: Side::Server, family: Family::V4, set: "bad".into() }],
            vec![Action::Counter, Action::Goto("deny".into())],
        ),
    ];
    r.chains.insert("judge".into(), Chain { base: None, rules: judge });
    let tcp = |f| vec![Match::LocalSender, Match::Protocol(f, cnnf_core::net::Protocol::Tcp)];
    let refuse = vec![
        rule(tcp(Family::V4), vec![Action::RejectTcp]),
        rule(vec![Match::LocalSender], vec![Action::Reject]),
        rule(vec![], vec![Action::Drop]),
    ];
    r.chains.insert("deny".into(), Chain { base: None, rules: refuse });
    r
}

fn reaches(listener: &TcpListener) -> bool {
    let to = listener.local_addr().expect("address");
    TcpStream::connect_timeout(&to, Duration::from_millis(300)).is_ok()
}

fn reconciled(r: &mut Reconciler, wanted: Ruleset) -> Outcome {
    r.set_desired(wanted);
    r.reconcile().expect("reconcile")
}

#[test]
fn root_the_kernel_has_what_is_wanted() {
    in_namespace(|| {
        let listener = TcpListener::bind("127.0.0.5:8000").expect("listen");
        let mut r = Reconciler::open(QueueBackend::Xt).expect("open");
        assert!(matches!(reconciled(&mut r, deny(&[])), Outcome::Applied { anew: true, .. }));
        assert_eq!(r.reconcile().expect("again"), Outcome::Unchanged);
        assert!(reaches(&listener));

        let few = reconciled(&mut r, deny(&["127.0.0.5", "10.0.0.0/8"]));
        assert_eq!(few, Outcome::Applied { operations: 1, anew: false }, "elements only");
        assert!(!reaches(&listener));
        let fewer = reconciled(&mut r, deny(&["10.0.0.0/8"]));
        assert_eq!(fewer, Outcome::Applied { operations: 1, anew: false });
        assert!(reaches(&listener));
        assert_eq!(r.check().expect("check"), Found::Intact);
        assert!(r.counters().expect("counters").iter().any(|c| c.chain == "out" && c.packets > 0));

        let listed = nft("list table inet cnnf");
        assert!(listed.contains("10.0.0.0/8") && listed.contains("a comment"), "{listed}");
        r.release().expect("release");
        assert!(!nft("list ruleset").contains("cnnf"));
    });
}

#[test]
fn root_a_restart_takes_the_table_over() {
    in_namespace(|| {
        let listener = TcpListener::bind("127.0.0.5:8000").expect("listen");
        let mut r = Reconciler::open(QueueBackend::Xt).expect("open");
        reconciled(&mut r, deny(&["127.0.0.5"]));
        drop(r);
        assert!(!reaches(&listener), "the table holds without its process");
        nft("add chain inet cnnf old");
        nft("add rule inet cnnf out jump old");
        let mut r = Reconciler::open(QueueBackend::Xt).expect("open");
        assert!(matches!(reconciled(&mut r, deny(&["127.0.0.5"])), Outcome::Applied { anew: true, .. }));
        assert!(!nft("list table inet cnnf").contains("old"));
        assert!(!reaches(&listener));
    });
}

#[test]
fn root_a_change_by_somebody_else_is_noticed_and_undone() {
    in_namespace(|| {
        let listener = TcpListener::bind("127.0.0.5:8000").expect("listen");
        let mut r = Reconciler::open(QueueBackend::Xt).expect("open");
        reconciled(&mut r, deny(&["127.0.0.5"]));
        assert_eq!(r.check().expect("check"), Found::Intact);
        nft("add table ip other");
        assert_eq!(r.check().expect("check"), Found::Intact, "another table is nobody's business");
        let listed = Command::new("nft").args(["--handle", "list chain inet cnnf judge"]).output().expect("nft").stdout;
        let listed = String::from_utf8(listed).expect("text");
        let refusal = listed.lines().find(|line| line.contains("goto deny")).expect("a rule that refuses");
        let handle = refusal.rsplit(' ').next().expect("a handle");
        let replaced = format!("replace rule inet cnnf judge handle {handle} counter accept comment \"a comment\"");
        for tamper in [
            &replaced,
            "flush ruleset",
            "flush chain inet cnnf judge",
            "insert rule inet cnnf judge accept",
            "flush set inet cnnf bad",
            "add element inet cnnf open { tcp . 8000 }",
            "flush map inet cnnf eg",
            "delete element inet cnnf bad { 127.0.0.5 }; add element inet cnnf bad { 127.0.0.6 }",
        ] {
            nft(tamper);
            let Found::Changed { by } = r.check().expect("check") else { panic!("{tamper} is not noticed") };
            assert_eq!(by.iter().map(|(_, name)| name.as_str()).collect::<Vec<_>>(), ["nft"], "{tamper}");
            assert!(matches!(r.reconcile().expect("repair"), Outcome::Applied { anew: true, .. }));
            assert_eq!(r.check().expect("check"), Found::Intact, "{tamper}");
            assert!(!reaches(&listener), "{tamper}");
        }
    });
}

#[test]
fn root_a_refused_change_leaves_what_was() {
    in_namespace(|| {
        let listener = TcpListener::bind("127.0.0.5:8000").expect("listen");
        let mut r = Reconciler::open(QueueBackend::Xt).expect("open");
        reconciled(&mut r, deny(&["127.0.0.5"]));
        let mut bad = deny(&[]);
        bad.chains.get_mut("judge").expect("chain").rules.insert(0, rule(vec![], vec![Action::Jump("nowhere".into())]));
        r.set_desired(bad);
        let error = r.reconcile().expect_err("no such chain").to_string();
        assert!(error.contains("judge") && error.contains("No such file"), "{error}");
        assert!(!reaches(&listener));
        assert!(matches!(reconciled(&mut r, deny(&[])), Outcome::Applied { anew: false, .. }));
        assert!(reaches(&listener));
    });
}

#[test]
fn root_a_table_that_is_too_large_leaves_what_was() {
    in_namespace(|| {
        let listener = TcpListener::bind("127.0.0.5:8000").expect("listen");
        let mut r = Reconciler::open(QueueBackend::Xt).expect("open");
        reconciled(&mut r, deny(&["127.0.0.5"]));
        let mut large = deny(&[]);
        let most = u64::try_from(cnnf_core::ruleset::ELEMENTS_MAX).expect("a number");
        large.sets.insert("svc".into(), Set::Cgroups((0..=most).map(|id| (id, 16)).collect()));
        r.set_desired(large);
        let error = r.reconcile().expect_err("too large").to_string();
        assert!(error.contains("2000000 are the most; what was in force before stays"), "{error}");
        assert!(!reaches(&listener));
        assert_eq!(r.check().expect("check"), Found::Intact);
    });
}

/// Runs a prober of a refused edge while `change` is called a hundred times: not one datagram gets through. A datagram takes some
/// microseconds, so one is nearly always on its way while the generation changes.
fn without_a_gap(mut change: impl FnMut(usize)) {
    let server = UdpSocket::bind("127.0.0.5:8000").expect("bind");
    server.set_nonblocking(true).expect("nonblocking");
    let client = UdpSocket::bind("127.0.0.1:0").expect("bind");
    client.connect(server.local_addr().expect("address")).expect("connect");
    let stop = AtomicBool::new(false);
    let (through, tried) = std::thread::scope(|scope| {
        let prober = scope.spawn(|| {
            let (mut through, mut tried) = (0, 0);
            while !stop.load(Ordering::Relaxed) {
                // Refused here already, or lost on the way: either is no datagram at the server.
                let _ = client.send(b"x");
                through += u32::from(server.recv(&mut [0]).is_ok());
                tried += 1;
            }
            (through, tried)
        });
        (0..100).for_each(&mut change);
        stop.store(true, Ordering::Relaxed);
        prober.join().expect("prober")
    });
    assert_eq!(through, 0, "of {tried}");
    assert!(tried > 1000, "{tried}");
}

#[test]
fn root_making_the_table_anew_leaves_no_gap() {
    in_namespace(|| {
        let mut r = Reconciler::open(QueueBackend::Xt).expect("open");
        reconciled(&mut r, deny(&["127.0.0.5"]));
        without_a_gap(|_| {
            // as after a restart
            let mut r = Reconciler::open(QueueBackend::Xt).expect("open");
            assert!(matches!(reconciled(&mut r, deny(&["127.0.0.5"])), Outcome::Applied { anew: true, .. }));
        });
    });
}

#[test]
fn root_a_policy_that_says_the_same_in_other_words_leaves_no_gap() {
    in_namespace(|| {
        let first = deny(&["127.0.0.5"]);
        let mut second = deny(&["127.0.0.4/31"]);
        let worse = second.sets.remove("bad").expect("a set");
        second.sets.insert("worse".into(), worse);
        let refuse = second.chains.remove("deny").expect("a chain");
        second.chains.insert("refuse".into(), refuse);
        let judge = second.chains.get_mut("judge").expect("a chain").rules.last_mut().expect("a rule");
        judge.matches = vec![Match::Address { side: Side::Server, family: Family::V4, set: "worse".into() }];
        judge.actions = vec![Action::Counter, Action::Goto("refuse".into())];
        let mut r = Reconciler::open(QueueBackend::Xt).expect("open");
        reconciled(&mut r, first.clone());
        without_a_gap(|n| {
            let next = if n % 2 == 0 { second.clone() } else { first.clone() };
            assert!(matches!(reconciled(&mut r, next), Outcome::Applied { anew: false, .. }));
        });
    });
}
