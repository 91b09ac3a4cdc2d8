//! A batch: changes of one table that the kernel applies together or not at all.

use std::borrow::Borrow;
use std::ffi::{CStr, CString};

use nftnl::MsgType;

use super::abi;
use super::element::Element;
use super::expr::{Expr, name_fault};
use super::ffi::Scratch;
use super::types::{Maps, SetSpec};
use crate::attr::Writer;

/// Bytes of elements in one message: the list's length field has 16 bits, and the last element
/// may still be larger than this leaves.
const ELEMENTS_MAX: usize = 60_000;

/// Where a base chain hooks in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// Packets to local sockets.
    Input,
    /// Packets that pass through.
    Forward,
    /// Packets from local sockets.
    Output,
}

/// What makes a chain a base chain, of type filter and policy accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BaseHook {
    /// The hook.
    pub hook: Hook,
    /// Lower comes first; 0 is the usual filter, conntrack is at -200.
    pub priority: i32,
}

/// Who owns a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct TableFlags {
    /// Only the creating socket may change it, and it vanishes with the socket.
    pub owner: bool,
    /// It stays when the owner goes, and a new owner may take it (Linux 6.9).
    pub persist: bool,
}

impl TableFlags {
    fn bits(self) -> u32 {
        let bit = |on, b| if on { b } else { 0 };
        bit(self.owner, abi::NFT_TABLE_F_OWNER) | bit(self.persist, abi::NFT_TABLE_F_PERSIST)
    }
}

/// Changes of one table of family inet, in order. Built without the kernel, committed by
/// [`Nft::commit`](super::Nft::commit). What cannot be expressed (a name with a NUL, a value that
/// no register holds) is remembered and refused by the commit, before anything is sent.
pub struct Batch {
    table: CString,
    pub(super) out: Writer,
    /// What message `i` is about.
    pub(super) subjects: Vec<Subject>,
    pub(super) fault: Option<String>,
    scratch: Scratch,
    sets: u32,
}

/// What a message of the batch is about, and where its bytes begin.
#[derive(Clone, Debug)]
pub(super) struct Subject {
    pub(super) at: usize,
    pub(super) act: &'static str,
    pub(super) name: String,
}

impl Batch {
    /// An empty batch for this table.
    pub fn new(table: &str) -> Self {
        let mut batch = Self {
            table: CString::default(),
            out: Writer::new(),
            subjects: Vec::new(),
            fault: None,
            scratch: Scratch::new(),
            sets: 0,
        };
        batch.table = batch.name("table", table);
        batch
    }

    /// The table that it changes.
    pub fn table(&self) -> &str {
        self.table.to_str().unwrap_or_default()
    }

    /// Number of messages so far.
    pub fn len(&self) -> usize {
        self.subjects.len()
    }

    /// Whether nothing was added yet.
    pub fn is_empty(&self) -> bool {
        self.subjects.is_empty()
    }

    /// Size in bytes so far.
    pub fn size(&self) -> usize {
        self.out.buf.len()
    }

    /// Creates the table; no error if it is there with the same flags.
    pub fn add_table(&mut self, flags: TableFlags) {
        self.message(libc::NFT_MSG_NEWTABLE, libc::NLM_F_CREATE, "add table", String::new(), |w, table| {
            w.strz(abi::NFTA_TABLE_NAME, table).be32(abi::NFTA_TABLE_FLAGS, flags.bits());
        });
    }

    /// Deletes the table with everything in it.
    pub fn delete_table(&mut self) {
        self.message(libc::NFT_MSG_DELTABLE, 0, "delete table", String::new(), |w, table| {
            w.strz(abi::NFTA_TABLE_NAME, table);
        });
    }

    /// Creates a chain; no error if it is there.
    pub fn add_chain(&mut self, name: &str, base: Option<BaseHook>) {
        let chain = self.name("chain", name);
        let seq = self.subject("add chain", name);
        let bytes = self.scratch.chain(&self.table, &chain, base, seq, MsgType::Add);
        self.out.raw(bytes);
    }

    /// Deletes an empty chain that nothing refers to.
    pub fn delete_chain(&mut self, name: &str) {
        let chain = self.name("chain", name);
        let seq = self.subject("delete chain", name);
        let bytes = self.scratch.chain(&self.table, &chain, None, seq, MsgType::Del);
        self.out.raw(bytes);
    }

