//! The demo's world as a table: a web server that a client may reach, and must not.

use std::net::IpAddr;

use super::world::slot_of;
use crate::directory::{Directory, Endpoint, Host, Instance};
use crate::failsafe::Failsafes;
use crate::id::{HostId, ServiceKey};
use crate::label::Labels;
use crate::net::Protocol;
use crate::policy::{Effect, End, Mode, OnFailure, PolicySet, Rule, RuleId, ServicePattern, resolve};
use crate::ruleset::{
    FlowState, Hook, HostFacts, Label, LocalService, Packet, QueueBackend, Ruleset, Slot, Verdict, compile, interpret,
    state,
};
use crate::time::Timestamp;

fn address(text: &str) -> IpAddr {
    text.parse().expect("address")
}

fn host(n: u8, service: &str, port: Option<u16>) -> (HostId, Host) {
    let endpoint = port.map(|port| Endpoint { protocol: Protocol::Tcp, address: None, port });
    let instance = Instance { endpoints: endpoint.into_iter().collect(), live: true, ..Instance::default() };
    let host = Host {
        name: format!("h{n}"),
        labels: Labels::default(),
        addresses: [address(&format!("10.86.0.{n}")), address(&format!("fd86::{n}"))].into(),
        mode: Mode::Enforce,
        instances: [(ServiceKey::unit(service), instance)].into(),
    };
    (HostId::new(format!("h{n}")), host)
}

fn rule(id: u64, source: &str, destination: &str, effect: Effect) -> Rule {
    let end = |text: &str| match text {
        "any" => End::Any,
        _ => End::Service { pattern: ServicePattern(text.into()), labels: Labels::default() },
    };
    Rule {
        revision: 1,
        ..Rule::new(RuleId(id), format!("{source} to {destination}"), end(source), end(destination), effect)
    }
}

fn table(host_name: &str, service: &str, rules: Vec<Rule>, queue: QueueBackend) -> Ruleset {
    let directory =
        Directory::from_iter([host(1, "nginx", Some(80)), host(2, "fetch", None), host(3, "redis", Some(6379))]);
    let policy = PolicySet { rules: rules.into(), ..PolicySet::default() };
    let id = HostId::new(host_name);
    let facts = HostFacts {
        services: vec![LocalService {
            key: ServiceKey::unit(service),
            slot: Slot::new(17).expect("not 0"),
            cgroups: [4711].into(),
        }],
        cgroup_levels: 3,
        queue,
        failsafes: Failsafes::with_controller(7443),
        addresses: directory.host(&id).expect("there").addresses.clone(),
        udp_ports: [68].into(),
        epoch: 0,
        log_group: 86,
        identify_queue: 860,
        identify_queues: 1,
        evidence_queue: 861,
        counters: true,
    };
    compile(&resolve(&policy, &directory, &id, Timestamp(0), 1), &facts)
}

fn rules() -> Vec<Rule> {
    vec![rule(1, "unit:fetch", "unit:nginx", Effect::Prevent), rule(2, "any", "unit:redis", Effect::Alert)]
}

#[test]
fn the_clients_table() {
    insta::assert_snapshot!(table("h2", "fetch", rules(), QueueBackend::Xt));
}

#[test]
fn the_servers_table() {
    let shown = table("h3", "redis", rules(), QueueBackend::None);
    let judging = shown.chains.iter().filter(|(name, _)| name[1..].starts_with(|c: char| c.is_ascii_digit()));
    let text: String = judging.map(|(name, chain)| format!("chain {name} {chain}")).collect();
    insta::assert_snapshot!(text);
}

fn first_packet(server: &str, port: u16, cgroup: u64) -> Packet {
    Packet {
        client: address("10.86.0.2"),
        server: address(server),
        protocol: Protocol::Tcp,
        client_port: 40_000,
        server_port: port,
        reply: false,
        state: state::NEW,
        tcp_flags: 2,
        socket: Some(vec![1, cgroup]),
        local_sender: true,
    }
}

#[test]
fn a_prevented_packet_waits_for_evidence_and_is_refused() {
    let table = table("h2", "fetch", rules(), QueueBackend::Xt);
    let packet = first_packet("10.86.0.1", 80, 4711);
    let mut flow = FlowState::default();
    assert_eq!(interpret(&table, Hook::Output, &packet, &mut flow).verdict, Verdict::Queue(861));
    let told = interpret(&table, Hook::Output, &packet, &mut FlowState { evidence: true, ..flow.clone() });
    assert_eq!((told.verdict, told.logs), (Verdict::RejectTcp, vec!["cnnf out 17 r1 prevent".to_owned()]));
    let flood = interpret(&table, Hook::Output, &packet, &mut FlowState { over_limit: true, ..flow.clone() });
    assert_eq!(flood.verdict, Verdict::RejectTcp, "refused without evidence");
    flow.nobody_listens = true;
    assert_eq!(interpret(&table, Hook::Output, &packet, &mut flow).verdict, Verdict::Drop, "it never passes");
}

