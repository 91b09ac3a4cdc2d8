//! What the running kernel's nf_tables can do: tried, never guessed from a version.

use super::Nft;
use super::batch::{Batch, TableFlags};
use super::commit::CommitError;
use super::expr::{CtKey, Expr, QueueTarget, Reg, SocketKey};

/// What the kernel accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// The native queue expression ([`Expr::Queue`]).
    pub native_queue: bool,
    /// The iptables target NFQUEUE ([`Expr::XtQueue`]).
    pub xt_queue: bool,
    /// Reading and setting connection labels.
    pub ct_labels: bool,
    /// Matching a socket's cgroup.
    pub socket_cgroup: bool,
    /// Counters that outlive their rules ([`Expr::CountBy`]).
    pub named_counters: bool,
    /// Tables that belong to a socket.
    pub owner: bool,
    /// Tables that belong to a socket and outlive it.
    pub owner_persist: bool,
}

pub(super) fn probe(nft: &mut Nft) -> Result<Features, CommitError> {
    accepts(nft, TableFlags::default(), &[])?;
    let queue = QueueTarget { num: 0, total: 1, bypass: true, fanout: false };
    let word = Reg::word(0);
    let mut rule = |exprs: &[Expr]| accepts(nft, TableFlags::default(), exprs).is_ok();
    Ok(Features {
        native_queue: rule(&[Expr::Queue(queue)]),
        xt_queue: rule(&[Expr::XtQueue(queue)]),
        ct_labels: rule(&[Expr::ct(CtKey::Labels, word), Expr::CtSet { key: CtKey::Labels, sreg: word }]),
        socket_cgroup: rule(&[Expr::Socket { key: SocketKey::Cgroup { level: 1 }, dreg: word }]),
        named_counters: counts_by_name(nft),
        owner: accepts(nft, TableFlags { owner: true, persist: false }, &[]).is_ok(),
        owner_persist: accepts(nft, TableFlags { owner: true, persist: true }, &[]).is_ok(),
    })
}

/// Whether a rule can count by a counter of its table's.
fn counts_by_name(nft: &mut Nft) -> bool {
    let mut b = Batch::new(&format!("cnnf_probe_{}", nft.port_id()));
    b.add_table(TableFlags::default());
    b.add_chain("probe", None);
    b.add_counter("probe");
    b.add_rule("probe", &[Expr::CountBy("probe".into())], None);
    b.delete_table();
    nft.commit(&b, None).is_ok()
}

/// Makes a table with a rule in a chain without hook, and deletes it in the same batch.
fn accepts(nft: &mut Nft, flags: TableFlags, rule: &[Expr]) -> Result<(), CommitError> {
    let mut b = Batch::new(&format!("cnnf_probe_{}", nft.port_id()));
    b.add_table(flags);
    b.add_chain("probe", None);
    if !rule.is_empty() {
        b.add_rule("probe", rule, None);
    }
    b.delete_table();
    nft.commit(&b, None)
}