    /// Deletes a chain's rules.
    pub fn flush_chain(&mut self, name: &str) {
        self.name("chain", name);
        self.message(libc::NFT_MSG_DELRULE, 0, "flush chain", name.to_owned(), |w, table| {
            w.strz(abi::NFTA_RULE_TABLE, table).strz(abi::NFTA_RULE_CHAIN, name);
        });
    }

    /// Deletes the rules of all chains of the table.
    pub fn flush_rules(&mut self) {
        self.message(libc::NFT_MSG_DELRULE, 0, "flush rules", String::new(), |w, table| {
            w.strz(abi::NFTA_RULE_TABLE, table);
        });
    }

    /// Appends a rule to a chain. The comment (at most 125 bytes) is what `nft` shows and
    /// [`RuleDump::comment`](super::RuleDump::comment) reads.
    pub fn add_rule(&mut self, chain: &str, exprs: &[Expr], comment: Option<&str>) {
        let name = self.name("chain", chain);
        let note = comment.map(|c| {
            let fault = c.contains('\0').then(|| format!("comment {c:?}: no NUL"));
            self.refuse(fault);
            CString::new(c).unwrap_or_default()
        });
        self.refuse(
            (exprs.len() > abi::EXPRESSIONS_MAX)
                .then(|| format!("a rule of {} expressions: at most {}", exprs.len(), abi::EXPRESSIONS_MAX)),
        );
        self.refuse(exprs.iter().find_map(Expr::fault));
        let about = match comment {
            Some(c) => format!("{chain} ({c})"),
            None => chain.to_owned(),
        };
        let seq = self.subject("add rule to chain", &about);
        if self.fault.is_some() {
            return;
        }
        match self.scratch.rule(&self.table, &name, exprs, note.as_deref(), seq) {
            Ok(bytes) => {
                self.out.raw(bytes);
            }
            Err(fault) => self.refuse(Some(format!("rule in {about}: {fault}"))),
        }
    }

    /// Deletes one rule.
    pub fn delete_rule(&mut self, chain: &str, handle: u64) {
        let name = self.name("chain", chain);
        let seq = self.subject("delete rule of chain", &format!("{chain} handle {handle}"));
        let bytes = self.scratch.delete_rule(&self.table, &name, handle, seq);
        self.out.raw(bytes);
    }

    /// Creates a set or map; no error if it is there with the same definition.
    pub fn add_set(&mut self, spec: &SetSpec) {
        let name = self.name("set", &spec.name);
        let bad =
            |l: &super::Layout| (!l.is_valid()).then(|| format!("set {}: 1 to 5 parts in at most 64 bytes", spec.name));
        self.refuse(bad(&spec.key));
        if let Maps::To(value) = &spec.maps {
            self.refuse(bad(value));
        }
        self.sets += 1;
        let seq = self.subject("add set", &spec.name);
        let bytes = self.scratch.set(&self.table, &name, spec, self.sets, seq);
        self.out.raw(bytes);
    }

    /// Deletes a set that no rule uses.
    pub fn delete_set(&mut self, name: &str) {
        self.name("set", name);
        self.message(libc::NFT_MSG_DELSET, 0, "delete set", name.to_owned(), |w, table| {
            w.strz(abi::NFTA_SET_TABLE, table).strz(abi::NFTA_SET_NAME, name);
        });
    }

    /// Creates a counter that rules share and that outlives them, at 0; no error if it is there, and it goes on then.
    pub fn add_counter(&mut self, name: &str) {
        self.name("counter", name);
        self.message(libc::NFT_MSG_NEWOBJ, libc::NLM_F_CREATE, "add counter", name.to_owned(), |w, table| {
            w.strz(abi::NFTA_OBJ_TABLE, table).strz(abi::NFTA_OBJ_NAME, name);
            w.be32(abi::NFTA_OBJ_TYPE, abi::NFT_OBJECT_COUNTER);
            let nothing = w.nest_begin(abi::NFTA_OBJ_DATA);
            w.nest_end(nothing);
        });
    }