#[test]
fn an_unknown_program_waits_to_be_identified_or_passes_and_is_counted() {
    let table = table("h2", "fetch", rules(), QueueBackend::Xt);
    let packet = first_packet("10.86.0.3", 6379, 9);
    assert_eq!(interpret(&table, Hook::Output, &packet, &mut FlowState::default()).verdict, Verdict::Queue(860));
    let mut alone = FlowState { nobody_listens: true, ..FlowState::default() };
    let passed = interpret(&table, Hook::Output, &packet, &mut alone);
    assert_eq!(passed.verdict, Verdict::Accept);
    assert!(passed.chains.iter().any(|chain| chain == "fail_open"), "{:?}", passed.chains);
}

#[test]
fn what_nobody_can_tell_the_owner_of_is_refused_where_a_rule_is_closed() {
    let closed = |effect, from: &str| Rule { on_failure: OnFailure::Closed, ..rule(1, from, "unit:redis", effect) };
    let open = |effect, from: &str| rule(2, from, "unit:redis", effect);
    let verdict = |rules: Vec<Rule>, queue, port| {
        let table = table("h2", "fetch", rules, queue);
        let mut flow = FlowState { nobody_listens: true, evidence: true, ..FlowState::default() };
        let trace = interpret(&table, Hook::Output, &first_packet("10.86.0.3", port, 9), &mut flow);
        (trace.verdict, trace.logs)
    };
    let refused = (Verdict::RejectTcp, vec!["cnnf out 2 r1 prevent".to_owned()]);
    let passed = (Verdict::Accept, Vec::new());
    for queue in [QueueBackend::Xt, QueueBackend::Native, QueueBackend::None] {
        for (what, rules, port, expected) in [
            ("closed", vec![closed(Effect::Prevent, "unit:other")], 6379, &refused),
            ("another port", vec![closed(Effect::Prevent, "unit:other")], 80, &passed),
            ("open", vec![open(Effect::Prevent, "unit:other")], 6379, &passed),
            ("an alert", vec![closed(Effect::Alert, "unit:other")], 6379, &passed),
            (
                "some service is allowed",
                vec![open(Effect::Allow, "unit:fetch"), closed(Effect::Prevent, "any")],
                6379,
                &refused,
            ),
            (
                "every service is allowed",
                vec![open(Effect::Allow, "any"), closed(Effect::Prevent, "unit:other")],
                6379,
                &passed,
            ),
        ] {
            assert_eq!(&verdict(rules, queue, port), expected, "{what}, {queue:?}");
        }
    }
}

#[test]
fn a_mixture_of_two_services_is_judged_as_ambiguous() {
    let table = table("h2", "fetch", rules(), QueueBackend::Xt);
    let mixture = Slot::new(17).expect("not 0").word() | slot_of(&ServiceKey::unit("web")).word();
    let mut flow = FlowState { label: Label([mixture, 0, 0, 0]), ..FlowState::default() };
    let trace = interpret(&table, Hook::Output, &first_packet("10.86.0.3", 6379, 9), &mut flow);
    assert_eq!((trace.verdict, trace.logs), (Verdict::Accept, vec!["cnnf out 3 r2 alert".to_owned()]));
}

#[test]
fn what_answers_is_never_judged() {
    let table = table("h2", "fetch", rules(), QueueBackend::Xt);
    let reset = Packet { state: state::RELATED, tcp_flags: 4, ..first_packet("10.86.0.1", 80, 4711) };
    let error = Packet { protocol: Protocol::Icmp, ..reset.clone() };
    let untracked = Packet { state: state::UNTRACKED, ..first_packet("10.86.0.1", 80, 4711) };
    for packet in [reset, error, untracked] {
        for hook in [Hook::Output, Hook::Input] {
            let trace = interpret(&table, hook, &packet, &mut FlowState::default());
            assert_eq!((trace.verdict, trace.logs.len()), (Verdict::Accept, 0), "{packet:?}");
        }
    }
    let helper = Packet { state: state::RELATED, ..first_packet("10.86.0.1", 80, 4711) };
    let held = interpret(&table, Hook::Output, &helper, &mut FlowState::default());
    assert_eq!(held.verdict, Verdict::RejectTcp, "a helper's expected flow is judged");
}

#[test]
fn mid_stream_nobody_knows_who_opened_it() {
    let table = table("h2", "fetch", rules(), QueueBackend::Xt);
    let mut flow = FlowState::default();
    let later = Packet { tcp_flags: 0x18, ..first_packet("10.86.0.1", 80, 4711) };
    assert_eq!(interpret(&table, Hook::Output, &later, &mut flow).verdict, Verdict::Accept);
    assert_eq!((flow.label.client(), flow.label.has(crate::ruleset::Flags::MIDSTREAM)), (None, true));
}

#[test]
fn a_service_that_no_rule_concerns_has_no_chain() {
    let only = vec![rule(1, "unit:fetch", "unit:nginx", Effect::Prevent)];
    let table = table("h3", "redis", only, QueueBackend::Xt);
    let judging = table.chains.keys().filter(|name| name.starts_with(['o', 'i']));
    let service_chains: Vec<_> = judging.filter(|name| name[1..].starts_with(|c: char| c.is_ascii_digit())).collect();
    assert!(service_chains.is_empty(), "{service_chains:?}");
}
