//! Rules and policy files, from the command line to the controller and back.

use std::process::Stdio;

use crate::bed::{Bed, Ran};

#[test]
fn rules_are_added_changed_moved_and_deleted() {
    let bed = Bed::start();
    let add = [
        "rules",
        "add",
        "--name",
        "new",
        "--from",
        "fetch",
        "--to",
        "unit:later",
        "--ports",
        "tcp/80,443",
        "--ports",
        "udp/53",
        "--effect",
        "prevent",
        "--position",
        "1",
        "--expires",
        "2027-01-31",
        "--to-label",
        "env=prod",
        "--owner",
        "me",
    ];
    assert_eq!(bed.ok(&add), "rule 'new' is added, number 1 in order\n");
    assert_eq!(
        bed.ok(&["rules", "set", "new", "--effect", "alert", "--owner", ""]),
        "rule 'new' has a new effect, owner, revision 9\n"
    );
    assert_eq!(bed.ok(&["rules", "move", "new", "3"]), "rule 'new' is number 3 in order\n");
    assert_eq!(bed.ok(&["rules", "disable", "new"]), "rule 'new' is disabled\n");
    assert_eq!(bed.ok(&["rules", "enable", "9"]), "rule 'new' is enabled\n");
    insta::assert_snapshot!(bed.ok(&["rules", "show", "new", "-o", "json"]));
    let ran = bed.run(&["rules", "delete", "new"]);
    assert_eq!((ran.code, ran.err.as_str()), (2, "error: delete rule 'new': nobody is there to ask, so say --yes\n"));
    assert_eq!(bed.ok(&["rules", "delete", "new", "--yes"]), "rule 'new' is deleted, revision 12\n");
    assert_eq!(bed.run(&["rules", "show", "new"]).code, 1);
    assert_eq!(bed.ok(&["-q", "rules", "disable", "3"]), "");
}

#[test]
fn export_and_apply_change_nothing() {
    let bed = Bed::start();
    let text = bed.ok(&["rules", "export"]);
    insta::assert_snapshot!(text);
    let file = bed.file("policy.yaml", &text);
    assert_eq!(bed.ok(&["rules", "apply", "-f", &file]), "nothing to change, revision 7\n");
    assert_eq!(bed.ok(&["rules", "apply", "-f", &file, "--dry-run"]), "nothing to change\n");
    assert_eq!(bed.ok(&["rules", "export"]), text);
}

const OTHER: &str = "version: 1
objects:
  - {name: office, addresses: [10.9.0.0/16]}
rules:
  - {name: watch the page, from: fetch, to: nginx, ports: [tcp/80], effect: prevent}
  - {name: fresh, from: office, to: container:redis, effect: alert}
";

#[test]
fn a_policy_is_applied_whole_and_deletions_need_a_word() {
    let bed = Bed::start();
    let before = bed.ok(&["rules", "export"]);
    let file = bed.file("policy.yaml", OTHER);
    insta::assert_snapshot!(bed.ok(&["rules", "apply", "-f", &file, "--dry-run"]));
    insta::assert_snapshot!(bed.ok(&["rules", "apply", "-f", &file, "--dry-run", "-o", "json"]));
    let ran = bed.run(&["rules", "apply", "-f", &file]);
    assert_eq!(ran.code, 2);
    assert_eq!(ran.err, "error: delete 1 rule (nobody else): nobody is there to ask, so say --yes\n");
    assert!(ran.out.contains("- nobody else"), "{}", ran.out);
    assert_eq!(bed.ok(&["rules", "export"]), before);
    insta::assert_snapshot!(bed.ok(&["rules", "apply", "-f", &file, "--yes"]));
    assert_eq!(bed.ok(&["rules", "apply", "-f", &file]), "nothing to change, revision 8\n");
    let applied = bed.ok(&["rules", "export"]);
    let again = bed.file("again.yaml", &applied);
    assert_eq!(bed.ok(&["rules", "apply", "-f", &again]), "nothing to change, revision 8\n");
}

