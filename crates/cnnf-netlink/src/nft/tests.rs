use proptest::prelude::*;

use super::*;
use crate::attr::{Attrs, Writer};
use crate::message::{Messages, NFGEN};

fn every_expression() -> Vec<Expr> {
    let r = Reg::word(0);
    let queue = QueueTarget { num: 1, total: 2, bypass: true, fanout: false };
    vec![
        Expr::meta(MetaKey::L4Proto, r),
        Expr::ct(CtKey::Labels, r),
        Expr::ct_dir(CtKey::SrcIp4, CtDir::Reply, r),
        Expr::CtSet { key: CtKey::Labels, sreg: r },
        Expr::Socket { key: SocketKey::Cgroup { level: 2 }, dreg: r },
        Expr::Socket { key: SocketKey::Mark, dreg: r },
        Expr::Socket { key: SocketKey::Wildcard, dreg: r },
        Expr::Payload { base: PayloadBase::Transport, offset: 13, len: 1, dreg: r },
        Expr::and(r, [0xff; 16]),
        Expr::eq(r, [1; 64]),
        Expr::Lookup { set: "s".repeat(255), sreg: r, dreg: Some(Reg::word(15)), invert: true },
        Expr::Immediate { dreg: r, data: vec![0; 16] },
        Expr::goto("c".repeat(255)),
        Expr::Counter,
        Expr::Limit { per_second: 10, burst: 5, invert: true },
        Expr::Log { group: 3, prefix: "p".repeat(127), snaplen: 128, qthreshold: 1 },
        Expr::Queue(queue),
        Expr::XtQueue(queue),
        Expr::Reject(Reject::TcpReset),
        Expr::Reject(Reject::AdminProhibited),
    ]
}

#[test]
fn a_rule_of_every_expression_is_read_back() {
    let mut b = Batch::new("t");
    let exprs = every_expression();
    b.add_rule("c", &exprs, Some("why"));
    assert_eq!(b.fault, None);
    let m = Messages(&b.out.buf).next().unwrap();
    assert_eq!(m.seq, 1);
    let list = m.attrs(NFGEN).find(abi::NFTA_RULE_EXPRESSIONS).unwrap();
    let names: Vec<String> = list.nested().map(|e| e.nested().find(abi::NFTA_EXPR_NAME).unwrap().text()).collect();
    assert_eq!(names.len(), exprs.len());
    assert_eq!(names[..5], ["meta", "ct", "ct", "ct", "socket"]);
    let lookup = Attrs(list.bytes).nth(10).unwrap().nested().find(abi::NFTA_EXPR_DATA).unwrap();
    // NFTA_LOOKUP_SREG, _DREG, _FLAGS.
    let numbers = [2, 3, 5].map(|ty| lookup.nested().find(ty).unwrap().be32().unwrap());
    assert_eq!(numbers, [8, 23, 1]);
}

#[test]
fn what_c_would_not_check_is_refused_before() {
    let fault = |fill: &dyn Fn(&mut Batch)| {
        let mut b = Batch::new("t");
        fill(&mut b);
        b.fault.is_some()
    };
    let long = "x".repeat(256);
    assert!(fault(&|b| b.add_chain(&long, None)));
    assert!(fault(&|b| b.add_chain("", None)));
    assert!(fault(&|b| b.flush_chain("a\0b")));
    assert!(fault(&|b| b.delete_set(&long)));
    assert!(fault(&|b| b.add_rule("c", &[Expr::eq(Reg::word(0), [0; 65])], None)));
    assert!(fault(&|b| b.add_rule("c", &[Expr::lookup(long.as_str(), Reg::word(0))], None)));
    assert!(fault(&|b| b.add_rule("c", &[Expr::jump("a\0")], None)));
    assert!(fault(&|b| b.add_rule("c", &vec![Expr::Counter; 129], None)));
    assert!(fault(&|b| b.add_rule("c", &[], Some(&long))));
    assert!(fault(&|b| b.add_rule(
        "c",
        &[Expr::Log { group: 0, prefix: long.clone(), snaplen: 0, qthreshold: 0 }],
        None
    )));
    assert!(fault(&|b| b.add_elements("s", &[Element::key([0; 65])])));
    assert!(fault(&|b| b.add_elements("s", &[Element::key([])])));
    assert!(fault(&|b| b.add_set(&SetSpec::set("s", Layout(vec![])))));
    assert!(fault(&|b| b.add_set(&SetSpec::set("s", [DataType::IPV6; 5]))));
    let bitwise = Expr::Bitwise { sreg: Reg::word(0), dreg: Reg::word(0), mask: vec![0; 4], xor: vec![0; 8] };
    assert!(fault(&|b| b.add_rule("c", std::slice::from_ref(&bitwise), None)));
    assert!(!fault(&|b| b.add_rule("c", &every_expression(), Some("fine"))));
}

