use std::collections::BTreeMap;
use std::net::IpAddr;

use cnnf_core::directory::{Endpoint, Instance};
use cnnf_core::event::{Ancestor, ConnectionEvent, EventKind, EventParty, Notice, Process};
use cnnf_core::flow::{FlowKey, FlowRecord, FlowStats};
use cnnf_core::id::{HostId, ServiceKey};
use cnnf_core::identity::Definition;
use cnnf_core::label::Labels;
use cnnf_core::net::{AddrRange, PortRange, Ports, Protocol};
use cnnf_core::policy::{
    AddressObject, Effect, End, Group, GroupEntry, GroupId, HostDelta, HostPolicy, HostRule, LocalMatch, Mode,
    OnFailure, PeerMatch, Reason, Rule, RuleId, ServicePattern, Vantage,
};
use cnnf_core::time::Timestamp;
use cnnf_core::topology::{Edge, Peer};
use proptest::collection::{btree_map, btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use prost::Message as _;

use super::flow::{Gap, Inventory};
use super::*;
use crate::v1;

/// Whatever is encoded, decoded and converted is what it was.
fn through<V, M>(value: &V) -> V
where
    M: prost::Message + Default + for<'a> From<&'a V>,
    V: TryFrom<M, Error = ConvertError>,
{
    let bytes = M::from(value).encode_to_vec();
    V::try_from(M::decode(bytes.as_slice()).expect("decode")).expect("convert")
}

fn any_protocol() -> impl Strategy<Value = Protocol> {
    any::<u8>().prop_map(Protocol::from_number)
}

fn any_addr() -> impl Strategy<Value = IpAddr> {
    prop_oneof![any::<[u8; 4]>().prop_map(IpAddr::from), any::<[u8; 16]>().prop_map(IpAddr::from)]
}

fn any_range() -> impl Strategy<Value = AddrRange> {
    let net4 = (any::<[u8; 4]>(), 0..=32u8).prop_map(|(a, p)| (IpAddr::from(a), p));
    let net6 = (any::<[u8; 16]>(), 0..=128u8).prop_map(|(a, p)| (IpAddr::from(a), p));
    prop_oneof![
        any_addr().prop_map(AddrRange::single),
        prop_oneof![net4, net6].prop_map(|(addr, prefix)| {
            format!("{addr}/{prefix}").parse().unwrap_or_else(|_| AddrRange::single(addr))
        }),
        (any::<[u8; 4]>(), any::<[u8; 4]>())
            .prop_map(|(a, b)| { AddrRange::new(a.min(b).into(), a.max(b).into()).expect("range") }),
    ]
}

fn any_key() -> impl Strategy<Value = ServiceKey> {
    prop_oneof![
        "[a-z][a-z0-9@.-]{0,20}".prop_map(|name| ServiceKey::unit(&name)),
        "(/[a-zA-Zäß .]{1,8}){1,4}".prop_map(|path| ServiceKey::program(&path)),
        "[a-z]{1,8}:[0-9.]{1,5}".prop_map(|name| ServiceKey::container(&name)),
        Just(ServiceKey::kernel()),
        Just(ServiceKey::unknown()),
        Just(ServiceKey::ambiguous()),
    ]
}

fn any_pattern() -> impl Strategy<Value = ServicePattern> {
    prop_oneof![
        any_key().prop_map(|key| ServicePattern::of(&key)),
        "(unit:|exe:|container:|svc:|\\*)[a-z]{0,5}\\*".prop_map(ServicePattern),
    ]
}

fn any_ports() -> impl Strategy<Value = Ports> {
    let range = (any_protocol(), any::<u16>(), any::<u16>()).prop_map(|(protocol, a, b)| {
        let (low, high) = if protocol.has_ports() { (a.min(b), a.max(b)) } else { (0, u16::MAX) };
        PortRange { protocol, low, high }
    });
    prop_oneof![Just(Ports::Any), vec(range, 1..6).prop_map(Ports::only)]
}

fn any_time() -> impl Strategy<Value = Timestamp> {
    (1..=common::MAX_MS).prop_map(Timestamp)
}

fn any_port(protocol: Protocol, port: u16) -> u16 {
    if protocol.has_ports() { port } else { 0 }
}

fn any_labels() -> impl Strategy<Value = Labels> {
    btree_map("[a-z]{1,8}", "[a-z0-9.=]{0,8}", 0..4).prop_map(Labels)
}

fn any_word<T: Copy + std::fmt::Debug + 'static>(all: &'static [T]) -> impl Strategy<Value = T> {
    proptest::sample::select(all)
}

