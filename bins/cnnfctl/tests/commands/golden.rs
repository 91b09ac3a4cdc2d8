//! What every command prints, for people and as JSON, and what it says when it cannot: one transcript a noun. A command that is in none
//! fails the last test.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::Stdio;

use crate::bed::{Bed, Ran, bare};

/// What `-f FILE` names in the scripts.
const POLICY: &str = "version: 1
objects:
  - {name: office, addresses: [10.9.0.0/16]}
rules:
  - {name: watch the page, from: fetch, to: nginx, ports: [tcp/80], effect: prevent}
  - {name: fresh, from: office, to: container:redis, effect: alert}
";

const OBJECTS: &[&str] = &["objects list", "objects add lab 10.0.0.0/8 fd00::/8", "objects delete lab --yes"];
const RULES: &[&str] = &[
    "rules export",
    "rules add --name new --from fetch --to nginx --ports tcp/80 --effect alert",
    "rules set new --effect prevent",
    "rules move new 1",
    "rules disable new",
    "rules enable new",
    "rules delete new --yes",
    "rules history",
    "rules history 1",
    "rules lint",
    "rules lint --since 30d",
    "rules suggest nginx",
    "rules simulate -f FILE --since 7d",
    "rules diff -f FILE",
    "rules apply -f FILE --dry-run",
    "rules apply -f FILE --yes --confirm-within 5m",
    "rules confirm",
    "rules rollback 1 --yes",
];
const SERVICES: &[&str] = &[
    "services definitions",
    "services define web --unit nginx",
    "services define web --unit nginx --preview",
    "services undefine web --yes",
];
const PEOPLE: &[&str] = &["users add ann --role operator --password-stdin", "audit verify"];
const HOSTS: &[&str] = &["defenders token create --ttl 2m"];
const ERRORS: &[&str] = &[
    "status -o dot",
    "top",
    "top --once",
    "radar --group-by rack",
    "services show nope",
    "services show redis",
    "services mode nginx off",
    "edges diff",
    "rules show nope",
    "rules set nope --effect alert",
    "rules set 3",
    "rules delete 99 --yes",
    "rules delete 3",
    "rules add --name r --from fetch --to nginx --ports tcp/99999 --effect alert",
    "rules apply -f /nonexistent.yaml",
    "rules confirm",
    "rules rollback",
    "rules history 99",
    "objects add office 10.0.0.0/8",
    "objects delete office --yes",
    "models show nope",
    "models approve nginx",
    "events list --kind nope",
    "events show 99",
    "events watch --service ending",
    "defenders show nope",
    "defenders show twin",
    "defenders delete web1 --yes",
    "explain nope nginx tcp/80",
    "explain fetch nginx http",
    "settings set nope 1",
    "users set nobody --disable",
    "users set jo",
    "tokens create a/b --role admin",
    "alerts test soar",
    "alerts test mail",
    "completion powershellish",
];

/// Runs `script` in order against one controller, once for people and once as JSON.
fn transcript(script: &[&str]) -> String {
    let mut all = String::new();
    for form in ["table", "json"] {
        let bed = Bed::start();
        let file = bed.file("policy.yaml", POLICY);
        for line in script {
            let mut args: Vec<&str> = line.split(' ').map(|word| if word == "FILE" { &file } else { word }).collect();
            if !line.contains(" -o ") {
                args.extend(["-o", form]);
            }
            let mut child = bed.command(&args);
            let child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
            let mut child = child.spawn().expect("spawn");
            // A command that asks for no password may have ended before.
            let _ = child.stdin.take().expect("stdin").write_all(b"correct horse battery\n");
            let ran = Ran::of(child.wait_with_output().expect("run"), &bed.address.to_string());
            let (out, err) = (ran.out.replace(&file, "FILE"), ran.err.replace(&file, "FILE"));
            let steers = |text: &str| text.contains(|c: char| c.is_control() && c != '\n');
            assert!(!steers(&out) && !steers(&err), "{line}: {ran:?}");
            let shown = if line.contains(" -o ") { String::new() } else { format!(" -o {form}") };
            all.push_str(&format!("$ cnnfctl {line}{shown}\n{out}"));
            err.lines().for_each(|line| all.push_str(&format!("! {line}\n")));
            if ran.code != 0 {
                all.push_str(&format!("exit {}\n", ran.code));
            }
            all.push('\n');
        }
    }
    all
}

macro_rules! transcripts {
    ($($name:ident: $script:expr;)+) => {
        $(
            #[test]
            fn $name() {
                insta::assert_snapshot!(transcript($script));
            }
        )+
    };
}

transcripts! {
    objects: OBJECTS;
    rules: RULES;
    services: SERVICES;
    people: PEOPLE;
    hosts: HOSTS;
    errors: ERRORS;
}

#[test]
fn no_command_is_without_a_golden_answer() {
    let folder = tempfile::tempdir().expect("folder");
    assert!(bare(&["manual", &folder.path().display().to_string()]).status().expect("run").success());
    let pages = std::fs::read_dir(folder.path().join("man")).expect("pages");
    let commands: BTreeSet<String> = pages
        .map(|page| page.expect("page").file_name().into_string().expect("name"))
        .map(|name| name.trim_end_matches(".1").replace('-', " "))
        .collect();
    let below = |command: &str| commands.iter().any(|other| other.starts_with(&format!("{command} ")));
    let snapshots = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/commands/snapshots");
    let asked: Vec<String> = std::fs::read_dir(snapshots)
        .expect("snapshots")
        .map(|file| std::fs::read_to_string(file.expect("file").path()).expect("text"))
        .flat_map(|text| text.lines().filter_map(|line| line.strip_prefix("$ ")).map(str::to_owned).collect::<Vec<_>>())
        .collect();
    let mut missing = Vec::new();
    for command in commands.iter().filter(|command| !below(command)) {
        let has =
            |form: &str| asked.iter().any(|line| line.starts_with(&format!("{command} ")) && line.ends_with(form));
        missing.extend(
            ["-o table", "-o json"].into_iter().filter(|form| !has(form)).map(|form| format!("{command} {form}")),
        );
    }
    assert!(commands.len() > 60 && missing.is_empty(), "put these into a transcript: {missing:#?}");
}
