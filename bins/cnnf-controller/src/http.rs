//! The web port: health and metrics.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::State as Shared;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use cnnf_core::model::Phase;
use tokio::net::TcpListener;

use crate::controller::Controller;

/// What the pages are made from.
#[derive(Clone)]
struct Web {
    controller: Arc<Controller>,
    ready: Arc<AtomicBool>,
}

/// Serves until the controller ends.
pub(crate) async fn serve(
    controller: Arc<Controller>,
    listener: TcpListener,
    ready: Arc<AtomicBool>,
) -> std::io::Result<()> {
    let web = Web { controller: Arc::clone(&controller), ready };
    let router = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(web);
    axum::serve(listener, router).with_graceful_shutdown(async move { controller.ended().await }).await
}

async fn readyz(Shared(web): Shared<Web>) -> (StatusCode, &'static str) {
    if web.ready.load(Ordering::Relaxed) {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
    }
}

/// In the Prometheus text format, version 0.0.4.
async fn metrics(Shared(web): Shared<Web>) -> impl IntoResponse {
    let mut text = String::new();
    let mut gauge = |name: &str, help: &str, values: &[(String, u64)]| {
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge");
        for (labels, value) in values {
            let _ = writeln!(text, "{name}{labels} {value}");
        }
    };
    let one = |value: usize| vec![(String::new(), value as u64)];
    let state = web.controller.state();
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
    drop(state);
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text)
}
