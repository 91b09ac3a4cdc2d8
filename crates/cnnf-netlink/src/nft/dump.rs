//! Reading tables back.
//!
//! A dump is many datagrams, and a change between two of them makes it a mixture. The kernel
//! flags that for rules but not for sets, so the generation is compared before and after. Large
//! sets are read twice, see [`elements`].

use std::time::Duration;

use super::abi;
use super::batch::{BaseHook, Hook};
use super::channel::Channel;
use super::element::{Element, Value};
use super::expr::Verdict;
use crate::attr::{Attr, Writer};
use crate::error::Error;
use crate::message::{Message, NFGEN};
use crate::socket::request;

/// How often a dump is tried before [`Error::Unsteady`].
const ATTEMPTS: u32 = 10;
const SUM_OF_NOTHING: u64 = 0xcbf2_9ce4_8422_2325;
/// libnftnl's type of a comment in a rule's user data.
const UDATA_RULE_COMMENT: u8 = 0;
const INET: u8 = libc::NFPROTO_INET as u8;

/// A table, as a listing shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableHead {
    /// Its family, `NFPROTO_*`: 1 inet, 2 ip, 3 arp, 5 netdev, 7 bridge, 10 ip6.
    pub family: u8,
    /// Its name.
    pub name: String,
    /// It belongs to a socket, or did ([`TableFlags::owner`](super::TableFlags::owner)).
    pub owned: bool,
    /// It outlives its owner.
    pub persist: bool,
    /// Port id of the owning socket; `None` without one, or for an orphan.
    pub owner: Option<u32>,
    /// The kernel's name for it, never used twice in a network namespace.
    pub handle: u64,
}

/// What is in a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableDump {
    /// The table.
    pub head: TableHead,
    /// The ruleset's generation that all of it belongs to.
    pub generation: u32,
    /// In the order in which they were made.
    pub chains: Vec<ChainDump>,
    /// Sets and maps.
    pub sets: Vec<SetDump>,
    /// Names of counters that outlive their rules.
    pub counters: Vec<String>,
}

/// A counter that outlives the rules that count by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedCounter {
    /// Its name.
    pub name: String,
    /// The kernel's names for its table (of the network namespace) and for it (of the table): as long as both are the same, the counter
    /// is, and only grows.
    pub handle: (u64, u64),
    /// What it has counted.
    pub value: Counter,
}

impl TableHead {
    /// The family as `nft` writes it.
    #[must_use]
    pub fn family_name(&self) -> &'static str {
        match i32::from(self.family) {
            libc::NFPROTO_INET => "inet",
            libc::NFPROTO_IPV4 => "ip",
            libc::NFPROTO_ARP => "arp",
            libc::NFPROTO_NETDEV => "netdev",
            libc::NFPROTO_BRIDGE => "bridge",
            libc::NFPROTO_IPV6 => "ip6",
            _ => "of an unknown family",
        }
    }
}

impl TableDump {
    /// The chain of this name.
    pub fn chain(&self, name: &str) -> Option<&ChainDump> {
        self.chains.iter().find(|c| c.name == name)
    }

    /// The set of this name.
    pub fn set(&self, name: &str) -> Option<&SetDump> {
        self.sets.iter().find(|s| s.name == name)
    }
}

/// A chain with its rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainDump {
    /// Its name.
    pub name: String,
    /// Hook number (1 input, 2 forward, 3 output) and priority of a base chain.
    pub base: Option<(u32, i32)>,
    /// In their order.
    pub rules: Vec<RuleDump>,
}

impl ChainDump {
    /// The hook of a base chain that this crate could have made.
    pub fn base_hook(&self) -> Option<BaseHook> {
        let (hook, priority) = self.base?;
        let hook = match hook as i32 {
            libc::NF_INET_LOCAL_IN => Hook::Input,
            libc::NF_INET_FORWARD => Hook::Forward,
            libc::NF_INET_LOCAL_OUT => Hook::Output,
            _ => return None,
        };
        Some(BaseHook { hook, priority })
    }
}

