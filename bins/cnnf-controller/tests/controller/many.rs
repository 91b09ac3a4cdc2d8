//! As many rules as a policy may have, as an operator brings them: a file, `cnnfctl`, a controller with defenders, and then one rule more.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::herd::Herd;
use crate::place::Place;

/// Services that the rules are about.
const SERVICES: usize = 2_000;
const DEFENDERS: usize = 20;

/// What a command took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    pub(crate) name: &'static str,
    pub(crate) time: Duration,
    /// Of cnnfctl, at its peak.
    pub(crate) mb: f64,
    /// Of the controller, since it runs.
    pub(crate) controller_mb: f64,
    /// That the controller wrote to its disk meanwhile.
    pub(crate) written_mb: f64,
}

/// Between known services mostly, each with ports of its own; some about addresses, some about everybody.
fn policy(rules: usize) -> String {
    let mut text = "version: 1\nobjects:\n  - {name: office, addresses: [10.8.0.0/16]}\nrules:\n".to_owned();
    for n in 0..rules {
        let (from, to) = (n % SERVICES, (n * 7 + n / SERVICES + 1) % SERVICES);
        let from = match n % 20 {
            0 => "office".to_owned(),
            1 => format!("10.{}.{}.0/24", n / 250 % 250, n % 250),
            _ => format!("unit:service-{from}"),
        };
        let effect = ["allow", "alert", "prevent"][n % 3];
        let port = 1_024 + n % 60_000;
        writeln!(
            text,
            "  - {{name: rule number {n}, from: {from}, to: 'unit:service-{to}', ports: [tcp/{port}], effect: {effect}, owner: team-{}, \
             ticket: OPS-{n}, notes: for the tests}}",
            n % 40
        )
        .expect("written");
    }
    text
}

fn proc_number(pid: u32, file: &str, name: &str) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("0");
    line.trim().trim_end_matches(" kB").parse().unwrap_or(0.0)
}

/// Where `cnnfctl` was built: beside the controller.
fn cnnfctl() -> PathBuf {
    let path = Path::new(env!("CARGO_BIN_EXE_cnnf-controller")).with_file_name("cnnfctl");
    assert!(path.exists(), "{} is not built: cargo build -p cnnfctl, with the same profile", path.display());
    path
}

/// Runs `cnnfctl`; its exit code is one of `codes`.
fn run(place: &Place, name: &'static str, arguments: &[&str], codes: &[i32]) -> (Cost, String) {
    let pid = place.pid();
    let before = proc_number(pid, "io", "write_bytes:");
    let out = place.path().join("out");
    let begin = Instant::now();
    let mut child = Command::new(cnnfctl())
        .arg("--admin")
        .arg(place.path().join("here.toml"))
        .args(arguments)
        .stdout(std::fs::File::create(&out).expect("a file"))
        .stderr(Stdio::piped())
        .spawn()
        .expect("cnnfctl starts");
    let mut mb: f64 = 0.0;
    let status = loop {
        mb = mb.max(proc_number(child.id(), "status", "VmHWM:") / 1024.0);
        match child.try_wait().expect("it is ours") {
            Some(status) => break status,
            None => std::thread::sleep(Duration::from_millis(2)),
        }
    };
    let time = begin.elapsed();
    let text = std::fs::read_to_string(out).expect("text");
    let said = std::io::read_to_string(child.stderr.take().expect("piped")).expect("text");
    assert!(codes.contains(&status.code().unwrap_or(-1)), "{name}: {status}: {said}");
    let controller_mb = proc_number(pid, "status", "VmHWM:") / 1024.0;
    let written_mb = (proc_number(pid, "io", "write_bytes:") - before) / 1e6;
    (Cost { name, time, mb, controller_mb, written_mb }, text)
}

/// Everything that is done with rules, with so many of them.
pub(crate) async fn many(rules: usize) -> Vec<Cost> {
    let place = Place::new();
    let mut herd = Herd::enrol(&place, DEFENDERS).await;
    herd.connect(&place).await;
    herd.introduce().await;
    // admin.toml names the usual port
    let admin: toml::Table =
        std::fs::read_to_string(place.path().join("admin.toml")).expect("admin.toml").parse().expect("TOML");
    let here = [("server".to_owned(), toml::Value::from(place.grpc.to_string()))];
    let here: toml::Table = admin.into_iter().filter(|(key, _)| key != "server").chain(here).collect();
    std::fs::write(place.path().join("here.toml"), here.to_string()).expect("written");
    let file = place.path().join("policy.yaml");
    std::fs::write(&file, policy(rules)).expect("written");
    let file = file.display().to_string();
    let mut costs = Vec::new();
    let mut take = |name, arguments: &[&str], codes: &[i32]| {
        let (cost, text) = run(&place, name, arguments, codes);
        costs.push(cost);
        text
    };
    take("apply, all of them new", &["rules", "apply", "-f", &file, "--yes"], &[0]);
    let one = ["--from", "unit:service-1", "--to", "unit:client", "--ports", "tcp/1", "--effect", "alert"];
    take("add one at the top", &[&["rules", "add", "--name", "top", "--position", "1"][..], &one[..]].concat(), &[0]);
    take(
        "add one at the top again",
        &[&["rules", "add", "--name", "topper", "--position", "1"][..], &one[..]].concat(),
        &[0],
    );
    take("change one in the middle", &["rules", "set", "rule number 77", "--effect", "allow"], &[0]);
    take("diff", &["rules", "diff", "-f", &file], &[1]);
    let listed = take("list, as JSON", &["rules", "list", "-o", "json"], &[0]);
    assert_eq!(listed.matches("\"position\"").count(), rules + 2);
    take("history", &["rules", "history"], &[0]);
    take("show the revision that brought them", &["rules", "history", "1"], &[0]);
    take("lint", &["rules", "lint"], &[1]);
    take("simulate", &["rules", "simulate", "-f", &file], &[0, 1]);
    take("roll back the last change", &["rules", "rollback", "3", "--yes"], &[0]);
    take("delete all of them", &["rules", "rollback", "0", "--yes"], &[0]);
    let audit = take("audit", &["audit", "list", "-o", "json"], &[0]);
    assert!(audit.len() < 2 << 20, "the record of changes is bounded: {} bytes", audit.len());
    costs
}

/// The same as the bench `rules` at a twentieth of its size and without a release build; bounds are loose, as others work here too.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_thousands_of_rules_is_applied_and_changed_by_one() {
    let costs = many(5_000).await;
    for cost in &costs {
        println!("{cost:?}");
    }
    let of = |name: &str| costs.iter().find(|cost| cost.name == name).expect("measured");
    assert!(of("apply, all of them new").time < Duration::from_secs(60));
    assert!(costs.iter().all(|cost| cost.time < Duration::from_secs(60)));
    let most = costs.iter().map(|cost| cost.mb.max(cost.controller_mb)).fold(0.0, f64::max);
    assert!(most < 400.0, "{most} MB");
    for one in ["add one at the top", "add one at the top again", "change one in the middle"].map(of) {
        assert!(one.written_mb < 1.0, "a rule's row and no other's: {one:?}");
    }
}