fn any_endpoint() -> impl Strategy<Value = Endpoint> {
    (any_protocol(), option::of(any_addr()), any::<u16>()).prop_map(|(protocol, address, port)| Endpoint {
        protocol,
        address,
        port: any_port(protocol, port),
    })
}

fn any_peer() -> impl Strategy<Value = Peer> {
    prop_oneof![
        any_key().prop_map(Peer::Service),
        "[a-z]{1,9}".prop_map(Peer::Object),
        any_range().prop_map(Peer::Address),
        Just(Peer::Private),
        Just(Peer::Internet),
    ]
}

fn any_reason() -> impl Strategy<Value = Reason> {
    prop_oneof![
        (1..u64::MAX, ".{0,20}", any::<u64>()).prop_map(|(id, name, revision)| Reason::Rule {
            id: RuleId(id),
            name,
            revision
        }),
        any_key().prop_map(Reason::Model),
        Just(Reason::OtherSide),
        Just(Reason::Default),
    ]
}

fn any_end() -> impl Strategy<Value = End> {
    prop_oneof![
        Just(End::Any),
        (any_pattern(), any_labels()).prop_map(|(pattern, labels)| End::Service { pattern, labels }),
        Just(End::Object("office".into())),
        vec(any_range(), 1..4).prop_map(End::Addresses),
    ]
}

fn the_objects() -> BTreeMap<String, AddressObject> {
    let message =
        v1::AddressObject { name: "office".into(), addresses: vec!["10.8.0.0/16".into()], ..Default::default() };
    policy::objects(vec![message]).expect("objects")
}

prop_compose! {
    fn any_rule()(
        id in any::<u64>(), name in "[^\\p{C}]{1,20}", enabled: bool, source in any_end(), destination in any_pattern(),
        labels in any_labels(), ports in any_ports(), effect in any_word(Effect::ALL), closed in any_word(OnFailure::ALL),
        learned_allow: bool, expires_at in option::of(any_time()), texts in [".{0,30}", ".{0,30}", ".{0,30}"],
        revision: u64,
    ) -> Rule {
        let [owner, ticket, notes] = texts;
        Rule {
            id: RuleId(id), name, enabled, source, destination: End::Service { pattern: destination, labels }, ports,
            effect, on_failure: closed, learned_allow, expires_at, owner, ticket, notes, revision,
        }
    }
}

prop_compose! {
    fn any_host_rule(groups: u32)(
        reason in any_reason(), service in option::of(any_pattern()), local in 0..=groups, peer in 0..=groups,
        ports in any_ports(), effect in any_word(Effect::ALL), on_failure in any_word(OnFailure::ALL),
    ) -> HostRule {
        let group = |n: u32| (n != 0).then_some(GroupId(n));
        HostRule {
            reason,
            local: match (service, group(local)) {
                (None, None) => LocalMatch::Any,
                (Some(service), None) => LocalMatch::Service(service),
                (None, Some(group)) => LocalMatch::Addresses(group),
                (Some(service), Some(group)) => LocalMatch::ServiceAt(service, group),
            },
            peer: group(peer).map_or(PeerMatch::Any, PeerMatch::Group),
            ports, effect, on_failure,
        }
    }
}

fn any_group() -> impl Strategy<Value = Group> {
    let port = (any_protocol(), any::<u16>()).prop_map(|(protocol, port)| (protocol, any_port(protocol, port)));
    let entry = (any_range(), any::<bool>(), option::of(port));
    let entry = entry.prop_map(|(addresses, own, port)| GroupEntry { addresses, own, port });
    btree_set(entry, 0..5).prop_map(Group::from_iter)
}

