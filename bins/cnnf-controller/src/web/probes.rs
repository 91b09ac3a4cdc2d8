//! Health and metrics, for scripts.

use std::fmt::Write as _;

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use cnnf_core::model::Phase;

use crate::controller::Controller;

/// The answer to these paths; `None` for others.
pub(super) fn answer(controller: &Controller, ready: bool, path: &str) -> Option<Response> {
    Some(match path {
        "/healthz" => "ok\n".into_response(),
        "/readyz" if ready => "ready\n".into_response(),
        "/readyz" => (StatusCode::SERVICE_UNAVAILABLE, "not ready\n").into_response(),
        "/metrics" => metrics(controller).into_response(),
        _ => return None,
    })
}

/// In the Prometheus text format, version 0.0.4.
fn metrics(controller: &Controller) -> impl IntoResponse + use<> {
    let mut text = String::new();
    let mut gauge = |name: &str, help: &str, values: &[(String, u64)]| {
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge");
        for (labels, value) in values {
            let _ = writeln!(text, "{name}{labels} {value}");
        }
    };
    let one = |value: usize| vec![(String::new(), value as u64)];
    let state = controller.state();
    gauge("cnnf_defenders", "Hosts with a defender.", &one(state.hosts.len()));
    let connected = state.hosts.values().filter(|host| host.live.is_some()).count();
    gauge("cnnf_defenders_connected", "Hosts whose stream is open.", &one(connected));
    gauge("cnnf_edges", "Edges known.", &one(state.topology.edges().len()));
    gauge("cnnf_rules", "Rules.", &one(state.policy.rules.len()));
    gauge("cnnf_policy_revision", "Number of the rules' newest change.", &[(String::new(), state.policy.revision)]);
    let phases: Vec<(String, u64)> = Phase::ALL
        .iter()
        .map(|phase| {
            let count = state.policy.models.values().filter(|model| model.phase == *phase).count();
            (format!("{{phase=\"{phase}\"}}"), count as u64)
        })
        .collect();
    gauge("cnnf_models", "Models by phase.", &phases);
    // what hosts are called is nothing for everybody: sums only
    let sum = |counter: &str| state.hosts.values().filter_map(|host| host.counters.get(counter)).sum::<u64>();
    let fates = [("passed", "fail_open"), ("lost", "queue_dropped"), ("lost_evidence", "evidence_dropped")];
    let fates = fates.map(|(fate, counter)| (format!("{{fate=\"{fate}\"}}"), sum(counter)));
    gauge(
        "cnnf_unjudged_packets",
        "Packets that got no verdict in time, on all hosts, since each defender's start.",
        &fates,
    );
    gauge("cnnf_queued_packets", "Packets that waited for a name, likewise.", &[(String::new(), sum("queue_packets"))]);
    drop(state);
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text)
}
