//! What has to change so that one ruleset becomes another.

use std::collections::{BTreeMap, BTreeSet};

use cnnf_core::ruleset::{Action, Chain, Endpoints, Hook, Match, Name, Rule, Ruleset, Set};

/// One change. A plan is carried out in order and as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Makes a chain without rules.
    AddChain(Name, Option<(Hook, i32)>),
    /// Deletes a chain's rules.
    FlushChain(Name),
    /// Appends a rule.
    AddRule(Name, Rule),
    /// Deletes a chain that has no rules and that nothing refers to; never a base chain.
    DeleteChain(Name),
    /// Makes a set of this kind, without its elements.
    AddSet(Name, Set),
    /// Adds these elements.
    AddElements(Name, Set),
    /// Deletes these elements.
    DeleteElements(Name, Set),
    /// Deletes a set that no rule refers to, with its elements.
    DeleteSet(Name),
    /// Makes a counter, at 0.
    AddCounter(Name),
    /// Deletes a counter that no rule counts by, with what it has counted.
    DeleteCounter(Name),
}

/// The ordered operations that turn `applied` into `desired`; none if they are equal.
///
/// Where only elements differ, only elements change. A chain that differs is emptied and refilled. Base chains of `applied` that
/// `desired` does not have are emptied and stay: deleting one would drop every packet that waits in any queue of the namespace.
#[must_use]
pub fn plan(applied: &Ruleset, desired: &Ruleset) -> Vec<Operation> {
    let mut plan = Vec::new();
    let gone: BTreeSet<&Name> = applied
        .sets
        .iter()
        .filter(|(name, set)| desired.sets.get(*name).is_none_or(|wanted| !same_kind(set, wanted)))
        .map(|(name, _)| name)
        .collect();
    let empty = Chain::default();

    for (name, chain) in &desired.chains {
        if !applied.chains.contains_key(name) {
            plan.push(Operation::AddChain(name.clone(), chain.base));
        }
    }
    plan.extend(desired.counters.difference(&applied.counters).cloned().map(Operation::AddCounter));
    let mut refill = Vec::new();
    for (name, chain) in &applied.chains {
        let wanted = desired.chains.get(name).unwrap_or(&empty);
        if chain.rules != wanted.rules || chain.rules.iter().flat_map(sets_of).any(|set| gone.contains(set)) {
            if !chain.rules.is_empty() {
                plan.push(Operation::FlushChain(name.clone()));
            }
            refill.push(name);
        }
    }
    plan.extend(gone.iter().map(|name| Operation::DeleteSet((*name).clone())));
    let (busy, quiet): (Vec<_>, Vec<_>) = desired.sets.iter().partition(|(_, set)| is_busy(set));
    for (name, wanted) in busy.into_iter().chain(quiet) {
        match applied.sets.get(name).filter(|set| same_kind(set, wanted)) {
            Some(set) => {
                plan.extend(missing(set, wanted).map(|less| Operation::DeleteElements(name.clone(), less)));
                plan.extend(missing(wanted, set).map(|more| Operation::AddElements(name.clone(), more)));
            }
            None => {
                plan.push(Operation::AddSet(name.clone(), emptied(wanted)));
                plan.extend(missing(wanted, &emptied(wanted)).map(|all| Operation::AddElements(name.clone(), all)));
            }
        }
    }
    let fresh = desired.chains.keys().filter(|name| !applied.chains.contains_key(*name));
    for name in refill.into_iter().chain(fresh) {
        let rules = desired.chains.get(name).map_or(&[][..], |chain| &chain.rules);
        plan.extend(rules.iter().map(|rule| Operation::AddRule(name.clone(), rule.clone())));
    }
    for (name, chain) in &applied.chains {
        if chain.base.is_none() && !desired.chains.contains_key(name) {
            plan.push(Operation::DeleteChain(name.clone()));
        }
    }
    plan.extend(applied.counters.difference(&desired.counters).cloned().map(Operation::DeleteCounter));
    plan
}

/// Splits a plan in two, to be committed one after the other: first the sets of ranges that it makes, then all that refers to them.
///
/// The kernel makes the elements of such a set findable a moment after the batch's rules are in force (`nft_set_commit_update` comes
/// after the new generation, Linux 6.18): in one batch a packet could meet the new rule with an empty set. Nothing refers to
/// a set that is only made, so the first part alone changes no verdict. Sets that are busy come before all others there too.
#[must_use]
pub fn ranges_ahead(plan: Vec<Operation>) -> (Vec<Operation>, Vec<Operation>) {
    let names =
        |wanted: fn(&Operation) -> Option<&Name>| plan.iter().filter_map(wanted).cloned().collect::<BTreeSet<_>>();
    let made = names(|op| match op {
        Operation::AddSet(name, Set::Addresses(..)) => Some(name),
        _ => None,
    });
    let replaced = names(|op| match op {
        Operation::DeleteSet(name) => Some(name),
        _ => None,
    });
    plan.into_iter().partition(|op| match op {
        Operation::AddSet(name, set) if is_busy(set) => !made.is_empty() && !replaced.contains(name),
        Operation::AddSet(name, _) | Operation::AddElements(name, _) => made.contains(name) && !replaced.contains(name),
        _ => false,
    })
}