/// A counter's values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Counter {
    pub packets: u64,
    pub bytes: u64,
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleDump {
    /// The kernel's name for it, unique in the table.
    pub handle: u64,
    /// Names of its expressions, in their order.
    pub expressions: Vec<String>,
    /// A sum (FNV-1a) of all of them, without what counters have counted: the same as long as the rule is.
    pub content: u64,
    /// The values of its counters, in their order; most rules have one or none.
    pub counters: Vec<Counter>,
    /// All of its user data.
    pub userdata: Vec<u8>,
    /// The comment in it.
    pub comment: Option<String>,
}

impl RuleDump {
    /// The first counter's values.
    pub fn counter(&self) -> Option<Counter> {
        self.counters.first().copied()
    }
}

/// The definition of a set or map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetDump {
    /// Its name.
    pub name: String,
    /// `NFT_SET_*`: 2 constant, 4 interval, 8 map, 16 timeout.
    pub flags: u32,
    /// Length of a key in bytes.
    pub key_len: u32,
    /// Length of a value in bytes; 0 for a set and a verdict map.
    pub data_len: u32,
    /// It maps to verdicts.
    pub verdicts: bool,
}

pub(super) fn generation_id(channel: &mut Channel) -> Result<u32, Error> {
    let what = "read the ruleset's generation";
    let mut id = None;
    ask(
        channel,
        what,
        INET,
        libc::NFT_MSG_GETGEN,
        libc::NLM_F_ACK,
        |_| {},
        |m| {
            id = id.or(m.attrs(NFGEN).find(abi::NFTA_GEN_ID).and_then(|a| a.be32()));
        },
    )?;
    id.ok_or(Error::Incomplete { what })
}

/// Tables of a family; of all for `NFPROTO_UNSPEC`.
pub(super) fn list_tables(channel: &mut Channel, family: u8) -> Result<Vec<TableHead>, Error> {
    let mut tables = Vec::new();
    let what = "list the tables";
    steady(channel, what, |channel| {
        tables.clear();
        ask(channel, what, family, libc::NFT_MSG_GETTABLE, libc::NLM_F_DUMP, |_| {}, |m| tables.extend(table_head(m)))
    })?;
    Ok(tables)
}

pub(super) fn table(channel: &mut Channel, family: u8, name: &str) -> Result<Option<TableDump>, Error> {
    let what = "dump a table";
    let mut dump = None;
    let generation = steady(channel, what, |channel| {
        let mut head = None;
        let mut changed = ask(
            channel,
            what,
            family,
            libc::NFT_MSG_GETTABLE,
            libc::NLM_F_DUMP,
            |_| {},
            |m| {
                head = head.take().or_else(|| table_head(m).filter(|t| t.name == name));
            },
        )?;
        let Some(head) = head else {
            dump = None;
            return Ok(changed);
        };
        let mut chains: Vec<ChainDump> = Vec::new();
        changed |= ask(
            channel,
            what,
            family,
            libc::NFT_MSG_GETCHAIN,
            libc::NLM_F_DUMP,
            |_| {},
            |m| {
                chains.extend(chain(m).filter(|(table, _)| table == name).map(|(_, c)| c));
            },
        )?;
        let ours = |w: &mut Writer| {
            w.strz(abi::NFTA_RULE_TABLE, name);
        };
        changed |= ask(channel, what, family, libc::NFT_MSG_GETRULE, libc::NLM_F_DUMP, ours, |m| {
            let Some((table, chain, rule)) = rule(m) else { return };
            if table == name
                && let Some(c) = chains.iter_mut().find(|c| c.name == chain)
            {
                c.rules.push(rule);
            }
        })?;
        let mut sets = Vec::new();
        changed |= ask(channel, what, family, libc::NFT_MSG_GETSET, libc::NLM_F_DUMP, ours, |m| {
            sets.extend(set(m).filter(|(table, _)| table == name).map(|(_, s)| s));
        })?;
        let mut counters = Vec::new();
        changed |= ask(channel, what, family, libc::NFT_MSG_GETOBJ, libc::NLM_F_DUMP, counters_of(name), |m| {
            counters.extend(counter(m).filter(|(table, ..)| table == name).map(|(_, name, ..)| name));
        })?;
        dump = Some(TableDump { head, generation: 0, chains, sets, counters });
        Ok(changed)
    })?;
    Ok(dump.map(|d| TableDump { generation, ..d }))
}