prop_compose! {
    fn any_definition()(
        name in "[a-zA-Z0-9][a-z0-9._@+-]{0,9}", units in btree_set("[a-z@*-]{1,9}x", 1..4), executables in btree_set("/[a-z* ]{0,9}", 0..4),
        command_lines in btree_set("[a-z]{1,5}[ -~]{0,9}", 0..4), users in btree_set("[a-z0-9]{1,9}", 0..4),
        ports in vec((0_u16..100, 0_u16..100), 0..4), labels in any_labels(),
    ) -> Definition {
        let range = |(low, more): (u16, u16)| PortRange { protocol: Protocol::Tcp, low, high: low + more };
        let ports = if ports.is_empty() { Ports::Any } else { Ports::only(ports.into_iter().map(range)) };
        Definition { name, units, executables, command_lines, users, ports, labels }
    }
}

prop_compose! {
    fn any_host_policy()(
        generation: u64, mode in any_word(Mode::ALL), service_modes in btree_map(any_key(), any_word(Mode::ALL), 0..4),
        egress in vec(any_host_rule(3), 0..6), ingress in vec(any_host_rule(3), 0..6), groups in vec(any_group(), 3),
        definitions in vec(any_definition(), 0..4),
    ) -> HostPolicy {
        let groups = groups.into_iter().enumerate().map(|(n, group)| (GroupId(n as u32 + 1), group)).collect();
        let names = definitions.into_iter().enumerate();
        let definitions = names.map(|(n, d)| Definition { name: format!("{}{n}", d.name), ..d }).collect();
        HostPolicy { generation, mode, service_modes, egress, ingress, groups, definitions }
    }
}

prop_compose! {
    fn any_party()(service in option::of(any_key()), host in option::of("[a-z0-9]{1,9}"), address in any_addr(), port: u16)
        -> EventParty {
        EventParty { service, host: host.map(HostId::new), address, port }
    }
}

prop_compose! {
    fn any_event()(
        at in any_time(), kind in any_word(EventKind::ALL), client in any_party(), server in any_party(),
        protocol in any_protocol(), reason in any_reason(), at_client: bool, pid: u32, cmdline in ".{0,40}",
        count in 1..u64::MAX,
    ) -> ConnectionEvent {
        let side = if at_client { Vantage::Client } else { Vantage::Server };
        let process = Process {
            pid,
            cmdline,
            exe: "/bin/x (deleted)".into(),
            started: at_client.then_some(at),
            parents: vec![Ancestor { pid: 1, program: "/sbin/init".into() }],
            network_namespace: u64::from(pid),
            ..Process::default()
        };
        ConnectionEvent { at, kind, client, server, protocol, reason, side, process, count }
    }
}

prop_compose! {
    fn any_flow()(
        client_service in option::of(any_key()), client in any_addr(), server_service in option::of(any_key()),
        server in any_addr(), protocol in any_protocol(), port: u16, connections: u64, bytes: u64, first in any_time(),
        last in any_time(),
    ) -> FlowRecord {
        let port = any_port(protocol, port);
        FlowRecord {
            key: FlowKey { client_service, client, server_service, server, protocol, port },
            stats: FlowStats { connections, bytes, first, last },
        }
    }
}

