//! A table in memory that carries plans out and refuses what the kernel would refuse.

use std::collections::BTreeMap;

use cnnf_core::ruleset::{Chain, Name, Rule, Ruleset, Set};

use super::plan::{Operation, chains_of, counters_of, emptied, same_kind, sets_of};

/// Why the kernel would refuse an operation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refused(pub String);

/// A table that holds a ruleset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fake {
    table: Ruleset,
}

impl Fake {
    /// A table that holds `ruleset`.
    #[must_use]
    pub fn new(ruleset: Ruleset) -> Self {
        Self { table: ruleset }
    }

    /// What it holds.
    #[must_use]
    pub fn ruleset(&self) -> &Ruleset {
        &self.table
    }

    /// Carries a plan out, whole or not at all.
    ///
    /// # Errors
    /// The first operation that the kernel would refuse, and why.
    pub fn apply(&mut self, plan: &[Operation]) -> Result<(), Refused> {
        let mut next = self.clone();
        for operation in plan {
            next.carry_out(operation)?;
        }
        *self = next;
        Ok(())
    }

    fn carry_out(&mut self, operation: &Operation) -> Result<(), Refused> {
        match operation {
            Operation::AddChain(name, base) => {
                let new = Chain { base: *base, rules: Vec::new() };
                refuse_if(self.table.chains.insert(name.clone(), new).is_some(), || format!("chain {name} is there"))
            }
            Operation::FlushChain(name) => {
                self.chain(name)?.rules.clear();
                Ok(())
            }
            Operation::AddRule(name, rule) => {
                for set in sets_of(rule) {
                    self.set(set)?;
                }
                for chain in chains_of(rule) {
                    self.chain(chain)?;
                }
                for counter in counters_of(rule) {
                    refuse_if(!self.table.counters.contains(counter), || format!("no counter {counter}"))?;
                }
                self.chain(name)?.rules.push(rule.clone());
                Ok(())
            }
            Operation::DeleteChain(name) => {
                let chain = self.chain(name)?;
                refuse_if(chain.base.is_some() || !chain.rules.is_empty(), || {
                    format!("chain {name} has rules or a hook")
                })?;
                let used = self.rules().any(|rule| chains_of(rule).any(|chain| chain == name))
                    || self
                        .table
                        .sets
                        .values()
                        .any(|s| matches!(s, Set::Dispatch(map) if map.values().any(|c| c == name)));
                refuse_if(used, || format!("chain {name} is in use"))?;
                self.table.chains.remove(name);
                Ok(())
            }
            Operation::AddSet(name, set) => {
                let there = self.table.sets.insert(name.clone(), emptied(set)).is_some();
                refuse_if(there, || format!("set {name} is there"))
            }
            Operation::DeleteSet(name) => {
                self.set(name)?;
                refuse_if(self.rules().any(|rule| sets_of(rule).any(|set| set == name)), || {
                    format!("set {name} is in use")
                })?;
                self.table.sets.remove(name);
                Ok(())
            }
            Operation::AddCounter(name) => {
                refuse_if(!self.table.counters.insert(name.clone()), || format!("counter {name} is there"))
            }
            Operation::DeleteCounter(name) => {
                let used = self.rules().any(|rule| counters_of(rule).any(|counter| counter == name));
                refuse_if(used, || format!("counter {name} is in use"))?;
                refuse_if(!self.table.counters.remove(name), || format!("no counter {name}"))
            }
            Operation::AddElements(name, more) => {
                if let Set::Dispatch(map) = more {
                    for chain in map.values() {
                        self.chain(chain)?;
                    }
                }
                let set = self.set(name)?;
                refuse_if(!same_kind(set, more), || format!("set {name} is of another kind"))?;
                add(set, more).map_err(|what| Refused(format!("set {name}: {what}")))
            }
            Operation::DeleteElements(name, less) => {
                let set = self.set(name)?;
                refuse_if(!same_kind(set, less), || format!("set {name} is of another kind"))?;
                delete(set, less).map_err(|what| Refused(format!("set {name}: {what}")))
            }
        }
    }

    fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.table.chains.values().flat_map(|chain| &chain.rules)
    }

    fn chain(&mut self, name: &Name) -> Result<&mut Chain, Refused> {
        self.table.chains.get_mut(name).ok_or_else(|| Refused(format!("no chain {name}")))
    }

    fn set(&mut self, name: &Name) -> Result<&mut Set, Refused> {
        self.table.sets.get_mut(name).ok_or_else(|| Refused(format!("no set {name}")))
    }
}

fn refuse_if(bad: bool, why: impl FnOnce() -> String) -> Result<(), Refused> {
    if bad { Err(Refused(why())) } else { Ok(()) }
}

fn add(set: &mut Set, more: &Set) -> Result<(), String> {
    match (set, more) {
        (Set::Addresses(_, a), Set::Addresses(_, b)) => {
            a.extend(b);
            a.sort_unstable();
            let overlap = a.windows(2).find(|pair| pair[1].low() <= pair[0].high());
            overlap.map_or(Ok(()), |pair| Err(format!("{} and {} overlap", pair[0], pair[1])))
        }
        (Set::Endpoints(_, a), Set::Endpoints(_, b)) => {
            *a = a.iter().chain(b.iter()).copied().collect();
            Ok(())
        }
        (Set::Ports(a), Set::Ports(b)) => {
            a.extend(b);
            Ok(())
        }
        (Set::Cgroups(a), Set::Cgroups(b)) => add_to_map(a, b),
        (Set::Dispatch(a), Set::Dispatch(b)) => add_to_map(a, b),
        _ => Err("has no elements of ours".into()),
    }
}

fn add_to_map<K: Ord + Copy, V: PartialEq + Clone>(a: &mut BTreeMap<K, V>, b: &BTreeMap<K, V>) -> Result<(), String> {
    for (key, value) in b {
        if a.get(key).is_some_and(|known| known != value) {
            return Err("an element is there with another value".into());
        }
        a.insert(*key, value.clone());
    }
    Ok(())
}

fn delete(set: &mut Set, less: &Set) -> Result<(), String> {
    let all = match (set, less) {
        (Set::Addresses(_, a), Set::Addresses(_, b)) => {
            let before = a.len();
            a.retain(|range| !b.contains(range));
            before - a.len() == b.len()
        }
        (Set::Endpoints(_, a), Set::Endpoints(_, b)) => {
            let all = b.iter().all(|element| a.contains(element));
            *a = a.without(b);
            all
        }
        (Set::Ports(a), Set::Ports(b)) => b.iter().all(|element| a.remove(element)),
        (Set::Cgroups(a), Set::Cgroups(b)) => b.keys().all(|key| a.remove(key).is_some()),
        (Set::Dispatch(a), Set::Dispatch(b)) => b.keys().all(|key| a.remove(key).is_some()),
        _ => false,
    };
    if all { Ok(()) } else { Err("an element is not there".into()) }
}
