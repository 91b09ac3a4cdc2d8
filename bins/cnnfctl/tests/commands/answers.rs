//! Every command against a controller over mutual TLS: what is printed, in each form.

use crate::bed::{Bed, Ran};

/// What commands print as a table, wide and as JSON; none may have a byte that steers a terminal.
pub(crate) fn forms(bed: &Bed, args: &[&str]) -> String {
    let mut all = String::new();
    for form in ["table", "wide", "json", "yaml"] {
        let ran = bed.run(&[args, &["-o", form]].concat());
        assert_eq!(ran.code, 0, "{ran:?}");
        assert!(!ran.out.contains(|c: char| c.is_control() && c != '\n'), "{:?}", ran.out);
        assert!(!ran.out.contains(['\u{202e}', '\u{1b}']), "{:?}", ran.out);
        match form {
            "json" => {
                serde_json::from_str::<serde_json::Value>(&ran.out).expect("JSON");
            }
            "yaml" => {
                let json = bed.ok(&[args, &["-o", "json"]].concat());
                let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
                assert_eq!(serde_saphyr::from_str::<serde_json::Value>(&ran.out).expect("YAML"), json);
                continue;
            }
            _ => {}
        }
        all.push_str(&format!("$ cnnfctl {} -o {form}\n{}\n", args.join(" "), ran.out));
    }
    all
}

macro_rules! golden {
    ($($name:ident: $($args:expr),+;)+) => {
        $(
            #[test]
            fn $name() {
                let bed = Bed::start();
                let all: Vec<String> = [$($args),+].iter().map(|args: &&str| {
                    forms(&bed, &args.split(' ').collect::<Vec<_>>())
                }).collect();
                insta::assert_snapshot!(all.concat());
            }
        )+
    };
}

golden! {
    status: "status";
    radar: "radar --connected", "radar --group-by host";
    services: "services list", "services show nginx", "services mode nginx observe";
    reach: "services reach nginx --since 7d", "services reach nginx --all";
    edges: "edges list --from nginx --since 1h", "edges diff --since 2026-11-24T06:00:00Z --until 2026-11-24T07:00:00Z";
    rules: "rules list", "rules show 2";
    models: "models list", "models show nginx", "models activate nginx";
    decided_models: "models relearn nginx", "models reset nginx --yes", "models learn start nginx", "models learn stop nginx",
        "models approve nginx to unit:postgresql tcp/5432", "models approve nginx --event 12 -m OPS-7",
        "models forget nginx from 10.0.0.0/8 tcp/443 --yes", "models effect nginx prevent", "models effect nginx default";
    events: "events list", "events show 12", "events show 10";
    acknowledged_events: "events ack 10 --note seen", "events ack 12";
    defenders: "defenders list", "defenders list --outdated", "defenders show db", "defenders mode web1 observe";
    expelled_defenders: "defenders revoke web1 --yes", "defenders delete db --yes";
    explain: "explain fetch nginx tcp/80";
    people: "users list", "users set jo --role operator --enable", "users delete jo --yes", "tokens list",
        "tokens create ci --role auditor --ttl 7d", "tokens revoke ci --yes", "audit list --action rule --since 1h", "audit list --limit 1";
    settings: "settings get", "settings set learn_for 5s";
}

#[test]
fn the_picture_is_drawn() {
    let bed = Bed::start();
    let plain = bed.ok(&["radar", "-o", "dot"]);
    let grouped = bed.ok(&["radar", "-o", "dot", "--group-by", "host"]);
    for (edge, look) in [
        ("\"unit:fetch\" -> \"unit:nginx\"", "color=red"),
        ("\"unit:nginx\" -> \"unit:redis\"", "color=orange, fontcolor=orange, penwidth=2, style=dashed"),
    ] {
        assert!(plain.lines().any(|line| line.contains(edge) && line.contains(look)), "{plain}");
    }
    assert!(plain.contains("nginx ×2"));
    insta::assert_snapshot!(format!("{plain}\n{grouped}"));
}

#[test]
fn a_token_is_all_there_is_on_standard_output() {
    let bed = Bed::start();
    let ran = bed.run(&["defenders", "token", "create", "--ttl", "2m", "--uses", "3"]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "cnnf1.secret120.pin\n"));
    insta::assert_snapshot!(ran.err);
    let json = bed.ok(&["defenders", "token", "create", "-o", "json"]);
    insta::assert_snapshot!(json);
    assert_eq!(bed.ok(&["-q", "defenders", "token", "create"]), "cnnf1.secret600.pin\n");
}

