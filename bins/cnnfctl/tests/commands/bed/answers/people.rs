//! Users, API tokens and the record of changes.

use cnnf_rpc::v1::*;

pub(in super::super) fn at(minute: u64) -> Option<prost_types::Timestamp> {
    // 2026-11-24T06:00:00Z
    Some(cnnf_rpc::convert::common::stamp(cnnf_core::time::Timestamp((1_795_500_000 + minute * 60) * 1000)))
}

pub(crate) fn users() -> Vec<User> {
    let user = |name: &str, role: &str, disabled, must_change_password, last_sign_in| User {
        name: name.into(),
        role: role.into(),
        disabled,
        must_change_password,
        created: at(0),
        last_sign_in,
        issuer: String::new(),
    };
    vec![
        user("admin", "admin", false, false, at(5)),
        user("jo", "auditor", true, false, at(1)),
        user("new", "operator", false, true, None),
    ]
}

pub(crate) fn tokens() -> Vec<ApiToken> {
    let token = |name: &str, role: &str, last_used| ApiToken {
        name: name.into(),
        role: role.into(),
        created_by: "admin".into(),
        created: at(0),
        expires: at(90 * 24 * 60),
        last_used,
    };
    vec![token("backup", "auditor", at(7)), token("ci", "operator", None)]
}

pub(crate) fn audit() -> Vec<AuditEntry> {
    let entry = |id, actor: &str, via: &str, action: &str, subject: &str, before: &str, after: &str| AuditEntry {
        id,
        at: at(id),
        actor: actor.into(),
        via: via.into(),
        address: if via.is_empty() { String::new() } else { "10.0.0.7".into() },
        action: action.into(),
        subject: subject.into(),
        before: before.into(),
        after: after.into(),
        hash: format!("{id:064x}"),
    };
    vec![
        entry(3, "admin", "session", "settings.set", "learn_for", "\"1h\"", "\"2h\""),
        entry(2, "ci", "token", "host.delete", "web\u{202e}1\x1b[2J", "{\"id\":\"h-1\"}", ""),
        entry(1, "controller", "", "user.add", "admin", "", "{\"role\":\"admin\"}"),
    ]
}
