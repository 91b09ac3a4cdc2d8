use std::net::IpAddr;

use cnnf_core::net::Protocol;
use cnnf_core::time::Timestamp;

use super::*;

fn address(text: &str) -> IpAddr {
    text.parse().expect("address")
}

#[test]
fn both_forms_read_the_same() {
    let json = r##"{"ts":1588205199.5,"id_orig_h":"10.0.1.6","id_orig_p":5,"id.resp_h":"10.0.0.4","id_resp_p":53,"proto":"udp","orig_bytes":39,"resp_bytes":55,"conn_state":"SF","history":"Dd","label":"Benign"}"##;
    let iso = r##"{"ts":"2020-04-30T00:06:39.5Z","id":{"orig_h":"10.0.1.6","orig_p":5,"resp_h":"10.0.0.4","resp_p":53},"proto":"udp","orig_bytes":39,"resp_bytes":55,"conn_state":"SF","label":"Benign"}"##;
    let tabs = concat!(
        "#separator \\x09\n#unset_field\t-\n",
        "#fields\tts\tid.orig_h\tid.resp_h\tid.resp_p\tproto\torig_bytes\tresp_bytes\thistory\tlocal_orig\tlabel\n",
        "1588205199.5\t10.0.1.6\t10.0.0.4\t53\tudp\t39\t55\tDd\t-\tBenign\n#close\tnow\n",
    );
    // As some labelled recordings have it: three columns in one.
    let spaces = concat!(
        "#separator \\x09\n",
        "#fields\tts\tid.orig_h\tid.resp_h\tid.resp_p\tproto\torig_bytes\tresp_bytes\thistory\ttunnel_parents   label   detailed-label\n",
        "1588205199.5\t10.0.1.6\t10.0.0.4\t53\tudp\t39\t55\tDd\t(empty)   Benign   -\n",
    );
    let expected = Connection {
        at: Timestamp(1_588_205_199_500),
        client: address("10.0.1.6"),
        server: address("10.0.0.4"),
        protocol: Protocol::Udp,
        port: 53,
        bytes: 94,
        answered: true,
        local: (false, false),
        label: "Benign".into(),
    };
    for text in [json, iso, tabs, spaces] {
        assert_eq!(zeek::read(text).as_deref(), Ok(&[expected.clone()][..]), "{text}");
    }
}

#[test]
fn mistakes_say_where() {
    for (text, part) in [
        ("{\"ts\":1}", "line 1: has no"),
        ("\n{", "line 2: "),
        ("1\t2", "line 1: is no JSON"),
        (r#"{"ts":"soon","proto":"tcp","id_resp_p":1,"id_orig_h":"::1","id_resp_h":"::1"}"#, "'soon' is no time"),
        (r#"{"ts":1,"proto":"tcp","id_resp_p":99999,"id_orig_h":"::1","id_resp_h":"::1"}"#, "is no port"),
        (r#"{"ts":1,"proto":"icmp","id_orig_h":"a","id_resp_h":"::1"}"#, "is no address"),
    ] {
        let error = zeek::read(text).expect_err(text);
        assert!(error.contains(part), "{error}");
    }
    assert_eq!("0.5".parse(), Ok(LearnUntil::Fraction(0.5)));
    assert_eq!("1970-01-01T00:00:05Z".parse(), Ok(LearnUntil::Time(Timestamp(5000))));
    assert_eq!("5000".parse(), Ok(LearnUntil::Time(Timestamp(5_000_000))));
    assert!("half".parse::<LearnUntil>().is_err() && "-1".parse::<LearnUntil>().is_err());
}

fn seen(second: u64, client: &str, server: &str, port: u16, answered: bool, label: &str) -> Connection {
    Connection {
        at: Timestamp(second * 1000),
        client: address(client),
        server: address(server),
        protocol: Protocol::Tcp,
        port,
        bytes: 1,
        answered,
        local: (false, false),
        label: label.into(),
    }
}

#[test]
fn what_was_not_learned_is_an_anomaly_once() {
    let mut all: Vec<Connection> = (0..100).map(|n| seen(n, "10.0.0.1", "10.0.0.2", 80, true, "Benign")).collect();
    all.push(seen(50, "10.0.0.3", "10.0.0.2", 22, false, "Benign")); // to kernel: nobody listens
    all.push(seen(10, "10.0.0.3", "10.0.0.2", 80, true, "Benign"));
    all.push(seen(90, "10.0.0.1", "203.0.113.5", 443, true, "Attack"));
    all.push(seen(91, "10.0.0.1", "203.0.113.9", 443, true, "Attack"));
    all.push(seen(92, "10.0.0.3", "10.0.0.2", 445, false, "Attack"));
    all.push(seen(93, "8.8.8.8", "10.0.0.2", 80, true, "Attack"));
    all.push(seen(94, "8.8.8.8", "9.9.9.9", 80, true, ""));
    all.reverse();
    let report = run(all, Some(LearnUntil::Fraction(0.6)), &[]).expect("replayed");
    assert_eq!((report.totals.connections, report.totals.foreign, report.totals.unanswered), (107, 1, 2));
    let edges: Vec<&str> = report.anomalies.iter().map(|told| told.edge.as_str()).collect();
    assert_eq!(
        edges,
        [
            "unit:client@10.0.0.1 → 203.0.113.0/24 tcp/443",
            "unit:client@10.0.0.3 → kernel tcp/445",
            "8.8.8.0/24 → unit:tcp-80@10.0.0.2 tcp/80",
        ],
        "addresses of a network are one, and known edges none"
    );
    assert_eq!((report.anomalies[0].answered, report.anomalies[1].unanswered), (2, 1));
    let attack = &report.labels["Attack"];
    assert_eq!((attack.edges, attack.anomalous_edges, attack.judged.answered_anomalies), (3, 3, 3));
    assert_eq!(report.labels["Benign"].judged.answered_anomalies, 0);
    let readiness = report.readiness.expect("learning ended");
    assert_eq!(readiness.happened, 3);
    assert_eq!(readiness.services.len(), 3);
}

#[test]
fn without_a_moment_the_models_own_clocks_decide() {
    // An hour of learning and a day of dry run, at one connection a minute.
    let mut all: Vec<Connection> = (0..60 * 30).map(|n| seen(n * 60, "10.0.0.1", "10.0.0.2", 80, true, "")).collect();
    all.push(seen(2 * 3600, "10.0.0.1", "10.0.0.2", 81, true, ""));
    all.push(seen(29 * 3600, "10.0.0.1", "10.0.0.2", 82, true, ""));
    let report = run(all, None, &[]).expect("replayed");
    assert_eq!(report.anomalies.len(), 1, "the surprise of the second hour is learned in the dry run");
    assert!(report.anomalies[0].edge.ends_with("tcp/82") && report.readiness.is_none());
}

#[test]
fn hosts_are_told_private_or_named() {
    let mut told = seen(1, "198.51.100.7", "8.8.8.8", 53, true, "");
    told.local.0 = true;
    let one = |connections, local: &[AddrRange]| run(connections, None, local).expect("replayed").totals;
    assert_eq!(one(vec![told.clone()], &[]).foreign, 0);
    let untold = Connection { local: (false, false), ..told };
    assert_eq!(one(vec![untold.clone()], &[]).foreign, 1);
    assert_eq!(one(vec![untold], &["198.51.100.0/24".parse().expect("range")]).foreign, 0);
    assert!(run(Vec::new(), None, &[]).is_err());
}
