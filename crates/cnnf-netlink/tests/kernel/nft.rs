//! nf_tables on the real kernel.

use std::time::{Duration, Instant};

use crate::bed::{in_netns, run};
use cnnf_netlink::nft::*;

const T: &str = "cnnf_test";

fn base(hook: Hook) -> Option<BaseHook> {
    Some(BaseHook { hook, priority: -5 })
}

fn fresh() -> Batch {
    let mut b = Batch::new(T);
    b.add_table(TableFlags::default());
    b
}

#[test]
fn root_a_large_batch_commits_at_once() {
    in_netns(|| {
        let mut nft = Nft::open().unwrap();
        let mut b = fresh();
        b.add_chain("out", base(Hook::Output));
        b.add_set(&SetSpec::set("peers", [DataType::IPV4, DataType::PROTOCOL, DataType::PORT]));
        let elements: Vec<Element> = (0..100_000_u32)
            .map(|n| Element::key([&(0x0a00_0000 + n).to_be_bytes()[..], &[6, 0, 0, 0, 0, 80, 0, 0]].concat()))
            .collect();
        b.add_elements("peers", &elements);
        for n in 0..1000_u32 {
            b.add_rule(
                "out",
                &[Expr::meta(MetaKey::L4Proto, Reg::word(0)), Expr::eq(Reg::word(0), [6]), Expr::Counter],
                Some(&format!("rule {n}")),
            );
        }
        assert!(b.size() > 1 << 20);
        let before = nft.generation_id().unwrap();
        let start = Instant::now();
        nft.commit(&b, Some(before)).unwrap();
        println!("{} messages, {} bytes: {:?}", b.len(), b.size(), start.elapsed());
        assert_eq!(nft.generation_id().unwrap(), before + 1);
        let start = Instant::now();
        let dump = nft.dump(T).unwrap().unwrap();
        let rules = &dump.chain("out").unwrap().rules;
        assert_eq!(rules.len(), 1000);
        assert_eq!(rules[999].comment.as_deref(), Some("rule 999"));
        assert_eq!(rules[0].expressions, ["meta", "cmp", "counter"]);
        assert_eq!(rules[0].counter(), Some(Counter::default()));
        assert_eq!(nft.elements(T, "peers").unwrap().len(), 100_000);
        println!("dump: {:?}", start.elapsed());
        let start = Instant::now();
        let mut one = Batch::new(T);
        one.add_elements("peers", &[Element::key([9; 12])]);
        nft.commit(&one, None).unwrap();
        println!("one more element: {:?}", start.elapsed());
    });
}

#[test]
fn root_a_refused_batch_leaves_nothing_and_names_the_culprit() {
    in_netns(|| {
        let mut nft = Nft::open().unwrap();
        let mut b = fresh();
        b.add_chain("out", base(Hook::Output));
        b.add_rule("out", &[Expr::goto("nowhere")], Some("lost"));
        match nft.commit(&b, None) {
            Err(CommitError::Refused { index: 2, subject, errno: libc::ENOENT, .. }) => {
                assert_eq!(subject, "add rule to chain out (lost)");
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(nft.list_tables().unwrap(), []);
        assert_eq!(nft.dump(T).unwrap(), None);

        let mut b = fresh();
        b.add_set(&SetSpec::map("m", DataType::WORD, DataType::WORD));
        b.add_elements(
            "m",
            &[Element::map([1; 4], [1; 4]), Element::map([2; 4], [2; 4]), Element::map([1; 4], [3; 4])],
        );
        match nft.commit(&b, None) {
            Err(CommitError::Refused { index: 2, subject, .. }) => {
                assert_eq!(subject, "add elements to set m, element 2 of the message (key 01010101)");
            }
            other => panic!("{other:?}"),
        }
        let long = "x".repeat(300);
        let mut b = fresh();
        b.add_chain(&long, None);
        assert!(matches!(nft.commit(&b, None), Err(CommitError::Invalid(_))));
        assert_eq!(nft.list_tables().unwrap(), []);
    });
}

#[test]
fn root_a_stale_generation_is_refused_whole() {
    in_netns(|| {
        let mut nft = Nft::open().unwrap();
        let generation = nft.generation_id().unwrap();
        run("nft", &["add", "table", "inet", "other"]);
        assert!(matches!(nft.commit(&fresh(), Some(generation)), Err(CommitError::Stale)));
        assert_eq!(nft.list_tables().unwrap().len(), 1);
        let generation = nft.generation_id().unwrap();
        nft.commit(&fresh(), Some(generation)).unwrap();
        assert_eq!(nft.list_tables().unwrap().len(), 2);
        // Adding it again is no error, nor is adding an element again.
        let mut b = fresh();
        b.add_set(&SetSpec::set("s", DataType::WORD).with_timeouts());
        b.add_elements("s", &[Element::key([1; 4]).with_timeout(Duration::from_secs(9))]);
        nft.commit(&b, None).unwrap();
        nft.commit(&b, None).unwrap();
    });
}

#[test]
fn root_probe_leaves_nothing() {
    in_netns(|| {
        let mut nft = Nft::open().unwrap();
        let features = nft.probe().unwrap();
        println!("{features:?}");
        assert!(features.ct_labels && features.socket_cgroup && features.owner);
        assert!(features.native_queue || features.xt_queue);
        assert_eq!(nft.list_tables().unwrap(), []);
    });
}