    /// Deletes a counter that no rule uses.
    pub fn delete_counter(&mut self, name: &str) {
        self.name("counter", name);
        self.message(libc::NFT_MSG_DELOBJ, 0, "delete counter", name.to_owned(), |w, table| {
            w.strz(abi::NFTA_OBJ_TABLE, table).strz(abi::NFTA_OBJ_NAME, name);
            w.be32(abi::NFTA_OBJ_TYPE, abi::NFT_OBJECT_COUNTER);
        });
    }

    /// Deletes all elements of a set.
    pub fn flush_set(&mut self, name: &str) {
        self.name("set", name);
        self.message(libc::NFT_MSG_DELSETELEM, 0, "flush set", name.to_owned(), |w, table| {
            w.strz(abi::NFTA_SET_ELEM_LIST_TABLE, table).strz(abi::NFTA_SET_ELEM_LIST_SET, name);
        });
    }

    /// Adds elements, in as many messages as they need. One that is there with the same value is
    /// no error (its timeout stays); with another value it is `EBUSY` or `EEXIST`.
    pub fn add_elements(&mut self, set: &str, elements: impl IntoIterator<Item: Borrow<Element>>) {
        self.elements(libc::NFT_MSG_NEWSETELEM, libc::NLM_F_CREATE, "add elements to set", set, elements);
    }

    /// Deletes elements by their keys; one that is not there is `ENOENT`.
    pub fn delete_elements(&mut self, set: &str, elements: impl IntoIterator<Item: Borrow<Element>>) {
        self.elements(libc::NFT_MSG_DELSETELEM, 0, "delete elements of set", set, elements);
    }

    fn elements(
        &mut self,
        message: i32,
        flags: i32,
        act: &'static str,
        set: &str,
        elements: impl IntoIterator<Item: Borrow<Element>>,
    ) {
        self.name("set", set);
        let mut elements = elements.into_iter().peekable();
        while elements.peek().is_some() {
            let seq = self.subject(act, set);
            let table = self.table.to_str().unwrap_or_default();
            let w = &mut self.out;
            w.begin(abi::message_type(message), libc::NLM_F_REQUEST | libc::NLM_F_ACK | flags, seq);
            w.nfgen(libc::NFPROTO_INET as u8, 0);
            w.strz(abi::NFTA_SET_ELEM_LIST_TABLE, table).strz(abi::NFTA_SET_ELEM_LIST_SET, set);
            let list = w.nest_begin(abi::NFTA_SET_ELEM_LIST_ELEMENTS);
            while w.buf.len() - list < ELEMENTS_MAX {
                let Some(element) = elements.next() else { break };
                let element = element.borrow();
                if let Some(fault) = element.fault() {
                    self.fault.get_or_insert(format!("element of set {set}: {fault}"));
                    continue;
                }
                element.write(w);
            }
            w.nest_end(list).end();
        }
    }

    /// A message of ours (not libnftnl's).
    fn message(
        &mut self,
        message: i32,
        flags: i32,
        act: &'static str,
        name: String,
        fill: impl FnOnce(&mut Writer, &str),
    ) {
        let seq = self.subject(act, &name);
        let table = self.table.to_str().unwrap_or_default();
        self.out.begin(abi::message_type(message), libc::NLM_F_REQUEST | libc::NLM_F_ACK | flags, seq);
        self.out.nfgen(libc::NFPROTO_INET as u8, 0);
        fill(&mut self.out, table);
        self.out.end();
    }

    /// Notes what the next message is about; its sequence number is its index and one, as batch
    /// begin has the number 0.
    fn subject(&mut self, act: &'static str, name: &str) -> u32 {
        self.subjects.push(Subject { at: self.out.buf.len(), act, name: name.to_owned() });
        self.subjects.len() as u32
    }

    /// The name for C; a bad one is remembered and replaced by a harmless one.
    fn name(&mut self, what: &str, name: &str) -> CString {
        match name_fault(what, name) {
            None => CString::new(name).unwrap_or_default(),
            fault => {
                self.refuse(fault);
                CStr::to_owned(c"invalid")
            }
        }
    }

    fn refuse(&mut self, fault: Option<String>) {
        if self.fault.is_none() {
            self.fault = fault;
        }
    }
}

impl std::fmt::Debug for Batch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Batch")
            .field("table", &self.table)
            .field("messages", &self.len())
            .field("bytes", &self.size())
            .field("fault", &self.fault)
            .finish()
    }
}
