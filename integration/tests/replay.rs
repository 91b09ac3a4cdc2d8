//! `cnnf-lab replay` over small logs made for this test.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

fn replay(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_cnnf-lab")).arg("replay").args(arguments).output().expect("cnnf-lab runs")
}

fn write(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    fs::write(&path, text).expect("written");
    path.display().to_string()
}

#[test]
fn two_logs_are_replayed_as_one() {
    let folder = tempfile::tempdir().expect("folder");
    let mut tabs = "#separator \\x09\n#fields\tts\tid.orig_h\tid.resp_h\tid.resp_p\tproto\thistory\n".to_owned();
    for second in 0..40 {
        tabs += &format!("{second}.5\t10.0.0.1\t10.0.0.2\t80\ttcp\tShADadFf\n");
    }
    let stranger =
        r#"{"ts":35,"id.orig_h":"10.0.0.9","id.resp_h":"10.0.0.2","id.resp_p":80,"proto":"tcp","conn_state":"SF"}"#;
    let (one, two) = (write(folder.path(), "a.log", &tabs), write(folder.path(), "b.jsonl", stranger));
    let ran = replay(&[&two, &one, "--learn-until", "0.5", "-o", "json"]);
    assert!(ran.status.success(), "{ran:?}");
    let report: Value = serde_json::from_slice(&ran.stdout).expect("JSON");
    assert_eq!(report["totals"]["connections"], 41);
    assert_eq!(report["anomalies"].as_array().map(Vec::len), Some(1));
    assert_eq!(report["anomalies"][0]["edge"], "unit:client@10.0.0.9 → unit:tcp-80@10.0.0.2 tcp/80");
    assert_eq!(report["readiness"]["happened"], 1);
    let people = replay(&[&one, &two, "--learn-until", "1970-01-01T00:00:20Z"]);
    let text = String::from_utf8(people.stdout).expect("UTF-8");
    assert!(text.contains("1 edges that a model did not know") && text.contains("readiness:"), "{text}");
}

#[test]
fn bad_logs_and_usage_are_exit_code_2() {
    let folder = tempfile::tempdir().expect("folder");
    let (bad, empty) = (write(folder.path(), "bad.log", "GET / HTTP/1.1\n"), write(folder.path(), "empty.log", ""));
    for (arguments, code, part) in [
        (&[bad.as_str()][..], 2, "bad.log: line 1: is no JSON"),
        (&["/nonexistent/conn.log"], 2, "/nonexistent/conn.log"),
        (&[empty.as_str()], 1, "no connection"),
        (&[empty.as_str(), "--learn-until", "half"], 2, "neither a fraction"),
        (&[empty.as_str(), "--local", "here"], 2, "is no address"),
        (&[], 2, "CONN.LOG"),
    ] {
        let ran = replay(arguments);
        let error = String::from_utf8_lossy(&ran.stderr);
        assert_eq!(ran.status.code(), Some(code), "{error}");
        assert!(error.contains(part), "{error}");
    }
}