fn counters_of(table: &str) -> impl FnOnce(&mut Writer) + use<'_> {
    move |w| {
        w.strz(abi::NFTA_OBJ_TABLE, table).be32(abi::NFTA_OBJ_TYPE, abi::NFT_OBJECT_COUNTER);
    }
}

/// The counters of a table of family inet that outlive their rules; none if there is no such table.
///
/// Not of one generation: each counter is itself, and one that a change meanwhile hides from this dump is in the next.
pub(super) fn named_counters(channel: &mut Channel, table: &str) -> Result<Vec<NamedCounter>, Error> {
    let what = "dump counters";
    let mut head = None;
    ask(
        channel,
        what,
        INET,
        libc::NFT_MSG_GETTABLE,
        libc::NLM_F_DUMP,
        |_| {},
        |m| {
            head = head.take().or_else(|| table_head(m).filter(|head| head.name == table));
        },
    )?;
    let Some(head) = head else { return Ok(Vec::new()) };
    let mut counters = Vec::new();
    ask(channel, what, INET, libc::NFT_MSG_GETOBJ, libc::NLM_F_DUMP, counters_of(table), |m| {
        let ours = counter(m).filter(|(of, ..)| of == table);
        counters.extend(ours.map(|(_, name, handle, value)| NamedCounter {
            name,
            handle: (head.handle, handle),
            value,
        }));
    })?;
    Ok(counters)
}

/// Table, name, handle and value.
pub(super) fn counter(m: Message<'_>) -> Option<(String, String, u64, Counter)> {
    let attrs = m.attrs(NFGEN);
    if attrs.find(abi::NFTA_OBJ_TYPE)?.be32()? != abi::NFT_OBJECT_COUNTER {
        return None;
    }
    let inner = attrs.find(abi::NFTA_OBJ_DATA)?.nested();
    let value = |ty| inner.find(ty).and_then(|a| a.be64()).unwrap_or(0);
    Some((
        attrs.find(abi::NFTA_OBJ_TABLE)?.text(),
        attrs.find(abi::NFTA_OBJ_NAME)?.text(),
        attrs.find(abi::NFTA_OBJ_HANDLE)?.be64()?,
        Counter { packets: value(abi::NFTA_COUNTER_PACKETS), bytes: value(abi::NFTA_COUNTER_BYTES) },
    ))
}

/// A hash set's dump of several messages can miss elements although the generation stays: each
/// message counts from the start of the hash, which a worker may be resizing after a commit. So
/// such a dump counts only if the next one says the same.
pub(super) fn elements(channel: &mut Channel, table: &str, set: &str) -> Result<Vec<Element>, Error> {
    let what = "dump a set's elements";
    let mut last = None;
    for _ in 0..ATTEMPTS {
        let (mut elements, mut messages) = (Vec::new(), 0);
        steady(channel, what, |channel| {
            elements.clear();
            messages = 0;
            let which = |w: &mut Writer| {
                w.strz(abi::NFTA_SET_ELEM_LIST_TABLE, table).strz(abi::NFTA_SET_ELEM_LIST_SET, set);
            };
            ask(channel, what, INET, libc::NFT_MSG_GETSETELEM, libc::NLM_F_DUMP, which, |m| {
                messages += 1;
                element_list(m, &mut elements);
            })
        })?;
        // The end of a range comes before the start of the next one.
        elements.sort_by(|a, b| (&a.key, b.interval_end).cmp(&(&b.key, a.interval_end)));
        let twice = elements.windows(2).any(|w| w[0].key == w[1].key && w[0].interval_end == w[1].interval_end);
        if !twice && (messages <= 1 || last.as_ref() == Some(&elements)) {
            return Ok(elements);
        }
        last = Some(elements);
    }
    Err(Error::Unsteady { what, attempts: ATTEMPTS })
}

