//! Tables that belong to a socket, where the kernel has that.

use cnnf_netlink::nft::TableHead;

use super::*;

/// Runs `test` in a namespace where tables can have an owner.
fn where_tables_have_owners(test: impl FnOnce() + Send) {
    in_namespace(|| {
        if Nft::open().expect("open").probe().expect("probe").owner_persist {
            test();
        } else {
            println!("this kernel's tables have no owners");
        }
    });
}

fn owning() -> Reconciler {
    Reconciler::over(TableSocket::open(true).expect("open"), QueueBackend::Xt).expect("open")
}

fn head() -> TableHead {
    let tables = Nft::open().expect("open").list_tables().expect("list");
    tables.into_iter().find(|table| table.name == TABLE).expect("our table")
}

/// What `nft` answers to a script that it may not carry out.
fn refused(script: &str) -> String {
    let out = Command::new("nft").arg(script).output().expect("nft");
    assert!(!out.status.success(), "{script} was carried out");
    String::from_utf8_lossy(&out.stderr).into_owned()
}

#[test]
fn root_a_flush_of_all_rules_leaves_an_owned_table_and_lets_nothing_through() {
    where_tables_have_owners(|| {
        let mut r = owning();
        reconciled(&mut r, deny(&["127.0.0.5"]));
        assert!(r.is_owned() && head().persist);
        without_a_gap(|_| {
            nft("add table ip other");
            nft("flush ruleset");
        });
        assert!(!nft("list tables").contains("other"), "the flush did something");
        for script in [
            "delete table inet cnnf",
            "flush chain inet cnnf judge",
            "insert rule inet cnnf out accept",
            "delete element inet cnnf bad { 127.0.0.5 }",
            "add table inet cnnf { flags dormant; }",
        ] {
            assert!(refused(script).contains("Operation not permitted"), "{script}");
        }
        assert_eq!(r.check().expect("check"), Found::Intact);
        let few = reconciled(&mut r, deny(&["127.0.0.5", "10.0.0.0/8"]));
        assert_eq!(few, Outcome::Applied { operations: 1, anew: false }, "its owner changes it as ever");
        r.release().expect("release");
        assert!(!nft("list ruleset").contains("cnnf"));
    });
}

#[test]
fn root_an_orphan_is_adopted_without_a_gap() {
    where_tables_have_owners(|| {
        let mut r = Some(owning());
        reconciled(r.as_mut().expect("one"), deny(&["127.0.0.5"]));
        without_a_gap(|_| {
            // as a process that ends, and the next one
            r = None;
            assert_eq!(head().owner, None);
            let mut next = owning();
            assert!(matches!(reconciled(&mut next, deny(&["127.0.0.5"])), Outcome::Applied { anew: true, .. }));
            assert!(next.is_owned() && head().owner.is_some());
            r = Some(next);
        });
    });
}

#[test]
fn root_a_socket_that_is_handed_on_keeps_the_table_owned_while_nobody_runs() {
    where_tables_have_owners(|| {
        let table = TableSocket::open(true).expect("open");
        let kept = table.fd().expect("a duplicate");
        let mut r = Reconciler::over(table, QueueBackend::Xt).expect("open");
        reconciled(&mut r, deny(&["127.0.0.5"]));
        let owner = head().owner;
        drop(r);
        nft("flush ruleset");
        assert_eq!(head().owner, owner, "the duplicate owns it");
        let table = TableSocket::from_fd(kept, true).expect("the next process");
        let mut r = Reconciler::over(table, QueueBackend::Xt).expect("open");
        assert!(matches!(reconciled(&mut r, deny(&["127.0.0.6"])), Outcome::Applied { anew: true, .. }));
        assert_eq!((head().owner, r.is_owned()), (owner, true));
    });
}

#[test]
fn root_a_table_of_another_owner_is_left_alone_and_one_without_becomes_ours() {
    where_tables_have_owners(|| {
        let mut plain = Reconciler::open(QueueBackend::Xt).expect("open");
        reconciled(&mut plain, deny(&["127.0.0.5"]));
        assert_eq!((plain.is_owned(), head().owned), (false, false));
        let mut r = owning();
        reconciled(&mut r, deny(&["127.0.0.5"]));
        assert!(r.is_owned() && head().owned);

        let mut second = owning();
        second.set_desired(deny(&[]));
        for error in [second.reconcile().map(drop), second.release(), plain.release()] {
            let error = error.expect_err("it is somebody else's");
            assert!(matches!(error, ReconcileError::Foreign { port_id } if Some(port_id) == head().owner), "{error}");
        }
        drop(r);
        // who wants no owner can have an orphan too
        plain.applied = None;
        assert!(matches!(reconciled(&mut plain, deny(&[])), Outcome::Applied { anew: true, .. }));
        plain.release().expect("an orphan is anybody's");
    });
}
