//! nf_tables: tables of family inet, changed in atomic batches and read back.
//!
//! ```no_run
//! use cnnf_netlink::nft::*;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut nft = Nft::open()?;
//! let generation = nft.generation_id()?;
//!
//! let mut b = Batch::new("demo");
//! b.add_table(TableFlags::default());
//! b.add_chain("out", Some(BaseHook { hook: Hook::Output, priority: -5 }));
//! b.add_chain("web", None);
//! b.add_set(&SetSpec::vmap("ports", [DataType::PROTOCOL, DataType::PORT]));
//! b.add_elements("ports", &[Element::vmap([6, 0, 0, 0, 0, 80, 0, 0], Verdict::Goto("web".into()))]);
//! b.add_rule("out", &[
//!     Expr::ct_dir(CtKey::Protocol, CtDir::Reply, Reg::word(0)),
//!     Expr::ct_dir(CtKey::ProtoSrc, CtDir::Reply, Reg::word(1)),
//!     Expr::vmap("ports", Reg::word(0)),
//! ], None);
//! b.add_rule("web", &[Expr::Counter, Expr::Verdict(Verdict::Accept)], Some("seen"));
//! match nft.commit(&b, Some(generation)) {
//!     Ok(()) => {}
//!     Err(CommitError::Stale) => { /* read again, plan again */ }
//!     Err(e) => return Err(e.into()), // names the message and the object
//! }
//! for rule in nft.dump("demo")?.iter().flat_map(|t| &t.chains).flat_map(|c| &c.rules) {
//!     println!("{:?} {:?}", rule.comment, rule.counter());
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Objects and expressions are encoded by libnftnl. A batch is one datagram;
//! [`Nft::commit`] is `Ok` only if the kernel acknowledged every message of it, and nothing of a
//! batch is applied otherwise. Sets say what their bytes mean ([`DataType`]), so that `nft list`
//! prints them as they are and loads them again. **Not so** rules that pick words out of
//! registers, cgroups compared with opaque keys, and [`Expr::XtQueue`]: `nft` 1.0.6 prints such a
//! rule without its condition, and refuses a file with the others.
//!
//! The owner of a table (see [`TableFlags`]) is the socket of the [`Nft`] that made it.

mod abi;
mod batch;
mod changes;
mod channel;
mod commit;
mod dump;
mod element;
mod expr;
mod ffi;
mod probe;
mod types;

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) use tests::read_all;

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use crate::error::Error;
use channel::Channel;

pub use batch::{BaseHook, Batch, Hook, TableFlags};
pub use changes::{Change, Changes};
pub use commit::CommitError;
pub use dump::{ChainDump, Counter, NamedCounter, RuleDump, SetDump, TableDump, TableHead};
pub use element::{Element, Value};
pub use expr::{
    CmpOp, CtDir, CtKey, Expr, MetaKey, PayloadBase, QueueTarget, Reg, Reject, SocketKey, Verdict, ct_state,
};
pub use probe::Features;
pub use types::{DataType, Layout, Maps, SetSpec};

/// A connection to nf_tables, in the network namespace of the thread that opened it. Needs
/// `CAP_NET_ADMIN`.
pub struct Nft {
    channel: Channel,
}

impl Nft {
    /// Opens a connection.
    ///
    /// # Errors
    /// Those of socket(2) and bind(2).
    pub fn open() -> Result<Self, Error> {
        Ok(Self { channel: Channel::open()? })
    }

    /// Goes on with a connection that was opened before, by this process or by an earlier one that handed the descriptor on. It is the same owner.
    ///
    /// # Errors
    /// It is no netlink socket.
    pub fn from_fd(fd: OwnedFd) -> Result<Self, Error> {
        Ok(Self { channel: Channel::from_fd(fd)? })
    }

    /// Applies a batch whole or not at all; with `expected`, only if the ruleset's generation is
    /// still this one. Any commit of anybody makes a new generation.
    ///
    /// # Errors
    /// [`CommitError`]; nothing was applied, except perhaps for `Unconfirmed`.
    pub fn commit(&mut self, batch: &Batch, expected: Option<u32>) -> Result<(), CommitError> {
        commit::commit(&mut self.channel, batch, expected)
    }

    /// The ruleset's generation, of this network namespace.
    ///
    /// # Errors
    /// [`Error`].
    pub fn generation_id(&mut self) -> Result<u32, Error> {
        dump::generation_id(&mut self.channel)
    }

    /// The tables of family inet.
    ///
    /// # Errors
    /// [`Error`].
    pub fn list_tables(&mut self) -> Result<Vec<TableHead>, Error> {
        dump::list_tables(&mut self.channel, libc::NFPROTO_INET as u8)
    }

    /// The tables of every family.
    ///
    /// # Errors
    /// [`Error`].
    pub fn list_all_tables(&mut self) -> Result<Vec<TableHead>, Error> {
        dump::list_tables(&mut self.channel, libc::NFPROTO_UNSPEC as u8)
    }

    /// Chains, rules and sets of a table of family inet, of one generation; `None` if there is no
    /// such table. Elements come from [`elements`](Self::elements).
    ///
    /// # Errors
    /// [`Error::Unsteady`] if the ruleset changed during every one of a bounded number of attempts.
    pub fn dump(&mut self, table: &str) -> Result<Option<TableDump>, Error> {
        dump::table(&mut self.channel, libc::NFPROTO_INET as u8, table)
    }

    /// As [`dump`](Self::dump) a table of any family.
    ///
    /// # Errors
    /// As `dump`.
    pub fn dump_of(&mut self, table: &TableHead) -> Result<Option<TableDump>, Error> {
        dump::table(&mut self.channel, table.family, &table.name)
    }

    /// The elements of a set, of one generation, sorted by key. A set that does not fit into one
    /// message is read until two readings agree: the kernel may resize its hash meanwhile.
    ///
    /// # Errors
    /// As [`dump`](Self::dump); `ENOENT` if there is no such set.
    pub fn elements(&mut self, table: &str, set: &str) -> Result<Vec<Element>, Error> {
        dump::elements(&mut self.channel, table, set)
    }

    /// Counters of a table of family inet that outlive their rules; none if there is no such table.
    ///
    /// # Errors
    /// [`Error`].
    pub fn named_counters(&mut self, table: &str) -> Result<Vec<NamedCounter>, Error> {
        dump::named_counters(&mut self.channel, table)
    }

    /// Tries what the kernel can do, in tables that are made and deleted in one batch each: it
    /// leaves nothing behind and no packet passes through them.
    ///
    /// # Errors
    /// Only where nothing can be said: no permission, no nf_tables.
    pub fn probe(&mut self) -> Result<Features, CommitError> {
        probe::probe(self)
    }

    /// The socket's port id: the owner that [`TableHead::owner`] names.
    pub fn port_id(&self) -> u32 {
        self.channel.port_id()
    }
}

impl AsFd for Nft {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.channel.as_fd()
    }
}

impl AsRawFd for Nft {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

impl std::fmt::Debug for Nft {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Nft").field("fd", &self.as_raw_fd()).finish()
    }
}
