//! One small world and what the semantics say of it: a shop with a database, a shell user, and a machine without a defender.

use std::net::IpAddr;

use crate::directory::{Directory, Endpoint, Host, Instance};
use crate::id::{HostId, ServiceKey};
use crate::label::Labels;
use crate::model::{Model, Phase, Seen};
use crate::net::{Ports, Protocol};
use crate::policy::{
    Connection, Considered, Decision, Effect, End, GroupEntry, LocalMatch, Mode, Party, PeerMatch, PolicySet, Reason,
    Rule, RuleId, ServicePattern, Vantage, evaluate, evaluate_trail, resolve,
};
use crate::time::Timestamp;
use crate::topology::{Edge, Peer};

const NOW: Timestamp = Timestamp(1_000_000);
const SHOP: &str = "unit:shop";
const CURL: &str = "exe:/usr/bin/curl";
const DB: &str = "unit:postgresql@15-main";

fn address(text: &str) -> IpAddr {
    text.parse().expect("address")
}

fn key(text: &str) -> ServiceKey {
    text.parse().expect("key")
}

fn host(name: &str, labels: &str, at: &str, services: &[(&str, u16)]) -> (HostId, Host) {
    let instances = services.iter().map(|(service, port)| {
        let endpoint = Endpoint { protocol: Protocol::Tcp, address: None, port: *port };
        let endpoints = (*port != 0).then_some(endpoint).into_iter().collect();
        (key(service), Instance { endpoints, live: true, ..Instance::default() })
    });
    let host = Host {
        name: name.into(),
        labels: labels.parse().expect("labels"),
        addresses: [address(at)].into(),
        mode: Mode::Enforce,
        instances: instances.collect(),
    };
    (HostId::new(name), host)
}

fn directory() -> Directory {
    let hosts = [
        host("web1", "env=prod", "10.0.0.1", &[(SHOP, 80), (CURL, 0)]),
        host("db1", "env=prod", "10.0.0.2", &[(DB, 5432)]),
        host("test1", "env=test", "10.0.0.3", &[(CURL, 0)]),
    ];
    hosts.into_iter().collect()
}

pub(super) fn service(text: &str) -> End {
    End::Service { pattern: ServicePattern(text.into()), labels: Labels::default() }
}

pub(super) fn rule(id: u64, source: End, destination: End, effect: Effect) -> Rule {
    Rule { revision: 7, ..Rule::new(RuleId(id), format!("rule {id}"), source, destination, effect) }
}

/// From a service of a host, or an address without a defender, to a database's port.
fn to_db(from: &str, client: Option<&str>) -> Connection {
    let directory = directory();
    let at = directory.host(&HostId::new(from)).map(|h| *h.addresses.first().expect("one"));
    Connection {
        client: Party {
            host: at.map(|_| HostId::new(from)),
            service: client.map(key),
            address: at.unwrap_or_else(|| address(from)),
        },
        server: Party { host: Some(HostId::new("db1")), service: None, address: address("10.0.0.2") },
        protocol: Protocol::Tcp,
        port: 5432,
    }
}

fn judge(policy: &PolicySet, connection: &Connection, vantage: Vantage) -> Decision {
    evaluate(policy, &directory(), connection, vantage, NOW)
}

fn rules(rules: impl IntoIterator<Item = Rule>) -> PolicySet {
    PolicySet { rules: rules.into_iter().collect(), ..PolicySet::default() }
}

fn model(phase: Phase, edges: &[(Peer, Peer)]) -> Model {
    let seen = Seen { first: NOW, last: NOW, connections: 1, ..Seen::default() };
    let edge = |(client, server): &(Peer, Peer)| Edge {
        client: client.clone(),
        server: server.clone(),
        protocol: Protocol::Tcp,
        port: 5432,
    };
    Model { phase, edges: edges.iter().map(|pair| (edge(pair), seen)).collect(), ..Model::new(NOW) }
}

fn peer(text: &str) -> Peer {
    text.parse().expect("peer")
}

