//! Health and metrics, for scripts.

use std::fmt::Write as _;

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use cnnf_core::event::EventKind;
use cnnf_core::model::Phase;

use crate::controller::Controller;

/// The answer to these paths; `None` for others.
pub(super) fn answer(controller: &Controller, path: &str) -> Option<Response> {
    Some(match path {
        "/healthz" => "ok\n".into_response(),
        "/readyz" => match controller.health.unready() {
            None => "ready\n".into_response(),
            Some(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {why}\n")).into_response(),
        },
        "/metrics" => metrics(controller).into_response(),
        _ => return None,
    })
}

/// In the Prometheus text format, version 0.0.4.
fn metrics(controller: &Controller) -> impl IntoResponse + use<> {
    let mut text = String::new();
    let mut put = |kind: &str, name: &str, help: &str, values: &[(String, u64)]| {
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (labels, value) in values {
            let _ = writeln!(text, "{name}{labels} {value}");
        }
    };
    let alone = |value: u64| vec![(String::new(), value)];
    let told: Vec<(String, u64)> =
        EventKind::ALL.iter().map(|kind| (format!("{{kind=\"{kind}\"}}"), controller.times_told(*kind))).collect();
    put("counter", "cnnf_events_total", "How often an event of a kind began or was counted up.", &told);
    let channels = controller.alerts.totals();
    let states = [("good", channels.good), ("failing", channels.failing), ("disabled", channels.disabled)];
    let states = states.map(|(state, count)| (format!("{{state=\"{state}\"}}"), count));
    put("gauge", "cnnf_alert_channels", "Alert channels by what became of their newest message.", &states);
    put(
        "counter",
        "cnnf_alerts_sent_total",
        "Messages that arrived from the channels that there are.",
        &alone(channels.sent),
    );
    put("counter", "cnnf_alerts_folded_total", "Events that were told folded, likewise.", &alone(channels.folded));
    put(
        "gauge",
        "cnnf_ready",
        "Whether it can do its work, as /readyz says.",
        &alone(controller.health.unready().is_none().into()),
    );
    put("gauge", "process_resident_memory_bytes", "Memory that the controller holds.", &alone(resident_bytes()));
    let mut gauge = |name: &str, help: &str, values: &[(String, u64)]| put("gauge", name, help, values);
    let one = |value: usize| vec![(String::new(), value as u64)];
    let state = controller.state();
    gauge("cnnf_defenders", "Hosts with a defender.", &one(state.hosts.len()));
    let connected = state.hosts.values().filter(|host| host.live.is_some()).count();
    gauge("cnnf_defenders_connected", "Hosts whose stream is open.", &one(connected));
    let degraded = state.hosts.values().filter(|host| host.status.as_ref().is_some_and(|s| s.outcome == "failed"));
    gauge(
        "cnnf_defenders_degraded",
        "Hosts whose newest table is not in force, as their kernel refused it: what was in force before holds.",
        &one(degraded.count()),
    );
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
    let refused = |what: &str| state.hosts.values().filter_map(|host| host.quota.refused().get(what)).sum::<u64>();
    let all = ["refused_flows", "refused_events", "refused_services", "refused_endpoints"];
    let all = all.map(|what| (format!("{{what=\"{}\"}}", what.trim_start_matches("refused_")), refused(what)));
    gauge("cnnf_refused", "What hosts brought beyond their quotas, since the controller's start.", &all);
    gauge(
        "cnnf_slowed_ms",
        "How long hosts' streams were read more slowly, likewise.",
        &[(String::new(), refused("slowed_ms"))],
    );
    drop(state);
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text)
}

/// Memory that this process holds (proc(5), `statm`).
fn resident_bytes() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").ok();
    let pages = pages.and_then(|text| text.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()));
    pages.unwrap_or(0) * rustix::param::page_size() as u64
}
