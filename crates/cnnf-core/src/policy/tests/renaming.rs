//! What other definitions would rename.

use std::collections::BTreeSet;

use crate::directory::{Directory, Endpoint, Host, Instance};
use crate::id::{HostId, ServiceKey};
use crate::identity::Definition;
use crate::net::{Ports, Protocol};
use crate::policy::{Effect, End, Mode, PolicySet, Renaming, Rule, RuleId, ServicePattern, renaming};

fn key(text: &str) -> ServiceKey {
    text.parse().expect("key")
}

fn set(text: &str) -> BTreeSet<String> {
    [text.to_owned()].into()
}

fn by_unit(name: &str, unit: &str) -> Definition {
    Definition { name: name.into(), units: set(unit), ..Definition::default() }
}

/// A service with its port (0 for none) and what it is called without definitions (empty for the same).
type Runs = (&'static str, u16, &'static str);

/// Hosts with their labels and services.
fn directory(hosts: &[(&str, &str, &[Runs])]) -> Directory {
    let hosts = hosts.iter().map(|(name, labels, services)| {
        let instances = services.iter().map(|(service, port, natural)| {
            let endpoint = Endpoint { protocol: Protocol::Tcp, address: None, port: *port };
            let instance = Instance {
                endpoints: (*port != 0).then_some(endpoint).into_iter().collect(),
                live: true,
                natural: natural.split(',').filter(|text| !text.is_empty()).map(key).collect(),
            };
            (key(service), instance)
        });
        let host = Host {
            name: (*name).into(),
            labels: labels.parse().expect("labels"),
            addresses: BTreeSet::new(),
            mode: Mode::Observe,
            instances: instances.collect(),
        };
        (HostId::new(name), host)
    });
    hosts.collect()
}

fn rule(id: u64, pattern: &str) -> Rule {
    Rule {
        revision: 1,
        ..Rule::new(
            RuleId(id),
            pattern,
            End::Service { pattern: ServicePattern(pattern.into()), labels: "".parse().expect("labels") },
            End::Any,
            Effect::Alert,
        )
    }
}

/// `host: old -> new`, with a question mark where it is not certain.
fn told(renaming: &Renaming) -> Vec<String> {
    let told = renaming.renamed.iter().map(|r| {
        let new = r.new.as_ref().map_or("?", |key| key.as_str());
        format!("{}: {} -> {new}{}", r.host, r.old, if r.certain { "" } else { " ?" })
    });
    told.collect()
}

#[test]
fn units_and_ports_are_certain() {
    let directory = directory(&[
        ("a", "env=prod", &[("unit:nginx", 80, ""), ("unit:nginx-exporter", 9100, ""), ("exe:/usr/bin/curl", 0, "")]),
        ("b", "env=test", &[("unit:nginx", 80, "")]),
    ]);
    let mut policy = PolicySet {
        rules: vec![rule(1, "unit:nginx"), rule(2, "unit:nginx*"), rule(3, "*:*"), rule(4, "unit:other")].into(),
        ..PolicySet::default()
    };
    policy.service_modes.insert(key("unit:nginx"), Mode::Observe);
    let web = by_unit("web", "nginx");
    let everywhere = renaming(&policy, std::slice::from_ref(&web), &directory);
    assert_eq!(told(&everywhere), ["a: unit:nginx -> svc:web", "b: unit:nginx -> svc:web"]);
    let lost = &everywhere.lost[&key("unit:nginx")];
    assert_eq!((lost.certain, lost.mode), (true, Some(Mode::Observe)));
    assert_eq!(lost.rules, ["unit:nginx", "unit:nginx*"], "a rule that means the new name too is none that loses");
    assert!(everywhere.by_process.is_empty());

    let prod = Definition { labels: "env=prod".parse().expect("labels"), ..web };
    let some = renaming(&policy, &[prod], &directory);
    assert_eq!(told(&some), ["a: unit:nginx -> svc:web"]);
    assert!(some.lost.is_empty(), "the other host still has it");

    let ports = Ports::parse(&["tcp/9000-9200"]).expect("ports");
    let metrics = Definition { name: "metrics".into(), ports, ..Definition::default() };
    assert_eq!(told(&renaming(&policy, &[metrics], &directory)), ["a: unit:nginx-exporter -> svc:metrics"]);
}

#[test]
fn what_depends_on_processes_may_be() {
    let directory =
        directory(&[("a", "", &[("unit:shop", 80, ""), ("exe:/usr/bin/curl", 0, ""), ("exe:/opt/x.py", 0, "")])]);
    let policy = PolicySet { rules: vec![rule(1, "unit:shop")].into(), ..PolicySet::default() };
    let fetch = Definition { name: "fetch".into(), executables: set("/usr/bin/curl"), ..Definition::default() };
    let said = renaming(&policy, std::slice::from_ref(&fetch), &directory);
    assert_eq!(told(&said), ["a: exe:/usr/bin/curl -> svc:fetch", "a: unit:shop -> svc:fetch ?"]);
    assert_eq!(said.by_process, [(HostId::new("a"), key("unit:shop"))].into());
    assert!(!said.lost[&key("unit:shop")].certain);

    let kept = [by_unit("shop", "shop"), fetch];
    let said = renaming(&policy, &kept, &directory);
    assert_eq!(
        told(&said),
        ["a: exe:/usr/bin/curl -> svc:fetch", "a: unit:shop -> svc:shop"],
        "an earlier one decides"
    );
    assert!(said.by_process.is_empty());

    let mine = Definition { name: "mine".into(), users: set("me"), ..by_unit("", "session-*.scope") };
    let said = renaming(&policy, &[mine], &directory);
    assert_eq!(told(&said), ["a: exe:/opt/x.py -> svc:mine ?", "a: exe:/usr/bin/curl -> svc:mine ?"]);
}

#[test]
fn names_go_back_and_over_as_far_as_hosts_have_told() {
    let directory = directory(&[("a", "", &[("svc:web", 80, "unit:nginx,unit:apache2"), ("svc:jobs", 0, "")])]);
    let jobs = Definition { name: "jobs".into(), users: set("me"), ..Definition::default() };
    let web = Definition { units: ["nginx".into(), "apache2".into()].into(), ..by_unit("web", "") };
    let policy = PolicySet {
        definitions: vec![jobs.clone(), web.clone()],
        rules: vec![rule(1, "svc:web")].into(),
        ..PolicySet::default()
    };
    let said = renaming(&policy, &[], &directory);
    assert_eq!(told(&said), ["a: svc:jobs -> ?", "a: svc:web -> unit:apache2", "a: svc:web -> unit:nginx"]);
    assert_eq!(said.lost[&key("svc:web")].rules, ["svc:web"]);
    let said = renaming(&policy, &[jobs.clone(), by_unit("web", "nginx")], &directory);
    assert_eq!(told(&said), ["a: svc:web -> unit:apache2 ?"], "its user may be the jobs' as before");
    assert_eq!(told(&renaming(&policy, &[jobs, web, by_unit("new", "none")], &directory)), Vec::<String>::new());
}