#[test]
fn a_change_that_has_to_be_confirmed_says_so_everywhere() {
    let bed = Bed::start();
    let file = bed.file("policy.yaml", OTHER);
    let none = bed.run(&["rules", "confirm"]);
    assert_eq!(none.code, 2, "{}", none.err);
    let which = bed.run(&["rules", "rollback"]);
    assert_eq!((which.code, which.err.contains("which revision?")), (2, true), "{}", which.err);
    let done = bed.ok(&["rules", "apply", "-f", &file, "--yes", "--confirm-within", "5m"]);
    let (_, done) = done.split_once("applied").expect("applied");
    insta::assert_snapshot!(
        [done, &bed.ok(&["status"]), &bed.ok(&["rules", "list"]), &bed.ok(&["rules", "history"])].join("\n")
    );
    assert!(bed.ok(&["rules", "list", "-o", "json"]).contains(r#""leftMs": "299999""#));
    assert_eq!(bed.ok(&["rules", "confirm", "8"]), "revision 8 is confirmed and stays\n");
    assert!(!bed.ok(&["status"]).contains("unconfirmed"));
    let sent = bed.requests.lock().expect("lock").join("\n");
    assert!(
        sent.contains("confirm_within_seconds: 300") && sent.contains("ConfirmPolicyRequest { revision: 8 }"),
        "{sent}"
    );
    let soon = bed.run(&["rules", "apply", "-f", &file, "--confirm-within", "soon"]);
    assert_eq!((soon.code, soon.err.contains("write 90s, 5m or 1h")), (2, true), "{}", soon.err);
}

#[test]
fn a_difference_reads_like_a_plan_and_is_an_exit_code() {
    let bed = Bed::start();
    let same = bed.file("same.yaml", &bed.ok(&["rules", "export"]));
    assert_eq!(bed.ok(&["rules", "diff", "-f", &same]), "nothing to change\n");
    let file = bed.file("policy.yaml", OTHER);
    let ran = bed.run(&["rules", "diff", "-f", &file]);
    assert_eq!((ran.code, ran.err.as_str()), (1, ""));
    insta::assert_snapshot!(ran.out);
    let stale = bed.run(&["rules", "apply", "-f", &file, "--yes", "--base", "6"]);
    assert_eq!(stale.code, 2);
    assert!(stale.err.ends_with("look at the rules as they are now and try again\n"), "{}", stale.err);
}

#[test]
fn the_history_says_who_why_and_what_and_can_be_gone_back_in() {
    let bed = Bed::start();
    insta::assert_snapshot!(
        [
            bed.ok(&["rules", "history"]),
            bed.ok(&["rules", "history", "--limit", "1", "-o", "json"]),
            bed.ok(&["rules", "history", "1"]),
        ]
        .join("\n")
    );
    assert_eq!(bed.run(&["rules", "history", "9"]).code, 1);
    let ran = bed.run(&["rules", "rollback", "3"]);
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("what they were after revision 3: nobody is there to ask"), "{}", ran.err);
    let before = bed.ok(&["rules", "export"]);
    let would = bed.ok(&["rules", "rollback", "3", "--dry-run"]);
    assert!(would.contains("- nobody else, number"), "{would}");
    assert_eq!(bed.ok(&["rules", "export"]), before);
    let done = bed.ok(&["rules", "rollback", "3", "--yes"]);
    assert!(done.ends_with("back to revision 3, as revision 8\n"), "{done}");
    assert_eq!(bed.ok(&["rules", "rollback", "8", "--yes", "-m", "again"]), "nothing to change, revision 8\n");
    assert!(bed.requests.lock().expect("lock").iter().any(|r| r.contains(r#"reason: "back to revision 3""#)));
}

#[test]
fn objects_are_listed_added_and_deleted() {
    let bed = Bed::start();
    insta::assert_snapshot!([bed.ok(&["objects", "list"]), bed.ok(&["objects", "list", "-o", "json"])].join("\n"));
    let added = bed.ok(&["objects", "add", "lab", "10.7.0.0/16", "10.6.0.1-10.6.0.9", "-m", "moved in"]);
    assert_eq!(added, "object 'lab' is added\n");
    assert!(bed.requests.lock().expect("lock").last().expect("asked").contains(r#"reason: "moved in""#));
    for (args, code, part) in [
        (vec!["objects", "add", "lab", "10.7.0.1/16"], 2, "has host bits set: write 10.7.0.0/16"),
        (vec!["objects", "add", "lab", "10.5.0.0/16"], 2, "there is an object 'lab' already"),
        (vec!["objects", "add", "any", "10.5.0.0/16"], 2, "'any' is not usable"),
        (vec!["objects", "delete", "office", "--yes"], 2, "is used by 'nobody else'"),
        (vec!["objects", "delete", "lab"], 2, "nobody is there to ask"),
    ] {
        let ran = bed.run(&args);
        assert_eq!(ran.code, code, "{args:?}");
        assert!(ran.err.contains(part), "{args:?}: {}", ran.err);
    }
    assert_eq!(bed.ok(&["objects", "delete", "lab", "--yes"]), "object 'lab' is deleted, revision 8\n");
}

#[test]
fn a_policy_comes_from_standard_input_too() {
    let bed = Bed::start();
    let mut child = bed
        .command(&["rules", "apply", "-f", "-", "--yes"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("spawn");
    std::io::Write::write_all(&mut child.stdin.take().expect("stdin"), OTHER.as_bytes()).expect("write");
    let ran = Ran::of(child.wait_with_output().expect("wait"), "nowhere");
    assert!(ran.code == 0 && ran.out.ends_with("applied, revision 8\n"), "{ran:?}");
}

#[test]
fn what_is_wrong_is_said_before_anything_is_sent() {
    let bed = Bed::start();
    let rule = |args: &[&'static str]| {
        let mut all = vec!["rules", "add", "--name", "r"];
        for (flag, default) in [("--from", "fetch"), ("--to", "nginx"), ("--ports", "tcp/80"), ("--effect", "alert")] {
            let given = args.iter().position(|arg| *arg == flag).map(|at| args[at + 1]);
            all.extend([flag, given.unwrap_or(default)]);
        }
        let known = ["--from", "--to", "--ports", "--effect"];
        all.extend(args.chunks(2).filter(|pair| !known.contains(&pair[0])).flatten());
        all
    };
    let bad = |name: &str, text: &str| bed.file(name, text);
    let [port, field, side] = [
        bad("port.yaml", &OTHER.replace("tcp/80", "tcp/70000")),
        bad("field.yaml", &OTHER.replace("effect: alert", "efect: alert")),
        bad("side.yaml", &OTHER.replace("container:redis", "any")),
    ];
    let cases: Vec<Vec<&str>> = vec![
        rule(&["--from", "any", "--to", "10.0.0.0/8"]),
        rule(&["--effect", "deny"]),
        rule(&["--ports", "tcp/70000"]),
        rule(&["--on-failure", "ajar"]),
        rule(&["--learned", "no"]),
        rule(&["--expires", "soon"]),
        rule(&["--from", "postgres*"]),
        rule(&["--to", "10.0.0.300"]),
        rule(&["--from-label", "env"]),
        vec!["rules", "set", "nobody else"],
        vec!["rules", "set", "nobody else", "--ports", "tcp/70000"],
        vec!["rules", "move", "nobody else", "0"],
        vec!["rules", "apply", "-f", &port],
        vec!["rules", "apply", "-f", &field],
        vec!["rules", "apply", "-f", &side],
        vec!["rules", "apply", "-f", "/nonexistent.yaml"],
        vec!["explain", "fetch", "nginx", "tcp/80-90"],
        vec!["explain", "fetch", "nginx", "any"],
        vec!["events", "list", "--kind", "rule"],
        vec!["events", "list", "--since", "yesterday"],
        vec!["radar", "--group-by", "colour"],
        vec!["services", "mode", "nginx", "on"],
        vec!["defenders", "token", "create", "--ttl", "0s"],
        vec!["status", "-o", "dot"],
        vec!["no-such-command"],
    ];
    let mut all = String::new();
    for args in cases {
        let ran = bed.run(&args);
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{args:?}");
        assert!(ran.err.starts_with("error: "), "{args:?}: {}", ran.err);
        let line = ran.err.lines().next().expect("line").replace(&bed.dir.path().display().to_string(), "DIR");
        let shown = args.join(" ").replace(&bed.dir.path().display().to_string(), "DIR");
        all.push_str(&format!("$ cnnfctl {shown}\n{line}\n"));
    }
    assert!(bed.requests.lock().expect("lock").is_empty());
    insta::assert_snapshot!(all);
}

#[test]
fn what_the_controller_refuses_changes_nothing() {
    let bed = Bed::start();
    let before = bed.ok(&["rules", "export"]);
    let unknown = bed.file("unknown.yaml", &OTHER.replace("to: nginx", "to: nobody"));
    let cases: [(&[&str], i32, &str); 10] = [
        (
            &["rules", "add", "--name", "r", "--from", "redis", "--to", "any", "--effect", "alert"],
            2,
            "error: from: 'redis' is ambiguous: write one of container:redis, unit:redis\n",
        ),
        (
            &["rules", "add", "--name", "r", "--from", "office", "--to", "any", "--effect", "alert"],
            2,
            "error: from: rule 'r' has no service on either side: make its source or destination a service such as unit:nginx\n",
        ),
        (
            &["rules", "add", "--name", "nobody else", "--from", "fetch", "--to", "any", "--effect", "alert"],
            2,
            "error: there is a rule 'nobody else' already: choose another name\n",
        ),
        (
            &["rules", "apply", "--yes", "-f", &unknown],
            2,
            "error: rules[0].to: no service is named 'nobody': write its full key, such as unit:nobody, if it is yet to come\n",
        ),
        (
            &["rules", "set", "nope", "--effect", "alert"],
            1,
            "error: there is no rule 'nope': see 'cnnfctl rules list'\n",
        ),
        (&["rules", "delete", "nope", "--yes"], 1, "error: there is no rule 'nope': see 'cnnfctl rules list'\n"),
        (&["services", "show", "nope"], 1, "error: there is no service 'nope': see 'cnnfctl services list'\n"),
        (&["services", "show", "redis"], 2, "error: 'redis' is ambiguous: write one of container:redis, unit:redis\n"),
        (&["settings", "set", "nope", "1"], 2, "error: there is no setting 'nope': there is learn_for\n"),
        (
            &["defenders", "show", "twin"],
            2,
            "error: several hosts are named 'twin': write one of their ids: h-4, h-5\n",
        ),
    ];
    for (args, code, err) in cases {
        let ran = bed.run(args);
        assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (code, "", err), "{args:?}");
    }
    assert_eq!(bed.ok(&["rules", "export"]), before);
}

#[test]
fn a_simulation_is_a_picture_and_an_exit_code() {
    let bed = Bed::start();
    let file = bed.file("policy.yaml", OTHER);
    let ran = bed.run(&["rules", "simulate", "-f", &file, "--since", "7d"]);
    assert_eq!((ran.code, ran.err.as_str()), (1, ""));
    insta::assert_snapshot!(ran.out);
    assert_eq!(bed.run(&["rules", "simulate", "-f", &file, "-o", "json"]).code, 1);
    let empty = bed.file("empty.yaml", "version: 1\n");
    let out = bed.ok(&["rules", "simulate", "-f", &empty]);
    assert!(
        out.ends_with("40 edges with 9000 connections were judged by the rules in force and by the file\n"),
        "{out}"
    );
}

#[test]
fn what_lint_finds_is_an_exit_code_too() {
    let bed = Bed::start();
    let ran = bed.run(&["rules", "lint"]);
    assert_eq!(ran.code, 1);
    assert!(ran.err.starts_with("not all rules were compared"), "{}", ran.err);
    insta::assert_snapshot!(ran.out);
    let file = bed.file("policy.yaml", OTHER);
    assert_eq!(bed.ok(&["rules", "lint", "-f", &file]), "nothing to be said\n");
}

#[test]
fn suggestions_are_a_policy_file() {
    let bed = Bed::start();
    let yaml = bed.ok(&["rules", "suggest", "nginx", "--rest", "prevent", "-o", "yaml"]);
    let wide = bed.ok(&["rules", "suggest", "nginx", "-o", "wide"]);
    insta::assert_snapshot!([wide, yaml.clone()].join("\n"));
    let file = bed.file("suggested.yaml", &yaml);
    let ran = bed.run(&["rules", "diff", "-f", &file]);
    assert_eq!((ran.code, ran.err.as_str()), (1, ""), "it is one");
    assert_eq!(bed.run(&["rules", "suggest", "nobody"]).code, 1);
    assert_eq!(bed.run(&["rules", "suggest", "nginx", "--rest", "allow"]).code, 2);
}