#[test]
fn what_is_asked_is_what_was_said() {
    let bed = Bed::start();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("time").as_millis();
    bed.ok(&["radar", "--since", "1h", "--group-by", "label:env", "--connected"]);
    let asked = bed.requests.lock().expect("lock").pop().expect("request");
    let since: u128 =
        asked.split("since_ms: ").nth(1).and_then(|t| t.split(',').next()).and_then(|t| t.parse().ok()).expect("since");
    assert!((now - 3_600_000..now - 3_590_000).contains(&since), "{asked}");
    assert!(asked.contains("connected: true") && asked.contains("label:env"), "{asked}");
    bed.ok(&["events", "list", "--kind", "rule_alert", "--service", "nginx", "--limit", "3"]);
    let asked = bed.requests.lock().expect("lock").pop().expect("request");
    assert!(
        asked.contains("kind: \"rule_alert\", service: \"nginx\"") && asked.contains("size: 1, token: \"2\""),
        "{asked}"
    );
    bed.ok(&["explain", "fetch", "nginx", "udp/53", "--host", "client"]);
    let asked = bed.requests.lock().expect("lock").pop().expect("request");
    assert_eq!(asked, "ExplainRequest { from: \"fetch\", to: \"nginx\", port: \"udp/53\", host: \"client\" }");
    bed.ok(&[
        "edges",
        "diff",
        "--since",
        "1970-01-09T00:00:00Z",
        "--until",
        "1970-01-10T00:00:00Z",
        "--against",
        "1970-01-02T00:00:00Z",
    ]);
    let asked = bed.requests.lock().expect("lock").pop().expect("request");
    assert!(
        asked.contains("since_ms: 691200000, until_ms: 777600000") && asked.contains("before_ms: 86400000"),
        "{asked}"
    );
}

#[test]
fn a_limit_is_said() {
    let bed = Bed::start();
    let ran = bed.run(&["events", "list", "--limit", "2"]);
    assert_eq!((ran.code, ran.out.lines().count()), (0, 3), "{}", ran.out);
    assert_eq!(ran.err, "there are more than 2 events: narrow them with --since, or raise --limit\n");
}

#[test]
fn completions_are_made_without_a_controller() {
    for shell in ["bash", "zsh", "fish"] {
        let ran = Ran::of(crate::bed::bare(&["completion", shell]).output().expect("run"), "nowhere");
        assert!(ran.code == 0 && ran.out.contains("cnnfctl") && ran.out.contains("explain"), "{shell}");
    }
}

#[test]
fn colours_can_be_had_and_left_out() {
    let bed = Bed::start();
    let with = |name: &str, value: &str, args: &[&str]| {
        let output = bed.command(args).env(name, value).output().expect("run");
        String::from_utf8(output.stdout).expect("UTF-8").contains('\u{1b}')
    };
    assert!(with("CLICOLOR_FORCE", "1", &["radar"]));
    assert!(!with("CLICOLOR_FORCE", "1", &["radar", "--no-color"]));
    assert!(!with("TERM", "xterm", &["radar"]), "a pipe is no terminal");
    let output = bed.command(&["radar"]).env("CLICOLOR_FORCE", "1").env("NO_COLOR", "1").output().expect("run");
    assert!(!output.stdout.contains(&0x1b));
}

#[test]
fn an_edge_is_sent_as_it_is_written_or_refused_before_anything_is_sent() {
    let bed = Bed::start();
    bed.ok(&["models", "approve", "nginx", "to unit:postgresql tcp/5432"]);
    bed.ok(&["models", "forget", "nginx", "--yes", "from", "internet", "udp/dynamic"]);
    let asked = bed.requests.lock().expect("requests").clone();
    let written = |direction: &str, peer: &str, port: &str| {
        format!("EdgeOfService {{ direction: {direction:?}, peer: {peer:?}, port: {port:?} }}")
    };
    assert!(asked[0].contains(&written("to", "unit:postgresql", "tcp/5432")), "{asked:?}");
    assert!(asked[1].contains(&written("from", "internet", "udp/dynamic")), "{asked:?}");
    for (args, part) in [
        (&["models", "approve", "nginx", "unit:postgresql tcp/5432"][..], "is no edge: write for example"),
        (&["models", "approve", "nginx"], "required"),
        (&["models", "approve", "nginx", "--event", "0"], "0 is not in"),
        (&["models", "forget", "nginx", "from", "internet", "udp/53"], "say --yes"),
        (&["models", "reset", "nginx"], "say --yes"),
        (&["models", "effect", "nginx", "allow"], "possible values: alert, prevent, default"),
    ] {
        let ran = bed.run(args);
        assert_eq!(ran.code, 2, "{ran:?}");
        assert!(ran.err.contains(part), "{}", ran.err);
    }
    assert_eq!(bed.requests.lock().expect("requests").len(), 2, "nothing more was sent");
}