proptest! {
    #[test]
    fn values_come_through(
        policy in any_host_policy(), next in any_host_policy(), event in any_event(), flow in any_flow(), client in any_peer(), server in any_peer(),
        endpoint in any_endpoint(), addresses in btree_set(any_addr(), 0..5),
        instances in btree_map(any_key(), (btree_set(any_endpoint(), 0..4), any::<bool>(), btree_set(any_key(), 0..3)), 0..4),
        at in any_time(), lost: u64, what in ".{0,30}",
    ) {
        prop_assert_eq!(through::<_, v1::HostPolicy>(&policy), policy.clone());
        let delta = through::<_, v1::HostPolicyDelta>(&HostDelta::between(&policy, &next));
        prop_assert_eq!(delta.apply(&policy), Ok(next));
        prop_assert_eq!(through::<_, v1::ConnectionEvent>(&event), event.clone());
        prop_assert_eq!(through::<_, v1::FlowRecord>(&flow), flow.clone());
        let edge = Edge { client, server, protocol: flow.key.protocol, port: flow.key.port };
        prop_assert_eq!(through::<_, v1::Edge>(&edge), edge);
        prop_assert_eq!(through::<_, v1::Endpoint>(&endpoint), endpoint);
        let instance = |(endpoints, live, natural)| Instance { endpoints, live, natural };
        let instances = instances.into_iter().map(|(key, of)| (key, instance(of))).collect();
        let inventory = Inventory { addresses, instances, at };
        prop_assert_eq!(through::<_, v1::Inventory>(&inventory), inventory);
        let notice = Notice {
            at,
            kind: EventKind::Tamper,
            message: what.clone(),
            process: event.process.clone(),
            count: lost.max(1),
        };
        prop_assert_eq!(through::<_, v1::Notice>(&notice), notice);
        let gap = Gap { from: at, until: at, lost, what };
        prop_assert_eq!(through::<_, v1::GapReport>(&gap), gap);
    }

    #[test]
    fn rules_come_through(rule in any_rule()) {
        let nobody = |name: &str| Err(policy::NameError::Unknown(name.to_owned()));
        let back = policy::rule(v1::Rule::from(&rule), &the_objects(), &nobody);
        prop_assert_eq!(back, Ok(rule));
    }

    #[test]
    fn times_come_through(ms in 1..=common::MAX_MS) {
        let at = Timestamp(ms);
        prop_assert_eq!(common::time("t", &common::time_text(at)), Ok(at));
        prop_assert_eq!(common::time("t", &common::expiry_text(at)), Ok(at));
        let day = Timestamp(ms.div_ceil(86_400_000) * 86_400_000);
        if day.0 <= common::MAX_MS {
            prop_assert_eq!(common::time("t", &common::expiry_text(day)), Ok(day));
        }
    }

    #[test]
    fn no_bytes_panic(bytes in vec(any::<u8>(), 0..400)) {
        if let Ok(message) = v1::HostPolicy::decode(bytes.as_slice()) {
            let _ = HostPolicy::try_from(message);
        }
        if let Ok(message) = v1::ConnectionEvent::decode(bytes.as_slice()) {
            let _ = ConnectionEvent::try_from(message);
        }
    }

    #[test]
    fn no_text_panics(text in ".{0,40}", number: u32) {
        let nobody = |name: &str| Err(policy::NameError::Unknown(name.to_owned()));
        let rule = v1::Rule {
            name: text.clone(), from: text.clone(), to: "unit:x".into(), ports: vec![text.clone()], effect: "alert".into(),
            expires: text.clone(), ..v1::Rule::default()
        };
        let _ = policy::rule(rule.clone(), &BTreeMap::new(), &nobody);
        let _ = policy::rule(v1::Rule { ports: Vec::new(), expires: String::new(), ..rule }, &BTreeMap::new(), &nobody);
        let _ = AddressObject::try_from(v1::AddressObject { name: text.clone(), addresses: vec![text.clone()], ..Default::default() });
        let _ = Peer::try_from(v1::Peer { address: text.clone(), ..v1::Peer::default() });
        let _ = Endpoint::try_from(v1::Endpoint { protocol: text.clone(), address: text.clone(), port: number });
        let _ = FlowRecord::try_from(v1::FlowRecord { client_address: text, port: number, ..v1::FlowRecord::default() });
    }
}

fn good_rule() -> v1::Rule {
    v1::Rule {
        name: "r".into(),
        enabled: true,
        from: "shop".into(),
        to: "unit:redis".into(),
        ports: vec!["tcp/6379".into()],
        effect: "alert".into(),
        ..v1::Rule::default()
    }
}

fn keys() -> Vec<ServiceKey> {
    ["unit:shop", "exe:/opt/web", "unit:web", "unit:redis", "kernel"].map(|key| key.parse().expect(key)).to_vec()
}

