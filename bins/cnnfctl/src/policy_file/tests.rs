use std::collections::BTreeMap;

use cnnf_core::policy::Rule;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

use super::*;

/// As the contract shows it.
const EXAMPLE: &str = r#"version: 1
objects:
  - {name: office, addresses: [10.8.0.0/16, 2001:db8:8::/48]}
rules:
  - name: shop may read the database
    from: shop
    to: {service: "unit:postgresql@*", labels: {env: prod}}
    ports: [tcp/5432]
    effect: allow
  - name: nobody else
    from: any
    to: "unit:postgresql@*"
    effect: prevent
    on_failure: closed
    owner: dba
    ticket: OPS-12
    expires: 2027-01-31
"#;

#[test]
fn the_example_reads_and_comes_back() {
    let policy = read(EXAMPLE, "p.yaml").expect("read");
    insta::assert_debug_snapshot!(policy);
    let text = write(&policy.rules, &policy.objects).expect("write");
    insta::assert_snapshot!(text);
    assert_eq!(read(&text, "p.yaml").expect("again"), policy);
}

#[test]
fn an_empty_policy_reads() {
    assert_eq!(read("version: 1\nrules: []\n", "p").expect("read"), Policy::default());
    assert_eq!(read("version: 1\n", "p").expect("read"), Policy::default());
}

#[test]
fn errors_have_line_and_column_and_say_what_to_do() {
    let rule =
        "version: 1\nrules:\n  - name: r\n    from: web\n    to: unit:db\n    ports: [tcp/80]\n    effect: alert\n";
    let cases = [
        (
            rule.replace("tcp/80", "tcp/70000"),
            "p.yaml line 6 column 12: rules[0].ports: '70000' is not a port: a port is a number from 0 to 65535",
        ),
        (
            rule.replace("alert", "deny"),
            "p.yaml line 7 column 13: rules[0].effect: 'deny' is none of: allow, alert, prevent",
        ),
        (rule.replace("    effect: alert\n", ""), "p.yaml line 6 column 5: "),
        (rule.replace("effect:", "efect:"), "p.yaml line 7 column 5: "),
        (
            rule.replace("web", "any").replace("unit:db", "10.0.0.1"),
            "p.yaml line 4 column 11: rules[0].from: rule 'r' has no service on either side: make its source or destination a service such as unit:nginx",
        ),
        (rule.replace("web", "{service: web, label: {a: b}}"), "p.yaml line 4 column "),
        (rule.replace("web", "{service: any, labels: {a: b}}"), "p.yaml line 4 column 11: rules[0].from_labels: "),
        (
            rule.replace("unit:db", "10.0.0.1/8"),
            "p.yaml line 5 column 9: rules[0].to: '10.0.0.1/8' has host bits set: write 10.0.0.0/8",
        ),
        (
            rule.replace("version: 1", "version: 2"),
            "p.yaml line 1 column 10: version 2 is not known: this cnnfctl reads version 1",
        ),
        (rule.replace("version: 1\n", ""), "p.yaml line 1 column 1: "),
        (rule.replace("rules:", "rule:"), "p.yaml line 2 column 1: "),
        (rule.replace("    to:", "   to:"), "p.yaml line 4 column 5: "),
        (rule.replace("from: web", "from: *"), "p.yaml line 4 column "),
        (
            format!("{rule}    expires: soon\n"),
            "p.yaml line 8 column 14: rules[0].expires: 'soon' is no time: write 2027-01-31 or 2027-01-31T18:00:00Z",
        ),
        (format!("{rule}    effect: alert\n"), "p.yaml line 8 column 5: "),
        (
            format!("{rule}objects:\n  - {{name: o, addresses: [10.0.0.1, ten]}}\n"),
            "p.yaml line 9 column 37: objects[0].addresses[1]: 'ten' is no address: use 10.0.0.1, 10.0.0.0/8 or 10.0.0.1-10.0.0.9",
        ),
        (
            format!("{rule}objects:\n  - {{name: any, addresses: [10.0.0.1]}}\n"),
            "p.yaml line 9 column 12: objects[0].name: ",
        ),
        (
            rule.replace("rules:\n", &format!("rules:\n{}", &rule[18..])),
            "p.yaml line 8 column 11: rules[1].name: two rules are named 'r': names are unique",
        ),
        (String::new(), "p.yaml"),
        ("[]".into(), "p.yaml line 1 column 1: "),
    ];
    let mut all = String::new();
    for (text, start) in cases {
        let failure = read(&text, "p.yaml").expect_err(start);
        assert_eq!(failure.code(), 2);
        let said = failure.text().expect("text");
        assert!(said.starts_with(start), "{said}\n{start}");
        all.push_str(&said);
        all.push('\n');
    }
    insta::assert_snapshot!(all);
}

