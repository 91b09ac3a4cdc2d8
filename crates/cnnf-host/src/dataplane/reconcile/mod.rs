//! Makes the kernel's table equal to the wanted ruleset and keeps it so.

mod existing;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cnnf_core::ruleset::{Name, QueueBackend, Ruleset};
use cnnf_netlink::nft::{Batch, Changes, CommitError, Nft};

use super::lower;
use super::plan::{Operation, plan, ranges_ahead};
use super::table_socket::{TableSocket, Taking};
use existing::{empty, has_elements, is_like, ranges_ahead_of, right_ranges, same};

/// The table's name; its family is inet.
pub const TABLE: &str = "cnnf";

/// How the names of those of our threads begin that add elements for packets which wait.
pub const OUR_THREADS: &str = "cnnf:";

/// How often the table is read although nobody else was heard to change any rules.
const LOOK: Duration = Duration::from_secs(1);
/// How often a change is planned anew because somebody else changed the kernel's rules meanwhile.
const ATTEMPTS: u32 = 20;

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

#[cfg(test)]
mod tests;
