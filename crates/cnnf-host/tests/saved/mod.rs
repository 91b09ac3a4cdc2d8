//! A saved listing of rules, loaded again, as `nft list ruleset > /etc/nftables.conf` and `nft -f` do.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use cnnf_core::ruleset::{HostFacts, QueueBackend};
use cnnf_host::dataplane::{Found, Reconciler, TableSocket};
use cnnf_host::kernel::Nft;

use crate::bed::with_bed;
use crate::{apply, facts, owns, policy, serve};

/// Somebody's own rules.
const THEIRS: &str = "
table inet filter {
    set blocked { type ipv4_addr; flags interval; elements = { 192.0.2.0/24, 198.51.100.7 } }
    map ports { type inet_service : verdict; elements = { 81 : drop } }
    chain input {
        type filter hook input priority filter; policy accept;
        ct state invalid counter drop
        ip saddr @blocked counter drop comment \"not these\"
        tcp dport vmap @ports
    }
}
table ip nat {
    chain post {
        type nat hook postrouting priority srcnat
        oif \"lo\" accept
    }
}
";

/// What the documentation says: every table but ours.
const WITHOUT_OURS: &str = "nft list tables | grep -v 'inet cnnf$' | while read -r what; do nft -s list $what; done";

fn said(command: &str) -> String {
    let out = Command::new("sh").args(["-c", command]).stderr(Stdio::null()).output().expect("sh");
    String::from_utf8(out.stdout).expect("text")
}

/// Loads rules as a boot does, in the place of all that is there.
fn loaded(rules: &str) -> Output {
    let nft = Command::new("nft").args(["-f", "-"]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut nft = nft.expect("nft");
    // it stops reading where it does not understand
    let _ = nft.stdin.take().expect("input").write_all(format!("flush ruleset\n{rules}").as_bytes());
    nft.wait_with_output().expect("nft")
}

#[test]
fn root_a_saved_listing_of_all_but_our_table_loads_again_and_one_with_it_changes_nothing_if_it_does_not() {
    let features = Nft::open().expect("open").probe().expect("probe");
    let mut queues = vec![QueueBackend::None];
    queues.extend(features.native_queue.then_some(QueueBackend::Native));
    queues.extend(features.xt_queue.then_some(QueueBackend::Xt));
    for queue in queues {
        for owned in [false, true] {
            if owned && !owns() {
                continue;
            }
            with_bed("saved", |bed| {
                serve(bed);
                assert!(loaded(THEIRS).status.success());
                let socket = TableSocket::open(owned).expect("open");
                let mut ours = Reconciler::over(socket, queue).expect("open");
                apply(&mut ours, &policy(), &HostFacts { queue, ..facts(bed, 0) });
                assert_eq!(ours.check().expect("check"), Found::Intact);
                // loopback is refused without anybody's asking
                let prevented = || bed.probe("other", "tcp 127.0.0.1:85");
                assert_eq!(prevented(), "refused");

                let theirs = said(WITHOUT_OURS);
                assert!(theirs.contains("not these") && theirs.contains("table ip nat") && !theirs.contains("cnnf"));
                let all = said("nft list ruleset");
                assert!(all.contains("table inet cnnf"));
                let out = loaded(&all);
                let why = String::from_utf8_lossy(&out.stderr);
                let why = why.lines().next().unwrap_or_default();
                println!("{queue:?}, owned {owned}: a listing with ours: {} {why}", out.status);
                if !out.status.success() {
                    assert_eq!((said(WITHOUT_OURS), prevented().as_str()), (theirs.clone(), "refused"));
                    assert_eq!(ours.check().expect("check"), Found::Intact);
                }

                let out = loaded(&theirs);
                assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
                assert_eq!(said(WITHOUT_OURS), theirs);
                assert_eq!(ours.check().expect("check") == Found::Intact, owned, "a flush takes what has no owner");
                ours.reconcile().expect("repair");
                assert_eq!((said(WITHOUT_OURS), prevented().as_str()), (theirs, "refused"));
            });
        }
    }
}
