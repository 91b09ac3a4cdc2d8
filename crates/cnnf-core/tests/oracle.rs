//! A second implementation of what a policy means, written from the specification's sentences and not from the code: everything by
//! plain search over small numbers. It must agree with `evaluate` on every generated case.
//!
//! It shares no function with the code under test but the types it is fed with. `CNNF_ORACLE_CASES` says how many cases (100,000 unless
//! set; a million takes a minute in a debug build), `CNNF_ORACLE_SEED` where to begin; a disagreement prints its seed.

mod oracle {
    pub(crate) mod gen_case;
    pub(crate) mod judge;
}

use cnnf_core::policy::{Effect, Reason, Vantage, evaluate};
use oracle::gen_case::{Case, Dice, SmallEnd, SmallHost, SmallParty, SmallRule};
use oracle::judge::{Verdict, Who, judge};

#[allow(clippy::disallowed_methods)] // the one argument that a test can be given
fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

fn said(case: &Case, vantage: Vantage) -> Verdict {
    let (policy, directory, connection) = case.to_core();
    let decision = evaluate(&policy, &directory, &connection, vantage, case.now());
    let who = match decision.reason {
        Reason::Rule { id, .. } => Who::Rule(id.0),
        Reason::Model(key) => Who::Model(key.to_string()),
        Reason::OtherSide => Who::OtherSide,
        Reason::Default => Who::Nobody,
    };
    Verdict { effect: decision.effect, who }
}

/// "a may reach b, nobody else may": a's host, which may not have told of it yet, is let in by b's host once it has.
#[test]
fn a_host_is_let_in_once_it_has_told() {
    let rule = |from: SmallEnd, effect| SmallRule {
        enabled: true,
        from,
        to: SmallEnd::Service { pattern: "unit:b", prod: false },
        ports: None,
        effect,
        learned: false,
        expires: None,
    };
    let service = |pattern| SmallEnd::Service { pattern, prod: false };
    let case = |told: bool, from: SmallEnd| Case {
        now: 1000,
        hosts: vec![
            SmallHost {
                addresses: vec![1],
                prod: false,
                instances: told.then_some(("unit:a", Vec::new())).into_iter().collect(),
            },
            SmallHost { addresses: vec![2], prod: false, instances: vec![("unit:b", vec![(443, None)])] },
        ],
        office: Vec::new(),
        rules: vec![rule(from, Effect::Allow), rule(SmallEnd::Any, Effect::Prevent)],
        models: Vec::new(),
        anomaly: Effect::Alert,
        learning_off: false,
        client: SmallParty { host: Some(0), service: Some("unit:a"), address: 1 },
        server: SmallParty { host: Some(1), service: Some("unit:b"), address: 2 },
        port: 443,
    };
    let both = |case: &Case, vantage| {
        let verdict = judge(case, vantage);
        assert_eq!(said(case, vantage), verdict);
        (verdict.effect, verdict.who)
    };
    for told in [false, true] {
        let case = case(told, service("unit:a"));
        assert_eq!(both(&case, Vantage::Client), (Effect::Allow, Who::Rule(1)), "the client's host knows it");
        let at_server = if told { (Effect::Allow, Who::OtherSide) } else { (Effect::Prevent, Who::Rule(2)) };
        assert_eq!(both(&case, Vantage::Server), at_server, "told: {told}");
    }
    // what has no name may come from any host, and no host tells of it
    let nameless = case(false, service("unknown"));
    assert_eq!(both(&nameless, Vantage::Server), (Effect::Allow, Who::OtherSide));
}

#[test]
fn the_oracle_agrees() {
    let (cases, first) = (number("CNNF_ORACLE_CASES", 100_000), number("CNNF_ORACLE_SEED", 1));
    let mut seen = std::collections::BTreeMap::<(&str, Effect), u64>::new();
    for seed in first..first + cases {
        let case = Case::roll(&mut Dice::new(seed));
        for vantage in [Vantage::Client, Vantage::Server] {
            if !case.is_at(vantage) {
                continue;
            }
            let (wanted, got) = (judge(&case, vantage), said(&case, vantage));
            assert_eq!(got, wanted, "seed {seed}, {vantage:?}: {case:#?}");
            let kind = match got.who {
                Who::Rule(_) => "rule",
                Who::Model(_) => "model",
                Who::OtherSide => "other side",
                Who::Nobody => "nobody",
            };
            *seen.entry((kind, got.effect)).or_default() += 1;
        }
    }
    // A generator that misses a kind of answer proves nothing about it.
    let total: u64 = seen.values().sum();
    for kind in [
        ("rule", Effect::Allow),
        ("rule", Effect::Alert),
        ("rule", Effect::Prevent),
        ("model", Effect::Allow),
        ("model", Effect::Alert),
        ("model", Effect::Prevent),
        ("other side", Effect::Allow),
        ("nobody", Effect::Allow),
    ] {
        let share = seen.get(&kind).copied().unwrap_or(0);
        assert!(share * 200 >= total, "{kind:?} is {share} of {total}: {seen:?}");
    }
}
