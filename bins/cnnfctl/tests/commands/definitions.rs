//! What services are called.

use crate::bed::Bed;

#[test]
fn services_are_defined_and_undefined() {
    let bed = Bed::start();
    let define = [
        "services",
        "define",
        "web",
        "--unit",
        "nginx",
        "--unit",
        "apache2",
        "--exe",
        "/usr/sbin/*",
        "--cmdline",
        "-g daemon",
        "--user",
        "www-data",
        "--port",
        "80",
        "--port",
        "udp/53",
        "--host-label",
        "env=prod",
        "--host-label",
        "site=fra",
    ];
    assert_eq!(
        bed.ok(&define),
        "svc:web is number 3: unit nginx or apache2, executable /usr/sbin/*, command line with -g daemon, user www-data, \
         listening on tcp/80 or udp/53, hosts with env=prod and site=fra\n"
    );
    let asked = bed.requests.lock().expect("lock").last().cloned().expect("a request");
    for part in
        ["units: [\"nginx\", \"apache2\"]", "ports: [\"tcp/80\", \"udp/53\"]", "\"site\": \"fra\"", "position: 0"]
    {
        assert!(asked.contains(part), "{part}: {asked}");
    }
    let first = ["services", "define", "web", "--unit", "nginx", "--position", "1", "-o", "json"];
    assert!(bed.ok(&first).contains("\"position\": 1"));
    insta::assert_snapshot!(bed.ok(&["services", "definitions"]));
    insta::assert_snapshot!(bed.ok(&["services", "definitions", "-o", "json"]));

    let ran = bed.run(&["services", "undefine", "web"]);
    let question =
        "error: delete the definition of 'web', which renames 3 services: nobody is there to ask, so say --yes\n";
    assert_eq!((ran.code, ran.err.as_str()), (2, question));
    assert_eq!(bed.ok(&["services", "undefine", "svc:web", "--yes"]), "'web' is defined no more, revision 5\n");
    assert_eq!(bed.ok(&["services", "define", "web", "--delete", "--yes"]), "'web' is defined no more, revision 5\n");
    let ran = bed.run(&["services", "undefine", "web", "--yes", "--base", "3"]);
    assert!(ran.code != 0 && ran.err.contains("at revision 4, not 3"), "{ran:?}");
    assert_eq!(bed.run(&["services", "undefine", "gone", "--yes"]).code, 1);
}

#[test]
fn a_preview_is_read_by_people_and_programs() {
    let bed = Bed::start();
    insta::assert_snapshot!(bed.ok(&["services", "define", "web", "--unit", "nginx", "--preview"]));
    insta::assert_snapshot!(bed.ok(&["services", "undefine", "web", "--dry-run", "-o", "json"]));
    let requests = bed.requests.lock().expect("lock");
    assert!(requests.iter().all(|request| request.starts_with("PreviewDefinitionRequest")), "{requests:?}");
}

#[test]
fn what_is_wrong_is_said_before_anything_is_sent() {
    let bed = Bed::start();
    for (args, part) in [
        (&["web"][..], "has no condition"),
        (&["web", "--host-label", "env=prod"], "has no condition"),
        (&["a b", "--unit", "x"], "is no name for a service"),
        (&["web", "--port", "http"], "ports: unknown protocol 'http'"),
        (&["web", "--unit", "x", "--host-label", "env"], "label 'env' is not KEY=VALUE"),
        (&["web", "--exe", "nginx"], "write the whole path"),
        (&["web", "--unit", "x", "--delete"], "cannot be used with"),
        (&["web", "--unit", "x", "--position", "0"], "0 is not in"),
    ] {
        let ran = bed.run(&[&["services", "define"], args].concat());
        assert_eq!(ran.code, 2, "{args:?}: {ran:?}");
        assert!(ran.err.contains(part), "{args:?}: {}", ran.err);
    }
    assert!(bed.requests.lock().expect("lock").is_empty());
}
