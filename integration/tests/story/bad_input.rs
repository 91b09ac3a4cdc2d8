//! Bad input gets an error that says where and what to do, the exit code of the contract, and changes nothing.

use std::time::Duration;

use cnnf_lab::{Output, Placement, World};

use crate::bed::{OFFICE, events, known, list, rule, within};

#[track_caller]
fn refused(output: &Output, code: i32, words: &[&str]) {
    assert_eq!(output.code, code, "{output:?}");
    let text = output.stderr.trim();
    assert!(text.starts_with("error: "), "{text}");
    for word in words {
        assert!(text.contains(word), "'{word}' is missing in: {text}");
    }
    assert!(!text.contains("panicked"), "{text}");
}

#[test]
fn root_bad_rules_change_nothing() {
    let world = World::up(OFFICE).expect("the world comes up");
    let before = world.ctl_json(&["rules", "list"]);
    let add = |from: &str, to: &str, ports: &str, effect: &str| {
        world.ctl(&["rules", "add", "--name", "bad", "--from", from, "--to", to, "--ports", ports, "--effect", effect])
    };
    refused(&add("10.0.0.1", "any", "any", "alert"), 2, &["service"]);
    refused(&add("unit:a", "unit:b", "any", "explode"), 2, &["explode", "prevent"]);
    refused(&add("unit:a", "unit:b", "tcp/70000", "alert"), 2, &["70000", "65535"]);
    refused(&add("unit:a", "nosuchservice", "any", "alert"), 2, &["nosuchservice", "unit:"]);

    let dir = world.service_dir("web1", "nginx");
    for (name, text, words) in [
        (
            "unknown.yaml",
            "version: 1\nrules:\n  - {name: a, from: 'unit:a', to: any, effct: alert}\n",
            &["effct", "line 3"][..],
        ),
        (
            "effect.yaml",
            "version: 1\nrules:\n  - {name: a, from: 'unit:a', to: any, ports: [any], effect: burn}\n",
            &["burn"],
        ),
        (
            "port.yaml",
            "version: 1\nrules:\n  - {name: a, from: 'unit:a', to: any, ports: [tcp/70000], effect: alert}\n",
            &["70000"],
        ),
        (
            "noservice.yaml",
            "version: 1\nrules:\n  - {name: a, from: any, to: 10.0.0.1, ports: [any], effect: alert}\n",
            &["service"],
        ),
    ] {
        let file = dir.join(name);
        std::fs::write(&file, text).expect("a policy file is written");
        let path = file.display().to_string();
        refused(&world.ctl(&["rules", "apply", "-f", &path, "--yes"]), 2, &[words, &[name]].concat());
    }
    assert_eq!(world.ctl_json(&["rules", "list"]), before, "nothing has changed");

    let good = dir.join("good.yaml");
    let text = "version: 1\nobjects:\n  - {name: office, addresses: [10.8.0.0/16]}\nrules:\n  - name: in\n    from: office\n    to: {service: 'unit:nginx', labels: {env: prod}}\n    ports: ['tcp/80,443']\n    effect: allow\n";
    std::fs::write(&good, text).expect("a policy file is written");
    let path = good.display().to_string();
    assert!(world.ctl(&["rules", "apply", "-f", &path]).success());
    let exported = world.ctl(&["rules", "export"]);
    std::fs::write(&good, exported.text()).expect("the export is written");
    let revision = world.ctl_json(&["rules", "list"])["revision"].clone();
    assert!(world.ctl(&["rules", "apply", "-f", &path]).success());
    assert_eq!(world.ctl_json(&["rules", "list"])["revision"], revision, "apply of the export changes nothing");
}

#[test]
fn root_bad_enrolments_and_configurations_are_told_apart() {
    let world = World::up(OFFICE).expect("the world comes up");
    let enrol = |token: &str| {
        let script = format!(
            "rm -rf /var/lib/cnnf; PATH=/run/lab-bin:$PATH; cnnf-defender enroll --controller 10.86.0.250:7443 --token '{token}'"
        );
        world.exec("old", Placement::Session, &["sh", "-c", &script])
    };
    let token = |ttl: &str| {
        let answer = world.ctl_json(&["defenders", "token", "create", "--ttl", ttl]);
        answer["token"].as_str().expect("a token").to_owned()
    };
    let once = token("10m");
    assert!(enrol(&once).success(), "a good token lets in: {:?}", enrol(&token("10m")));
    let hosts = list(&world, &["defenders", "list"], "defenders").len();
    refused(&enrol(&once), 3, &["used"]);
    let short = token("1s");
    std::thread::sleep(std::time::Duration::from_millis(1500));
    refused(&enrol(&short), 3, &["expired"]);
    let fresh = token("10m");
    let (front, _) = fresh.rsplit_once('.').expect("a token has three parts");
    refused(&enrol(&format!("{front}.{}", "A".repeat(43))), 3, &["controller"]);
    refused(&enrol("nonsense"), 2, &["token"]);
    assert_eq!(list(&world, &["defenders", "list"], "defenders").len(), hosts, "nobody else was let in");

    let check = |program: &str, text: &str| {
        let script =
            format!("cat > /tmp/c.toml <<'E'\n{text}\nE\nPATH=/run/lab-bin:$PATH; {program} check-config /tmp/c.toml");
        world.exec("old", Placement::Session, &["sh", "-c", &script])
    };
    refused(&check("cnnf-defender", "controler = 'x:1'"), 2, &["controler", "/tmp/c.toml"]);
    refused(&check("cnnf-controller", "lissten = '0.0.0.0:1'"), 2, &["lissten", "/tmp/c.toml"]);
    assert!(check("cnnf-controller", "listen = '0.0.0.0:7443'").success());
}