#[test]
fn the_first_rule_that_matches_decides() {
    let policy = rules([
        rule(1, service(SHOP), service("unit:postgresql@*"), Effect::Allow),
        rule(2, End::Any, service("unit:postgresql@*"), Effect::Prevent),
    ]);
    for (client, effect, id) in
        [(Some(SHOP), Effect::Allow, 1), (Some(CURL), Effect::Prevent, 2), (Some("unknown"), Effect::Prevent, 2)]
    {
        let decision = judge(&policy, &to_db("web1", client), Vantage::Client);
        let reason = Reason::Rule { id: RuleId(id), name: format!("rule {id}"), revision: 7 };
        assert_eq!(decision, Decision { effect, reason }, "{client:?}");
    }
}

#[test]
fn labels_ports_and_switches_narrow_a_rule() {
    let scoped =
        |labels: &str| End::Service { pattern: ServicePattern(CURL.into()), labels: labels.parse().expect("labels") };
    let effect = |rule: Rule| judge(&rules([rule]), &to_db("test1", Some(CURL)), Vantage::Client).effect;
    let prevent = |source: End| rule(1, source, service(DB), Effect::Prevent);
    assert_eq!(effect(prevent(scoped("env=test"))), Effect::Prevent);
    assert_eq!(effect(prevent(scoped("env=prod"))), Effect::Allow);
    assert_eq!(effect(Rule { ports: Ports::parse(&["tcp/80"]).expect("ports"), ..prevent(End::Any) }), Effect::Allow);
    assert_eq!(effect(Rule { enabled: false, ..prevent(End::Any) }), Effect::Allow);
}

#[test]
fn an_expired_prevent_alerts_and_an_expired_allow_is_gone() {
    let expired = |effect| Rule { expires_at: Some(NOW), ..rule(1, End::Any, service(DB), effect) };
    let then = rule(2, End::Any, service(DB), Effect::Prevent);
    let decide = |effect| judge(&rules([expired(effect), then.clone()]), &to_db("web1", Some(SHOP)), Vantage::Client);
    assert_eq!(decide(Effect::Prevent).effect, Effect::Alert);
    assert_eq!(decide(Effect::Allow).effect, Effect::Prevent);
}

#[test]
fn a_learned_edge_passes_where_the_rule_says_so() {
    let learned = Rule { learned_allow: true, ..rule(1, End::Any, service(DB), Effect::Prevent) };
    let mut policy = rules([learned]);
    let edges = [(peer(SHOP), peer(DB))];
    policy.models.insert(key(SHOP), model(Phase::Learning, &edges));
    policy.models.insert(key(DB), model(Phase::Learning, &edges));
    for vantage in [Vantage::Client, Vantage::Server] {
        assert_eq!(judge(&policy, &to_db("web1", Some(SHOP)), vantage).effect, Effect::Allow);
        assert_eq!(judge(&policy, &to_db("test1", Some(CURL)), vantage).effect, Effect::Prevent);
    }
}

#[test]
fn an_active_model_objects_and_a_learning_one_never_does() {
    let mut policy = PolicySet::default();
    policy.models.insert(key(DB), model(Phase::Active, &[(peer(SHOP), peer(DB))]));
    policy.models.insert(key(CURL), model(Phase::DryRun, &[]));
    let alert = Decision { effect: Effect::Alert, reason: Reason::Model(key(DB)) };
    assert_eq!(judge(&policy, &to_db("web1", Some(SHOP)), Vantage::Client).effect, Effect::Allow);
    assert_eq!(judge(&policy, &to_db("web1", Some(CURL)), Vantage::Client), alert);
    assert_eq!(
        judge(&policy, &to_db("web1", Some("unknown")), Vantage::Client),
        alert,
        "no model of its own, but the server's"
    );
    policy.learning_off = true;
    assert_eq!(judge(&policy, &to_db("web1", Some(CURL)), Vantage::Client).reason, Reason::Default);
}

#[test]
fn if_both_models_object_the_stricter_effect_wins() {
    let mut policy = PolicySet::default();
    policy.models.insert(key(DB), model(Phase::Active, &[]));
    policy.models.insert(key(CURL), Model { anomaly_effect: Some(Effect::Prevent), ..model(Phase::Active, &[]) });
    let decision = judge(&policy, &to_db("web1", Some(CURL)), Vantage::Client);
    assert_eq!(decision, Decision { effect: Effect::Prevent, reason: Reason::Model(key(CURL)) });
}

