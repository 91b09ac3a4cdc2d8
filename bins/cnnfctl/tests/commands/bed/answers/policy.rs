//! Rules, objects and what is said of drafts.

use cnnf_rpc::v1::*;

use super::edge_of;

pub(crate) fn unconfirmed(revision: u64, base_revision: u64, seconds: u32) -> UnconfirmedChange {
    UnconfirmedChange {
        revision,
        base_revision,
        who: "admin root".into(),
        at: "2026-11-24T06:38:00Z".into(),
        until: "2026-11-24T06:43:00Z".into(),
        left_ms: u64::from(seconds) * 1000 - 1,
    }
}

pub(crate) fn rules() -> Vec<Rule> {
    vec![
        Rule {
            id: 3,
            name: "watch the page".into(),
            position: 1,
            enabled: true,
            from: "unit:fetch".into(),
            to: "unit:nginx".into(),
            ports: vec!["tcp/80,443".into()],
            effect: "alert".into(),
            on_failure: "open".into(),
            revision: 7,
            hits: 9,
            last_used: "2026-11-24T06:20:09Z".into(),
            ..Rule::default()
        },
        Rule {
            id: 2,
            name: "nobody else".into(),
            position: 2,
            enabled: false,
            from: "office".into(),
            to: "unit:postgresql@*".into(),
            to_labels: [("env".into(), "prod".into())].into(),
            ports: vec!["any".into()],
            effect: "prevent".into(),
            on_failure: "closed".into(),
            learned: "allow".into(),
            expires: "2027-01-31".into(),
            owner: "dba".into(),
            ticket: "OPS-12".into(),
            notes: "two\nlines, and a * in it: yes".into(),
            revision: 4,
            ..Rule::default()
        },
    ]
}

pub(crate) fn objects() -> Vec<AddressObject> {
    vec![AddressObject {
        name: "office".into(),
        addresses: vec!["10.8.0.0/16".into(), "2001:db8:8::/48".into()],
        ..Default::default()
    }]
}

pub(crate) fn explanation() -> ExplainResponse {
    let step = |what: &str, matched| ExplainStep { what: what.into(), matched };
    ExplainResponse {
        effect: "prevent".into(),
        rule: "nobody else".into(),
        side: "client".into(),
        host: "client".into(),
        mode: "observe".into(),
        steps: vec![step("rule 'watch the page' (alert)", false), step("rule 'nobody else' (prevent)", true)],
        ..ExplainResponse::default()
    }
}

pub(crate) fn revisions() -> Vec<Revision> {
    let field = |field: &str, before: &str, after: &str| FieldChange {
        field: field.into(),
        before: before.into(),
        after: after.into(),
    };
    let revision = |revision, who: &str, reason: &str, summary: &str| Revision {
        revision,
        at: format!("2026-11-24T06:3{revision}:00Z"),
        who: who.into(),
        reason: reason.into(),
        summary: summary.into(),
        changes: Vec::new(),
        note: String::new(),
        changes_left_out: 0,
    };
    let change = |change: &str, kind: &str, name: &str, positions: (u32, u32), fields| PolicyChange {
        change: change.into(),
        kind: kind.into(),
        name: name.into(),
        position_before: positions.0,
        position_after: positions.1,
        fields,
    };
    let changes = vec![
        change("changed", "object", "office", (0, 0), vec![field("addresses", "10.8.0.0/16", "10.9.0.0/16, 10.8.0.1")]),
        change(
            "added",
            "rule",
            "watch the page",
            (0, 1),
            vec![
                field("from", "", "unit:fetch"),
                field("to", "", "unit:nginx where env=prod"),
                field("ports", "", "tcp/80"),
                field("effect", "", "alert"),
            ],
        ),
        change(
            "changed",
            "rule",
            "nobody else",
            (1, 2),
            vec![field("effect", "alert", "prevent"), field("owner", "", "dba\u{1b}[2J")],
        ),
        change("moved", "rule", "first", (3, 1), Vec::new()),
        change("deleted", "rule", "old", (4, 0), vec![field("from", "any", ""), field("to", "unit:db", "")]),
    ];
    vec![
        revision(3, "admin root", "OPS-7: \u{1b}[2J", "1 added, 1 changed, 1 moved, 1 deleted, 1 object"),
        Revision { note: "confirmed by admin ann".into(), ..revision(2, "admin ann", "", "1 changed") },
        Revision { changes, ..revision(1, "admin root", "first", "1 added") },
    ]
}