#[test]
fn what_of_the_picture_is_wanted_is_asked_for() {
    let bed = Bed::start();
    let until = "2026-11-24T07:00:00Z";
    bed.ok(&[
        "radar",
        "--until",
        until,
        "--name",
        "ngi",
        "--label",
        "env=prod",
        "--ports",
        "tcp/80",
        "--status",
        "alerted,prevented",
    ]);
    bed.ok(&["edges", "list", "--since", "2026-11-24T06:00:00Z", "--until", until]);
    let asked = bed.requests.lock().expect("requests").clone();
    for part in [
        "since_ms: 0, until_ms: 1795503600000",
        r#"name: "ngi""#,
        r#"labels: {"env": "prod"}"#,
        r#"ports: ["tcp/80"]"#,
        r#"statuses: ["alerted", "prevented"]"#,
    ] {
        assert!(asked[0].contains(part), "{part}: {asked:?}");
    }
    assert!(asked[1].contains("since_ms: 1795500000000, until_ms: 1795503600000"), "{asked:?}");
    let ran = bed.run(&["edges", "diff"]);
    assert!(ran.code == 2 && ran.err.contains("--since"), "{ran:?}");
}

#[test]
fn a_drawn_password_is_all_there_is_on_standard_output() {
    let bed = Bed::start();
    let ran = bed.run(&["users", "add", "ann", "--role", "operator"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(ran.err, "user 'ann' is added: operator; the password is for the first sign-in only\n");
    let drawn = ran.out.trim_end();
    assert!(drawn.len() == 23 && drawn.split('-').count() == 4, "{drawn}");
    let asked = bed.requests.lock().expect("lock").pop().expect("request");
    assert!(asked.contains(drawn), "{asked}");
    let again = bed.ok(&["-q", "users", "set", "jo", "--new-password"]);
    assert!(again.trim_end().len() == 23 && again.trim_end() != drawn);
    for (args, part) in [
        (&["users", "add", "ann", "--role", "operator", "-o", "json"][..], "use --password-stdin"),
        (&["users", "add", "a b", "--role", "operator"], "the name is not usable"),
        (&["users", "add", "ann", "--role", "operator", "--password-stdin"], "the password is too short"),
        (&["users", "add", "jo", "--role", "operator"], "there is a user 'jo' already"),
        (&["users", "set", "jo"], "nothing is to be changed"),
        (&["tokens", "create", "a/b", "--role", "admin"], "the name is not usable"),
    ] {
        let ran = bed.run(args);
        assert!(ran.code == 2 && ran.out.is_empty() && ran.err.contains(part), "{args:?}: {ran:?}");
    }
    assert_eq!(bed.run(&["users", "set", "nobody", "--disable"]).code, 1);
}

#[test]
fn a_broken_record_is_said_and_an_exit_code() {
    let bed = Bed::start();
    let ran = bed.run(&["audit", "verify"]);
    assert_eq!((ran.code, ran.err.as_str()), (1, ""), "{ran:?}");
    assert_eq!(ran.out, "entry 2 is wrong: the entry, or one before it, is not what was recorded\n");
    assert_eq!(bed.run(&["audit", "verify", "-o", "json"]).code, 1);
}

#[test]
fn a_context_may_have_a_token_in_place_of_a_certificate() {
    let bed = Bed::start();
    let admin = std::fs::read_to_string(bed.dir.path().join("admin.toml")).expect("read");
    let (head, _) = admin.split_once("certificate").expect("a certificate");
    let status = |name: &str, text: String| bed.run(&["status", "--admin", &bed.file(name, &text)]);
    assert_eq!(status("good.toml", format!("{head}token = \"cnnf_api_good\"\n")).code, 0);
    let ran = status("bad.toml", format!("{head}token = \"cnnf_api_bad\"\n"));
    assert!(ran.code == 3 && ran.err.contains("SERVER does not allow this"), "{ran:?}");
    let ran = status("none.toml", head.to_owned());
    assert!(ran.code == 2 && ran.err.contains("either certificate and key, or token"), "{ran:?}");
    let ran = status("both.toml", format!("{admin}token = \"cnnf_api_good\"\n"));
    assert!(ran.code == 2 && ran.err.contains("either certificate and key, or token"), "{ran:?}");
}
