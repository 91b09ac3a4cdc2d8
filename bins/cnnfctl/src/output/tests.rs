use super::*;
use cnnf_rpc::v1;
use proptest::prelude::*;

#[test]
fn nothing_that_a_host_says_steers_the_terminal() {
    for (text, shown) in [
        ("nginx", "nginx"),
        ("größer – 日本", "größer – 日本"),
        ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
        ("two\nlines\r\tand", "two\\nlines\\r\\tand"),
        ("\u{9b}2J", "\\u{9b}2J"),
        ("user\u{202e}gpj.exe", "user\\u{202e}gpj.exe"),
        ("a\u{2066}b\u{2069}\u{200f}", "a\\u{2066}b\\u{2069}\\u{200f}"),
        ("zero\u{200b}width\u{feff}", "zero\\u{200b}width\\u{feff}"),
        ("line\u{2028}sep", "line\\u{2028}sep"),
        ("tag\u{e0041}", "tag\\u{e0041}"),
        ("\x7f\0", "\\x7f\\x00"),
    ] {
        assert_eq!(printable(text), shown);
    }
}

proptest! {
    #[test]
    fn no_text_gets_through(text in prop_oneof![any::<String>(), "[a-c\\p{Cf}\\p{Zl}\\p{Cc}\"'\\\\]{1,9}"]) {
        prop_assert!(!printable(&text).chars().any(steers));
        let message = v1::Settings { values: [("k".to_owned(), text.clone())].into() };
        let compact = safe_json(&json::to_string(&message).expect("json"));
        prop_assert!(!compact.chars().any(steers), "{}", compact);
        let back: serde_json::Value = serde_json::from_str(&compact).expect("parse");
        prop_assert_eq!(back["values"]["k"].as_str(), Some(text.as_str()));
        let yaml = to_yaml(&JsonMessage::new(&message).expect("message")).expect("yaml");
        prop_assert!(!yaml.chars().any(|c| c != '\n' && steers(c)), "{:?}", yaml);
        let back: std::collections::BTreeMap<String, std::collections::BTreeMap<String, String>> =
            serde_saphyr::from_str(&yaml).expect("parse");
        prop_assert_eq!(&back["values"]["k"], &text);
    }
}

#[test]
fn tables_fit() {
    let output = Output::plain(Format::Table, Some(40));
    let mut sheet = Sheet::new(&output, &["NAME", "WHAT"]);
    sheet.row(vec!["nginx\x1b[2J".into(), "a long text that does not fit into forty columns at all".into()]);
    sheet.row(vec!["".into(), Cell::word("prevented")]);
    let text = sheet.render();
    assert!(text.lines().all(|line| line.chars().count() <= 40), "{text}");
    assert!(!text.contains('\x1b'), "{text:?}");
    assert!(text.lines().count() > 3);
}

#[test]
fn colours_only_where_wanted() {
    let mut output = Output::plain(Format::Table, None);
    let sheet = |output: &Output| {
        let mut sheet = Sheet::new(output, &["STATUS"]);
        sheet.row(vec![Cell::word("prevented")]);
        sheet.render() + &Tone::Bad.paint("x", output)
    };
    assert!(!sheet(&output).contains('\x1b'));
    output.color = true;
    assert!(sheet(&output).contains('\x1b'));
}

#[test]
fn sizes_read_well() {
    for (number, text) in
        [(0, "–"), (1023, "1023 B"), (1024, "1.0 KiB"), (1_572_864, "1.5 MiB"), (u64::MAX, "16.0 EiB")]
    {
        assert_eq!(bytes(number), text);
    }
}
