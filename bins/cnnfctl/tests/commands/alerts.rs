//! Where operators are told of events.

use std::io::Write as _;
use std::process::Stdio;

use crate::answers::forms;
use crate::bed::{Bed, Ran};

#[test]
fn channels_are_listed_changed_tested_and_deleted() {
    let bed = Bed::start();
    let add = "alerts add siem2 --cef tls://siem.example.org:6514 --kind tamper --kind fail_open --label env=prod --rate none";
    let commands = [
        "alerts list",
        add,
        "alerts set soar --rate 5/1m --service unit:postgresql@* --disable",
        "channels test mail",
        "alerts delete chat --yes",
    ];
    let all: Vec<String> = commands.iter().map(|args| forms(&bed, &args.split(' ').collect::<Vec<_>>())).collect();
    insta::assert_snapshot!(all.concat());
    let ran = bed.run(&["alerts", "test", "soar"]);
    assert_eq!((ran.code, ran.err.as_str()), (1, ""), "{ran:?}");
    assert_eq!(ran.out, "no test message has gone to 'soar': the receiver answered 503 Service Unavailable\n");
}

#[test]
fn secrets_come_by_standard_input_and_stay_where_nothing_is_said() {
    let bed = Bed::start();
    let with = |args: &[&str], input: &str| {
        let mut command = bed.command(args);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("runs");
        child.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("written");
        let ran = Ran::of(child.wait_with_output().expect("ends"), &bed.address.to_string());
        assert_eq!(ran.code, 0, "{ran:?}");
        bed.requests.lock().expect("lock").pop().expect("a request")
    };
    let template = bed.file("template.json", "{\"text\": \"{{title}}\"}");
    let hook = ["--webhook", "https://h.example/x", "--secret-stdin", "--header", "X-Key=-", "--template", &template];
    let asked = with(&[&["alerts", "add", "hook"][..], &hook].concat(), "header secret\nsigning secret\n");
    for part in
        ["\"x-key\": \"header secret\"", "secret: \"signing secret\"", "{{title}}", "url: \"https://h.example/x\""]
    {
        assert!(asked.contains(part), "{asked}");
    }
    let asked = with(&["alerts", "add", "chat2", "--slack", "-"], "https://hooks.example/secret\n");
    assert!(asked.contains("url: \"https://hooks.example/secret\""), "{asked}");
    let asked = with(&["alerts", "set", "mail", "--to", "new@example.org", "--all"], "");
    for part in [
        "password: \"(kept)\"",
        "to: [\"new@example.org\"]",
        "server: \"smtps://mail.example.org\"",
        "fields: [\"to\", \"route\"]",
    ] {
        assert!(asked.contains(part), "{asked}");
    }
    let asked = with(&["alerts", "set", "soar", "--secret-stdin", "--enable"], "another secret of mine\n");
    assert!(asked.contains("secret: \"another secret of mine\"") && asked.contains("rule_prevent"), "{asked}");
    assert!(asked.contains("fields: [\"to\", \"disabled\"]"), "{asked}");
}

#[test]
fn what_is_no_channel_is_said_before_anything_is_sent() {
    let bed = Bed::start();
    for (args, part) in [
        (&["add", "x"][..], "say where to"),
        (&["add", "a/b", "--slack", "https://h"], "the name is not usable"),
        (&["add", "x", "--slack", "https://h", "--syslog", "udp://h"], "cannot be used with"),
        (&["add", "x", "--syslog", "udp://h", "--from", "jo@example.org"], "are of --email, and this is syslog"),
        (&["add", "x", "--cef", "udp://h", "--secret-stdin"], "is of --webhook and --email"),
        (&["add", "x", "--slack", "https://h", "--header", "a=b"], "are of --webhook, and this is slack"),
        (&["add", "x", "--webhook", "https://h", "--header", "A=1", "--header", "a=2"], "header a is given twice"),
        (&["add", "x", "--webhook", "https://h", "--kind", "tampr"], "'tampr' is none of"),
        (&["add", "x", "--webhook", "https://h", "--rate", "20"], "'20' is no rate"),
        (&["add", "x", "--webhook", "https://h", "--ca", "/none.pem"], "cannot read /none.pem"),
        (&["set", "mail"], "nothing is to be changed"),
        (&["add", "mail", "--syslog", "udp://h"], "there is an alert channel 'mail' already"),
        (&["delete", "mail"], "say --yes"),
    ] {
        let ran = bed.run(&[&["alerts"], args].concat());
        assert!(ran.code == 2 && ran.out.is_empty() && ran.err.contains(part), "{args:?}: {ran:?}");
    }
    let ran = bed.run(&["alerts", "set", "none", "--disable"]);
    assert!(ran.code == 1 && ran.err.contains("there is no alert channel 'none'"), "{ran:?}");
}
