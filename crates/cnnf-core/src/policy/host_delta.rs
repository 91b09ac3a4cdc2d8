//! What leads from a host's policy to its next one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::digest::Digest;
use super::host_policy::{Group, GroupEntry, GroupId, HostPolicy, HostRule};
use super::rule::Mode;
use crate::id::ServiceKey;
use crate::identity::Definition;

/// The difference of two policies of one host, and proof that both ends mean the same ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostDelta {
    /// The generation that it leads from.
    pub from: u64,
    /// The generation that it leads to.
    pub to: u64,
    /// The digest of what it leads to.
    pub digest: Digest,
    /// The host's mode.
    pub mode: Mode,
    /// Modes of services that differ; `None` for those that are gone.
    pub service_modes: BTreeMap<ServiceKey, Option<Mode>>,
    /// What differs of the entries for clients.
    pub egress: Option<Splice>,
    /// What differs of the entries for servers.
    pub ingress: Option<Splice>,
    /// What became of groups.
    pub groups: BTreeMap<GroupId, GroupDelta>,
    /// All definitions, if they differ.
    pub definitions: Option<Vec<Definition>>,
}

/// A run of entries in place of another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Splice {
    /// Where the run begins, from 0.
    pub at: usize,
    /// How many entries go.
    pub out: usize,
    /// Those that come.
    pub into: Vec<HostRule>,
}

/// What became of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupDelta {
    /// It is gone.
    Gone,
    /// It has other members, or is new.
    Members {
        /// Those that go.
        less: BTreeSet<GroupEntry>,
        /// Those that come.
        more: BTreeSet<GroupEntry>,
    },
}

/// A delta does not lead from this policy, or not to the one that was meant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// It leads from another generation.
    #[error("the change leads from generation {from}, and generation {have} is here")]
    From {
        /// Where the delta leads from.
        from: u64,
        /// What is here.
        have: u64,
    },
    /// It speaks of what is not there.
    #[error("the change speaks of {0}, which is not there")]
    Missing(&'static str),
    /// What came of it is not what was meant.
    #[error("the change of generation {from} does not make generation {to}")]
    Digest {
        /// Where the delta leads from.
        from: u64,
        /// Where it should lead.
        to: u64,
    },
}

impl HostDelta {
    /// What leads from `old` to `new`.
    #[must_use]
    pub fn between(old: &HostPolicy, new: &HostPolicy) -> Self {
        let keys: BTreeSet<&ServiceKey> = old.service_modes.keys().chain(new.service_modes.keys()).collect();
        let modes = keys.into_iter().map(|key| (key, old.service_modes.get(key), new.service_modes.get(key)));
        let ids: BTreeSet<&GroupId> = old.groups.keys().chain(new.groups.keys()).collect();
        let groups = ids.into_iter().filter_map(|id| Some((*id, group(old.groups.get(id), new.groups.get(id))?)));
        Self {
            from: old.generation,
            to: new.generation,
            digest: new.digest(),
            mode: new.mode,
            service_modes: modes.filter(|(_, a, b)| a != b).map(|(key, _, b)| (key.clone(), b.copied())).collect(),
            egress: splice(&old.egress, &new.egress),
            ingress: splice(&old.ingress, &new.ingress),
            groups: groups.collect(),
            definitions: (old.definitions != new.definitions).then(|| new.definitions.clone()),
        }
    }

    /// How many entries and members it carries: what it takes to send it.
    #[must_use]
    pub fn size(&self) -> usize {
        let entries = [&self.egress, &self.ingress].into_iter().flatten().map(|splice| splice.into.len());
        let members = self.groups.values().map(|group| match group {
            GroupDelta::Gone => 1,
            GroupDelta::Members { less, more } => 1 + less.len() + more.len(),
        });
        entries.chain(members).sum::<usize>() + self.definitions.as_ref().map_or(0, Vec::len)
    }

    /// Makes the new policy of the old one.
    ///
    /// # Errors
    /// If `old` is not what this leads from, or what comes of it is not what was meant.
    pub fn apply(&self, old: &HostPolicy) -> Result<HostPolicy, Mismatch> {
        if old.generation != self.from {
            return Err(Mismatch::From { from: self.from, have: old.generation });
        }
        let mut new = old.clone();
        new.generation = self.to;
        new.mode = self.mode;
        for (key, mode) in &self.service_modes {
            match mode {
                Some(mode) => new.service_modes.insert(key.clone(), *mode),
                None => new.service_modes.remove(key),
            };
        }
        for (entries, splice) in [(&mut new.egress, &self.egress), (&mut new.ingress, &self.ingress)] {
            if let Some(Splice { at, out, into }) = splice {
                let end = at.checked_add(*out).filter(|end| *end <= entries.len());
                let end = end.ok_or(Mismatch::Missing("an entry"))?;
                entries.splice(*at..end, into.iter().cloned());
            }
        }
        for (id, delta) in &self.groups {
            match delta {
                GroupDelta::Gone => {
                    new.groups.remove(id).ok_or(Mismatch::Missing("a group"))?;
                }
                GroupDelta::Members { less, more } => {
                    let members = Arc::make_mut(&mut new.groups.entry(*id).or_default().entries);
                    for member in less {
                        members.remove(member);
                    }
                    members.extend(more);
                }
            }
        }
        if let Some(definitions) = &self.definitions {
            new.definitions.clone_from(definitions);
        }
        if new.digest() == self.digest { Ok(new) } else { Err(Mismatch::Digest { from: self.from, to: self.to }) }
    }
}

impl HostPolicy {
    /// How many entries and members it has: what it takes to send it.
    #[must_use]
    pub fn size(&self) -> usize {
        let members: usize = self.groups.values().map(|group| group.entries.len()).sum();
        self.egress.len() + self.ingress.len() + members + self.definitions.len()
    }
}

fn group(old: Option<&Group>, new: Option<&Group>) -> Option<GroupDelta> {
    match (old, new) {
        (Some(old), Some(new)) if old == new => None,
        (None, None) => None,
        (_, None) => Some(GroupDelta::Gone),
        (old, Some(new)) => {
            let nothing = BTreeSet::new();
            let old = old.map_or(&nothing, |old| &*old.entries);
            let less = old.difference(&new.entries).copied().collect();
            Some(GroupDelta::Members { less, more: new.entries.difference(old).copied().collect() })
        }
    }
}

/// The shortest run that differs.
fn splice(old: &[HostRule], new: &[HostRule]) -> Option<Splice> {
    let at = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    let (old, new) = (&old[at..], &new[at..]);
    let same = old.iter().rev().zip(new.iter().rev()).take_while(|(a, b)| a == b).count();
    let (out, into) = (old.len() - same, &new[..new.len() - same]);
    (out > 0 || !into.is_empty()).then(|| Splice { at, out, into: into.to_vec() })
}
