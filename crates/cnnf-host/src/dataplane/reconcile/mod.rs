//! Makes the kernel's table equal to the wanted ruleset and keeps it so.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cnnf_core::ruleset::{Chain, Name, QueueBackend, Ruleset, Set};
use cnnf_netlink::nft::{Batch, Changes, CommitError, Element, Maps, Nft, SetDump, TableDump};

use super::lower;
use super::plan::{Operation, emptied, plan, ranges_ahead};
use super::table_socket::{TableSocket, Taking};

/// The table's name; its family is inet.
pub const TABLE: &str = "cnnf";

/// How the names of those of our threads begin that add elements for packets which wait.
pub const OUR_THREADS: &str = "cnnf:";

/// How often the table is read although nobody else was heard to change any rules.
const LOOK: Duration = Duration::from_secs(1);
/// How often a change is planned anew because somebody else changed the kernel's rules meanwhile.
const ATTEMPTS: u32 = 20;

/// Elements of a set that are read back when somebody else has changed any rules.
const COMPARED: usize = 1024;

/// What a reconciliation did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing had to be done.
    Unchanged,
    /// The kernel has what was wanted.
    Applied {
        /// How many operations it took.
        operations: usize,
        /// Whether the whole table was made anew, because what the kernel had was not known or not ours.
        anew: bool,
    },
}

/// Why the kernel does not have what was wanted. It has what it had before.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// It refused the change.
    #[error("table inet {TABLE}: {0}")]
    Commit(#[from] CommitError),
    /// It could not be read.
    #[error("table inet {TABLE}: {0}")]
    Read(#[from] cnnf_netlink::Error),
    /// It would be too large.
    #[error("table inet {TABLE}: {0}; what was in force before stays")]
    TooLarge(String),
    /// It belongs to another process.
    #[error(
        "table inet {TABLE} belongs to another process, by its netlink socket with port id {port_id}: is another cnnf-defender running in this network namespace?"
    )]
    Foreign {
        /// The socket's port id; `/proc/net/netlink` lists them.
        port_id: u32,
    },
}

/// How the table was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// As we left it.
    Intact,
    /// Changed by somebody else: the next [`Reconciler::reconcile`] makes it anew.
    Changed {
        /// Who changed any rules since it was intact, as far as the kernel says: process ids (of the first process namespace) and names.
        by: Vec<(u32, String)>,
    },
}

/// A counter in the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted {
    /// The rule's chain.
    pub chain: String,
    /// The rule's comment.
    pub comment: String,
    /// Packets that it counted.
    pub packets: u64,
}

/// What one of the table's counters has counted. It outlives the rules that count by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    /// Its name.
    pub name: Name,
    /// As long as this is the same it has only grown since.
    pub handle: (u64, u64),
    /// Packets that it counted.
    pub packets: u64,
}

/// Keeps the table. It belongs to the network namespace of the thread that made it.
#[derive(Debug)]
pub struct Reconciler {
    /// Writes.
    table: TableSocket,
    /// Reads, so that no packet waits for it.
    nft: Nft,
    owned: bool,
    /// Who commits. Without it a change is noticed all the same.
    changes: Option<Changes>,
    queue: QueueBackend,
    desired: Option<Arc<Ruleset>>,
    applied: Option<Arc<Ruleset>>,
    /// What each chain's rules were when they were first read after we wrote them.
    contents: BTreeMap<Name, Vec<u64>>,
    checked: u32,
    /// When the table was read last.
    looked: Instant,
}

impl Reconciler {
    /// One that knows nothing of the kernel's state yet and lowers queues to `queue`. Its table has no owner.
    ///
    /// # Errors
    /// No netlink socket, or no permission.
    pub fn open(queue: QueueBackend) -> Result<Self, ReconcileError> {
        Self::over(TableSocket::open(false)?, queue)
    }

