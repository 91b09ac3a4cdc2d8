//! A table that is there already: whether it is what is wanted, and what of it can stay.

use std::collections::{BTreeMap, BTreeSet};

use cnnf_core::ruleset::{Chain, Name, Ruleset, Set};
use cnnf_netlink::nft::{Batch, Element, Maps, Nft, SetDump, TableDump};

use super::super::lower;
use super::super::plan::{Operation, emptied, ranges_ahead};
use super::TABLE;

/// Elements of a set that are read back when somebody else has changed any rules.
const COMPARED: usize = 1024;

/// The sets of ranges that have what is wanted.
///
/// They are not touched: until the kernel's new generation is there, a range that is deleted and added again can hide itself (`__nft_rbtree_lookup`
/// remembers the closest start, whether it is of this generation or of the next one; Linux 6.1 let some twenty datagrams through each time).
pub(super) fn right_ranges(
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
pub(super) fn empty(batch: &mut Batch, dump: Option<&TableDump>, desired: &Ruleset, right: &BTreeSet<Name>) -> Ruleset {
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
pub(super) fn ranges_ahead_of(dump: &TableDump, operations: Vec<Operation>) -> (Vec<Operation>, Vec<Operation>) {
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
pub(super) fn same(contents: &mut BTreeMap<Name, Vec<u64>>, dump: &TableDump) -> bool {
    let mut same = true;
    for chain in &dump.chains {
        let read: Vec<u64> = chain.rules.iter().map(|rule| rule.content).collect();
        same &= *contents.entry(chain.name.clone()).or_insert_with(|| read.clone()) == read;
    }
    same
}

/// Whether the kernel's sets have the elements of `applied`, as far as they are not too many to read them whenever somebody commits anything.
pub(super) fn has_elements(nft: &mut Nft, applied: &Ruleset) -> Result<bool, cnnf_netlink::Error> {
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
pub(super) fn is_like(dump: &TableDump, applied: &Ruleset) -> bool {
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