pub(crate) fn simulation(changes: bool) -> SimulatePolicyResponse {
    let nothing = SimulatePolicyResponse {
        edges: 40,
        connections: 9_000,
        prevented: Some(Tally::default()),
        alerted: Some(Tally::default()),
        allowed: Some(Tally::default()),
        shifts: Vec::new(),
        live: Some(LiveCut { hosts: 2, ..LiveCut::default() }),
    };
    if !changes {
        return nothing;
    }
    let fate = |effect: &str, rule: &str, model: &str, mode: &str| Fate {
        effect: effect.into(),
        rule: rule.into(),
        model: model.into(),
        side: "client".into(),
        host: "web\u{1b}1".into(),
        mode: mode.into(),
    };
    let shift = |connections, before, after, partly| Shift {
        edge: edge_of(Peer { service: "unit:fetch".into(), ..Peer::default() }, "unit:nginx", 80),
        connections,
        last_seen: "2026-11-24T06:30:00Z".into(),
        before: Some(before),
        after: Some(after),
        partly,
        client_address: "10.0.0.1".into(),
        server_address: "10.0.0.2".into(),
    };
    let tally = |edges, connections, recent_edges| Tally {
        edges,
        connections,
        recent_edges,
        services: vec!["unit:fetch".into(), "unit:nginx".into()],
    };
    SimulatePolicyResponse {
        prevented: Some(tally(2, 77, 1)),
        alerted: Some(tally(1, 5, 0)),
        shifts: vec![
            shift(70, fate("allow", "", "", ""), fate("prevent", "nobody else", "", "observe"), true),
            shift(7, fate("alert", "watch", "", ""), fate("prevent", "nobody else", "", "enforce"), false),
            shift(5, fate("allow", "", "", ""), fate("alert", "", "unit:nginx", "enforce"), false),
        ],
        live: Some(live_cut()),
        ..nothing
    }
}

pub(crate) fn live_cut() -> LiveCut {
    let edge = edge_of(Peer { service: "unit:fetch".into(), ..Peer::default() }, "unit:nginx", 80);
    LiveCut {
        connections: 12,
        cuts: vec![HostCut { host: "web\u{1b}1".into(), edge, connections: 12 }],
        hosts: 1,
        silent: vec![SilentHost { host: "db1".into(), why: "it is not connected".into() }],
    }
}

pub(crate) fn findings() -> Vec<Finding> {
    let finding = |rule: &str, fault: &str, why: &str, fix: &str, other: &str| Finding {
        rule: rule.into(),
        fault: fault.into(),
        why: why.into(),
        fix: fix.into(),
        other: other.into(),
    };
    vec![
        finding("late", "shadowed", "rule 'first' decides all of it already, to the same effect", "delete it", "first"),
        finding("late\u{202e}", "ownerless", "nobody answers for it", "give it an owner", ""),
    ]
}

pub(crate) fn suggestions(rest: &str) -> SuggestRulesResponse {
    let rule = |name: &str, from: &str, to: &str, ports: &str, effect: &str| Rule {
        name: name.into(),
        enabled: true,
        from: from.into(),
        to: to.into(),
        ports: vec![ports.into()],
        effect: effect.into(),
        on_failure: "open".into(),
        ..Rule::default()
    };
    let seen = |client: Peer, connections| LearnedEdge {
        edge: edge_of(client, "unit:nginx", 80),
        first_seen: "2026-11-24T06:00:00Z".into(),
        last_seen: "2026-11-24T06:30:00Z".into(),
        connections,
        ..LearnedEdge::default()
    };
    let service = Peer { service: "unit:fetch".into(), ..Peer::default() };
    let object = Peer { object: "office".into(), ..Peer::default() };
    let mut suggestions = vec![
        Suggestion {
            rule: Some(rule("unit:fetch to unit:nginx", "unit:fetch", "unit:nginx", "tcp/80", "allow")),
            witnesses: vec![seen(service, 1)],
            widened: Vec::new(),
        },
        Suggestion {
            rule: Some(rule("object:office to unit:nginx", "office", "unit:nginx", "tcp/80,32768-65535", "allow")),
            witnesses: vec![seen(object, 40)],
            widened: vec![
                "all of tcp/32768-65535, as the model knew too many of these ports to tell them apart".into(),
            ],
        },
    ];
    if !rest.is_empty() {
        let rule = Some(rule("anybody else to unit:nginx", "any", "unit:nginx", "any", rest));
        suggestions.push(Suggestion { rule, ..Suggestion::default() });
    }
    SuggestRulesResponse { suggestions, objects: objects() }
}
