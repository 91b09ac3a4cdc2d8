use super::*;
use crate::Error;

fn complaint(text: &str) -> String {
    match parse(text, "w.toml") {
        Err(Error::Usage(text)) => text,
        other => panic!("expected a usage error, got {other:?}"),
    }
}

#[test]
fn the_contracts_example_is_read() {
    let world = parse(
        r#"
[controller]
settings = { learn_for = "5s", quota = 3, strict = true }
env = { CNNF_LOG = "debug" }
[[host]]
name = "web1"
labels = { env = "prod" }
[[host.service]]
unit = "nginx"
command = ["nginx", "-c", "{dir}/nginx.conf", "-g", "daemon off;"]
files = { "nginx.conf" = "events {}" }
ready = "tcp/80"
[[host]]
name = "old"
defender = false
"#,
        "w.toml",
    )
    .unwrap();
    assert!(world.controller.enabled);
    assert_eq!(
        world.controller.settings,
        [("learn_for", "5s"), ("quota", "3"), ("strict", "true")].map(|(k, v)| (k.to_owned(), v.to_owned()))
    );
    assert_eq!(world.hosts.len(), 2);
    assert!(world.hosts[0].defender);
    assert!(!world.hosts[1].defender);
    let nginx = &world.hosts[0].services[0];
    assert_eq!(nginx.unit, "nginx.service");
    assert_eq!(nginx.ready, Some(Port { udp: false, number: 80 }));
}

#[test]
fn without_a_controller_hosts_have_no_defender() {
    let world = parse("[controller]\nenabled = false\n[[host]]\nname = \"a\"\n", "w.toml").unwrap();
    assert!(!world.hosts[0].defender);
    let text = complaint("[controller]\nenabled = false\n[[host]]\nname = \"a\"\ndefender = true\n");
    assert!(text.contains("wants a defender") && text.ends_with("w.toml line 5"), "{text}");
}

#[test]
fn every_complaint_names_its_line() {
    let host = "[[host]]\nname = \"a\"\n";
    let service = "[[host.service]]\nunit = \"u\"\ncommand = [\"true\"]\n";
    for (text, words, line) in [
        (format!("{host}colour = 1\n"), "unknown field `colour`", 3),
        (format!("{host}{service}port = 1\n"), "unknown field `port`", 6),
        ("[controler]\n".to_owned(), "unknown field `controler`", 1),
        ("[[host]]\nname = \"Web_1\"\n".to_owned(), "host name `Web_1`", 2),
        ("[[host]]\nname = \"bridge\"\n".to_owned(), "taken by the lab", 2),
        (format!("{host}{host}"), "used twice", 4),
        (format!("{host}{service}{service}"), "unit `u.service` is used twice", 7),
        (format!("{host}{service}ready = \"tcp/70000\"\n"), "tcp/70000", 6),
        (format!("{host}{service}ready = \"sctp/1\"\n"), "sctp/1", 6),
        (format!("{host}{service}watchdog = \"soon\"\n"), "watchdog `soon`", 6),
        (format!("{host}{service}files = {{ \"../x\" = \"\" }}\n"), "without ..", 6),
        (format!("{host}{service}files = {{ \"/etc/x\" = \"\" }}\n"), "without ..", 6),
        (format!("{host}[[host.service]]\nunit = \"u\"\ncommand = []\n"), "empty command", 5),
        (format!("{host}[[host.service]]\nunit = \"a/b\"\ncommand = [\"x\"]\n"), "unit name `a/b`", 4),
        (format!("{host}labels = {{ \"a=b\" = \"c\" }}\n"), "label key", 3),
        (format!("{host}defender = \"no\"\n"), "invalid type", 3),
        ("[controller]\nsettings = { a = [1] }\n".to_owned(), "setting `a`", 2),
        ("[controller]\nenv = { \"A=B\" = \"1\" }\n[[host]]\nname = \"a\"\n".to_owned(), "`A=B` of the controller", 2),
        ("[[host\n".to_owned(), "", 1),
    ] {
        let got = complaint(&text);
        assert!(got.contains(words), "{text:?} gave {got}");
        assert!(got.ends_with(&format!("w.toml line {line}")), "{text:?} gave {got}");
    }
}

#[test]
fn a_world_needs_hosts_and_not_too_many() {
    assert!(complaint("").contains("no host"));
    let many: String = (0..250).map(|n| format!("[[host]]\nname = \"h{n}\"\n")).collect();
    assert!(complaint(&many).contains("at most 249"));
}

#[test]
fn the_demos_world_is_a_world() {
    let world = parse(include_str!("../../worlds/demo.toml"), "demo.toml").unwrap();
    let hosts: Vec<(&str, bool)> = world.hosts.iter().map(|host| (host.name.as_str(), host.defender)).collect();
    assert_eq!(hosts, [("web1", true), ("app1", true), ("db1", true), ("old", false)]);
}
