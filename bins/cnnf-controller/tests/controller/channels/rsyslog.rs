//! What a real collector of syslog makes of alerts.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use cnnf_rpc::v1;
use cnnf_rpc::v1::channel::To;
use serde_json::Value;

use super::{add, channel, notice};
use crate::place::{Place, until};

/// rsyslog with a configuration of its own, which is gone with this.
struct Rsyslog {
    folder: tempfile::TempDir,
    child: Child,
    tcp: u16,
    udp: u16,
}

impl Rsyslog {
    async fn start() -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let at = |name: &str| folder.path().join(name).display().to_string();
        // It can be told to take any free port for TCP, and not for UDP.
        let free = std::net::UdpSocket::bind("127.0.0.1:0").expect("a port");
        let udp = free.local_addr().expect("an address").port();
        drop(free);
        let configuration = format!(
            r#"global(workDirectory="{}")
module(load="imtcp")
module(load="imudp")
input(type="imtcp" address="127.0.0.1" port="0" listenPortFileName="{}")
input(type="imudp" address="127.0.0.1" port="{udp}")
template(name="whole" type="list") {{ property(name="jsonmesg") constant(value="\n") }}
action(type="omfile" file="{}" template="whole")
"#,
            folder.path().display(),
            at("port"),
            at("seen"),
        );
        std::fs::write(at("rsyslog.conf"), configuration).expect("written");
        let mut command = Command::new(program());
        command.args(["-n", "-f", &at("rsyslog.conf"), "-i", &at("pid")]).stdin(Stdio::null());
        let child = command.spawn().expect("rsyslogd runs");
        let port = folder.path().join("port");
        let read = || async { std::fs::read_to_string(&port).ok().and_then(|text| text.trim().parse().ok()) };
        let tcp = until(read, Option::is_some).await.expect("a port");
        Self { folder, child, tcp, udp }
    }

    /// So many messages, as it understood them.
    async fn seen(&self, count: usize) -> Vec<Value> {
        let file = self.folder.path().join("seen");
        let read = || async {
            let text = std::fs::read_to_string(&file).unwrap_or_default();
            text.lines().map_while(|line| serde_json::from_str(line).ok()).collect::<Vec<Value>>()
        };
        until(read, |seen| seen.len() >= count).await
    }
}

impl Drop for Rsyslog {
    fn drop(&mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("reaped");
    }
}

/// Where it is; not every user's path has it.
fn program() -> PathBuf {
    let places = ["/usr/sbin/rsyslogd", "/usr/bin/rsyslogd"].map(Path::new);
    places.into_iter().find(|path| path.exists()).expect("rsyslog is not installed: 'make deps'").to_owned()
}

#[tokio::test]
async fn rsyslog_understands_every_part_over_udp_and_tcp() {
    let place = Place::new();
    let mut stream = place.enrol("web").await.attach(&place).await;
    let collector = Rsyslog::start().await;
    let to = |server: String| v1::Syslog { server, ca_pem: String::new() };
    add(&place, channel("tcp", To::Syslog(to(format!("tcp://127.0.0.1:{}", collector.tcp))))).await;
    add(&place, channel("udp", To::Cef(to(format!("udp://127.0.0.1:{}", collector.udp))))).await;
    let odd = "a ] \"quote\" = | \\ ä\u{1b}[2J\n<0>1 - forged - - - -";
    stream.deliver(1, notice("tamper", odd)).await;
    let mut seen = collector.seen(2).await;
    assert_eq!(seen.len(), 2, "no message is two: {seen:?}");
    seen.sort_by_key(|message| message["inputname"].to_string());
    for (message, input) in seen.iter().zip(["imtcp", "imudp"]) {
        let is = |name: &str| message[name].as_str().unwrap_or_default().to_owned();
        assert_eq!(is("inputname"), input, "{message}");
        // local0 and critical: 16 * 8 + 2.
        assert_eq!((is("syslogfacility"), is("syslogseverity")), ("16".to_owned(), "2".to_owned()), "{message}");
        assert_eq!((is("protocol-version"), is("app-name")), ("1".to_owned(), "cnnf".to_owned()), "{message}");
        assert_eq!(is("msgid"), "tamper", "{message}");
        assert!(is("msg").contains("tamper on web") || is("msg").contains("|tamper|"), "{message}");
        assert!(!is("msg").contains(['\u{1b}', '\n']), "{message}");
    }
    let data = seen[0]["structured-data"].as_str().expect("structured data");
    assert!(data.starts_with("[cnnf@32473 id=\"tcp-") && data.ends_with(']'), "{data}");
    assert!(data.contains(" channel=\"tcp\"") && data.contains(" host=\"web\""), "{data}");
}