#[test]
fn the_largest_rule_fits() {
    let mut b = Batch::new(&"t".repeat(255));
    let largest = Expr::Bitwise { sreg: Reg::word(0), dreg: Reg::word(0), mask: vec![0; 64], xor: vec![0; 64] };
    b.add_rule(&"c".repeat(255), &vec![largest; 128], Some(&"x".repeat(125)));
    assert_eq!(b.fault, None);
    assert!(b.size() < 64 << 10);
}

#[test]
fn elements_are_split_over_messages() {
    let mut b = Batch::new("t");
    let elements: Vec<Element> = (0..5000_u32).map(|n| Element::map(n.to_be_bytes(), [0; 16])).collect();
    b.add_elements("m", &elements);
    assert!(b.len() > 1);
    let mut read = Vec::new();
    for (n, m) in Messages(&b.out.buf).enumerate() {
        assert_eq!(m.seq as usize, n + 1);
        dump::element_list(m, &mut read);
    }
    assert_eq!(read, elements);
    b.add_elements("m", &[] as &[Element]);
    assert_eq!(b.len(), Messages(&b.out.buf).count());
}

#[test]
fn ranges_end_behind_their_last_key() {
    let r = Element::range([10, 0, 0, 0], [10, 0, 255, 255], Value::None);
    assert_eq!(
        (r[0].key.as_slice(), r[1].key.as_slice(), r[1].interval_end),
        (&[10, 0, 0, 0][..], &[10, 1, 0, 0][..], true)
    );
    assert_eq!(Element::range([255, 0], [255, 255], Value::None).len(), 1);
}

#[test]
fn layouts_pad_the_parts_of_a_concatenation() {
    assert_eq!(Layout::from(DataType::PROTOCOL).len(), 1);
    let pend = Layout::from([DataType::IPV4, DataType::IPV4, DataType::PROTOCOL, DataType::PORT, DataType::PORT]);
    assert_eq!((pend.len(), pend.type_id()), (20, 7 << 24 | 7 << 18 | 12 << 12 | 13 << 6 | 13));
}

#[test]
fn connections_and_batches_can_change_threads() {
    fn is_send<T: Send>() {}
    is_send::<Nft>();
    is_send::<Batch>();
}

proptest! {
    #[test]
    fn mutated_dumps_never_panic(changes in proptest::collection::vec((0_usize..2000, any::<u8>()), 0..8), cut in 0_usize..2000) {
        let mut b = Batch::new("t");
        b.add_table(TableFlags { owner: true, persist: true });
        b.add_chain("c", Some(BaseHook { hook: Hook::Input, priority: -5 }));
        b.add_set(&SetSpec::vmap("m", DataType::WORD));
        b.add_elements("m", &[Element::vmap([0; 4], Verdict::Goto("c".into())), Element::key([1; 4])]);
        b.add_rule("c", &[Expr::Counter, Expr::ct(CtKey::State, Reg::word(0))], Some("why"));
        let mut bytes = b.out.buf.clone();
        for (at, byte) in changes {
            let at = at % bytes.len();
            bytes[at] = byte;
        }
        bytes.truncate(cut);
        read_all(&bytes);
    }

    #[test]
    fn any_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), ty in 0_u16..40) {
        let mut w = Writer::new();
        w.begin(abi::message_type(i32::from(ty)), 0, 0).raw(&bytes).end();
        read_all(&w.buf);
        read_all(&bytes);
    }
}

/// Every decoder of this module.
pub(crate) fn read_all(bytes: &[u8]) {
    let mut elements = Vec::new();
    for m in Messages(bytes) {
        let _ = (dump::table_head(m), dump::chain(m), dump::rule(m), dump::set(m), changes::change(m), m.answer());
        let _ = dump::counter(m);
        dump::element_list(m, &mut elements);
    }
}
