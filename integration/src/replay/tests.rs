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

fn one(text: &str) -> Connection {
    let mut all = zeek::read(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    assert_eq!(all.len(), 1, "{text}");
    all.remove(0)
}

#[test]
fn a_log_says_itself_how_it_is_written() {
    let plain = one("#separator \\x09\n#fields\tts\tid.orig_h\tid.resp_h\tid.resp_p\tproto\tconn_state\torig_bytes\n\
                     5.5\t2001:db8::1\tfe80::2\t65535\ttcp\tSF\t-\n");
    assert_eq!((plain.client, plain.port, plain.bytes, plain.answered), (address("2001:db8::1"), 65_535, 0, true));
    for (name, text) in [
        (
            "commas",
            "#separator ,\n#fields,ts,id.orig_h,id.resp_h,id.resp_p,proto,conn_state,orig_bytes\n\
                    5.5,2001:db8::1,fe80::2,65535,tcp,SF,-\n",
        ),
        (
            "semicolons, by number",
            "#separator \\x3b\n#unset_field;NA\n#path;conn\n\
                                   #fields;ts;id.orig_h;id.resp_h;id.resp_p;proto;conn_state;orig_bytes\n\
                                   5.5;2001:db8::1;fe80::2;65535;tcp;SF;NA\n",
        ),
        (
            "another order",
            "#fields\tproto\tid.resp_p\tid.resp_h\tid.orig_h\tconn_state\tts\tuid\n\
                           tcp\t65535\tfe80::2\t2001:db8::1\tSF\t5.5\tC1\n",
        ),
        (
            "a mark of order and ends of DOS",
            "\u{feff}#separator \\x09\r\n#fields\tts\tid.orig_h\tid.resp_h\tid.resp_p\tproto\tconn_state\r\n\
                                             5.5\t2001:db8::1\tfe80::2\t65535\ttcp\tSF\r\n",
        ),
        (
            "null, blank and a dash",
            r#"{"ts":5.5,"id.orig_h":"2001:db8::1","id.resp_h":"fe80::2","id.resp_p":65535.0,"proto":"tcp","conn_state":"SF","history":"","orig_bytes":"-","resp_bytes":null}"#,
        ),
        (
            "a port as text",
            r#"{"ts":5.5,"id.orig_h":"2001:db8::1","id.resp_h":"fe80::2","id.resp_p":"65535","proto":"tcp","conn_state":"SF"}"#,
        ),
    ] {
        assert_eq!(one(text), plain, "{name}");
    }
    // two logs in one file, each with columns of its own
    let two = "#fields\tts\tid.orig_h\tid.resp_h\tid.resp_p\tproto\tconn_state\n1\t::1\t::2\t1\ttcp\tSF\n\
               #separator ,\n#fields,id.resp_h,ts,id.orig_h,proto,id.resp_p,conn_state\n::2,2,::1,udp,53,S0\n";
    let two: Vec<_> = zeek::read(two).expect("read").iter().map(|one| (one.at.0, one.port, one.answered)).collect();
    assert_eq!(two, [(1000, 1, true), (2000, 53, false)]);
}

#[test]
fn times_are_seconds_milliseconds_or_dates() {
    let at = |ts: &str| {
        one(&format!(
            r#"{{"ts":{ts},"id_orig_h":"::ffff:10.0.0.1","id_resp_h":"10.0.0.2","proto":"icmp","resp_pkts":1,"conn_state":"OTH"}}"#
        ))
    };
    let expected = at("1588205199.5");
    assert_eq!(
        (expected.at, expected.client, expected.answered),
        (Timestamp(1_588_205_199_500), address("10.0.0.1"), true)
    );
    for ts in [
        "1588205199500",
        "1.5882051995e9",
        r#""1588205199.500000""#,
        r#""2020-04-30T00:06:39.500000Z""#,
        r#""2020-04-30T02:06:39.5+02:00""#,
    ] {
        assert_eq!(at(ts), expected, "{ts}");
    }
}

#[test]
fn what_was_answered_is_known_by_any_of_four_fields() {
    let answered = |fields: &str| {
        one(&format!(r#"{{"ts":1,"id_orig_h":"::1","id_resp_h":"::2","id_resp_p":1,"proto":"tcp",{fields}}}"#)).answered
    };
    for (fields, expected) in [
        (r#""conn_state":"REJ""#, false),
        (r#""conn_state":"S0","resp_pkts":0"#, false),
        (r#""conn_state":"RSTRH""#, true),
        (r#""conn_state":"OTH","resp_pkts":7"#, true),
        (r#""conn_state":"OTH","resp_pkts":0"#, false),
        (r#""history":"ShR","conn_state":"RSTR""#, true),
        (r#""history":"Sr","conn_state":"REJ""#, false),
        (r#""resp_bytes":10"#, true),
    ] {
        assert_eq!(answered(fields), expected, "{fields}");
    }
}

#[test]
fn a_packed_log_is_unpacked() {
    use std::io::Write as _;
    let line = r#"{"ts":1,"id_orig_h":"::1","id_resp_h":"::2","id_resp_p":1,"proto":"tcp","conn_state":"SF"}"#;
    let mut packed = Vec::new();
    for _ in 0..2 {
        let mut part = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        part.write_all(format!("{line}\n").as_bytes()).expect("packed");
        packed.extend(part.finish().expect("packed"));
    }
    assert_eq!(zeek::read_bytes(&packed).map(|all| all.len()), Ok(2));
    assert_eq!(zeek::read_bytes(line.as_bytes()).map(|all| all.len()), Ok(1));
    packed.truncate(packed.len() - 9);
    let torn = zeek::read_bytes(&packed).expect_err("torn");
    assert!(torn.contains("cannot be unpacked"), "{torn}");
}

#[test]
fn what_would_judge_nothing_is_an_error() {
    let all = || vec![seen(1, "10.0.0.1", "10.0.0.2", 80, true, ""), seen(2, "10.0.0.1", "10.0.0.2", 80, true, "")];
    for until in [LearnUntil::Fraction(1.0), LearnUntil::Time(Timestamp(9000))] {
        let error = run(all(), Some(until), &[]).expect_err("nothing is left").to_string();
        assert!(error.contains("from 1970-01-01T00:00:01.000Z to 1970-01-01T00:00:02.000Z"), "{error}");
    }
    let public = vec![seen(1, "8.8.8.8", "9.9.9.9", 80, true, "")];
    let error = run(public.clone(), None, &[]).and_then(of_somebody).expect_err("nobody is local").to_string();
    assert!(error.contains("--local"), "{error}");
    assert!(run(public, None, &["9.9.9.0/24".parse().expect("net")]).and_then(of_somebody).is_ok());
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
        (r#"{"ts":-1,"proto":"icmp","id_orig_h":"::1","id_resp_h":"::1"}"#, "'-1' is no time"),
        (r#"{"ts":"nan","proto":"icmp","id_orig_h":"::1","id_resp_h":"::1"}"#, "'nan' is no time"),
        (r#"{"ts":1,"proto":"icmp","id_orig_h":"::1","id_resp_h":"::1","resp_pkts":"many"}"#, "'many' is no number"),
        (r#"{"_path":"dns","ts":1,"proto":"udp","id_resp_p":53,"id_orig_h":"::1","id_resp_h":"::1"}"#, "log 'dns'"),
        ("#separator \\x09\n#path\thttp\n", "line 2: is of Zeek's log 'http'"),
        (r#"{"ts":1,"proto":"icmp","id_orig_h":"::1","id_resp_h":"::1"}"#, "who was answered cannot be known"),
        ("#fields\tts\tproto\n1\ttcp\n1\n", "line 2: has no id_resp_p"),
        ("#fields\tts\tproto\n1\n", "line 2: has 1 columns where '#fields' names 2"),
        ("[{}]", "line 1: is no JSON object"),
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