fn convert(message: v1::Rule) -> Result<Rule, String> {
    let keys = keys();
    policy::rule(message, &the_objects(), &|name| policy::resolve_among(name, &keys)).map_err(|error| error.to_string())
}

#[test]
fn ends_are_read_as_people_write_them() {
    let key = |text: &str| End::Service { pattern: ServicePattern(text.into()), labels: Labels::default() };
    let addresses = |texts: &[&str]| End::Addresses(texts.iter().map(|t| t.parse().expect(t)).collect());
    for (text, expected) in [
        ("any", End::Any),
        ("shop", key("unit:shop")),
        ("unit:later", key("unit:later")),
        ("unit:postgresql@*", key("unit:postgresql@*")),
        ("*", key("*")),
        ("kernel", key("kernel")),
        ("office", End::Object("office".into())),
        ("10.0.0.1", addresses(&["10.0.0.1"])),
        ("10.0.0.0/8, fd86::1-fd86::9", addresses(&["10.0.0.0/8", "fd86::1-fd86::9"])),
    ] {
        let rule = convert(v1::Rule { from: text.into(), ..good_rule() }).expect(text);
        assert_eq!(rule.source, expected, "{text}");
    }
    let scoped = v1::Rule { from_labels: [("env".into(), "prod".into())].into(), ..good_rule() };
    let labels = "env=prod".parse().expect("labels");
    assert_eq!(
        convert(scoped).expect("rule").source,
        End::Service { pattern: ServicePattern("unit:shop".into()), labels }
    );
}

#[test]
fn bad_rules_say_where_and_what_to_do() {
    type Spoil = fn(&mut v1::Rule);
    let cases: [(Spoil, &str); 16] = [
        (|r| r.from = "web".into(), "from: 'web' is ambiguous: write one of exe:/opt/web, unit:web"),
        (
            |r| r.from = "nix".into(),
            "from: no service is named 'nix': write its full key, such as unit:nix, if it is yet to come",
        ),
        (
            |r| r.from = "postgres*".into(),
            "from: 'postgres*' matches no key: start it with unit:, exe:, container:, svc: or *",
        ),
        (|r| r.from = String::new(), "from: is missing: write any, a service, an address or an object's name"),
        (|r| r.from = "10.0.0.1/8".into(), "from: '10.0.0.1/8' has host bits set: write 10.0.0.0/8"),
        (
            |r| r.from = "10.0.0.300".into(),
            "from: '10.0.0.300' is no address: use 10.0.0.1, 10.0.0.0/8 or 10.0.0.1-10.0.0.9",
        ),
        (|r| r.from = "unit:".into(), "from: a service key has 1 to 512 bytes after its prefix"),
        (|r| r.ports = vec!["tcp/70000".into()], "ports: '70000' is not a port: a port is a number from 0 to 65535"),
        (|r| r.effect = "deny".into(), "effect: 'deny' is none of: allow, alert, prevent"),
        (|r| r.effect = String::new(), "effect: '' is none of: allow, alert, prevent"),
        (|r| r.on_failure = "ajar".into(), "on_failure: 'ajar' is none of: open, closed"),
        (|r| r.learned = "deny".into(), "learned: 'deny' is none of: allow, or nothing"),
        (|r| r.expires = "soon".into(), "expires: 'soon' is no time: write 2027-01-31 or 2027-01-31T18:00:00Z"),
        (|r| r.name = "a\nb".into(), "name: rule name 'a\\nb' is not usable: give 1 to 200 printable characters"),
        (
            |r| (r.from, r.to) = ("any".into(), "office".into()),
            "from: rule 'r' has no service on either side: make its source or destination a service such as unit:nginx",
        ),
        (
            |r| (r.from, r.from_labels) = ("any".into(), [("a".into(), "b".into())].into()),
            "from_labels: labels select the hosts of a service, and this end is none: write service: \"*\" for all services",
        ),
    ];
    for (spoil, expected) in cases {
        let mut message = good_rule();
        spoil(&mut message);
        assert_eq!(convert(message).expect_err(expected), expected);
    }
}

