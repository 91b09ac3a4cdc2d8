//! What runs around the controller: reload, readiness, logs, metrics and what reads them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use cnnf_rpc::v1;
use cnnf_rpc::v1::session_service_client::SessionServiceClient;
use cnnf_rpc::v1::status_service_client::StatusServiceClient;
use serde_json::Value;

use crate::cli::get;
use crate::place::{Place, until};

#[tokio::test]
async fn a_reload_takes_up_all_of_it_or_says_everything_that_is_wrong() {
    let mut place = Place::new();
    place.kill();
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("c.toml");
    let write = |text: &str| {
        // as editors do it: a new file under the old name
        let new = folder.path().join("new");
        std::fs::write(&new, text).expect("written");
        std::fs::rename(&new, &file).expect("renamed");
    };
    write("log = \"info\"\n");
    place.start_with(&["--config", &file.display().to_string()]);
    write("lgo = \"debug\"\ncertificate_life = \"1s\"\nlog = \"a=b=c\"\n");
    place.hang_up();
    for part in ["line 1: lgo: unknown field", "certificate_life = \\\"1s\\\": must be", "write for example info"] {
        assert!(place.logged(part).await.contains("the configuration is not reloaded"));
    }
    write("log = \"info,cnnf_controller::grpc=debug\"\nlog_format = \"json\"\n");
    place.hang_up();
    assert!(place.logged("counts from the next start on").await.contains("log_format"));
    assert!(place.logged("the configuration is reloaded").await.contains("grpc=debug"));
    let mut status = StatusServiceClient::new(place.admin().await);
    status.get_status(v1::GetStatusRequest {}).await.expect("it goes on");
    let ready = || async { get(place.web, "/readyz") };
    until(ready, |answer| answer.starts_with("HTTP/1.1 200")).await;
    let pid = place.pid();
    assert_eq!(place.terminate(), Some(0));
    assert!(!Path::new(&format!("/proc/{pid}")).exists());
}

#[tokio::test]
async fn a_reload_takes_up_who_signs_people_in() {
    let mut place = Place::new();
    place.kill();
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("c.toml");
    let secret = folder.path().join("secret");
    let write = |name: &str| {
        let text = format!(
            "[oidc]\nissuer = \"https://id.example.com\"\nname = \"{name}\"\nclient_id = \"cnnf\"\nclient_secret_file = \"{}\"\nadmins = [\"*\"]\n",
            secret.display()
        );
        std::fs::write(&file, text).expect("written");
    };
    std::fs::write(&file, "").expect("written");
    place.start_with(&["--config", &file.display().to_string()]);
    let options = || async {
        let mut client = SessionServiceClient::new(place.anonymous().await);
        let options = client.get_sign_in_options(v1::GetSignInOptionsRequest {}).await.expect("anybody may ask");
        options.into_inner().oidc_name
    };
    assert_eq!(options().await, "");
    // A file that is missing: all stays as it was.
    write("First");
    place.hang_up();
    let refused = place.logged("the configuration is not reloaded").await;
    assert!(refused.contains("oidc: ") && refused.contains("secret"), "{refused}");
    assert_eq!(options().await, "");
    std::fs::write(&secret, "hidden").expect("written");
    place.hang_up();
    until(options, |name| name == "First").await;
    write("Second");
    place.hang_up();
    until(options, |name| name == "Second").await;
    std::fs::write(&file, "").expect("written");
    place.hang_up();
    until(options, String::is_empty).await;
}

#[tokio::test]
async fn a_call_has_a_number_in_its_answer_and_in_the_log() {
    let mut place = Place::new();
    let channel = place.anonymous().await;
    let refused = StatusServiceClient::new(channel).get_status(v1::GetStatusRequest {}).await.expect_err("nobody");
    let id = refused.metadata().get("x-request-id").expect("a number").to_str().expect("text").to_owned();
    let line = place.logged(&id).await;
    assert!(line.contains("a call was refused") && line.contains("/cnnf.v1.StatusService/GetStatus"), "{line}");
    let answer =
        StatusServiceClient::new(place.admin().await).get_status(v1::GetStatusRequest {}).await.expect("status");
    assert!(answer.metadata().contains_key("x-request-id"));
    // for programs each line is an object
    place.kill();
    place.start_with(&["--log-format", "json"]);
    let refused = StatusServiceClient::new(place.anonymous().await).get_status(v1::GetStatusRequest {}).await;
    let id = refused
        .expect_err("nobody")
        .metadata()
        .get("x-request-id")
        .expect("a number")
        .to_str()
        .expect("text")
        .to_owned();
    let line: Value = serde_json::from_str(&place.logged(&id).await).expect("JSON");
    assert_eq!((&line["span"]["id"], &line["level"]), (&id.into(), &"WARN".into()));
}

/// Names of ours in a text, without the endings that Prometheus gives to none of them.
fn names(text: &str) -> BTreeSet<String> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = text.split(|c: char| !word(c)).filter(|name| name.starts_with("cnnf_") || name.starts_with("process_"));
    words.map(str::to_owned).collect()
}

fn packaged(path: &str) -> (PathBuf, String) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging").join(path);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    (path, text)
}

#[derive(serde::Deserialize)]
struct Groups {
    groups: Vec<Group>,
}

#[derive(serde::Deserialize)]
struct Group {
    rules: Vec<AlertRule>,
}

#[derive(serde::Deserialize)]
struct AlertRule {
    alert: String,
    expr: String,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
}

#[test]
fn dashboard_and_alert_rules_ask_for_what_is_exported_and_for_all_of_it() {
    let place = Place::new();
    let answer = get(place.web, "/metrics");
    let exported: BTreeSet<String> = answer
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .filter_map(|line| line.split(' ').next().map(str::to_owned))
        .collect();
    for name in &exported {
        let value = |line: &str| line.strip_prefix(name.as_str()).is_some_and(|rest| rest.starts_with([' ', '{']));
        assert!(answer.lines().any(value), "{name} has no value");
    }
    let (_, text) = packaged("grafana/cnnf.json");
    let dashboard: Value = serde_json::from_str(&text).expect("JSON");
    let mut asked = BTreeSet::new();
    for panel in dashboard["panels"].as_array().expect("panels") {
        for target in panel["targets"].as_array().into_iter().flatten() {
            asked.extend(names(target["expr"].as_str().expect("an expression")));
        }
    }
    let (path, text) = packaged("prometheus/cnnf.yml");
    let rules: Groups = serde_saphyr::from_str(&text).expect("YAML");
    for AlertRule { alert, expr, labels, annotations } in rules.groups.into_iter().flat_map(|group| group.rules) {
        assert!(labels.contains_key("severity"), "{alert}");
        assert!(["summary", "description"].iter().all(|name| annotations.contains_key(*name)), "{alert}");
        asked.extend(names(&expr));
    }
    assert_eq!(asked.difference(&exported).collect::<Vec<_>>(), Vec::<&String>::new(), "asked for and not exported");
    assert_eq!(
        exported.difference(&asked).collect::<Vec<_>>(),
        Vec::<&String>::new(),
        "exported and looked at by nothing"
    );
    // Where Prometheus is installed it has the last word.
    if let Ok(output) = Command::new("promtool").args(["check", "rules"]).arg(path).output() {
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}