/// Fetches a page as a program, then in a unit, that are called by a terminal's escapes, HTML, a formula, what ends quotes, and what is no
/// UTF-8; the kernel takes a newline in a program's name only. The unit's lives on for a moment: an alert holds nothing up until the process
/// that it tells of was read.
const HOSTILE: &str = r#"
word=$(printf '\033[31m\tred\302\233\377\007<b>=cmd|"\\ ')
line=$(printf '%s\n2026-01-01T00:00:00Z ERROR forged' "$word")
cp "$(readlink -f "$(command -v curl)")" "/run/$line" && chmod 755 "/run/$line" || exit 2
"/run/$line" -4 -s --max-time 2 -A "$line" http://web1/ || exit 3
own=$(sed -n s/^0:://p /proc/self/cgroup)
for tree in /sys/fs/cgroup /sys/fs/cgroup/unified; do
    [ -e "$tree$own/cgroup.procs" ] || continue
    group="$tree${own%/user.slice/*}/system.slice/$word.service"
    mkdir -p "$group" || exit 4
    sleep 0.5 | sh -c 'echo 0 >"$0/cgroup.procs" && exec curl -4 -s --max-time 2 -A "$1" http://web1/ file:///dev/stdin' "$group" "$line" || exit 5
    sleep 1
    rmdir "$group"
    exit
done
exit 6
"#;

#[test]
fn root_hostile_names_steer_nobody_who_reads_them() {
    let world = World::up(OFFICE).expect("the world comes up");
    known(&world, "unit:nginx");
    rule(&world, "watch", "any", "nginx", "tcp/80", "alert");
    // until the rule is on the host
    within(Duration::from_secs(5), "an alert", || {
        world.shell("app1", "curl -4 -s --max-time 2 http://web1/").text();
        !events(&world, "rule_alert").is_empty()
    });
    let output = world.shell("app1", HOSTILE);
    assert_eq!((output.code, output.stdout.as_str()), (0, "the page\nthe page\n"), "{output:?}");

    let word = "\u{1b}[31m\tred\u{9b}?\u{7}<b>=cmd|\"\\ ";
    let program = format!("exe:/run/{}\n2026-01-01T00:00:00Z ERROR forged", word.replace('?', "\u{fffd}"));
    let unit = format!("unit:{}", word.replace('?', "\u{fffd}ff"));
    for key in [&program, &unit] {
        within(Duration::from_secs(10), "events, services and edges of both", || {
            let told = events(&world, "rule_alert");
            let told = told.iter().filter(|event| event["client"]["service"] == key.as_str());
            let whole =
                told.filter(|event| event["process"]["cmdline"].as_str().is_some_and(|c| c.contains("-A \u{1b}[31m")));
            whole.count() > 0
                && list(&world, &["services", "list"], "services").iter().any(|s| s["key"] == key.as_str())
                && list(&world, &["edges", "list"], "edges").iter().any(|e| e["client"]["service"] == key.as_str())
        });
    }
    let number = |key: &str| {
        let told = events(&world, "rule_alert");
        let event = told.iter().find(|event| event["client"]["service"] == key).expect("an event");
        event["id"].as_str().map_or_else(|| event["id"].to_string(), str::to_owned)
    };
    let (of_program, of_unit) = (number(&program), number(&unit));
    let plain = |what: &str, text: &str| {
        let raw = text.chars().find(|c| c.is_control() && *c != '\n');
        assert!(raw.is_none(), "{what} has a raw {raw:?}: {text:?}");
        assert!(!text.lines().any(|line| line.starts_with("2026-01-01")), "{what} has a forged line: {text}");
    };
    for command in [
        &["status"][..],
        &["radar"],
        &["services", "list"],
        &["services", "show", &unit],
        &["edges", "list"],
        &["events", "list"],
        &["events", "show", &of_program],
        &["events", "show", &of_unit],
        &["models", "list"],
        &["models", "show", &program],
        &["explain", &unit, "unit:nginx", "tcp/80"],
    ] {
        for form in ["table", "json", "yaml", "dot"] {
            if form == "dot" && command != ["radar"] {
                continue;
            }
            let output = world.ctl(&[&["-o", form], command].concat());
            let what = format!("{command:?} as {form}");
            plain(&what, &output.stderr);
            plain(&what, output.text());
            match form {
                "json" => drop(serde_json::from_str::<serde_json::Value>(output.text()).expect(&what)),
                "dot" => assert!(output.text().contains(r"\\x1b[31m"), "{what}: {}", output.text()),
                _ => {}
            }
        }
    }
    // a name that nobody has comes back in the error
    plain("an error", &world.ctl(&["models", "show", &format!("{unit}x")]).stderr);
    plain("the controller's log", &world.log("controller", "cnnf-controller"));
    plain("the defender's log", &world.log("app1", "cnnf-defender"));
}