#[test]
fn the_servers_side_prevents_only_what_no_service_of_that_host_may_do() {
    let policy =
        rules([rule(1, service(SHOP), service(DB), Effect::Allow), rule(2, End::Any, service(DB), Effect::Prevent)]);
    let at_server = |from: &str, client| judge(&policy, &to_db(from, client), Vantage::Server);
    assert_eq!(at_server("web1", Some(SHOP)).reason, Reason::OtherSide);
    assert_eq!(at_server("web1", Some(CURL)).effect, Effect::Allow, "only its own host can tell curl from the shop");
    assert_eq!(judge(&policy, &to_db("web1", Some(CURL)), Vantage::Client).effect, Effect::Prevent, "and does");
    assert_eq!(at_server("test1", Some(CURL)).effect, Effect::Prevent, "no shop there");
    assert_eq!(at_server("192.0.2.9", None).effect, Effect::Prevent, "no defender there: exact");
}

#[test]
fn an_alert_is_given_once_by_the_side_that_knows_the_service() {
    let policy = rules([rule(1, End::Any, service(DB), Effect::Alert)]);
    assert_eq!(judge(&policy, &to_db("web1", Some(CURL)), Vantage::Client).effect, Effect::Alert);
    assert_eq!(judge(&policy, &to_db("web1", Some(CURL)), Vantage::Server).reason, Reason::OtherSide);
    assert_eq!(judge(&policy, &to_db("192.0.2.9", None), Vantage::Server).effect, Effect::Alert);
}

#[test]
fn a_peer_learned_by_address_is_known_by_address() {
    let mut policy = PolicySet::default();
    policy.models.insert(key(DB), model(Phase::Active, &[(peer("10.0.0.3"), peer(DB))]));
    let from_test1 = to_db("test1", Some(CURL));
    assert_eq!(judge(&policy, &from_test1, Vantage::Client).effect, Effect::Allow, "learned before it had a defender");
    assert_eq!(judge(&policy, &to_db("web1", Some(CURL)), Vantage::Client).effect, Effect::Alert);
}

#[test]
fn the_trail_lists_what_was_considered() {
    let mut policy = rules([rule(1, service(SHOP), service(DB), Effect::Prevent)]);
    policy.models.insert(key(DB), model(Phase::Active, &[]));
    let trail = evaluate_trail(&policy, &directory(), &to_db("web1", Some(CURL)), Vantage::Client, NOW);
    let steps: Vec<_> = trail.steps.iter().map(|step| (&step.what, step.matched)).collect();
    let first = Considered::Rule { id: RuleId(1), name: "rule 1".into(), effect: Effect::Prevent };
    assert_eq!(steps, [(&first, false), (&Considered::Model(key(DB)), false)]);
    assert_eq!(trail.decision.effect, Effect::Alert);
}

#[test]
fn a_change_of_members_changes_no_entry() {
    let policy =
        rules([rule(1, service(SHOP), service(DB), Effect::Allow), rule(2, End::Any, service(DB), Effect::Prevent)]);
    let mut directory = directory();
    let before = resolve(&policy, &directory, &HostId::new("web1"), NOW, 1);
    let (id, db2) = host("db2", "env=prod", "10.0.0.4", &[(DB, 5432)]);
    directory.insert(id, db2);
    let after = resolve(&policy, &directory, &HostId::new("web1"), NOW, 2);
    assert_eq!((&before.egress, &before.ingress), (&after.egress, &after.ingress));
    let PeerMatch::Group(id) = before.egress[0].peer else { panic!("a group") };
    let entry = |at: &str| GroupEntry {
        addresses: at.parse().expect("address"),
        own: false,
        port: Some((Protocol::Tcp, 5432)),
    };
    assert_eq!(*before.groups[&id].entries, [entry("10.0.0.2")].into());
    assert_eq!(*after.groups[&id].entries, [entry("10.0.0.2"), entry("10.0.0.4")].into());
    assert_eq!(before.egress[0].local, LocalMatch::Service(ServicePattern(SHOP.into())));
}

#[test]
fn a_host_that_is_not_in_the_directory_judges_nothing() {
    let policy = rules([rule(1, End::Any, service(DB), Effect::Prevent)]);
    let resolved = resolve(&policy, &directory(), &HostId::new("stranger"), NOW, 3);
    assert_eq!((resolved.generation, resolved.mode), (3, Mode::Observe));
    assert!(resolved.egress.is_empty() && resolved.ingress.is_empty());
}
