//! nf_tables on the real kernel.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::bed::{self, eventually, in_netns, run};
use cnnf_netlink::Error;
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
fn root_every_commit_names_its_process() {
    in_netns(|| {
        let mut nft = Nft::open().unwrap();
        let mut changes = Changes::open().unwrap();
        let mut b = fresh();
        b.add_set(&SetSpec::set("peers", DataType::IPV4));
        let elements: Vec<Element> = (0..100_000_u32).map(|n| Element::key(n.to_be_bytes())).collect();
        b.add_elements("peers", &elements);
        let start = Instant::now();
        nft.commit(&b, None).unwrap();
        println!("100,000 elements with a listener: {:?}", start.elapsed());
        run("nft", &["add", "table", "inet", "other"]);
        let seen = eventually(|| Some(changes.read().unwrap()).filter(|seen| !seen.is_empty()));
        let name = std::fs::read_to_string("/proc/thread-self/comm").unwrap();
        assert_eq!(seen[0].name, name.trim_end());
        assert_eq!(seen.last().map(|c| (c.name.as_str(), c.generation)), Some(("nft", nft.generation_id().unwrap())));
        assert_eq!(seen.len(), 2, "the elements are kept away: {seen:?}");
        assert_ne!(seen[0].pid, seen[1].pid);
        let mut b = Batch::new("other_too");
        b.add_table(TableFlags::default());
        b.add_set(&SetSpec::set("peers", DataType::IPV4));
        b.add_elements("peers", &elements);
        let start = Instant::now();
        changes.without(|| nft.commit(&b, None)).unwrap().unwrap();
        println!("and without: {:?}", start.elapsed());
        run("nft", &["delete", "table", "inet", "other"]);
        let seen = eventually(|| Some(changes.read().unwrap()).filter(|seen| !seen.is_empty()));
        assert_eq!(seen.iter().map(|c| c.name.as_str()).collect::<Vec<_>>(), ["nft"]);
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

/// Sets of every type, and rules that `nft` has words for.
fn a_table_with_words() -> Batch {
    let ip = |n: u8| [10, 0, 0, n];
    let mut b = fresh();
    b.add_chain("out", base(Hook::Output));
    b.add_chain("web", None);
    let key5 = [DataType::IPV4, DataType::IPV4, DataType::PROTOCOL, DataType::PORT, DataType::PORT];
    b.add_set(&SetSpec::map("pend4", key5, DataType::LABEL).with_timeouts());
    let tuple = [&ip(1)[..], &ip(2), &[6, 0, 0, 0], &[0x9c, 0x40, 0, 0], &[0, 80, 0, 0]].concat();
    b.add_elements("pend4", &[Element::map(tuple, label([17, 0, 2, 0])).with_timeout(Duration::from_secs(3600))]);
    b.add_set(&SetSpec::map("ids", [DataType::WORD, DataType::WORD], DataType::WORD));
    b.add_elements("ids", &[Element::map(0x1_0000_0abc_u64.to_ne_bytes(), 17_u32.to_ne_bytes())]);
    b.add_set(&SetSpec::vmap("slots", DataType::WORD));
    b.add_elements(
        "slots",
        &[
            Element::vmap(17_u32.to_ne_bytes(), Verdict::Goto("web".into())),
            Element::vmap(18_u32.to_ne_bytes(), Verdict::Accept),
        ],
    );
    b.add_set(&SetSpec::vmap("states", DataType::CT_STATE));
    b.add_elements("states", &[Element::vmap(ct_state::NEW.to_ne_bytes(), Verdict::Jump("web".into()))]);
    b.add_set(&SetSpec::set("nets", DataType::IPV4).with_intervals());
    b.add_elements("nets", Element::range([10, 1, 0, 0], [10, 1, 255, 255], Value::None));
    b.add_elements("nets", Element::range([192, 168, 0, 5], [192, 168, 0, 9], Value::None));
    b.add_elements("nets", Element::range([255, 0, 0, 0], [255; 4], Value::None));
    b.add_set(&SetSpec::set("nets6", DataType::IPV6).with_intervals());
    b.add_elements("nets6", Element::range([0xfd; 16], [0xfe; 16], Value::None));
    b.add_set(&SetSpec::set("ports", [DataType::PROTOCOL, DataType::PORT]));
    b.add_elements("ports", &[Element::key([17, 0, 0, 0, 0, 53, 0, 0])]);
    b.add_set(&SetSpec::set("interfaces", DataType::IFINDEX));
    b.add_elements("interfaces", &[Element::key(1_u32.to_ne_bytes())]);
    b.add_set(&SetSpec::set("users", DataType::UID));
    b.add_elements("users", &[Element::key(4711_u32.to_ne_bytes())]);
    let w = Reg::word;
    b.add_rule("out", &[Expr::ct(CtKey::State, w(0)), Expr::vmap("states", w(0))], None);
    b.add_rule(
        "out",
        &[Expr::meta(MetaKey::Iif, w(0)), Expr::lookup("interfaces", w(0)), Expr::Verdict(Verdict::Accept)],
        Some("own"),
    );
    b.add_rule(
        "out",
        &[
            Expr::meta(MetaKey::NfProto, w(0)),
            Expr::eq(w(0), [2]),
            Expr::Payload { base: PayloadBase::Network, offset: 16, len: 4, dreg: w(0) },
            Expr::lookup("nets", w(0)),
            Expr::Counter,
        ],
        None,
    );
    b.add_rule("web", &[Expr::meta(MetaKey::L4Proto, w(0)), Expr::eq(w(0), [6]), Expr::Reject(Reject::TcpReset)], None);
    b.add_rule(
        "web",
        &[
            Expr::Limit { per_second: 10, burst: 5, invert: false },
            Expr::Log { group: 7, prefix: "p".into(), snaplen: 128, qthreshold: 1 },
        ],
        None,
    );
    b.add_rule("web", &[Expr::Reject(Reject::AdminProhibited)], None);
    b
}

fn label(words: [u32; 4]) -> Vec<u8> {
    words.iter().flat_map(|w| w.to_ne_bytes()).collect()
}

#[test]
fn root_a_listing_loads_again() {
    in_netns(|| {
        let mut nft = Nft::open().unwrap();
        nft.commit(&a_table_with_words(), None).unwrap();
        let listed = run("nft", &["list", "ruleset"]);
        let elements = |nft: &mut Nft| {
            let sets = nft.dump(T).unwrap().unwrap().sets;
            let mut all: Vec<(String, Vec<u8>, String)> = Vec::new();
            for set in sets {
                for e in nft.elements(T, &set.name).unwrap() {
                    // `nft` writes down that nothing is below the first range; we need not.
                    if !(e.interval_end && e.key.iter().all(|b| *b == 0)) {
                        all.push((set.name.clone(), e.key.clone(), format!("{e:?}")));
                    }
                }
            }
            all.sort();
            all
        };
        for word in [
            "10.0.0.1 . 10.0.0.2 . tcp . 40000 . 80 timeout 1h",
            "0x00000011 . 0x00000000 . 0x00000002 . 0x00000000",
            "0x00000011 : goto web",
            "10.1.0.0/16, 192.168.0.5-192.168.0.9",
            "iif @interfaces accept comment \"own\"",
            "ct state vmap @states",
        ] {
            assert!(listed.contains(word), "no {word} in {listed}");
        }
        let before = elements(&mut nft);
        let file = std::env::temp_dir().join(format!("cnnf-listing-{}", std::process::id()));
        std::fs::write(&file, &listed).unwrap();
        run("nft", &["flush", "ruleset"]);
        let loaded = bed::attempt("nft", &["-f", file.to_str().unwrap()]);
        std::fs::remove_file(&file).unwrap();
        assert!(loaded.status.success(), "{}", String::from_utf8_lossy(&loaded.stderr));
        assert_eq!(before, elements(&mut nft));
    });
}

#[test]
fn root_an_owned_table_is_nobody_else_s() {
    in_netns(|| {
        let (mut nft, mut other) = (Nft::open().unwrap(), Nft::open().unwrap());
        let mut b = Batch::new(T);
        b.add_table(TableFlags { owner: true, persist: false });
        nft.commit(&b, None).unwrap();
        let head = &other.list_tables().unwrap()[0];
        assert_eq!((head.owned, head.persist, head.owner), (true, false, Some(nft.port_id())));
        let mut rude = Batch::new(T);
        rude.add_chain("x", None);
        assert!(matches!(other.commit(&rude, None), Err(CommitError::Refused { errno: libc::EPERM, .. })));
        drop(nft);
        eventually(|| other.list_tables().unwrap().is_empty().then_some(()));
    });
}

#[test]
fn root_rules_and_sets_can_be_replaced_in_place() {
    in_netns(|| {
        let mut nft = Nft::open().unwrap();
        nft.commit(&a_table_with_words(), None).unwrap();
        let dump = nft.dump(T).unwrap().unwrap();
        assert_eq!(dump.chain("out").unwrap().base_hook(), base(Hook::Output));
        assert_eq!(dump.chain("web").unwrap().base, None);
        let slots = dump.set("slots").unwrap();
        assert_eq!((slots.verdicts, slots.key_len, slots.data_len), (true, 4, 0));
        assert_eq!(dump.set("pend4").unwrap().data_len, 16);
        let handle = dump.chain("out").unwrap().rules[1].handle;
        let mut b = Batch::new(T);
        b.delete_rule("out", handle);
        b.flush_chain("web");
        b.add_rule("web", &[Expr::Verdict(Verdict::Return)], None);
        b.delete_elements("slots", &[Element::key(18_u32.to_ne_bytes())]);
        b.flush_set("nets");
        b.delete_set("nets6");
        nft.commit(&b, Some(dump.generation)).unwrap();
        let dump = nft.dump(T).unwrap().unwrap();
        assert_eq!((dump.chain("out").unwrap().rules.len(), dump.chain("web").unwrap().rules.len()), (2, 1));
        assert_eq!(dump.set("nets6"), None);
        assert_eq!(nft.elements(T, "nets").unwrap(), []);
        assert_eq!(
            nft.elements(T, "slots").unwrap(),
            [Element::vmap(17_u32.to_ne_bytes(), Verdict::Goto("web".into()))]
        );
        assert_eq!(nft.elements(T, "gone").unwrap_err().errno(), Some(libc::ENOENT));
        let mut b = Batch::new(T);
        b.flush_rules();
        b.flush_set("states");
        b.flush_set("slots");
        b.delete_chain("web");
        nft.commit(&b, None).unwrap();
        assert_eq!(nft.dump(T).unwrap().unwrap().chains.len(), 1);
        let mut b = Batch::new(T);
        b.delete_table();
        nft.commit(&b, None).unwrap();
        assert_eq!(nft.dump(T).unwrap(), None);
    });
}
#[test]
fn root_a_persistent_table_waits_for_a_new_owner() {
    in_netns(|| {
        let mut nft = Nft::open().unwrap();
        if !nft.probe().unwrap().owner_persist {
            return;
        }
        let mut b = Batch::new(T);
        b.add_table(TableFlags { owner: true, persist: true });
        b.add_chain("kept", None);
        nft.commit(&b, None).unwrap();
        drop(nft);
        let mut next = Nft::open().unwrap();
        let orphan = eventually(|| next.list_tables().unwrap().into_iter().find(|t| t.owner.is_none()));
        assert!(orphan.persist);
        next.commit(&b, None).unwrap();
        let dump = next.dump(T).unwrap().unwrap();
        assert_eq!((dump.head.owner, dump.chains.len()), (Some(next.port_id()), 1));
    });
}

#[test]
fn root_a_dump_under_a_writer_is_of_one_generation() {
    in_netns(|| {
        let fill = |value: u32| {
            let elements: Vec<Element> =
                (0..2000_u32).map(|n| Element::map(n.to_ne_bytes(), value.to_ne_bytes())).collect();
            let mut b = fresh();
            b.add_set(&SetSpec::map("m", DataType::WORD, DataType::WORD));
            b.flush_set("m");
            b.add_elements("m", &elements);
            b
        };
        Nft::open().unwrap().commit(&fill(0), None).unwrap();
        let done = AtomicBool::new(false);
        std::thread::scope(|s| {
            // A thread inherits the namespace of the one that makes it.
            s.spawn(|| {
                let mut nft = Nft::open().unwrap();
                for value in 1.. {
                    if done.load(Ordering::Relaxed) {
                        return;
                    }
                    nft.commit(&fill(value), None).unwrap();
                    std::thread::sleep(Duration::from_millis(3));
                }
            });
            let mut nft = Nft::open().unwrap();
            let dumps: Vec<_> = (0..50).map(|_| nft.elements(T, "m")).collect();
            done.store(true, Ordering::Relaxed);
            let mut whole = 0;
            for dump in dumps {
                match dump {
                    Ok(elements) => {
                        whole += 1;
                        assert_eq!(elements.len(), 2000);
                        assert!(elements.iter().all(|e| e.value == elements[0].value));
                    }
                    Err(Error::Unsteady { .. }) => {}
                    Err(e) => panic!("{e}"),
                }
            }
            assert!(whole > 0);
        });
    });
}