/// Repeats `read` until the ruleset did not change during it; returns the generation it read.
fn steady(
    channel: &mut Channel,
    what: &'static str,
    mut read: impl FnMut(&mut Channel) -> Result<bool, Error>,
) -> Result<u32, Error> {
    for _ in 0..ATTEMPTS {
        let before = generation_id(channel)?;
        let interrupted = match read(channel) {
            Ok(interrupted) => interrupted,
            // What a change between two dumps can look like, besides the flag.
            Err(Error::Refused { errno: libc::EINTR | libc::EAGAIN, .. }) => true,
            Err(e) => return Err(e),
        };
        if !interrupted && generation_id(channel)? == before {
            return Ok(before);
        }
    }
    Err(Error::Unsteady { what, attempts: ATTEMPTS })
}

fn ask(
    channel: &mut Channel,
    what: &'static str,
    family: u8,
    message: i32,
    flags: i32,
    fill: impl FnOnce(&mut Writer),
    each: impl FnMut(Message<'_>),
) -> Result<bool, Error> {
    channel.drain();
    let seq = channel.next_seq();
    let mut w = Writer::new();
    w.begin(abi::message_type(message), libc::NLM_F_REQUEST | flags, seq).nfgen(family, 0);
    fill(&mut w);
    w.end();
    request(channel, what, &w.buf, seq, each)
}

pub(super) fn table_head(m: Message<'_>) -> Option<TableHead> {
    let attrs = m.attrs(NFGEN);
    let flags = attrs.find(abi::NFTA_TABLE_FLAGS).and_then(|a| a.be32()).unwrap_or(0);
    Some(TableHead {
        family: m.family(),
        name: attrs.find(abi::NFTA_TABLE_NAME)?.text(),
        owned: flags & abi::NFT_TABLE_F_OWNER != 0,
        persist: flags & abi::NFT_TABLE_F_PERSIST != 0,
        handle: attrs.find(abi::NFTA_TABLE_HANDLE).and_then(|a| a.be64()).unwrap_or(0),
        owner: attrs.find(abi::NFTA_TABLE_OWNER).and_then(|a| a.be32()).filter(|o| *o != 0),
    })
}

pub(super) fn chain(m: Message<'_>) -> Option<(String, ChainDump)> {
    let attrs = m.attrs(NFGEN);
    let base = attrs.find(abi::NFTA_CHAIN_HOOK).and_then(|h| {
        let hook = h.nested().find(abi::NFTA_HOOK_HOOKNUM)?.be32()?;
        let priority = h.nested().find(abi::NFTA_HOOK_PRIORITY)?.be32()?;
        Some((hook, priority as i32))
    });
    let name = attrs.find(abi::NFTA_CHAIN_NAME)?.text();
    Some((attrs.find(abi::NFTA_CHAIN_TABLE)?.text(), ChainDump { name, base, rules: Vec::new() }))
}

pub(super) fn rule(m: Message<'_>) -> Option<(String, String, RuleDump)> {
    let attrs = m.attrs(NFGEN);
    let userdata = attrs.find(abi::NFTA_RULE_USERDATA).map(|a| a.bytes.to_vec()).unwrap_or_default();
    let mut rule = RuleDump {
        handle: attrs.find(abi::NFTA_RULE_HANDLE)?.be64()?,
        expressions: Vec::new(),
        content: SUM_OF_NOTHING,
        counters: Vec::new(),
        comment: comment(&userdata),
        userdata,
    };
    let list = attrs.find(abi::NFTA_RULE_EXPRESSIONS).map(|a| a.nested());
    for e in list.into_iter().flatten() {
        let Some(name) = e.nested().find(abi::NFTA_EXPR_NAME).map(|a| a.text()) else { continue };
        if name == "counter" {
            let inner = e.nested().find(abi::NFTA_EXPR_DATA).map(|d| d.nested());
            let value = |ty| inner.and_then(|i| i.find(ty)).and_then(|a| a.be64()).unwrap_or(0);
            rule.counters
                .push(Counter { packets: value(abi::NFTA_COUNTER_PACKETS), bytes: value(abi::NFTA_COUNTER_BYTES) });
            rule.content = summed(rule.content, name.as_bytes());
        } else {
            rule.content = summed(rule.content, e.bytes);
        }
        rule.expressions.push(name);
    }
    Some((attrs.find(abi::NFTA_RULE_TABLE)?.text(), attrs.find(abi::NFTA_RULE_CHAIN)?.text(), rule))
}

/// FNV-1a of 64 bits; the end of each part counts too.
fn summed(sum: u64, part: &[u8]) -> u64 {
    let length = (part.len() as u64).to_ne_bytes();
    part.iter().chain(&length).fold(sum, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// libnftnl's user data is a list of type, length (a byte each) and value.
fn comment(mut userdata: &[u8]) -> Option<String> {
    while let [ty, len, rest @ ..] = userdata {
        let value = rest.get(..usize::from(*len))?;
        if *ty == UDATA_RULE_COMMENT {
            return Some(Attr { ty: 0, bytes: value }.text());
        }
        userdata = &rest[value.len()..];
    }
    None
}

pub(super) fn set(m: Message<'_>) -> Option<(String, SetDump)> {
    let attrs = m.attrs(NFGEN);
    let number = |ty| attrs.find(ty).and_then(|a| a.be32());
    let verdicts = number(abi::NFTA_SET_DATA_TYPE) == Some(abi::DATA_VERDICT);
    let data_len = number(abi::NFTA_SET_DATA_LEN).filter(|_| !verdicts).unwrap_or(0);
    let set = SetDump {
        name: attrs.find(abi::NFTA_SET_NAME)?.text(),
        flags: number(abi::NFTA_SET_FLAGS).unwrap_or(0),
        key_len: number(abi::NFTA_SET_KEY_LEN).unwrap_or(0),
        data_len,
        verdicts,
    };
    Some((attrs.find(abi::NFTA_SET_TABLE)?.text(), set))
}

pub(super) fn element_list(m: Message<'_>, out: &mut Vec<Element>) {
    let list = m.attrs(NFGEN).find(abi::NFTA_SET_ELEM_LIST_ELEMENTS).map(|a| a.nested());
    out.extend(list.into_iter().flatten().filter_map(element));
}

fn element(e: Attr<'_>) -> Option<Element> {
    let attrs = e.nested();
    let key = attrs.find(abi::NFTA_SET_ELEM_KEY)?.nested().find(abi::NFTA_DATA_VALUE)?;
    let value = match attrs.find(abi::NFTA_SET_ELEM_DATA).map(|d| d.nested()) {
        None => Value::None,
        Some(d) => match (d.find(abi::NFTA_DATA_VALUE), d.find(abi::NFTA_DATA_VERDICT)) {
            (Some(v), _) => Value::Bytes(v.bytes.to_vec()),
            (None, Some(v)) => Value::Verdict(verdict(v)?),
            (None, None) => Value::None,
        },
    };
    let flags = attrs.find(abi::NFTA_SET_ELEM_FLAGS).and_then(|a| a.be32()).unwrap_or(0);
    Some(Element {
        key: key.bytes.to_vec(),
        value,
        interval_end: flags & abi::NFT_SET_ELEM_INTERVAL_END != 0,
        timeout: attrs.find(abi::NFTA_SET_ELEM_TIMEOUT).and_then(|a| a.be64()).map(Duration::from_millis),
    })
}

fn verdict(v: Attr<'_>) -> Option<Verdict> {
    let chain = || v.nested().find(abi::NFTA_VERDICT_CHAIN).map(|a| a.text());
    Some(match v.nested().find(abi::NFTA_VERDICT_CODE)?.be32()? as i32 {
        libc::NF_ACCEPT => Verdict::Accept,
        libc::NF_DROP => Verdict::Drop,
        libc::NFT_CONTINUE => Verdict::Continue,
        libc::NFT_RETURN => Verdict::Return,
        libc::NFT_JUMP => Verdict::Jump(chain()?),
        libc::NFT_GOTO => Verdict::Goto(chain()?),
        _ => return None,
    })
}
