//! Command line, files and the web port.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use crate::place::{Place, controller, mode_of};

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn init_overwrites_nothing_and_keeps_secrets_to_itself() {
    let place = Place::new();
    let folder = place.path();
    for name in ["admin.toml", "pki/ca.key", "pki/server.key", "cnnf.db"] {
        assert_eq!(mode_of(&folder.join(name)), 0o600, "{name}");
    }
    let before = std::fs::read(folder.join("pki/ca.key")).expect("key");
    let output = controller(&["init", "--data-dir", &folder.display().to_string(), "--name", "x"]);
    assert_eq!(output.status.code(), Some(1));
    let error = text(&output.stderr);
    assert!(error.starts_with("error: ") && error.contains("is not empty"), "{error}");
    assert_eq!(std::fs::read(folder.join("pki/ca.key")).expect("key"), before);
}

#[test]
fn init_leaves_nothing_behind_when_it_fails() {
    let folder = tempfile::tempdir().expect("folder");
    let data = folder.path().join("data").display().to_string();
    for name in ["with space", "host:7443", "-x-", ""] {
        let output = controller(&["init", "--data-dir", &data, &format!("--name={name}")]);
        assert_eq!(output.status.code(), Some(2), "{name}");
    }
    assert!(!folder.path().join("data").exists());
}

#[test]
fn a_wrong_configuration_says_where_and_what_to_do() {
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("c.toml");
    std::fs::write(&file, "listen = \"0.0.0.0:7443\"\ndata_dri = \"/x\"\n").expect("write");
    let file = file.display().to_string();
    for arguments in [&["check-config", &file][..], &["run", "--config", &file]] {
        let output = controller(arguments);
        assert_eq!(output.status.code(), Some(2));
        let error = text(&output.stderr);
        assert!(error.contains(&file) && error.contains("line 2") && error.contains("data_dri"), "{error}");
    }
    std::fs::write(&file, "listen = \"0.0.0.0:7443\"\n").expect("write");
    assert!(controller(&["check-config", &file]).status.success());
    let nowhere = folder.path().join("none").display().to_string();
    let output = controller(&["run", "--data-dir", &nowhere, "--listen", "127.0.0.1:0", "--web", "127.0.0.1:0"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(text(&output.stderr).contains("run 'cnnf-controller init' first"), "{}", text(&output.stderr));
}

pub(crate) fn get(at: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(at).expect("the web port is open");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

#[test]
fn the_web_port_tells_health_and_the_process_ends_when_told() {
    let mut place = Place::new();
    assert!(get(place.web, "/healthz").starts_with("HTTP/1.1 200"));
    assert!(get(place.web, "/readyz").starts_with("HTTP/1.1 200"));
    let metrics = get(place.web, "/metrics");
    assert!(
        metrics.contains("\ncnnf_defenders 0\n") && metrics.contains("cnnf_models{phase=\"active\"} 0"),
        "{metrics}"
    );
    let moved = get(place.web, "/other");
    assert!(moved.starts_with("HTTP/1.1 308") && moved.contains("location: https://x/other\r\n"), "{moved}");
    assert_eq!(place.terminate(), Some(0));
}