#[test]
fn errors_in_lists_name_the_entry() {
    let keys = keys();
    let resolve = |name: &str| policy::resolve_among(name, &keys);
    let bad = v1::Rule { name: "b".into(), ports: vec!["tcp/70000".into()], ..good_rule() };
    let error = policy::rules(vec![good_rule(), bad], &the_objects(), &resolve).expect_err("port");
    assert_eq!(error.field, "rules[1].ports");
    assert_eq!(tonic::Status::from(error).code(), tonic::Code::InvalidArgument);
    let error = policy::rules(vec![good_rule(), good_rule()], &the_objects(), &resolve).expect_err("twice");
    assert_eq!(error.to_string(), "rules[1].name: two rules are named 'r': names are unique");
    let bad =
        v1::AddressObject { name: "o".into(), addresses: vec!["10.0.0.1".into(), "x".into()], ..Default::default() };
    assert_eq!(policy::objects(vec![bad]).expect_err("address").field, "objects[0].addresses[1]");
    for name in ["any", "internet", "10.0.0.1", "unit:x", "a b", "", "fd86::1", "a*"] {
        let bad = v1::AddressObject { name: name.into(), addresses: vec!["10.0.0.1".into()], ..Default::default() };
        assert_eq!(policy::objects(vec![bad]).expect_err(name).field, "objects[0].name");
    }
    let entry = v1::GroupEntry { addresses: "10.0.0.0/99".into(), ..v1::GroupEntry::default() };
    let policy = v1::HostPolicy {
        groups: vec![v1::Group { id: 1, entries: vec![entry] }],
        mode: "observe".into(),
        ..v1::HostPolicy::default()
    };
    assert_eq!(HostPolicy::try_from(policy).expect_err("address").field, "groups[0].entries[0].addresses");
    let rule = v1::HostRule {
        ports: vec!["any".into()],
        effect: "alert".into(),
        on_failure: "open".into(),
        peer_group: 9,
        ..v1::HostRule::default()
    };
    let policy = v1::HostPolicy { egress: vec![rule], mode: "observe".into(), ..v1::HostPolicy::default() };
    assert_eq!(
        HostPolicy::try_from(policy).expect_err("group").to_string(),
        "egress[0].peer_group: there is no group 9"
    );
}

#[test]
fn a_date_is_its_end() {
    let end = common::time("expires", "2027-01-31").expect("date");
    assert_eq!(common::time_text(end), "2027-02-01T00:00:00Z");
    assert_eq!(common::expiry_text(end), "2027-01-31");
    assert_eq!(common::expiry_text(end.plus(std::time::Duration::from_millis(1))), "2027-02-01T00:00:00.001Z");
    assert_eq!(
        common::time("t", "2027-01-31T18:00:00+02:00").map(common::time_text).as_deref(),
        Ok("2027-01-31T16:00:00Z")
    );
    for bad in ["", "2027-02-30", "1969-12-01", "9999-12-31", "20270131", "2027-01-31T18:00:00"] {
        common::time("t", bad).expect_err(bad);
    }
}

#[test]
fn evidence_is_cut_and_not_refused() {
    let process: Process = v1::Process { cmdline: "ä".repeat(5_000), ..v1::Process::default() }.into();
    assert_eq!(process.cmdline.len(), crate::limits::MAX_TEXT);
}

#[test]
fn pages_and_ranges_have_bounds() {
    let page = |size| v1::PageRequest { size, token: String::new() };
    assert_eq!(common::page_size(None), 1_000);
    assert_eq!(common::page_size(Some(&page(7))), 7);
    assert_eq!(common::page_size(Some(&page(u32::MAX))), 10_000);
    let range = |since_ms, until_ms| common::time_range("time", Some(&v1::TimeRange { since_ms, until_ms }));
    assert_eq!(range(5, 0), Ok((Timestamp(5), None)));
    assert_eq!(range(5, 9), Ok((Timestamp(5), Some(Timestamp(9)))));
    assert!(range(9, 5).is_err());
    assert_eq!(range(u64::MAX, 0).expect_err("late").field, "time.since_ms");
}
