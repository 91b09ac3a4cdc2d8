//! Bad input gets an error that says where and what to do, the exit code of the contract, and changes nothing.

use cnnf_lab::{Output, Placement, World};

use crate::bed::{OFFICE, list};

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
