//! Hosts, and what services are called.

use cnnf_rpc::v1::*;

pub(crate) fn defenders() -> Vec<Defender> {
    let defender = |host: &str, id: &str, connected, desired, applied, outcome: &str| Defender {
        host: host.into(),
        id: id.into(),
        labels: [("env".into(), "prod".into()), ("site".into(), "fra".into())].into(),
        addresses: vec!["10.86.0.1".into(), "fd86::1".into()],
        connected,
        mode: "enforce".into(),
        version: "0.1.0".into(),
        desired_generation: desired,
        applied_generation: applied,
        outcome: outcome.into(),
        queue: "native".into(),
        last_seen: "2026-11-24T06:30:00Z".into(),
        counters: [("flows".into(), 1200), ("queue_drops".into(), 0)].into(),
        ..Defender::default()
    };
    vec![
        defender("web1", "h-1", true, 5, 5, "applied"),
        Defender {
            certificate_expires: "2026-11-27T12:00:00Z".into(),
            clock_behind_ms: 3_600_417,
            ..defender("web2", "h-2", true, 6, 5, "applied")
        },
        Defender {
            version: "0.0.9".into(),
            outdated: true,
            message: "Operation not supported".into(),
            not_covered: vec!["network namespace 1 of container:nginx\u{1b}[2J (2 processes)".into()],
            ..defender("db", "h-3", false, 6, 5, "failed")
        },
        defender("twin", "h-4", true, 1, 1, "applied"),
        defender("twin", "h-5", true, 1, 1, "applied"),
    ]
}

pub(crate) fn definitions() -> Vec<ServiceDefinition> {
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    vec![
        ServiceDefinition {
            name: "web".into(),
            position: 1,
            units: texts(&["apache2", "nginx"]),
            labels: [("env".to_owned(), "prod".to_owned())].into(),
            changed_by: "administrator 'root'".into(),
            changed: "2026-11-24T10:00:00Z".into(),
            ..ServiceDefinition::default()
        },
        ServiceDefinition {
            name: "jobs".into(),
            position: 2,
            executables: texts(&["/opt/\u{1b}[2J/*.py"]),
            users: texts(&["www-data"]),
            ports: texts(&["tcp/80,443"]),
            changed_by: "administrator 'root'".into(),
            changed: "2026-11-24T10:00:01Z".into(),
            ..ServiceDefinition::default()
        },
    ]
}

pub(crate) fn would_rename() -> PreviewDefinitionResponse {
    let renaming = |host: &str, old: &str, new: &str, certainty: &str, live| Renaming {
        host: host.into(),
        host_id: format!("id-{host}"),
        old: old.into(),
        new: new.into(),
        certainty: certainty.into(),
        live,
    };
    let by_process = |host: &str, trouble: &str| ByProcess {
        host: host.into(),
        host_id: format!("id-{host}"),
        service: "unit:shop".into(),
        trouble: trouble.into(),
    };
    PreviewDefinitionResponse {
        renamings: vec![
            renaming("web1", "unit:nginx", "svc:web", "yes", true),
            renaming("web1", "unit:shop", "svc:web", "maybe", false),
            renaming("web2", "svc:old", "", "yes", true),
        ],
        lost: vec![LostKey {
            service: "unit:nginx".into(),
            certainty: "yes".into(),
            rules: vec!["to nginx".into(), "all \u{202e}units".into()],
            phase: "active".into(),
            mode: String::new(),
        }],
        by_process: vec![
            by_process("web1", ""),
            by_process("web2", ""),
            by_process("old", "its kernel cannot queue packets"),
        ],
        unknown: vec!["what runs now on hosts that are not connected: db1".into()],
        hosts: vec!["web1".into(), "web2".into()],
        revision: 4,
    }
}