/// Texts that YAML could take for something else.
fn tricky() -> impl Strategy<Value = String> {
    prop_oneof![
        proptest::sample::select(vec![
            "",
            "~",
            "null",
            "true",
            "yes",
            "no",
            "on",
            "0x10",
            "1e3",
            ".inf",
            "12:30",
            "2027-01-31",
            "- a",
            "a: b",
            "#x",
            "a #b",
            "'",
            "\"",
            "\\",
            "*",
            "&a",
            "!x",
            "%",
            "@",
            "`",
            "|",
            ">",
            "{a}",
            "[b]",
            " lead",
            "trail ",
            "a\nb",
            "a\n\nb\n",
            "\ttab",
            "ä\u{85}b",
            "\u{2028}",
            "\u{feff}",
            "---",
            "...",
            "=",
            "<<",
            "?",
            "? a",
            ":",
            ",",
        ])
        .prop_map(str::to_owned),
        any::<String>(),
        "[ -~]{60,140}",
    ]
}

prop_compose! {
    fn any_rule()(
        name in "[^\\p{C}]{1,30}", enabled: bool, end in 0..4usize,
        to in prop_oneof!["unit:[!-~]{1,9}", "(unit:|\\*)[a-z@]{0,5}\\*", "exe:[^\\p{Cc}]{1,20}"],
        labels in btree_map("[a-z~#*]{1,8}", "[a-z0-9.~'\" :]{0,8}", 0..3), effect in "allow|alert|prevent",
        on_failure in "open|closed", learned in "(allow)?", expires in "(2031-0[1-9]-1[0-9](T12:00:00Z)?)?",
        ports in prop_oneof![
            Just(vec!["any".to_owned()]), Just(vec!["tcp/80,443-500".to_owned(), "udp/53".to_owned(), "icmp".to_owned()])
        ],
        texts in [tricky(), tricky(), tricky()],
    ) -> v1::Rule {
        let [owner, ticket, notes] = texts;
        v1::Rule {
            name, enabled, from: ["any", "office", "10.0.0.0/8,fd86::-fd86::9", "unit:web"][end].into(),
            from_labels: if end == 3 { labels.clone() } else { BTreeMap::new() }, to, to_labels: labels, ports, effect,
            on_failure, learned, expires, owner, ticket, notes, ..v1::Rule::default()
        }
    }
}

/// What the controller makes of a rule and answers.
fn as_kept(rule: v1::Rule, objects: &[v1::AddressObject]) -> Option<v1::Rule> {
    let objects = cnnf_rpc::convert::policy::objects(objects.to_vec()).ok()?;
    let rule: Rule = cnnf_rpc::convert::policy::rule(rule, &objects, &any_name).ok()?;
    Some(v1::Rule::from(&rule))
}

proptest! {
    #[test]
    fn apply_takes_back_what_export_gave(rules in vec(any_rule(), 0..5)) {
        let objects = vec![v1::AddressObject { name: "office".into(), addresses: vec!["10.8.0.0/16".into(), "2001:db8::/48".into()], ..Default::default() }];
        let mut kept: Vec<v1::Rule> = rules.into_iter().filter_map(|rule| as_kept(rule, &objects)).collect();
        let mut names = std::collections::BTreeSet::new();
        kept.retain(|rule| names.insert(rule.name.clone()));
        let text = write(&kept, &objects).expect("write");
        let back = read(&text, "p.yaml").map_err(|failure| TestCaseError::fail(format!("{failure:?}\n{text}")))?;
        prop_assert_eq!(&back.objects, &objects);
        let back: Option<Vec<_>> = back.rules.into_iter().map(|rule| as_kept(rule, &objects)).collect();
        prop_assert_eq!(back, Some(kept), "{}", text);
    }

    #[test]
    fn no_text_panics(text in ".{0,80}", tail in ".{0,40}") {
        let _ = read(&text, "p.yaml");
        let _ = read(&format!("version: 1\nrules:\n  - name: {tail}\n    from: {tail}\n    to: unit:x\n    effect: alert\n"), "p.yaml");
    }
}

#[test]
fn a_large_policy_is_within_the_budget() {
    let rule = |n: usize| v1::Rule {
        name: format!("rule {n}"),
        enabled: true,
        from: "unit:a".into(),
        to: "unit:b".into(),
        ports: vec!["tcp/80".into()],
        effect: "allow".into(),
        ..v1::Rule::default()
    };
    let rules: Vec<v1::Rule> = (0..25_000).map(rule).collect();
    let text = write(&rules, &[]).expect("write");
    assert_eq!(read(&text, "p.yaml").expect("read").rules.len(), 25_000);
}