/// Whether packets wait, or a service does, for each change of its elements: such sets are made first. The kernel finds the set of an element
/// by comparing names in the order in which sets were made (`nft_set_lookup`, Linux 6.18): behind a thousand others that takes 20 µs.
fn is_busy(set: &Set) -> bool {
    matches!(set, Set::Pending(_) | Set::Flows(_) | Set::Cgroups(_))
}

/// Whether connections that were judged before this plan may have to be judged again: not where it only makes services known
/// (their cgroups, ports and chains) or forgets cgroups that are gone. `was_known` says of a label word whether live connections may have it: a
/// service that gets its first rule is not a new one.
#[must_use]
pub fn rejudges(plan: &[Operation], was_known: impl Fn(u32) -> bool) -> bool {
    let fresh: BTreeSet<&Name> = plan
        .iter()
        .filter_map(|op| match op {
            Operation::AddChain(name, _) | Operation::AddSet(name, _) => Some(name),
            _ => None,
        })
        .collect();
    plan.iter().any(|op| match op {
        Operation::AddChain(..) | Operation::AddSet(..) => false,
        Operation::AddCounter(_) | Operation::DeleteCounter(_) => false,
        Operation::AddRule(name, _) => !fresh.contains(name),
        Operation::AddElements(_, Set::Dispatch(chains)) => chains.keys().any(|word| was_known(*word)),
        Operation::AddElements(name, set) => !fresh.contains(name) && !matches!(set, Set::Cgroups(_) | Set::Ports(_)),
        Operation::DeleteElements(_, set) => !matches!(set, Set::Cgroups(_)),
        Operation::FlushChain(_) | Operation::DeleteChain(_) | Operation::DeleteSet(_) => true,
    })
}

/// The sets that a rule refers to.
pub(crate) fn sets_of(rule: &Rule) -> impl Iterator<Item = &Name> {
    let matched = rule.matches.iter().filter_map(|m| match m {
        Match::Address { set, .. }
        | Match::Endpoint { set, .. }
        | Match::Port { set }
        | Match::PacketUdpPort { set, .. }
        | Match::Flow { set, .. } => Some(set),
        _ => None,
    });
    let acted = rule.actions.iter().filter_map(|a| match a {
        Action::StampCgroup { map, .. } | Action::StampFlow { map, .. } | Action::Branch { map, .. } => Some(map),
        _ => None,
    });
    matched.chain(acted)
}

/// The counters that a rule counts by.
pub(crate) fn counters_of(rule: &Rule) -> impl Iterator<Item = &Name> {
    rule.actions.iter().filter_map(|a| match a {
        Action::Count(name) => Some(name),
        _ => None,
    })
}

/// The chains that a rule refers to.
pub(crate) fn chains_of(rule: &Rule) -> impl Iterator<Item = &Name> {
    rule.actions.iter().filter_map(|a| match a {
        Action::Jump(chain) | Action::Goto(chain) => Some(chain),
        _ => None,
    })
}

/// Whether both can be one set of the kernel's, with other elements.
pub(crate) fn same_kind(a: &Set, b: &Set) -> bool {
    emptied(a) == emptied(b)
}

/// The same set without elements.
pub(crate) fn emptied(set: &Set) -> Set {
    match set {
        Set::Addresses(family, _) => Set::Addresses(*family, Vec::new()),
        Set::Endpoints(family, _) => Set::Endpoints(*family, Endpoints::default()),
        Set::Ports(_) => Set::Ports(BTreeSet::new()),
        Set::Cgroups(_) => Set::Cgroups(BTreeMap::new()),
        Set::Dispatch(_) => Set::Dispatch(BTreeMap::new()),
        Set::Pending(family) => Set::Pending(*family),
        Set::Flows(family) => Set::Flows(*family),
    }
}

/// The elements of `wanted` that `had` lacks or has with another value; `None` if there are none.
fn missing(wanted: &Set, had: &Set) -> Option<Set> {
    let rest = match (wanted, had) {
        (Set::Addresses(family, a), Set::Addresses(_, b)) => {
            let known: BTreeSet<_> = b.iter().collect();
            Set::Addresses(*family, a.iter().filter(|range| !known.contains(range)).copied().collect())
        }
        (Set::Endpoints(family, a), Set::Endpoints(_, b)) => Set::Endpoints(*family, a.without(b)),
        (Set::Ports(a), Set::Ports(b)) => Set::Ports(a - b),
        (Set::Cgroups(a), Set::Cgroups(b)) => Set::Cgroups(differing(a, b)),
        (Set::Dispatch(a), Set::Dispatch(b)) => Set::Dispatch(differing(a, b)),
        _ => return None,
    };
    (rest != emptied(&rest)).then_some(rest)
}

fn differing<K: Ord + Copy, V: PartialEq + Clone>(a: &BTreeMap<K, V>, b: &BTreeMap<K, V>) -> BTreeMap<K, V> {
    a.iter().filter(|(key, value)| b.get(key) != Some(value)).map(|(key, value)| (*key, value.clone())).collect()
}

#[cfg(test)]
mod tests;