    /// The same, changing the table through this socket.
    ///
    /// # Errors
    /// No further netlink socket, or no permission.
    pub fn over(table: TableSocket, queue: QueueBackend) -> Result<Self, ReconcileError> {
        Ok(Self {
            table,
            nft: Nft::open()?,
            owned: false,
            changes: Changes::open().ok(),
            queue,
            desired: None,
            applied: None,
            contents: BTreeMap::new(),
            checked: 0,
            looked: Instant::now(),
        })
    }

    /// Whether the table belongs to this process, so that nobody else can change it.
    #[must_use]
    pub fn is_owned(&self) -> bool {
        self.owned
    }

    /// Says what the table shall be. Does nothing yet.
    pub fn set_desired(&mut self, ruleset: impl Into<Arc<Ruleset>>) {
        self.desired = Some(ruleset.into());
    }

    /// What the kernel has, as far as it is known.
    #[must_use]
    pub fn applied(&self) -> Option<&Ruleset> {
        self.applied.as_deref()
    }

    /// Makes the kernel's table what was asked for.
    ///
    /// # Errors
    /// The kernel's words; its table is what it was.
    pub fn reconcile(&mut self) -> Result<Outcome, ReconcileError> {
        let Some(desired) = self.desired.clone() else { return Ok(Outcome::Unchanged) };
        if let Some(excess) = desired.excess() {
            return Err(ReconcileError::TooLarge(excess));
        }
        if let Some(applied) = &self.applied {
            let operations = plan(applied, &desired);
            if operations.is_empty() {
                return Ok(Outcome::Unchanged);
            }
            match self.carry_out(operations) {
                Ok(operations) => {
                    self.applied = Some(desired);
                    return Ok(Outcome::Applied { operations, anew: false });
                }
                // perhaps the table is not what we think; only what fails from scratch as well is a failure
                Err(CommitError::Refused { .. } | CommitError::Unconfirmed { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let operations = self.replace(&desired)?;
        self.applied = Some(desired);
        Ok(Outcome::Applied { operations, anew: true })
    }

    /// Looks whether the table is still ours, if anything changed in the kernel's rules since the last time.
    ///
    /// # Errors
    /// The table could not be read.
    pub fn check(&mut self) -> Result<Found, ReconcileError> {
        let Some(applied) = &self.applied else { return Ok(Found::Intact) };
        let generation = self.nft.generation_id()?;
        if generation == self.checked {
            return Ok(Found::Intact);
        }
        let mut by = Vec::new();
        for change in self.changes.as_mut().and_then(|changes| changes.read().ok()).unwrap_or_default() {
            let who = (change.pid, change.name);
            if !who.1.starts_with(OUR_THREADS) && !by.contains(&who) {
                by.push(who);
            }
        }
        // each packet that is let go is a change of ours; a listener may miss somebody's, or believe a name that is none of ours
        let remembered = applied.chains.keys().all(|name| self.contents.contains_key(name));
        if self.changes.is_some() && remembered && by.is_empty() && self.looked.elapsed() < LOOK {
            return Ok(Found::Intact);
        }
        self.looked = Instant::now();
        let dump = self.nft.dump(TABLE)?;
        let mut ours = dump.as_ref().is_some_and(|dump| is_like(dump, applied) && same(&mut self.contents, dump));
        if ours && (self.changes.is_none() || !by.is_empty()) {
            ours = has_elements(&mut self.nft, applied)?;
        }
        if ours {
            self.checked = generation;
            return Ok(Found::Intact);
        }
        self.applied = None;
        Ok(Found::Changed { by })
    }

    /// The values of all counters.
    ///
    /// # Errors
    /// The table could not be read.
    pub fn counters(&mut self) -> Result<Vec<Counted>, ReconcileError> {
        let Some(dump) = self.nft.dump(TABLE)? else { return Ok(Vec::new()) };
        let mut counted = Vec::new();
        for chain in dump.chains {
            for rule in chain.rules {
                if let Some(counter) = rule.counter() {
                    let comment = rule.comment.unwrap_or_default();
                    counted.push(Counted { chain: chain.name.clone(), comment, packets: counter.packets });
                }
            }
        }
        Ok(counted)
    }

    /// What the table's own counters have counted.
    ///
    /// # Errors
    /// The table could not be read.
    pub fn tallies(&mut self) -> Result<Vec<Tally>, ReconcileError> {
        let all = self.nft.named_counters(TABLE)?.into_iter();
        Ok(all.map(|c| Tally { name: c.name, handle: c.handle, packets: c.value.packets }).collect())
    }

    /// Whether making the table what was asked for ends counters, with what they have counted.
    #[must_use]
    pub fn ends_counters(&self) -> bool {
        let known = self.applied.as_ref().zip(self.desired.as_ref());
        known.is_none_or(|(applied, desired)| applied.counters.iter().any(|name| !desired.counters.contains(name)))
    }

    /// Takes the table away, with everything in it: nothing is judged any more. Packets that wait in a queue are dropped.
    ///
    /// # Errors
    /// The kernel's words.
    pub fn release(&mut self) -> Result<(), ReconcileError> {
        let found = self.nft.list_tables()?.into_iter().find(|table| table.name == TABLE);
        if let Some(found) = found {
            if let Taking::Foreign(port_id) = self.table.taking(Some(&found)) {
                return Err(ReconcileError::Foreign { port_id });
            }
            let mut batch = Batch::new(TABLE);
            batch.delete_table();
            self.commit(&batch, None)?;
        }
        self.applied = None;
        self.desired = None;
        Ok(())
    }

    /// Commits unheard: the kernel needs not tell of each element, and our own changes are no news.
    fn commit(&mut self, batch: &Batch, expected: Option<u32>) -> Result<(), CommitError> {
        let Self { table, changes, .. } = self;
        let mut result = None;
        let mut act = || result = Some(table.commit(batch, expected));
        let heard = changes.as_mut().map(|changes| changes.without(&mut act));
        if !matches!(heard, Some(Ok(()))) {
            // without its socket nobody is told of
            *changes = None;
        }
        result.unwrap_or_else(|| table.commit(batch, expected))
    }

    fn carry_out(&mut self, operations: Vec<Operation>) -> Result<usize, CommitError> {
        let number = operations.len();
        for operation in &operations {
            if let Operation::AddChain(name, _)
            | Operation::FlushChain(name)
            | Operation::AddRule(name, _)
            | Operation::DeleteChain(name) = operation
            {
                self.contents.remove(name);
            }
        }
        let (ahead, operations) = ranges_ahead(operations);
        if !ahead.is_empty() {
            self.commit(&self.batch(&ahead), None)?;
        }
        let done = self.commit(&self.batch(&operations), None);
        if done.is_err() && !ahead.is_empty() {
            // Sets that nothing refers to are in the table now: it is no longer what we think.
            self.applied = None;
        }
        done.map(|()| number)
    }

    fn batch(&self, operations: &[Operation]) -> Batch {
        let mut batch = Batch::new(TABLE);
        for operation in operations {
            lower::operation(&mut batch, operation, self.queue);
        }
        batch
    }

    /// Takes whatever there is, empties it and fills it, in one batch: no packet meets anything in between.
    fn replace(&mut self, desired: &Ruleset) -> Result<usize, ReconcileError> {
        let mut attempt = 1;
        loop {
            let dump = self.nft.dump(TABLE)?;
            let generation = match &dump {
                Some(dump) => dump.generation,
                None => self.nft.generation_id()?,
            };
            let taking = self.table.taking(dump.as_ref().map(|dump| &dump.head));
            let mut batch = Batch::new(TABLE);
            let there = match taking {
                Taking::With(flags) => {
                    batch.add_table(flags);
                    dump.as_ref()
                }
                Taking::Adopt(flags) => {
                    batch.add_table(flags);
                    None
                }
                Taking::Remake(flags) => {
                    batch.delete_table();
                    batch.add_table(flags);
                    None
                }
                Taking::Foreign(port_id) => return Err(ReconcileError::Foreign { port_id }),
            };
            let mut comes_first = matches!(taking, Taking::Adopt(_));
            let mut operations = Vec::new();
            if !comes_first {
                let right = right_ranges(&mut self.nft, there, desired)?;
                let kept = empty(&mut batch, there, desired, &right);
                let (ahead, rest) = match there {
                    Some(dump) => ranges_ahead_of(dump, plan(&kept, desired)),
                    None => (Vec::new(), plan(&kept, desired)),
                };
                operations = rest;
                comes_first = !ahead.is_empty();
                if comes_first {
                    batch = self.batch(&ahead);
                } else {
                    for operation in &operations {
                        lower::operation(&mut batch, operation, self.queue);
                    }
                }
            }
            match self.commit(&batch, Some(generation)) {
                // the table is ours, or the sets are there: again with them
                Ok(()) if comes_first => {}
                Ok(()) => {
                    self.owned = taking.is_owned();
                    self.contents.clear();
                    return Ok(operations.len());
                }
                Err(CommitError::Stale) if attempt < ATTEMPTS => attempt += 1,
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// The sets of ranges that have what is wanted.
///
/// They are not touched: until the kernel's new generation is there, a range that is deleted and added again can hide itself (`__nft_rbtree_lookup`
/// remembers the closest start, whether it is of this generation or of the next one; Linux 6.1 let some twenty datagrams through each time).
fn right_ranges(
    nft: &mut Nft,
    dump: Option<&TableDump>,
    desired: &Ruleset,
) -> Result<BTreeSet<Name>, cnnf_netlink::Error> {
    let mut right = BTreeSet::new();
    for set in dump.iter().flat_map(|dump| &dump.sets) {
        if let Some(wanted @ Set::Addresses(..)) = desired.sets.get(&set.name)
            && is_of_kind(set, wanted)
            && has(nft, &set.name, lower::elements(wanted).collect())?
        {
            right.insert(set.name.clone());
        }
    }
    Ok(right)
}

/// Empties everything but the sets that are right and removes what is not wanted; returns what is left.
///
/// What is wanted stays the same object. A packet that is on its way while the generation changes reads the rules of the old one, but
/// looks sets up in the new one (`nft_do_chain`, `nft_set_do_lookup`): in a map that was made anew it would find nothing, and in a new chain no rule.
fn empty(batch: &mut Batch, dump: Option<&TableDump>, desired: &Ruleset, right: &BTreeSet<Name>) -> Ruleset {
    let mut kept = Ruleset::default();
    let Some(dump) = dump else { return kept };
    if !dump.chains.is_empty() {
        batch.flush_rules();
    }
    for set in &dump.sets {
        match desired.sets.get(&set.name).filter(|wanted| is_of_kind(set, wanted)) {
            Some(wanted) if right.contains(&set.name) => {
                kept.sets.insert(set.name.clone(), wanted.clone());
            }
            Some(wanted) => {
                // What user space put there for waiting packets is theirs still.
                if !matches!(wanted, Set::Pending(_) | Set::Flows(_)) {
                    batch.flush_set(&set.name);
                }
                kept.sets.insert(set.name.clone(), emptied(wanted));
            }
            None => batch.delete_set(&set.name),
        }
    }
    for name in &dump.counters {
        if desired.counters.contains(name) {
            kept.counters.insert(name.clone());
        } else {
            batch.delete_counter(name);
        }
    }
    for chain in &dump.chains {
        let wanted = desired.chains.get(&chain.name).map(|wanted| wanted.base);
        if let Some(base) = wanted
            && chain.base_hook() == base.map(lower::base_hook)
        {
            kept.chains.insert(chain.name.clone(), Chain { base, rules: Vec::new() });
        } else if chain.base.is_none() || wanted.is_some() {
            // a base chain in the way can only be deleted; one that is merely not wanted stays, empty
            batch.delete_chain(&chain.name);
        }
    }
    kept
}

/// [`ranges_ahead`] for a table with what the dump has: a set in the way is deleted by the same batch that makes its successor.
fn ranges_ahead_of(dump: &TableDump, operations: Vec<Operation>) -> (Vec<Operation>, Vec<Operation>) {
    let (ahead, mut rest) = ranges_ahead(operations);
    let (in_the_way, ahead): (Vec<_>, Vec<_>) = ahead.into_iter().partition(|operation| {
        matches!(operation, Operation::AddSet(name, _) | Operation::AddElements(name, _) if dump.set(name).is_some())
    });
    rest.splice(0..0, in_the_way);
    (ahead, rest)
}

/// Whether the kernel's set can hold the elements of `wanted`.
fn is_of_kind(set: &SetDump, wanted: &Set) -> bool {
    let spec = lower::set_spec(&set.name, wanted);
    let (data_len, verdicts) = match &spec.maps {
        Maps::Nothing => (0, false),
        Maps::To(data) => (data.len(), false),
        Maps::ToVerdict => (0, true),
    };
    // the flags that decide how keys are compared and whether they end
    let flags = (set.flags & 4 != 0, set.flags & 16 != 0);
    set.key_len == spec.key.len()
        && (set.data_len, set.verdicts) == (data_len, verdicts)
        && flags == (spec.interval, spec.timeout)
}

/// Whether the chains' rules are what they were; those of chains that were not read before are remembered.
fn same(contents: &mut BTreeMap<Name, Vec<u64>>, dump: &TableDump) -> bool {
    let mut same = true;
    for chain in &dump.chains {
        let read: Vec<u64> = chain.rules.iter().map(|rule| rule.content).collect();
        same &= *contents.entry(chain.name.clone()).or_insert_with(|| read.clone()) == read;
    }
    same
}

/// Whether the kernel's sets have the elements of `applied`, as far as they are not too many to read them whenever somebody commits anything.
fn has_elements(nft: &mut Nft, applied: &Ruleset) -> Result<bool, cnnf_netlink::Error> {
    for (name, set) in &applied.sets {
        if matches!(set, Set::Pending(_) | Set::Flows(_)) {
            continue;
        }
        let wanted: Vec<_> = lower::elements(set).take(COMPARED + 1).collect();
        if wanted.len() <= COMPARED && !has(nft, name, wanted)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether the kernel's set has these elements.
fn has(nft: &mut Nft, set: &str, mut wanted: Vec<Element>) -> Result<bool, cnnf_netlink::Error> {
    // as they are read: the end of a range comes before the start of the next one
    wanted.sort_by(|a, b| (&a.key, b.interval_end).cmp(&(&b.key, a.interval_end)));
    Ok(nft.elements(TABLE, set)? == wanted)
}

/// Whether the dump has the chains and sets of `applied`, and as many rules; neither their content nor elements are compared.
fn is_like(dump: &TableDump, applied: &Ruleset) -> bool {
    let chains = applied.chains.iter().all(|(name, chain)| {
        let base = chain.base.map(lower::base_hook);
        dump.chain(name).is_some_and(|c| c.rules.len() == chain.rules.len() && c.base_hook() == base)
    });
    let sets = applied.sets.iter().all(|(name, set)| dump.set(name).is_some_and(|s| is_of_kind(s, set)));
    let rules_elsewhere = dump.chains.iter().any(|c| !applied.chains.contains_key(&c.name) && !c.rules.is_empty());
    let known: BTreeSet<&Name> = dump.counters.iter().collect();
    let counters = applied.counters.iter().all(|name| known.contains(name));
    chains && sets && counters && !rules_elsewhere
}

#[cfg(test)]
mod tests;
